"""A process that has imported what a notebook imports at its top, and is forked for each kernel of ``run --reuse``.

Run as a script by the kernel's own interpreter, which need not have nbledger; nothing but the standard library is used.
Standard input is a socket to the runner (``warm``). A line of JSON each way: what to import, then one request a kernel,
with its standard output and error; answered by process ids, and by how each ended.

A fork is what a fresh kernel would be after its imports, so only what leaves no mark on others is imported here. After each
import it is looked at whether it printed, read a file of the notebook's folder, used the running shell, began a thread that
survives the preparation for a fork, or opened a graphics card: the runner is told, and begins again without that module and
those after it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # as a script: its own folder must not be looked at for modules
    _folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if not place or os.path.abspath(place) != _folder]

import builtins
import contextlib
import gc
import importlib
import importlib.util
import json
import runpy
import select
import signal
import socket
import sysconfig
import types
from collections.abc import Iterable, Iterator
from typing import Any

Request = dict[str, Any]
_TASKS, _FDS = "/proc/self/task", "/proc/self/fd"
_AHEAD = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as a kernel sets it before any cell
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's second allocator: else it starts a thread when it is loaded
}
"""Variables that are set while modules are imported, unless the person has set them."""
_CARDS = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


class Unsafe(Exception):
    """A module that must not be imported here."""


class _Later:
    """Stands for a standard stream while modules are imported: one that keeps it writes to the stream of its kernel."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _now(self) -> Any:
        found = getattr(sys, self._name)
        return getattr(sys, f"__{self._name}__") if found is self else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._now(), name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())


class _Shell:
    """Stands for the running shell while modules are imported. Many ask whether there is one, and whether it is a
    notebook's (pandas shows tables accordingly): there will be. Who asks for more than that has to be imported where it is.
    """

    def __init__(self) -> None:
        self.asked = False
        self.importing = False

    def __getattr__(self, name: str) -> Any:
        if not self.importing:  # a module has kept it
            return getattr(sys.modules["IPython"].get_ipython(), name)
        if name == "kernel":
            return self
        self.asked = True
        raise AttributeError(name)


_ZMQShell = type("ZMQInteractiveShell", (_Shell,), {"__module__": "ipykernel.zmqshell"})


class Imports:
    """What is imported ahead; each step ``Unsafe`` with why it must not be."""

    def __init__(self) -> None:
        self._shell = _ZMQShell()
        self._places, self._folder, self._read = _installed(), os.path.realpath(os.curdir), ""
        sys.addaudithook(self._opened)
        self._said = os.memfd_create("said") if hasattr(os, "memfd_create") else -1
        if not os.path.isdir(_TASKS) or self._said < 0:
            raise Unsafe("runs on a system that does not tell of its threads")
        for stream in (1, 2):
            os.dup2(self._said, stream)

    def of_kernel(self, names: Iterable[str]) -> None:
        """Modules that every kernel loads; one that is not there is none of ours."""
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self._printed()  # which went to no cell's output
        self._check()

    def installed(self, name: str) -> bool | None:
        """Whether a module is of an installed package or of Python itself; None where there is none of that name."""
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            return True
        with contextlib.suppress(ImportError, ValueError):
            found = importlib.util.find_spec(top)
            if found is None:
                return None
            places = [found.origin] if found.has_location else list(found.submodule_search_locations or ())
            return bool(places) and all(_below(place, self._places) for place in places if place)
        return False

    def of_notebook(self, name: str, parts: Iterable[str]) -> None:
        """``import name``, or ``from name import parts``."""
        known = set(sys.modules)
        try:
            with self._watched():
                module = importlib.import_module(name)
                for part in parts:
                    if not hasattr(module, part):
                        with contextlib.suppress(ModuleNotFoundError):
                            importlib.import_module(f"{name}.{part}")
        finally:
            if self._shell.asked:
                raise Unsafe("uses the running shell when it is imported")
        if self._read:  # it may be another for the next kernel, and would not be seen as what the run has read
            raise Unsafe(f"reads {os.path.relpath(self._read, self._folder)} when it is imported")
        for each in set(sys.modules) - known:
            origin = getattr(getattr(sys.modules.get(each), "__spec__", None), "origin", None)
            if origin and os.path.isabs(origin) and not _below(origin, self._places):
                raise Unsafe(f"loads {each}, which is not installed")
        self._check()

    def _opened(self, event: str, found: tuple[Any, ...]) -> None:
        """Note a file of the notebook's folder that a module opens."""
        if event == "open" and self._shell.importing and isinstance(found[0], str):
            path = os.path.abspath(found[0])
            if _below(path, (self._folder,)) and not _below(path, self._places):
                self._read = path

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """While the block runs, whoever asks for the shell is answered by one that notes it."""
        kind: Any = sys.modules["IPython.core.interactiveshell"].InteractiveShell
        builtins.get_ipython = lambda: self._shell  # type: ignore[attr-defined]
        kind.initialized, kind.instance = classmethod(lambda _: True), classmethod(lambda _: self._shell)
        self._shell.importing = True
        try:
            yield
        finally:
            self._shell.importing = False
            del builtins.get_ipython, kind.initialized, kind.instance  # type: ignore[attr-defined]

    def close(self) -> None:
        os.close(self._said)

    def _printed(self) -> bool:
        """Whether something was printed since this was asked."""
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        printed = os.fstat(self._said).st_size > 0
        os.truncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        return printed

    def _check(self) -> None:
        if self._printed():
            raise Unsafe("prints when it is imported")
        cards = [at for at in map(_target, os.listdir(_FDS)) if at.startswith(_CARDS)]
        if cards:
            raise Unsafe(f"opens {cards[0]}")
        child = os.fork()  # libraries that know of forks, such as OpenBLAS, end their threads before one
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        if (count := len(os.listdir(_TASKS))) > 1:
            raise Unsafe("leaves a thread running" if count == 2 else f"leaves {count - 1} threads running")


def _target(descriptor: str) -> str:
    try:
        return os.readlink(os.path.join(_FDS, descriptor))
    except OSError:
        return ""


def _installed() -> tuple[str, ...]:
    """The folders of installed packages, and of Python itself."""
    import site

    found = {sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib", "platstdlib")}
    with contextlib.suppress(AttributeError):
        found.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        found.add(site.getusersitepackages())
    return tuple(os.path.realpath(place) for place in found if place)


def _below(path: str, places: Iterable[str]) -> bool:
    path = os.path.realpath(path)
    return any(path == place or path.startswith(place + os.sep) for place in places)


def _say(line: socket.socket, **said: Any) -> None:
    with contextlib.suppress(OSError):
        line.sendall(json.dumps(said).encode() + b"\n")


def _hear(line: socket.socket) -> tuple[Request | None, list[int]]:
    """The next request and the descriptors that came with it; None once the runner has gone."""
    first, handles, _, _ = socket.recv_fds(line, 1, 2)
    text = first
    while not text.endswith(b"\n"):
        more = line.recv(1 << 16)
        if not more:
            return None, list(handles)
        text += more
    return json.loads(text), list(handles)


def _imported(line: socket.socket, wanted: Request) -> bool:
    """Import what is wanted, as far as it is installed; False where it cannot be forked after that. The runner is told."""
    at, name, plain = -1, "the kernel", set[str]()
    try:
        ahead = Imports()
        ahead.of_kernel(wanted["kernel"])
        plain = set(sys.modules)
        ahead.of_kernel(wanted["ledger"])
        for name, parts in wanted["notebook"]:
            at += 1
            there = ahead.installed(name)
            if there is False:  # what it does to the modules after it is not known
                break
            if there:
                ahead.of_notebook(name, parts)
    except Unsafe as why:
        _say(line, unsafe=at, module=name, why=str(why))
        return False
    except BaseException as err:  # modules raise what they like
        _say(line, unsafe=at, module=name, why=f"fails when it is imported ({type(err).__name__})")
        return False
    ahead.close()
    names = sorted({each.partition(".")[0] for each in set(sys.modules) - plain})
    gc.collect()
    gc.freeze()  # what is shared with the forks is left alone by their collections
    _say(line, ready=True, names=names)
    return True


def _serve(line: socket.socket) -> tuple[Request, list[int]] | None:
    """Fork for each request. Returns the request in each fork; None in the server once the runner has gone."""
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    living: set[int] = set()
    while True:
        ready, _, _ = select.select([line.fileno(), woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            for pid in list(living):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    living.discard(pid)
                    _say(line, ended=pid, code=os.waitstatus_to_exitcode(status))
        if line.fileno() not in ready:
            continue
        try:
            request, handles = _hear(line)
        except OSError:
            request, handles = None, []
        if request is None:
            for pid in living:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
            return None
        leads, led = os.pipe()
        pid = os.fork()
        if not pid:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (woken, waker, leads, led):
                os.close(end)
            line.close()
            return request, handles
        living.add(pid)
        os.close(led)
        os.read(leads, 1)  # until it leads a group of its own: the runner may signal that as soon as it knows of it
        os.close(leads)
        for handle in handles:
            os.close(handle)
        _say(line, forked=pid, number=request["number"])


def _become(request: Request, handles: list[int], before: dict[str, str]) -> None:
    """Make this fork what the process of a fresh kernel is: its streams, folder, environment, command line and chance."""
    for stream, handle in zip((1, 2), handles, strict=False):
        os.dup2(handle, stream)
    for handle in handles:
        os.close(handle)
    wanted = request["environment"]
    for name in before.keys() - wanted.keys():
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in wanted.items() if before.get(name) != value})
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    os.chdir(request["folder"])
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, os.getcwd())  # as -m does; the kernel's launcher takes it away
    sys.argv[:] = ["-m", *request["words"]]
    sys.orig_argv[:] = request["command"]
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:  # Python's own generator does the same by itself in a fork
        numpy.seed()
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.current_process().authkey = os.urandom(32)


def main() -> None:
    """Import, and serve; in a fork, be a kernel."""
    line = socket.socket(fileno=os.dup(0))
    os.set_inheritable(line.fileno(), False)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    wanted, _ = _hear(line)
    if wanted is None:
        return
    before = dict(os.environ)
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # the kernel's classes look at it when they are made
    os.environ.update({name: value for name, value in _AHEAD.items() if name not in before})
    sys.modules["__main__"] = types.ModuleType("__main__")
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Later("stdout"), _Later("stderr")
    served = _serve(line) if _imported(line, wanted) else None
    if served is None:
        os._exit(0)  # what modules do at the exit is for the kernels
    sys.stdout, sys.stderr = streams
    for name in _AHEAD.keys() - before.keys():
        del os.environ[name]
    request, handles = served
    _become(request, handles, before)
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
