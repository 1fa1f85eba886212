"""Journals that are published side by side: how many at once, none twice, and fewer where the server is too slow for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from nbledger.keeper.abreast import MANY, Abreast, each, remote


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Work:
    """What is done with each journal: it waits for ``go_on``; ``running`` and ``most`` at once, ``done`` in order."""

    def __init__(self, took: bool | None = True) -> None:
        self.took, self.go_on = took, threading.Event()
        self.running: list[str] = []
        self.most, self.done = 0, list[str]()
        self._lock = threading.Lock()

    def __call__(self, path: Path, dead: set[str]) -> bool | None:
        with self._lock:
            self.running.append(path.name)
            self.most = max(self.most, len(self.running))
        self.go_on.wait(30)
        with self._lock:
            self.running.remove(path.name)
            self.done.append(path.name)
        return self.took


def add_all(side_by_side: Abreast, names: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: [side_by_side.add(Path(name), set()) for name in names])
    thread.start()
    return thread


def test_several_at_once_and_none_twice() -> None:
    work = Work()
    side_by_side = Abreast(work)
    adding = add_all(side_by_side, [str(n) for n in range(20)])
    until(lambda: len(work.running) == MANY)
    for name in list(work.running):
        side_by_side.add(Path(name), set())  # at work already
    assert sorted(work.running) == [str(n) for n in range(MANY)]  # the oldest first
    work.go_on.set()
    adding.join(30)
    until(lambda: len(work.done) == 20)
    assert sorted(map(int, work.done)) == list(range(20)) and work.most == MANY


def publishers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("publisher")}


def test_one_journal_needs_one_thread() -> None:
    work = Work()
    before = publishers()
    side_by_side = Abreast(work)
    side_by_side.add(Path("one"), set())
    until(lambda: work.running == ["one"])
    assert len(publishers() - before) == 1
    work.go_on.set()


def test_fewer_where_the_server_is_too_slow_and_more_again() -> None:
    work = Work(took=False)
    side_by_side = Abreast(work)
    work.go_on.set()
    add_all(side_by_side, [f"a{n}" for n in range(6)]).join(30)
    until(lambda: len(work.done) == 6)
    assert side_by_side.allowed == 1
    work.go_on.clear()
    adding = add_all(side_by_side, [f"b{n}" for n in range(60)])
    until(lambda: len(work.running) == 1)
    time.sleep(0.05)
    assert len(work.running) == 1
    work.took, work.most = True, 0
    work.go_on.set()
    adding.join(30)
    until(lambda: len(work.done) == 66)
    assert side_by_side.allowed == MANY


def test_what_was_not_tried_tells_nothing() -> None:
    work = Work(took=None)
    work.go_on.set()
    side_by_side = Abreast(work)
    add_all(side_by_side, [str(n) for n in range(30)]).join(30)
    until(lambda: len(work.done) == 30)
    assert side_by_side.allowed == MANY


def test_each_does_all_and_waits() -> None:
    done: list[str] = []
    each([Path(str(n)) for n in range(25)], lambda path: done.append(path.name))
    assert sorted(map(int, done)) == list(range(25))
    each([], lambda path: done.append("none"))
    each([Path("only")], lambda path: done.append(threading.current_thread().name))
    assert done[25:] == [threading.current_thread().name]  # one alone needs no other thread


def test_remote() -> None:
    assert remote("https://h") and remote("http://h:5000") and not remote("sqlite:///x") and not remote("file:///x")
