"""A reproduction in plain text: the verdict first, then what was compared, then what is missing or different."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nbledger.commands.text import clip, number
from nbledger.core.verdict import DIFFERENT, IDENTICAL, NOT_RESTORABLE, WITHIN, MetricPair
from nbledger.core.wording import counted
from nbledger.keeper.reproduce import Reproduction

_MOST = 40
_MARKS: dict[str | None, str] = {IDENTICAL: "✓", WITHIN: "✓", DIFFERENT: "✗", NOT_RESTORABLE: "✗", None: "·"}


def headline(found: Reproduction) -> str:
    """One line: the run, the verdict, and what it stands on."""
    name = clip(found.name, 60)
    if found.verdict is None:
        return f"{name} is restored"
    if found.verdict == NOT_RESTORABLE:
        needed = sum(m.needed for m in found.missing)
        return f"{name}: not restorable, {counted(needed, 'thing')} missing"
    return f"{name}: {found.verdict}{_standing(found)}"


def _standing(found: Reproduction) -> str:
    parts = []
    if found.metrics:
        equal = sum(pair.equal for pair in found.metrics.values())
        parts.append(f"{equal} of {counted(len(found.metrics), 'metric')} bit-equal")
    if found.outputs:
        equal = sum(pair.equal for pair in found.outputs)
        parts.append(f"{equal} of {counted(len(found.outputs), 'output file')} the same")
    if found.compared and found.compared.texts:
        parts.append(f"the text of {counted(found.compared.texts, 'cell')} compared")
    if found.compared and found.compared.pictures:
        equal = found.compared.pictures_equal
        parts.append(f"{equal} of {counted(found.compared.pictures, 'picture')} the same, which does not count")
    parts.append(f"{counted(found.cells, 'cell')} executed" + (f" {found.times} times" if found.times > 1 else ""))
    return f" ({', '.join(parts)})"


def reproduction(found: Reproduction) -> str:
    """The whole answer."""
    parts = [f"{_MARKS[found.verdict]} {headline(found)}"]
    parts += _metrics(found)
    parts += _outputs(found)
    parts += _spread(found)
    if found.causes:
        parts.append("\nwhy")
        parts += [f"  {n}. {c.what}" for n, c in enumerate(found.causes[:8], 1)]
    parts += _listed("missing", (str(m) + ("" if m.needed else " (not needed)") for m in found.missing))
    parts += _listed("notes", (*found.environment, *found.notes))
    parts += where(found)
    return "\n".join(parts)


def _metrics(found: Reproduction) -> list[str]:
    unequal = {key: pair for key, pair in found.metrics.items() if not pair.equal}
    if not unequal:
        return []
    rows = [("", "recorded", "reproduced", "")]
    rows += [(clip(key, 40), value(p.recorded), value(p.reproduced), apart(p)) for key, p in unequal.items()]
    return ["\nmetrics that differ", *_table(rows[: _MOST + 1]), *_more(len(rows) - 1)]


def value(shown: float | None) -> str:
    """A metric as it is, to the last bit."""
    return "–" if shown is None else repr(shown)


def apart(pair: MetricPair) -> str:
    """How far two values lie apart, in words."""
    if pair.equal:
        return "the same"
    words = [pair.why] if pair.why else []
    if pair.recorded is not None and pair.reproduced is not None:
        delta = pair.reproduced - pair.recorded
        if math.isfinite(delta) and delta:
            relative = f" ({100 * delta / abs(pair.recorded):+.3g} %)" if pair.recorded else ""
            words.insert(0, f"{'+' if delta > 0 else ''}{number(delta)}{relative}")
    if pair.within:
        words.append("within the tolerance")
    return "; ".join(words)


def _outputs(found: Reproduction) -> list[str]:
    unequal = [pair for pair in found.outputs if not pair.equal]
    if not unequal:
        return []
    rows = [(clip(p.path, 60), (p.recorded or "–")[:8], (p.reproduced or "–")[:8], p.why) for p in unequal[:_MOST]]
    return ["\noutput files that differ", *_table([("", "recorded", "reproduced", ""), *rows]), *_more(len(unequal))]


def _spread(found: Reproduction) -> list[str]:
    if not found.spread:
        return []
    loose = {key: one for key, one in found.spread.items() if not one.deterministic}
    if not loose:
        every = "all metrics are" if len(found.spread) > 1 else "the metric is"
        return [f"\n{every} the same in {found.times} executions"]
    rows: list[tuple[str, ...]] = [("", "min", "max", "mean", "std")]
    rows += [(clip(k, 40), *map(number, (s.min, s.max, s.mean, s.std))) for k, s in list(loose.items())[:_MOST]]
    return [f"\nnot deterministic, in {found.times} executions", *_table(rows), *_more(len(loose))]


def where(found: Reproduction) -> list[str]:
    """Where the restored folder and the new run are."""
    lines = []
    if found.kept and found.into:
        what = "what could be restored is" if found.verdict == NOT_RESTORABLE else "restored"
        lines.append(f"\n{what} in {found.into} (remove it: git worktree remove --force {found.into})")
    if found.new_run_id:
        lines.append(f"{'' if lines else chr(10)}recorded as run {found.new_run_id[:12]}")
    return lines


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    if not listed:
        return []
    return [f"\n{title}", *(f"  {clip(line, 400)}" for line in listed[:_MOST]), *_more(len(listed))]


def _more(count: int) -> list[str]:
    return [f"  and {count - _MOST} more"] if count > _MOST else []


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in rows]
