"""Why two runs differ: every difference judged by what plausibly moves a metric, the strongest first.

The weights say how sure a difference is to be the cause, given that it is there: what was read, executed, imported
stands over what was only at hand; what a person changed over what followed from it. Chance comes after all of these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nbledger.core import causes_chance, causes_data, codediff, defuse, envdiff, orderdiff, relevance, syntax
from nbledger.core.cells import INJECTED
from nbledger.core.differences import (
    CODE,
    ENVIRONMENT,
    HARDWARE,
    ORDER,
    PARAMETER,
    SEED,
    Cause,
    CodeChange,
    Comparison,
    OrderChange,
    PackageChange,
)
from nbledger.core.literals import Literal
from nbledger.core.pair import Pair
from nbledger.core.record import ExecutedCell
from nbledger.core.sides import Side
from nbledger.core.wording import counted

_AGAIN = 0.8  # a second cause of a kind weighs less than the first cause of another
_LEAST = 0.01


def rank(pair: Pair) -> tuple[Cause, ...]:
    """The causes, strongest first. Where the metrics are equal nothing moved them: all weights are zero. Chance is spoken
    of only where they are seen to differ.
    """
    found = [
        *causes_data.causes(pair),
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
        found += causes_chance.unseen(pair)
        found += causes_chance.chance(pair, explained=any(c.weight >= 0.3 for c in found))
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


# ── parameters, code and seeds ───────────────────────────────────────────────────────────────────────────


def _parameters(pair: Pair) -> Iterator[Cause]:
    """Recorded parameters that differ, and names set to other literals in code that ran."""
    literals = [x for c in pair.found.code if c.needed and c.kind == "cell" for x in c.literals]
    told: set[Literal] = set()
    for name, (old, new) in pair.params():
        matching = [x for x in literals if _is(x, name, old, new)]
        told.update(matching)
        if any(x in pair.absorbed for x in matching) or _led_to_data(pair, old, new):
            continue
        kind = SEED if syntax.is_seed(name) else PARAMETER
        evidence, weight = _how_set(pair, name, (old, new), matching)
        if old is not None and new is not None and syntax.same_number(old, new):
            evidence, weight = "the same number, written in another way", 0.03
        elif all(side.knows and relevance.idle(pair.slice(side), name) for side in (pair.a, pair.b)):
            evidence, weight = "nothing that the metrics depend on uses it", 0.15
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


def _how_set(
    pair: Pair, name: str, values: tuple[str | None, str | None], matching: Sequence[Literal]
) -> tuple[str, float]:
    if matching:
        where = next((c.where for c in pair.found.code if matching[0] in c.literals), "")
        return f"set in {where}" if where else "set in the code", 0.9
    headers = [_header_value(side, name) for side in (pair.a, pair.b)]
    if headers[0] != headers[1]:
        return "given with -p", 0.9
    if _given(pair, name):
        return "given to the batch run", 0.9
    if not all(side.record.cells for side in (pair.a, pair.b)):
        return "recorded with the run", 0.9
    config = _from_file(pair, name)
    if config is not None:
        return f"set in {config}", 0.96
    if None in values:
        return f"only {(pair.b if values[0] is None else pair.a).title} recorded it", 0.22
    return _setting_code(pair, name), 0.22


def _given(pair: Pair, name: str) -> bool:
    """Whether a batch run was given another value than the other side's, in the cell of parameters that is put in."""
    given = [
        [c for c in side.record.cells if side.record.batch and INJECTED.match(syntax.body(c.source))]
        for side in (pair.a, pair.b)
    ]
    if _last(given[0], name) == _last(given[1], name):
        return False
    return _last(pair.a.record.cells, name) != _last(pair.b.record.cells, name)


def _last(cells: Iterable[ExecutedCell], name: str) -> str:
    """The last statement of these cells that binds a name."""
    return next(reversed(_that_set(cells, name)[0]), "")


def _setting_code(pair: Pair, name: str) -> str:
    """Of a parameter that both sides recorded: whether the code that sets it is the same on both. That is what binds the
    name, in what the run depends on rather than elsewhere, else what gives something by that name to a call or a table.
    """
    name = name.rpartition(".")[2]
    a, b = ((_that_set(pair.slice(s), name)[0], *_that_set(s.record.cells, name)) for s in (pair.a, pair.b))
    found = list(zip(a, b, strict=True))
    left, right = next((both for both in found if all(both)), next((both for both in found if any(both)), ((), ())))
    if not left and not right:
        return "no cell sets it, so it followed from something else"
    if not left or not right:
        return f"only {(pair.a if left else pair.b).title} has code that sets it"
    if left != right:
        return "the code that sets it is not the same"
    return "the code that sets it is the same, so it followed from something else"


def _that_set(cells: Iterable[ExecutedCell], name: str) -> tuple[list[str], list[str]]:
    """Statements that bind a name; and others that have it for a keyword or a key."""
    bind, key = [], []
    for cell in cells:
        tree = defuse.tree_of(syntax.body(cell.source))
        for statement in tree.body if tree is not None else ():
            if name in defuse.names_of_statement(statement).binds:
                bind.append(ast.unparse(statement))
            elif any(
                (isinstance(node, ast.keyword) and node.arg == name)
                or (isinstance(node, ast.Constant) and node.value == name)
                for node in ast.walk(statement)
            ):
                key.append(ast.unparse(statement))
    return bind, key


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
        elif change.effect == "names":
            yield Cause(CODE, f"{change.where}: other names", "the same code, in which variables are renamed", 0.03)
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
            yield Cause(CODE, f"{change.where} {_state(change)}: {said}", _ran(pair, change), 0.85)
        return
    made = _wrote(pair, change)
    if made:
        yield Cause(CODE, _code_words(change), f"it wrote {made}", 0.3)
        return
    weight = 0.3 if _only_imports(change) else 0.86 if change.kind == "cell" else 0.84
    yield Cause(CODE, _code_words(change), _ran(pair, change), weight)


def _wrote(pair: Pair, change: CodeChange) -> str:
    """The versioned file that a new cell wrote and the run read: the data are the cause, and the cell their origin."""
    if change.kind != "cell" or change.state == "changed":
        return ""
    told = (d for d in pair.found.data if d.needed and not d.derived and d.state == "changed")
    return next((d.path for d in told if causes_data.written_by(pair, d) == change.where), "")


def _alone(pair: Pair, literal: Literal) -> bool:
    """Not told of already as a recorded parameter."""
    return not any(_is(literal, name, old, new) for name, (old, new) in pair.params())


def _state(change: CodeChange) -> str:
    return {"added": "is new", "removed": "is gone"}.get(change.state, "changed")


def _code_words(change: CodeChange) -> str:
    lines = [
        line for line in change.diff if line[:1] in "+-" and line[1:].strip() and not line[1:].lstrip().startswith("#")
    ]
    if change.state != "changed" or not lines:
        return f"{change.where} {_state(change)}"
    shown = [line[0] + " " + line[1:].strip() for line in lines[:2]]
    left = len(lines) - 2
    more = f" (and {counted(left, 'more line')})" if left > 0 else ""
    return f"{change.where} changed: {'; '.join(x[:100] for x in shown)}{more}"


def _ran(pair: Pair, change: CodeChange) -> str:
    if pair.a.note or pair.b.note:  # nobody recorded what was executed
        return "by the commits that were noted"
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
        if old == new or not (pair.a.knows and pair.b.knows) or "seed" in (*pair.a.unknown, *pair.b.unknown):
            continue
        what = f"{row.name} was {old or 'not set'} and is {new or 'not set'}"
        if row.name != "PYTHONHASHSEED":
            yield Cause(SEED, what, "recorded with the runs", 0.9)
            continue
        hashed = [
            *causes_chance.suspects_of(pair.b, causes_chance.HASHED),
            *causes_chance.suspects_of(pair.a, causes_chance.HASHED),
        ]
        suspect = next(
            (x for x in (*hashed, *causes_chance.in_modules(pair)) if x[1].kind in causes_chance.HASHED), None
        )
        if suspect is not None:
            yield Cause(SEED, what, f"{suspect[0]}: {suspect[1].what}", 0.87)
        else:
            yield Cause(SEED, what, "no place was found that depends on how strings are hashed", 0.2)


def _order(pair: Pair) -> Iterator[Cause]:
    for change in pair.found.order:
        yield Cause(ORDER, change.what, change.evidence, _of_order(change) if change.matters else 0.12)


def _of_order(change: OrderChange) -> float:
    """What a person changed comes before a cell that may only have gone on where it was."""
    if orderdiff.MAY_HAVE_USED in change.what:
        return 0.5
    return {orderdiff.DRAWS: 0.82, orderdiff.MAY_BUILD: 0.5}.get(change.evidence, 0.92)


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
            or (change.name == "nbledger" and None in (old, new))  # lent to a rebuilt environment, not installed there
        ):
            continue
        weight, why = _package(change, used, told=told)
        if weight >= 0.1:
            yield Cause(ENVIRONMENT, f"{change.name} {old or 'not installed'} → {new or 'not installed'}", why, weight)
        else:
            idle.append(change.name)
    if idle:
        shown = ", ".join(idle[:3]) + (" …" if len(idle) > 3 else "")
        told_of = f"{len(idle)} packages that do not bear on the run differ"
        if len(idle) == 1:
            told_of = "a package that does not bear on the run differs"
        yield Cause(ENVIRONMENT, f"{told_of} ({shown})", "installed only", 0.04)


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
