"""Who watches is told of what changes, by whoever and however much at once; and of nothing else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, dvc, git
from ledger import client as api_of
from many_runs import fill
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project, find
from nbledger.keeper import calls, changes, client, endpoint, journal, overview, recorder, table, watched, watching

LONG = 20.0


class Ear:
    """Hears what is told in this process."""

    def __init__(self, told: changes.Subscription) -> None:
        self.told = told

    def heard(self, part: str = "state", timeout: float = LONG) -> bool:
        """Wait until that part is told of."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if part in self.told.take()[0]:
                return True
            time.sleep(0.01)
        return False

    def quiet(self) -> None:
        """Let what is still on its way arrive: a change that surely means something, then all that came with it."""
        self.told.take()
        while self.heard(timeout=0.4):
            pass

    def after(self, work: Callable[[], Any], part: str = "state") -> bool:
        self.quiet()
        work()
        return self.heard(part)


@pytest.fixture
def ear(project: Path) -> Iterator[Ear]:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / ".gitignore").write_text("node_modules/\n*.log\nbuild/\n")
    (project / "code.py").write_text("x = 1\n")
    (project / "node_modules" / "deep" / "er").mkdir(parents=True)
    (project / "data" / "many").mkdir(parents=True)
    (project / "data" / "many" / "a.csv").write_text("1")
    dvc(project, "add", "--quiet", "data/many")
    commit_all(project)
    here = find(project)
    with changes.subscribed(here) as told, watching.attentive(here):
        listener = Ear(told)
        assert listener.heard()  # the watch is on
        yield listener


def test_every_change_that_the_state_shows_is_told(project: Path, ear: Ear) -> None:
    here = find(project)
    assert ear.after(lambda: (project / "code.py").write_text("x = 2\n"))
    assert overview.status(here).code.changed == ("code.py",)
    assert ear.after(lambda: git(project, "add", "code.py"))
    assert ear.after(lambda: git(project, "commit", "-qm", "two"))
    assert ear.after(lambda: git(project, "checkout", "-qb", "side"))
    assert ear.after(lambda: git(project, "checkout", "-q", "--detach"))
    assert ear.after(lambda: git(project, "tag", "v1"))
    assert ear.after(lambda: (project / "data" / "many" / "a.csv").write_text("2"))  # Git ignores it, DVC tracks it
    assert overview.status(here).data.changed == ("data/many",)
    assert ear.after(lambda: shutil.rmtree(project / "data" / "many"))
    assert overview.status(here).data.missing == ("data/many",)
    assert ear.after(lambda: os.replace(project / "code.py", project / "moved.py"))
    stage = "stages:\n  one:\n    cmd: echo\n    deps: [moved.py]\n"
    assert ear.after(lambda: (project / "dvc.yaml").write_text(stage), "pipeline")
    assert ear.after(lambda: (project / "moved.py").write_text("x = 3\n"), "pipeline")  # a stage depends on it
    assert ear.after(lambda: (project / "loose.csv").write_text("1"))


def test_new_folders_are_followed_and_what_is_ignored_is_not_watched(project: Path, ear: Ear) -> None:
    assert ear.after(lambda: (project / "a" / "b" / "c").mkdir(parents=True))
    assert ear.after(lambda: (project / "a" / "b" / "c" / "new.py").write_text(""))
    assert ear.after(lambda: os.replace(project / "a" / "b", project / "a" / "d"))
    assert ear.after(lambda: (project / "a" / "d" / "c" / "new.py").write_text("1"))
    here = find(project)
    found = watched.folders(here)
    inside = {os.path.relpath(path, project) for path in found.all()}
    assert {".", "a", "a/d", "a/d/c", "data", "data/many", ".git", ".git/refs/heads", ".dvc"} <= inside
    never = ("node_modules", ".dvc/cache", ".dvc/tmp", ".git/objects", ".git/logs", ".nbledger/artifacts")
    assert not [path for path in inside if path.startswith(never)]
    meaning = watched.Meaning(here, found)

    def means(*paths: str) -> list[str]:
        return sorted(os.path.relpath(path, project) for path in meaning.of([str(project / path) for path in paths]))

    assert means(".git/index.lock", ".git/refs/nbledger/runs/1", ".git/COMMIT_EDITMSG", ".nbledger/mlflow.db") == []
    (project / "build").mkdir()
    assert means("training.log", "a/x.log", "build", "__pycache__", ".jupyter_ystore.db-journal") == []
    assert means(".git/HEAD", ".git/refs/remotes/origin/main", "data/many/z", ".dvc/config", "a.py") == [
        *(".dvc/config", ".git/HEAD", ".git/refs/remotes/origin/main", "a.py", "data/many/z"),
    ]
    (project / "training.log").write_text("1")
    git(project, "add", "-f", "training.log")
    assert means(".git/index", "training.log") == [".git/index", "training.log"]  # it is tracked now
    (project / ".gitignore").write_text("")
    assert means(".gitignore", "a/x.log") == [".gitignore", "a/x.log"]


def test_a_folder_without_git_is_watched_and_becomes_a_repository(folder: Path) -> None:
    (folder / ".nbledger.toml").write_text("keeper = false\n")
    here = find(folder)
    with changes.subscribed(here) as told, watching.attentive(here):
        ear = Ear(told)
        assert ear.heard()
        assert ear.after((folder / "sub").mkdir)
        assert ear.after(lambda: (folder / "sub" / "new.py").write_text(""))
        assert ear.after(lambda: git(folder, "init", "-q"))
        ear.quiet()
        assert ear.after(lambda: git(folder, "add", "sub/new.py"))


def test_the_store_that_is_asked_about_is_watched_whatever_the_files_say(folder: Path, tmp_path: Path) -> None:
    """A server's environment may name the store: the keeper has not the same."""
    (folder / ".nbledger.toml").write_text("keeper = false\n")
    other = tmp_path / "of another"
    other.mkdir()
    fill(other, 2)
    uri = f"sqlite:///{tmp_path}/of%20another/.nbledger/mlflow.db"
    experiment = find(other).experiment
    here = replace(find(folder), settings=replace(find(folder).settings, tracking_uri=uri, experiment=experiment))
    with changes.subscribed(here) as told, watching.attentive(here):
        ear = Ear(told)
        assert ear.heard()
        assert table.of(here).answer().total == 2
        ear.quiet()
        assert ear.after(lambda: fill(other, 1), "runs")
        assert table.of(here).answer().total == 3


def test_a_project_that_was_deleted_stays_so(folder: Path) -> None:
    (folder / ".nbledger.toml").write_text("keeper = false\n")
    here = find(folder)
    with changes.subscribed(here) as told, watching.attentive(here):
        ear = Ear(told)
        assert ear.heard()
        shutil.rmtree(folder)
        ear.quiet()
        for call in (here.ensure_state, lambda: table.of(here).answer(), lambda: client.spawn(find_anew(here))):
            with pytest.raises(LedgerError, match="not there any more"):
                call()
    assert not folder.exists()


def find_anew(here: Project) -> Project:
    """The same project where a keeper is wanted."""
    return replace(here, settings=replace(here.settings, keeper=True))


def test_ten_thousand_files_at_once_are_one_change(project: Path, ear: Ear) -> None:
    (project / "storm").mkdir()
    ear.quiet()
    before = changes.version()
    for number in range(10_000):
        (project / "storm" / f"{number}.csv").touch()
    assert ear.heard()
    ear.quiet()
    assert changes.version() - before < 100
    assert "storm/" in overview.status(find(project)).code.untracked
    assert ear.after(lambda: (project / "code.py").write_text("x = 2\n"))


@pytest.mark.parametrize("fault", ["inotify", "folders"])
def test_without_a_watch_the_files_are_looked_at_and_the_state_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    if fault == "inotify":  # what watchfiles raises when the system has no watches left

        def refuse(*args: object) -> None:
            raise OSError("OS file watch limit reached. about [...]")

        monkeypatch.setattr("watchfiles._rust_notify.RustNotify", refuse)
        words = "the system's limit of watches is reached"
    else:
        (project / "sub").mkdir()
        monkeypatch.setattr(watched, "MOST_FOLDERS", 1)
        words = "more than 1 folders"
    here = find(project)
    with changes.subscribed(here) as told, watching.attentive(here):
        assert Ear(told).heard()
        state = calls.perform(here, "state", {})
        assert state["watching"] is False
        assert f"files are looked at every 2 seconds, not watched: {words}" in state["notes"]
        time.sleep(0.5)  # the first look
        (project / "new.py").write_text("")
        assert Ear(told).heard()


class Stream:
    """A connection to a real keeper that watches."""

    def __init__(self, here: Project) -> None:
        known = client.running(here)
        assert known is not None
        self.connection: socket.socket = endpoint.connect(known, 5)
        self.connection.settimeout(LONG)
        self.connection.sendall(client.request(known, here, "watch", {}))
        self.lines = self.connection.makefile("rb")
        self.first = self.line() or {}

    def line(self) -> dict[str, Any] | None:
        """The next one (an empty one is a sign of life); None when the keeper has closed."""
        found = self.lines.readline()
        return json.loads(found) if found else None

    def until(self, part: str) -> dict[str, Any]:
        while (line := self.line()) is not None and part not in line.get("changed", {}).get("parts", []):
            pass
        assert line is not None
        return dict(line)

    def close(self) -> None:
        self.lines.close()
        self.connection.close()


def test_a_real_keeper_tells_everyone_who_watches(project: Path) -> None:
    """Two who watch, a run that is recorded beside a storm, a kernel that dies, and the end."""
    (project / ".nbledger.toml").write_text("keeper_idle_minutes = 0.02\n")
    commit_all(project)
    here = find(project)
    client.ask(here, "state", start=True)
    one, two = Stream(here), Stream(here)
    assert one.first["watching"]["project"] == here.key == client.ask(here, "state")["project"]
    version = client.ask(here, "table")["version"]

    def row(name: str) -> dict[str, Any] | None:
        rows = client.ask(here, "table_changes", {"since": version})["runs"]
        return next((row for row in rows if row["name"] == name), None)

    sleeper = subprocess.Popen(["sleep", "600"])
    owner = {**journal.owner(), "pid": sleeper.pid, "created": journal.process_started(sleeper.pid)}
    recording = recorder.start(here, recorder.Plan(name="live", owner=owner))
    for number in range(3000):
        (project / f"{number}.csv").touch()
    client.notify(here)
    for step in range(3):
        recording.log(step, {"loss": step})
        client.notify(here)
        while (found := row("live")) is None or found["metrics"].get("loss") != step:
            assert one.until("runs") and two.until("runs")
    assert found["status"] == "RUNNING"
    assert client.ask(here, "series", {"run": [found["run_id"]], "key": ["loss"]})["series"][found["run_id"]]
    recording.journal.close()
    sleeper.kill()
    sleeper.wait()
    while row("live")["status"] != "KILLED":  # type: ignore[index]  # nobody asks for it: its end is told
        assert one.until("runs")
    assert api_of(here.tracking_uri).get_run(found["run_id"]).info.status == "KILLED"
    two.close()  # one who leaves takes nobody along, and the keeper stays while the other watches
    time.sleep(3)
    (project / "code.py").write_text("")
    assert one.until("state")["changed"]["version"] > version
    known = client.running(here)
    assert known is not None
    assert client.stop(here)  # and does not wait for those who watch
    while one.line() is not None:
        pass
    one.close()
    until = time.monotonic() + LONG
    while journal.process_started(known.pid) == known.created:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_nobody_watches_without_the_secret(project: Path) -> None:
    here = find(project)
    client.ask(here, "state", start=True)
    known = client.running(here)
    assert known is not None
    with endpoint.connect(known, 5) as connection:
        request = {"secret": "guess", "version": "", "call": "watch", "context": calls.context(here), "args": {}}
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(connection.makefile().readline())
    assert answer["error"]["code"] == 2


def test_a_version_is_never_another_keepers(folder: Path) -> None:
    first = changes.version()
    assert changes.next_version() == first + 1
    assert table.MOST == 20_000 and first > 1_600_000_000_000  # it begins at the clock
