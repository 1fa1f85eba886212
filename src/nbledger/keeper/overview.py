"""What the table of runs and the joined state show, unpublished journals included."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbledger.core import mlflow, whoami
from nbledger.core import runs as store_runs
from nbledger.core import status as states
from nbledger.core.errors import Unreachable, UsageError
from nbledger.core.people import Whose
from nbledger.core.project import Project
from nbledger.core.records import RunRow, Status
from nbledger.keeper import journal as journals
from nbledger.keeper import pushed, stagename
from nbledger.keeper.publish import flush

if TYPE_CHECKING:
    from nbledger.keeper.calls import Progress


def runs(
    project: Project,
    text: str = "",
    sort: str = "",
    limit: int = 50,
    experiment: str | None = None,
    whose: Whose | None = None,
    progress: Progress | None = None,
) -> list[RunRow]:
    """Published runs; where the store cannot be reached, those that wait in the journals, with ``PENDING`` among their tags.
    There only plain words can be looked for.
    """
    flush(project, progress)
    try:
        return store_runs.listed(project, text, sort, limit, experiment, whose)
    except Unreachable:
        words = text.split() if store_runs.is_words(text) else []
        rows = [one.row for one in waiting(project) if store_runs.holds(one.row, words)]
        rows = [row for row in rows if not whose or whose.holds(row.user)]
        if not rows or (text and not words):
            raise
        return sorted(rows, key=lambda r: r.start or "", reverse=True)[:limit]


def run(project: Project, name: str) -> RunRow:
    """The run that ``name`` means, published or, where the store cannot be reached, in the journals. What is not among these
    may well be in the store: that is ``Unreachable`` too, not a name that is wrong.
    """
    flush(project)
    if name.startswith(stagename.PREFIX):
        return stagename.run(project, name)
    try:
        return store_runs.find(project, name)
    except Unreachable as away:
        try:
            return store_runs.resolve([one.row for one in waiting(project)], name, whoami.me(project).keys)
        except UsageError as err:
            here = f"{away.message}, and no run that waits here is meant by {name!r}"
            raise Unreachable(here, "try again when it does; nbledger runs lists what waits here") from err


@dataclass(frozen=True)
class Waiting:
    """A run that a journal holds and the store does not yet, or not whole."""

    path: Path
    row: RunRow
    ended: bool

    def as_known(self) -> RunRow:
        """The row under the id that the store has given the run, if it has."""
        run = journals.load_state(self.path).get("run_id")
        return dataclasses.replace(self.row, run_id=str(run)) if run else self.row


_read: dict[Path, tuple[tuple[int, int], Waiting | None]] = {}


def waiting(project: Project) -> list[Waiting]:
    """The runs of all journals, oldest first. A journal is read again only when it grew."""
    found: list[Waiting] = []
    paths = list(journals.pending(project))
    for path in paths:
        try:
            stat = (path / "events.jsonl").stat()
        except OSError:
            continue
        mark = (stat.st_size, stat.st_mtime_ns)
        known = _read.get(path)
        if known is None or known[0] != mark:
            row = _waiting(path)
            known = _read[path] = (mark, Waiting(path, row, row.end is not None) if row is not None else None)
        if known[1] is not None:
            found.append(known[1])
    for path in _read.keys() - set(paths):
        _read.pop(path, None)
    return found


def _waiting(path: Path) -> RunRow | None:
    """A journal as a row: its run id is the journal's until it is published."""
    events = journals.read(path).events
    begun = next((e for e in events if e["t"] == "start"), None)
    if begun is None:
        return None
    ended = next((e for e in events if e["t"] == "end"), None)
    taken = next((e for e in events if e["t"] == "snapshot"), {})
    params: dict[str, str] = {}
    for event in events:
        params |= event["params"] if event["t"] == "params" else {}
    return RunRow(
        run_id=path.name,
        name=str(begun["name"]),
        status=ended["status"] if ended else "RUNNING",
        experiment=str(begun["experiment"]),
        start=store_runs.iso(begun["at"]),
        end=store_runs.iso(ended["at"]) if ended else None,
        notebook=begun.get("notebook"),
        commit=taken.get("commit"),
        snapshot=taken.get("commit"),
        dirty=taken.get("dirty"),
        params=params,
        metrics={e["k"]: float(e["v"]) for e in events if e["t"] == "metric"},
        tags={store_runs.PENDING: "true"},
        user=str(begun.get("author") or begun["user"]),
        host=str(begun["owner"]["host"]).split("/")[0],
        branch=taken.get("branch"),
    )


def status(project: Project) -> Status:
    """The joined state; journals that wait count as ``tracking.pending``. What the remote lacks is told where a keeper that
    is watched has asked it.
    """
    pending = sum(one.ended for one in waiting(project))
    return states.status(
        project, pending=pending, reachable=mlflow.reachable(project.tracking_uri, 1.0), pushed=pushed.known
    )
