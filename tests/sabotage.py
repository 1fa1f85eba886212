"""Faults inside the ledger's own code, caused in a real kernel: imported there, it raises at a chosen function or line.

``traced()`` finds by tracing what of the ledger a tracked cell calls; ``broken`` makes one of these functions raise,
``interrupted`` sends SIGINT to the kernel as it comes to a chosen line of them.
"""

from __future__ import annotations

import dis
import errno
import gc
import linecache
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

import nbledger
import nbledger_magics

OURS = tuple(os.path.dirname(str(package.__file__)) + os.sep for package in (nbledger, nbledger_magics))
KINDS: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: RuntimeError("sabotage"),
    "ENOSPC": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
}

_kind = "Exception"
_seen: dict[CodeType, None] = {}
_entries: dict[CodeType, None] = {}
_restore: list[tuple[FunctionType, CodeType]] = []
_left = 0
lines = 0
"""How many lines of the ledger ran since the last ``interrupted``."""
where = ""


def _ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(OURS)


def _below_ours(frame: FrameType) -> bool:
    above = frame.f_back
    while above is not None and not _ours(above):
        above = above.f_back
    return above is not None


def _note(frame: FrameType, event: str, _arg: Any) -> None:
    if event == "call" and _ours(frame):
        (_seen if _below_ours(frame) else _entries)[frame.f_code] = None


def trace() -> None:
    """From now on, note which functions of the ledger are called."""
    _seen.clear()
    sys.setprofile(_note)


def traced() -> list[str]:
    """Their names; those that Python or IPython call themselves are left out: nothing of ours is there to catch it."""
    sys.setprofile(None)
    for code in _entries:
        _seen.pop(code, None)
    for code in [code for code in _seen if code.co_name in ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")]:
        del _seen[code]
    return [f"{code.co_filename.removeprefix(os.path.dirname(OURS[0][:-1]))}:{code.co_qualname}" for code in _seen]


def _raises(*_args: Any, **_words: Any) -> Any:
    import sabotage  # the globals are those of the function that this code is put into

    fault = sabotage.KINDS[sabotage._kind]()
    raise fault


def broken(number: int, kind: str) -> None:
    """Make the function of that number (of ``traced()``) raise whenever it is called."""
    global _kind
    _kind = kind
    code = list(_seen)[number]
    functions = [f for f in gc.get_referrers(code) if isinstance(f, FunctionType) and f.__code__ is code]
    for function in functions:
        _restore.append((function, code))
        function.__code__ = _raises.__code__.replace(co_freevars=code.co_freevars, co_name=code.co_name)
    if not functions:  # made anew at each call: raise in the frame

        def raise_there(frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "call" and frame.f_code is code:
                fault = KINDS[kind]()
                raise fault

        sys.settrace(raise_there)


def mended() -> None:
    """Take ``broken`` back."""
    sys.settrace(None)
    while _restore:
        function, code = _restore.pop()
        function.__code__ = code


def interrupted(at: int) -> None:
    """SIGINT as the ``at``-th line of the ledger's is about to run (0: never; the lines are counted all the same).

    The first line of a function that Python or IPython calls itself does not count: what is raised there is raised
    before the function has begun.
    """
    global _left, lines, where
    _left, lines, where = at, 0, "-"

    begun = False

    def line(frame: FrameType, event: str, _arg: Any) -> Any:
        global _left, lines, where
        if event == "line":
            lines += 1
            if lines == _left and _leaves_a_with(frame):
                _left += 1
            elif lines == _left:
                where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        elif event == "return" and frame.f_code.co_name == "after_cell":
            sys.settrace(None)
        return line

    def first(_frame: FrameType, event: str, _arg: Any) -> Any:
        return line if event == "line" else first

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        nonlocal begun
        if not _ours(frame):
            return None
        begun = begun or frame.f_code.co_name in ("transform", "before_cell")  # of the next cell
        return None if not begun else line if _below_ours(frame) else first

    sys.settrace(call)


def _leaves_a_with(frame: FrameType) -> bool:
    """Whether the line is that of a ``with`` whose block has ended: no ``__exit__`` would be called, so a lock would stay held
    for ever. Python handles no signal there, only after a call, a jump back and at the start of a function.
    """
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return source.startswith("with ") and dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("LOAD_CONST", "SWAP")


def uninterrupted() -> None:
    sys.settrace(None)


def names(shell: Any) -> dict[str, str]:
    """The namespace as the user has it: {name: repr}."""
    own = shell.user_ns_hidden
    return {k: repr(v) for k, v in sorted(shell.user_ns.items()) if k not in own and not k.startswith("_")}


def left() -> Iterator[str]:
    """Names of the functions that are broken now."""
    return (function.__qualname__ for function, _ in _restore)
