"""A team's servers and the network between break in the middle of push, pull and runs: everything goes on afterwards, and
nothing is lost or doubled.

The moments are chosen by what passes the wire: a request is lost, or its answer, or it is cut off in its middle.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import wiredoffice
from conftest import stop_keepers
from forked import shared
from team import Person
from wiredoffice import Wired

FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 600)]

Fault = tuple[str, Callable[[Wired], object], Callable[[Wired], object]]
"""What it is called, what is done, and how that is mended."""
MLFLOW_KILLED: Fault = "MLflow's server is killed", lambda w: w.office.mlflow.stop(), lambda w: w.office.mlflow.start()
POSTGRES_KILLED: Fault = "PostgreSQL crashes", lambda w: w.office.database.stop(), lambda w: w.office.database.start()
S3_KILLED: Fault = "the S3 server is killed", lambda w: w.office.s3.stop(), lambda w: w.office.s3.start()
GIT_KILLED: Fault = "Git's server is killed", lambda w: w.office.git.stop(), lambda w: w.office.git.start()
S3_CUT: Fault = "the network to S3 is cut", lambda w: w.s3.cut(), lambda w: w.s3.mend()
GIT_CUT: Fault = "the network to Git is cut", lambda w: w.git.cut(), lambda w: w.git.mend()
MLFLOW_CUT: Fault = "the network to MLflow is cut", lambda w: w.mlflow.cut(), lambda w: w.mlflow.mend()


@pytest.fixture(scope="module")
def wired() -> Wired:
    return wiredoffice.opened()


def attempt(person: Person, *words: str) -> tuple[int, str]:
    """Exit code and words of a command that may fail, but not with a traceback."""
    process = person.start(*words)
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    return process.returncode, f"{out}\n{err}"


# ── push and pull ────────────────────────────────────────────────────────────────────────────────────────


def a_days_work(person: Person, number: int) -> dict[str, bytes]:
    """New bytes in a tracked folder and a large file, a commit that takes a while to send, and a run's snapshot."""
    chance, root = random.Random(number), person.root
    (root / "images").mkdir(exist_ok=True)
    data = {f"images/{n}.bin": chance.randbytes(50_000) for n in range(8)} | {"large.bin": chance.randbytes(600_000)}
    for name, content in data.items():
        (root / name).write_bytes(content)
    (root / "noise.txt").write_text(chance.randbytes(150_000).hex())
    person.ledger("track", "images", "large.bin", "-m", f"Day {number}")
    person.git("add", "noise.txt")
    person.git("commit", "-qm", f"Noise of day {number}")
    person.git("update-ref", f"refs/nbledger/runs/{number:032x}", "HEAD")
    return data


PUT, RECEIVE = b"PUT ", b"POST /ledger.git/git-receive-pack"
GET, UPLOAD = b"GET /ledger/data/files", b"POST /ledger.git/git-upload-pack"
PUSHES: list[tuple[Fault, bytes, int, bool]] = [
    (S3_KILLED, PUT, 300_000, False),
    (GIT_CUT, RECEIVE, 60_000, False),
    *(((S3_CUT, PUT, 0, True), (S3_CUT, PUT, 500_000, False), (S3_CUT, PUT, 900_000, True)) if FULL else ()),
    *(
        ((GIT_KILLED, RECEIVE, 0, True), (GIT_KILLED, RECEIVE, 60_000, False), (GIT_CUT, RECEIVE, 0, True))
        if FULL
        else ()
    ),
    *(((S3_KILLED, PUT, 0, False), (S3_KILLED, PUT, 700_000, True)) if FULL else ()),
]
PULLS: list[tuple[Fault, bytes, int, bool]] = [
    (GIT_KILLED, UPLOAD, 0, True),
    (S3_CUT, GET, 1500, True),
    *(((S3_KILLED, GET, 0, True), (S3_CUT, GET, 3000, False), (GIT_CUT, UPLOAD, 0, False)) if FULL else ()),
]


def test_push_goes_on_where_it_was_cut_off(wired: Wired) -> None:
    ada, bare = wired.office.person("Ada"), wired.office.git.repository
    for number, ((name, cause, mend), words, bytes_on, after) in enumerate(PUSHES, start=1):
        a_days_work(ada, number)
        wire = wired.s3 if words == PUT else wired.git
        done = wire.at(words, lambda cause=cause: cause(wired), after=after, bytes_on=bytes_on)
        code, said = attempt(ada, "push")
        assert done.wait(20), f"{name}: never came to that"
        mend(wired)
        case = f"{name}, {bytes_on} bytes on{', its answer' if after else ''}"
        assert code == 3 or (code == 0 and words == PUT), f"{case}: {code} {said}"  # DVC itself asks again, once
        assert wiredoffice.unrestorable(wired.office) == [], f"{case}: a commit is there whose data are not"
        code, said = attempt(ada, "push")
        assert code == 0, f"{case}: {said}"
        head, snapshot = ada.git("rev-parse", "HEAD"), f"refs/nbledger/runs/{number:032x}"
        there = dict(line.split()[::-1] for line in wiredoffice.asked(bare, "show-ref").splitlines())
        assert (there["refs/heads/main"], there[snapshot]) == (head, head), case
        assert wiredoffice.unrestorable(wired.office) == [], case
    assert wiredoffice.asked(bare, "fsck", "--strict") == ""


def test_pull_goes_on_where_it_was_cut_off(wired: Wired) -> None:
    ada, ben = wired.office.person("Ada"), wired.office.person("Ben")
    for number, ((name, cause, mend), words, bytes_on, after) in enumerate(PULLS, start=101):
        data = a_days_work(ada, number)
        ada.ledger("push")
        wire = wired.s3 if words == GET else wired.git
        done = wire.at(words, lambda cause=cause: cause(wired), after=after, bytes_on=bytes_on)
        code, said = attempt(ben, "pull")
        assert done.wait(20), f"{name}: never came to that"
        mend(wired)
        assert code == 3 or (code == 0 and words == GET), f"{name}: {code} {said}"
        assert ben.git("status", "--porcelain", "--untracked-files=no") == "", name
        ben.git("fsck", "--strict")
        code, said = attempt(ben, "pull")
        assert code == 0, f"{name}: {said}"
        assert ben.git("rev-parse", "HEAD") == ada.git("rev-parse", "HEAD")
        assert ben.git("rev-parse", f"refs/nbledger/runs/{number:032x}") == ada.git("rev-parse", "HEAD")
        assert {path: (ben.root / path).read_bytes() for path in data} == data, name
        assert ben.dvc("status") == "Data and pipelines are up to date."


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────

CREATE, BATCH = b"POST /api/2.0/mlflow/runs/create", b"POST /api/2.0/mlflow/runs/log-batch"
UPDATE, ARTIFACT = b"POST /api/2.0/mlflow/runs/update", b"PUT /api/2.0/mlflow-artifacts/"
MOMENTS = [(words, after) for words in (CREATE, BATCH, UPDATE, ARTIFACT) for after in (False, True)]
BREAKS: list[tuple[Fault, bytes, bool]] = (
    [(fault, *moment) for fault in (POSTGRES_KILLED, S3_KILLED, MLFLOW_CUT, MLFLOW_KILLED) for moment in MOMENTS]
    if FULL
    else [
        (MLFLOW_CUT, CREATE, True),
        (POSTGRES_KILLED, BATCH, False),
        (S3_KILLED, ARTIFACT, False),
        (MLFLOW_KILLED, UPDATE, True),
    ]
)


def settled(*people: Person, within: float = 90) -> None:
    """Wait until their keepers have published everything by themselves."""
    deadline = time.monotonic() + within
    while left := {person.name: wiredoffice.waiting(person) for person in people if wiredoffice.waiting(person)}:
        if time.monotonic() > deadline:
            logs = [(person.root / ".nbledger" / "keeper.log").read_text()[-2000:] for person in people]
            raise AssertionError(f"not published within {within} s: {left}\n" + "\n".join(logs))
        time.sleep(0.1)


def test_runs_are_published_once_whatever_breaks(wired: Wired) -> None:
    """Two keepers publish while one thing after the other breaks; nobody does anything about it but mend what broke."""
    cleo, dora = wired.office.person("Cleo"), wired.office.person("Dora")
    wiredoffice.wake(cleo, dora)
    made, count = [], 3
    for number, ((name, cause, mend), words, after) in enumerate(BREAKS):
        done = wired.mlflow.at(words, lambda cause=cause: cause(wired), after=after)
        made += wiredoffice.record(cleo, dora, first=100 * (number + 1), count=count, size=100_000)
        assert done.wait(60), f"{name}: never came to {words!r}"
        time.sleep(random.uniform(0.5, 2.0))
        mend(wired)
        settled(cleo, dora)
    there = wiredoffice.stored(wired.office.database)
    assert wiredoffice.wrong(made, there) == []
    mine = {run.run_id: run for found in there.values() for run in found if run.params.get("who") in ("Cleo", "Dora")}
    assert len(mine) == sum(len(recorded.made) for recorded in made)
    files, wanted = wiredoffice.artifacts(wired.office), {*wiredoffice.RECORD_FILES, "files/large.bin"}
    for run_id, run in mine.items():
        assert set(files[run_id]) == wanted, run.name
        large = wiredoffice.content(wired.office, files[run_id]["files/large.bin"])
        assert large == random.Random(int(run.params["n"])).randbytes(100_000), run.name


def test_a_login_that_is_refused_is_said_and_the_runs_wait(wired: Wired) -> None:
    """The keeper was started by somebody whose login was wrong; a process that has the right one tells it."""
    emil = wired.office.person("Emil")
    stop_keepers(Path(emil.env["JUPYTER_RUNTIME_DIR"]))
    right, log = emil.env["MLFLOW_TRACKING_PASSWORD"], emil.root / ".nbledger" / "keeper.log"
    emil.env["MLFLOW_TRACKING_PASSWORD"] = "not the one that it was"
    try:
        made = wiredoffice.record(emil, count=2)
        said = emil.ledger("flush", ok=False)
        assert "2 runs wait" in said and "does not know you (401)" in said, said
        deadline = time.monotonic() + 180
        while not log.exists() or "does not know you (401)" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    finally:
        emil.env["MLFLOW_TRACKING_PASSWORD"] = right
    made += wiredoffice.record(emil, first=2, count=1)
    settled(emil)
    assert wiredoffice.wrong(made, wiredoffice.stored(wired.office.database)) == []
    assert right not in log.read_text() and "not the one" not in log.read_text()


ODD = """
from pathlib import Path
from nbledger.core.project import find
from nbledger.keeper import recorder
run = recorder.start(find(Path.cwd()), recorder.Plan(name="o\\0dd", params={"a": "x\\0y", "b": "1"}, tags={"t": "\\udcff"}))
run.log(None, {"m": 1.5})
run.outcome("FINISHED")
run.end()
print(run.id)
"""


def test_what_the_database_does_not_take_costs_only_itself(wired: Wired) -> None:
    """PostgreSQL holds no NUL: the run would else wait for ever, and its server fail again and again."""
    gus = wired.office.person("Gus")
    journal = shared().run(ODD, gus.root, gus.env).out.strip()
    assert "is published" in gus.ledger("flush")
    (run,) = wiredoffice.stored(wired.office.database)[journal]
    assert (run.name, run.status, run.params) == ("o\\x00dd", "FINISHED", {"a": "x\\x00y", "b": "1"})
    assert run.tags["t"] == "\\udcff" and run.metrics == {"m": [(0, 1.5)]}
    assert "parameter 'a' holds characters that databases refuse" in run.tags["nbledger.notices"]


def test_a_slow_upload_holds_up_nobody_else(wired: Wired) -> None:
    """One run's artifact does not come through; the keeper publishes the others meanwhile."""
    fay = wired.office.person("Fay")
    fay.env["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "400"  # for her keeper: the upload is waited for
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        wired.mlflow.at(b"slow.bin", hold)  # it comes again: the server hangs up on what says nothing for some seconds
        begun.set()
        go_on.wait(400)

    wired.mlflow.at(b"slow.bin", hold)
    try:
        slow = wiredoffice.record(fay, first=7, count=1, size=50_000, large="slow.bin")
        assert begun.wait(180)
        others = wiredoffice.record(fay, first=1000, count=3)
        deadline = time.monotonic() + 180
        while len(wiredoffice.waiting(fay)) > 1:
            assert time.monotonic() < deadline, wiredoffice.waiting(fay)
            time.sleep(0.1)
        assert wiredoffice.waiting(fay) == list(slow[0].made)
    finally:
        go_on.set()
        del fay.env["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    settled(fay)
    assert wiredoffice.wrong([*slow, *others], wiredoffice.stored(wired.office.database)) == []
