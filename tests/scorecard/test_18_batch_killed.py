"""A batch of 50 tiny notebooks (every fifth writes a file, one fails by itself) runs two at a time; its runner is killed with
SIGKILL at 10 random moments, a few notebooks apart, and each time `nbledger run --resume` goes on.

The batch keeps a journal of its own, and the executed notebook is written before its run is closed. After each kill no
kernel is left computing; what had finished stays as it is, byte for byte, and is not run again; what was cut short is
KILLED and runs again. In the end plain MLflow shows one parent run, exactly one FINISHED child for each good notebook, one
FAILED for the bad one, none RUNNING. The plain way is a shell loop over `papermill`, the notebooks calling
`mlflow.start_run`, killed once and started again.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from batches import RUN, none_left, notebook
from ledger import client, runs

BAD = 3
_ENDED = re.compile(r"^\[\d+/\d+\] (n\d\d): (finished|failed), ", re.MULTILINE)
_BEGUN = re.compile(r"^\[\d+/\d+\] (n\d\d): cell 2/2 ", re.MULTILINE)


def test_each_is_resumed_or_marked(
    project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    books, kills = count(50, 6), count(10, 2)
    names = [f"n{number:02}" for number in range(books)]
    for number, name in enumerate(names):
        writes = f"open('{name}.txt', 'w').write('{name}' * 1000)" if number % 5 == 0 else "number = 1"
        notebook(
            project / f"books/{name}.ipynb",
            writes,
            "1 / 0" if number == BAD else f"import time; time.sleep(0.3)\nprint('{name} is done')",
        )
    dice = random.Random(18)
    words = [f"books/{name}.ipynb" for name in names] + ["--output", "out", "--no-html"]
    kept: dict[Path, bytes] = {}
    begun, ended = Counter[str](), Counter[str]()
    slowest = 0.0
    for kill in range(kills):
        after = dice.randint(1, max(1, (books - 4) // kills))
        said = _killed(project, words if kill == 0 else ["--resume"], after, dice, in_a_cell=kill % 2 == 1)
        slowest = max(slowest, none_left(project))
        begun.update(_BEGUN.findall(said))
        ended.update(name for name, _ in _ENDED.findall(said))
        for path, before in kept.items():
            assert path.read_bytes() == before
        kept |= {path: path.read_bytes() for name, _ in _ENDED.findall(said) for path in _made(project, name)}
    last = subprocess.run(
        [*RUN, "--resume", "--jobs", "2", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert last.returncode == 1, last.stderr
    begun.update(_BEGUN.findall(last.stderr))
    ended.update(name for name, _ in _ENDED.findall(last.stderr))
    report = json.loads(last.stdout)
    assert Counter(row["status"] for row in report["notebooks"]) == {"FINISHED": books - 1, "FAILED": 1}

    assert all(number == 1 for number in ended.values()), ended  # nothing that had ended was run again
    for path, before in kept.items():
        assert path.read_bytes() == before
    for number, name in enumerate(names):
        book = nbformat.read(project / f"out/{name}.ipynb", 4)
        nbformat.validate(book)
        assert book.cells[1].outputs[0].get("ename", book.cells[1].outputs[0].get("text")) == (
            "ZeroDivisionError" if number == BAD else f"{name} is done\n"
        )
    assert len(list((project / "out").iterdir())) == books

    found = runs(project)
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.info.run_name, parent.info.status, parent.info.run_id) == ("batch", "FAILED", report["run_id"])
    children = [run for run in found if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    statuses = {name: Counter(run.info.status for run in children if run.info.run_name == name) for name in names}
    for number, name in enumerate(names):
        final, other = ("FAILED", "FINISHED") if number == BAD else ("FINISHED", "FAILED")
        assert statuses[name][final] == 1 and not statuses[name][other], (name, statuses[name])
        assert statuses[name].keys() <= {final, "KILLED"}
        assert sum(statuses[name].values()) >= begun[name]  # whatever was executed is there
    assert Counter(run.info.status for run in children)["RUNNING"] == 0
    slowest = max(slowest, none_left(project))
    cut = sum(number["KILLED"] for number in statuses.values())
    assert cut or kills < 10  # of two kills both may fall where no run is open
    seen(
        f"{kills} kills: {books - 1} of {books - 1} good notebooks finished exactly once, {cut} cut short are KILLED, "
        f"the bad one FAILED, none RUNNING; {len(kept)} finished files unchanged; kernels gone after {slowest:.1f} s"
    )


def _killed(root: Path, words: list[str], after: int, dice: random.Random, *, in_a_cell: bool) -> str:
    """Run until ``after`` notebooks have ended and a random moment more, or a moment after the next cell has begun; kill the
    runner; what it had said.
    """
    said = root.parent / "said"
    with open(said, "w") as stream:
        process = subprocess.Popen([*RUN, *words, "--jobs", "2"], cwd=root, stdout=subprocess.DEVNULL, stderr=stream)
    deadline = time.monotonic() + 240
    while len(_ENDED.findall(said.read_text())) < after:
        assert time.monotonic() < deadline and process.poll() is None, said.read_text()
        time.sleep(0.01)
    while in_a_cell and set(_BEGUN.findall(text := said.read_text())) - {f"n{BAD:02}"} <= {
        name for name, _ in _ENDED.findall(text)
    }:
        assert time.monotonic() < deadline and process.poll() is None, said.read_text()
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.2 if in_a_cell else 2.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return said.read_text()


def _made(root: Path, name: str) -> list[Path]:
    made = [root / f"out/{name}.ipynb", root / f"books/{name}.txt"]
    return [path for path in made if path.exists()]


def test_plain_loop_over_papermill(project: Path, plain: Callable[[bool, str], None]) -> None:
    code = "import mlflow\nmlflow.set_tracking_uri('sqlite:///../mlflow.db')\nrun = mlflow.start_run(run_name='{name}')"
    waits = "import os, time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.1)"
    names = ("first", "second")
    for name in names:
        body = waits if name == "second" else "x = 1"
        notebook(project / f"books/{name}.ipynb", code.format(name=name), body, "mlflow.end_run()")
    (project / "out").mkdir()
    loop = 'for book in first second; do papermill --no-progress-bar --cwd books "books/$book.ipynb" "out/$book.ipynb"; done'
    process = subprocess.Popen(
        ["bash", "-c", loop], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 200
    while not (project / "books/begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(5)
    left = Counter(f"{run.info.run_name} {run.info.status}" for run in _runs(project))
    (project / "books/go").touch()
    subprocess.run(["bash", "-c", loop], cwd=project, capture_output=True, check=False, timeout=240)
    final = Counter(f"{run.info.run_name} {run.info.status}" for run in _runs(project))
    holds = final == {"first FINISHED": 1, "second FINISHED": 1, "second KILLED": 1}
    told = ", ".join(f"{number} × {what}" for what, number in sorted(final.items()))
    running = left["second RUNNING"]
    plain(holds, f"after the kill {running} RUNNING; the loop begins from the start: {told}")


def _runs(root: Path) -> list[Any]:
    api = client(f"sqlite:///{root / 'mlflow.db'}")
    return list(api.search_runs([e.experiment_id for e in api.search_experiments()]))
