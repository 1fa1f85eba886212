"""What a proof found: how much of a metric's difference between two runs each factor explains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Factor:
    """``kinds`` are switched together; ``what`` says in a few words what differs."""

    kinds: tuple[str, ...]
    what: str

    @property
    def name(self) -> str:
        return " + ".join(self.kinds)


@dataclass(frozen=True)
class Attribution:
    """One metric. ``recorded`` and ``executed`` are its values in A and in B; ``shares`` by the factor's name in the
    metric's own unit; ``unexplained`` is what of the recorded difference executing again did not show.
    """

    metric: str
    recorded: tuple[float, float]
    executed: tuple[float, float]
    shares: dict[str, float]
    unexplained: float


@dataclass(frozen=True)
class Proof:
    """``values``: each metric for each set of factors taken from B, the set's names joined by ``, ``."""

    runs: tuple[str, str]
    titles: tuple[str, str]
    factors: tuple[Factor, ...]
    executions: int
    attributions: tuple[Attribution, ...]
    values: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()
