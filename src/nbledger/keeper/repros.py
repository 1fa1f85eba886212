"""What ``nbledger repro`` is asked, tells as it goes, and answers; and the end of what a command printed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nbledger.core import git
from nbledger.core.errors import Busy, LedgerError, ToolFailed

_BUSY, _IN_USE = ("Unable to acquire lock", "is busy, it is being blocked by"), "in use by another process"
RAN, SKIPPED, PULLED, BROKEN, CUT = "ran", "skipped", "pulled", "failed", "killed"
WAITING, WOULD = "not run", "would run"
_KEPT = 1 << 20
"""Bytes of what a command printed last that are kept with its run."""


@dataclass(frozen=True)
class Asked:
    """What is to be brought up to date, as ``dvc repro`` takes it."""

    targets: tuple[str, ...] = ()
    force: bool = False
    single_item: bool = False
    pull: bool = False
    dry: bool = False
    experiment: str | None = None

    def words(self) -> list[str]:
        options = {"--force": self.force, "--single-item": self.single_item, "--pull": self.pull, "--dry": self.dry}
        return [*(option for option, given in options.items() if given), "--", *self.targets]


@dataclass(frozen=True)
class Told:
    """Something to show. ``kind``: plan, begun, printed, ended, note or publishing; ``done`` of ``total`` stages are over."""

    kind: str
    stage: str = ""
    text: str = ""
    status: str = ""
    seconds: float = 0.0
    done: int = 0
    total: int = 0


Tell = Callable[[Told], None]


@dataclass(frozen=True)
class StageRow:
    """A stage at the end. ``status``: ran, skipped, pulled (its outputs came from the cache or the remote), failed, killed, not
    run, or would run; ``run_id`` the run of it, or the one that made what it has; ``note`` says what else there is to say.
    """

    stage: str
    status: str
    run_id: str | None = None
    seconds: float = 0.0
    error: str = ""
    note: str = ""


@dataclass(frozen=True)
class Report:
    """``run_id``: the run that holds those of the stages, None where none was executed; ``code``: stages that wrote the code of
    notebooks' stages; ``printed``: the last lines that a failed command printed.
    """

    status: str
    run_id: str | None
    stages: tuple[StageRow, ...]
    code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    seconds: float = 0.0
    dry: bool = False


class Tail:
    """The end of what a command prints."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = self._lost = 0

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= _KEPT:
            self._lost += (gone := len(self._chunks.popleft()))
            self._size -= gone

    def text(self) -> str:
        whole = b"".join(self._chunks).decode("utf-8", "replace")
        return f"[{self._lost} bytes before this are not kept]\n{whole}" if self._lost else whole

    def lines(self, most: int) -> list[str]:
        last = b"".join(self._chunks)[-65536:].decode("utf-8", "replace")
        said = [line.rpartition("\r")[2].rstrip() for line in last.rstrip().splitlines()]
        return [line for line in said if line][-most:]


def plain(text: str) -> str:
    """DVC's words in one line, without what it says each time."""
    said = git.scrub_url(" ".join(text.split()))
    if said.startswith("failed to reproduce "):
        said = said.partition(": ")[2] or said
    if any(each in said for each in _BUSY):
        return _IN_USE
    return _GONE.sub(r"\1 is not there", said)[:500]


_GONE = re.compile(r"\[Errno 2\] No such file or directory: '([^']+)'")
_NUMBERED = re.compile(r"\s*\d+(\s|$)")


def excerpt(lines: Sequence[str]) -> str:
    """What DVC says of a file that it cannot read, without the lines of the file that it shows."""
    return ": ".join(line.strip().rstrip(".:") for line in lines if not _NUMBERED.match(line))


def refusal(said: str) -> LedgerError:
    """Why DVC did nothing."""
    words = plain(said) or "it ended without a word"
    if _IN_USE in words:
        return Busy(f"this DVC repository is {_IN_USE}", "wait for it to finish, then try again")
    return ToolFailed(f"dvc repro: {words}", "nbledger pipeline shows the stages")
