"""The lock of a registered model, held in the tracking store itself, so that people on different machines wait for each
other. MLflow compares nothing when it sets an alias, but in every store only one can make a registered model of a name.

The lock of a model is a registered model ``nbledger.lock.…`` without versions, made for the moment and deleted at the
end; its description says who holds it. While it is held, a tag of it changes every few seconds. One that has not
changed for a minute (by the clock of who waits), or whose process ran on this machine and is gone, is taken away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbledger.core import mlflow, owners
from nbledger.core.errors import Busy, LedgerError, Refused
from nbledger.core.mlflow import _translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "nbledger.lock."
STALE, BEAT, PATIENCE = 60.0, 12.0, 600.0
"""Seconds after which a lock that stays the same is nobody's; between two signs of life; of waiting for a lock."""

_BEAT = "nbledger.beat."
_TRIES = 8
_CHANCE = secrets.SystemRandom()  # so that those who wait do not ask in step


@dataclass(frozen=True)
class Held:
    """The lock of ``model`` in the store ``uri``, as long as ``check`` does not raise."""

    api: MlflowClient
    uri: str
    model: str
    name: str
    token: str

    def check(self) -> None:
        """``Busy`` if the lock was taken away meanwhile, because this process gave no sign of life for too long."""
        found = _look(self.api, self.uri, self.name)
        if found is None or found.token != self.token:
            raise Busy(f"the lock of the model {self.model} was taken by another process", "try again")


def name_of(model: str) -> str:
    """The name of the registered model that is the lock of ``model``."""
    return PREFIX + hashlib.sha1(model.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:12]


def is_lock(name: str) -> bool:
    """Whether a registered model is such a lock, and no model."""
    return name.startswith(PREFIX)


@contextlib.contextmanager
def held(api: MlflowClient, uri: str, model: str, by: str = "", patience: float = PATIENCE) -> Iterator[Held]:
    """Hold the lock of ``model``; ``by`` is who, for those who wait. ``Busy`` after ``patience`` seconds of waiting."""
    lock = Held(api, uri, model, name_of(model), uuid.uuid4().hex)
    told = json.dumps({"model": model[:200], "by": by[:200], "token": lock.token, **owners.owner()})
    leftovers = _wait(lock, told, patience)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(lock, ended), name="model-lock", daemon=True)
    try:
        beating.start()
        yield lock
    finally:
        ended.set()
        beating.join(BEAT)
        _let_go(lock, leftovers)


@dataclass(frozen=True)
class _Seen:
    """A lock as it is in the store. ``state`` changes whenever its holder gives a sign of life."""

    token: str
    by: str
    owner: dict[str, Any]
    state: str


def _look(api: MlflowClient, uri: str, name: str) -> _Seen | None:
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            found = _again(lambda: api.get_registered_model(name))
        except MlflowException as err:
            if err.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    try:
        told = json.loads(found.description or "")
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    beats = sorted((str(k), str(v)) for k, v in (found.tags or {}).items() if str(k).startswith(_BEAT))
    token = str(told.get("token") or found.description or "")
    return _Seen(token, str(told.get("by") or "somebody"), told, repr((found.description, beats)))


def _again(ask: Any) -> Any:
    """What the store answers, asked again while another process has its database for itself."""
    for left in reversed(range(_TRIES)):
        try:
            return ask()
        except Exception as err:
            if not left or not mlflow.overtaken(err):
                raise
            time.sleep(_CHANCE.uniform(0.05, 0.5))
    return None


def _wait(lock: Held, told: str, patience: float) -> Sequence[str]:
    """Make the lock; the names of stale ones that were taken away for it."""
    deadline = time.monotonic() + patience
    seen, since, leftovers = "", time.monotonic(), list[str]()
    while True:
        if _made(lock, told):
            return leftovers
        found = _look(lock.api, lock.uri, lock.name)
        now = time.monotonic()
        if found is None:
            continue
        if found.token == lock.token:  # made by a request whose answer was lost
            return leftovers
        if found.state != seen:
            seen, since = found.state, now
        if now - since > STALE or _gone(found.owner):
            leftovers += _taken_away(lock, found)
            continue
        if now > deadline:
            raise Busy(f"the model {lock.model} is held by {found.by[:80]}", "wait for it to finish, then try again")
        time.sleep(_CHANCE.uniform(0.1, 0.4))


def _made(lock: Held, told: str) -> bool:
    from mlflow.exceptions import MlflowException

    with _translated(lock.uri):
        try:
            _again(lambda: lock.api.create_registered_model(lock.name, description=told))
        except MlflowException as err:
            # The second is said where the lock that was in the way went in the same moment.
            if err.error_code in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
                return False
            raise
    return True


def _gone(who: dict[str, Any]) -> bool:
    """Whether the holder certainly was a process of this machine, and is no more."""
    here = owners.owner()
    if here["host"].endswith("/") or (who.get("host"), who.get("namespace")) != (here["host"], here["namespace"]):
        return False
    pid = who.get("pid")
    return isinstance(pid, int) and owners.process_started(pid) != who.get("created")


def _taken_away(lock: Held, found: _Seen) -> list[str]:
    """Rename a stale lock: of several who try only one can, as the new name is that of this very lock and stays until who
    renamed it is done. The new name, or nothing if another was faster.
    """
    again = _look(lock.api, lock.uri, lock.name)
    if again is None or again.state != found.state:
        return []
    aside = f"{lock.name}.{hashlib.sha256(found.token.encode()).hexdigest()[:16]}"
    try:
        with _translated(lock.uri):
            lock.api.rename_registered_model(lock.name, aside)
    except LedgerError as err:
        if "403" in err.message:
            raise Refused(
                f"the lock {lock.name} of the model {lock.model} was left behind by {found.by[:80]}",
                "only they, or an administrator of the tracking server, may delete that registered model",
            ) from err
        time.sleep(_CHANCE.uniform(0.1, 0.4))
        return []
    return [aside]


def _beat(lock: Held, ended: threading.Event) -> None:
    """Give signs of life, in a tag that bears this holder's own name: a lock that is another's by now is none the worse."""
    count = 0
    while not ended.wait(BEAT):
        count += 1
        with contextlib.suppress(Exception):
            lock.api.set_registered_model_tag(lock.name, _BEAT + lock.token[:12], str(count))


def _let_go(lock: Held, leftovers: Sequence[str]) -> None:
    """Delete what is this process's own. What cannot be deleted now is stale soon: the work is done, so nothing is raised."""
    with contextlib.suppress(LedgerError):
        found = _look(lock.api, lock.uri, lock.name)
        if found is not None and found.token == lock.token:
            with _translated(lock.uri):
                _again(lambda: lock.api.delete_registered_model(lock.name))
    for name in leftovers:
        with contextlib.suppress(LedgerError), _translated(lock.uri):
            lock.api.delete_registered_model(name)


__all__ = ["PREFIX", "STALE", "Held", "held", "is_lock", "name_of"]
