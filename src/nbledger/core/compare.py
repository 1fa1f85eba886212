"""What differs between runs, the present state and commits, and why: one verb of every face."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nbledger.core import causes, codediff, datadiff, envdiff, insides, orderdiff, relevance, sides, standins, syntax
from nbledger.core.differences import (
    CodeChange,
    Comparison,
    DataChange,
    Delta,
    OrderChange,
    Row,
    Series,
)
from nbledger.core.environment import Environment
from nbledger.core.errors import UsageError, nearest
from nbledger.core.literals import Literal
from nbledger.core.pair import Pair
from nbledger.core.project import Project
from nbledger.core.record import Point, Record
from nbledger.core.runs import REPRODUCES, VERDICT
from nbledger.core.sides import Side
from nbledger.core.verdict import DIFFERENT

_SHOWN = 60
_MOST = 100
_KEPT = 64


def compare(
    project: Project,
    names: Sequence[str],
    *,
    everything: bool = False,
    metric: str | None = None,
    here: Environment | None = None,
) -> Comparison:
    """Compare two sides or more; causes are told for two. ``names`` are runs, commits, and ``.`` for the present state.

    ``everything`` lists what is the same too; ``metric`` asks about that one alone; ``here`` is the environment that the
    present state has (default: this process's).
    """
    if len(names) < 2:
        raise UsageError("compare takes two runs or more", "e.g. compare @last~1 @last, or compare @last .")
    if len(names) > _MOST:
        raise UsageError(f"compare takes at most {_MOST} runs, not {len(names)}", "%runs sorts and filters more")
    chosen = standins.find(project, names, here)
    key = _key(project, chosen, everything, metric)
    known = _known.get(key) if key else None
    if known is None:
        known = of_sides(project, chosen, everything=everything, metric=metric)
        if key and all(change.whole for change in known.data):
            _known[key] = known
            while len(_known) > _KEPT:
                _known.popitem(last=False)
    return known


_known: OrderedDict[tuple[str, ...], Comparison] = OrderedDict()


def _key(project: Project, chosen: Sequence[Side], everything: bool, metric: str | None) -> tuple[str, ...] | None:
    """What a comparison of ended runs depends on, beside what never changes; None where something else may."""
    if any(side.kind != sides.RUN or side.record.lacking or not side.record.row.end for side in chosen):
        return None
    named = ",".join(sorted(envdiff.direct(project.root)))
    return (
        str(project.root),
        named,
        repr((everything, metric)),
        *(f"{side.title} {side.record.row}" for side in chosen),
    )


def of_sides(
    project: Project | None, chosen: Sequence[Side], *, everything: bool = False, metric: str | None = None
) -> Comparison:
    """The comparison of sides that are at hand; without a project, of what their records alone say."""
    records = [side.record for side in chosen]
    metrics = _metrics(chosen, metric)
    params = _rows([side.record.params if side.knows else {} for side in chosen])
    found = Comparison(
        runs=tuple(side.compared() for side in chosen),
        params={k: v for k, v in params.items() if everything or _varies(v, chosen)},
        metrics={k: v for k, v in metrics.items() if everything or k == metric or _varies(v, chosen)},
        environment=envdiff.packages(
            records, envdiff.direct(project.root, records) if project else (), everything=everything
        ),
        hardware=envdiff.hardware(records, everything=everything),
        seeds=_seeds(chosen, everything=everything),
        series={k: s for k in metrics if any(s := tuple(_series(r.metrics.get(k, ())) for r in records))},
        equal=False if _reproduced_otherwise(records) else _equal(metrics),
        recorded=tuple(params),
        notes=tuple(_notes(chosen)),
        whole=everything,
    )
    if len(chosen) > 2:
        return replace(
            found,
            data=_table_of_data(records, everything=everything),
            code=_table_of_code(project, chosen),
            order=_orders(chosen),
        )
    return _pair(project, chosen[0], chosen[1], found, everything=everything)


def _pair(project: Project | None, a: Side, b: Side, found: Comparison, *, everything: bool) -> Comparison:
    order, code, loaded = _code(project, a, b)
    literals = [x for change in code if change.needed for x in change.literals]
    named = [Literal(k, v[0], v[1], "recorded") for k, v in found.params.items() if v[0] and v[1]]
    left, right = datadiff.inputs(a.record), datadiff.inputs(b.record)
    files = datadiff.changes(a, b, everything=everything)
    data, absorbed = datadiff.by_literals(files, [*literals, *named], left, right)
    data = datadiff.together(data, left, right)
    if project is not None:
        data = insides.look(project, a, b, data)
    deltas = {
        k: Delta(v[1] - v[0], (v[1] - v[0]) / abs(v[0]) if v[0] else None)
        for k, v in found.metrics.items()
        if v[0] is not None and v[1] is not None
    }
    full = replace(found, data=tuple(data), code=tuple(code), order=tuple(order), deltas=deltas)
    ranked = causes.rank(Pair(a, b, full, frozenset(absorbed), loaded))
    return replace(full, causes=ranked, notes=(*full.notes, *_nothing(full, ranked)))


def _nothing(found: Comparison, ranked: Sequence[object]) -> list[str]:
    if ranked or found.data or found.code or found.params:
        return []
    if any(run.unknown for run in found.runs):
        same = ": the metrics are the same" if found.equal else ""
        return [f"nothing that is known of both differs{same}"]
    if found.equal:
        return ["nothing that was recorded differs, and the metrics are the same"]
    return ["nothing that was recorded differs"]


def _seeds(chosen: Sequence[Side], *, everything: bool) -> tuple[Row, ...]:
    """Those that differ among the sides of which they are known."""
    if not all(side.knows for side in chosen):
        return ()
    rows = envdiff.seeds([side.record for side in chosen], everything=True)
    known = [at for at, side in enumerate(chosen) if "seed" not in side.unknown]
    return tuple(row for row in rows if everything or len({row.values[at] for at in known}) > 1)


# ── metrics and parameters ───────────────────────────────────────────────────────────────────────────────


def _rows(tables: Sequence[Mapping[str, str]]) -> dict[str, tuple[str | None, ...]]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: tuple(table.get(name) for table in tables) for name in names}


def _varies(values: Sequence[object], chosen: Sequence[Side]) -> bool:
    known = [v for v, side in zip(values, chosen, strict=True) if side.knows]
    return any(not _same(v, known[0]) for v in known[1:])


def _same(x: object, y: object) -> bool:
    if isinstance(x, float) and isinstance(y, float) and math.isnan(x) and math.isnan(y):
        return True
    return x == y


def _metrics(chosen: Sequence[Side], metric: str | None) -> dict[str, tuple[float | None, ...]]:
    tables = [{k: points[-1].value for k, points in side.record.metrics.items() if points} for side in chosen]
    names = dict.fromkeys(name for table in tables for name in table)
    if metric is not None:
        if metric not in names:
            raise UsageError(
                f"no run has a metric {metric!r}", nearest(metric, names) or f"there are: {', '.join(names)}"
            )
        names = {metric: None}
    return {name: tuple(table.get(name) for table in tables) for name in names}


def _equal(metrics: Mapping[str, Sequence[float | None]]) -> bool | None:
    shared = [values for values in metrics.values() if all(v is not None for v in values)]
    if not shared:
        return None
    return all(_same(v, values[0]) for values in shared for v in values)


def _reproduced_otherwise(records: Sequence[Record]) -> bool:
    """Whether one is a reproduction of the other that was found to be different: in its metrics, in files that it wrote, or
    in what the cells of a notebook showed, which no metric tells.
    """
    ids = {record.run_id for record in records}
    tags = [record.row.tags for record in records]
    return any(t.get(REPRODUCES) in ids and t.get(VERDICT) == DIFFERENT for t in tags)


def _series(points: Sequence[Point]) -> Series | None:
    if len(points) < 2:
        return None
    values = [p.value for p in points]
    finite = [v for v in values if not math.isnan(v)] or values
    step = max(1, math.ceil(len(values) / _SHOWN))
    shown = values[::step] if (len(values) - 1) % step == 0 else [*values[::step], values[-1]]
    return Series(len(values), values[-1], min(finite), max(finite), tuple(shown))


# ── code, data and order ─────────────────────────────────────────────────────────────────────────────────


def _code(project: Project | None, a: Side, b: Side) -> tuple[list[OrderChange], list[CodeChange], dict[str, str]]:
    """(order, code, {path: source} of the modules that were loaded)."""
    sessions = [
        orderdiff.session(side.record, side.title, side.needed, sides.notebook(project, side) if project else None)
        for side in (a, b)
    ]
    found: list[CodeChange] = []
    order: list[OrderChange] = []
    if a.record.cells and b.record.cells:
        order, left, right = orderdiff.split(*sessions)
        reaches, noted = None, a.note or b.note
        if noted:
            order, left, right = [], list(sessions[0].needed), list(sessions[1].needed)
        if not (a.record.batch or b.record.batch or noted) and sides.RUN in (a.kind, b.kind):
            reaches = (relevance.reach(sessions[0].needed), relevance.reach(sessions[1].needed))
        found += codediff.cells(left, right, reaches=reaches)
        found += _idle(a, b)
    loaded: dict[str, str] = {}
    if project is not None:
        texts = _texts(project, a, b)
        loaded = {path: text for table in texts for path, text in table.items() if text}
        told = sides.RUN in (a.kind, b.kind)
        used = {word for side in (a, b) for i in side.needed for word in syntax.words(side.record.cells[i].source)}
        found += codediff.modules(texts[0], texts[1], used if told else None)
    return order, found, loaded


def _texts(project: Project, a: Side, b: Side) -> list[Mapping[str, str | None]]:
    """{path: text} of the modules of either side. What a run loaded that nbledger did not record is not known: what the
    other one did is looked at in its commit, where that has it.
    """
    paths = [codediff.files(side.record) for side in (a, b)]
    if not any(side.record.row.foreign for side in (a, b)):
        return [sides.texts(project, side, found) for side, found in zip((a, b), paths, strict=True)]
    if any("code" in side.unknown for side in (a, b)):
        return [{}, {}]
    both = list(dict.fromkeys([*paths[0], *paths[1]]))
    left, right = (sides.texts(project, side, both) for side in (a, b))
    told = [path for path in both if left[path] is not None and right[path] is not None]
    return [{path: table[path] for path in told} for table in (left, right)]


def _idle(a: Side, b: Side) -> list[CodeChange]:
    """Cells that only one of two runs executed, and that neither depends on."""
    if a.kind != sides.RUN or b.kind != sides.RUN or a.note or b.note:
        return []
    idle = [
        [c for i, c in enumerate(s.record.cells) if i not in s.needed and not syntax.only_asks(c.source)]
        for s in (a, b)
    ]
    only = [codediff.only(idle[0], b.record.cells), codediff.only(idle[1], a.record.cells)]
    return codediff.cells(*only, needed=False)


def _table_of_code(project: Project | None, chosen: Sequence[Side]) -> tuple[CodeChange, ...]:
    """For more than two sides: each cell's and module's digest on each of them."""
    found = codediff.table([[side.record.cells[i] for i in side.needed] for side in chosen])
    if project is not None:
        texts = [sides.texts(project, side, codediff.files(side.record)) for side in chosen]
        found += codediff.table_of_files(texts)
    known = [at for at, side in enumerate(chosen) if "code" not in side.unknown]
    return tuple(change for change in found if len({change.values[at] for at in known}) > 1)


def _table_of_data(records: Sequence[Record], *, everything: bool) -> tuple[DataChange, ...]:
    """For more than two sides: each file's hash on each of them."""
    tables = [{r.path: r for r in record.inputs} for record in records]
    found = []
    for path in dict.fromkeys(path for table in tables for path in table):
        here = [table.get(path) for table in tables]
        values = tuple(r.md5 if r else None for r in here)
        known = {v for v, record in zip(values, records, strict=True) if "nbledger/inputs.json" not in record.lacking}
        if everything or len(known) > 1:
            found.append(DataChange(path, values, "differs", sizes=tuple(r.size if r else None for r in here)))
    return tuple(found)


def _orders(chosen: Sequence[Side]) -> tuple[OrderChange, ...]:
    states = [side.record.order for side in chosen]
    if len(set(states)) < 2:
        return ()
    said = ", ".join(f"{side.title}: {state or 'not recorded'}" for side, state in zip(chosen, states, strict=True))
    return (OrderChange(said, matters=False),)


_WITHOUT = {
    sides.RUN: "none were recorded",
    sides.PRESENT: "the run's notebook is not there",
    sides.COMMIT: "it does not hold the run's notebook",
}


def _notes(chosen: Sequence[Side]) -> list[str]:
    plain = {side.title: side.note for side in chosen if side.kind == sides.RUN and side.record.row.foreign}
    bare = [title for title, note in plain.items() if not note]
    notes = [f"{', '.join(bare)}: not recorded by nbledger, so code, data and environment are unknown"] if bare else []
    notes += [
        f"{title}: not recorded by nbledger: {note}; data and environment are unknown"
        for title, note in plain.items()
        if note
    ]
    notes += _digests(chosen) if plain else []
    for side in chosen:
        if side.title in plain:
            if side.record.row.status not in ("FINISHED", ""):
                notes.append(f"{side.title} is {side.record.row.status}")
            continue
        if side.kind == sides.RUN and side.record.lacking:
            missing = ", ".join(side.record.lacking)
            notes.append(f"{side.title}: not recorded: {missing}")
        if not side.record.cells and (side.kind == sides.RUN or side.record.row.notebook):
            notes.append(f"{side.title} has no cells to compare: {_WITHOUT[side.kind]}")
        if side.record.row.status not in ("FINISHED", "") and side.kind == sides.RUN:
            notes.append(f"{side.title} is {side.record.row.status}")
    return notes


def _digests(chosen: Sequence[Side]) -> Iterator[str]:
    """What MLflow noted of data sets that several sides named: digests of a part of them, by whichever method."""
    tables = [{i.path: i.md5 for i in side.record.row.inputs} for side in chosen]
    for name in dict.fromkeys(name for table in tables for name in table):
        known = [(side.title, table[name]) for side, table in zip(chosen, tables, strict=True) if name in table]
        if len(known) < 2:
            continue
        if len({digest for _, digest in known}) == 1:
            yield f"data set {name}: MLflow noted the same digest, which may be of a part of the data"
        else:
            yield f"data set {name}: MLflow noted {', '.join(f'{digest[:8]} for {title}' for title, digest in known)}"
