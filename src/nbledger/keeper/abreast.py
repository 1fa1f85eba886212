"""Journals whose runs go to a server are published several at a time: most of a publication is waiting for answers.

A database on this machine is written to by one at a time, as it would have them wait for each other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MANY = 4
"""As many as a server has workers, unless it is told otherwise."""


def remote(uri: str) -> bool:
    """Whether what holds the runs is asked over the network."""
    return uri.startswith(("http://", "https://"))


class Abreast:
    """Threads, as many as are needed and at most ``MANY``, that do ``work``, which raises nothing, with a journal each; with
    none two at once. They end with the process, whatever they are doing: a publication can be cut off anywhere.

    ``work`` says whether the store took it (None: there was nothing to do). Where one did not answer, half as many go on, and
    one more after each few that it took: a server that is too slow for all that ask it would else do in vain what nobody
    waits for any more.
    """

    def __init__(self, work: Callable[[Path, set[str]], bool | None]) -> None:
        self._work = work
        self._line: queue.Queue[tuple[Path, set[str]]] = queue.Queue(1)
        self._taken: set[str] = set()
        self._threads = self._busy = self._took = 0
        self.allowed = MANY
        self._turn = threading.Condition()

    def add(self, path: Path, dead: set[str]) -> None:
        """Have it done soon; waits while all threads are at work, so that the oldest journals come first."""
        with self._turn:
            if path.name in self._taken:
                return
            self._taken.add(path.name)
            if self._threads < min(MANY, len(self._taken)):
                self._threads += 1
                threading.Thread(target=self._serve, name=f"publisher {self._threads}", daemon=True).start()
        self._line.put((path, dead))

    def _serve(self) -> None:
        while True:
            path, dead = self._line.get()
            with self._turn:
                self._turn.wait_for(lambda: self._busy < self.allowed)
                self._busy += 1
            took = None
            try:
                took = self._work(path, dead)
            finally:
                with self._turn:
                    self._taken.discard(path.name)
                    self._busy -= 1
                    self._learn(took)
                    self._turn.notify_all()

    def _learn(self, took: bool | None) -> None:
        if took is False:
            self.allowed, self._took = max(1, self.allowed // 2), 0
        elif took:
            self._took += 1
            if self._took >= _FEW * self.allowed:
                self.allowed, self._took = min(MANY, self.allowed + 1), 0


_FEW = 3


def each(paths: Iterable[Path], work: Callable[[Path], None]) -> None:
    """Do ``work``, which raises nothing, with all of them; an interrupt leaves those that were not begun."""
    listed = list(paths)
    if len(listed) < 2:
        for path in listed:
            work(path)
        return
    pool = ThreadPoolExecutor(MANY, "publisher")
    try:
        for done in [pool.submit(work, path) for path in listed]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
