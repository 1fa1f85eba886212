"""``report``: what a branch changes, put together for a reviewer from its runs, its data, its cells and its pipeline.

A part that cannot be told (a tracking server that is away, a file that is broken) becomes a note; the rest is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nbledger.core import (
    compare,
    dvcmetrics,
    git,
    gitlog,
    report_cells,
    report_data,
    report_params,
    report_pins,
    report_runs,
    report_sides,
    report_stages,
    whereabouts,
)
from nbledger.core.differences import DATA, Cause, Comparison, DataChange, PackageChange
from nbledger.core.dvcfiles import Damaged
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.report import Commit, Measured, Pair, Report
from nbledger.core.report_runs import Chosen, Key, Standing
from nbledger.core.wording import some
from nbledger.keeper import report_gates
from nbledger.keeper.calls import Args, Progress

T = TypeVar("T")
_STEPS = ("runs", "data", "comparisons", "gates", "cells", "pipeline")


def report(project: Project, args: Args, progress: Progress | None) -> Report:
    """The report of ``head`` (default: HEAD) against ``base``; with ``fetch`` tables that changed are brought from the data
    remote to be compared.
    """
    base, head = report_sides.sides(project, str(args.get("base") or ""), str(args.get("head") or ""))
    repo = project.git
    assert repo is not None
    notes: list[str] = []
    tell = _teller(progress)

    def part(what: str, deed: Callable[[], T]) -> T | None:
        try:
            return deed()
        except (LedgerError, Damaged, OSError) as err:
            notes.append(f"{what} cannot be told: {err}")
            return None

    tell("runs")
    notes += part("what waits to be published", lambda: _waiting(project)) or []
    chosen = part("what was run", lambda: report_runs.choose(project, base, head)) or Chosen()
    tell("data")
    data = part("what became of the data", lambda: _data(project, base, head, bool(args.get("fetch")), notes)) or []
    tell("comparisons")
    pairs = [_pair(project, key, chosen, part) for key in chosen.head]
    made = part("what stages make", lambda: report_runs.made(repo, base.commit) | report_runs.made(repo, head.commit))
    by_own = sorted(pairs, key=lambda pair: _weight(pair, made or {}), reverse=True)
    pairs = [_followed(pair, made or {}) for pair in by_own]
    notes += _unmatched(chosen)
    metrics: list[Measured] = []
    if not any(pair.comparison is not None and pair.values for pair in pairs):
        metrics, more = part("DVC's metrics", lambda: dvcmetrics.diff(project, base.commit, head.commit)) or ([], [])
        notes += more
    tell("gates")
    gates, unasked = part("what the gates say", lambda: report_gates.views(project, pairs)) or ([], [])
    params, more = _params(repo, pairs, base, head, part)
    notes += more
    tell("cells")
    notebooks, more = part("cells", lambda: report_cells.changes(repo, base.commit, head.commit)) or ([], [])
    notes += more
    tell("pipeline")
    stages, more = part("the pipeline", lambda: report_stages.changes(repo, base.commit, head.commit)) or ([], [])
    graph = part("the pipeline's graph", lambda: _graph(project, repo, head)) if stages else None
    pins = part("the environment's files", lambda: report_pins.changes(repo, base.commit, head.commit))
    notes += [*more, *_left_out(repo, head)]
    return Report(
        base=base,
        head=head,
        commits=gitlog.count(repo, base.commit, head.commit),
        pairs=tuple(pairs),
        metrics=tuple(metrics),
        params=tuple(params),
        gates=tuple(gates),
        data=tuple(data),
        environment=_packages([pair.comparison for pair in pairs if pair.comparison is not None]),
        pins=tuple(pins or ()),
        notebooks=tuple(notebooks),
        stages=tuple(stages),
        mermaid=graph or "",
        notes=tuple(dict.fromkeys(notes)),
        lacks=(*_lacks(project, chosen, metrics), *unasked),
    )


def _teller(progress: Progress | None) -> Callable[[str], None]:
    return lambda step: progress(_STEPS.index(step), len(_STEPS), step) if progress is not None else None


def _waiting(project: Project) -> list[str]:
    from nbledger.keeper.publish import flush

    left, reasons = flush(project)
    return [f"{left} runs are not published whole: {'; '.join(reasons)}"] if left else []


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _pair(project: Project, key: Key, chosen: Chosen, part: Callable[[str, Callable[[], Any]], Any]) -> Pair:
    base, head = chosen.base.get(key), chosen.head.get(key)
    found = None
    if base is not None and head is not None and base.row.run_id != head.row.run_id:
        ids = [base.row.run_id, head.row.run_id]
        found = part(f"what differs between the runs {key[1]!r}", lambda: compare.compare(project, ids))
    told = [report_runs.told(project, side) if side is not None else None for side in (base, head)]
    return Pair(key[1], key[0], told[0], told[1], _values(base, head), found)


def _lacks(project: Project, chosen: Chosen, metrics: Sequence[Measured]) -> Iterator[str]:
    """That no run has the head's code: what the files of a commit say may be of an earlier one, and looks like equality."""
    if not chosen.head and metrics:
        yield (
            f"no run of the experiment {project.experiment} has this code: the metrics are those in the files of both commits, and"
            " may have been computed before the change (nbledger repro, then commit them)"
        )


def _params(
    repo: git.GitRepo, pairs: Sequence[Pair], base: Commit, head: Commit, part: Callable[[str, Callable[[], Any]], Any]
) -> tuple[list[Measured], list[str]]:
    if any(pair.comparison is not None for pair in pairs):
        return [], []
    return part("the parameters", lambda: report_params.changes(repo, base.commit, head.commit)) or ([], [])


def _unmatched(chosen: Chosen) -> Iterator[str]:
    if chosen.elsewhere:
        yield (
            f"the runs are those of the experiment {chosen.elsewhere}, as none of this project's own has this code"
            " (experiment = … in .nbledger.toml names one for every clone)"
        )
    if chosen.only_base:
        yield f"run on the base and not on the head: {some(chosen.only_base)}"
    if chosen.more:
        yield f"{chosen.more} more names of runs are left out"


def _followed(pair: Pair, made: Mapping[str, str]) -> Pair:
    """Of a stage's run what earlier stages made otherwise is one cause, as strong as it is: the earlier one's run says why."""
    follows = _follows(pair, made)
    if pair.comparison is None or not follows:
        return pair
    paths = dict.fromkeys(follows.values())
    said = f"{some(paths)} (see {some(dict.fromkeys(made[path] for path in paths))})"
    one = Cause(DATA, f"what an earlier stage made differs: {said}", "", next(iter(follows)).weight)
    causes = dict.fromkeys(one if cause in follows else cause for cause in pair.comparison.causes)
    return replace(pair, comparison=replace(pair.comparison, causes=tuple(causes)))


def _follows(pair: Pair, made: Mapping[str, str]) -> dict[Cause, str]:
    """{cause: path} of those that are what another stage made otherwise, strongest first."""
    found = pair.comparison
    if found is None:
        return {}
    paths = [change.path for change in found.data if made.get(change.path, pair.name) != pair.name]
    of = ((cause, path) for cause in found.causes for path in paths)
    return {cause: path for cause, path in of if cause.kind == DATA and cause.what.startswith(f"{path} differs")}


def _weight(pair: Pair, made: Mapping[str, str]) -> tuple[float, bool]:
    """Runs with the strongest causes of their own come first, then those with metrics."""
    follows = _follows(pair, made)
    causes = pair.comparison.causes if pair.comparison is not None else ()
    return max((cause.weight for cause in causes if cause not in follows), default=0.0), bool(pair.values)


def _values(base: Standing | None, head: Standing | None) -> dict[str, tuple[float | None, ...]]:
    tables = [side.row.metrics if side is not None else {} for side in (base, head)]
    return {name: tuple(table.get(name) for table in tables) for name in dict.fromkeys((*tables[1], *tables[0]))}


def _packages(found: Sequence[Comparison]) -> tuple[PackageChange, ...]:
    """The packages that differ between the runs of any pair, each once; what a run imported is told as such."""
    changes: dict[tuple[str, tuple[str | None, ...]], PackageChange] = {}
    for comparison in found:
        for change in comparison.environment:
            key = change.name, change.values
            if key not in changes or change.role == "imported":
                changes[key] = change
    return tuple(changes.values())


# ── data, pipeline ───────────────────────────────────────────────────────────────────────────────────────


def _data(project: Project, base: Commit, head: Commit, fetch: bool, notes: list[str]) -> list[DataChange]:
    left, right = report_data.sides(project, base, head)
    found = report_data.changes(project, left, right)
    needs = report_data.lacking(left, right, found) if fetch else []
    if needs:
        try:
            whereabouts.fetch(project, needs)
        except (LedgerError, OSError) as err:
            notes.append(f"data could not be brought to be compared: {err}")
        found = report_data.changes(project, left, right)
    return found


def _graph(project: Project, repo: git.GitRepo, head: Commit) -> str:
    """The pipeline as a flowchart, where the work tree is the head's; else nothing."""
    if git.head(repo).commit != head.commit:
        return ""
    from nbledger.core import mermaid, pipeline

    found = pipeline.pipeline(project)
    return mermaid.flowchart(replace(found, problems=())) if found.nodes else ""


def _left_out(repo: git.GitRepo, head: Commit) -> Iterator[str]:
    """What is not in the commit, which a report is about; what stages write is told by their runs."""
    if git.head(repo).commit == head.commit:
        with contextlib.suppress(LedgerError):
            made = report_runs.made(repo, head.commit)
            changed = [path for path in git.changes(repo)[0] if path not in made and not path.endswith("dvc.lock")]
            if changed:
                what = "file differs" if len(changed) == 1 else "files differ"
                yield f"{len(changed)} {what} from the commit here, and what they hold is not in this report"
