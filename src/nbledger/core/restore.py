"""Bring back what a run stood on: its code as a Git work tree, its data from DVC's cache or remote, its other inputs.

Everything is verified by hash. What cannot be had is named (``Missing``), and nothing of the user's is touched: a
restored work tree stands in a folder of its own and shares only Git's and DVC's stores with theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nbledger.core import cache, dvc, files, git, gitremote, hashes, kept, worktrees
from nbledger.core import restored as registry
from nbledger.core.cache import SMALL
from nbledger.core.errors import LedgerError, ToolFailed
from nbledger.core.lineage import EXTERNAL, FileRecord
from nbledger.core.placing import Mismatch, Placer
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.records import RunRow
from nbledger.core.restored import Missing, NotRestorable, Restored, remove
from nbledger.core.wording import counted

__all__ = ["Missing", "NotRestorable", "Restored", "put_back", "remove", "restore"]

Progress = Callable[[int, int, str], None]
_NAMED = 20


def restore(
    project: Project,
    record: Record,
    into: Path | None = None,
    *,
    everything: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Restore the work tree that ``record``'s run saw, under the ledger's own folder or ``into`` (empty or not there).

    The data are those that the session read; with ``everything`` all that DVC tracks there. ``progress`` counts bytes.
    Raises ``NotRestorable`` where there is no code to bring back. On any error nothing is left behind.
    """
    commit = _commit(project, record)
    made, place = registry.begin(project, record.run_id, commit, into)
    try:
        return _restore(project, record, made, place, everything, progress)
    except BaseException:
        with contextlib.suppress(LedgerError, OSError):
            registry.remove(project, made.name)
        raise


def _commit(project: Project, record: Record) -> str:
    """The run's snapshot, fetched from the remote that has it if this clone does not."""
    if project.git is None:
        raise NotRestorable((Missing("code", "the code", f"{project.root} is not in a Git repository"),))
    commit = record.row.snapshot or record.row.commit
    if commit is None or not git.is_hex(commit):
        why = "the run names no commit: it was recorded without Git, or by another tool"
        raise NotRestorable((Missing("commit", "the code", why),))
    if not git.has_commit(project.git, commit) and not git.fetch_run(project.git, record.run_id, commit):
        why = "this clone does not have it, nor do its remotes under refs/nbledger/runs"
        who = _maker(record.row)
        hint = f"{who} has to {'push it' if record.row.foreign else 'nbledger push'}, then try again"
        if record.run_id in gitremote.let_go(project.git):
            why = "nbledger gc --keep let go of it here, and no remote has it"
            hint = "nbledger push by somebody who still has it"
        raise NotRestorable((Missing("commit", f"snapshot {commit[:12]}", why, hint),))
    return commit


def _maker(row: RunRow) -> str:
    """Who has the snapshot and the data of a run, as far as it says."""
    who = row.user or "whoever made it"
    return f"{who} (on {row.host})" if row.host else who


def _restore(
    project: Project,
    record: Record,
    made: registry.Registration,
    place: Path,
    everything: bool,
    progress: Progress | None,
) -> Restored:
    assert project.git is not None
    if progress is not None:
        progress(0, 0, f"code at {made.commit[:8]}")
    try:
        worktrees.add(project.git, place, made.commit)
    except ToolFailed as err:
        raise NotRestorable((Missing("object", f"snapshot {made.commit[:12]}", err.message, "git fsck"),)) from err
    there = _project_at(project, place)
    work = _Work(project, there, record, progress)
    work.submodules()
    work.data(everything)
    work.inputs()
    return Restored(
        place, made.commit, tuple(work.missing), tuple(work.notes), made.name, registry.scratch(project, made.name)
    )


def _project_at(project: Project, place: Path) -> Project:
    """The project as it is in the restored work tree, its DVC root where the snapshot has it."""
    usual = place / project.dvc_root.relative_to(project.root) if project.dvc_root else place
    root = next((f for f in (usual, place) if (f / ".dvc" / "config").is_file()), None)
    return Project(place, project.home, git.discover(place), root, project.settings)


def put_back(project: Project, record: Record, restored: Restored, written: Iterable[str]) -> None:
    """Undo what an execution wrote in a restored work tree (``written``: paths from its root), for the next one."""
    for path in written:
        full = restored.into / path
        if not os.path.isabs(path) and worktrees.inside(restored.into, full):
            with contextlib.suppress(OSError):
                full.unlink()
    worktrees.reset(restored.into, restored.commit)
    work = _Work(project, _project_at(project, restored.into), record, None, again=True)
    work.data(everything=False)
    work.inputs()


class _Work:
    """One restoration under way: what is missing and noted so far."""

    def __init__(
        self, project: Project, there: Project, record: Record, progress: Progress | None, *, again: bool = False
    ) -> None:
        self.project, self.there, self.record, self.progress, self.again = project, there, record, progress, again
        self.missing: list[Missing] = []
        self.notes: list[str] = []
        self.needed = {r.path for r in record.inputs} - record.remade
        self.touched = {r.path for r in record.inputs} | {path for cell in record.cells for path in cell.reads}
        self.written = {path for cell in record.cells for path in cell.writes} | {r.path for r in record.outputs}
        self.placed: dict[str, str] = {}  # path: md5, of what came out of the cache
        self.lost = set(record.absent)  # files of folders that were not there, or whose objects nobody has

    def submodules(self) -> None:
        assert self.project.git is not None
        for path, commit in worktrees.submodules(self.there.root).items():
            if not worktrees.fill_submodule(self.project.git, self.there.root, path, commit):
                needed = any(_below(used, path) for used in (*self.needed, *self.record.modules))
                why = f"submodule at {commit[:12]}, which no clone of it here has"
                self.missing.append(Missing("submodule", path, why, f"git submodule update --init {path}", needed))

    # ── data that DVC versions ───────────────────────────────────────────────────────────────────────────

    def data(self, everything: bool) -> None:
        """Place the outputs that the session read, by hash."""
        if self.there.dvc_root is None:
            return
        outs, problems = dvc.outputs(self.there)
        self.notes += [f"{p.pointer} cannot be read: {p.message}" for p in problems]
        if self.project.dvc_root is not None:
            dvc.share(self.project, self.there)
        everything = everything or "nbledger/session.json" in self.record.lacking
        wanted = [out for out in outs if out.cached and out.md5 and (everything or self._read(out))]
        if not everything and self.record.unseen and len(wanted) < len([o for o in outs if o.cached and o.md5]):
            self.notes.append(f"what {', '.join(self.record.unseen[:3])} read was not seen: --all-data brings all data")
        wanted = self._fetched(wanted)
        total = sum(out.size for out in wanted)
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            if self.progress is not None:
                self.progress(done, total, f"data, {counted(len(wanted), 'output')}")

        links = tuple(dict.fromkeys(("reflink", *_allowed(self.there))))
        with hashes.opened(self.project) as known:
            placer = Placer(known, links, report)
            try:
                for out in wanted:
                    self._place(out, placer)
            finally:
                placer.flush()

    def _read(self, out: dvc.Out) -> bool:
        return any(_below(path, out.path) or _below(out.path, path) for path in self.touched)

    def _fetched(self, wanted: Sequence[dvc.Out]) -> list[dvc.Out]:
        """Those of ``wanted`` whose objects are in the cache, after those that were not have been fetched."""
        absent = [out for out in wanted if not self._at_hand(out)]
        if absent and kept.bring_back(self.project, [out.md5 for out in absent])[0]:  # a `dvc gc` took their names
            absent = [out for out in absent if not self._at_hand(out)]
        if not absent:
            return list(wanted)
        reason = "it is neither in the cache nor in the remote"
        restored = f"nbledger reproduce {self.record.row.run_id[:12]} --restore-only --into DIR"
        hint = f"where the data are: {restored}, and dvc push in DIR; then try again"
        if "remote" not in dvc.config(self.there).get("core", {}):
            reason, hint = "it is not in the cache, and there is no default DVC remote", "dvc remote add -d NAME URL"
        if self.progress is not None:
            self.progress(0, 0, f"fetching {counted(len(absent), 'output')} from the remote")
        try:
            dvc.fetch(self.there, [out.path for out in absent])
        except LedgerError as err:
            reason, hint = f"it is not in the cache, and {err.message}", err.hint
        whole = {out.path for out in absent if self._lost(out, reason, hint)}
        return [out for out in wanted if out.path not in whole]

    def _lost(self, out: dvc.Out, reason: str, hint: str) -> bool:
        """Name what of an output is not to be had, file by file; whether nothing of it is."""
        if not os.path.exists(dvc.object_path(self.there, out)):
            needed = any(_below(path, out.path) or _below(out.path, path) for path in self.needed)
            what = f"{out.path} ({out.md5})"
            why = f"the list of its files is gone: {reason}" if out.is_dir else reason
            self.missing.append(Missing("data", what, why, hint, needed))
            return True
        if not out.is_dir:
            return False
        entries = dvc.folder_entries(self.there, out)
        held = self._held(out, set(entries.values()))
        lost = {f"{out.path}/{name}": md5 for name, md5 in sorted(entries.items()) if md5 not in held}
        self.lost |= lost.keys()
        # a program whose reads were not seen may have read any of them
        needed_ones = [p for p in lost if self.record.unseen or any(_below(p, path) for path in self.needed)]
        named = [*needed_ones, *(path for path in lost if path not in set(needed_ones))]
        for path in named[:_NAMED]:
            self.missing.append(Missing("data", f"{path} ({lost[path]})", reason, hint, path in needed_ones))
        if len(named) > _NAMED:
            rest = f"{out.path}: {len(named) - _NAMED:,} more files"
            self.missing.append(Missing("data", rest, reason, hint, len(needed_ones) > _NAMED))
        return False

    def _held(self, out: dvc.Out, objects: set[str]) -> set[str]:
        """Which of a folder's objects are in the cache."""
        if out.legacy:
            root = dvc.cache_dir(self.there)
            return {md5 for md5 in objects if (root / md5[:2] / md5[2:]).exists()}
        return set(dvc.store(self.there).among(objects))

    def _at_hand(self, out: dvc.Out) -> bool:
        if not os.path.exists(dvc.object_path(self.there, out)):
            return False
        if not out.is_dir:
            return True
        entries = set(dvc.folder_entries(self.there, out).values())
        return len(self._held(out, entries)) == len(entries)

    def _place(self, out: dvc.Out, placer: Placer) -> None:
        target = self.there.root / out.path
        if not worktrees.inside(self.there.root, target):
            self.missing.append(Missing("data", out.path, "its folder is a link that leads out of the work tree"))
            return
        if not out.is_dir:
            self._put(out, placer, dvc.object_path(self.there, out), target, out.path, out.md5)
            return
        manifest = dvc.object_path(self.there, out)
        _verify_manifest(manifest, out.md5)
        every = dvc.folder_entries(self.there, out)
        entries = {name: md5 for name, md5 in every.items() if f"{out.path}/{name}" not in self.lost}
        if not all(worktrees.inside(self.there.root, target / folder / "any") for folder in _folders(entries)):
            self.missing.append(Missing("data", out.path, "a folder of it is a link that leads out of the work tree"))
            return
        target.mkdir(parents=True, exist_ok=True)
        objects = dvc.cache_dir(self.there) if out.legacy else dvc.store(self.there).root
        sources = {name: objects / md5[:2] / md5[2:] for name, md5 in entries.items()}
        placer.expect(list(sources.values()))
        for name, md5 in entries.items():
            if not _plain(name):
                raise LedgerError(f"{out.path}: its manifest names a file outside of it: {name!r}")
            self._put(out, placer, sources[name], target / name, f"{out.path}/{name}", md5)

    def _put(self, out: dvc.Out, placer: Placer, source: Path, target: Path, path: str, md5: str) -> None:
        if os.path.lexists(target) and not self.again:
            return  # Git's own: verified with the other inputs
        if out.legacy:  # DVC 2's hash of text passes over line ends: the bytes are verified apart from the copy
            found = dvc.verify(source, out)
            if found != md5:
                raise Mismatch(source, md5, found)
            md5 = files.md5_of(source)
        self.placed[path] = md5
        if target.is_file() and files.md5_of(target) == md5:
            return
        target.unlink(missing_ok=True)  # changed by a program whose writes were not seen
        placer.put(source, target, md5, linked=path not in self.written, executable=out.executable)

    # ── everything else that was read ────────────────────────────────────────────────────────────────────

    def inputs(self) -> None:
        """Verify what the checkout and the cache gave against what the run read; find the rest by its hash."""
        with hashes.opened(self.project) as known:
            placer = Placer(known, ("reflink",))
            for record in self.record.inputs:
                self._input(record, placer)
            placer.flush()

    def _input(self, record: FileRecord, placer: Placer) -> None:
        if record.md5 is None:
            self.notes.append(f"{record.path} was changed while the run read it: which bytes it saw is not known")
        elif os.path.isabs(record.path):
            self._external(record)
        elif self.placed.get(record.path) != record.md5 and not self._reported(record.path):
            self._verify(record, record.md5, placer)

    def _reported(self, path: str) -> bool:
        return any(_below(path, m.what.partition(" (")[0]) for m in self.missing)

    def _external(self, record: FileRecord) -> None:
        try:
            now = files.md5_of(Path(record.path))
        except OSError as err:
            why = f"outside the project, and not there any more ({err.strerror})"
        else:
            if now == record.md5:
                return
            why = f"outside the project, and changed since: its hash was {record.md5}, now it is {now}"
        self.missing.append(Missing("external", record.path, why, "put the file back as it was"))

    def _verify(self, record: FileRecord, md5: str, placer: Placer) -> None:
        target = self.there.root / record.path
        if not worktrees.inside(self.there.root, target):
            self.missing.append(Missing("input", record.path, "its folder is a link that leads out of the work tree"))
            return
        if target.is_file():
            now = files.md5_of(target)
            if now == md5 or self._mended_endings(target, md5):
                return
        source = self._elsewhere(record, md5)
        if source is not None:
            mode = stat.S_IMODE(os.lstat(target).st_mode) if os.path.lexists(target) else 0o644
            target.unlink(missing_ok=True)
            placer.put(source, target, md5, linked=False, executable=bool(mode & 0o111))
            return
        needed = record.path in self.needed
        self.missing.append(Missing("input", f"{record.path} ({md5})", _why(record), _hint(record), needed))

    def _mended_endings(self, target: Path, md5: str) -> bool:
        """Whether the file is the recorded one but for its line ends, which are then put as they were."""
        if target.is_symlink() or target.stat().st_size > 64 * SMALL:
            return False
        data = target.read_bytes()
        for other in (data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), data.replace(b"\r\n", b"\n")):
            if hashlib.md5(other, usedforsecurity=False).hexdigest() == md5:
                target.write_bytes(other)
                self.notes.append(f"{target.relative_to(self.there.root)}: its line ends are as the run saw them")
                return True
        return False

    def _elsewhere(self, record: FileRecord, md5: str) -> Path | None:
        """A file with those bytes: an object of the cache, or the one in the user's work tree if it is still the same."""
        if self.there.dvc_root is not None and self.project.dvc_root is not None:
            held = dvc.store(self.there).path(md5)
            if held.is_file() or kept.bring_back(self.project, [md5])[0]:
                return held
        present = self.project.root / record.path
        with contextlib.suppress(OSError):
            if present.is_file() and present.stat().st_size == record.size and files.md5_of(present) == md5:
                self.notes.append(
                    f"{record.path}: no version holds it; copied from the work tree, where it is unchanged"
                )
                return present
        return None


def _why(record: FileRecord) -> str:
    if record.state == EXTERNAL:
        return "it lay outside the project, and its bytes are not at hand"
    return f"{record.state} when the run read it, and its bytes are in no snapshot, cache or work tree here"


def _hint(record: FileRecord) -> str:
    return f"put the file with that hash at {record.path}, and try again"


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _folders(entries: Iterable[str]) -> set[str]:
    """The folders, below their common one, that these files lie in; that one too."""
    return {"", *(name.rpartition("/")[0] for name in entries if _plain(name))}


def _plain(name: str) -> bool:
    """A path that stays below its folder."""
    return (
        bool(name) and not os.path.isabs(name) and ".." not in name.split("/") and "\\" not in name and "\0" not in name
    )


def _allowed(project: Project) -> tuple[str, ...]:
    """Links that DVC is configured to make, but never one through which root could write into the cache."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return ()
    return tuple(way for way in dvc.link_types(project) if way in ("hardlink", "symlink"))


def _verify_manifest(path: Path, md5: str) -> None:
    found = files.md5_of(path) + ".dir"
    if found != md5 or cache.read_manifest(path) is None:
        raise Mismatch(path, md5, found)
