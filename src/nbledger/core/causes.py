"""Why two runs differ: every difference judged by what plausibly moves a metric, the strongest first.

The weights say how sure a difference is to be the cause, given that it is there: what was read, executed, imported
stands over what was only at hand; what a person changed over what followed from it. Chance comes after all of these.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nbledger.core import codediff, drawn, envdiff, randomness, syntax
from nbledger.core.differences import (
    CODE,
    DATA,
    ENVIRONMENT,
    HARDWARE,
    NONDETERMINISM,
    ORDER,
    PARAMETER,
    SEED,
    Cause,
    CodeChange,
    Comparison,
    DataChange,
    PackageChange,
)
from nbledger.core.record import ExecutedCell
from nbledger.core.sides import Side
from nbledger.core.syntax import Literal

_AGAIN = 0.8  # a second cause of a kind weighs less than the first cause of another
_LEAST = 0.01
_HASHED = (randomness.SET_ORDER, randomness.HASH)


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


def rank(pair: Pair) -> tuple[Cause, ...]:
    """The causes, strongest first. Where the metrics are equal nothing moved them: all weights are zero. Chance is spoken
    of only where they are seen to differ.
    """
    found = [
        *_data(pair),
        *_parameters(pair),
        *_code(pair),
        *_seeds(pair),
        *_order(pair),
        *_environment(pair),
        *_hardware(pair),
    ]
    if pair.found.equal:
        return tuple(replace(c, weight=0.0) for c in _sorted(found))
    if pair.found.equal is False:
        found += _unseen(pair)
        found += _chance(pair, explained=any(c.weight >= 0.3 for c in found))
    return _sorted(found)


def _sorted(found: Iterable[Cause]) -> tuple[Cause, ...]:
    """By weight, each next cause of a kind discounted: two changes of different kinds both come before a third."""
    count: dict[str, int] = {}
    weighed = []
    for cause in sorted(found, key=lambda c: -c.weight):
        seen = count.get(cause.kind, 0)
        count[cause.kind] = seen + 1
        weighed.append(replace(cause, weight=round(cause.weight * _AGAIN**seen, 3)))
    return tuple(c for c in sorted(weighed, key=lambda c: -c.weight) if c.weight >= _LEAST)


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────


def _data(pair: Pair) -> Iterator[Cause]:
    for change in pair.found.data:
        if change.keys and all(syntax.is_seed(row.name.rpartition(".")[2]) for row in change.keys):
            said = _keys(change).removeprefix(": ")
            yield Cause(
                SEED, f"{change.path} differs: {said}", _data_evidence(pair, change), _data_weight(pair, change)
            )
        elif change.state != "same":
            yield Cause(DATA, _data_words(pair, change), _data_evidence(pair, change), _data_weight(pair, change))


def _data_weight(pair: Pair, change: DataChange) -> float:
    if change.derived:
        return 0.15
    if not change.needed:
        return 0.1
    if change.state == "moved":
        return 0.05
    if change.alike:
        return 0.1
    if change.state == "unknown":
        return 0.25
    if change.outside:
        return 0.35
    if change.state in ("added", "removed") and (_mentioned(pair, change) or _only_there(pair, change)):
        return 0.5  # the edit that reads it is the cause
    if change.keys and _told_as_parameters(pair, change):
        return 0.2
    return 0.95


def _mentioned(pair: Pair, change: DataChange) -> bool:
    """Whether an edit of the code brought the file in, or took it out."""
    name, mark = posixpath.basename(change.path.rstrip("/")), "+" if change.state == "added" else "-"
    edits = (line for c in pair.found.code if c.needed and c.effect == "code" for line in c.diff)
    return any(line.startswith(mark) and name in line for line in edits)


def _only_there(pair: Pair, change: DataChange) -> bool:
    """Whether the cell that read the file ran on one side only."""
    mine, theirs = (pair.b, pair.a) if change.state == "added" else (pair.a, pair.b)
    path = change.files[-1].name if change.files else change.path
    readers = {syntax.shape(c.source).exact for c in pair.slice(mine) if path in c.reads}
    return bool(readers) and readers.isdisjoint(syntax.shape(c.source).exact for c in pair.slice(theirs))


def _told_as_parameters(pair: Pair, change: DataChange) -> bool:
    """Whether every setting that differs is a recorded parameter, which is then the cause."""
    moved = {name.rpartition(".")[2] for name, _ in _pairs(pair)}
    return all(row.name.rpartition(".")[2] in moved for row in change.keys)


def _data_words(pair: Pair, change: DataChange) -> str:
    a, b = pair.a.title, pair.b.title
    if change.state == "replaced":
        return f"{b} read {change.other} where {a} read {change.path}"
    if change.state == "moved":
        return f"{b} read {change.other} where {a} read {change.path}: the same bytes"
    if change.state == "added":
        return f"{b} also read {change.path}"
    if change.state == "removed":
        return f"{a} also read {change.path}"
    if change.state == "unknown":
        return f"{change.path} may differ: its contents were not recorded"
    return f"{change.path} differs{_files(change)}{_table(change)}{_keys(change)}"


def _files(change: DataChange) -> str:
    if not change.files:
        return ""
    counts = {state: sum(row.note == state for row in change.files) for state in ("added", "removed", "changed")}
    return f" ({', '.join(f'{count} files {state}' for state, count in counts.items() if count)})"


def _keys(change: DataChange) -> str:
    said = [f"{row.name} {row.values[0] or 'absent'} → {row.values[1] or 'absent'}" for row in change.keys]
    return f": {', '.join(said[:3])}{' …' if len(said) > 3 else ''}" if said else ""


def _table(change: DataChange) -> str:
    words = table_words(change)
    return f": {words}" if words else ""


def table_words(change: DataChange) -> str:
    """What became of a table, in a few words; empty where its contents were not compared."""
    table = change.table
    if table is None:
        return ""
    if table.same:
        return "the same values, written in another way"
    parts = []
    if table.reordered:
        parts.append("rows in another order" if table.count else "the same rows in another order")
    counts = (("added", table.added), ("removed", table.removed), ("changed", table.changed))
    parts += [f"{count:,} row{'s' if count > 1 else ''} {state}" for state, count in counts if count]
    for state in ("added", "removed", "dtype"):
        names = [c.name for c in table.columns if c.state == state]
        if names:
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            said = "of another type" if state == "dtype" else state
            parts.append(f"column{'s' if len(names) > 1 else ''} {shown} {said}")
    if table.columns_reordered:
        parts.append("columns in another order")
    moved = [c for c in table.columns if c.state == "moved"]
    if moved:
        parts.append("; ".join(f"{c.name}: {c.what}" for c in moved[:2]))
    return ", ".join(parts)


def _data_evidence(pair: Pair, change: DataChange) -> str:
    parts = []
    hashes = [value[:8] if value else "none" for value in change.values]
    if any(change.values) and change.state not in ("added", "removed", "moved"):
        parts.append(f"MD5 {hashes[0]} → {hashes[1]}")
    if change.read_by:
        parts.append(f"read by {change.read_by}")
    because = [x for x in pair.absorbed if x.old.strip("'\"") in change.path]
    if because and change.other:
        parts.append(f"{because[0].name or 'the name in the code'} was {because[0].old} and is {because[0].new}")
    if change.derived:
        parts.append("the session wrote it itself, so it followed from something else")
    if not change.needed:
        parts.append("the run's cell does not depend on what read it")
    if change.outside:
        parts.append("outside the project")
    return "; ".join([*parts, *([change.note] if change.note else [])])


# ── parameters, code and seeds ───────────────────────────────────────────────────────────────────────────


def _parameters(pair: Pair) -> Iterator[Cause]:
    """Recorded parameters that differ, and names set to other literals in code that ran."""
    literals = [x for c in pair.found.code if c.needed and c.kind == "cell" for x in c.literals]
    told: set[Literal] = set()
    for name, (old, new) in _pairs(pair):
        matching = [x for x in literals if _is(x, name, old, new)]
        told.update(matching)
        if any(x in pair.absorbed for x in matching) or _led_to_data(pair, old, new):
            continue
        kind = SEED if syntax.is_seed(name) else PARAMETER
        evidence, weight = _how_set(pair, name, matching)
        yield Cause(kind, f"{name} was {_said(old)} and is {_said(new)}", evidence, weight)
    for literal in dict.fromkeys(literals):
        if literal in told or literal in pair.absorbed or literal.seed or not parameter_like(literal, pair.found):
            continue
        yield Cause(
            PARAMETER,
            f"{literal.name} was {literal.old or 'not set'} and is {literal.new or 'not set'}",
            "set in the code",
            0.88,
        )


def _pairs(pair: Pair) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    for name, values in pair.found.params.items():
        if values[0] != values[1] and pair.a.knows and pair.b.knows:
            yield name, (values[0], values[1])


def _said(value: str | None) -> str:
    return "not recorded" if value is None else value


def _is(literal: Literal, name: str, old: str | None, new: str | None) -> bool:
    """Whether a literal in code is what was recorded as this parameter: by name, or by both its values."""
    last = name.rpartition(".")[2]
    if literal.name in (name, last):
        return True
    return (_bare(literal.old), _bare(literal.new)) == (old, new) and literal.place in ("assigned", "key", "keyword")


def _bare(written: str) -> str:
    return written[1:-1] if written[:1] in "'\"" and written[-1:] == written[:1] else written


def _led_to_data(pair: Pair, old: str | None, new: str | None) -> bool:
    """Whether a parameter is the name of a file (or part of it) that was read instead of another."""
    if not old or not new:
        return False
    joined = [c for c in pair.found.data if c.other is not None]
    return any(
        c.path.replace(old.removeprefix("./"), new.removeprefix("./")) == c.other and c.path != c.other for c in joined
    )


def _how_set(pair: Pair, name: str, matching: Sequence[Literal]) -> tuple[str, float]:
    if matching:
        where = next((c.where for c in pair.found.code if matching[0] in c.literals), "")
        return f"set in {where}" if where else "set in the code", 0.9
    headers = [_header_value(side, name) for side in (pair.a, pair.b)]
    if headers[0] != headers[1]:
        return "given with -p", 0.9
    if any(side.record.batch for side in (pair.a, pair.b)):
        return "given to the batch run", 0.9
    if not all(side.record.cells for side in (pair.a, pair.b)):
        return "recorded with the run", 0.9
    config = _from_file(pair, name)
    if config is not None:
        return f"set in {config}", 0.96
    return "the code that sets it is the same, so it followed from something else", 0.22


def _header_value(side: Side, name: str) -> str:
    if not side.record.cells:
        return ""
    source = side.record.cells[-1].source
    return codediff.split_parameters([source[: len(source) - len(syntax.body(source))]], [name])[1].get(name, "")


def _from_file(pair: Pair, name: str) -> str | None:
    """The configuration file that differs in a key of this parameter's name."""
    last = name.rpartition(".")[2]
    for change in pair.found.data:
        if any(row.name.rpartition(".")[2] in (name, last) for row in change.keys):
            return change.path
    return None


def parameter_like(literal: Literal, found: Comparison) -> bool:
    """A literal that sets a name at the top level of a cell, a key of settings there, or a recorded parameter."""
    if literal.place in ("assigned", "key"):
        return True
    recorded = {name.rpartition(".")[2] for name in found.recorded}
    return bool(literal.name) and literal.name in recorded


def _code(pair: Pair) -> Iterator[Cause]:
    for change in pair.found.code:
        seeds = [x for x in change.literals if x.seed and x not in pair.absorbed]
        if change.effect == "layout":
            yield Cause(CODE, f"{change.where}: comments or formatting only", "the syntax tree is the same", 0.02)
        elif change.effect == "shows":
            yield Cause(CODE, f"{change.where}: what it displays", "no other statement changed", 0.04)
        elif not change.needed:
            yield Cause(CODE, _code_words(change), _idle(change), 0.12 if change.inside else 0.06)
        elif change.effect == "seed":
            if change.literals and not any(_alone(pair, x) for x in change.literals):
                continue
            yield Cause(SEED, _seed_words(change), f"in {change.where}", 0.88)
        else:
            yield from (Cause(SEED, _literal(x), f"in {change.where}", 0.88) for x in seeds if _alone(pair, x))
            yield from _edit(pair, change)


def _edit(pair: Pair, change: CodeChange) -> Iterator[Cause]:
    left = [
        x
        for x in change.literals
        if x not in pair.absorbed and not x.seed and not (change.kind == "cell" and parameter_like(x, pair.found))
    ]
    if change.effect == "literals":
        if left:
            said = ", ".join(map(_literal, left[:3]))
            yield Cause(CODE, f"{change.where} {_state(change)}: {said}", _ran(change), 0.85)
        return
    weight = 0.3 if _only_imports(change) else 0.86 if change.kind == "cell" else 0.84
    yield Cause(CODE, _code_words(change), _ran(change), weight)


def _alone(pair: Pair, literal: Literal) -> bool:
    """Not told of already as a recorded parameter."""
    return not any(_is(literal, name, old, new) for name, (old, new) in _pairs(pair))


def _state(change: CodeChange) -> str:
    return {"added": "is new", "removed": "is gone"}.get(change.state, "changed")


def _code_words(change: CodeChange) -> str:
    lines = [
        line for line in change.diff if line[:1] in "+-" and line[1:].strip() and not line[1:].lstrip().startswith("#")
    ]
    if change.state != "changed" or not lines:
        return f"{change.where} {_state(change)}"
    shown = [line[0] + " " + line[1:].strip() for line in lines[:2]]
    more = f" (and {len(lines) - 2} more lines)" if len(lines) > 2 else ""
    return f"{change.where} changed: {'; '.join(x[:100] for x in shown)}{more}"


def _ran(change: CodeChange) -> str:
    return "the run executed it" if change.kind == "cell" else "the run imported it"


def _idle(change: CodeChange) -> str:
    if change.kind == "cell":
        return f"it ran, but what the run recorded does not depend on {'what was edited' if change.inside else 'it'}"
    return "imported, but nothing that ran names what changed"


def _only_imports(change: CodeChange) -> bool:
    lines = [line[1:].strip() for line in change.diff if line[:1] in "+-" and line[1:].strip()]
    return bool(lines) and all(line.startswith(("import ", "from ", "#")) for line in lines)


def _literal(literal: Literal) -> str:
    name = literal.name or (f"{literal.call}(…)" if literal.call else "a literal")
    return f"{name} was {literal.old or 'not set'} and is {literal.new or 'not set'}"


def _seed_words(change: CodeChange) -> str:
    named = [x for x in change.literals if x.old or x.new]
    if named:
        return ", ".join(_literal(x) for x in named[:3])
    return _code_words(change)


def _seeds(pair: Pair) -> Iterator[Cause]:
    for row in pair.found.seeds:
        old, new = row.values[0], row.values[1]
        if old == new or not (pair.a.knows and pair.b.knows):
            continue
        what = f"{row.name} was {old or 'not set'} and is {new or 'not set'}"
        if row.name != "PYTHONHASHSEED":
            yield Cause(SEED, what, "recorded with the runs", 0.9)
            continue
        hashed = [*_suspects(pair.b, _HASHED), *_suspects(pair.a, _HASHED)]
        suspect = next((x for x in (*hashed, *_in_modules(pair)) if x[1].kind in _HASHED), None)
        if suspect is not None:
            yield Cause(SEED, what, f"{suspect[0]}: {suspect[1].what}", 0.87)
        else:
            yield Cause(SEED, what, "no place was found that depends on how strings are hashed", 0.2)


def _order(pair: Pair) -> Iterator[Cause]:
    for change in pair.found.order:
        yield Cause(ORDER, change.what, change.evidence, 0.92 if change.matters else 0.12)


# ── environment and hardware ─────────────────────────────────────────────────────────────────────────────


def _environment(pair: Pair) -> Iterator[Cause]:
    used = envdiff.used_by([*(c.source for side in (pair.a, pair.b) for c in pair.slice(side)), *pair.modules.values()])
    told = bool(pair.a.record.imported or pair.b.record.imported)
    idle = []
    for change in pair.found.environment:
        old, new = change.values[0], change.values[1]
        if (
            old == new
            or (old is None and pair.a.record.environment is None)
            or (new is None and pair.b.record.environment is None)
        ):
            continue
        weight, why = _package(change, used, told=told)
        if weight >= 0.1:
            yield Cause(ENVIRONMENT, f"{change.name} {old or 'not installed'} → {new or 'not installed'}", why, weight)
        else:
            idle.append(change.name)
    if idle:
        shown = ", ".join(idle[:3]) + (" …" if len(idle) > 3 else "")
        yield Cause(
            ENVIRONMENT, f"{len(idle)} packages that do not bear on the run differ ({shown})", "installed only", 0.04
        )


def _package(change: PackageChange, used: set[str], *, told: bool) -> tuple[float, str]:
    if change.role == envdiff.SYSTEM:
        return _system(change)
    if envdiff.infrastructure(change.name):
        return 0.03, "it runs the notebook"
    if change.role == envdiff.IMPORTED:
        return (0.78, "the code imports it") if change.name in used else (0.6, "imported by what the code imports")
    if not told:
        return (
            (0.75, "the code imports it") if change.name in used else (0.3, "installed; what was imported is not known")
        )
    return (
        (0.12, "the project names it, but the run did not import it") if change.role == envdiff.DIRECT else (0.02, "")
    )


def _system(change: PackageChange) -> tuple[float, str]:
    if change.name != "Python":
        return 0.3, "another system"
    versions = [re.findall(r"\d+", value or "")[:2] for value in change.values[:2]]
    return (0.35, "another patch release") if versions[0] == versions[1] else (0.65, "another version of the language")


def _hardware(pair: Pair) -> Iterator[Cause]:
    rows = [row for row in pair.found.hardware if row.values[0] != row.values[1]]
    if not rows or pair.a.record.environment is None or pair.b.record.environment is None:
        return
    heavy = envdiff.numeric(pair.a.record) or envdiff.numeric(pair.b.record)
    said = [f"{row.name} {row.values[0] or 'not set'} → {row.values[1] or 'not set'}" for row in rows]
    cards = any(row.name.startswith(("card", "CUDA")) for row in rows)
    weight = 0.06 if not heavy else 0.45 if cards else 0.38
    why = "sums may be formed in another order" if heavy else "nothing that computes in parallel was imported"
    yield Cause(HARDWARE, ", ".join(said[:4]) + (" …" if len(said) > 4 else ""), why, weight)


# ── what could not be seen, and chance ───────────────────────────────────────────────────────────────────


def _unseen(pair: Pair) -> Iterator[Cause]:
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


def _suspects(side: Side, kinds: Sequence[str] = ()) -> list[Found]:
    context, found = randomness.Context(), []
    for index in side.needed:
        cell = side.record.cells[index]
        seen, context = randomness.scan(cell.source, context)
        found += [(codediff.label(cell), one) for one in seen if not kinds or one.kind in kinds]
    return found


def _in_modules(pair: Pair) -> list[Found]:
    return [(path, one) for path, text in pair.modules.items() for one in randomness.suspects(text)]


def _chance(pair: Pair, *, explained: bool) -> Iterator[Cause]:
    """Nondeterminism: where it is seen to have been at work first, then where the code allows it."""
    suspects = _suspects(pair.b) or _suspects(pair.a)
    loaded = _in_modules(pair)
    found = [*_unseeded(pair, suspects), *_hashing(pair, [*suspects, *loaded]), *_other_chance(suspects, 1.0)]
    found += [*_unseeded_in_modules(pair, loaded), *_other_chance(loaded, 0.8)]
    best = max(found, key=lambda c: c.weight, default=None)
    if best is not None:
        yield best
    elif not explained:
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


def _unseeded_in_modules(pair: Pair, suspects: Sequence[Found]) -> Iterator[Cause]:
    """Draws in modules from generators of their own, or from global ones that no needed cell seeded."""
    every = zip(pair.b.record.cells, drawn.seeders(pair.b.record.cells), strict=True)
    seeded = {name for index, (_, names) in enumerate(every) if index in pair.b.needed for name in names}
    for where, suspect in suspects:
        if suspect.kind == randomness.UNSEEDED and suspect.generator not in seeded:
            what = f"not deterministic: {where} line {suspect.line}: {suspect.what}"
            yield Cause(NONDETERMINISM, what, "no seed", 0.5)


def _hashing(pair: Pair, suspects: Sequence[Found]) -> Iterator[Cause]:
    same = pair.a.record.hashing is not None and pair.a.record.hashing == pair.b.record.hashing
    hashed = [(where, s) for where, s in suspects if s.kind in _HASHED]
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
