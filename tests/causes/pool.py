"""The bench on several processes: one takes a base's cases one after the other, so that run A is made once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from causes import places, recording
from causes.case import Case
from causes.places import Place
from causes.recording import Outcome

_place: Place | None = None
_held = ExitStack()


def _start(folder: Path, outer: Mapping[str, str]) -> None:
    global _place
    _place = Place(folder, outer)
    with open(folder / f"worker-{os.getpid()}.log", "w") as log:
        os.dup2(log.fileno(), 2)  # what kernels say for themselves
    _held.enter_context(places.isolated(_place))


def _work(case: Case) -> Outcome:
    assert _place is not None
    return recording.outcome(_place, case)


@contextmanager
def running(cases: Sequence[Case], folder: Path, jobs: int) -> Iterator[dict[str, Future[Outcome]]]:
    """{name: its outcome, once it is there} of cases under way; those that have not begun are dropped at the end."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _start, (folder, dict(os.environ))) as pool:
        try:
            yield {case.name: pool.submit(_work, case) for case in cases}
        finally:
            pool.shutdown(cancel_futures=True)
