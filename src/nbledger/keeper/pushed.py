"""Which data the default remote lacks: asked in the background while somebody watches, never while a state is waited for."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nbledger.core import dvcremote, trust
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import changes

_PATIENCE = 120.0
"""Seconds after which a remote that has not answered is told of."""
_FRESH, _RECHECK, _RETRY = 600.0, 60.0, 60.0
"""Seconds for which an answer is good: where nothing lacked, where something did, and where there was none."""
log = logging.getLogger("nbledger.keeper")


@dataclass
class _Asked:
    """One question: about which versions, since when, and what came of it."""

    key: str
    begun: float
    done: float | None = None
    lacking: tuple[str, ...] = ()
    problem: str = ""
    stale: bool = False

    def due(self, now: float) -> bool:
        """Whether to ask again."""
        if self.done is None:
            return False
        good = _RETRY if self.problem else _RECHECK if self.lacking else _FRESH
        return self.stale or now - self.done > good


_asked: dict[str, _Asked] = {}
_lock = threading.Lock()


def known(project: Project, outs: Sequence[Out]) -> tuple[tuple[str, ...] | None, str]:
    """(Outputs of which the remote lacks the present version, or None while that is not known; why it cannot be told).

    While somebody watches, what is not known is asked, and ``state`` is told of when the answer is there.
    """
    remote = dvcremote.default_remote(project)
    if remote is None:
        return None, ""
    if not trust.trusted(project):
        return None, f"the data remote {remote[0]} is not asked unbidden until you trust this project (nbledger trust)"
    key, root, now = _key(remote, outs), str(project.root), time.monotonic()
    with _lock:
        asked = _asked.get(root)
        busy = asked is not None and asked.done is None
        if changes.watched() and not busy and (asked is None or asked.key != key or asked.due(now)):
            previous, fresh = asked, _Asked(key, now)
            _asked[root] = fresh
            threading.Thread(target=_ask, args=(project, fresh), name="pushed", daemon=True).start()
            asked = previous if previous is not None and previous.key == key and not previous.stale else fresh
    if asked is None or asked.key != key or asked.stale:
        return None, ""
    if asked.done is None:
        slow = now - asked.begun > _PATIENCE
        return None, f"the data remote {remote[0]} has not answered for {_PATIENCE / 60:.0f} minutes" if slow else ""
    return (None, asked.problem) if asked.problem else (asked.lacking, "")


def forget(project: Project) -> None:
    """Something was pushed: what is known is not so any more."""
    with _lock:
        if str(project.root) in _asked:
            _asked[str(project.root)].stale = True


def _ask(project: Project, asked: _Asked) -> None:
    try:
        asked.lacking = tuple(dvcremote.not_in_remote(project))
    except LedgerError as err:
        asked.problem = f"what the data remote lacks is not known: {err}"
    except Exception as err:
        log.exception("asking the data remote")
        asked.problem = f"what the data remote lacks is not known: {type(err).__name__}: {err}"
    asked.done = time.monotonic()
    changes.tell(project, "state")


def _key(remote: tuple[str, str], outs: Sequence[Out]) -> str:
    """Names the versions that are asked about, and where."""
    digest = hashlib.sha256(repr(remote).encode("utf-8", "surrogatepass"))
    for out in outs:
        digest.update(f"\0{out.path}\0{out.md5}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
