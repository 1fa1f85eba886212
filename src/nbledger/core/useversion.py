"""``use_version``: put another version of tracked data into the work tree and its pointer into the ``.dvc`` file.

What is there now must be in DVC's cache and known to Git's history, so that the same call brings it back. The order is
what makes it safe to be killed anywhere: bytes aside and verified, then into place, then the pointer. In between the
data shows as changed, and all of it is in the cache.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import (
    cache,
    datachange,
    dvc,
    dvcfiles,
    dvcremote,
    files,
    git,
    gitlog,
    hashes,
    inside,
    kept,
    versions,
    worktrees,
)
from nbledger.core.cache import Content
from nbledger.core.dvcfiles import Out, Row
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.placing import Mismatch, Placer
from nbledger.core.project import Project
from nbledger.core.wording import counted


@dataclass(frozen=True)
class Plan:
    """What will be done. ``text`` is the pointer's new text; ``before`` the commit that brings the present version back
    (None where there is no data now); ``fetch``: the bytes are not all in the cache.
    """

    out: Out
    row: Row
    commit: str
    text: bytes
    present: str | None
    before: str | None
    fetch: bool

    @property
    def same(self) -> bool:
        """Whether data and pointer are that version already."""
        return self.present == self.row.md5 == self.out.md5


def plan(project: Project, file: str, commit: str) -> Plan:
    """Find out what putting back would do; raises where it would fail or lose something."""
    if not git.is_hex(commit):
        raise UsageError(f"{commit[:60]!r} is not the full id of a commit", "take one from the list of versions")
    path, pointer, out = versions.place(project, inside.relative(project, file))
    if out is None:
        raise Refused(
            f"DVC does not track {path} any more", f"git checkout {commit[:10]} -- {pointer}, then dvc checkout"
        )
    if out.stage is not None:
        raise Refused(
            f"{path} is made by the stage {out.stage}: it belongs to what the stage read",
            "nbledger reproduce brings a run's data back beside your work; dvc repro makes it anew",
        )
    assert project.git is not None
    git.refuse_if_locked(project.git)
    text = gitlog.blobs(project.git, [(commit, pointer)])[0]
    row = datachange.pointer_row(text, pointer, path)
    if text is None or row is None or not row.md5:
        raise UsageError(f"commit {commit[:10]} has no version of {path}", "take one from the list of versions")
    known = {old.md5: logged.commit for logged, old in versions.history(project, path, pointer)}
    present, before = _kept(project, out, row, known)
    fetch = not versions.Cached(project).has(row) and not kept.has(project, row.md5)
    history = gitlog.blobs(project.git, [(brought, pointer) for brought in (commit, *known.values())])
    return Plan(out, row, commit, _pointer(project, out, row, history), present, before, fetch)


def use(project: Project, file: str, commit: str) -> list[str]:
    """Do it; what was done, line by line. Nothing is committed."""
    wanted = plan(project, file, commit)
    if wanted.same:
        return [f"{wanted.out.path} is this version already"]
    kept.bring_back(project, [wanted.row.md5])
    if wanted.fetch:
        _fetch(project, wanted)
    with dvc.lock(project):
        dvc.refuse_if_running(project, [project.root / wanted.out.path])
        with _errors_told(), hashes.opened(project) as known:
            placer = Placer(known, dvc.safe_links(project))
            if wanted.row.md5.endswith(".dir"):
                _put_folder(project, wanted, placer)
            else:
                _put_file(project, wanted, placer)
            placer.flush()
            files.write_atomic(project.root / wanted.out.pointer, wanted.text)
    return told(wanted, done=True)


def told(wanted: Plan, *, done: bool) -> list[str]:
    """One line a thing that is (or will be) done."""
    path, row = wanted.out.path, wanted.row
    verb = "is now" if done else "becomes"
    lines = [f"{path} {verb} the version of commit {wanted.commit[:10]} ({_amount(row)}, md5 {row.md5[:10]})"]
    if wanted.fetch:
        lines.append(
            "its bytes were fetched from the data remote" if done else "its bytes are fetched from the data remote"
        )
    lines.append(f"{wanted.out.pointer} {'says' if done else 'will say'} so; nothing is committed")
    if wanted.before is not None:
        lines.append(f"the version of commit {wanted.before[:10]} brings back what is there now")
    return lines


def _amount(row: Row) -> str:
    if row.md5.endswith(".dir"):
        return f"{counted(row.nfiles, 'file')}, {row.size:,} bytes"
    return f"{row.size:,} bytes"


def _kept(project: Project, out: Out, row: Row, commits: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(hash of what is there now, the commit that has it); ``Refused`` where the present bytes would be lost."""
    now = versions.present(project, out)
    if now is None or now == row.md5:
        return now, None
    track = Refused(
        f"{out.path} as it is now is not in the cache: it would be lost", f"nbledger track {out.path} first"
    )
    if now == "?":
        raise Refused(f"{out.path} cannot be read", "mend its permissions first")
    present = Row(out.path, now, 0, 1, True, out.legacy)
    if versions.Cached(project).has(present):
        if now not in commits:
            raise Refused(f"no commit has {out.path} as it is now", 'nbledger checkpoint -m "…" first')
        return now, commits[now]
    if not now.endswith(".dir") or not _mixed(project, out, row):
        raise track
    return now, commits.get(out.md5)


def _mixed(project: Project, out: Out, row: Row) -> bool:
    """Whether each file of the folder is that of the version that it had or is to have: a replacement was cut short."""
    have: dict[str, set[str]] = {}
    for md5 in {out.md5, row.md5}:
        for name, entry in (cache.read_manifest(_object(project, md5, out.legacy)) or {}).items():
            have.setdefault(name, set()).add(entry)
    now = dvc.folder_now(project, out.path)
    kept = cache.Store(_objects(project, out.legacy)).among(set(now.values()))
    return all(md5 in have.get(name, ()) and md5 in kept for name, md5 in now.items())


def _objects(project: Project, legacy: bool) -> Path:
    return dvc.cache_dir(project) if legacy else dvc.store(project).root


def _object(project: Project, md5: str, legacy: bool) -> Path:
    return _objects(project, legacy) / md5[:2] / md5[2:]


def _pointer(project: Project, out: Out, row: Row, history: Sequence[bytes | None]) -> bytes:
    """The pointer's new text: that of the commit, the first of ``history``; where the pointer names several outputs, or
    says what no commit does, the present one with this output changed.
    """
    now, text = (project.root / out.pointer).read_bytes(), history[0] or b""
    rows, old = dvcfiles.rows_of(now.decode("utf-8")), dvcfiles.rows_of(text.decode("utf-8"))
    if len(rows) == len(old) == 1 and now in history:
        return text
    if row.legacy:
        what = "several outputs in DVC 2's format" if len(rows) > 1 else "lines that no commit has"
        raise Refused(f"{out.pointer} has {what}", f"git checkout COMMIT -- {out.pointer}")
    index = next(i for i, one in enumerate(rows) if datachange.normal(out.pointer, one) == out.path)
    content = Content(row.md5, row.size, row.nfiles, row.md5.endswith(".dir"), row.executable)
    return dvcfiles.revise_pointer(now.decode("utf-8"), index, rows[index].path, content)


def _fetch(project: Project, wanted: Plan) -> None:
    row = wanted.row
    if dvcremote.default_remote(project) is None:
        raise Refused(
            f"that version of {wanted.out.path} is not in the cache, and there is no default data remote",
            "dvc remote add -d NAME URL",
        )
    dvcremote.fetch_objects(project, [] if row.legacy else [row.md5], [row.md5] if row.legacy else [])
    if not versions.Cached(project).has(row):
        raise Refused(
            f"that version of {wanted.out.path} is neither in the cache nor in the data remote",
            "nbledger push where it was made, then try again",
        )


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise LedgerError(
            f"cannot write {err.filename or 'to the project'}: {err.strerror or err}",
            "make room or mend the permissions, then try again: nothing is lost",
        ) from err


def _put_file(project: Project, wanted: Plan, placer: Placer) -> None:
    target = project.root / wanted.out.path
    if target.is_dir():
        raise Refused(f"{wanted.out.path} is a folder now, and was a file", f"nbledger track {wanted.out.path} first")
    with _aside(project, target) as scratch:
        _verified(project, wanted.row, wanted.row.md5, scratch, placer)
        if versions.present(project, wanted.out) != wanted.present:
            raise Refused(f"{wanted.out.path} was changed just now", "look at it, then try again")
        os.replace(scratch, target)


def _put_folder(project: Project, wanted: Plan, placer: Placer) -> None:
    """File by file: what is the same stays, what the version does not have goes."""
    root, row = project.root / wanted.out.path, wanted.row
    manifest = _object(project, row.md5, row.legacy)
    entries = cache.read_manifest(manifest) or {}
    if (found := files.md5_of(manifest) + ".dir") != row.md5:
        raise Mismatch(manifest, row.md5, found)
    if not all(_plain(name) and worktrees.inside(project.root, root / name) for name in entries):
        raise Refused(f"that version of {wanted.out.path} names files outside of it", "it is damaged: leave it")
    if root.exists() and not root.is_dir():
        raise Refused(f"{wanted.out.path} is a file now, and was a folder", f"nbledger track {wanted.out.path} first")
    ignore = dvc.ignore_filter(project, root) if root.is_dir() else None
    now = cache.folder_hashes(root, placer.known, ignore) if root.is_dir() else {}
    if versions.present(project, wanted.out) != wanted.present:
        raise Refused(f"{wanted.out.path} was changed just now", "look at it, then try again")
    beside = sorted(name for name in entries.keys() - now.keys() if _is_file(root / name))
    if beside:
        raise Refused(
            f"{wanted.out.path}/{beside[0]} is a file of yours that .dvcignore leaves out, and that version has one too",
            "move it away, then try again",
        )
    root.mkdir(parents=True, exist_ok=True)
    placer.expect([_object(project, md5, row.legacy) for name, md5 in entries.items() if now.get(name) != md5])
    for name in now.keys() - entries.keys():
        (root / name).unlink(missing_ok=True)
        _prune(root, (root / name).parent)
    for name, md5 in entries.items():
        if now.get(name) != md5:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with _aside(project, root / name) as scratch:
                _verified(project, row, md5, scratch, placer)
                os.replace(scratch, root / name)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and not path.is_dir())


def _verified(project: Project, row: Row, md5: str, scratch: Path, placer: Placer) -> None:
    source = _object(project, md5, row.legacy)
    if row.legacy:  # DVC 2's hash of text passes over line ends: the bytes are verified apart from the copy
        found = dvc.verify(source, Out("", md5, 0, 1, False, "", legacy=True))
        if found != md5:
            raise Mismatch(source, md5, found)
        md5 = files.md5_of(source)
    placer.put(source, scratch, md5, executable=row.executable)


@contextlib.contextmanager
def _aside(project: Project, target: Path) -> Iterator[Path]:
    """A name in DVC's own scratch folder (beside ``target`` where that is another file system) that is gone afterwards. It
    is always the same, DVC's lock being held: what a killed process left there is taken away by the next.
    """
    scratch = dvc.require_root(project) / ".dvc" / "tmp" / "nbledger-use.tmp"
    if os.stat(scratch.parent).st_dev != os.stat(target.parent).st_dev:
        scratch = target.with_name(".nbledger-use.tmp")
    scratch.unlink(missing_ok=True)
    try:
        yield scratch
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _prune(root: Path, folder: Path) -> None:
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _plain(name: str) -> bool:
    return (
        bool(name) and not os.path.isabs(name) and ".." not in name.split("/") and "\\" not in name and "\0" not in name
    )
