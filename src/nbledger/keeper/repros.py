"""What ``nbledger repro`` is asked, tells as it goes, and answers; and the end of what a command printed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

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
