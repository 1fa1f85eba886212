"""A run as the table's row, whatever it was read with."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

from nbledger.core import people, secrets, wrote
from nbledger.core.moments import stamp
from nbledger.core.records import Input, RunRow

_SHOWN_TAGS = ("nbledger.", "mlflow.user", "mlflow.parentRunId", "mlflow.project.", "mlflow.source.type")
_KINDS = {"NOTEBOOK": "notebook", "LOCAL": "script", "PROJECT": "project", "JOB": "job"}
_LAUNCHERS = ("ipykernel_launcher.py", "colab_kernel_launcher.py", "<console>")
"""What MLflow notes for the source of a run in a notebook, a kernel's own program, and for one typed at a prompt."""
_JOURNAL = "nbledger.journal"
_INFINITE = 1.7976931348623157e308


def iso(ms: int | None) -> str | None:
    """Milliseconds since the epoch as ISO 8601 UTC; None for what no calendar has (stores take any number)."""
    if ms is None:
        return None
    try:
        at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return stamp(at)


def shown(tag: str) -> bool:
    """Whether a row of ``nbledger runs`` carries this tag."""
    return tag.startswith(_SHOWN_TAGS) and tag != wrote.TAG


def experiment_of(run: Any) -> str:
    """Id of the experiment that a store's run belongs to."""
    return str(run.info.experiment_id)


def row(run: Any, experiment: str, keep: Callable[[str], bool] = shown) -> RunRow:
    """A store's run as the table's row; ``keep`` says which tags it carries."""
    return made(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        experiment=experiment,
        experiment_id=str(run.info.experiment_id),
        times=(run.info.start_time, run.info.end_time),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        inputs=tuple(
            Input(i.dataset.name, i.dataset.digest) for i in (run.inputs.dataset_inputs if run.inputs else ())
        ),
        tags=dict(run.data.tags),
        keep=keep,
        user=run.info.user_id or "",
    )


def origin(tags: Mapping[str, str]) -> str:
    """What recorded a run, as far as its tags tell (``RunRow.origin``)."""
    if "nbledger.schema" in tags or _JOURNAL in tags:
        return "nbledger"
    if any(tag.startswith("mlflow.project.") for tag in tags):
        return "project"
    name = (tags.get("mlflow.source.name") or "").replace("\\", "/").rpartition("/")[2]
    if name.endswith(".ipynb") or (name in _LAUNCHERS and name.endswith(".py")):
        return "notebook"
    return _KINDS.get(tags.get("mlflow.source.type", ""), "unknown")


def _source(tags: Mapping[str, str]) -> str | None:
    """The file that ran; None for a kernel's own program, which tells nothing of the notebook. The address of a project may
    hold a password.
    """
    name = tags.get("mlflow.source.name")
    if not name or name.replace("\\", "/").rpartition("/")[2] in _LAUNCHERS:
        return None
    return secrets.scrub(name) if "://" in name else name


def made(
    *,
    run_id: str,
    name: str,
    status: str,
    experiment: str,
    experiment_id: str,
    times: tuple[int | None, int | None],
    params: dict[str, str],
    metrics: dict[str, float],
    inputs: tuple[Input, ...],
    tags: dict[str, str],
    keep: Callable[[str], bool],
    user: str = "",
) -> RunRow:
    """A row from what a store holds of a run: ``times`` (start, end) in ms, all of its ``tags``, its own ``user``."""
    return RunRow(
        run_id=run_id,
        name=name,
        status=status,
        experiment=experiment,
        start=iso(times[0]),
        end=iso(times[1]),
        notebook=_source(tags),
        commit=tags.get("mlflow.source.git.commit"),
        snapshot=tags.get("nbledger.snapshot"),
        dirty={"true": True, "false": False}.get(
            (tags.get("nbledger.dirty") or tags.get("mlflow.source.git.dirty") or "").lower()
        ),
        params=params,
        metrics={k: true_value(v) for k, v in metrics.items()},
        inputs=inputs,
        tags={k: v for k, v in tags.items() if keep(k)},
        experiment_id=experiment_id,
        user=people.of(tags, user),
        host=tags.get("nbledger.host") or None,
        branch=tags.get("mlflow.source.git.branch") or None,
        origin=origin(tags),
    )


def true_value(value: float) -> float:
    """MLflow keeps infinities as the largest double."""
    return value if math.isnan(value) or abs(value) < _INFINITE else float("inf") * (1 if value > 0 else -1)


_MADE_BY = {
    "project": "MLflow Projects",
    "notebook": "plain MLflow in a notebook",
    "script": "plain MLflow in a script",
    "job": "plain MLflow in a job",
}


def made_by(row: RunRow) -> str:
    """What recorded a run, in words."""
    return _MADE_BY.get(row.origin, "another MLflow client") if row.foreign else "nbledger"


def code_words(row: RunRow) -> str:
    """The code of a run, in words: its commit, and what is known of changes to it."""
    if row.commit is None:
        return "not known: no commit was noted" if row.foreign else "no commit"
    if row.foreign:
        changed = {True: "with changes that nobody kept", False: "without changes", None: "changes are not known"}
        return f"{row.commit} ({changed[row.dirty]})"
    return f"{row.commit}{' (a snapshot: the work tree differed from HEAD)' if row.dirty else ''}"
