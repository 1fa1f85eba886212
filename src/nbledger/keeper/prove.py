"""``compare --prove``: how much of two runs' difference each factor explains, found by executing, not by judging.

A is executed again with every set of factors taken from B (2ⁿ executions for n factors, four at most), each time in a
work tree made anew, and Shapley's value divides the difference of each metric among the factors.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from nbledger.core import codediff, files, git, rebuild, restore, shapley, syntax, worktrees
from nbledger.core.errors import LedgerError, Refused, ToolFailed, UsageError, nearest
from nbledger.core.project import Project
from nbledger.core.proof import Attribution, Factor, Proof
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.shapley import Coalition
from nbledger.core.wording import counted, some
from nbledger.keeper.calls import Progress
from nbledger.keeper.execute import Batch, execute

DATA, CODE, PARAMETER, SEED, ENVIRONMENT = "data", "code", "parameter", "seed", "environment"
_KINDS = (DATA, CODE, PARAMETER, SEED, ENVIRONMENT)
_MOST = 4
_SEED = re.compile(r"\A(%%mlrun\b[^\n]*?)\s+--seed(?:\s+|=)(\S+)")
_CODE_FILES = (".py", ".ipynb")


@dataclass(frozen=True)
class Plan:
    """What a proof will do, told before it is done."""

    titles: tuple[str, str]
    factors: tuple[Factor, ...]
    executions: int
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def prepared(project: Project, a: Record, b: Record, *, progress: Progress | None = None) -> Iterator[Workshop]:
    """Restore the data of both runs and find what can be switched between them; all is removed in the end.

    ``Refused`` where a run cannot be executed again or nothing that could be switched differs.
    """
    for record in (a, b):
        if not record.cells:
            raise Refused(
                f"the cells of {_title(record)} were not recorded, so it cannot be executed again",
                "compare without --prove",
            )
    folder = Path(tempfile.mkdtemp(prefix="prove-", dir=project.ensure_scratch()))
    data: dict[str, Path] = {}
    try:
        for side, record in (("a", a), ("b", b)):
            wanted = _also_reading(record, (*_read(a), *_read(b)))
            restored = restore.restore(project, wanted, folder / f"data-{side}", progress=progress)
            data[side] = restored.into
            lacking = [m for m in restored.missing if m.needed]
            if lacking:
                raise Refused(
                    f"{_title(record)} cannot be executed again: {lacking[0].what} is missing, {lacking[0].why}",
                    lacking[0].hint,
                )
        yield Workshop(project, a, b, folder, data, _plan(project, a, b, data))
    finally:
        for place in data.values():
            with contextlib.suppress(LedgerError, OSError):
                restore.remove(project, place)
        shutil.rmtree(folder, ignore_errors=True)


def _title(record: Record) -> str:
    return record.row.name or record.run_id[:8]


def _also_reading(record: Record, paths: Sequence[str]) -> Record:
    """The record as of a session that also read what the other run did: so that all of it is restored."""
    return replace(record, cells=(*record.cells, ExecutedCell("", reads=tuple(paths))))


def _read(record: Record) -> list[str]:
    """What the session read inside the project and that is neither its own product nor code. Cells that the run does
    not depend on count as well: they are executed again too.
    """
    made = {path for cell in record.cells for path in cell.writes}
    paths = dict.fromkeys((*(r.path for r in record.inputs), *(p for cell in record.cells for p in cell.reads)))
    return [p for p in paths if not p.startswith("/") and not p.endswith(_CODE_FILES) and p not in made]


# ── what can be switched ─────────────────────────────────────────────────────────────────────────────────


def _plan(project: Project, a: Record, b: Record, data: Mapping[str, Path]) -> Plan:
    notes: list[str] = []
    found = [_data(a, b, data), _code(project, a, b), _parameters(a, b), _seeds(a, b), _environment(a, b)]
    factors = _entangled(a, b, data, [f for f in found if f is not None], notes)
    if not factors:
        raise Refused(
            "nothing that could be switched differs between these runs",
            f"nbledger reproduce {_title(a)} --times 5 shows how much its metrics vary by themselves",
        )
    while len(factors) > _MOST:
        *factors, third, last = factors
        factors.append(Factor((*third.kinds, *last.kinds), f"{third.what}; {last.what}"))
        notes.append(f"{factors[-1].name} are switched together: shares are worked out for up to {_MOST} factors")
    return Plan((_title(a), _title(b)), tuple(factors), 2 ** len(factors), tuple(notes))


def _data(a: Record, b: Record, data: Mapping[str, Path]) -> Factor | None:
    """Files that hold other bytes at the two runs, or are there at only one of them."""
    union = dict.fromkeys((*_read(a), *_read(b)))
    differ = [path for path in union if _bytes(data["a"] / path) != _bytes(data["b"] / path)]
    return Factor((DATA,), some(differ, 3)) if differ else None


def _bytes(path: Path) -> str | None:
    return files.md5_of(path) if path.is_file() else None


def _code(project: Project, a: Record, b: Record) -> Factor | None:
    ours, theirs = (_skeleton(record, other) for record, other in ((a, b), (b, a)))
    changed = sum(x != y for x, y in zip_longest(ours, theirs))
    words = [counted(changed, "cell")] if changed else []
    modules = _changed_modules(project, a, b)
    return Factor((CODE,), some([*words, *modules], 3)) if words or modules else None


def _skeleton(record: Record, other: Record) -> list[str]:
    """The code that the run depends on, without the values of parameters that both set, and without the header that
    names the run.
    """
    wanted = record.needed or range(len(record.cells))
    needed = [record.cells[i].source for i in wanted if not syntax.only_asks(record.cells[i].source)]
    sources, _ = codediff.split_parameters(needed, _shared(record, other))
    return [syntax.body(source).rstrip() for source in sources]


def _shared(a: Record, b: Record) -> set[str]:
    """Parameters that stand as literals in the code of both: what of one can be written into the other."""
    names = {*a.params, *b.params}
    ours, theirs = (codediff.split_parameters([c.source for c in r.cells], names)[1] for r in (a, b))
    return ours.keys() & theirs.keys()


def _literals(record: Record, other: Record) -> dict[str, str]:
    return codediff.split_parameters([c.source for c in record.cells], _shared(record, other))[1]


def _changed_modules(project: Project, a: Record, b: Record) -> list[str]:
    modules = sorted({*a.modules, *b.modules})
    if project.git is None or not modules:
        return []
    ours, theirs = (git.tree_blobs(project.git, str(r.row.snapshot or r.row.commit), modules) for r in (a, b))
    return [m for m in modules if ours.get(m) != theirs.get(m)]


def _parameters(a: Record, b: Record) -> Factor | None:
    ours, theirs = _literals(a, b), _literals(b, a)
    differ = [f"{name} {ours[name]} → {theirs[name]}" for name in ours if ours[name] != theirs[name]]
    return Factor((PARAMETER,), some(differ, 3)) if differ else None


def _seeds(a: Record, b: Record) -> Factor | None:
    keys = [k for k in {**a.seeds, **b.seeds} if a.seeds.get(k) != b.seeds.get(k)]
    words = [f"{k} {a.seeds.get(k, 'not set')} → {b.seeds.get(k, 'not set')}" for k in keys]
    return Factor((SEED,), some(words, 3)) if words else None


def _environment(a: Record, b: Record) -> Factor | None:
    """Python, and packages that either run had imported, in other versions."""
    if a.environment is None or b.environment is None or a.environment.digest == b.environment.digest:
        return None
    ours, theirs = (dict(p[:2] for p in e.packages) for e in (a.environment, b.environment))
    used = sorted({*a.imported, *b.imported})
    differ = [f"{n} {ours.get(n, '–')} → {theirs.get(n, '–')}" for n in used if ours.get(n) != theirs.get(n)]
    if a.environment.python != b.environment.python:
        differ.insert(0, f"Python {a.environment.python} → {b.environment.python}")
    return Factor((ENVIRONMENT,), some(differ, 3)) if differ else None


def _entangled(a: Record, b: Record, data: Mapping[str, Path], factors: list[Factor], notes: list[str]) -> list[Factor]:
    """Data and code as one factor where the code of one names a file that is not there at the other."""
    by_kind = {f.kinds[0]: f for f in factors}
    if DATA not in by_kind or CODE not in by_kind:
        return factors
    for record, elsewhere in ((a, data["b"]), (b, data["a"])):
        for path in _read(record):
            named = any(Path(path).name in cell.source for cell in record.cells)
            if named and not (elsewhere / path).is_file():
                joined = Factor((DATA, CODE), f"{by_kind[DATA].what}; {by_kind[CODE].what}")
                notes.append(f"data and code are switched together: {path} is there at {_title(record)} only")
                return [joined, *(f for f in factors if f.kinds[0] not in (DATA, CODE))]
    return factors


# ── executing it ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Workshop:
    """Both runs' data as they were, and the plan; ``prove`` carries it out."""

    project: Project
    a: Record
    b: Record
    folder: Path
    data: Mapping[str, Path]
    plan: Plan

    def prove(self, metrics: Sequence[str] = (), *, progress: Progress | None = None) -> Proof:
        """Execute the plan, and divide the difference of each metric (default: of all that differ) among the factors."""
        chosen = _chosen(self.a, self.b, metrics)
        factors, pythons, notes = self._environments(progress)
        names = [f.name for f in factors]
        worth: dict[Coalition, dict[str, float]] = {}
        for number, coalition in enumerate(shapley.coalitions(names)):
            if progress is not None:
                progress(number, 2 ** len(names), self._said(coalition))
            worth[coalition] = self._executed(coalition, factors, pythons, number)
        whole = [m for m in chosen if all(m in values for values in worth.values())]
        notes += [f"{m} was not recorded in every execution" for m in chosen if m not in whole]
        notes += _not_the_same(self.plan.titles[0], self.a, whole, worth[frozenset()])
        return Proof(
            (self.a.run_id, self.b.run_id),
            self.plan.titles,
            factors,
            len(worth),
            tuple(_attribution(self.a, self.b, metric, names, worth) for metric in whole),
            {", ".join(n for n in names if n in c): values for c, values in worth.items()},
            tuple(notes),
        )

    def _environments(self, progress: Progress | None) -> tuple[tuple[Factor, ...], dict[str, Path | None], list[str]]:
        """The interpreter of each side (None: this one's). Where one cannot be made again the factor is left out."""
        factors, notes = self.plan.factors, list(self.plan.notes)
        if not any(ENVIRONMENT in f.kinds for f in factors):
            return factors, {"a": None, "b": None}, notes
        pythons: dict[str, Path | None] = {}
        for side, record in (("a", self.a), ("b", self.b)):
            try:
                built = rebuild.of_record(self.project, record, progress=progress)
                if built.missing:
                    raise Refused(f"{built.missing[0].what}: {built.missing[0].why}", built.missing[0].hint)
                pythons[side] = built.python
            except LedgerError as err:
                left = tuple(f for f in factors if ENVIRONMENT not in f.kinds)
                if not left:
                    raise
                notes.append(
                    f"the environment of {_title(record)} cannot be made again; its part is unexplained: {err}"
                )
                return left, {"a": None, "b": None}, notes
        return factors, pythons, notes

    def _said(self, coalition: Coalition) -> str:
        first, second = self.plan.titles
        return f"{', '.join(sorted(coalition))} as in {second}" if coalition else f"everything as in {first}"

    def _executed(
        self, coalition: Coalition, factors: Sequence[Factor], pythons: Mapping[str, Path | None], number: int
    ) -> dict[str, float]:
        """The metrics of A with the factors of ``coalition`` taken from B."""
        switched = {kind for f in factors if f.name in coalition for kind in f.kinds}
        side = {kind: "b" if kind in switched else "a" for kind in _KINDS}
        record = {"a": self.a, "b": self.b}
        code, seeds = record[side[CODE]], record[side[SEED]]
        place = self.folder / f"execution-{number}"
        restored = restore.restore(self.project, replace(code, inputs=(), cells=()), place)
        try:
            self._lay(self.data[side[DATA]], restored.into)
            done = execute(
                self.project,
                restored.into,
                hybrid(code, record[side[PARAMETER]], seeds),
                cwd=code.cwd,
                seeds=seeds.seeds,
                scratch=self.folder / f"scratch-{number}",
                python=pythons[side[ENVIRONMENT]],
                environment=self.a.environment,
                notebook=code.row.notebook,
                batch=Batch(code.row.name, record[side[PARAMETER]].params) if code.batch else None,
            )
        finally:
            restore.remove(self.project, place)
        if done.status != "FINISHED":
            raise ToolFailed(
                f"with {self._said(coalition)} the run does not finish: {done.error}",
                "these factors cannot be told apart by executing",
            )
        return {key: points[-1].value for key, points in done.metrics.items() if points}

    def _lay(self, data: Path, place: Path) -> None:
        """Make every file that either run read as it was in one of them; what that one had not is taken away."""
        for path in dict.fromkeys((*_read(self.a), *_read(self.b))):
            source, target = data / path, place / path
            if worktrees.inside(place, target):
                target.unlink(missing_ok=True)
                if source.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)


def hybrid(code: Record, parameters: Record, seeds: Record) -> list[ExecutedCell]:
    """The cells of ``code`` with the parameters' literals and the ``--seed`` of the other runs written into them."""
    wanted = _literals(parameters, code) if parameters is not code else {}
    sources = list(codediff.with_parameters([c.source for c in code.cells], wanted))
    seed = _SEED.match(seeds.cells[-1].source)
    bare = _SEED.sub(r"\1", sources[-1])
    sources[-1] = re.sub(r"\A%%mlrun\b", f"%%mlrun --seed {seed[2]}", bare) if seed else bare
    return [replace(cell, source=source) for cell, source in zip(code.cells, sources, strict=True)]


def _chosen(a: Record, b: Record, metrics: Sequence[str]) -> list[str]:
    common = [m for m in a.metrics if m in b.metrics]
    unknown = [m for m in metrics if m not in common]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no metric of both runs", nearest(unknown[0], common))
    chosen = list(metrics) or [m for m in common if _last(a, m) != _last(b, m)]
    if not chosen:
        raise Refused("no metric differs between these runs", "there is nothing to explain")
    return chosen


def _last(record: Record, metric: str) -> float:
    return record.metrics[metric][-1].value


def _not_the_same(title: str, a: Record, metrics: Sequence[str], again: Mapping[str, float]) -> list[str]:
    """A warning where A executed again is not A as recorded: then the shares are in part chance."""
    moved = [m for m in metrics if again[m] != _last(a, m)]
    if not moved:
        return []
    said = f"{moved[0]} {again[moved[0]]:.6g} where {_last(a, moved[0]):.6g} was recorded"
    return [
        f"executed again, {title} gave {said}: the shares are in part chance (nbledger reproduce {title} --times 5)"
    ]


def _attribution(
    a: Record, b: Record, metric: str, names: Sequence[str], worth: Mapping[Coalition, Mapping[str, float]]
) -> Attribution:
    values = {coalition: found[metric] for coalition, found in worth.items()}
    executed = values[frozenset()], values[frozenset(names)]
    recorded = _last(a, metric), _last(b, metric)
    unexplained = (recorded[1] - recorded[0]) - (executed[1] - executed[0])
    return Attribution(metric, recorded, executed, shapley.shares(names, values), unexplained)
