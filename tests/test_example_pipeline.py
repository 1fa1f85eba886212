"""The example of docs/pipelines.md, made anew by the verbs from its notebook and its data, and then worked with as a person would."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pytest

from conftest import isolated_environment, run, short_folder, stop_keepers

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
STAGES = ("train", "evaluate", "deploy-check")


def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_pipeline", EXAMPLES / "run_pipeline.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Example:
    """The built project, the environment that everything happens in, and what the building said."""

    root: Path
    env: Mapping[str, str]

    def ledger(self, *words: str, cwd: Path | None = None) -> str:
        return run(sys.executable, "-m", "nbledger.cli", *words, cwd=cwd or self.root, env=self.env)

    def dvc(self, *words: str, cwd: Path | None = None) -> str:
        return run(sys.executable, "-m", "dvc", *words, cwd=cwd or self.root, env=self.env)

    def git(self, *words: str, cwd: Path | None = None) -> str:
        return run("git", *words, cwd=cwd or self.root, env=self.env)

    def clone(self, name: str) -> Path:
        made = self.root.parent / name
        self.git("clone", "--quiet", str(self.root), str(made))
        return made

    def lock(self, root: Path | None = None) -> bytes:
        return ((root or self.root) / "dvc.lock").read_bytes()

    def repro(self) -> dict[str, Any]:
        """What ``nbledger repro`` says it did."""
        found: dict[str, Any] = json.loads(self.ledger("repro", "--json"))
        return found


def recorded(root: Path) -> list[Any]:
    """All runs, as plain MLflow has them, oldest first."""
    store = root / ".nbledger" / "mlflow.db"
    if not store.exists():
        return []
    api = mlflow.MlflowClient(f"sqlite:///{store}")
    found = api.search_runs([e.experiment_id for e in api.search_experiments()], max_results=1000)
    return sorted(found, key=lambda each: each.info.start_time)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    runtime = short_folder()
    env = isolated_environment(tmp_path_factory.mktemp("home"), runtime)
    base = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - env.keys():
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        root = demo().build(base)
    yield Example(root, env)
    stop_keepers(runtime)
    shutil.rmtree(runtime, ignore_errors=True)


def test_what_the_verbs_make_is_what_is_shipped(built: Example) -> None:
    shipped = EXAMPLES / "pipeline"
    names = [
        path.relative_to(shipped) for path in shipped.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    made = {str(name): (built.root / name).read_bytes() for name in names if name.name != "README.md"}
    assert made == {name: (shipped / name).read_bytes() for name in made}
    assert {f"stages/{name}.py" for name in STAGES} | {"dvc.lock", "dvc.yaml", "params.yaml", "metrics.json"} <= set(
        made
    )
    assert built.git("status", "--porcelain") == ""
    parent, *children = recorded(built.root)
    assert [child.info.run_name for child in children] == list(STAGES)
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {each.info.status for each in (parent, *children)} == {"FINISHED"}
    train, evaluate, check = children
    assert train.data.params == {"test_share": "0.4", "seed": "0", "smoothing": "1e-05"}
    assert check.data.params == {"least_accuracy": "0.9"}
    scores = json.loads((built.root / "metrics.json").read_bytes())
    assert evaluate.data.metrics["accuracy"] == scores["accuracy"]
    assert evaluate.data.metrics["recall.1"] == scores["recall"]["1"]
    api = mlflow.MlflowClient(f"sqlite:///{built.root / '.nbledger' / 'mlflow.db'}")
    (logged,) = api.search_logged_models([evaluate.info.experiment_id])
    assert (logged.name, logged.source_run_id) == ("wine", evaluate.info.run_id)


def test_plain_dvc_leaves_the_same_lock_and_its_stages_are_runs_too(built: Example) -> None:
    clone = built.clone("plain")
    built.dvc("pull", "--quiet", "data/wine.csv.dvc", cwd=clone)
    for name in ("dvc.lock", "metrics.json", "confusion.csv"):  # as before anything was executed
        (clone / name).unlink()
    built.dvc("repro", cwd=clone)
    assert built.lock(clone) == built.lock()
    assert built.git("status", "--porcelain", cwd=clone) == ""
    built.ledger("flush", cwd=clone)
    assert [(each.info.run_name, each.info.status) for each in recorded(clone)] == [(s, "FINISHED") for s in STAGES]
    # The notebook is saved after its code was written, as it may be while an earlier stage runs.
    edited(clone, "deploy-check", "int(predict", "1 + int(predict")
    built.dvc("repro", "--single-item", "--force", "deploy-check", cwd=clone)
    assert json.loads((clone / "deploy.json").read_bytes())["answer"] == 1
    assert "1 + int(predict" in (clone / "stages" / "deploy-check.py").read_text()
    assert built.dvc("status", "deploy-check", cwd=clone) == "Data and pipelines are up to date."


def test_what_changed_runs_and_nothing_else(built: Example) -> None:
    lock, made = built.lock(), {each.info.run_name: each.info.run_id for each in recorded(built.root)}

    def did() -> dict[str, str]:
        """{stage: what became of it}. What did not run points to the run that made it; what ran is a child of one run."""
        before = {each.info.run_id for each in recorded(built.root)}
        rows = {row["stage"]: row for row in built.repro()["stages"]}
        new = [each for each in recorded(built.root) if each.info.run_id not in before]
        ran = [name for name, row in rows.items() if row["status"] == "ran"]
        assert [each.info.run_name for each in new] == (["repro", *ran] if ran else [])
        assert all(each.data.tags["mlflow.parentRunId"] == new[0].info.run_id for each in new[1:])
        made.update({each.info.run_name: each.info.run_id for each in new})
        assert {name: row["run_id"] for name, row in rows.items()} == {name: made[name] for name in STAGES}
        return {name: row["status"] for name, row in rows.items()}

    first = dict(made)
    assert did() == dict.fromkeys(STAGES, "skipped")
    edited(built.root, "evaluate", outputs=True)
    assert did() == dict.fromkeys(STAGES, "skipped")
    assert built.lock() == lock

    params = built.root / "params.yaml"
    params.write_text(params.read_text().replace("least_accuracy: 0.9", "least_accuracy: 0.99"))
    assert did() == {"train": "skipped", "evaluate": "skipped", "deploy-check": "ran"}
    assert not json.loads((built.root / "deploy.json").read_bytes())["deploy"]

    edited(built.root, "evaluate", "round(share, 4)", "round(share, 3)")
    assert did() == {"train": "skipped", "evaluate": "ran", "deploy-check": "ran"}
    assert built.lock() != lock

    built.git("checkout", "--quiet", "--", "wine.ipynb", "params.yaml")
    made.update(first)  # DVC has their outputs in its cache: the runs that made them are those of the beginning
    assert did() == {"train": "skipped", "evaluate": "pulled", "deploy-check": "pulled"}
    assert built.lock() == lock
    assert built.git("status", "--porcelain") == ""


def edited(root: Path, stage: str, old: str = "", new: str = "", *, outputs: bool = False) -> None:
    """Edit the cell of a stage as Jupyter would; ``outputs``: only what executing it leaves, and the ids."""
    path = root / "wine.ipynb"
    notebook = json.loads(path.read_text())
    for number, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and text.startswith(f"%%stage {stage} "):
            assert old in text
            cell["source"] = text.replace(old, new) if old else text
        if outputs and cell["cell_type"] == "code":
            cell |= {"execution_count": number, "id": f"new-{number}"}
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "as executed"}]
            cell["metadata"]["collapsed"] = True
    path.write_text(json.dumps(notebook))


def test_a_fresh_clone_pulls_and_runs_nothing(built: Example) -> None:
    lock = built.lock()
    for name, commands in {
        "pulled": (("dvc", "pull"), ("dvc", "repro")),
        "plainly": (("dvc", "repro", "--pull"),),
        "ours": (("nbledger", "repro", "--pull", "--trust"),),
    }.items():
        clone = built.clone(name)
        for program, *words in commands:
            (built.dvc if program == "dvc" else built.ledger)(*words, cwd=clone)
        assert built.lock(clone) == lock
        assert built.git("status", "--porcelain", cwd=clone) == ""
        assert recorded(clone) == []
        for made in ("model.json", "deploy.json", "metrics.json"):
            assert (clone / made).read_bytes() == (built.root / made).read_bytes()
