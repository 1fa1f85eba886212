"""The first line of a tracked cell: recognising it, parsing its words, and taking it out of what IPython runs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any, NoReturn

from nbledger.core import stagecells
from nbledger.core.errors import UsageError, nearest

MAGIC = "%%mlrun"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the nearest option."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        wrong = next((w.split("=")[0] for w in message.split() if w.startswith("-")), "")
        near = nearest(wrong, known) if "unrecognized" in message and wrong else ""
        raise UsageError(f"{self.prog}: {message}", near or f"{self.prog} --help lists the options")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "", "")

    def print_help(self, file: Any = None) -> None:
        print(self.format_help())


class HelpShown(UsageError):
    """``--help`` was asked for and shown."""


def parser(prog: str = MAGIC) -> argparse.ArgumentParser:
    """The options of ``%%mlrun`` and ``%mlrun start``."""
    made = Parser(
        prog=prog,
        allow_abbrev=False,
        add_help=False,
        description="Run the cell as an MLflow run: code, data, environment, parameters and metrics.",
    )
    add = made.add_argument
    add("name", nargs="?", default="", help="the run's name")
    add("-e", "--experiment", help="MLflow experiment (default: the project's)")
    add(
        "-p",
        "--param",
        action="append",
        default=[],
        metavar="K[=V]",
        help="a parameter; without =V the value of the variable K",
    )
    add(
        "-m",
        "--metric",
        action="append",
        default=[],
        metavar="VAR",
        help="record a variable: a number, a dict (flattened with dots), a list (a series)",
    )
    add("--model", action="append", default=[], metavar="VAR", help="log a model through MLflow's flavour for it")
    add("--example", metavar="VAR", help="the model's input example, for its signature (default: found)")
    add("-a", "--artifact", action="append", default=[], metavar="PATH|VAR", help="keep a file, figure, table or text")
    add("--tag", action="append", default=[], metavar="K=V", help="tag the run")
    add("--seed", type=int, metavar="N", help="seed random, NumPy and torch before the cell, and record it")
    add("--in", dest="inputs", action="append", default=[], metavar="PATH", help="an input that cannot be seen")
    add("--out", dest="outputs", action="append", default=[], metavar="PATH", help="an output that cannot be seen")
    add("-h", "--help", action="store_true", help="show this help")
    return made


def parse(words: str, prog: str = MAGIC) -> argparse.Namespace:
    """The options in ``words``; ``UsageError`` in one line, or ``HelpShown`` after ``--help``."""
    try:
        split = shlex.split(words)
    except ValueError as err:
        raise UsageError(f"{prog}: {err}: {words.strip()}", "close the quotation") from err
    options = parser(prog).parse_args(split)
    if options.help:
        raise HelpShown(parser(prog).format_help())
    for text in options.tag:
        if "=" not in text:
            raise UsageError(f"{prog}: --tag {text} has no value", f"write --tag {text}=VALUE")
    for text in options.param:
        if text.startswith("="):
            raise UsageError(f"{prog}: -p {text} has no name", "write -p NAME=VALUE")
    return options


def words_of(cell: str) -> str | None:
    """What follows ``%%mlrun`` on the cell's first line; None for any other cell."""
    first = cell.lstrip("\n").split("\n", 1)[0]
    if first == MAGIC or first.startswith((MAGIC + " ", MAGIC + "\t")):
        return first[len(MAGIC) :].strip()
    return None


def tracked(cell: str) -> argparse.Namespace | None:
    """The options of the run that the cell is to be; None for a cell that is none. ``UsageError`` for wrong words."""
    words = words_of(cell)
    if words is not None:
        return parse(words)
    if stagecells.header(cell) is None:
        return None
    from nbledger_magics import stage

    return stage.tracked(cell)


def transformer(inside: Callable[[], bool], interrupted: Callable[[], object]) -> Callable[[list[str]], list[str]]:
    """An input transformer that blanks the header of a well-formed tracked cell, keeping the line count.

    A cell with wrong words is left as it is, so that the magic itself refuses it and the body does not run; so is a
    header met while another cell runs (``%%time`` above ``%%mlrun``): there the magic runs the body. An interrupt
    that comes meanwhile is for the cell: ``interrupted`` is called.
    """

    def transform(lines: list[str]) -> list[str]:
        try:
            return lines if inside() else _blanked(lines)
        except KeyboardInterrupt:  # raised from here it would cost the kernel's reply
            interrupted()
            return transform(lines)
        except UsageError:
            return lines
        except Exception:  # a fault of ours: the cell runs, and why it is not recorded is said before it does
            return ["# " + line if line.startswith((MAGIC, stagecells.MAGIC)) else line for line in lines]

    transform.has_side_effects = False  # type: ignore[attr-defined]
    return transform


def _blanked(lines: list[str]) -> list[str]:
    at = next((i for i, line in enumerate(lines) if line.strip()), 0)
    options = tracked(lines[at]) if lines else None
    if options is None or getattr(options, "dry", False):  # then the magic itself shows what it is about
        return lines
    body = lines[at + 1 :]
    following = next((line for line in body if line.strip()), "")
    if following.startswith("%%"):
        return body[body.index(following) :]
    return ["# " + lines[at], *body]
