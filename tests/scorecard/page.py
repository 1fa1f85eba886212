"""What the scorecard found, as the terminal's table and as docs/reliability.md."""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from scorecard.cards import CARDS, GATES

HERE = Path(__file__).parent


@dataclass
class Result:
    """What the tests of one case said: ``ours`` and ``plain`` are {test: whether it held}."""

    number: int
    ours: dict[str, bool] = field(default_factory=dict)
    plain: dict[str, bool | None] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    plain_seen: list[str] = field(default_factory=list)

    def take(self, report: pytest.TestReport) -> None:
        """A report of one phase of one test; a test that failed, was skipped or broke in any phase does not hold."""
        name, words = report.location[2], dict(report.user_properties)
        if name.startswith("test_plain"):
            if report.when == "call":
                self.plain[name] = bool(words.get("holds")) if report.passed else None
                self.plain_seen += [str(words["seen"])] if "seen" in words else []
            elif not report.passed:
                self.plain[name] = None
        elif report.when == "call":
            self.ours[name] = self.ours.get(name, True) and report.passed
            self.seen += [str(text) for key, text in report.user_properties if key == "seen"]
        elif not report.passed:
            self.ours[name] = False

    @property
    def holds(self) -> bool:
        return bool(self.ours) and all(self.ours.values())

    @property
    def word(self) -> str:
        return "no test" if not self.ours else "holds" if self.holds else "FAILS"

    @property
    def plain_word(self) -> str:
        if not self.plain:
            return "not measured"
        if None in self.plain.values():
            return "BROKEN"  # the measurement itself did not come to its end
        return "holds" if all(self.plain.values()) else "fails"


def score(results: Sequence[Result]) -> str:
    """In one line how many cases hold."""
    ours = sum(result.holds for result in results)
    measured = [result for result in results if result.plain]
    plain = sum(result.plain_word == "holds" for result in measured)
    return f"nbledger {ours} of {len(results)}" + (f", the plain tools {plain} of {len(measured)}" if measured else "")


def table(results: Sequence[Result]) -> str:
    """The terminal's table: case, nbledger, the plain tools, and the figures of both."""
    lines = [f"{'case':<66}  {'nbledger':<8}  plain tools"]
    for result in results:
        card = CARDS[result.number]
        mark = "*" if result.number in GATES else " "
        fault = textwrap.shorten(card.fault, 61, placeholder="…")
        lines.append(f"{result.number:>2}{mark} {fault:<62}  {result.word:<8}  {result.plain_word}")
        lines += [f"      {side}: {text}" for side, texts in _said(result) for text in texts]
    return "\n".join(lines)


def _said(result: Result) -> list[tuple[str, list[str]]]:
    """What was seen, each text once; where the tests' own temporary folder stood in it, an ellipsis."""
    sides = (("nbledger", result.seen), ("plain", result.plain_seen))
    return [(side, [_SCRATCH.sub("…", text) for text in dict.fromkeys(texts)]) for side, texts in sides]


_SCRATCH = re.compile(re.escape(tempfile.gettempdir()) + r"/pytest-of-[^\s;'\"]*")


def page(results: Sequence[Result], minutes: float) -> str:
    """docs/reliability.md: the table, and for each case what is done, what was seen, and how to repeat it."""
    rows, parts, part = [], [], ""
    for result in results:
        card = CARDS[result.number]
        number = f"**{card.number}**" if card.number in GATES else str(card.number)
        rows.append(f"| {number} | {card.fault} | {result.word} | {result.plain_word} |")
        if card.part != part:
            part = card.part
            parts.append(f"## {part}")
        parts.append(_section(result))
    return _PAGE.format(
        score=score(results),
        facts=_facts(),
        minutes=f"{minutes:.0f}",
        rows="\n".join(rows),
        parts="\n\n".join(parts),
    )


def _section(result: Result) -> str:
    card = CARDS[result.number]
    said = [f"- {side}: {text}" for side, texts in _said(result) for text in texts]
    return "\n\n".join(
        filter(
            None,
            (
                f"### {card.number}. {card.fault}",
                f"Counts when: {card.criterion}.",
                *(_told(file) for file in sorted(HERE.glob(f"test_{card.number:02}_*.py"))),
                "\n".join(said),
                f"Repeat it: `make scorecard ARGS={card.number}`",
            ),
        )
    )


def _told(file: Path) -> str:
    """The docstring of a case's file: how the fault is caused, what nbledger does, how the plain tools were asked."""
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def _facts() -> str:
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    tools = ", ".join(f"{name} {version(name)}" for name in ("nbledger", "mlflow", "dvc", "ipykernel", "jupyterlab"))
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{system}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, git {git}, {tools}"


_PAGE = """\
# Reliability and security: forty faults

Each case causes a fault for real (processes are killed, disks filled, servers stopped, repositories poisoned) and looks
at what is left: first with nbledger, then with `mlflow`, `dvc` and `git` called as a careful user would call them. Both
columns are measured by one run; this page is its result. Cases in bold weigh most.

`make scorecard` repeats all of it (root or user namespaces are needed for the full disks), `make scorecard ARGS=19` one
case. `make test` runs every case of the nbledger column with smaller counts. What is defended, and what is not, is in
[SECURITY.md](../SECURITY.md).

{score}, in {minutes} minutes, on {facts}.

| | fault | nbledger | plain tools |
|---|---|---|---|
{rows}

{parts}
"""
