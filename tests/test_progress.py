"""What a terminal shows while a verb works."""

from __future__ import annotations

import io
import time

import pytest

from nbledger.commands.progress import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_until(terminal: io.StringIO, words: str) -> str:
    deadline = time.monotonic() + 60
    while words not in terminal.getvalue():
        assert time.monotonic() < deadline, terminal.getvalue()
        time.sleep(0.05)
    return terminal.getvalue()


def test_a_verb_that_takes_long_says_so_and_takes_the_line_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with waiting(None):
        shown_until(terminal, "… loading MLflow and looking (2 s)")
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_the_first_step_takes_the_place_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with waiting(lambda done, total, text: terminal.write(f"{done}/{total} {text}")) as progress:
        shown_until(terminal, "(1 s)")
        progress(0, 3, "the first")
        said = terminal.getvalue()
        assert said.endswith("\r\x1b[K0/3 the first")
        time.sleep(1.5)
        assert terminal.getvalue() == said


def test_what_is_short_or_no_terminal_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with waiting(None):
        pass
    monkeypatch.setattr("sys.stderr", file := io.StringIO())
    with waiting(None):
        time.sleep(1.5)
    assert (terminal.getvalue(), file.getvalue()) == ("", "")
