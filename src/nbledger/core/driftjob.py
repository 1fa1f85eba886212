"""What the processes that compare data are told, and what they answer: JSON files in a folder of their own.

The model predicts in one process (``core.mlflow_predict``), the comparison is made in another (``core.driftlib``): neither is
the keeper, which never loads a model, nor the kernel. Both read the same rows (``core.drifttable.read`` samples alike).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import mlflow
from nbledger.core.drift import Limits
from nbledger.core.errors import LedgerError, ToolFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd

ANSWER, EVIDENTLY, PREDICTIONS = "answer.json", "evidently.html", "predictions.json"
_JOB = "job.json"
_PATIENCE = 1800.0
"""Seconds that a comparison may take."""


@dataclass(frozen=True)
class Files:
    """A table in one file, or in several under each other; ``names`` are those that say of what kind each is."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A comparison. ``model``: the folder of the model that is to predict, already checked; ``target`` and ``prediction``
    are columns, ``needed`` those that the model takes (None where it does not say so).
    """

    folder: Path
    reference: Files
    data: Files
    limits: Limits = field(default_factory=Limits)
    target: str | None = None
    prediction: str | None = None
    model: Path | None = None
    needed: tuple[str, ...] | None = None

    def save(self) -> Path:
        told = {
            "reference": [list(map(str, self.reference.paths)), self.reference.names],
            "data": [list(map(str, self.data.paths)), self.data.names],
            "limits": asdict(self.limits),
            "target": self.target,
            "prediction": self.prediction,
            "model": str(self.model) if self.model else None,
            "needed": self.needed,
        }
        path = self.folder / _JOB
        path.write_text(json.dumps(told), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Job:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            path.parent,
            _files(told["reference"]),
            _files(told["data"]),
            Limits(**told["limits"]),
            told["target"],
            told["prediction"],
            Path(told["model"]) if told["model"] else None,
            tuple(told["needed"]) if told["needed"] is not None else None,
        )

    def read_predictions(self) -> list[pd.Series] | None:
        """What the model predicted for the rows of both sides; None where it was not asked or could not."""
        import pandas as pd

        try:
            told = json.loads((self.folder / PREDICTIONS).read_text(encoding="utf-8"))
        except OSError:
            return None
        return [pd.Series(told[side]) for side in ("reference", "data")] if "reference" in told else None


def _files(told: Sequence[Sequence[str]]) -> Files:
    return Files(tuple(map(Path, told[0])), tuple(told[1]))


def require() -> None:
    """``ToolFailed`` where Evidently is not installed. It is not imported."""
    if importlib.util.find_spec("evidently") is None:
        raise _missing()


def _missing() -> ToolFailed:
    return ToolFailed("comparing data needs Evidently, which is not installed here", "pip install 'nbledger[drift]'")


def compare(job: Job, stopped: Callable[[], object] = lambda: None) -> Mapping[str, Any]:
    """The answer of ``core.driftlib``. ``UsageError`` where a file is no table, or has too few rows, ``ToolFailed`` where Evidently failed or is not
    installed. ``stopped`` is called now and then, and may raise to end the work.
    """
    code, said = _run("nbledger.core.driftlib", job.save(), stopped)
    with contextlib.suppress(OSError, ValueError):
        answer: dict[str, Any] = json.loads((job.folder / ANSWER).read_text(encoding="utf-8"))
        if "error" in answer:
            raise UsageError(str(answer["error"]), str(answer["hint"]))
        return answer
    if "No module named" in said and any(name in said for name in ("evidently", "pandas", "sklearn", "scipy")):
        raise _missing()
    raise ToolFailed(f"the comparison failed: {_last(said, code)}", "--debug shows more; is each column of one kind?")


def predict(job: Job, stopped: Callable[[], object] = lambda: None) -> str:
    """Let the model predict for both sides; empty, or why it could not. The caller has checked the model's digest."""
    code, said = _run("nbledger.core.mlflow_predict", job.save(), stopped)
    try:
        told = json.loads((job.folder / PREDICTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _last(said, code)
    return str(told.get("error", ""))


def _run(module: str, job: Path, stopped: Callable[[], object]) -> tuple[int, str]:
    """(exit code, what was printed) of a process that does a job."""
    env = {k: v for k, v in mlflow.persons_environment().items() if not k.startswith(("NBLEDGER_", "JPY_"))}
    env |= {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    out = job.with_name(f"{module.rpartition('.')[2]}.txt")
    with open(out, "wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(job)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=job.parent,
            env=env,
        )
        try:
            _wait(process, stopped)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.returncode, out.read_text(encoding="utf-8", errors="replace")


def _wait(process: subprocess.Popen[bytes], stopped: Callable[[], object]) -> None:
    left = _PATIENCE
    while left > 0:
        stopped()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            return
        left -= 0.5
    raise LedgerError(
        f"the comparison did not end within {_PATIENCE / 60:.0f} minutes", "compare fewer rows: [drift] rows"
    )


def _last(said: str, code: int) -> str:
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else f"it ended with exit code {code} without a word"
    return last.replace(os.path.expanduser("~"), "~")
