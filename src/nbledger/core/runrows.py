"""A run as the table's row, whatever it was read with."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from nbledger.core.records import Input, RunRow

_SHOWN_TAGS = ("nbledger.", "mlflow.user", "mlflow.parentRunId")
_INFINITE = 1.7976931348623157e308


def iso(ms: int | None) -> str | None:
    """Milliseconds since the epoch as ISO 8601 UTC; None for what no calendar has (stores take any number)."""
    if ms is None:
        return None
    try:
        at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(tag: str) -> bool:
    """Whether a row of ``nbledger runs`` carries this tag."""
    return tag.startswith(_SHOWN_TAGS)


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
    )


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
) -> RunRow:
    """A row from what a store holds of a run: ``times`` (start, end) in ms, all of its ``tags``."""
    return RunRow(
        run_id=run_id,
        name=name,
        status=status,
        experiment=experiment,
        start=iso(times[0]),
        end=iso(times[1]),
        notebook=tags.get("mlflow.source.name"),
        commit=tags.get("mlflow.source.git.commit"),
        snapshot=tags.get("nbledger.snapshot"),
        dirty={"true": True, "false": False}.get(tags.get("nbledger.dirty", "")),
        params=params,
        metrics={k: true_value(v) for k, v in metrics.items()},
        inputs=inputs,
        tags={k: v for k, v in tags.items() if keep(k)},
        experiment_id=experiment_id,
    )


def true_value(value: float) -> float:
    """MLflow keeps infinities as the largest double."""
    return value if math.isnan(value) or abs(value) < _INFINITE else float("inf") * (1 if value > 0 else -1)
