"""What the bench says: the share of pairs whose true cause came first, the confusion table, and the cases that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from causes.case import KINDS
from causes.recording import Outcome

NONE = "nothing"
_SHOWN = 4  # causes that are listed of a failed case


class Score(NamedTuple):
    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 1.0

    def __str__(self) -> str:
        return f"{self.right} of {self.of} ({self.share:.1%})"


def score(outcomes: Sequence[Outcome]) -> Score:
    return Score(sum(o.right for o in outcomes), len(outcomes))


def groups(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes by how many causes were injected."""
    found: dict[str, list[Outcome]] = {"one cause": [], "two causes": [], "no cause": []}
    for one in outcomes:
        found[{0: "no cause", 1: "one cause"}.get(len(one.case.expect), "two causes")].append(one)
    return found


def confusion(outcomes: Sequence[Outcome]) -> str:
    """Rows: the kind of the true cause. Columns: the kind ranked first (of two causes: in their two places)."""
    seen = Counter(pair for one in outcomes for pair in _pairs(one))
    kinds = [*KINDS, NONE]
    rows = [kind for kind in kinds if any(seen[kind, other] for other in kinds)]
    columns = [kind for kind in kinds if any(seen[other, kind] for other in kinds)]
    width = max(map(len, [*rows, "true cause"])) + 2
    lines = ["true cause".ljust(width) + "".join(kind.rjust(len(kind) + 2) for kind in columns)]
    for row in rows:
        counts = (str(seen[row, kind] or "·").rjust(len(kind) + 2) for kind in columns)
        lines.append(row.ljust(width) + "".join(counts))
    return "\n".join(lines)


def _pairs(one: Outcome) -> list[tuple[str, str]]:
    """(true kind, ranked kind): each true cause with its match among the first, else with a cause no one asked for."""
    if one.problem:
        return []
    if one.case.control:
        return [(NONE, one.blamed[0].kind if one.blamed else NONE)]
    first = list(one.causes[: len(one.case.expect)])
    pairs, missed = [], []
    for wanted in one.case.expect:
        found = next((c for c in first if wanted.met_by(c.kind, c.what)), None)
        if found is None:
            missed.append(wanted.kind[0])
            continue
        first.remove(found)
        pairs.append((found.kind, found.kind))
    return [*pairs, *((kind, first.pop(0).kind if first else NONE) for kind in missed)]


def failed(one: Outcome) -> str:
    """A failed case in a few lines: what was expected, what came."""
    title = f"{one.case.name}: {one.case.title}"
    if one.problem:
        return f"{title}\n    {one.problem}"
    if not one.honest:
        return f"{title}\n    the metric was {one.before!r} and is {one.after!r}"
    wanted = " and ".join(f"{'/'.join(e.kind)} {' '.join(e.names)}".strip() for e in one.case.expect) or NONE
    lines = [f"    {c.kind} {c.weight:.2f}: {c.what}" for c in one.causes[:_SHOWN]]
    return "\n".join([title, f"  expected {wanted}, got", *(lines or [f"    {NONE}"])])


def report(outcomes: Sequence[Outcome]) -> str:
    parts = [confusion(outcomes), ""]
    parts += [f"{name}: {score(found)}" for name, found in groups(outcomes).items() if found]
    apart = [one for one in outcomes if one.case.held_out]
    if apart:
        parts.append(f"of these held out: {score(apart)}")
    wrong = [one for one in outcomes if not one.right]
    if wrong:
        parts += ["", "Not as expected:", *map(failed, wrong)]
    return "\n".join(parts)
