"""The keeper: one process a project that publishes journals, closes orphaned runs and answers calls.

``python -m nbledger.keeper HOME`` takes the project's keeper lock (a second keeper exits at once), announces its
endpoint, warms up, and ends when nothing has happened for a while and no open run needs watching.

Protocol: one JSON object a line, one request a connection: ``{"secret", "version", "call", "context", "args"}``, the
secret first (``reception.py``) and the words of the call as ``schemas.py`` has them. Replies are any number of
``{"progress": [done, total, text]}`` and then one ``{"result"}`` or ``{"error"}``. The call ``watch`` is answered for as
long as its connection lives (``stream.py``).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import logging.handlers
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbledger
from nbledger.core import mlflow, trust
from nbledger.core.errors import Busy, LedgerError, Unreachable, UsageError
from nbledger.core.files import lock
from nbledger.core.project import Project, find
from nbledger.core.secrets import scrub, take_store_login
from nbledger.keeper import abreast, calls, changes, endpoint, jobs, reception, table, watching
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher
from nbledger.keeper import stream as changes_stream

_TICK = 1.0
_RETRY = 5.0
_PATIENCE = 600.0
"""Seconds that a keeper which is to end waits for the calls it is doing."""
_ANSWER = 60.0
"""Seconds that the other side has to take an answer."""
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO)
"""Why a connection may not be accepted now, and the next one can."""
log = logging.getLogger("nbledger.keeper")


class Keeper:
    """The state of the running keeper: its project, when it was last needed, and who waits to be published."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.secret = secrets.token_hex(16)
        self._reception = reception.Reception(self.secret)
        self._key = project.key
        self.touched = time.monotonic()
        self.stopping = threading.Event()
        self.work = threading.Event()
        self._calls = 0
        self._wake: Callable[[], None] = lambda: None
        self._counting = threading.Condition()
        self._failed_at: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._abreast = abreast.Abreast(self._look_after)

    def serve(self) -> None:
        """Accept connections until idle or told to stop."""
        changes.serve()
        server, address = endpoint.listen(self.project)
        self._wake = lambda: server.shutdown(socket.SHUT_RDWR)
        pid = os.getpid()
        endpoint.announce(
            self.project,
            endpoint.Endpoint(address, self.secret, pid, journals.process_started(pid), nbledger.__version__),
        )
        threading.Thread(target=self._publish_loop, name="publisher", daemon=True).start()
        server.settimeout(_TICK)
        try:
            while not self.stopping.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    if self._idle():
                        break
                    continue
                except OSError as err:
                    if self.stopping.is_set():
                        break  # woken by the call that stops
                    if err.errno not in _PASSING:
                        raise
                    time.sleep(0.1)
                    continue
                self._admit(connection)
        finally:
            changes.close()
            endpoint.withdraw(self.project, pid)
            self._admit_the_last(server)
            server.close()
            jobs.close()
            with self._counting:
                self._counting.wait_for(lambda: not self._calls, _PATIENCE)
            table.close()

    def _idle(self) -> bool:
        if self.project.key != self._key:
            return True  # the ledger's folder was removed, or made anew for another project
        minutes = self.project.settings.keeper_idle_minutes
        if self._calls or changes.watched() or jobs.busy():
            self.touched = time.monotonic()
            return False
        waits = trust.trusted(self.project) and any(journals.pending(self.project))
        return time.monotonic() - self.touched > minutes * 60 and not waits

    def _admit_the_last(self, server: socket.socket) -> None:
        """Answer those who called before the endpoint was withdrawn and were not listened to yet."""
        server.settimeout(0)
        with contextlib.suppress(OSError):  # nobody is left
            while True:
                self._admit(server.accept()[0])

    def _admit(self, connection: socket.socket) -> None:
        """Give the connection a thread of its own, if it may have one. From now on the keeper does not end before it."""
        try:
            self._reception.enter(connection)
        except LedgerError as err:
            reception.refuse(connection, err)
            return
        try:
            self._count(1)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._count(-1)
            self._reception.leave()
            reception.refuse(connection, Busy("the keeper can begin no more work", "try again in a moment"))

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                try:
                    request = self._reception.request(connection)
                    if request is None:
                        return
                    if request["call"] == "watch":
                        changes_stream.serve(self._asked_about(request), connection)
                        return
                    connection.settimeout(_ANSWER)
                    reply = '{"result": ' + self._call(request, connection) + "}"
                except Exception as err:
                    reply = json.dumps({"error": _problem(err).as_dict()})
                connection.settimeout(_ANSWER)
                connection.sendall(reply.encode() + b"\n")
                reception.dismiss(connection)
        finally:
            self._reception.leave()
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._calls += change
            self._counting.notify_all()

    def _asked_about(self, request: dict[str, Any]) -> Project:
        """This keeper's project, with the store and from the work tree that the request names."""
        project = calls.project_of(request.get("context", {}))
        if project.key != self._key:
            raise UsageError("this keeper is another project's", "run this again; nbledger doctor says more")
        return project

    def _call(self, request: dict[str, Any], connection: socket.socket) -> str:
        """The call's result as JSON."""
        self.touched = time.monotonic()
        name, args = request["call"], request.get("args", {})
        take_store_login(request.get("login"))
        if name == "ping":
            warm = "mlflow" in sys.modules
            return json.dumps({"version": nbledger.__version__, "pid": os.getpid(), "warm": warm})
        if name == "stop":
            self.stopping.set()
            changes.close()
            with contextlib.suppress(OSError):  # not every system wakes a listener so; then it takes a second
                self._wake()
            return "true"
        if name == "notify":
            mlflow.remember_login(str(request.get("context", {}).get("uri", "")))
            self.work.set()
            return "true"
        if name not in calls.TABLE:
            raise UsageError(f"the keeper knows no call {name[:40]!r}")

        def progress(done: int, total: int, text: str) -> None:
            try:
                connection.sendall(json.dumps({"progress": [done, total, text]}).encode() + b"\n")
            except OSError as err:
                if name in calls.GIVEN_UP:  # by Ctrl-C, as a rule
                    raise LedgerError("who asked for it is not there any more") from err

        try:
            return calls.text(calls.perform(self._asked_about(request), name, args, progress))
        finally:
            self.touched = time.monotonic()

    def _publish_loop(self) -> None:
        try:
            if self.project.embedded:
                mlflow.ensure_embedded(self.project)
            mlflow.client(self.project)
        except LedgerError as err:
            log.warning("warm-up: %s", err)
        except Exception:
            log.exception("warm-up")
        while not self.stopping.is_set():
            self.work.wait(_TICK)
            self.work.clear()
            try:
                self._look_around()
                dead: set[str] = set()
                for path in journals.pending(self.project) if trust.trusted(self.project) else ():
                    if abreast.remote(publisher.store_of(path)):
                        self._abreast.add(path, dead)
                    else:
                        self._look_after(path, dead)
            except Exception:
                log.exception("publishing")

    def _look_around(self) -> None:
        """See the repository that was made since: a keeper may be older than ``init``, and what is trusted is the repository."""
        here = self.project
        if (here.git is None and (here.root / ".git").exists()) or (
            here.dvc_root is None and (here.root / ".dvc").is_dir()
        ):
            self.project = calls.project_of(calls.context(here))

    def _look_after(self, path: Path, dead: set[str]) -> bool | None:
        """Publish one journal if it grew, its kernel died, or its last failure is old enough. Whether its store took it; None
        where that was not tried.
        """
        failed = self._failed_at.get(path.name)
        if (failed is not None and time.monotonic() - failed < _RETRY) or (uri := publisher.store_of(path)) in dead:
            return None
        try:
            stat = self._events(path)
            if stat is None:
                return None
            mark = (stat.st_size, stat.st_mtime_ns)
            grown = self._seen.get(path.name) != mark or failed is not None
            if not grown and publisher.orphaned(path):
                publisher.close_orphan(path)
                grown = True
            if grown:
                begun = path.name not in self._seen
                ended = publisher.publish(self.project, path)
                self._seen[path.name] = mark
                self._failed_at.pop(path.name, None)
                self._tell(path.name, state=begun or ended)
                return True
        except Unreachable as err:
            dead.add(uri)
            self._failed(path, err)
            return False
        except (LedgerError, OSError) as err:
            if mlflow.shut_out(err):
                dead.add(uri)
            if isinstance(err, FileNotFoundError) and not path.is_dir():
                return None  # another process published it meanwhile
            self._failed(path, err)
        except Exception:
            self._failed_at[path.name] = time.monotonic()
            log.exception("journal %s", path.name)
        return None

    def _events(self, path: Path) -> os.stat_result | None:
        """Of the file of events; None where the journal is just being made, or its writer died at that (it goes then)."""
        try:
            return (path / "events.jsonl").stat()
        except FileNotFoundError:
            if path.is_dir():
                publisher.publish(self.project, path)
            return None

    def _tell(self, journal: str, *, state: bool) -> None:
        """A run was published further; whether the state shows that as well."""
        if changes.watched():
            if state:
                changes.tell(self.project, "state")
            run = publisher.run_id_of(self.project, journal)
            watching.published(self.project, run)

    def _failed(self, path: Path, err: Exception) -> None:
        changes.tell(self.project, "state", "runs")
        if path.name not in self._failed_at:
            log.warning("journal %s: %s", path.name, err)
        self._failed_at[path.name] = time.monotonic()


def _problem(err: Exception) -> LedgerError:
    """What is answered to a call that failed."""
    if isinstance(err, LedgerError):
        return err
    if isinstance(err, ValueError | KeyError | TypeError | AttributeError):
        log.error("bad request", exc_info=err)
        return LedgerError(f"the keeper could not do that: {err!r}")
    log.error("call failed", exc_info=err)
    return LedgerError(f"{type(err).__name__}: {err}")


def _dismissed(project: Project) -> bool:
    """Ask a keeper of another version to end; whether there was one."""
    known = endpoint.load(project)
    if known is None or known.version == nbledger.__version__:
        return False
    if journals.process_started(known.pid) != known.created:
        return False
    request = {"secret": known.secret, "call": "stop", "context": {}, "args": {}}
    with contextlib.suppress(OSError), endpoint.connect(known, 2) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        connection.recv(64)
    return True


class _Scrubbing(logging.Formatter):
    """Lines of the log without credentials, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def main(home: str) -> int:
    """Run the keeper of the project whose main work tree is ``home``; 0 also when one is running already."""
    os.chdir(home)
    mlflow.refuse_pickles()
    project = find(Path(home))
    project.ensure_state()
    handler = logging.handlers.RotatingFileHandler(project.state / "keeper.log", maxBytes=1_000_000, backupCount=1)
    handler.setFormatter(_Scrubbing("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    log.setLevel(logging.INFO)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    try:
        patience = 30 if _dismissed(project) else 0.2
        with lock(project.state / "keeper.lock", timeout=patience, what="the keeper"):
            log.info("started, pid %s, version %s", os.getpid(), nbledger.__version__)
            keeper = Keeper(project)
            signal.signal(signal.SIGTERM, lambda *_: keeper.stopping.set())
            keeper.serve()
            log.info("stopped")
    except Busy:
        return 0
    return 0
