"""``split``: execute a notebook in a copy of the work tree, propose stages from what was seen, execute these in another copy,
and accept them only if every file comes out as the notebook itself wrote it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nbledger.core import (
    dvc,
    dvcwrite,
    files,
    git,
    kernels,
    notebooktext,
    restore,
    snapshot,
    split,
    splitcells,
    splitfiles,
    stagecells,
    stages,
    trust,
)
from nbledger.core import record as records
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project, find
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.core.restored import Restored
from nbledger.core.split import Facts, Part, Proposal
from nbledger.core.splitcells import Seen
from nbledger.core.stages import Plan
from nbledger.keeper.execute import Batch, Executed, execute

DEED = "splitting a notebook"
"""What executes the project's code, in words."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Checked:
    """A file that the notebook writes: its MD5 as the notebook wrote it, as the ``stage`` did (None: not at all), and whether
    the notebook itself writes it otherwise each time.
    """

    path: str
    stage: str
    notebook_md5: str
    stage_md5: str | None
    unstable: bool = False

    @property
    def equal(self) -> bool:
        return self.notebook_md5 == self.stage_md5


@dataclass(frozen=True)
class Outcome:
    """What became of a proposal. ``accepted``: every output is hash-equal. ``failed``: the stage that did not run to its end,
    and why. ``written``: the files that were changed, from the root.
    """

    notebook: str
    stages: tuple[Part, ...]
    repeated: tuple[int, ...]
    idle: Mapping[int, str]
    notes: tuple[str, ...]
    outputs: tuple[Checked, ...] = ()
    accepted: bool = False
    failed: str = ""
    written: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ran:
    """An execution: the record of its cells, the files that it wrote with their MD5, those that were there before."""

    done: Executed
    record: Record
    wrote: Mapping[str, str]
    before: frozenset[str]
    by_cell: Sequence[frozenset[str]] = ()
    metrics: frozenset[str] = frozenset()


class Splitting:
    """A notebook that is being split. ``path`` from the project's root; ``raw`` is its file as it was in the beginning."""

    def __init__(
        self, project: Project, place: Path, commit: str, left_out: Sequence[str], *, timeout: int | None
    ) -> None:
        self.project, self.place, self.commit, self.timeout = project, place, commit, timeout
        self.left_out = left_out
        self.path = str(project.relative(place))
        self.raw = place.read_bytes()
        self.book = kernels.load(place)
        self.cells = splitcells.code_cells(self.book)
        self.run_id = f"split-{secrets.token_hex(4)}"
        self._whole: _Ran | None = None

    def propose(self, names: Sequence[str] = (), progress: Progress | None = None) -> Proposal:
        """Execute the notebook once, and say which stages it could be. ``Refused`` where it fails, or cannot be split."""
        ran = self._whole = self._execute_whole(progress)
        seen = [
            replace(cell, seen=_seen(executed, wrote, ran, at, self.path))
            for at, (cell, executed, wrote) in enumerate(zip(self.cells, ran.record.cells, ran.by_cell, strict=True))
        ]
        taken = frozenset(stages.stages(self.project))
        return split.propose(seen, Facts(ran.record.modules, ran.metrics, ran.before, taken), names)

    def check(self, proposal: Proposal, progress: Progress | None = None) -> Outcome:
        """Execute the stages once, and compare. DVC has to agree with what would be written, or its refusal is raised."""
        ran = self._whole
        assert ran is not None
        outcome = Outcome(self.path, proposal.parts, proposal.repeated, proposal.idle, proposal.notes)
        text = self._stamped(proposal.parts)
        parts, notes, now = list[Part](), list(proposal.notes), dict[str, str]()
        with self._copy() as copy:
            there = copy.into / self.path
            there.write_text(text, encoding="utf-8", newline="")
            dvcwrite.changes(find(copy.into), self.plans(proposal.parts))
            book = kernels.parsed(text)
            for path in ran.wrote:  # as DVC does before a stage runs
                (copy.into / path).unlink(missing_ok=True)
            for at, part in enumerate(proposal.parts):
                chosen = stagecells.slice_of(book, part.name)
                for path in (*part.outs, *part.metrics):  # as `nbledger run --stage` does
                    (copy.into / path).parent.mkdir(parents=True, exist_ok=True)
                step = _named(progress, f"stage {part.name}")
                one = self._execute(copy, [book.cells[i] for i in chosen.indexes], f"stage-{at}", step)
                if not one.done.complete or one.done.status != "FINISHED":
                    failed = f"the stage {part.name} fails by itself: {one.done.error}"
                    return replace(outcome, notes=tuple(notes), failed=failed)
                foreign = sorted(ran.wrote.keys() & one.wrote.keys() - splitfiles.made(part, one.wrote))
                if foreign:
                    failed = f"the stage {part.name} would also write {foreign[0]}, an output of another stage"
                    return replace(outcome, notes=tuple(notes), failed=failed)
                notes += [f"the stage {part.name} runs cells of {other} as well" for other in chosen.borrowed]
                notes += [*_beyond(part, one), *_otherwise(self.project, part)]
                parts.append(_completed(replace(part, cells=chosen.indexes), one))
            now = {path: files.md5_of(copy.into / path) for path in ran.wrote if (copy.into / path).is_file()}
            parts = splitfiles.folded(parts)
            dvcwrite.changes(find(copy.into), self.plans(parts))  # with what the stages were seen to read
        owner = {path: part.name for part in parts for path in splitfiles.made(part, ran.wrote)}
        outputs = [Checked(path, owner.get(path, ""), md5, now.get(path)) for path, md5 in sorted(ran.wrote.items())]
        if not all(one.equal for one in outputs):
            outputs = self._unstable(outputs, progress)
        return replace(
            outcome,
            stages=tuple(parts),
            notes=tuple(notes),
            outputs=tuple(outputs),
            accepted=all(one.equal for one in outputs),
        )

    def write(self, outcome: Outcome) -> Outcome:
        """Write the ``%%stage`` lines and ``dvc.yaml``, both or nothing. ``Refused`` where the notebook was changed meanwhile."""
        place = Path(os.path.realpath(self.place))
        text = self._stamped(outcome.stages).encode("utf-8", "surrogatepass")
        plans = self.plans(outcome.stages)
        self._unchanged(place)
        dvcwrite.changes(self.project, plans)
        files.write_atomic(place, text)
        try:
            written = dvcwrite.add(self.project, plans)
        except BaseException:
            if place.read_bytes() == text:
                files.write_atomic(place, self.raw)
            raise
        return replace(outcome, written=(self.path, *written))

    def plans(self, parts: Sequence[Part]) -> list[Plan]:
        """The stages as they are to be written."""
        return [
            Plan(part.name, self.path, part.deps, part.outs, part.metrics, (), tuple(part.values), dict(part.values))
            for part in parts
        ]

    def _unchanged(self, place: Path) -> None:
        try:
            same = place.read_bytes() == self.raw
        except OSError:
            same = False
        if not same:
            raise Refused(f"{self.path} was changed meanwhile", "split it again")

    def _stamped(self, parts: Sequence[Part]) -> str:
        lines = {index: f"{stagecells.MAGIC} {part.name}" for part in parts for index in part.own}
        return notebooktext.with_first_lines(self.raw.decode("utf-8"), lines)

    # ── executing ────────────────────────────────────────────────────────────────────────────────────────────

    def _execute_whole(self, progress: Progress | None) -> _Ran:
        with self._copy() as copy:
            cells = [self.book.cells[cell.index] for cell in self.cells]
            ran = self._execute(copy, cells, "notebook", _named(progress, "the notebook"))
            self._succeeded(ran.done)
            if len(ran.record.cells) != len(self.cells):
                raise Refused(f"what the cells of {self.path} did was not recorded", "nbledger doctor")
            return replace(ran, metrics=splitfiles.of_numbers(copy.into, ran.wrote))

    def _succeeded(self, done: Executed) -> None:
        if done.complete and done.status == "FINISHED":
            return
        hint = "it must run from top to bottom: Kernel, Restart Kernel and Run All Cells"
        if "FileNotFoundError" in done.error or "No such file" in done.error:
            hint = "the copy it ran in has what Git and DVC know of: nbledger track FILE for what it reads"
        if self.left_out:
            hint += f" (not in the copy: {', '.join(self.left_out[:3])})"
        raise Refused(f"the notebook itself fails: {done.error}", hint)

    def _execute(self, copy: Restored, cells: Sequence[Any], name: str, progress: Progress | None) -> _Ran:
        there = replace(self.project, root=copy.into)
        watch = splitfiles.Watch(there, copy.into / self.path)

        def step(done: int, total: int, text: str) -> None:
            watch.look()
            if progress is not None:
                progress(done, total, text)

        folder = Path(self.path).parent.as_posix()
        executed = [
            ExecutedCell(split.bare(cell.source), ok="raises-exception" not in cell.metadata.get("tags", ()))
            for cell in cells
        ]
        done = execute(
            self.project,
            copy.into,
            executed,
            cwd=folder,
            seeds={},
            scratch=copy.scratch / name,
            timeout=self.timeout,
            progress=step,
            notebook=self.path,
            batch=Batch(name),
        )
        watch.look()
        wrote = {path: files.md5_of(copy.into / path) for path in sorted(watch.written())}
        return _Ran(done, records.read(self._row(), done.folder), wrote, watch.before, watch.by_step(len(cells)))

    def _unstable(self, outputs: Sequence[Checked], progress: Progress | None) -> list[Checked]:
        """Mark those that the notebook itself writes otherwise when it runs once more."""
        with self._copy() as copy:
            cells = [self.book.cells[cell.index] for cell in self.cells]
            again = self._execute(copy, cells, "again", _named(progress, "the notebook once more")).wrote
        return [replace(one, unstable=again.get(one.path) != one.notebook_md5) for one in outputs]

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Restored]:
        """A copy of the work tree as it was in the beginning, beside it."""
        record = Record(self._row())
        made = restore.restore(self.project, record, everything=True)
        try:
            self._forget_new_files(find(made.into).git)
            (made.into / self.path).parent.mkdir(parents=True, exist_ok=True)
            (made.into / self.path).write_bytes(self.raw)
            yield made
        finally:
            restore.remove(self.project, made)

    def _forget_new_files(self, copy: git.GitRepo | None) -> None:
        """The snapshot's commit has the untracked files, too; DVC would take what an earlier execution left for Git's own."""
        assert copy is not None
        assert self.project.git is not None
        there, here = (set(git.call(r, "ls-files", "-z").stdout.split(b"\0")) for r in (copy, self.project.git))
        if new := sorted(there - here):
            names = b"".join(name + b"\0" for name in new)
            git.call(copy, "update-index", "--force-remove", "-z", "--stdin", stdin=names)

    def _row(self) -> RunRow:
        return RunRow(self.run_id, "split", "FINISHED", "", None, None, self.path, self.commit, self.commit, None)


@contextlib.contextmanager
def opened(project: Project, path: Path, *, timeout: int | None = None) -> Iterator[Splitting]:
    """Take a snapshot of the work tree, in which the notebook at ``path`` is split; nothing of it is left in the end."""
    trust.require(project, DEED)
    place = Path(os.path.abspath(path))
    relative = project.relative(Path(os.path.realpath(place.parent)) / place.name)
    if not place.is_file():
        raise UsageError(f"there is no notebook {path}", "name an .ipynb file")
    if relative is None:
        raise UsageError(f"{path} is not in the project {project.root}", "go to the notebook's project")
    if project.git is None or project.dvc_root is None:
        raise Refused(f"{project.root} is not both a Git and a DVC repository", "nbledger init makes it one")
    dvc.require_root(project)
    _fit(kernels.load(place), relative)
    token = f"split-{secrets.token_hex(6)}"
    taken = snapshot.capture(project, token)
    if taken.commit is None:
        raise Refused("there is no commit to make a copy of", "git commit")
    try:
        yield Splitting(project, project.root / relative, taken.commit, taken.left_out, timeout=timeout)
    finally:
        with contextlib.suppress(LedgerError):
            git.call(project.git, "update-ref", "-d", git.RUN_REFS + token)


def _fit(book: Any, name: str) -> None:
    """``Refused`` for notebooks that have stages, and for those of other languages."""
    known = stagecells.names(book)
    if known:
        raise Refused(
            f"{name} has stages already: {', '.join(known[:5])}", "take its `%%stage` lines out to split it anew"
        )
    metadata = book.metadata
    language = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    if language not in (None, "", "python"):
        raise Refused(
            f"{name} is a notebook in {language}: only Python's can be split",
            f"nbledger stage NAME {shlex.quote(name)}",
        )


def _seen(executed: ExecutedCell, wrote: frozenset[str], ran: _Ran, at: int, notebook: str) -> Seen:
    writes = {*wrote, *(path for path in executed.writes if os.path.isabs(path) and os.path.isfile(path))}
    kept = {path for path in writes if path in ran.wrote or os.path.isabs(path)}
    reads = [path for path in executed.reads if not path.endswith(".ipynb")]
    outside = (*executed.children, *executed.remote)
    if executed.children:  # what programs read is not seen: files that their command lines name
        there = ran.before | frozenset().union(*ran.by_cell[:at])
        reads += sorted((splitfiles.named(executed.source, notebook) & there) - kept)
    return Seen(tuple(dict.fromkeys(reads)), tuple(sorted(kept)), _seconds(ran.done, at), executed.random, outside)


def _seconds(done: Executed, at: int) -> float:
    """How long a cell took, as the client noted it."""
    cells = done.notebook.get("cells", ())
    times = cells[at].get("metadata", {}).get("execution", {}) if at < len(cells) else {}
    try:
        began, ended = (datetime.fromisoformat(times[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    except (KeyError, ValueError):
        return 0.0
    return (ended - began).total_seconds()


def _completed(part: Part, ran: _Ran) -> Part:
    """The stage with what it was seen to read when it ran by itself, its own modules among that."""
    made = {*part.outs, *part.metrics, *ran.wrote}
    read = [record.path for record in ran.record.inputs if not os.path.isabs(record.path)]
    seen = [
        p for p in (*read, *ran.record.modules) if p not in made and not p.endswith(".ipynb") and not p.startswith("..")
    ]
    return replace(part, deps=tuple(dict.fromkeys((*part.deps, *sorted(seen)))))


def _beyond(part: Part, ran: _Ran) -> list[str]:
    """What the stage wrote besides its own outputs."""
    own = splitfiles.made(part, ran.wrote)
    return [f"the stage {part.name} also writes {path}" for path in sorted(ran.wrote.keys() - own)]


def _otherwise(project: Project, part: Part) -> Iterator[str]:
    """Parameters that have another value in ``params.yaml`` already: that one counts."""
    file = posixpath.join(stages.prefix(project), stages.PARAMS)
    for key, value in part.values.items():
        asked = stages.Stage(part.name, "", "dvc.yaml", params=((file, key),))
        with contextlib.suppress(UsageError):
            there = stages.parameters(project, asked)[key]
            if there != value:
                yield f"{file} has {key} = {there!r}, and the notebook {value!r}: the stage {part.name} takes that of {file}"


def _named(progress: Progress | None, what: str) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, text: progress(done, total, f"{what}: {text}")
