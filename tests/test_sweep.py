"""Sweeps and searches by ``nbledger run``: real kernels, Optuna's own file, read back with plain MLflow and plain Optuna."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batches import RUN, answer, none_left, notebook, run
from ledger import runs
from nbledger.cli import main
from nbledger.core import kernels, sweep
from nbledger.core.project import find
from nbledger.keeper.batches import known
from nbledger.keeper.notebookrun import Job, Kept, NotebookRun

pytestmark = pytest.mark.slow

TRAIN = (("parameters", "lr, depth = 0.1, 3"), "%%mlrun fit -m accuracy\naccuracy = 1 - abs(lr - 0.05) - depth / 100")


def test_a_grid_two_at_a_time(project: Path) -> None:
    notebook(project / "train.ipynb", *TRAIN)
    said = answer(
        project, "train.ipynb", "--sweep", "lr=0.1,0.01", "--sweep", "depth=3..4", "--jobs", "2", "--output", "out",
        "--maximize", "accuracy", "--name", "tuned", "-p", "dpeth=1",
    )  # fmt: skip
    points = [{"lr": lr, "depth": depth} for lr in (0.1, 0.01) for depth in (3, 4)]
    assert [row["params"] for row in said["notebooks"]] == [{"dpeth": 1, **point} for point in points]
    (note,) = said["notes"]  # true of all, said once: of whichever of the first two came to it first
    label, _, text = note.partition(": ")
    assert label in ("train lr=0.1 depth=3", "train lr=0.1 depth=4")
    assert text == "its parameters have no 'dpeth': did you mean depth?"
    assert {row["status"] for row in said["notebooks"]} == {"FINISHED"}
    assert [row["name"] for row in said["notebooks"]][:2] == ["train lr=0.1 depth=3", "train lr=0.1 depth=4"]
    assert [row["metrics"]["accuracy"] for row in said["notebooks"]] == pytest.approx([0.92, 0.91, 0.93, 0.92])
    assert (said["swept"], said["objective"]) == (["lr", "depth"], "maximize accuracy")
    best = said["best"]
    assert (best["params"], best["value"]) == ({"lr": 0.01, "depth": 3}, pytest.approx(0.93))
    assert best["run_id"] == said["notebooks"][2]["run_id"]
    names = {f"train_lr={point['lr']}_depth={point['depth']}" for point in points}
    assert {path.name for path in (project / "out").iterdir()} == {
        f"{n}{end}" for n in names for end in (".ipynb", ".html")
    }
    recorded = {r.info.run_id: r for r in runs(project)}
    parent = recorded[said["run_id"]]
    assert (parent.info.run_name, parent.info.status) == ("tuned", "FINISHED")
    tags = parent.data.tags
    assert tags["nbledger.sweep"] == "lr=0.1,0.01 depth=3..4" and tags["nbledger.objective"] == "maximize accuracy"
    assert tags["nbledger.best"] == "accuracy 0.93 with lr=0.01 depth=3"
    assert recorded[best["run_id"]].data.tags["nbledger.journal"] == tags["nbledger.best.journal"]
    assert parent.data.metrics["best_accuracy"] == pytest.approx(0.93)
    for row in said["notebooks"]:
        child = recorded[row["run_id"]]
        assert child.data.tags["mlflow.parentRunId"] == said["run_id"]
        assert {key: child.data.params[key] for key in ("lr", "depth")} == {
            k: str(row["params"][k]) for k in ("lr", "depth")
        }


def test_a_sample_and_a_metric_that_mlflow_logged(project: Path) -> None:
    """Two points of nine, those of the seed; what MLflow itself was told is found in the store."""
    notebook(
        project / "n.ipynb",
        ("parameters", "a, b = 0, 0"),
        "%%mlrun inner\nimport mlflow\nmlflow.log_metric('cost', a * 10 + b)",
    )
    done = run(
        project,
        "n.ipynb",
        "--sweep",
        "a=1..3",
        "--sweep",
        "b=1..3",
        "--sample",
        "2",
        "--seed",
        "5",
        "--minimize",
        "cost",
    )
    points = sweep.sample(sweep.axes(["a=1..3", "b=1..3"]), 2, 5)
    (batch,) = known(find(project))
    assert [task.params for task in batch.tasks] == points
    least = min(points, key=lambda p: p["a"] * 10 + p["b"])
    value = float(least["a"] * 10 + least["b"])
    assert f"best: cost {value} with a={least['a']} b={least['b']} (run " in done.stdout
    assert done.stdout.index(f"{value:g}  finished") < done.stdout.rindex("finished  ")  # the best is the first
    parent = next(r for r in runs(project) if r.info.run_name == "batch")
    assert parent.data.tags["nbledger.search"] == "a sample of 2" and parent.data.tags["nbledger.seed"] == "5"


SEARCH = (
    "--sweep",
    "lr=1e-3..1.0:log",
    "--sweep",
    "kind=a,b",
    "--search",
    "optuna",
    "--maximize",
    "score",
    "--seed",
    "1",
)


def trials(root: Path) -> list[Any]:
    """As Optuna's own tools read the study of the only batch."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    (path,) = root.glob(".nbledger/batches/*/optuna.jsonl")
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name=path.parent.name, storage=storage).trials


def test_a_search_that_was_killed_goes_on_to_exactly_as_many_trials(project: Path) -> None:
    source = "from nbledger import log\nimport time\nlog(score=lr if kind == 'a' else -lr)\ntime.sleep(1)"
    notebook(project / "n.ipynb", ("parameters", "lr, kind, token_x = 1.0, 'a', ''"), source)
    words = ["n.ipynb", *SEARCH, "--trials", "6", "--jobs", "2", "--no-html", "-p", "api_key=s3cret-value"]
    process = subprocess.Popen([*RUN, *words], cwd=project, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _until(lambda: any(len(b.attempts) >= 4 and b.status(0) for b in known(find(project))))
    finally:
        process.kill()
        process.wait()
    none_left(project)
    asked = {task.number: task.params for task in known(find(project))[0].tasks if "lr" in task.params}
    assert len(asked) >= 4
    said = answer(project, "--resume", "-p", "api_key=s3cret-value")
    assert [row["status"] for row in said["notebooks"]] == ["FINISHED"] * 6
    rows = {row["run_id"]: row for row in said["notebooks"]}
    assert all(said["notebooks"][number]["params"] == {**point, "api_key": "***"} for number, point in asked.items())
    recorded = {r.info.run_id: r for r in runs(project) if "mlflow.parentRunId" in r.data.tags}
    assert sorted(r.info.run_id for r in recorded.values() if r.info.status == "FINISHED") == sorted(rows)
    for run_id, row in rows.items():
        point = recorded[run_id].data.params
        assert float(point["lr"]) == row["params"]["lr"] and point["kind"] == row["params"]["kind"]
        sign = 1 if row["params"]["kind"] == "a" else -1
        assert (
            recorded[run_id].data.metrics["score"]
            == row["metrics"]["score"]
            == pytest.approx(sign * row["params"]["lr"])
        )
    ended = [t for t in trials(project) if t.state.name == "COMPLETE"]
    assert sorted(t.value for t in ended) == sorted(row["metrics"]["score"] for row in rows.values())
    assert {t.state.name for t in trials(project)} <= {"COMPLETE", "FAIL"}
    assert said["best"]["value"] == max(t.value for t in ended)
    assert len({json.dumps(row["params"]) for row in rows.values()}) == 6
    assert "6 finished" in run(project, "--resume").stdout and len(recorded) <= 8
    for path in (p for p in (project / ".nbledger/batches").rglob("*") if p.is_file()):
        assert b"s3cret" not in path.read_bytes()


def test_a_hopeless_notebook_is_pruned(project: Path) -> None:
    source = (
        "import time\nfrom nbledger import log\nfor step in range(100):\n    log(score=lr * (step + 1), step=step)\n"
    )
    source += "    time.sleep(0.0 if lr > 0.5 else 0.1)"
    notebook(project / "n.ipynb", ("parameters", "lr = 1.0"), f"%%mlrun fit\n{source}", "x = lr")
    words = ["n.ipynb", "--sweep", "lr=0.9,1.0,0.001", "--maximize", "score", "--prune", "--no-html"]
    said = answer(project, *words)
    assert (said["status"], [row["status"] for row in said["notebooks"]]) == (
        "FINISHED",
        ["FINISHED", "FINISHED", "PRUNED"],
    )
    recorded = {r.info.run_id: r for r in runs(project)}
    stopped = recorded[said["notebooks"][2]["run_id"]]
    step = int(stopped.data.tags["nbledger.pruned"])
    assert stopped.info.status == "KILLED" and 0 <= step < 100
    assert said["notebooks"][2]["error"] == f"at step {step}"
    assert [
        r.info.status for r in recorded.values() if r.data.tags.get("mlflow.parentRunId") == stopped.info.run_id
    ] == ["KILLED"]
    assert recorded[said["run_id"]].info.status == "FINISHED"
    assert [t.state.name for t in trials(project)] == ["COMPLETE", "COMPLETE", "PRUNED"]
    # the runner may be killed before it has noted that: whoever goes on finds it out
    (journal,) = project.glob(".nbledger/batches/*/journal.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"PRUNED"' not in line and '"t":"closed"' not in line))
    again = answer(project, "--resume", "--failed")
    assert [row["status"] for row in again["notebooks"]] == ["FINISHED", "FINISHED", "PRUNED"]
    assert len(runs(project)) == len(recorded)
    assert "2 finished, 1 pruned" in run(project, "--resume").stdout


def test_a_notebook_whose_last_cell_is_over_is_not_pruned(project: Path) -> None:
    path = notebook(project / "n.ipynb", "x = 1")
    refused: list[bool] = []

    def keep(kept: Kept) -> None:
        refused.append(running.prune(3))

    running = NotebookRun(find(project), kernels.load(path), Job(path, "n"), keep=keep)
    ended = running.execute()
    assert (refused, ended.status, ended.pruned) == ([False], "FINISHED", None)


def test_trials_that_fail_or_measure_nothing(project: Path) -> None:
    notebook(project / "n.ipynb", ("parameters", "k = 0"), "from nbledger import log\nlog(acuracy=k)\nassert k < 3")
    words = [
        "--sweep",
        "k=1..3",
        "--search",
        "optuna",
        "--trials",
        "3",
        "--maximize",
        "accuracy",
        "--no-html",
        "--seed",
        "4",
    ]
    said = answer(project, "n.ipynb", *words, code=1)
    assert said["best"] is None
    assert {row["status"] for row in said["notebooks"]} <= {"FINISHED", "FAILED"}
    told = [note for note in said["notes"] if "logs no metric 'accuracy': did you mean acuracy?" in note]
    assert len(told) == 1
    assert [t.state.name for t in trials(project) if t.user_attrs] == ["FAIL"] * 3
    assert "--maximize" in run(project, "--resume", "--maximize", "x", code=2).stderr


def _until(true: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


GRID = ("--sweep", "lr=1,2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "lr"), "--sweep lr sweeps nothing"),
        (("--sweep", "lr=1,1"), "stands twice"),
        (("--sweep", "lr=1..2..0.5:log"), "steps and :log"),
        ((*GRID, "-p", "lr=3"), "lr is swept, and set by -p"),
        (("--sweep", "lr=0.1..0.5"), "is no list of values"),
        (("--sweep", "a=1..400", "--sweep", "b=1..400"), "160000 points"),
        (("--sample", "3"), "add --sweep"),
        ((*GRID, "--sample", "3"), "the grid has 2 points"),
        ((*GRID, "--seed", "3"), "nothing is drawn"),
        ((*GRID, "--trials", "3"), "--search optuna"),
        ((*GRID, "--prune"), "a series to follow"),
        ((*GRID, "--maximize", "a", "--minimize", "b"), "ask for both"),
        ((*GRID, "--search", "optuna", "--trials", "3"), "what is good"),
        ((*GRID, "--search", "optuna", "--maximize", "a"), "how often"),
        ((*GRID, "--search", "optuna", "--maximize", "a", "--trials", "3"), "the sweep has 2 points"),
        ((*GRID, "--search", "optuna", "--sample", "1", "--maximize", "a", "--trials", "1"), "both choose"),
        (("--search", "optuna", "--maximize", "a", "--trials", "1"), "what to vary"),
        ((*GRID, "--search", "grid"), "optuna"),
        ((*GRID, "--maximize", "a", "--prune", "n.ipynb"), "no such rule"),
        ((*GRID, "n.ipynb", "--search", "optuna", "--maximize", "a", "--trials", "2"), "one notebook"),
        ((*GRID, "--maximize", "a", "--prune", "median", "--on", "dask://localhost:1"), "leave --prune or --on out"),
    ],
)
def test_refused(project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    notebook(project / "n.ipynb", "open('ran', 'w')")
    assert main(["run", "--trust", "n.ipynb", *words]) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and not out
    assert not (project / ".nbledger/batches").exists()


def test_without_optuna(project: Path) -> None:
    """In a Python that has none, a search is refused in one line; a grid needs none."""
    notebook(project / "n.ipynb", "1")
    code = "import sys; sys.modules['optuna'] = None; from nbledger.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["run", "--trust", "n.ipynb", *GRID, "--search", "optuna", "--maximize", "a", "--trials", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3 and "pip install 'nbledger[search]'" in done.stderr and done.stderr.count("\n") == 1
