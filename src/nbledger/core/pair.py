"""Two sides and what differs between them: what the rules about causes look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nbledger.core.differences import Comparison
from nbledger.core.literals import Literal
from nbledger.core.record import ExecutedCell
from nbledger.core.sides import Side


@dataclass(frozen=True)
class Pair:
    """Two sides, what differs between them, and the literals that the data which was read explains."""

    a: Side
    b: Side
    found: Comparison
    absorbed: frozenset[Literal] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict)

    def slice(self, side: Side) -> list[ExecutedCell]:
        return [side.record.cells[i] for i in side.needed]

    def params(self) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
        """(name, (value then, value now)) of recorded parameters that differ, where both sides record them."""
        for name, values in self.found.params.items():
            if values[0] != values[1] and self.a.knows and self.b.knows:
                yield name, (values[0], values[1])
