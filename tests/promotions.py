"""Runs that a gate can rely on, recorded without a kernel: their figures, data and environment as a notebook's would be, sealed
by their manifest, each with a logged model whose file nobody could load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conftest import commit_all
from nbledger.core import environment, lineage, mlflow
from nbledger.core.observe import Observation
from nbledger.core.project import Project, find
from nbledger.keeper import calls, publish, recorder
from nbledger.keeper.gating import Decision
from nbledger.keeper.rollback import Decisions, RolledBack

CANARY = b"cos\n_exit\n(I3\ntR."
"""A pickle that ends the process which loads it."""


def api(root: Path) -> Any:
    return mlflow.client(find(root))


def recorded(
    root: Path,
    name: str,
    metrics: Mapping[str, float],
    *,
    reads: Sequence[str] = (),
    model: bytes | None = CANARY,
    tags: Mapping[str, str] | None = None,
    imported: Mapping[str, str] | None = None,
    within: str | None = None,
) -> str:
    """A published run of that name; its id. ``reads`` are paths of the project that it is said to have read; ``within`` is the
    id of the run in which it was recorded.
    """
    project = find(root)
    parent = api(root).get_run(within).data.tags[mlflow.JOURNAL_TAG] if within else None
    plan = recorder.Plan(name=name, tags={"nbledger.order": "clean", **(tags or {})}, parent=parent)
    recording = recorder.start(project, plan)
    recording.log(0, metrics)
    with recording.new_blob("nbledger") as folder:
        folder.mkdir()
        found = lineage.describe(
            project, Observation(), [project.root / path for path in reads], [], hash_budget_mb=64.0
        )
        for listing, records in (("inputs", found.inputs), ("outputs", found.outputs)):
            told = {listing: [lineage.record_to_dict(one) for one in records]}
            (folder / f"{listing}.json").write_text(
                json.dumps(told | ({"modules": [], "unseen": []} if listing == "inputs" else {}))
            )
        recording.lineage(found, folder)
        now = environment.current()
        (folder / "environment.txt").write_text(environment.as_requirements(now))
        told = {**environment.to_dict(now), "imported": dict(imported or {"mlflow": "3"})}
        (folder / "environment.json").write_text(json.dumps(told))
        recording.log_tags({"nbledger.env.digest": now.digest})
        recording.add_blob(folder)
    recording.outcome("FINISHED")
    recording.end()
    published(project)
    run = newest(root, name)
    if model is not None:
        log_model(root, run, model)
    return run


def published(project: Project) -> None:
    """Publish what was recorded. On a busy machine Git or the store may take longer than a flush waits for them."""
    for _ in range(20):
        left, reasons = publish.flush(project)
        if not left:
            return
    raise AssertionError(reasons)


def newest(root: Path, name: str) -> str:
    client = api(root)
    experiments = [one.experiment_id for one in client.search_experiments()]
    return next(str(run.info.run_id) for run in client.search_runs(experiments) if run.info.run_name == name)


def log_model(root: Path, run: str, data: bytes = CANARY, name: str = "clf") -> str:
    """A logged model of MLflow 3 whose file is ``data``; its id."""
    client = api(root)
    model = client.create_logged_model(client.get_run(run).info.experiment_id, name=name, source_run_id=run)
    folder = root.parent / "models" / model.model_id
    folder.mkdir(parents=True)
    text = "flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}}\n"
    (folder / "MLmodel").write_text(text)
    (folder / "model.pkl").write_bytes(data)
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def promote(
    root: Path, run: str, condition: str | None = "accuracy > 0.5", model: str = "wine", **more: Any
) -> Decision:
    words = {"run": run, "model": model, **({"condition": condition} if condition else {}), **more}
    decision: Decision = calls.perform(find(root), "promote_if", words)
    return decision


def rollback(root: Path, model: str = "wine", **more: Any) -> RolledBack:
    found: RolledBack = calls.perform(find(root), "rollback", {"model": model, **more})
    return found


def decisions(root: Path, model: str = "wine") -> Decisions:
    found: Decisions = calls.perform(find(root), "decisions", {"model": model})
    return found


def aliases(root: Path, model: str = "wine") -> dict[str, str]:
    found = api(root).get_registered_model(model).aliases
    return {str(alias): str(version) for alias, version in sorted(found.items())}


def versions(root: Path, model: str = "wine") -> list[str]:
    return sorted(str(one.version) for one in api(root).search_model_versions(f"name = '{model}'"))


def kinds(found: Decision) -> list[str]:
    return [denial.kind for denial in found.denials]


def settings(root: Path, text: str) -> Project:
    (root / ".nbledger.toml").write_text(text)
    commit_all(root)
    return find(root)
