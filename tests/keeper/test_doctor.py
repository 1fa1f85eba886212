"""The keeper as a process, its endpoint and its log, and ``doctor``, which shows and mends what is wrong with them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import clouds
import nbledger
from ledger import runs
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import Project, find
from nbledger.keeper import client, doctor, endpoint, journal, recorder
from nbledger.keeper.doctor import Finding


@pytest.fixture
def here(project: Project) -> Project:
    return find(project)  # type: ignore[arg-type]


def until(what: Callable[[], Any], timeout: float = 60) -> Any:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def started(here: Project) -> endpoint.Endpoint:
    client.spawn(here)
    return until(lambda: client.running(here))  # type: ignore[no-any-return]


def keepers(here: Project) -> list[int]:
    """Process ids of this project's living keepers, read from the process table."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if "nbledger.keeper" in words and str(here.home) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def findings(here: Project, *, fix: bool = False) -> list[Finding]:
    return doctor.examine(here, fix=fix)


def find_one(found: list[Finding], words: str) -> Finding:
    (one,) = [f for f in found if words in f.text]
    return one


def waiting(here: Project, name: str, *, owner: dict[str, Any] | None = None, end: bool = True) -> Path:
    recording = recorder.start(here, recorder.Plan(name=name, owner=owner))
    recording.log(0, {"loss": 0.5})
    if end:
        recording.outcome("FINISHED")
        recording.end()
    else:
        recording.journal.close()
    return recording.journal.path


def exchange(known: endpoint.Endpoint, request: bytes) -> dict[str, Any]:
    with endpoint.connect(known, 5) as connection:
        connection.settimeout(10)
        connection.sendall(request)
        answer = connection.makefile("rb").readline()
    return json.loads(answer) if answer else {}


# ── the keeper ───────────────────────────────────────────────────────────────────────────────────────────────


def test_endpoint_is_private(here: Project) -> None:
    known = started(here)
    assert isinstance(known.address, str)
    folder = Path(known.address).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(known.address).stat().st_mode) == 0o600
    assert stat.S_IMODE(endpoint.file_of(here).stat().st_mode) == 0o600
    assert stat.S_IMODE(here.state.stat().st_mode) == 0o700
    assert known.secret not in " ".join(psutil.Process(known.pid).cmdline())
    assert known.secret not in (here.state / "keeper.log").read_text()


def test_an_open_folder_is_closed_and_a_foreign_one_refused(here: Project) -> None:
    folder = endpoint.folder()
    folder.chmod(0o755)
    assert stat.S_IMODE(endpoint.folder().stat().st_mode) == 0o700
    folder.rmdir()
    folder.symlink_to("/tmp")
    with pytest.raises(LedgerError, match="belongs to someone else"):
        endpoint.folder()


def test_refuses_a_call_without_its_secret(here: Project) -> None:
    known = started(here)
    canary = here.root / "canary"
    call = {"call": "init", "context": {"cwd": str(here.root), "uri": f"sqlite:///{canary}", "experiment": "x"}}
    for secret in ({}, {"secret": ""}, {"secret": "0" * 32}, {"secret": None}, {"secret": "é"}, {"secret": ["x"]}):
        answer = exchange(known, json.dumps({**call, **secret}).encode() + b"\n")
        assert "result" not in answer and answer["error"], answer
    rubbish = (b"\n", b"{\n", b"[]\n", b"\xff\n", b'"x"\n', b"null\n", b"\x80\x04K*.\n")
    with ThreadPoolExecutor(len(rubbish)) as pool:  # all at once: for each the keeper waits seconds, whether more comes
        assert all("result" not in answer for answer in pool.map(partial(exchange, known), rubbish))
    with pytest.raises(LedgerError, match="without its secret"), endpoint.connect(known, 5) as connection:
        client._exchange(connection, replace(known, secret="wrong"), here, "stop", {}, None)
    with pytest.raises(UsageError, match="knows no call"):
        client.ask(here, "__import__")
    assert client.running(here) == known
    assert not canary.exists()


def test_two_started_at_once_one_stays(here: Project) -> None:
    for _ in range(6):
        client.spawn(here)
    known = until(lambda: client.running(here))
    until(lambda: len(keepers(here)) == 1)
    time.sleep(0.5)
    assert keepers(here) == [known.pid]
    assert client.ask(here, "ping")["pid"] == known.pid


def test_one_that_starts_slowly_is_waited_for_and_one_that_cannot_is_not(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PATIENCE", 0.0)
    known = client.ready(here)
    assert known is not None and keepers(here) == [known.pid]
    client.stop(here)
    until(lambda: not keepers(here))
    monkeypatch.setattr(client, "_MORE_PATIENCE", 600.0)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert client.ready(here) is None


def test_a_keeper_of_another_version_is_replaced(here: Project) -> None:
    old = started(here)
    endpoint.announce(here, replace(old, version="0.0.1"))
    assert client.running(here) is None
    waiting(here, "meanwhile")
    client.notify(here)
    new = until(lambda: (k := client.running(here)) and k.pid != old.pid and k)
    assert new.version == nbledger.__version__
    until(lambda: keepers(here) == [new.pid])
    until(lambda: not list(journal.pending(here)), 60)


def test_doctor_replaces_a_keeper_of_another_version(here: Project) -> None:
    old = started(here)
    endpoint.announce(here, replace(old, version="0.0.1"))
    assert find_one(findings(here), "of version 0.0.1").severity == "problem"
    assert find_one(findings(here, fix=True), "of version 0.0.1").fixed
    until(lambda: old.pid not in keepers(here))


def test_stop_lets_a_call_end_first(here: Project) -> None:
    (here.root / "big.bin").write_bytes(os.urandom(1 << 20) * 300)
    known = started(here)
    asking = subprocess.Popen(
        [sys.executable, "-m", "nbledger.cli", "track", "big.bin", "--json"],
        cwd=here.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.6)
    os.kill(known.pid, signal.SIGTERM)
    out, err = asking.communicate(timeout=120)
    assert asking.returncode == 0, err
    assert json.loads(out)[0]["path"] == "big.bin"
    until(lambda: known.pid not in keepers(here))
    assert not endpoint.file_of(here).exists()


def connections(known: endpoint.Endpoint) -> int:
    """How many the system holds at the keeper's address, those that it has not accepted yet among them."""
    return sum(line.endswith(f" {known.address}") for line in Path("/proc/net/unix").read_text().splitlines())


def test_a_keeper_killed_in_a_call_is_told_in_one_line(here: Project) -> None:
    (here.root / "big.bin").write_bytes(b"x")
    known = started(here)
    os.kill(known.pid, signal.SIGSTOP)
    before = connections(known)
    asking = subprocess.Popen(
        [sys.executable, "-m", "nbledger.cli", "track", "big.bin"],
        cwd=here.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: connections(known) > before)
    os.kill(known.pid, signal.SIGKILL)
    out, err = asking.communicate(timeout=60)
    assert asking.returncode == 3 and err.count("\n") == 1 and "keeper ended before it answered" in err, (out, err)


def test_idle_exit_and_a_run_that_is_watched(project: Path) -> None:
    (project / ".nbledger.toml").write_text("keeper_idle_minutes = 0.02\n")
    here = find(project)
    path = waiting(here, "open", end=False)
    known = started(here)
    time.sleep(4)
    assert client.running(here) == known, "an open run needs watching"
    with (path / "events.jsonl").open("ab") as file:
        file.write(json.dumps({"t": "end", "at": 1, "status": "FINISHED", "error": "", "ended": 1}).encode() + b"\n")
    until(lambda: not path.exists(), 60)
    until(lambda: not keepers(here))
    assert not endpoint.file_of(here).exists() and not Path(str(known.address)).exists()


def test_log_is_bounded(here: Project) -> None:
    known = started(here)
    for _ in range(60):  # each is logged with its traceback
        assert "error" in exchange(
            known,
            json.dumps({"secret": known.secret, "call": "run_id", "context": {"x": "y" * 40_000}}).encode() + b"\n",
        )
    logs = sorted(here.state.glob("keeper.log*"))
    assert sum(path.stat().st_size for path in logs) < 2_200_000, logs
    (here.state / "keeper.log").write_bytes(b"x" * 1_100_000)
    client.stop(here)
    started(here)
    assert sum(path.stat().st_size for path in here.state.glob("keeper.log*")) < 2_200_000


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_well(here: Project) -> None:
    found = findings(here)
    assert not [f for f in found if f.severity == "problem"], found


def test_dead_socket(here: Project) -> None:
    known = started(here)
    os.kill(known.pid, signal.SIGKILL)
    until(lambda: journal.process_started(known.pid) is None)
    assert client.running(here) is None
    gone = find_one(findings(here), "is gone and left its socket")
    assert (gone.severity, gone.fixed) == ("problem", False) and "doctor --fix" in gone.fix
    assert endpoint.file_of(here).exists()
    assert find_one(findings(here, fix=True), "is gone").fixed
    assert not endpoint.file_of(here).exists() and not Path(str(known.address)).exists()
    assert not [f for f in findings(here) if f.severity == "problem"]
    assert client.running(here) is None
    assert started(here).pid != known.pid


def test_a_recycled_keeper_pid_is_not_the_keeper(here: Project) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        fake = endpoint.Endpoint("/nowhere.s", "s", bystander.pid, 1.0, nbledger.__version__)
        endpoint.announce(here, fake)
        assert client.running(here) is None
        assert find_one(findings(here, fix=True), "is gone").fixed
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_keeper_that_does_not_answer_is_named_not_killed(here: Project) -> None:
    known = started(here)
    with contextlib.suppress(OSError):
        os.unlink(str(known.address))
    stuck = find_one(findings(here, fix=True), "does not answer")
    assert not stuck.fixed and str(known.pid) in stuck.fix
    assert known.pid in keepers(here)


def test_unreadable_line_orphan_and_waiting_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_BEING_REMOVED", 0)
    (project / ".nbledger.toml").write_text("keeper = false\n")
    here = find(project)
    scratched = waiting(here, "scratched")
    with (scratched / "events.jsonl").open("ab") as file:
        file.write(b"\x00\x00garbage\n")
    gone = {"pid": 2**22 + 1, "created": 1.0, "host": journal.host()}
    waiting(here, "orphan", owner=gone, end=False)
    waiting(here, "living", end=False)
    (journal.folder(here) / ".done-left").mkdir()

    found = findings(here)
    assert "1 damaged lines" in find_one(found, "damaged lines").text
    assert find_one(found, "its kernel is gone").severity == "problem"
    assert find_one(found, "wait to be published").fix == "nbledger flush"
    assert len(list(journal.pending(here))) == 3, "looking changes nothing"

    found = findings(here, fix=True)
    assert find_one(found, "its kernel is gone").fixed
    assert find_one(found, "waited to be published").fixed
    assert not (journal.folder(here) / ".done-left").exists()
    status = {r.info.run_name: r.info.status for r in runs(project)}
    assert status == {"scratched": "FINISHED", "orphan": "KILLED", "living": "RUNNING"}
    assert not [f for f in findings(here) if f.severity == "problem"]


def test_a_server_that_does_not_know_the_login(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "planted-password")
    no = b"You are not authenticated."  # MLflow's own answer is no JSON
    for status, said, severity, words in (
        (401, no, "problem", "does not accept your login (401)"),
        (200, b"{}", "ok", ""),
    ):
        with clouds.answering(status, said, health=200) as server:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
            found = find_one(findings(find(here.root)), f"run store {server}")
        assert found.severity == severity and words in found.text
        assert "planted" not in str(found) and ("MLFLOW_TRACKING_PASSWORD" in found.fix) == (status == 401)


def test_locked_index_is_named(here: Project) -> None:
    (here.root / ".git/index.lock").touch()
    assert "rm " in find_one(findings(here, fix=True), "index.lock").fix
    assert (here.root / ".git/index.lock").exists()


def test_a_socket_nobody_listens_on_delays_nobody(here: Project) -> None:
    """An endpoint of this version and of a living process, whose socket accepts and never answers."""
    place = endpoint.folder() / "silent.s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(1)
        me = endpoint.Endpoint(str(place), "s", os.getpid(), journal.process_started(os.getpid()), nbledger.__version__)
        endpoint.announce(here, me)
        begun = time.monotonic()
        client.notify(here)
        assert time.monotonic() - begun < 0.5
        with pytest.raises(LedgerError, match="does not answer"):
            client.ask(here, "status", timeout=0.5)


def test_in_a_notebook_the_keeper_tries_the_data_remote(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the keeper that pushes what a notebook asks for, with the environment that it was started in."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    place = here.root / ".dvc" / "config"
    place.write_text(
        "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://b/x\n    endpointurl = http://127.0.0.1:9\n"
    )
    started(here)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SETINACELLLATER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-in-a-cell")
    assert find_one(findings(here), "credential for S3").severity == "ok"
    found = doctor.examine(here, pushes=True)
    assert find_one(found, "no credential for S3 was found").severity == "problem"
    assert "without what a cell set" in find_one(found, "the keeper pushes").text
    assert "planted" not in repr(found)


def test_a_journal_that_is_just_being_made_is_no_failure_and_not_put_off(here: Project) -> None:
    """A run's folder is there a moment before its first event: the keeper was to look at it again at once, not seconds later."""

    def recorded(name: str) -> None:
        run = recorder.start(here, recorder.Plan(name=name, journal_id=name * 32))
        run.outcome("FINISHED")
        run.end()
        client.notify(here)
        until(lambda: not run.journal.path.exists())

    started(here)
    recorded("a")  # the keeper publishes
    path = here.state / "journals" / ("b" * 32)
    path.mkdir()
    for _ in range(3):
        client.notify(here)
        time.sleep(0.5)
    shutil.rmtree(path)
    recorded("b")
    assert "WARNING" not in (here.state / "keeper.log").read_text()
    assert [found.info.status for found in runs(here.root)] == ["FINISHED", "FINISHED"]
