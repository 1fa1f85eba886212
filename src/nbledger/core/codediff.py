"""What code two runs executed differently: cells of their slices, modules of the project, and parameters set in code."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from nbledger.core import defuse, literals, notebookdiff, relevance, syntax
from nbledger.core.differences import CodeChange
from nbledger.core.literals import Literal
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.relevance import Reach

_MOST_LINES = 400
_LABEL = 60


def label(cell: ExecutedCell) -> str:
    """``cell [5] model.fit(X, y)``: a cell's number and first line of code."""
    lines = [line.strip() for line in syntax.body(cell.source).splitlines()]
    first = next((x for x in lines if x and not x.startswith("#")), next((x for x in lines if x), "(empty)"))
    number = f"[{cell.execution_count}] " if cell.execution_count is not None else ""
    first = first.rstrip(" :")
    return f"cell {number}{first if len(first) <= _LABEL else first[: _LABEL - 1] + '…'}"


def cells(
    a: Sequence[ExecutedCell],
    b: Sequence[ExecutedCell],
    *,
    needed: bool = True,
    reaches: tuple[Reach, Reach] | None = None,
) -> list[CodeChange]:
    """What became of each cell: those of a run's slice (``needed``) or of the rest. With ``reaches`` a cell of the slice
    whose edited statements the result does not depend on is not needed either.
    """
    keyed = [[(syntax.body(c.source), c.cell_id) for c in side] for side in (a, b)]
    settings = tuple({k: v for source, _ in side for k, v in syntax.shape(source).assigned.items()} for side in keyed)
    found = []
    paired = _reunited(notebookdiff.pairs(*keyed), *keyed)
    renamed = _renamed([(keyed[0][i][0], keyed[1][j][0]) for i, j in paired if i is not None and j is not None])
    for i, j in paired:
        old, new = a[i] if i is not None else None, b[j] if j is not None else None
        if old is None or new is None or syntax.body(old.source) != syntax.body(new.source):
            change = _cell(old, new, needed, settings)
            if change is not None and change.effect == "code" and i is not None and j is not None:
                names = literals.renames(keyed[0][i][0], keyed[1][j][0])
                change = replace(change, effect="names") if names is not None and renamed else change
            if change is not None and needed and not _moves(old, new, reaches):
                change = replace(change, needed=False, inside=True)
            if change is not None:
                found.append(change)
    return found


def _reunited(
    paired: Sequence[tuple[int | None, int | None]], a: Sequence[notebookdiff.Keyed], b: Sequence[notebookdiff.Keyed]
) -> list[tuple[int | None, int | None]]:
    """The pairs, and of cells that were left alone those joined that are one cell, edited and run at another place."""
    gone = [i for i, j in paired if i is not None and j is None]
    came = [j for i, j in paired if i is None and j is not None]
    joined: dict[int, int] = {}
    for one in (_id, _bound):
        for key in {one(a[i]) for i in gone} - {None}:
            left = [i for i in gone if one(a[i]) == key and i not in joined]
            right = [j for j in came if one(b[j]) == key and j not in joined.values()]
            if len(left) == len(right) == 1:
                joined[left[0]] = right[0]
    taken = set(joined.values())
    return [
        (i, joined.get(i) if j is None and i is not None else j) for i, j in paired if i is not None or j not in taken
    ]


def _id(cell: notebookdiff.Keyed) -> object:
    return cell[1]


def _bound(cell: notebookdiff.Keyed) -> object:
    """What a cell without an id is known by: the names that it sets."""
    return defuse.names_of(cell[0]).binds or None if cell[1] is None else None


def _cell(
    old: ExecutedCell | None, new: ExecutedCell | None, needed: bool, settings: Sequence[Mapping[str, str]]
) -> CodeChange | None:
    here = new or old
    assert here is not None
    before, after = (syntax.body(c.source) if c else "" for c in (old, new))
    if not before.strip() and not after.strip():
        return None
    if old and new:
        effect, literals = _effect(before, after)
    else:
        effect, literals = _lone(here, settings)
    return CodeChange(
        kind="cell",
        where=label(here),
        state="added" if old is None else "removed" if new is None else "changed",
        effect=effect,
        needed=needed,
        literals=literals,
        ids=(old.cell_id if old else None, new.cell_id if new else None),
        diff=unified(before, after),
    )


def _renamed(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the cells that differ in names alone differ by one renaming, which every other cell goes along with."""
    there: dict[str, str] = {}
    bound = [{name for pair in pairs for name in literals.bound(pair[side])} for side in (0, 1)]
    for old, new in pairs:
        names = literals.renames(old, new)
        if names is None:
            names = {word: word for word in syntax.words(old) & syntax.words(new)}
        for before, after in names.items():
            if there.setdefault(before, after) != after:
                return False
            if before != after and not (before in bound[0] and after in bound[1]):
                return False  # a name from elsewhere: another thing, not another name
    return len(set(there.values())) == len(there)


def _moves(old: ExecutedCell | None, new: ExecutedCell | None, reaches: tuple[Reach, Reach] | None) -> bool:
    if reaches is None:
        return True
    found = relevance.changed(old, new)
    return found is None or reaches[0].moves(old, found[0]) or reaches[1].moves(new, found[1])


def _lone(cell: ExecutedCell, settings: Sequence[Mapping[str, str]]) -> tuple[str, tuple[Literal, ...]]:
    """The effect of a cell that only one side has. One that only sets names to literals (an injected cell of
    parameters) differs from the other side as far as the values there do.
    """
    own = syntax.shape(cell.source)
    if own.effect == syntax.shape("").effect:
        return "shows" if own.exact != own.effect else "layout", ()
    if not syntax.only_sets(cell.source):
        return "code", ()
    values = [tuple(side.get(name, "") for side in settings) for name in own.assigned]
    differing = [(name, v[0], v[1]) for name, v in zip(own.assigned, values, strict=True) if v[0] != v[1]]
    return ("literals" if differing else "layout"), tuple(Literal(*three, place="assigned") for three in differing)


@lru_cache(512)
def _effect(before: str, after: str) -> tuple[str, tuple[Literal, ...]]:
    a, b = syntax.shape(before), syntax.shape(after)
    if a.exact == b.exact:
        return "layout", ()
    if a.effect == b.effect:
        return "shows", ()
    assigned = _assigned(a, b)
    if a.seedless == b.seedless:
        within = literals.literals(before, after)
        seeds = within if within is not None else (*assigned, Literal("seed", "", "", "keyword"))
        if all(x.seed for x in seeds):
            return "seed", seeds
    within = literals.literals(before, after)
    if within is not None:
        return "literals", within
    return "code", assigned


def _assigned(a: syntax.Shape, b: syntax.Shape) -> tuple[Literal, ...]:
    """Literals assigned to the same names at the top level of both, where the rest differs too."""
    return tuple(
        Literal(name, a.assigned[name], b.assigned[name], "assigned")
        for name in a.assigned
        if name in b.assigned and a.assigned[name] != b.assigned[name]
    )


def unified(before: str, after: str, name: str = "") -> tuple[str, ...]:
    """The lines of a unified diff, without its file names; cut where it is very long."""
    lines = [
        line.rstrip("\n") for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    ]
    body = lines[2:]
    if len(body) > _MOST_LINES:
        return (*body[:_MOST_LINES], f"… {len(body) - _MOST_LINES} more lines")
    return tuple(body)


def only(idle: Sequence[ExecutedCell], others: Sequence[ExecutedCell]) -> list[ExecutedCell]:
    """Those of the cells that the other side did not execute, each source once."""
    known = {syntax.shape(c.source).exact for c in others}
    found = {syntax.shape(c.source).exact: c for c in idle}
    return [cell for key, cell in found.items() if key not in known]


def files(record: Record) -> list[str]:
    """Paths of the code that a run loaded from files: its modules, and scripts that it read. What ``nbledger code`` wrote of the
    stage's notebook is none: older runs have it among their inputs, and their cells say the same.
    """
    stage = record.row.tags.get("nbledger.stage", "").rpartition(":")[2]
    own = f"/stages/{stage}.py" if stage and record.cells else "\0"
    scripts = [r.path for r in record.inputs if r.path.endswith((".py", ".pyx")) and not f"/{r.path}".endswith(own)]
    return list(dict.fromkeys([*record.modules, *scripts]))


def table(slices: Sequence[Sequence[ExecutedCell]]) -> list[CodeChange]:
    """For several sides: the cells of the first one's slice, and those that another has beside them, that differ, with a
    digest of each side's version (None: it has none).
    """
    first = slices[0]
    versions: list[list[str | None]] = [[_digest(c.source)] for c in first]
    labels, beside = [label(c) for c in first], dict[str, list[str | None]]()
    for number, other in enumerate(slices[1:], 1):
        for row in versions:
            row.append(None)
        keyed = [[(syntax.body(c.source), c.cell_id) for c in side] for side in (first, other)]
        for i, j in notebookdiff.pairs(*keyed):
            if j is not None:
                row = versions[i] if i is not None else beside.setdefault(label(other[j]), [None] * len(slices))
                row[number] = _digest(other[j].source)
    rows = [*zip(labels, versions, strict=True), *beside.items()]
    return [_of_several("cell", where, values) for where, values in rows if len(set(values)) > 1]


def table_of_files(texts: Sequence[Mapping[str, str | None]]) -> list[CodeChange]:
    """As ``table``, of modules: {path: source} of each side."""
    found = []
    for path in sorted({path for side in texts for path in side}):
        values = [_digest(text) if (text := side.get(path)) is not None else None for side in texts]
        if len(set(values)) > 1:
            found.append(_of_several("module", path, values))
    return found


def _of_several(kind: str, where: str, values: Sequence[str | None]) -> CodeChange:
    return CodeChange(kind, where, "differs", "code", values=tuple(values))


def _digest(source: str) -> str:
    return hashlib.sha256(syntax.shape(source).exact.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def modules(a: Mapping[str, str | None], b: Mapping[str, str | None], used: Iterable[str] | None) -> list[CodeChange]:
    """What became of the project's own modules: {path: source} of each side (None: not at hand). ``used`` are the
    identifiers of the code that imported them (None: not known): a change in a function that nothing names is not
    ``needed``.
    """
    named = set(used or ())
    found = []
    for path in sorted({*a, *b}):
        before, after = a.get(path), b.get(path)
        if before is None or after is None:
            if (path in a) != (path in b):
                found.append(_module(path, before, after, needed=True))
        elif before != after:
            others = [s for side in (a, b) for p, s in side.items() if p != path and s]
            words = named.union(*(syntax.words(s) for s in others))
            found.append(_module(path, before, after, needed=used is None or _reaches(before, after, words)))
    return found


def _module(path: str, before: str | None, after: str | None, *, needed: bool) -> CodeChange:
    effect, literals = _effect(before, after) if before is not None and after is not None else ("code", ())
    state = "added" if before is None else "removed" if after is None else "changed"
    diff = unified(before or "", after or "")
    return CodeChange("module", path, state, effect, needed, literals=literals, diff=diff)


def _reaches(before: str, after: str, named: set[str]) -> bool:
    """Whether a changed definition is named outside, or by another definition that is."""
    old, new = syntax.defined(before), syntax.defined(after)
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    while True:
        more = {
            name
            for name, text in new.items()
            if name not in changed and any(f"id='{word}'" in text for word in changed if word)
        }
        if not more:
            break
        changed |= more
    return "" in changed or bool(changed & named)


# ── parameters in code ───────────────────────────────────────────────────────────────────────────────────

_OPTION = r"""(?P<head>(?:-p\s*|--param[\s=])\s*['"]?{name}=)(?P<value>"[^"]*"|'[^']*'|[^\s'"]+)"""


def split_parameters(sources: Sequence[str], names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The sources with ``...`` for each literal that sets one of the parameters ``names``, and {name: literal} of those.

    A parameter is set by ``name = literal`` at the top level of a cell, as a key or attribute (``{"name": literal}``,
    ``dict(name=literal)``, ``x["name"] = literal``, ``x.name = literal``), or by ``-p name=literal`` in the header. The
    last setting counts.
    """
    wanted = set(names)
    found: dict[str, str] = {}
    skeletons = []
    for source in sources:
        text = source
        for start, end, name in reversed(_places(source, wanted)):
            found.setdefault(name, "")
            text = text[:start] + "..." + text[end:]
        for start, end, name in _places(source, wanted):
            found[name] = source[start:end]
        skeletons.append(text)
    return tuple(skeletons), found


def with_parameters(sources: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """The sources with the parameters set to other literals, each given as it is written in code."""
    changed = []
    for source in sources:
        text = source
        for start, end, name in reversed(_places(source, set(values))):
            text = text[:start] + values[name] + text[end:]
        changed.append(text)
    return tuple(changed)


def _places(source: str, names: set[str]) -> list[tuple[int, int, str]]:
    """(start, end, name) of the literals that set one of ``names``, ascending, as indexes into ``source``."""
    found = _in_header(source, names)
    tree = defuse.tree_of(source)
    if tree is None:
        return found
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def index(row: int, column: int) -> int:
        line = lines[row - 1].encode()[:column]
        return starts[row - 1] + len(line.decode(errors="ignore"))

    def add(node: ast.expr, name: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        found.append((index(node.lineno, node.col_offset), index(node.end_lineno, node.end_col_offset), name))

    for statement in tree.body:
        for owner, known, value in syntax.settings(statement):
            full = next((n for n in (f"{owner}.{known}", known) if n in names), None)
            if full is not None:
                add(value, full)
    return sorted(found)


def _in_header(source: str, names: set[str]) -> list[tuple[int, int, str]]:
    header = source[: len(source) - len(syntax.body(source))]
    found: list[tuple[int, int, str]] = []
    for name in names if header else ():
        matches = re.finditer(_OPTION.format(name=re.escape(name)), header)
        found += [(*match.span("value"), name) for match in matches]
    return sorted(found)


def without(change: CodeChange, gone: Iterable[Literal]) -> CodeChange:
    """The change with some of its literals explained by something else."""
    explained = set(gone)
    return replace(change, literals=tuple(x for x in change.literals if x not in explained))
