"""Execute recorded cells again: a fresh kernel in a restored work tree, with a ledger of its own that is read back here.

The kernel records as any other does, so that what the cells gave is compared like with like; but into ``scratch``
(``NBLEDGER_SCRATCH``), never into the project's ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import environment as environments
from nbledger.core import files, git, kernels, lineage, mlflow, worktrees
from nbledger.core.environment import Environment
from nbledger.core.errors import Refused, ToolFailed
from nbledger.core.lineage import FileRecord
from nbledger.core.project import SCRATCH, SKIPPED, Project
from nbledger.core.record import ExecutedCell, Point
from nbledger.keeper import gitfence
from nbledger.keeper import journal as journals
from nbledger.keeper.publish import close_orphan, run_id_of

Progress = Callable[[int, int, str], None]

_DROPPED = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "PYTHONHASHSEED")
_PRIVATE = ("JPY_", "NBLEDGER_", "VSCODE_", "PAPERMILL_")


@dataclass(frozen=True)
class Batch:
    """The run of a whole notebook: its name, the parameters that were passed to it, the index of its first cell (what ran
    before it in the same kernel is no part of it), and whether its last one made it fail.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    first: int = 0
    failed: bool = False


@dataclass(frozen=True)
class Executed:
    """What an execution gave. ``status`` and ``error`` are those of the run's own cell, or of the cell that stopped the
    execution before it; ``cells_run`` counts the cells that were executed, ``complete`` tells whether that is all.

    ``journal`` is the run's folder in the scratch ledger, ``others`` those of its children; ``notebook`` the cells with
    their outputs, ``folder`` the artifacts that are recorded under ``nbledger/``.
    """

    status: str
    error: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    inputs: tuple[FileRecord, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    journal: Path | None = None
    cells_run: int = 0
    notes: tuple[str, ...] = ()
    complete: bool = True
    others: tuple[Path, ...] = ()
    notebook: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    own: tuple[str, ...] = ()
    """Names of the metrics that the cells' own MLflow calls logged."""


def execute(
    project: Project,
    place: Path,
    cells: Sequence[ExecutedCell],
    *,
    cwd: str,
    seeds: Mapping[str, Any],
    scratch: Path,
    python: Path | None = None,
    timeout: int | None = None,
    progress: Progress | None = None,
    environment: Environment | None = None,
    notebook: str | None = None,
    batch: Batch | None = None,
) -> Executed:
    """Run ``cells`` in order in a fresh kernel at ``place``/``cwd``; the last one is the run's own.

    ``seeds`` gives PYTHONHASHSEED, ``environment`` the thread settings; ``notebook`` is the path of the notebook from
    the root. A cell that had failed may fail again; another that fails ends the execution. ``timeout``: seconds a cell.
    ``scratch`` may be used again: only what this execution adds counts. ``progress`` counts cells.
    """
    there = _project(project, place, scratch)
    there.ensure_state()
    known = {path.name for path in journals.pending(there)}
    work = _Execution(there, cells, timeout, progress, batch)
    variables = _variables(project, there, seeds, environment, notebook, batch is not None, python)
    folder = place / cwd
    if os.path.isabs(cwd):
        work.notes.append(f"the run's kernel worked in {cwd}, outside the project; it is executed there again")
    elif not worktrees.inside(place, folder / "any"):
        raise Refused(f"the run's record names a folder outside of its work tree: {cwd}")
    folder.mkdir(parents=True, exist_ok=True)
    interpreter = python or Path(sys.executable)
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(
                kernels.started(work.book, folder, variables, python=interpreter, timeout=timeout)
            )
            work.run(running, project)
        except kernels.KernelDied as err:
            work.died(str(err))
    fresh = [path for path in journals.pending(there) if path.name not in known]
    for path in fresh:
        if not any(e["t"] == "end" for e in journals.read(path).events):
            close_orphan(path)
    return _read(there, work, fresh)


def _project(project: Project, place: Path, scratch: Path) -> Project:
    """The restored work tree as the kernel will find it."""
    dvc_root = place / project.dvc_root.relative_to(project.root) if project.dvc_root else None
    settings = replace(project.settings, keeper=False, tracking_uri=None)
    repo = git.discover(place)
    held = dvc_root if dvc_root is not None and (dvc_root / ".dvc" / "config").is_file() else None
    return Project(place, project.home, repo, held, settings, scratch)


def _variables(
    project: Project,
    there: Project,
    seeds: Mapping[str, Any],
    environment: Environment | None,
    notebook: str | None,
    batch: bool,
    python: Path | None,
) -> dict[str, str]:
    """The kernel's environment: this process's, without what would tie it to another notebook, run or store."""
    kept = {k: v for k, v in os.environ.items() if k not in _DROPPED and not k.startswith(_PRIVATE)}
    if environment is not None:
        kept = {k: v for k, v in kept.items() if k not in environments.THREADS} | dict(environment.threads)
    hashing = seeds.get("PYTHONHASHSEED") or (environment.seeds_env if environment else None)
    if hashing:
        kept["PYTHONHASHSEED"] = str(hashing)
    if python is not None:  # as if it were activated: programs that the cells start are its own
        kept["PATH"] = os.pathsep.join([str(python.parent), kept.get("PATH", "")])
        kept["VIRTUAL_ENV"] = str(python.parent.parent)
    if kept.get("PYTHONPATH"):
        moved = (_moved(entry, project.root, there.root) for entry in kept["PYTHONPATH"].split(os.pathsep))
        kept["PYTHONPATH"] = os.pathsep.join(moved)
    kept |= {SCRATCH: str(there.state), "MLFLOW_TRACKING_URI": there.tracking_uri}
    if notebook and not os.path.isabs(notebook):
        kept["NBLEDGER_NOTEBOOK"] = str(there.root / notebook)
    kept |= gitfence.environment(there.root, there.state / "fence", kept)
    if batch:
        kept |= {"NBLEDGER_BATCH": journals.new_id(), "NBLEDGER_OWNER": json.dumps(journals.owner())}
    return kept


def _moved(entry: str, root: Path, place: Path) -> str:
    """A folder of the user's work tree as the restored one has it; any other as it is."""
    path = Path(os.path.realpath(entry)) if entry else root
    if path.is_relative_to(root) and not path.is_relative_to(place):
        there = place / path.relative_to(root)
        return str(there) if there.exists() else entry
    return entry


class _Execution:
    """One execution under way."""

    def __init__(
        self,
        there: Project,
        cells: Sequence[ExecutedCell],
        timeout: int | None,
        progress: Progress | None,
        batch: Batch | None,
    ) -> None:
        self.there, self.cells, self.progress, self.batch = there, cells, progress, batch
        self.status, self.error, self.count = "FINISHED", "", 0
        self.notes: list[str] = []
        self.book = kernels.notebook((cell.source, not cell.ok) for cell in cells)

    def run(self, running: kernels.Running, project: Project) -> None:
        self._prepare(running, project)
        for index, cell in enumerate(self.cells):
            if self.progress is not None:
                self.progress(index, len(self.cells), _first_line(cell.source))
            if self.batch is not None and index == self.batch.first:
                self._begin_batch(running, self.batch)
            try:
                running.execute(index)
            except kernels.CellFailed as err:
                self._stopped(index, "FAILED", str(err))
                break
            except kernels.OutOfTime as err:
                self._stopped(index, "KILLED", str(err))
                running.settle()
                break
            self.count = index + 1
            self._judge(index, cell)
        if self.batch is not None:
            self._end_batch(running)
        if self.progress is not None:
            self.progress(self.count, len(self.cells), self.status.lower())

    def _prepare(self, running: kernels.Running, project: Project) -> None:
        """Load the extension before the first cell, as what came before it is executed under its eyes too."""
        roots = sorted({str(project.home), str(project.root)})
        lines = [
            "import nbledger; nbledger.load_ipython_extension(get_ipython())",
            "import nbledger_magics.reexecution as _nbledger_again",
            f"_nbledger_again.prepare(get_ipython()._nbledger_session, {roots!r}, {str(self.there.root)!r})",
            "del nbledger, _nbledger_again",
        ]
        problem = running.hidden("\n".join(lines))
        if problem:  # nothing would be recorded, and nothing of the user's protected
            raise ToolFailed(f"nbledger cannot be loaded in the kernel: {' '.join(problem.split())[:200]}")

    def _begin_batch(self, running: kernels.Running, batch: Batch) -> None:
        begin = {"name": batch.name, "experiment": None, "params": dict(batch.params)}
        running.hidden(f"get_ipython()._nbledger_session.begin_batch(**{begin!r})")

    def _end_batch(self, running: kernels.Running) -> None:
        executed = self.there.state / "executed.ipynb"
        executed.write_text(json.dumps(self.book), encoding="utf-8", errors="surrogatepass")
        running.hidden(
            f"get_ipython()._nbledger_session.end_batch({self.status!r}, {self.error[:2000]!r}, {str(executed)!r})"
        )

    def _stopped(self, index: int, status: str, error: str) -> None:
        self.count = index + 1
        own = index == len(self.cells) - 1
        self.status, self.error = status, error if own else f"cell {index + 1} of {len(self.cells)}: {error}"

    def _judge(self, index: int, cell: ExecutedCell) -> None:
        """What became of a cell that was allowed to fail."""
        problem = next((o for o in self.book.cells[index].get("outputs", ()) if o["output_type"] == "error"), None)
        if problem is not None and index == len(self.cells) - 1 and (self.batch is None or self.batch.failed):
            killed = problem["ename"] == "KeyboardInterrupt"
            self.status, self.error = "KILLED" if killed else "FAILED", f"{problem['ename']}: {problem['evalue']}"
        elif problem is None and not cell.ok and not self._was_skipped(index):
            self.notes.append(f"cell {index + 1} ({_first_line(cell.source)}) had failed, and did not this time")

    def _was_skipped(self, index: int) -> bool:
        """A verb that had failed is not executed again."""
        return any(SKIPPED in str(o.get("text", "")) for o in self.book.cells[index].get("outputs", ()))

    def died(self, error: str) -> None:
        self._stopped(min(self.count, len(self.cells) - 1), "KILLED", error)

    @property
    def complete(self) -> bool:
        return self.count == len(self.cells)


def _first_line(source: str) -> str:
    line = next((text for text in source.splitlines() if text.strip()), "")
    return line if len(line) <= 60 else line[:59] + "…"


def _read(there: Project, work: _Execution, fresh: Sequence[Path]) -> Executed:
    """The run that the last cell made, from its journal: the newest that is no other's child."""
    book = json.loads(json.dumps(work.book))
    starts = {path: journals.first(path) or {} for path in fresh}
    target = _target(work, {path: start for path, start in starts.items() if start})
    if target is None or not work.complete:
        notes = (*work.notes, *(() if target or not work.complete else ("the cells opened no run",)))
        return Executed(
            work.status,
            work.error,
            cells_run=work.count,
            notes=notes,
            complete=work.complete,
            notebook=book,
        )
    events = journals.read(target).events
    params: dict[str, str] = {}
    series: dict[str, list[Point]] = {}
    for event in events:
        if event["t"] == "params":
            params |= event["params"]
        elif event["t"] == "metric":
            series.setdefault(event["k"], []).append(Point(int(event["s"]), float(event["v"]), int(event["at"])))
    metrics = {key: tuple(points) for key, points in series.items()}
    own_params, own_metrics = _own_calls(there, target)
    folder = _artifacts(target, events)
    found = _lineage(there, folder)
    return Executed(
        work.status,
        work.error,
        own_params | params,
        own_metrics | metrics,
        found.inputs,
        found.outputs,
        target,
        work.count,
        tuple(work.notes),
        work.complete,
        tuple(path for path, start in starts.items() if start.get("parent") == target.name),
        book,
        folder,
        tuple(sorted(set(own_metrics) - set(metrics))),
    )


def _target(work: _Execution, starts: Mapping[Path, journals.Event]) -> Path | None:
    """The journal of the run that the last cell is, or ends: of a notebook and of several cells the newest that is no
    other's child, of one cell the newest that it opened.
    """
    last = work.cells[-1].source if work.cells else ""
    whole = [path for path, start in starts.items() if not start.get("parent")]
    opened = [path for path, start in starts.items() if start.get("source") == last]
    several = work.batch is not None or "%mlrun stop" in last
    return max(whole if several else opened or starts, key=lambda path: int(starts[path]["at"]), default=None)


def _own_calls(there: Project, target: Path) -> tuple[dict[str, str], dict[str, tuple[Point, ...]]]:
    """Parameters and metrics that the cells' own MLflow calls wrote to the scratch store, which had to exist for it."""
    run_id = run_id_of(there, target.name)
    if run_id is None:
        return {}, {}
    api = mlflow.client(there)
    keys = journals.load_state(target).get("keys", {})
    renamed = {new for old, new in keys.items() if new != old}
    params, series = mlflow.values(api, there.tracking_uri, run_id)
    return (
        {k: v for k, v in params.items() if k not in renamed},
        {
            k: tuple(Point(step, value, at) for value, at, step in points)
            for k, points in series.items()
            if k not in renamed
        },
    )


def _artifacts(target: Path, events: Sequence[journals.Event]) -> Path | None:
    """The journal's folder of what is recorded under ``nbledger/``."""
    named = [target / str(e["folder"]) for e in events if e["t"] == "lineage"]
    return next((path for path in named if path.is_dir()), None)


def _lineage(there: Project, folder: Path | None) -> lineage.Lineage:
    fields: dict[str, Any] = {}
    for name in ("inputs.json", "outputs.json"):
        with contextlib.suppress(OSError, ValueError):
            fields |= json.loads((folder / name).read_bytes()) if folder else {}
    found = lineage.from_dict(fields)
    inputs, outputs = lineage.finish(there, found.inputs), lineage.finish(there, found.outputs)
    if folder is not None and (inputs, outputs) != (found.inputs, found.outputs):  # only here are they still to be read
        for name, records in (("inputs", inputs), ("outputs", outputs)):
            held = json.loads((folder / f"{name}.json").read_bytes())
            held[name] = [lineage.record_to_dict(one) for one in records]
            files.write_atomic(folder / f"{name}.json", json.dumps(held, indent=1))
    return replace(found, inputs=inputs, outputs=outputs)
