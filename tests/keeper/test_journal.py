"""Promise 6: what a journal was told is kept, whatever is torn, killed or repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import git
from ledger import client, flush, runs, uri
from nbledger.core import trust
from nbledger.core.project import Project, find
from nbledger.keeper import journal, publish, recorder
from nbledger.keeper.journal import Journal

GONE = {"pid": 2**22 + 1, "created": 1.0}


@pytest.fixture
def here(project: Path) -> Project:
    (project / ".nbledger.toml").write_text("keeper = false\nexperiment = 'journal'\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "No keeper")
    found = find(project)
    trust.trust(found)  # as any recorded run does
    return found


def record(here: Project, name: str, points: int = 5, *, end: bool = True, **plan: object) -> Path:
    """A journal as the kernel writes it."""
    recording = recorder.start(here, recorder.Plan(name=name, params={"n": points}, **plan))  # type: ignore[arg-type]
    for step in range(points):
        recording.log(step, {"loss": step / 7})
    if end:
        recording.outcome("FINISHED")
        recording.end()
    else:
        recording.journal.close()
    return recording.journal.path


def dead() -> dict[str, object]:
    return {**GONE, "host": journal.host()}


def history(here: Project, name: str, key: str = "loss") -> list[tuple[int, float]]:
    (found,) = [r for r in runs(here.root) if r.info.run_name == name]
    return [(m.step, m.value) for m in client(uri(here.root)).get_metric_history(found.info.run_id, key)]


def test_round_trip(here: Project) -> None:
    path = record(here, "whole")
    assert publish.flush(here) == (0, [])
    assert not path.exists()
    assert list(journal.pending(here)) == []
    assert history(here, "whole") == [(n, n / 7) for n in range(5)]


def test_a_torn_last_line_waits_and_is_read_when_whole(here: Project) -> None:
    path = record(here, "torn", end=False)
    events = path / "events.jsonl"
    size = events.stat().st_size
    with events.open("ab") as file:
        file.write(b'{"t":"metric","at":1,"k":"late","v":1')
    reading = journal.read(path)
    assert reading.offset == size and reading.damaged == 0
    with events.open("ab") as file:
        file.write(b'.5,"s":0}\n')
    (late,) = journal.read(path, reading.offset).events
    assert late["v"] == 1.5


def test_a_torn_last_line_of_a_dead_kernel_costs_only_itself(here: Project) -> None:
    path = record(here, "cut", end=False, owner=dead())
    with (path / "events.jsonl").open("ab") as file:
        file.write(b'{"t":"metric","at":1,"k":"la')
    assert publish.flush(here) == (0, [])
    (found,) = runs(here.root)
    assert found.info.status == "KILLED"
    assert history(here, "cut") == [(n, n / 7) for n in range(5)]
    assert "1 line of the journal could not be read" in found.data.tags["nbledger.notices"]


@pytest.mark.parametrize("bad", [b"\xff\xfe garbage\0\n", b"{}\n", b"[1]\n", b'"text"\n', b"null\n", b"\n", b'{"t":'])
def test_an_unreadable_line_is_told_and_the_others_are_kept(here: Project, bad: bytes) -> None:
    path = record(here, "scratched")
    lines = (path / "events.jsonl").read_bytes().splitlines(keepends=True)
    metrics = [n for n, line in enumerate(lines) if b'"metric"' in line]
    lines.insert(metrics[2], bad)
    (path / "events.jsonl").write_bytes(b"".join(lines))
    whole = bad.endswith(b"\n")
    assert journal.read(path).damaged == 1
    assert publish.flush(here) == (0, [])
    assert history(here, "scratched") == [(n, n / 7) for n in range(5) if whole or n != 2]
    (found,) = runs(here.root)
    assert "could not be read" in found.data.tags["nbledger.notices"]


def test_an_unreadable_start_is_not_called_published(here: Project) -> None:
    path = record(here, "headless")
    lines = (path / "events.jsonl").read_bytes().splitlines(keepends=True)
    (path / "events.jsonl").write_bytes(b"\0" * 40 + b"\n" + b"".join(lines[1:]))
    left, reasons = publish.flush(here)
    assert left == 1 and "start of journal" in reasons[0]
    assert path.exists()


def test_orphans_are_closed_and_the_living_are_not(here: Project) -> None:
    record(here, "dead", end=False, owner=dead())
    record(here, "alive", end=False)
    record(here, "elsewhere", end=False, owner={**GONE, "host": "another-machine/boot"})
    record(here, "before the reboot", end=False, owner={**journal.owner(), "host": f"{_hostname()}/older-boot"})
    assert publish.flush(here) == (0, [])
    status = {r.info.run_name: r.info.status for r in runs(here.root)}
    assert status == {"dead": "KILLED", "alive": "RUNNING", "elsewhere": "RUNNING", "before the reboot": "KILLED"}


def _hostname() -> str:
    return journal.host().split("/")[0]


def test_an_orphan_whose_cell_had_failed_keeps_its_outcome(here: Project) -> None:
    recording = recorder.start(here, recorder.Plan(name="nearly", owner=dead()))
    recording.outcome("FAILED", "ValueError: x")
    recording.journal.close()
    publish.flush(here)
    assert [r.info.status for r in runs(here.root)] == ["FAILED"]


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        who = {"pid": child.pid, "created": journal.process_started(child.pid), "host": journal.host()}
        assert journal.alive(who)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not journal.alive(who)


def test_a_journal_without_a_start_is_no_run(here: Project) -> None:
    made = Journal.create(here, journal.new_id())
    made.close()
    assert publish.flush(here) == (0, [])
    assert made.path.exists(), "its kernel may be about to write"


def test_a_journal_that_vanishes_meanwhile_is_no_error(here: Project) -> None:
    paths = [record(here, f"n{n}", 1) for n in range(3)]
    listing = journal.pending(here)
    first = next(listing)
    for path in paths:
        if path != first:
            journal.remove(path)
    assert publish.publish(here, first)
    for path in listing:
        assert publish.publish(here, path)


def test_threads_do_not_mix_their_lines(here: Project) -> None:
    from concurrent.futures import ThreadPoolExecutor

    recording = recorder.start(here, recorder.Plan(name="threads"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: [recording.log(i, {f"m{n}": i}) for i in range(200)], range(8)))
    recording.end()
    reading = journal.read(recording.journal.path)
    assert reading.damaged == 0
    assert sum(e["t"] == "metric" for e in reading.events) == 1600


def test_killed_between_creation_and_note_makes_one_run(here: Project) -> None:
    """The run exists and ``state.json`` does not know it yet: it is found again, not made twice."""
    path = record(here, "once")
    state = path / "state.json"
    begun = journal.read(path).events[0]
    from nbledger.core import mlflow, mlflow_write

    api = mlflow.client(here)
    experiment = mlflow.experiment_id(api, here, begun["experiment"], begun["uri"])
    mlflow_write.create_run(api, begun["uri"], experiment, path.name, "once", begun["at"], {})
    state.write_text(json.dumps({"creating": True}))
    assert publish.flush(here) == (0, [])
    assert len(runs(here.root)) == 1
    assert history(here, "once") == [(n, n / 7) for n in range(5)]


def holds(pid: int, path: Path) -> bool:
    """Whether that process has begun to publish the journal."""
    try:
        return (path / "publish.lock").read_text() == str(pid)
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_publisher_killed_ten_times_in_a_run_of_3000_metrics(here: Project) -> None:
    """One run, every point, none twice, whenever SIGKILL comes."""
    path = record(here, "long", 3000)
    chance = random.Random()
    program = "import sys; from nbledger.cli import main; sys.exit(main(['flush']))"
    deaths = 0
    while deaths < 10 and path.exists():
        publisher = subprocess.Popen([sys.executable, "-c", program], cwd=here.root, stdout=subprocess.PIPE, text=True)
        begun = time.monotonic()
        while publisher.poll() is None and time.monotonic() - begun < 60 and not holds(publisher.pid, path):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.3)
        if publisher.poll() is None:
            publisher.kill()
            deaths += 1
        publisher.communicate()
    assert deaths > 0
    assert "is published" in flush(here.root)
    assert not path.exists()
    (found,) = runs(here.root)
    assert found.info.status == "FINISHED"
    assert sorted(history(here, "long")) == [(n, n / 7) for n in range(3000)]
    kept = json.loads(
        Path(client(uri(here.root)).download_artifacts(found.info.run_id, "nbledger/manifest.json")).read_text()
    )
    assert len(kept["metrics"]["loss"]) == 3000
    assert git(here.root, "for-each-ref", "--format=%(refname)", "refs/nbledger") == (
        f"refs/nbledger/runs/{found.info.run_id}"
    )


def test_a_killed_writer_loses_no_acknowledged_line(here: Project, tmp_path: Path) -> None:
    program = """
import sys
from nbledger.core.project import find
from nbledger.keeper import recorder
recording = recorder.start(find(), recorder.Plan(name="shot"))
for n in range(10**9):
    recording.log(n, {"loss": n / 7})
    if n % 100 == 0:
        print(n, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=here.root, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    told = 0
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5 or not told:
        told = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    said = writer.communicate()[0].split()
    told = int(said[-1]) if said else told
    (path,) = journal.pending(here)
    reading = journal.read(path)
    steps = [e["s"] for e in reading.events if e["t"] == "metric"]
    assert steps == list(range(len(steps))) and len(steps) > told
    assert publish.orphaned(path)


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_a_flipped_bit_anywhere_costs_at_most_the_lines_it_touches(here: Project) -> None:
    """Nothing is read that was not written, and all else is: of 2,000 bits, wherever they are."""
    path = record(here, "flips", 20)
    events = path / "events.jsonl"
    whole, written = events.read_bytes(), journal.read(path).events
    chance = random.Random(5)
    for bit in chance.sample(range(8 * (len(whole) - 1)), 2000):  # without the last newline the last line is torn
        events.write_bytes(flipped(whole, bit))
        reading = journal.read(path)
        assert all(event in written for event in reading.events)
        assert len(reading.events) >= len(written) - 2 and (reading.damaged or reading.events == written)


def test_lines_without_a_checksum_are_read(here: Project) -> None:
    """As versions before this one wrote them; a line that lacks what its type has is damaged."""
    path = record(here, "old")
    events = path / "events.jsonl"
    written = journal.read(path).events
    old = [json.dumps(event).encode() for event in written]
    events.write_bytes(b"\n".join([*old[:-1], b'{"t":"metric","at":1,"j":"loss","v":1.0,"s":0}', old[-1], b""]))
    reading = journal.read(path)
    assert reading.events == written and reading.damaged == 1
    assert publish.flush(here) == (0, [])
    assert history(here, "old") == [(n, n / 7) for n in range(5)]


@pytest.mark.parametrize("damage", ["removed", "emptied", "garbage", "a bit"])
def test_a_lost_state_doubles_nothing(here: Project, damage: str) -> None:
    recording = recorder.start(here, recorder.Plan(name="once", params={"n": 1}))
    for step in range(5):
        recording.log(step, {"loss": step / 7})
    path = recording.journal.path
    assert publish.publish(here, path) is False
    state = path / "state.json"
    known = state.read_bytes()
    for _ in range(3):
        if damage == "removed":
            state.unlink()
        else:
            place = 8 * known.index(b'"offset":') + 8 * 10
            state.write_bytes({"emptied": b"", "garbage": b"\0" * 99}.get(damage) or flipped(known, place))
            assert journal.load_state(path) == {}
        assert publish.publish(here, path) is False
    recording.log(5, {"loss": 5 / 7})
    recording.outcome("FINISHED")
    recording.end()
    assert publish.flush(here) == (0, [])
    assert len(runs(here.root)) == 1
    assert history(here, "once") == [(n, n / 7) for n in range(6)]


def test_a_damaged_start_is_known_from_the_state(here: Project) -> None:
    recording = recorder.start(here, recorder.Plan(name="headless", owner=dead()))
    path = recording.journal.path
    assert publish.publish(here, path) is False
    recording.journal.close()
    events = path / "events.jsonl"
    events.write_bytes(flipped(events.read_bytes(), 300))
    assert publish.orphaned(path)
    assert publish.flush(here) == (0, [])
    (found,) = runs(here.root)
    assert found.info.status == "KILLED" and "could not be read" in found.data.tags["nbledger.notices"]


def test_a_damaged_index_of_what_was_published(here: Project) -> None:
    """A torn or damaged line is no answer, spoils no other, and the parent of a run is then asked of the store."""
    parent = record(here, "parent")
    publish.flush(here)
    index = here.state / "published.jsonl"
    known = index.read_bytes()
    run_id = publish.run_id_of(here, parent.name)
    assert run_id is not None
    for bad in (b"", known[:-20], b"17\n", b"\xff\xfe\n", flipped(known, 8 * known.index(run_id.encode()))):
        index.write_bytes(bad)
        assert publish.run_id_of(here, parent.name) is None
    index.write_bytes(json.dumps([parent.name, run_id]).encode() + b"\n")
    assert publish.run_id_of(here, parent.name) == run_id
    index.write_bytes(known[:-20])
    child = record(here, "child", parent=parent.name)
    assert publish.flush(here) == (0, [])
    assert publish.run_id_of(here, child.name) is not None
    found = {r.info.run_name: r for r in runs(here.root)}
    assert found["child"].data.tags["mlflow.parentRunId"] == run_id


def test_a_locked_database_is_tried_again(here: Project) -> None:
    """Another program holds SQLite's write lock longer than one attempt waits."""
    import sqlite3
    import threading

    record(here, "first")
    assert publish.flush(here) == (0, [])
    record(here, "second")
    held = sqlite3.connect(here.state / "mlflow.db", isolation_level=None, check_same_thread=False)
    held.execute("begin exclusive")
    release = threading.Timer(21.0, held.rollback)
    release.start()
    assert publish.flush(here) == (0, [])
    release.join()
    held.close()
    assert len(runs(here.root)) == 2


def test_an_orphan_that_had_finished_is_killed_and_says_why(here: Project) -> None:
    recording = recorder.start(here, recorder.Plan(name="nearly", owner=dead()))
    recording.outcome("FINISHED")
    recording.journal.close()
    publish.flush(here)
    (found,) = runs(here.root)
    assert found.info.status == "KILLED" and "the cell had finished" in found.data.tags["nbledger.notices"]
