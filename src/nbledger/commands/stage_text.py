"""A proposed stage in words: the YAML, each line with where it comes from; what is left out, and what would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbledger.core import stages
from nbledger.core.proposal import Proposal

_CODE = "its code, which nbledger code writes"


def lines(found: Proposal, base: str = "") -> list[tuple[str, str]]:
    """(a line of YAML, why it is there), for each line of the stage. ``base``: the DVC repository's folder from the root."""
    entry = stages.entry(found.plan, base)
    whys = {(line.kind, line.value): line.why for line in found.lines}
    kind, at = "", -1
    made = []
    for text in (line.removeprefix("  ") for line in stages.text(found.plan, base).splitlines()[1:]):
        if text.startswith("  ") and not text.startswith("  -") and text[2:3].isalpha():
            kind, at = text.strip().partition(":")[0], -1
        why = ""
        if text.startswith("  - "):
            at += 1
            why = _why(whys, kind, entry[kind][at], base)
        elif text.startswith("    - ") and kind == "params":
            file = next(iter(entry[kind][at]))
            why = whys.get((kind, f"{file}:{text.strip()[2:]}"), "")
        made.append((text, why))
    return made


def _why(whys: Mapping[tuple[str, str], str], kind: str, item: Any, base: str) -> str:
    name = str(next(iter(item))) if isinstance(item, Mapping) else str(item)
    if kind == "deps" and name.startswith(f"{stages.FOLDER}/"):
        return whys.get((kind, name), _CODE)
    placed = f"{base}/{name}" if base and kind != "params" else name
    return whys.get((kind, placed), whys.get((kind, f"{name}:"), ""))


def yaml(found: Proposal, base: str = "") -> str:
    """The YAML, with its reasons as comments."""
    made = lines(found, base)
    width = max((len(text) for text, why in made if why), default=0)
    return "\n".join(f"{text.ljust(width)}  # {why}" if why else text for text, why in made)


def proposal(found: Proposal, base: str = "", *, written: tuple[str, ...] | None = None) -> str:
    """All of it; ``written``: the files that were changed, None where nothing was written."""
    name = found.plan.name
    parts = []
    if found.exists and not found.changes:
        parts.append(f"the stage {name} in dvc.yaml is what it should be")
    else:
        parts.append(yaml(found, base))
    if found.exists and found.changes:
        parts.append("\n".join([f"against dvc.yaml, {name} changes:", *(f"  {line}" for line in found.changes)]))
    if found.left_out and found.changed:
        parts.append("\n".join(["left out:", *(f"  {what}: {why}" for what, why in found.left_out)]))
    if found.remarks:
        parts.append("\n".join(f"! {remark}" for remark in found.remarks))
    if written is not None and (written or found.changed):
        parts.append(f"written: {', '.join(written)}" if written else "nothing to write")
    return "\n".join(parts)
