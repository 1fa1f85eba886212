"""Files that are made of parts: text that lies in a folder of the package, with blocks that apply or not and values to fill in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib import resources


def part(folder: str, name: str) -> str:
    """The text of ``nbledger/core/FOLDER/NAME``."""
    return (resources.files("nbledger.core") / folder / name).read_text(encoding="utf-8")


def chosen(text: str, flags: Collection[str]) -> str:
    """Without the blocks between ``#? FLAG`` (or ``#! FLAG``, for its absence) and ``#.`` that do not apply; they nest."""
    lines, keep = [], [True]
    for line in text.splitlines():
        if line.startswith(("#? ", "#! ")):
            keep.append(keep[-1] and (line[3:] in flags) == line.startswith("#?"))
        elif line == "#.":
            keep.pop()
        elif keep[-1]:
            lines.append(line)
    return "\n".join(lines) + "\n"


def filled(text: str, values: Mapping[str, str]) -> str:
    """With each ``@NAME@`` replaced by its value; nothing within a value is replaced again."""
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def indented(text: str, by: int) -> str:
    """Each line that is not empty by so many blanks further right."""
    return "\n".join(" " * by + line if line else line for line in text.rstrip("\n").splitlines())
