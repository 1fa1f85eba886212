"""From a case to two recorded runs: projects on disk, kernels that execute the cells, and what compare says."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from causes import changes, notebook, places
from causes.case import Base, Case, Change, Side, base
from causes.notebook import Cells
from causes.places import Place
from conftest import commit_all
from kernels import Kernel

_CELL = 60.0  # seconds that one cell may take
BLAMED = 0.1
"""The least weight of a cause that is put to a person; what weighs less is listed for completeness."""
_OWN = ("base.toml", "notebook.py", "outside", "__pycache__", "make.py")


@dataclass(frozen=True)
class Cause:
    kind: str
    what: str
    evidence: str
    weight: float


@dataclass(frozen=True)
class Outcome:
    """What became of a case. ``problem`` says why there is no answer; ``before`` and ``after`` are the metric."""

    case: Case
    before: float | None = None
    after: float | None = None
    causes: tuple[Cause, ...] = ()
    problem: str = ""
    seconds: float = 0.0

    @property
    def moved(self) -> bool:
        return self.before != self.after

    @property
    def blamed(self) -> tuple[Cause, ...]:
        return tuple(cause for cause in self.causes if cause.weight >= BLAMED)

    @property
    def honest(self) -> bool:
        """Both runs were recorded, and the metric moved exactly where something that matters was changed."""
        return not self.problem and self.moved is not self.case.control

    @property
    def right(self) -> bool:
        """The true causes, however many, are exactly the first ones; nothing is blamed where nothing was changed."""
        if not self.honest:
            return False
        if self.case.control:
            return not self.blamed
        first = self.causes[: len(self.case.expect)]
        return len(first) == len(self.case.expect) and all(
            any(wanted.met_by(cause.kind, cause.what) for cause in first) for wanted in self.case.expect
        )


def outcome(place: Place, case: Case) -> Outcome:
    """Record both runs of a case and ask why they differ. Never raises: a case that cannot be done says so."""
    started = time.monotonic()
    root = place.folder / "cases" / case.name / "project"
    values: tuple[float, ...] = ()
    causes: tuple[Cause, ...] = ()
    problem = ""
    try:
        values = _pair(place, case, root)
        causes = _compared(root)
    except Exception as err:
        problem = f"{type(err).__name__}: {err}"[:2000]
    return Outcome(case, *(values or (None, None)), causes, problem, time.monotonic() - started)


def _pair(place: Place, case: Case, root: Path) -> tuple[float, float]:
    about = base(case.base)
    if case.one_kernel:
        _laid_out(place, about, root)
        with _session(place, about, case.a, root) as kernel:
            _record(about, case.a, root, kernel, 1)
            _record(about, case.b, root, kernel, 2)
        return _metrics(root, about.metric)
    if case.alone or case.a.environment:
        _begin(place, about, case.a, root)
    else:
        _moved(place.once(f"a/{_key(case)}", lambda draft: _begin(place, about, case.a, draft / "project")), root)
    with _session(place, about, case.b, root) as kernel:
        _record(about, case.b, root, kernel, 2)
    return _metrics(root, about.metric)


def _key(case: Case) -> str:
    return f"{case.base}-{hashlib.sha256(repr(case.a).encode()).hexdigest()[:8]}"


def _moved(recorded: Path, root: Path) -> None:
    """A copy of a project with its runs, as if it had been there from the start."""
    shutil.copytree(recorded, root.parent, symlinks=True)
    old = next(path for path in _stored_places(root) if path.endswith("/.nbledger/artifacts"))
    with sqlite3.connect(root / ".nbledger" / "mlflow.db") as store:
        new = (root / ".nbledger" / "artifacts").as_uri()
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
    store.close()


def _stored_places(root: Path) -> Iterator[str]:
    store = sqlite3.connect(root / ".nbledger" / "mlflow.db")
    rows = store.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id DESC").fetchall()
    store.close()
    yield from (row[0].rpartition("/")[0] for row in rows)


def _begin(place: Place, about: Base, side: Side, root: Path) -> None:
    """A new project of a base with run A in it."""
    _laid_out(place, about, root)
    with _session(place, about, side, root) as kernel:
        _record(about, side, root, kernel, 1)


def _laid_out(place: Place, about: Base, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(places.template(place), root, symlinks=True)
    shutil.copytree(about.folder, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_OWN))
    outside = about.folder / "outside"
    if outside.is_dir():
        shutil.copytree(outside, root.parent / "outside")
    if about.make:
        changes.apply(root, {"do": "python", "code": (about.folder / about.make).read_text(encoding="utf-8")})


def _record(about: Base, side: Side, root: Path, kernel: Kernel, number: int) -> None:
    """Make the side's changes, version what it versions, execute its cells, publish the run: the first or the second."""
    from nbledger.core import project, track
    from nbledger.keeper.publish import flush

    disk, session, late = _changed(root, about, side.change)
    path = root / notebook.FILE
    path.write_text(notebook.text(disk), encoding="utf-8")
    here = project.find(root)
    paths = about.track if side.track is None else side.track
    if paths:
        track.track(here, [str(root / p) for p in paths], cwd=root)
    if number == 1 or side.commit:
        commit_all(root, "Work")
    said = _execute(kernel, session, side.run, path, late)
    left, reasons = flush(here)
    if left or len(_runs(root)) != number:
        raise RuntimeError(f"no run was recorded: {reasons} {said}")


def _changed(root: Path, about: Base, wanted: tuple[Change, ...]) -> tuple[Cells, Cells, Cells | None]:
    """Change the files of the project; (the notebook as it is saved before the session, the cells that are executed,
    the notebook as it is saved before the last of them, if that differs)."""
    path = root / notebook.FILE
    disk = session = late = notebook.load(path) if path.exists() else notebook.read(about.folder / "notebook.py")
    for change in wanted:
        if "cell" not in change:
            changes.apply(root, change)
            continue
        only = change.get("only")
        if only not in {None, "session", "disk"}:
            raise ValueError(f"only = {only!r}: neither session nor disk")
        if only is None:
            disk = notebook.edited(disk, change)
        if only != "disk":
            session = notebook.edited(session, change)
        if only != "session":
            late = notebook.edited(late, change)
    return disk, session, late if late != disk else None


def _execute(kernel: Kernel, cells: Cells, run: tuple[str, ...] | None, path: Path, late: Cells | None) -> str:
    """Execute cells as a front end does, with their ids; what they wrote on standard error.

    A cell that fails ends the case, unless it is named with ``!``.
    """
    said = ""
    known = {cell.id: cell for cell in cells if not cell.markdown}
    names = list(known) if run is None else list(run)
    for number, name in enumerate(names):
        if late is not None and number == len(names) - 1:
            time.sleep(0.02)
            path.write_text(notebook.text(late), encoding="utf-8")
        cell = known[name.removesuffix("!")]
        done = kernel.collect(_send(kernel, cell), _CELL)
        if (done.status != "ok") is not name.endswith("!"):
            raise RuntimeError(f"cell {name}: {done.status} {done.ename}: {done.evalue}\n{done.stderr}")
        said += done.stderr
    return said


def _send(kernel: Kernel, cell: notebook.Cell) -> str:
    """What JupyterLab sends: the source, and the cell's id in the metadata."""
    client = kernel.client
    content = {
        "code": cell.source, "silent": False, "store_history": True,
        "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
    }  # fmt: skip
    message = client.session.msg("execute_request", content, metadata={"cellId": cell.id})
    client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


@contextmanager
def _session(place: Place, about: Base, side: Side, root: Path) -> Iterator[Kernel]:
    """A kernel for the notebook, and the server that the base wants."""
    with _served(root, about) as url:
        env = {
            "JPY_SESSION_NAME": str(root / notebook.FILE),
            "OUTSIDE": str(root.parent / "outside"),
            "SERVER": url,
            **side.env,
        }
        # Two workers that look for free ports at once may find the same; names are their own.
        sockets = Path(os.environ["JUPYTER_RUNTIME_DIR"], uuid.uuid4().hex)
        kernel = Kernel(root, env, places.interpreter(place, side.environment), sockets)
        try:
            if side.cpus:
                os.sched_setaffinity(kernel.pid, sorted(os.sched_getaffinity(0))[: side.cpus])
            yield kernel
        finally:
            kernel.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _served(root: Path, about: Base) -> Any:
    return _server(root / about.serve) if about.serve else nullcontext("")


def _runs(root: Path) -> list[Any]:
    from nbledger.core import project, runs

    return sorted(runs.listed(project.find(root)), key=lambda row: row.start or "")


def _metrics(root: Path, name: str) -> tuple[float, float]:
    """The metric of both runs."""
    first, last = _runs(root)
    if wrong := [row.status for row in (first, last) if row.status != "FINISHED"]:
        raise RuntimeError(f"a run is {wrong[0]}")
    return float(first.metrics[name]), float(last.metrics[name])


def _compared(root: Path) -> tuple[Cause, ...]:
    from nbledger.core import compare, project

    rows = _runs(root)
    found = compare.compare(project.find(root), [rows[0].run_id, rows[-1].run_id])
    return tuple(Cause(c.kind, c.what, str(c.evidence), float(c.weight)) for c in found.causes)
