"""A notebook that is executed on another machine than the one where it was asked for: what holds there.

The files it runs among are a checkout of a snapshot that was taken where the batch was begun. So its runs name that
snapshot, the person who asked, and the store that was chosen there; no background process is started. A worker says so
to its own thread (``standing``) and to the kernels it starts (``environment``).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

VARIABLE = "NBLEDGER_ELSEWHERE"


@dataclass(frozen=True)
class Elsewhere:
    """``uri`` and ``experiment`` are where runs go, ``user`` (a login) and ``author`` (as Git has it) who asked for them,
    ``snapshot`` the fields of the ``snapshot.Snapshot`` that was taken there.
    """

    uri: str
    experiment: str
    user: str
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    author: str | None = None


_here = threading.local()


@contextlib.contextmanager
def standing(what: Elsewhere) -> Iterator[None]:
    """While the block runs, ``told`` says so in this thread, and ``environment`` for kernels that it starts."""
    before, _here.what = getattr(_here, "what", None), what
    try:
        yield
    finally:
        _here.what = before


def told() -> Elsewhere | None:
    """What holds here; None where runs are asked for on this machine."""
    here: Elsewhere | None = getattr(_here, "what", None)
    return here or _read(os.environ.get(VARIABLE, ""))


def environment() -> dict[str, str]:
    """The variable that tells a kernel."""
    here: Elsewhere | None = getattr(_here, "what", None)
    return {VARIABLE: json.dumps(asdict(here))} if here is not None else {}


@lru_cache(maxsize=4)
def _read(text: str) -> Elsewhere | None:
    if not text:
        return None
    try:
        return Elsewhere(**json.loads(text))
    except (ValueError, TypeError):
        return None
