"""Which files did a piece of code read and write? One audit hook, many observers.

Python reports ``open`` and friends to audit hooks (PEP 578); a hook cannot be removed, so there is one, and it
returns at once while no observer is active. Readers written in C, C++ or Rust that open files themselves are told of
by ``nbledger.core.readers``. Child processes cannot be seen into: their names are kept, so that the record can say so.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core.files import Signature, signature
from nbledger.core.project import Project
from nbledger.core.sieve import Sieve, modules_below

if TYPE_CHECKING:
    from nbledger.core.modeluse import ModelUse

MAX_FILES = 200_000  # files listed of one folder; a folder read that is larger is a mistake, not an input
_HERE = ("localhost", "0.0.0.0", "::", "::1", "*")  # noqa: S104 — names of this machine, not to bind to


@dataclass(frozen=True)
class Observation:
    """What was seen. ``reads`` maps absolute paths as named to the signature at the first read; ``real`` gives the
    resolved path of those that are reached through a link; ``children`` are names of programs whose reads are not
    seen; ``remote`` are addresses without credentials, ``hosts`` the machines talked to, whatever for. ``beyond``
    counts the files read after the observer's limit was reached. ``models`` were loaded through MLflow.
    """

    reads: dict[str, Signature] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)
    modules: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    remote: list[str] = field(default_factory=list)
    real: dict[str, str] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    beyond: int = 0
    models: list[ModelUse] = field(default_factory=list)


class Observer:
    """A window in time during which file accesses of this process are noted.

    Observers nest and overlap freely: each that is active gets every event. ``most`` bounds the reads kept.
    """

    def __init__(self, project: Project, notebook: Path | None = None, *, most: int = MAX_FILES) -> None:
        self._sieve = Sieve(project, notebook)
        self.prefixes = self._sieve.prefixes
        self._root = str(project.root)
        self._most = most
        self._beyond = 0
        self._own_hosts = _own_hosts(project.tracking_uri)
        self._reads: dict[str, Signature] = {}
        self._written: set[str] = set()
        self._shared: dict[str, Signature] = {}  # opened for both, or databases: written if they differ at the end
        self._children: dict[str, None] = {}
        self._remote: dict[str, None] = {}
        self._hosts: dict[str, None] = {}
        self._addresses: dict[str, None] = {}
        self._models: dict[ModelUse, None] = {}
        self._started = 0

    def start(self) -> Observer:
        """Begin; the hook and the readers' wrappers are installed by the first one."""
        self._started = time.time_ns()
        _install()
        global _active
        with _lock:
            _active = (*_active, self)
        return self

    def stop(self) -> Observation:
        """End, and what was seen of interest to the project. Never raises; stopping twice gives the same."""
        with unwatched():
            seen = self.close()
            modules = modules_below(self._root, self._sieve)
            code = set(modules)
            reads = {p: s for p, s in seen.reads.items() if p not in code and self._sieve.keeps(p)}
            writes = {p for p in seen.writes if self._sieve.keeps(p)}
            real = {p: r for p in reads if (r := os.path.realpath(p)) != p}
        return replace(seen, reads=reads, writes=writes, modules=modules, real=real)

    def close(self) -> Observation:
        """End, and what was seen, unsifted but for the folders of the system: cheap, for cells that no run needs yet."""
        global _active
        with _lock:
            _active = tuple(o for o in _active if o is not self)
        return self.seen()

    def seen(self) -> Observation:
        """What was seen so far, unsifted."""
        changed = {p for p, before in self._shared.items() if _signature(p) not in (before, None)}
        writes = {p for w in list(self._written | changed) for p in self._expand(w)}
        hosts = list(self._hosts) or list(self._addresses)
        reads, children, remote = dict(self._reads), list(self._children), list(self._remote)
        return Observation(reads, writes, [], children, remote, {}, hosts, self._beyond, list(self._models))

    def _expand(self, path: str) -> Iterator[str]:
        """A file that is there, or the files of a folder that changed since the start."""
        if os.path.isfile(path):
            yield path
        elif os.path.isdir(path):
            # File systems stamp with the time of the last tick, up to 10 ms ago.
            yield from (p for p, s in files_below(path) if s[3] >= self._started - 10_000_000)

    def read(self, path: str, seen: Signature | None = None) -> None:
        if path in self._reads or path in self._written or path.startswith(self.prefixes):
            return
        if len(self._reads) >= self._most:
            self._beyond += 1
            return
        found = seen or _signature(path)
        if found is not None:
            self._reads[path] = found

    def wrote(self, path: str) -> None:
        if not path.startswith(self.prefixes):
            self._written.add(path)

    def shared(self, path: str) -> None:
        """Opened to read and perhaps to write: an input if it is there already, an output if it changes."""
        if path.startswith(self.prefixes) or path in self._written:
            return
        found = _signature(path)
        if found is None:
            self._written.add(path)
            return
        self._shared.setdefault(path, found)
        self._reads.setdefault(path, found)

    def renamed(self, source: str, target: str) -> None:
        self._written.discard(source)
        self.wrote(target)

    def removed(self, path: str) -> None:
        self._written.discard(path)

    def child(self, name: str) -> None:
        self._children[name] = None

    def model(self, use: ModelUse) -> None:
        self._models[use] = None

    def remote(self, url: str) -> None:
        self._remote[url] = None
        self.host(host_of(url))

    def host(self, name: str) -> None:
        """A machine by name; this one and the tracking server do not count."""
        if name and name not in self._own_hosts and not name.startswith("127."):
            self._hosts[name] = None

    def address(self, number: str) -> None:
        """A machine by number: told only where no name was asked for."""
        if number not in self._own_hosts and not number.startswith(("127.", "::ffff:127.")):
            self._addresses[number] = None


def host_of(url: str) -> str:
    """The host of a web address; of another scheme (``s3://bucket/key``) the scheme with it, as a host alone misleads."""
    scheme, mark, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if not mark or not host:
        return ""
    if scheme.lower() in ("http", "https", "ftp", "ftps"):
        return re.sub(r":\d+$", "", host).strip("[]").lower()
    return f"{scheme}://{host}"


@lru_cache(16)
def _own_hosts(tracking_uri: str) -> frozenset[str]:
    import socket

    names = {*_HERE, "", host_of(tracking_uri), host_of(os.environ.get("MLFLOW_TRACKING_URI", ""))}
    return frozenset(names | {socket.gethostname(), socket.gethostname().partition(".")[0]})


_active: tuple[Observer, ...] = ()
_lock = threading.Lock()
_installed = False
_local = threading.local()

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Programs that libraries start to learn about the machine, and Git, which nbledger and MLflow ask about the code.
_PROBES = frozenset(
    (
        "ldconfig",
        "uname",
        "lscpu",
        "nvidia-smi",
        "gcc",
        "cc",
        "ld",
        "objdump",
        "fc-list",
        "lsb_release",
        "file",
        "git",
        "stty",
        "tput",
        "getconf",
    )
)


def watching() -> bool:
    """Is any observer active, and does it listen to this thread?"""
    return bool(_active) and not getattr(_local, "deaf", False)


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Leave out nbledger's own file accesses in this thread."""
    before = getattr(_local, "deaf", False)
    _local.deaf = True
    try:
        yield
    finally:
        _local.deaf = before


def _install() -> None:
    global _installed
    with _lock:
        if _installed:
            return
        _installed = True
    sys.addaudithook(_hook)
    from nbledger.core import readers  # here, because it reports to this module

    readers.install()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _active:
        return
    handle = _HANDLERS.get(event)
    if handle is None or getattr(_local, "deaf", False):
        return
    with contextlib.suppress(Exception):
        handle(*args)


def local_path(path: Any) -> str | None:
    """The absolute path that ``path`` names; None for descriptors, buffers, streams and empty names."""
    if isinstance(path, int) or path is None:
        return None
    name = os.fsdecode(os.fspath(path))
    return os.path.abspath(name) if name and "\0" not in name else None


def _signature(path: str) -> Signature | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return signature(found) if stat.S_ISREG(found.st_mode) else None


def files_below(folder: str) -> Iterator[tuple[str, Signature]]:
    """Regular files below ``folder`` with their signatures; hidden ones and linked folders are left out."""
    pending, count = [folder], 0
    while pending and count < MAX_FILES:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif (found := _signature(entry.path)) is not None:
                    count += 1
                    yield entry.path, found


def saw_read(name: str) -> None:
    """A reader that bypasses the hook reads ``name``: a file, or all files of a folder."""
    if os.path.isdir(name):
        for path, found in files_below(name):
            for observer in _active:
                observer.read(path, found)
        return
    _tell_read(name)


def _tell_read(name: str) -> None:
    """One look at the file for all observers."""
    if len(_active) == 1:
        _active[0].read(name)
        return
    found = _signature(name)
    if found is not None:
        for observer in _active:
            observer.read(name, found)


def saw_write(name: str) -> None:
    for observer in _active:
        observer.wrote(name)


def saw_shared(name: str) -> None:
    for observer in _active:
        observer.shared(name)


def saw_model(use: ModelUse) -> None:
    for observer in _active:
        observer.model(use)


def saw_remote(url: str) -> None:
    for observer in _active:
        observer.remote(url)


def _saw_child(name: str) -> None:
    if name and name not in _PROBES:
        for observer in _active:
            observer.child(name)


def _on_open(path: Any, _mode: Any, flags: int) -> None:
    # An import opens thousands of files of the interpreter's: those are dropped before anything is made of them.
    if type(path) is str and path.startswith(_active[0].prefixes) and ".." not in path and len(_active) == 1:
        return
    name = local_path(path)
    if name is None:
        return
    access = (flags or 0) & _WRITES
    if not access:
        _tell_read(name)
    elif access & os.O_RDWR and not access & os.O_TRUNC:
        saw_shared(name)
    else:
        saw_write(name)


def _on_sqlite(database: Any, *_ignored: Any) -> None:
    name = os.fsdecode(database) if isinstance(database, str | bytes | os.PathLike) else ""
    if name.startswith("file:"):
        name, _, options = name.removeprefix("file:").partition("?")  # SQLite's URI file names
        name = "" if "mode=memory" in options else name
        name = name[name.find("/", 2) :] if name.startswith("//") else name
    if name and name != ":memory:":
        saw_shared(os.path.abspath(name))


def _on_rename(source: Any, target: Any, *_: Any) -> None:
    old, new = local_path(source), local_path(target)
    if old and new:
        for observer in _active:
            observer.renamed(old, new)


def _on_remove(path: Any, *_: Any) -> None:
    name = local_path(path)
    if name:
        for observer in _active:
            observer.removed(name)


def _on_truncate(path: Any, *_: Any) -> None:
    name = local_path(path)
    if name:
        saw_write(name)


def _on_link(_source: Any, target: Any, *_: Any) -> None:
    name = local_path(target)
    if name:
        saw_write(name)


def _on_popen(executable: Any, args: Any, *_: Any) -> None:
    words = [os.fsdecode(a) for a in args] if isinstance(args, list | tuple) else [os.fsdecode(args)]
    program = os.path.basename(os.fsdecode(executable) if executable else words[0])
    if program in ("sh", "bash", "dash", "zsh") and len(words) > 2 and words[1] == "-c":
        program = _first_word(words[2])
    _saw_child(program)


def _first_word(command: str) -> str:
    """The program of a shell command; never its arguments, which may hold secrets."""
    words = [w for w in command.split() if "=" not in w]
    return os.path.basename(words[0]) if words else "sh"


def _on_exec(path: Any, *_: Any) -> None:
    _saw_child(os.path.basename(os.fsdecode(os.fspath(path))))


def _on_system(command: Any) -> None:
    _saw_child(_first_word(os.fsdecode(command)))


def _on_fork() -> None:
    _saw_child("a forked worker process")


def _on_lookup(host: Any, *_: Any) -> None:
    name = os.fsdecode(host) if isinstance(host, str | bytes) else ""
    for observer in _active:
        observer.host(name.rstrip(".").lower())


def _on_connect(_socket: Any, address: Any) -> None:
    if isinstance(address, tuple) and address and isinstance(address[0], str):
        for observer in _active:
            observer.address(address[0])


def _on_request(url: Any, *_: Any) -> None:
    name = host_of(url) if isinstance(url, str) and url.lower().startswith(("http", "ftp")) else ""
    for observer in _active:
        observer.host(name)


_HANDLERS: dict[str, Any] = {
    "socket.getaddrinfo": _on_lookup,
    "socket.connect": _on_connect,
    "urllib.Request": _on_request,
    "open": _on_open,
    "sqlite3.connect": _on_sqlite,
    "os.rename": _on_rename,
    "os.remove": _on_remove,
    "os.truncate": _on_truncate,
    "os.link": _on_link,
    "subprocess.Popen": _on_popen,
    "os.exec": _on_exec,
    "os.posix_spawn": _on_exec,
    "os.spawn": lambda _mode, path, *_: _on_exec(path),
    "os.system": _on_system,
    "os.fork": _on_fork,
    "os.forkpty": _on_fork,
}
