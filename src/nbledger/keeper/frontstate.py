"""What the front of a served model keeps on disk, so that one that was killed is followed by another that goes on.

Below ``.nbledger/serving/``, a folder a model (its name may be anything, so the folder's is a digest of it): ``state.json``,
``models/`` with the checked files of the versions that are served, and the logs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core.errors import LedgerError
from nbledger.core.files import write_atomic
from nbledger.core.project import Project
from nbledger.keeper.served import Served, from_dict

FOLDER = "serving"
_STATE = "state.json"
_KEPT = 20


@dataclass(frozen=True)
class Order:
    """A version to be served. ``smoke``: the body of the first request, ``expected`` what it should answer; ``probe``: seconds
    until ``/ping`` must answer, ``watch``: seconds in which an error sends everything back to the version before,
    ``patience``: seconds that an answer may take meanwhile.
    """

    id: str
    version: str
    digest: str
    folder: str
    command: tuple[str, ...]
    smoke: str | None = None
    expected: list[Any] | None = None
    probe: float = 300.0
    watch: float = 10.0
    patience: float = 15.0


@dataclass(frozen=True)
class Outcome:
    """How an order ended. ``step``: the last one that was begun (start, probe, smoke, watch, done); ``serving``: the version that
    is served since, ``previous`` the one before the order.
    """

    id: str
    version: str
    ok: bool
    step: str
    text: str
    serving: str | None
    previous: str | None
    at: str
    requests: int = 0
    failures: int = 0
    digest: str = ""


@dataclass
class State:
    """``previous`` is there while ``current`` is being watched; ``coming`` while it is not served yet."""

    model: str
    host: str
    port: int
    pid: int = 0
    created: float | None = None
    control: str = ""
    current: Served | None = None
    previous: Served | None = None
    coming: Served | None = None
    order: str = ""
    step: str = ""
    health: str = "starting"
    outcomes: list[Outcome] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def endpoint(host: str, port: int) -> str:
    """Where clients ask; port 0 stands for one that is still to be chosen."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port or 'PORT (a free one)'}"


def folder_of(project: Project, model: str) -> Path:
    """The folder of the model's front."""
    return project.state / FOLDER / hashlib.sha256(model.encode(errors="surrogatepass")).hexdigest()[:12]


def load(folder: Path) -> State | None:
    """The state as it was last kept; None where there is none."""
    try:
        kept = json.loads((folder / _STATE).read_bytes())
        served = {name: from_dict(kept[name]) for name in ("current", "previous", "coming")}
        return State(**{**kept, **served, "outcomes": [Outcome(**one) for one in kept["outcomes"]]})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise LedgerError(f"{folder / _STATE} is damaged: {type(err).__name__}", "remove the folder") from err


def keep(folder: Path, state: State) -> None:
    """Write the state; only the person may read it."""
    state.outcomes = state.outcomes[-_KEPT:]
    write_atomic(folder / _STATE, json.dumps(state.as_dict()))
    (folder / _STATE).chmod(0o600)


def forget(folder: Path) -> None:
    """Nothing is served by this folder any more."""
    (folder / _STATE).unlink(missing_ok=True)
