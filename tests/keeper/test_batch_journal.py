"""A batch's plan, its journal, and what is left to run: what a runner had noted when it was killed, at whichever line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batches import notebook, run
from ledger import runs
from nbledger.core.batch import Attempt, Batch, Options, decide, folded, plan
from nbledger.keeper import batches, frames

# The batch's lines: plan, runner, parent, parent-begun, and begun and ended of each notebook, closed.
_KILLED = """
import os, signal, sys
from nbledger.cli import main
from nbledger.keeper.batches import Book

write, count = Book.write_all, 0

def killed(book, events):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    write(book, events)

Book.write_all = killed
main(["run", "--trust", "--no-html", "one.ipynb", "two.ipynb"])
"""


@pytest.mark.slow
def test_a_failure_that_was_not_noted_is_not_run_again(project: Path) -> None:
    notebook(project / "one.ipynb", "1 / 0")
    notebook(project / "two.ipynb", "print('two')")
    done = subprocess.run([sys.executable, "-c", _KILLED, "6"], cwd=project, capture_output=True, check=False)
    assert done.returncode == -9
    again = run(project, "--resume", code=1)
    assert "one: begins" not in again.stderr and "a cell failed; its run says which" in again.stdout
    assert [(r.info.run_name, r.info.status) for r in runs(project)] == [
        ("batch", "FAILED"),
        ("one", "FAILED"),
        ("two", "FINISHED"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("line", [4, 6, 9])
def test_killed_before_a_line_is_written(project: Path, line: int) -> None:
    """The parent's run has begun, or a notebook's run has finished, or all has, and nothing says so."""
    for name in ("one", "two"):
        notebook(project / f"{name}.ipynb", f"print('{name}')")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(line)], cwd=project, capture_output=True, check=False)
    assert done.returncode == -9
    again = run(project, "--resume")
    assert ("one: begins" in again.stderr, "two: begins" in again.stderr) == (line == 4, line < 9)
    parent, *children = runs(project)
    assert [(r.info.run_name, r.info.status) for r in (parent, *children)] == [
        ("batch", "FINISHED"),
        ("one", "FINISHED"),
        ("two", "FINISHED"),
    ]
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}


def test_labels_tell_notebooks_apart() -> None:
    tables = [{}]
    books = [(path, "") for path in ("a.ipynb", "x/b.ipynb", "y/b.ipynb")]
    assert [task.label for task in plan(books, tables)] == ["a", "x/b", "y/b"]
    twice = plan([("a.ipynb", ""), ("a-1.ipynb", "")], [{}, {}], output="out")
    assert len({task.label for task in twice}) == len({task.output for task in twice}) == 4


def test_what_a_resume_runs() -> None:
    def known(*attempts: tuple[str | None, str, bool]) -> Batch:
        (task,) = plan([("n.ipynb", "old")], [{}])
        made = tuple(Attempt("j", digest, status, cut=cut) for status, digest, cut in attempts)
        return Batch("id", "n", 0, Options(), (task,), {0: made})

    never, half = known(), known((None, "old", False))
    done, bad = known(("FINISHED", "old", False)), known(("FAILED", "old", False))
    late, cut = known(("KILLED", "old", False)), known(("KILLED", "old", True), ("KILLED", "old", True))

    def todo(batch: Batch, now: str | None = "old", retries: int = 0, *, failed: bool = False) -> bool:
        return decide(batch, {"n.ipynb": now}, retries=retries, failed=failed).todo == (0,)

    assert all(map(todo, (never, half, late, cut))) and not todo(done) and not todo(bad)
    assert todo(bad, "new") and todo(bad, failed=True) and todo(bad, retries=1) and not todo(bad, None)
    assert not todo(done, "new", 5, failed=True)
    assert decide(done, {"n.ipynb": "new"}, retries=0).stale == (0,)
    assert decide(never, {"n.ipynb": "new"}, retries=0).edited == (0,)
    assert decide(bad, {"n.ipynb": "old"}, retries=0).failed == (0,)


def test_a_torn_or_damaged_line_is_left_out(tmp_path: Path) -> None:
    head = {"t": "batch", "id": "x", "name": "n", "options": {}, "at": 1}
    task = {"t": "task", "number": 0, "notebook": "n.ipynb", "digest": "d", "name": "n", "label": "n"}
    begun = {"t": "begun", "number": 0, "journal": "j", "digest": "d"}
    ended = {"t": "ended", "number": 0, "journal": "j", "status": "FINISHED"}
    lines = [frames.sealed(line) for line in (head, task, {"t": "planned", "tasks": 1}, begun, ended)]
    place = tmp_path / "0123abcd"
    place.mkdir()
    whole = b"".join(lines)
    damaged = whole.replace(b"FINISHED", b"FINISHEX")
    for text, status in ((whole, "FINISHED"), (whole[:-5], None), (damaged, None)):
        (place / "journal.jsonl").write_bytes(text)
        events = [e for line in text.splitlines() if (e := frames.opened(line)) is not None]
        found = folded(events)
        assert found is not None and found.planned and found.status(0) == status
    (place / "journal.jsonl").write_bytes(whole[:-5])
    book = batches.Book(place)
    book.write("ended", number=0, journal="j", status="KILLED")
    book.close()
    last = (place / "journal.jsonl").read_bytes().splitlines()[-1]
    assert (frames.opened(last) or {})["status"] == "KILLED"
