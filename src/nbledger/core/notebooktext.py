"""A first line put before the source of cells in a notebook's file, every other byte of which stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nbledger.core.errors import UsageError

_BLANK = " \t\n\r"
_decoder = json.JSONDecoder()


def with_first_lines(text: str, lines: Mapping[int, str]) -> str:
    """``text``, a notebook of format 4, with ``lines`` ({index of a cell: its new first line}) put in. ``UsageError`` where
    it is none, or has no such cells.
    """
    try:
        places = dict(enumerate(_sources(text)))
        edits = sorted(((places[index], line) for index, line in lines.items()), reverse=True)
    except (ValueError, IndexError, KeyError) as err:
        raise UsageError(
            "it is not a notebook of format 4", "jupyter nbconvert --to notebook brings it up to date"
        ) from err
    for place, line in edits:
        at = place + 1
        if text[place] == '"':
            text = text[:at] + json.dumps(line + "\n")[1:-1] + text[at:]
            continue
        first = _past(text, at)  # a list of lines: the new one stands as the first one does
        gap = text[at:first]
        new = json.dumps(line + "\n") + ("," + (gap or " ") if text[first] != "]" else "")
        text = text[:first] + new + text[first:]
    return text


def _sources(text: str) -> Iterator[int]:
    """Where the value of each cell's ``source`` begins."""
    for cell in _items(text, _member(text, _past(text, 0), "cells")):
        yield _member(text, cell, "source")


def _member(text: str, at: int, wanted: str) -> int:
    for key, place in _members(text, at):
        if key == wanted:
            return place
    raise ValueError(f"no {wanted} at {at}")


def _past(text: str, at: int) -> int:
    while text[at] in _BLANK:
        at += 1
    return at


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """(key, where its value begins) of the object that begins at ``at``."""
    _expect(text, at, "{")
    at = _past(text, at + 1)
    while text[at] != "}":
        _expect(text, at, '"')
        key, at = _decoder.raw_decode(text, at)
        at = _past(text, at)
        _expect(text, at, ":")
        at = _past(text, at + 1)
        yield key, at
        at = _next(text, _after(text, at), "}")


def _items(text: str, at: int) -> Iterator[int]:
    """Where the items of the array that begins at ``at`` begin."""
    _expect(text, at, "[")
    at = _past(text, at + 1)
    while text[at] != "]":
        yield at
        at = _next(text, _after(text, at), "]")


def _after(text: str, at: int) -> int:
    value: tuple[Any, int] = _decoder.raw_decode(text, at)
    return value[1]


def _next(text: str, at: int, end: str) -> int:
    at = _past(text, at)
    if text[at] == end:
        return at
    _expect(text, at, ",")
    return _past(text, at + 1)


def _expect(text: str, at: int, char: str) -> None:
    if text[at] != char:
        raise ValueError(f"{char} expected at {at}")
