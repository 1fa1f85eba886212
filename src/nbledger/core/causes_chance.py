"""Causes that lie in chance, and in what could not be seen: draws without a seed, orders of sets, clocks, the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbledger.core import codediff, drawn, randomness
from nbledger.core.differences import CODE, DATA, NONDETERMINISM, Cause
from nbledger.core.pair import Pair
from nbledger.core.record import ExecutedCell
from nbledger.core.sides import Side

HASHED = (randomness.SET_ORDER, randomness.HASH)


def unseen(pair: Pair) -> Iterator[Cause]:
    hosts, programs = _names(pair, "remote"), _names(pair, "children")
    others = [name for name in _unlooked(pair) if name not in {*hosts, *programs}]
    for kind, names, what in (
        (DATA, hosts, "what came over the network could not be seen"),
        (CODE, programs, "what other programs did could not be seen"),
        (DATA, others, "some of what was read could not be seen"),
    ):
        if names:
            yield Cause(kind, what, ", ".join(names[:4]), 0.18)


def _names(pair: Pair, kind: str) -> list[str]:
    cells = [*pair.slice(pair.a), *pair.slice(pair.b)]
    return list(dict.fromkeys(name for c in cells for name in getattr(c, kind)))


def _unlooked(pair: Pair) -> list[str]:
    """What either run used and could not be looked into, by the whole run."""
    return list(dict.fromkeys(name for side in (pair.a, pair.b) for name in side.record.unseen))


Found = tuple[str, randomness.Suspect]
"""(where, what)"""


def suspects_of(side: Side, kinds: Sequence[str] = ()) -> list[Found]:
    context, found = randomness.Context(), []
    for index in side.needed:
        cell = side.record.cells[index]
        seen, context = randomness.scan(cell.source, context)
        found += [(codediff.label(cell), one) for one in seen if not kinds or one.kind in kinds]
    return found


def in_modules(pair: Pair) -> list[Found]:
    return [(path, one) for path, text in pair.modules.items() for one in randomness.suspects(text)]


def chance(pair: Pair, *, explained: bool) -> Iterator[Cause]:
    """Nondeterminism: where it is seen to have been at work first, then where the code allows it."""
    suspects = suspects_of(pair.b) or suspects_of(pair.a)
    loaded = in_modules(pair)
    found = [*_unseeded(pair, suspects), *_hashing(pair, [*suspects, *loaded]), *_other_chance(suspects, 1.0)]
    found += [*_from_modules(pair, loaded), *_other_chance(loaded, 0.8)]
    best = max(found, key=lambda c: c.weight, default=None)
    if best is not None:
        yield best
    elif not explained and not (pair.a.unknown or pair.b.unknown):
        yield Cause(NONDETERMINISM, _NOT_DETERMINISTIC, "no place was found that draws, hashes or reads a clock", 0.1)


_NOT_DETERMINISTIC = "not deterministic: nothing recorded explains the difference"


def _unseeded(pair: Pair, suspects: Sequence[Found]) -> Iterator[Cause]:
    unseeded = [(where, s) for where, s in suspects if s.kind == randomness.UNSEEDED]
    moved = _moved(pair)
    for name, suspect in unseeded[:1]:
        seen = moved.get(suspect.generator) if suspect.generator else None
        proof = f"; the generator stood elsewhere before {codediff.label(seen)} in either run" if seen else ""
        yield Cause(
            NONDETERMINISM, f"not deterministic: {name} line {suspect.line}: {suspect.what}", f"no seed{proof}", 0.62
        )
    for side in (pair.b, pair.a):
        for cell in pair.slice(side):
            if cell.unseeded and not unseeded:
                yield Cause(
                    NONDETERMINISM,
                    f"not deterministic: {codediff.label(cell)}: {cell.unseeded[0]}",
                    "seen at run time",
                    0.6,
                )
    if moved and not unseeded:
        generator, cell = next(iter(moved.items()))
        yield Cause(
            NONDETERMINISM,
            f"not deterministic: {codediff.label(cell)} drew from the {generator} generator, which no seed had fixed",
            "its state before the cell differs between the runs",
            0.55,
        )


def _moved(pair: Pair) -> dict[str, ExecutedCell]:
    """{generator: the first cell that drew from it} of global generators that stood at another state in the two runs
    when that cell began (or, where it was only loaded then, when it ended), no seed having been given before.
    """
    first = [drawn.first_drawn(side.record.cells, side.needed) for side in (pair.a, pair.b)]
    found = {}
    for name, cell in first[0].items():
        other = first[1].get(name)
        if other is None:
            continue
        states = cell.random[name], other.random[name]
        loaded = states[0][0] == states[1][0] == "?"
        if states[0][loaded] != states[1][loaded]:
            found[name] = other
    return found


def _from_modules(pair: Pair, suspects: Sequence[Found]) -> Iterator[Cause]:
    """Draws in modules from generators of their own, or from global ones that no needed cell seeded."""
    every = zip(pair.b.record.cells, drawn.seeders(pair.b.record.cells), strict=True)
    seeded = {name for index, (_, names) in enumerate(every) if index in pair.b.needed for name in names}
    for where, suspect in suspects:
        if suspect.kind == randomness.UNSEEDED and suspect.generator not in seeded:
            what = f"not deterministic: {where} line {suspect.line}: {suspect.what}"
            yield Cause(NONDETERMINISM, what, "no seed", 0.5)


def _hashing(pair: Pair, suspects: Sequence[Found]) -> Iterator[Cause]:
    same = pair.a.record.hashing is not None and pair.a.record.hashing == pair.b.record.hashing
    hashed = [(where, s) for where, s in suspects if s.kind in HASHED]
    if hashed and not same:
        where, suspect = hashed[0]
        yield Cause(
            NONDETERMINISM,
            f"not deterministic: {where} line {suspect.line}: {suspect.what}",
            "strings were hashed in another way in either run",
            0.5,
        )


_WEIGHTS = {
    randomness.ENTROPY: 0.35,
    randomness.NETWORK: 0.3,
    randomness.THREADS: 0.26,
    randomness.LISTING: 0.2,
    randomness.TIME: 0.15,
    randomness.ADDRESS: 0.15,
}


def _other_chance(suspects: Sequence[Found], part: float) -> Iterator[Cause]:
    for where, suspect in suspects:
        if suspect.kind in _WEIGHTS:
            what = f"not deterministic: {where} line {suspect.line}: {suspect.what}"
            yield Cause(NONDETERMINISM, what, "seen in the code", _WEIGHTS[suspect.kind] * part)
