"""Jobs of a real keeper, previews of what actions would do, and the calls behind them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import commit_all, data_remote, git
from kernels import kernel
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import trust
from nbledger.core.errors import LedgerError, Refused, Untrusted, UsageError
from nbledger.core.project import find
from nbledger.keeper import client, jobs


def ask(root: Path, name: str, **args: Any) -> Any:
    if find(root).settings.keeper:
        until(lambda: client.ready(find(root)))
    return client.call(find(root), name, args, start=True)


def until(check: Callable[..., Any], seconds: float = 240) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


def gone(pid: int) -> bool:
    """Whether the process has ended, its parent informed or not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def job(root: Path, name: str) -> dict[str, Any]:
    return next(one for one in ask(root, "jobs")["jobs"] if one["id"] == name)


def ended(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: (one := job(root, name))["state"] != "running" and one)
    return found


def preview(root: Path, kind: str, **words: Any) -> tuple[str, list[str], Any]:
    found = ask(root, "preview", kind=kind, **words)
    return "\n".join(found["lines"]), found["overwrites"], found["refused"]


def test_the_way_of_a_change(project: Path, tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="executes code that came with"):
        ask(project, "job_start", kind="reproduce", run="x")
    assert "executes the code that came with it" in preview(project, "trust")[0]
    assert ask(project, "state")["trusted"] is False
    assert ask(project, "trust") is True
    assert ask(project, "state")["trusted"] is True
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    data_remote(project, tmp_path / "store")
    (project / "old.csv").write_text("in Git\n")
    commit_all(project)
    (project / "data.csv").write_text("1\n")

    lines, _, refused = preview(project, "track", paths=["data.csv", "old.csv"], message="Begin")
    assert refused is None
    assert "data.csv (2 bytes): tracked from now on" in lines
    assert "Git lets go of old.csv" in lines
    assert "commit data.csv.dvc, old.csv.dvc" in lines
    assert not (project / "data.csv.dvc").exists()
    begun = ask(project, "job_start", kind="track", paths=["data.csv", "old.csv"], message="Begin")
    assert (begun["kind"], begun["title"]) == ("track", "Track data.csv, old.csv")
    done = ended(project, begun["id"])
    assert (done["state"], done["problem"], done["text"]) == ("done", None, "data.csv, old.csv are tracked")
    commit = git(project, "rev-parse", "HEAD")
    assert [row["commit"] for row in done["result"]] == [commit, commit]
    assert git(project, "log", "-1", "--format=%s") == "Begin"

    lines, _, _ = preview(project, "undo", commit=commit)
    assert lines.splitlines()[:2] == [f"take back the commit {commit[:10]}: Begin", "  .gitignore"]
    ask(project, "undo", commit=commit)
    assert preview(project, "undo")[2]["error"].endswith("was not made by nbledger")
    lines, _, _ = preview(project, "checkpoint", paths=["."])
    assert "commit 3 files on main: Checkpoint .gitignore, data.csv.dvc, old.csv.dvc" in lines
    git(project, "rm", "-q", "--cached", "old.csv")
    made = ask(project, "checkpoint", message="Again", paths=["."])
    assert sorted(made["paths"]) == [".gitignore", "data.csv.dvc", "old.csv.dvc"]
    assert made["left"] == ["old.csv"]  # what the person staged is theirs
    git(project, "commit", "-qm", "old.csv is DVC's")

    lines, _, _ = preview(project, "push")
    assert "data: data.csv, old.csv → store" in lines
    pushed = ended(project, ask(project, "job_start", kind="push")["id"])
    assert pushed["state"] == "done", pushed["problem"]
    assert pushed["result"]["remote"] == "origin"
    assert "2 data files; others cannot restore parameters, metrics" in pushed["text"]
    assert git(tmp_path / "bare.git", "rev-parse", "main") == git(project, "rev-parse", "HEAD")
    assert preview(project, "pull")[0].startswith("commits: main has all of origin/main")
    pulled = ended(project, ask(project, "job_start", kind="pull")["id"])
    assert (pulled["result"]["data"], pulled["text"]) == ([], "everything was there already")
    assert [one["kind"] for one in ask(project, "jobs")["jobs"]] == ["pull", "push", "track"]

    first = ask(project, "versions", file="data.csv")["versions"][0]
    (project / "data.csv").write_text("2\n")
    ended(project, ask(project, "job_start", kind="track", paths=["data.csv"])["id"])
    lines, overwrites, _ = preview(project, "use_version", file="data.csv", commit=first["commit"])
    assert "data.csv becomes the version of commit" in lines
    assert len(overwrites) == 1
    ask(project, "use_version", file="data.csv", commit=first["commit"])
    assert (project / "data.csv").read_text() == "1\n"
    assert ask(project, "diff", file="data.csv.dvc")["lines"]
    assert ask(project, "pipeline") == {"files": [], "nodes": [], "edges": [], "problems": []}
    assert preview(project, "init")[0] == "everything is there already"
    assert preview(project, "reproduce", run="nothing")[2]["code"] == 2
    with pytest.raises(UsageError, match="no action called"):
        preview(project, "promot")
    with pytest.raises(UsageError, match="needs to know 'file'"):
        preview(project, "use_version")
    # what goes wrong is told by the job
    lost = ended(project, ask(project, "job_start", kind="track", paths=["nowhere.csv"])["id"])
    assert (lost["state"], lost["problem"]["code"], lost["result"]) == ("failed", 2, None)
    bad = ended(project, ask(project, "job_start", kind="reproduce", run="--help")["id"])
    assert (bad["state"], bad["problem"]["code"]) == ("failed", 2)
    for words in ({"kind": "fly"}, {"kind": "track", "paths": []}):
        with pytest.raises(UsageError):
            ask(project, "job_start", **words)
    with pytest.raises(UsageError, match="no such job"):
        ask(project, "job_stop", id="x")
    assert not git(project, "fsck", "--strict")


def test_without_a_keeper_the_work_is_done_at_once(project: Path) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / "data.csv").write_text("1\n")
    done = ask(project, "job_start", kind="track", paths=["data.csv"])
    assert (done["state"], done["result"][0]["commit"]) == ("done", git(project, "rev-parse", "HEAD"))
    assert ask(project, "job_start", kind="pull")["problem"]["error"] == "there is no remote to pull from"
    # stopped while the bytes are read: nothing of it is left
    (project / "more.csv").write_text("2\n")
    job = jobs.Job("id", "track", "Track more.csv", find(project), "")
    job.stopping.set()
    with pytest.raises(jobs.Stopped):
        jobs._track(job, ["more.csv"], {})
    assert not (project / "more.csv.dvc").exists()
    assert git(project, "status", "--porcelain") == "?? .nbledger.toml\n?? more.csv"
    job.stopping.clear()
    assert jobs._track(job, ["more.csv"], {})[0].commit


def test_stopping_and_waiting(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.trust(find(project))  # its own hook is to run
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    hook = project / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/hooked\nexec sleep 300\n")
    hook.chmod(0o755)
    monkeypatch.setenv("NBLEDGER_NOTEBOOK", "of-a-kernel.ipynb")  # a keeper's children know nothing of it
    (project / ".nbledger.toml").write_text("keeper_idle_minutes = 0.05\n")
    begun = ask(project, "job_start", kind="push")
    pid = int(until(lambda: (tmp_path / "hooked").exists() and (tmp_path / "hooked").read_text()))
    time.sleep(5)  # idle for long, but for the job
    with pytest.raises(Refused, match="“Push” is still going on"):
        ask(project, "job_start", kind="track", paths=["x"])
    with pytest.raises(LedgerError, match="in use"):
        ask(project, "push")
    keeper = client.running(find(project))
    assert keeper is not None
    told = []
    for child in psutil.Process(keeper.pid).children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            told.append(child.environ().get("NBLEDGER_NOTEBOOK"))
    assert set(told) == {None}
    ask(project, "job_stop", id=begun["id"])
    done = ended(project, begun["id"])
    assert (done["state"], done["problem"]) == ("stopped", None)
    until(lambda: gone(pid))
    assert git(project, "ls-remote", "origin") == ""
    assert not list((project / ".git").rglob("*.lock"))

    # `%ledger push` is a job, too: an interrupt of the cell ends it
    (tmp_path / "hooked").unlink()

    def interrupt(*_: object) -> None:
        if (tmp_path / "hooked").exists() and (tmp_path / "hooked").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["push"], Face(start_keeper=True, progress=interrupt))
    assert ended(project, ask(project, "jobs")["jobs"][0]["id"])["state"] == "stopped"
    until(lambda: gone(int((tmp_path / "hooked").read_text())))

    # the keeper's end is the end of what it started, however it comes
    for kill in (False, True):
        (tmp_path / "hooked").unlink()
        ask(project, "job_start", kind="push")
        pid = int(until(lambda: (tmp_path / "hooked").exists() and (tmp_path / "hooked").read_text()))
        keeper = client.running(find(project))
        assert keeper is not None
        (psutil.Process(keeper.pid).kill if kill else psutil.Process(keeper.pid).terminate)()
        for number in (pid, keeper.pid):
            until(lambda number=number: gone(number))
    hook.unlink()
    answer = run(["push"], Face(start_keeper=True))
    assert answer is not None
    assert answer.text.splitlines()[0] == "pushed 1 commit: main → origin"
    git(project, "branch", "--unset-upstream")
    with pytest.raises(LedgerError, match="main has no upstream"):
        run(["pull"], Face(start_keeper=True))


def test_a_reproduction_and_its_end(project: Path) -> None:
    (project / "data.csv").write_text("1,2\n")
    with kernel(project) as k:
        for code in (
            "%track_data data.csv",
            "%%mlrun first -m total\nimport time\ntotal = len(open('data.csv').read()); time.sleep(0.3)",
        ):
            assert k.run(code).status == "ok"
    (version,) = until(lambda: (found := ask(project, "versions", file="data.csv")["versions"])[0]["runs"] and found)
    run = version["runs"][0]["run_id"]
    assert version["runs"] == [{"run_id": run, "name": "first"}]
    lines, _, refused = preview(project, "reproduce", run="first")
    assert refused is None
    assert "is executed there in a fresh kernel, with your rights" in lines
    assert preview(project, "reproduce", run="first", into=".")[2]["error"].endswith("is not an empty folder")
    done = ended(project, ask(project, "job_start", kind="reproduce", run=run)["id"])
    assert (done["state"], done["problem"], done["title"]) == ("done", None, "Reproduce first")
    assert done["text"] == "first: identical"
    assert done["result"]["verdict"] == "identical"
    assert done["total"] == 3  # a step each cell
    begun = ask(project, "job_start", kind="reproduce", run=run, times=100)
    kernels = until(lambda: [pid for pid, words in _below(project).items() if "ipykernel" in words])
    ask(project, "job_stop", id=begun["id"])
    done = ended(project, begun["id"])
    assert (done["state"], done["problem"]) == ("stopped", None)
    for pid in kernels:
        until(lambda number=pid: gone(number))
    assert not any((project / ".nbledger" / "reproduced").glob("*"))
    restored = ask(project, "job_start", kind="reproduce", run="first", restore_only=True, into="back")
    assert ended(project, restored["id"])["text"] == "first is restored"
    assert (project / "back" / "data.csv").read_text() == "1,2\n"
    assert preview(project, "delete", run="first")[0].startswith("first (")


def _below(project: Path) -> dict[int, str]:
    """{pid: command line} of the keeper's children and theirs."""
    keeper = client.running(find(project))
    assert keeper is not None
    found = {}
    for process in psutil.Process(keeper.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found[process.pid] = " ".join(process.cmdline())
    return found
