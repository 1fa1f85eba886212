"""What recorded runs stand on is protected from ``dvc gc`` as soon as a journal names it, whether or not the store answers."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbledger.core import kept, recorded
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project, find
from nbledger.keeper.journal import Event

log = logging.getLogger("nbledger.keeper")


def protect(project: Project, path: Path, begun: Event, events: Iterable[Event]) -> None:
    """Protect what these events of the journal at ``path`` name. No failure of it is one of the run."""
    with _told():
        here = where(project, begun)
        kept.keep(here, needs(here, path, events))


def note(project: Project, path: Path, begun: Event, run_id: str, events: Iterable[Event]) -> None:
    """The run is closed: what was hashed last is protected too, and what it needs is noted for ``nbledger gc``."""
    events = list(events)
    with _told():
        here = where(project, begun)
        wanted = needs(here, path, events)
        kept.keep(here, wanted)
        commit = next((str(e["commit"]) for e in events if e["t"] == "snapshot" and e.get("commit")), "")
        recorded.note(here, run_id, str(begun["uri"]), commit, wanted)


def needs(project: Project, path: Path, events: Iterable[Event]) -> set[str]:
    """The objects that a journal's run stands on: what its snapshot's pointers name, and what it read."""
    found: set[str] = set()
    for event in events:
        if event["t"] == "snapshot" and event.get("commit"):
            found |= recorded.of_commit(project, str(event["commit"]))
        elif event["t"] == "lineage":
            with contextlib.suppress(OSError, ValueError, KeyError):
                found |= recorded.of_inputs(json.loads((path / event["folder"] / "inputs.json").read_text())["inputs"])
    return found


def where(project: Project, begun: Event) -> Project:
    """The work tree in which the run was recorded: a linked one may have a cache of its own."""
    root = Path(str(begun.get("root") or project.root))
    return project if root == project.root or not root.is_dir() or project.scratch else find(root)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (LedgerError, OSError) as err:
        log.warning("recorded data could not be protected: %s", err)
    except Exception:
        log.exception("protecting recorded data")
