"""`nbledger reproduce` is ended by SIGKILL, 20 times at random moments and at system calls of its own process that change files
of the project (strace injection, spread evenly), and once by Ctrl-C.

Nothing of the main tree moves; the kernel ends with its parent; `nbledger doctor --fix` takes away what is half-made (it was
written down before it was made): no work tree, no entry in Git, no folder, no lock, no journal. The next reproduction gives
the same verdict. The plain way is a script of `git worktree add`, `dvc checkout` and `jupyter nbconvert --execute`.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest

import kills
import ledger
from conftest import commit_all, dvc, git
from kernels import kernel
from nbledger.core.project import find
from nbledger.keeper import doctor
from nbledger.keeper.reproduce import Wanted, reproduce
from snap import Snap, check_same

pytestmark = pytest.mark.timeout(1200)  # in full, on a busy machine

CLI = (sys.executable, "-m", "nbledger.cli", "reproduce", "slow", "--times", "2")


@pytest.fixture
def recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one run that takes a moment; its tree is dirty, its data in a folder."""
    monkeypatch.setattr(
        doctor, "_BEING_REMOVED", 0.0
    )  # as if the minute had passed in which others may still be at work
    (project / "data").mkdir()
    (project / "data/a.csv").write_text("1\n2\n")
    (project / "lib.py").write_text("def f(x): return x\n")
    commit_all(project)
    with kernel(project) as k:
        for cell in (
            "%track_data data",
            "import time, lib\nrows = open('data/a.csv').read().split()",
            "%%mlrun slow -m total\ntime.sleep(0.2)\ntotal = lib.f(sum(map(int, rows)))\nopen('out.txt', 'w').write('x')",
        ):
            assert k.run(cell).status == "ok"
    ledger.flush(project)
    (project / "lib.py").write_text("def f(x): return 2 * x\n")
    assert again(project) == "identical"
    return project


def again(project: Path) -> str | None:
    return reproduce(find(project), "slow", Wanted(record=False)).verdict


def ours(project: Path) -> list[psutil.Process]:
    """Processes that execute a run of this project again."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("NBLEDGER_SCRATCH", "").startswith(f"{project}/"):
                found.append(process)
    return found


def check_nothing_left(project: Path, before: Snap) -> None:
    """Nothing moved; the kernel is gone by itself; after ``doctor --fix`` nothing is left."""
    check_same(before, Snap.take(project))
    deadline = time.monotonic() + 30
    while ours(project):
        assert time.monotonic() < deadline, "a kernel lives on"
        time.sleep(0.05)
    state = project / ".nbledger"
    doctor.examine(find(project), fix=True)
    left = [p for name in ("reproduced", "reproductions", "journals", "tmp") for p in (state / name).glob("*")]
    left += [p for p in (state / "journals").glob(".*") if p.is_dir()]
    left += [*state.glob(".*.tmp"), *(project / ".git" / "worktrees").glob("*"), *(project / ".git").rglob("*.lock")]
    assert left == []
    assert git(project, "worktree", "list").count("\n") == 0
    check_same(before, Snap.take(project))


def test_killed_and_interrupted(
    recorded: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    before = Snap.take(recorded)
    interrupted_in_one_line(recorded, before)
    moments, halfway = killed_at_random_moments(recorded, before, count(20, 1))
    assert again(recorded) == "identical"
    kills_done, calls = killed_at_system_calls(recorded, before, tmp_path / "log", count(14, 2))
    assert again(recorded) == "identical"
    seen(
        f"{moments} of {moments} kills at random moments ({halfway} of them in the midst of it), {kills_done} of "
        f"{kills_done} at changing system calls (of {calls}), Ctrl-C in one line: nothing moved, nothing left"
    )


def killed_at_random_moments(project: Path, before: Snap, many: int) -> tuple[int, int]:
    """Kill ``many``; (kills, those that left something half-made)."""
    chance = random.Random(30)
    begun = time.monotonic()
    subprocess.run(CLI, cwd=project, check=True, capture_output=True, timeout=240)
    whole = time.monotonic() - begun
    halfway = 0
    for _ in range(many):
        process = subprocess.Popen(CLI, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.1, 0.95) * whole)
        process.kill()
        process.wait()
        halfway += bool(list((project / ".nbledger" / "reproductions").glob("*")))
        check_nothing_left(project, before)
    return many, halfway


def killed_at_system_calls(project: Path, before: Snap, log: Path, most: int) -> tuple[int, int]:
    """Kill at calls that change files of the project, spread evenly; (kills, such calls)."""
    found = kills.calls(CLI, project, log, only=re.escape(str(project)))
    assert len(found) > 20
    check_nothing_left(project, before)
    killed = 0
    chosen = kills.spread(found, most)
    for call in chosen:
        killed += kills.killed_at(call, CLI, project)
        check_nothing_left(project, before)
    assert killed >= 0.5 * len(chosen)  # a run may take another way
    return killed, len(found)


def interrupted_in_one_line(project: Path, before: Snap) -> None:
    """Ctrl-C, as a terminal does it: to all of the foreground."""
    process = subprocess.Popen(
        CLI, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said = line
        if "%%mlrun slow" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.strip() == "nbledger: interrupted", said + rest  # below the ^C of a terminal
    check_nothing_left(project, before)


def test_plain_script(folder: Path, project: Path, plain: Callable[[bool, str], None]) -> None:
    (project / "data.csv").write_text("1\n")
    dvc(project, "add", "-q", "data.csv")
    cell = nbformat.v4.new_code_cell("import time; time.sleep(30)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), project / "n.ipynb")
    commit_all(project)
    dvc(project, "config", "cache.dir", str(project / ".dvc" / "cache"))
    commit_all(project)
    script = (
        "git worktree add -q --detach ../again HEAD && cd ../again && python -m dvc checkout -q && "
        "jupyter nbconvert --to notebook --execute n.ipynb --output out.ipynb"
    )
    process = subprocess.Popen(["sh", "-c", script], cwd=project, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(_kernels(project.parent / "again")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = git(project, "worktree", "list").count("\n")
    again = subprocess.run(["sh", "-c", script], cwd=project, capture_output=True, text=True, timeout=120)
    plain(not left and again.returncode == 0, f"the work tree is left; the script again: {again.stderr.strip()[:80]}")


def _kernels(place: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(place) and "ipykernel_launcher" in " ".join(process.cmdline()):
                yield process
