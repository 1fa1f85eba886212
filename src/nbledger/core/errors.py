"""The errors nbledger raises: one line that says what is wrong, one that says what to do.

Every face maps them once: the command line to an exit code, a notebook to one line without a traceback
(IPython calls ``_render_traceback_`` where an exception defines it).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import ClassVar

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class LedgerError(Exception):
    """Something nbledger was asked to do and could not.

    ``hint`` is the next step for the person; ``exit_code`` what the command line returns
    (1 no, 2 wrong usage, 3 could not).
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line, whatever the names in it hold: what would move a terminal's cursor is shown escaped."""
        text = f"{self.message} — {self.hint}" if self.hint else self.message
        return text if text.isprintable() else _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)

    def as_dict(self) -> dict[str, object]:
        """The ``error`` shape of ``--json``, plus the class, so that a client can raise the same error."""
        return {"error": self.message, "hint": self.hint, "code": self.exit_code, "kind": type(self).__name__}

    def _render_traceback_(self) -> list[str]:
        return [f"nbledger: {self}"]


class UsageError(LedgerError):
    """The words of the call are wrong: a misspelt option, an unknown run, a path that is not there."""

    exit_code = 2


class Refused(LedgerError):
    """nbledger could, and will not: going on would lose or mislead."""


class Untrusted(Refused):
    """Going on would execute code of a project that the person has not trusted."""


class Busy(LedgerError):
    """Another process holds what is needed."""


class ToolFailed(LedgerError):
    """Git, DVC or MLflow failed; the message carries its own words."""


class Unreachable(LedgerError):
    """The tracking server or the keeper did not answer in time."""


_KINDS = {cls.__name__: cls for cls in (LedgerError, UsageError, Refused, Untrusted, Busy, ToolFailed, Unreachable)}


def from_dict(fields: dict[str, object]) -> LedgerError:
    """Rebuild the error that ``as_dict`` described, in another process."""
    cls = _KINDS.get(str(fields.get("kind")), LedgerError)
    return cls(str(fields.get("error", "unknown error")), str(fields.get("hint", "")))


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean …?`` for a misspelt word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""
