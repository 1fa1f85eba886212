"""Make a ledger run MLflow's active run in this process, so that the user's own ``mlflow`` calls land in it.

Works on MLflow's per-thread stack of active runs. Pushing asks the store for the run, once and for a second at most
(MLflow's own retries would hold the cell for minutes where a server dies in that moment); popping asks nothing. What the
user's own calls then meet is theirs: with a server that has died since, they wait as long as MLflow's settings say,
tracked or not. ``mlflow.start_run()`` inside the cell, which would raise beside an active run, is
given the ledger's run the first time and a nested run after that, so that code written for a plain cell runs as is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

_URI = "MLFLOW_TRACKING_URI"


_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """One try of one second, instead of MLflow's seven of two minutes."""
    before = {name: os.environ.get(name) for name in _IMPATIENT}
    os.environ.update(_IMPATIENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Active:
    """The active run of one ledger run; ``deactivate`` undoes everything."""

    def __init__(self, run_id: str, uri: str, notice: Callable[[str], None]) -> None:
        import mlflow
        from mlflow.tracking import fluent

        self.run_id, self.uri, self._notice = run_id, uri, notice
        self._mlflow, self._fluent = mlflow, fluent
        self._environment = os.environ.get(_URI)
        self._adopted = False
        with _impatient():
            self._entry = mlflow.ActiveRun(mlflow.MlflowClient(tracking_uri=uri).get_run(run_id))
        os.environ[_URI] = uri
        self._stack().append(self._entry)
        self._originals: tuple[Any, Any] | None = (fluent.start_run, mlflow.set_tracking_uri)
        fluent.start_run = mlflow.start_run = self._wrapped_start(fluent.start_run)
        mlflow.set_tracking_uri = self._wrapped_uri(mlflow.set_tracking_uri)

    def _stack(self) -> list[Any]:
        stack: list[Any] = self._fluent._active_run_stack.get()  # noqa: SLF001 - MLflow has no public way to push a run
        return stack

    def _on_top(self) -> bool:
        stack = self._stack()
        return bool(stack) and stack[-1] is self._entry

    def _wrapped_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start_run(*args: Any, **kwargs: Any) -> Any:
            names = ("run_id", "experiment_id", "run_name", "nested")
            given = dict(zip(names, args, strict=False)) | kwargs
            if not self._on_top() or given.get("nested") or given.get("run_id") == self.run_id:
                return original(*args, **kwargs)
            if given.get("run_id") or self._adopted:
                return original(*args, **{**kwargs, "nested": True} if len(args) < 4 else kwargs)
            self._adopted = True
            self._adopt(given)
            return _Borrowed(self._entry)

        return start_run

    def _adopt(self, given: dict[str, Any]) -> None:
        """What ``start_run`` was told of the run it would have made: its tags and description are kept, its name noted."""
        tags = dict(given.get("tags") or {})
        if given.get("description"):
            tags["mlflow.note.content"] = given["description"]
        if given.get("run_name"):
            tags["nbledger.start_run_name"] = given["run_name"]
        for key, value in tags.items():
            self._mlflow.set_tag(key, value)

    def _wrapped_uri(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def set_tracking_uri(uri: Any) -> Any:
            if str(uri) != self.uri:
                self._notice(
                    "this cell sends its own mlflow calls elsewhere (set_tracking_uri): they are not part of this "
                    "run; to join them, set tracking_uri in .nbledger.toml"
                )
                self.deactivate()
                self._environment = os.environ.get(_URI)
            return original(uri)

        return set_tracking_uri

    def deactivate(self) -> None:
        """Take the run off the stack and put back what was changed; the run itself is left as it is."""
        stack = self._stack()
        if any(entry is self._entry for entry in stack):
            stack[:] = [entry for entry in stack if entry is not self._entry]
        if self._originals:
            self._fluent.start_run = self._mlflow.start_run = self._originals[0]
            self._mlflow.set_tracking_uri = self._originals[1]
            self._originals = None
            if self._environment is None:
                os.environ.pop(_URI, None)
            else:
                os.environ[_URI] = self._environment


class _Borrowed:
    """Stands for the ledger's run in ``with mlflow.start_run():``; leaving the block does not end it."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def __enter__(self) -> Any:
        return self._run

    def __exit__(self, *exc: object) -> None:
        return None


def loaded() -> bool:
    """Whether the user's code has imported MLflow."""
    return "mlflow" in sys.modules


def set_elsewhere(uri: str) -> str | None:
    """The tracking URI that the user's code has chosen by itself, if it is another than ``uri``."""
    import mlflow

    chosen = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    return chosen if chosen is not None and chosen != uri else None
