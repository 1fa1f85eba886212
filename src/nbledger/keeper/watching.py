"""What the keeper does while somebody watches a project: it watches the files and looks after the table of runs.

Files are watched through the system (``watchfiles``), folder by folder, so that what Git ignores costs nothing. Where the
system has no watches left, or there are too many folders, the state is looked at every few seconds instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import calls, changes, overview, table, watched
from nbledger.keeper.watched import Folders, Meaning, TooMany

_CALM, _STORM = (400, 50), (1500, 250)
"""Milliseconds: how long changes are gathered at most, and how long a silence ends that."""
_MANY = 500  # changes at once that make a storm
_LOOK = 2.0  # seconds between two looks without a watch
_AGAIN = 60.0  # seconds after which a watch is tried again
_SHARE = 5  # folders are listed again after this many times as long as it took
_STORE, _SERVER = 0.4, 3.0
_ADDED = 1
log = logging.getLogger("nbledger.keeper")
_attentions: dict[tuple[str, ...], Attention] = {}
_lock = threading.Lock()


class Attention:
    """The threads that watch one work tree and one store. ``trouble`` says why its files cannot be watched; empty if they are."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.holders = 0
        self.trouble = ""
        self._stop = threading.Event()
        self._store_changed = threading.Event()

    def start(self) -> None:
        for name, work in (("files", self._files), ("store", self._store)):
            threading.Thread(target=work, name=f"watch {name}", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._store_changed.set()

    def look_at_store(self) -> None:
        self._store_changed.set()

    def _files(self) -> None:
        while not self._stop.is_set():
            try:
                self.project = calls.project_of(calls.context(self.project))  # a repository may have been made
                self._watch(watched.folders(self.project))
                self.trouble = ""
            except TooMany:
                self._look_instead(f"more than {watched.MOST_FOLDERS:,} folders")
            except OSError as err:
                if not self.project.root.is_dir():
                    self._stop.wait(_LOOK)
                    continue
                log.warning("files are not watched: %s", err)
                self._look_instead("the system's limit of watches is reached" if _is_limit(err) else str(err))
            except Exception as err:
                log.exception("watching files")
                self._look_instead(str(err))

    def _watch(self, what: Folders) -> None:
        """Watch these folders until others are to be watched."""
        from watchfiles._rust_notify import RustNotify

        begun = time.monotonic()
        meaning = Meaning(self.project, what)
        with RustNotify(what.all(), False, False, 0, False, True) as notify:
            if self.trouble:
                self.trouble = ""
            self._tell(what.pipeline)  # what happened before the watch began
            took = time.monotonic() - begun
            due: float | None = None
            pace = _CALM
            while not self._stop.is_set() and (due is None or time.monotonic() < due):
                left = 5000 if due is None else max(1, int((due - time.monotonic()) * 1000))
                heard = notify.watch(*pace, left, self._stop)
                if not isinstance(heard, set):
                    continue
                pace = _STORM if len(heard) > _MANY else _CALM
                paths = {path for _, path in heard}
                if any(os.path.basename(path).startswith("mlflow.db") for path in paths):
                    self._store_changed.set()
                if meaning.of(paths):
                    self._tell(what.pipeline or any(path.endswith("dvc.yaml") for path in paths))
                if due is None and self._others(heard):
                    due = time.monotonic() + (0 if time.monotonic() - begun > 1 else _SHARE * took)

    def _others(self, heard: set[tuple[int, str]]) -> bool:
        """Whether other folders may matter now: one was made, data was tracked, rules changed, or too much was heard."""
        if len(heard) > _MANY:
            return True
        names = ("dvc.yaml", "dvc.lock", ".gitignore", ".git", "unversioned.json")
        return any(
            path.endswith(".dvc") or os.path.basename(path) in names or (kind == _ADDED and os.path.isdir(path))
            for kind, path in heard
        )

    def _look_instead(self, why: str) -> None:
        """Look at the state every few seconds, and tell when it is another one."""
        self.trouble = why
        changes.tell(self.project, "state", "pipeline")
        until = time.monotonic() + _AGAIN
        last: Any = None
        while not self._stop.is_set() and time.monotonic() < until:
            begun = time.monotonic()
            try:
                state: Any = overview.status(self.project)
            except (LedgerError, OSError) as err:
                state = str(err)
            if last is not None and state != last:
                changes.tell(self.project, "state", "pipeline")
            last = state
            self._stop.wait(max(_LOOK, _SHARE * (time.monotonic() - begun)))

    def _tell(self, pipeline: bool) -> None:
        changes.tell(self.project, "state", *(["pipeline"] if pipeline else []))

    def _store(self) -> None:
        """Keep the table of runs up to date with what others write."""
        last = _signs(self.project)
        while not self._stop.is_set():
            self._store_changed.wait(_STORE if self.project.tracking_uri.startswith("sqlite:") else _SERVER)
            self._store_changed.clear()
            try:
                now = _signs(self.project)
                index = table.known(self.project)
                if index is None:
                    if now != last:
                        changes.tell(self.project, "runs")
                elif now != last or now is None or index.owes:
                    index.refresh()
                last = now
            except (LedgerError, OSError) as err:
                log.info("the table of runs: %s", err)
                self._stop.wait(_LOOK)
            except Exception:
                log.exception("the table of runs")
                self._stop.wait(_LOOK)


def _signs(project: Project) -> object:
    """What changes whenever a SQLite store does; None for any other."""
    if not project.tracking_uri.startswith("sqlite:///"):
        return None
    path, found = urllib.parse.unquote(project.tracking_uri.removeprefix("sqlite:///")), []
    for ending in ("", "-wal"):
        try:
            stat = os.stat(path + ending)
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            found.append((0, 0, 0))
    return found


def _is_limit(err: OSError) -> bool:
    return "limit" in str(err).lower() or err.errno in (24, 28)


@contextlib.contextmanager
def attentive(project: Project) -> Iterator[None]:
    """Watch the project for as long as this lasts."""
    key = _key(project)
    with _lock:
        held = _attentions.get(key)
        if held is None:
            held = _attentions[key] = Attention(project)
            held.start()
        held.holders += 1
    try:
        yield
    finally:
        with _lock:
            held.holders -= 1
            if not held.holders:
                held.stop()
                del _attentions[key]


def trouble(project: Project) -> str | None:
    """Why the files of the project are not watched; "" if they are; None while nobody watches."""
    held = _attentions.get(_key(project))
    return held.trouble if held is not None else None


def _key(project: Project) -> tuple[str, ...]:
    """Askers may name another store than the project's files do: theirs is the one that is watched for them."""
    return str(project.root), project.tracking_uri, project.experiment


def published(project: Project, run: str | None) -> None:
    """The keeper wrote to a run: those who watch hear of it when the table has it."""
    if run is not None:
        table.touched(project, run)
    if table.known(project) is None:
        changes.tell(project, "runs")
    for held in list(_attentions.values()):
        held.look_at_store()
