"""A proposal of stages in plain text, and what came of executing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbledger.commands.text import clip, some
from nbledger.core.split import Part, Proposal
from nbledger.core.wording import counted
from nbledger.keeper.splitting import Checked, Outcome

_LINE, _PATHS, _CELLS = 64, 12, 30


def proposal(notebook: str, found: Proposal, titles: Mapping[int, str]) -> str:
    """Each stage with its cells, what it reads and writes; then the cells of none. ``titles``: {index: first line}."""
    count = counted(len(found.parts), "stage")
    lines = [f"{notebook}: {count}"]
    for number, part in enumerate(found.parts, 1):
        lines += ["", f"{number}  {part.name}", *_cells(part, found, titles), *_files(part)]
    if found.idle:
        lines += ["", "cells of no stage"]
        lines += _cut([f"   {_cell(index, titles)}: {why}" for index, why in sorted(found.idle.items())])
    return "\n".join([*lines, *_notes(found.notes)])


def _cells(part: Part, found: Proposal, titles: Mapping[int, str]) -> list[str]:
    shown = []
    for index in part.cells:
        others = [other.name for other in found.parts if other is not part and index in other.cells]
        also = f"  (also in {', '.join(others[:3])})" if others else ""
        shown.append(f"   {_cell(index, titles)}{also}")
    return _cut(shown)


def _cell(index: int, titles: Mapping[int, str]) -> str:
    return f"{index + 1:>4}  {clip(titles.get(index, ''), _LINE)}"


def _cut(lines: Sequence[str]) -> list[str]:
    return [*lines[:_CELLS], *([f"         … and {len(lines) - _CELLS} more"] if len(lines) > _CELLS else [])]


def _files(part: Part) -> list[str]:
    values = [f"{name} = {value!r}" for name, value in part.values.items()]
    rows = (("reads", part.deps), ("writes", part.outs), ("metrics", part.metrics), ("params", values))
    return [f"   {word:8} {some(items, _PATHS, _LINE)}" for word, items in rows if items]


def _notes(notes: Sequence[str]) -> list[str]:
    return ["", *(f"note: {note}" for note in notes)] if notes else []


def outcome(found: Outcome, known: Sequence[str] = ()) -> str:
    """What executing the stages gave. ``known``: notes that were told already."""
    count = len(found.outputs)
    named = counted(count, "file")
    lines: list[str] = []
    if found.failed:
        lines.append(f"not accepted: {found.failed}")
    elif found.accepted:
        every = "the file is" if count == 1 else f"all {named} are"
        lines.append(f"accepted: {every}, byte for byte, what the notebook itself writes")
    else:
        wrong = [one for one in found.outputs if not one.equal]
        lines.append(
            f"not accepted: of {named} {len(wrong)} {'is' if len(wrong) == 1 else 'are'} not what the notebook writes"
        )
        lines += [f"  {_difference(one)}" for one in wrong[:_CELLS]]
        if len(wrong) > _CELLS:
            lines.append(f"  … and {len(wrong) - _CELLS} more")
        if any(one.unstable for one in wrong):
            lines.append("the notebook is not deterministic: seed what it draws, and take out the time of day")
    lines += [f"note: {note}" for note in found.notes if note not in known]
    if found.written:
        lines.append(f"written: {', '.join(found.written)}")
        lines.append("`nbledger repro` runs the stages; reload the notebook if it is open")
    else:
        lines.append("nothing was written" + (": --yes writes it" if found.accepted else ""))
    return "\n".join(lines)


def _difference(one: Checked) -> str:
    there = f"stage {one.stage} {one.stage_md5[:12]}" if one.stage_md5 else f"stage {one.stage}: not written"
    why = "  (the notebook itself writes it otherwise each time)" if one.unstable else ""
    return f"{clip(one.path, _LINE)}  notebook {one.notebook_md5[:12]}  {there}{why}"
