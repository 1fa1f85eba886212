"""The one door to Optuna: which parameters to try next, and which notebooks are hopeless.

A study lives in a journal file of Optuna's own, which its tools read (``optuna-dashboard``, ``optuna.load_study``). Its
trials bear the ids of the attempts they stand for, so that whoever goes on with a batch finds out which of them were cut off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core.errors import LedgerError, ToolFailed
from nbledger.core.sweep import Axis, Search, nth, size

_ATTEMPT = "nbledger.journal"
_STARTUP = 5
"""Trials that end before one is stopped, as Optuna's own rules have it; fewer where there are few."""
_REPEATS, _DRAWS = 10, 1000


def require() -> None:
    """``LedgerError`` where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise LedgerError("a search needs Optuna", "pip install 'nbledger[search]'")


@dataclass(frozen=True)
class Past:
    """A trial that had ended before the study was opened: with a ``value``, stopped (``pruned``), or with neither."""

    attempt: str
    params: Mapping[str, Any]
    value: float | None = None
    pruned: bool = False


class Study:
    """A study in the file ``path``, for one process; its methods may be called from any thread."""

    def __init__(self, path: Path, search: Search, name: str) -> None:
        require()
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.disable_default_handler()
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._optuna, self._search = optuna, search
        self._axes = {axis.name: axis for axis in search.axes()} if search.chooses else {}
        self._space = {name: _distribution(optuna, axis) for name, axis in self._axes.items()}
        self._lock = threading.RLock()
        self._trials: dict[str, Any] = {}
        self._points = size(list(self._axes.values())) if self._axes else None
        _mend(path)
        with self._told():
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_Alone()))  # type: ignore[arg-type]
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize" if search.maximize else "minimize",
                pruner=_pruner(optuna, search),
                load_if_exists=True,
            )
            tried = len(self._study.trials)
            seed = None if search.seed is None else search.seed + tried  # a search that goes on does not begin anew
            self._study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=search.jobs > 1)

    def settle(self, past: Sequence[Past]) -> None:
        """Make the study agree with what is known: trials of ``past`` are ended as it says, others that are open are failed,
        and what the file does not hold is added to it.
        """
        known = {one.attempt: one for one in past}
        states = self._optuna.trial.TrialState
        with self._lock, self._told():
            while any(trial.state == states.WAITING for trial in self._study.trials):
                self._study.tell(self._study.ask(), state=states.FAIL)
            held = set()
            for trial in self._study.trials:
                attempt = trial.user_attrs.get(_ATTEMPT, "")
                held.add(attempt)
                if trial.state == states.RUNNING:
                    self._tell(trial.number, known.get(attempt))
            for one in past:
                if one.attempt not in held and (one.value is not None or one.pruned):
                    self._add(one)

    def _add(self, one: Past) -> None:
        states = self._optuna.trial.TrialState
        params = {name: self._encoded(name, one.params[name]) for name in self._space if name in one.params}
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.PRUNED if one.pruned else states.COMPLETE,
                params=params,
                distributions={name: self._space[name] for name in params},
                user_attrs={_ATTEMPT: one.attempt},
                value=one.value,
            )
        )

    def ask(self, attempt: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Begin a trial, and say with which parameters: those of ``params`` where they were chosen before."""
        with self._lock, self._told():
            if params and self._space:
                fixed = {name: self._encoded(name, params[name]) for name in self._space if name in params}
                self._study.enqueue_trial(fixed)
            trial = self._study.ask(dict(self._space)) if params or self._points is None else self._new(self._points)
            trial.set_user_attr(_ATTEMPT, attempt)
            if not self._space and params:
                trial.set_user_attr("params", json.loads(json.dumps(dict(params), default=str)))
            self._trials[attempt] = trial
            return {name: self._decoded(name, value) for name, value in trial.params.items()}

    def _new(self, points: int) -> Any:
        """A trial of a point that was not tried yet, of so many. Optuna proposes the same one again where there are few; what it
        repeats is a failed trial without an attempt.
        """
        tried = {_key(t.params) for t in self._study.trials if _ATTEMPT in t.user_attrs}
        if len(tried) >= points:
            return self._study.ask(dict(self._space))
        rng = random.Random(len(tried))  # noqa: S311 - nothing to be kept secret
        for repeat in range(_REPEATS + 1):
            trial = self._study.ask(dict(self._space))
            if _key(trial.params) not in tried or repeat == _REPEATS:
                break
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            if repeat + 1 < _REPEATS:
                continue
            for _ in range(_DRAWS):
                point = nth(list(self._axes.values()), rng.randrange(points))
                fixed = {name: self._encoded(name, value) for name, value in point.items()}
                if _key(fixed) not in tried:
                    self._study.enqueue_trial(fixed)
                    break
        return trial

    def report(self, attempt: str, step: int, value: float) -> bool:
        """Note a point of the series; whether the trial is hopeless."""
        with self._lock, self._told():
            trial = self._trials.get(attempt)
            if trial is None or step < 0:
                return False
            trial.report(value, step)
            return bool(trial.should_prune())

    def end(self, past: Past) -> None:
        """End the trial of an attempt."""
        with self._lock, self._told():
            trial = self._trials.pop(past.attempt, None)
            if trial is not None:
                self._tell(trial, past)

    def _tell(self, trial: Any, past: Past | None) -> None:
        states = self._optuna.trial.TrialState
        if past is not None and past.pruned:
            self._study.tell(trial, state=states.PRUNED)
        elif past is None or past.value is None or math.isnan(past.value):
            self._study.tell(trial, state=states.FAIL)
        else:
            self._study.tell(trial, past.value)

    def _encoded(self, name: str, value: Any) -> Any:
        return json.dumps(value) if _as_text(self._axes[name]) else value

    def _decoded(self, name: str, value: Any) -> Any:
        axis = self._axes[name]
        if axis.step is not None and axis.values:  # 0.30000000000000004 is 0.3
            return min(axis.values, key=lambda known: abs(known - value))
        return json.loads(value) if _as_text(axis) else value

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in Optuna is told as one line; its warnings are for those who program with it."""
        try:
            yield
        except LedgerError:
            raise
        except Exception as err:
            words = " ".join(str(err).split())[:300] or type(err).__name__
            raise ToolFailed(f"Optuna failed: {words}", "nbledger run --resume goes on") from err


def _key(params: Mapping[str, Any]) -> str:
    """What is the same for the same point."""
    plain = {name: f"{value:.12g}" if isinstance(value, float) else value for name, value in params.items()}
    return json.dumps(plain, sort_keys=True)


def _distribution(optuna: Any, axis: Axis) -> Any:
    kinds = optuna.distributions
    if not axis.range:
        assert axis.values is not None
        return kinds.CategoricalDistribution([json.dumps(v) for v in axis.values] if _as_text(axis) else axis.values)
    if axis.whole:
        return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _as_text(axis: Axis) -> bool:
    """Whether the values are kept as JSON: Optuna's storage holds but plain ones."""
    return axis.values is not None and any(isinstance(value, list | dict) for value in axis.values)


def _pruner(optuna: Any, search: Search) -> Any:
    rules, few = optuna.pruners, max(1, min(_STARTUP, search.trials // 4))
    if search.prune == "median":
        return rules.MedianPruner(n_startup_trials=few)
    if search.prune == "percentile":
        return rules.PercentilePruner(25.0, n_startup_trials=few)
    if search.prune == "halving":
        return rules.SuccessiveHalvingPruner()
    if search.prune == "hyperband":
        return rules.HyperbandPruner()
    return rules.NopPruner()


class _Alone:
    """No lock: the batch's own keeps other processes out, and one that was killed leaves none behind."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _mend(path: Path) -> None:
    """Take away what a crash left of the last line, which Optuna would not read past."""
    try:
        with open(path, "r+b") as file:
            text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            lines = whole.splitlines(keepends=True)
            while lines and not _readable(lines[-1]):
                lines.pop()
            kept = sum(map(len, lines))
            if kept != len(text):
                file.truncate(kept)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise LedgerError(f"cannot write {path}: {err.strerror}", "free some disk space") from err


def _readable(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
