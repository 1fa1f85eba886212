"""What a run read and wrote, and how each file is versioned."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nbledger.core import files, git, observe
from nbledger.core.errors import LedgerError
from nbledger.core.files import Signature, signature
from nbledger.core.modeluse import ModelUse
from nbledger.core.observe import Observation
from nbledger.core.project import Project

MB = 1 << 20
_PER_FILE = 16 << 10  # what opening a file costs, in bytes hashed meanwhile
_AT_ONCE = 2000  # paths on one Git command line
_MOST = 200_000  # hashes remembered in this process
_MOST_CARRIED = 500  # files read by earlier cells that are looked into at once; the keeper does the rest

DVC, DVC_CHANGED = "dvc", "dvc-changed"
GIT, GIT_CHANGED = "git", "git-changed"
UNTRACKED, EXTERNAL, MOVED = "untracked", "external", "changed-since-read"
UNKNOWN = "unknown"  # only while pending

_known: dict[str, tuple[Signature, str]] = {}
# {(root, path): (the index and HEAD, the file, what Git says of it)}
_judged: dict[tuple[Path, str], tuple[object, Signature, str]] = {}


@dataclass(frozen=True)
class FileRecord:
    """One file. ``path`` is relative to the root, or absolute outside; ``size`` in bytes; ``md5`` of its bytes.

    ``state``: ``dvc`` / ``git`` (as versioned), ``dvc-changed`` / ``git-changed`` (tracked, but not these bytes, or in a folder
    of which files were gone),
    ``untracked``, ``external`` (outside the project), ``changed-since-read`` (its bytes are unknown). ``pointer`` is
    the DVC file that tracks it, ``dataset`` the tracked output it belongs to and ``digest`` that output's full hash
    (``….dir`` for folders). ``pending``: not hashed yet, the state is provisional; ``signature`` tells whether it can
    still be hashed.
    """

    path: str
    size: int
    md5: str | None
    state: str
    pointer: str | None = None
    digest: str | None = None
    dataset: str | None = None
    pending: bool = False
    signature: Signature | None = None


@dataclass(frozen=True)
class Lineage:
    """``modules`` are paths like those of records; ``unseen`` names what was used and could not be looked into; ``models``
    were loaded through MLflow; ``absent`` files belong to tracked folders of which others were read, and were not there.
    """

    inputs: tuple[FileRecord, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    modules: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    models: tuple[ModelUse, ...] = ()
    absent: tuple[str, ...] = ()


def describe(
    project: Project,
    observation: Observation,
    extra_in: Iterable[str | Path] = (),
    extra_out: Iterable[str | Path] = (),
    *,
    hash_budget_mb: float,
    carried: Mapping[str, Signature] | None = None,
) -> Lineage:
    """The lineage of an observation; ``extra_in`` and ``extra_out`` are files or folders named by the user, ``carried``
    what was read before the observation began, in this process, and matters as well.

    Hashes up to ``hash_budget_mb`` MiB (a file counts 16 KiB more), smallest files first; ``finish`` does the rest.
    """
    with observe.unwatched():
        earlier = dict(carried or {})
        at_once = dict(islice(earlier.items(), _MOST_CARRIED))
        reads = observation.reads | _stated(extra_in) | at_once
        writes = _stated([*observation.writes, *extra_out])
        reads = {path: s for path, s in reads.items() if not _passing(project, path)}
        now = {path: found for path in reads if (found := _stat(path)) is not None} | writes
        moved = {p for p, s in reads.items() if not _same(p, s, now.get(p))}
        hashes = _hashed(project, {p: s for p, s in now.items() if p in writes or p not in moved}, hash_budget_mb)
        inputs, absent = _of_folders(project, _records(project, reads, moved, hashes))
        outputs = _records(project, writes, set(), hashes)
        later = {p: s for p, s in islice(earlier.items(), _MOST_CARRIED, None) if p not in reads}
        waiting = (
            FileRecord(shown(project, p), s[1], None, UNKNOWN, pending=True, signature=s) for p, s in later.items()
        )
        inputs = tuple(sorted((*inputs, *waiting), key=lambda r: r.path)) if later else inputs
    modules = tuple(project.relative(Path(m)) or m for m in observation.modules)
    return Lineage(inputs, outputs, modules, _unseen(observation), absent=absent)


def _of_folders(project: Project, records: tuple[FileRecord, ...]) -> tuple[tuple[FileRecord, ...], tuple[str, ...]]:
    """The records, and the files of their tracked folders that are gone. Whether code listed a folder is not seen: where one
    lacks a file, what was read of it is not the version that its pointer names.
    """
    gone: dict[str, list[str]] = {}
    for name, inside in {r.dataset: r.path for r in records if r.state == DVC and r.dataset}.items():
        if inside != name and (lacking := _gone(project, str(name), inside)):
            gone[str(name)] = lacking
    if not gone:
        return records, ()
    changed = (replace(r, state=DVC_CHANGED) if r.state == DVC and r.dataset in gone else r for r in records)
    return tuple(changed), tuple(sorted(path for paths in gone.values() for path in paths))


def _gone(project: Project, folder: str, inside: str) -> list[str]:
    out = _dvc_out(project, inside)
    if out is None or not out.is_dir or out.path != folder:
        return []
    from nbledger.core import dvc

    try:
        entries = dvc.folder_entries(project, out) or {}
    except Exception:  # told of by status
        return []
    there = set(_names(project.root / folder, ""))
    return [f"{folder}/{name}" for name in entries if name not in there]


def _names(folder: Path, before: str) -> Iterator[str]:
    """What is in a folder and in those below it, relative to it; links by name only."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _names(folder / entry.name, f"{before}{entry.name}/")
            else:
                yield f"{before}{entry.name}"


def _passing(project: Project, path: str) -> bool:
    """Whether it lay in a temporary folder that is gone: what a program passed to itself, as MLflow does."""
    folder = os.path.dirname(path)
    if not folder.startswith(tempfile.gettempdir() + os.sep) or project.relative(Path(path)) is not None:
        return False
    return not os.path.exists(folder)


def _unseen(observation: Observation) -> tuple[str, ...]:
    """Programs, addresses, and the hosts that no address names."""
    named = set(map(observe.host_of, observation.remote))
    return (*observation.children, *observation.remote, *(h for h in observation.hosts if h not in named))


def finish(project: Project, records: Sequence[FileRecord]) -> tuple[FileRecord, ...]:
    """Hash what is pending, however large. A file that has changed meanwhile becomes ``changed-since-read``."""
    with observe.unwatched():
        waiting = {str(project.root / r.path): r.signature for r in records if r.pending and r.signature}
        same = {p: now for p, s in waiting.items() if (now := _stat(p)) is not None and _same(p, s, now)}
        hashes = _hashed(project, same, float("inf"))
        found, _ = _of_folders(project, _records(project, waiting, set(waiting) - set(hashes), hashes))
        done = {r.path: r for r in found}
    return tuple(done.get(r.path, r) if r.pending else r for r in records)


def fix(record: FileRecord) -> str:
    """What would version this file: a command for a cell, or advice; empty when there is nothing to do."""
    path = shlex.quote(record.path)
    if record.state == UNTRACKED:
        return f"%track_data {path}"
    if record.state == DVC_CHANGED:
        return f"%track_data {shlex.quote(record.dataset or record.path)}"
    if record.state == GIT_CHANGED:
        return f"!git commit -m 'Update {os.path.basename(record.path)}' -- {path}"
    if record.state == EXTERNAL:
        return f"copy {path} into the project and %track_data the copy, or bring it in with: dvc import-url {path}"
    if record.state == MOVED:
        return f"write results to another file than {path}, so that what was read stays what it was"
    return ""


def to_dict(lineage: Lineage) -> dict[str, Any]:
    """The lineage as what ``json.dumps`` takes."""
    return {
        "inputs": [record_to_dict(r) for r in lineage.inputs],
        "outputs": [record_to_dict(r) for r in lineage.outputs],
        "modules": list(lineage.modules),
        "unseen": list(lineage.unseen),
        **({"absent": list(lineage.absent)} if lineage.absent else {}),
    }


def from_dict(fields: dict[str, Any]) -> Lineage:
    """The lineage that ``to_dict`` described; keys it does not know are passed over."""
    inputs, outputs = (tuple(record_from_dict(r) for r in fields.get(k, ())) for k in ("inputs", "outputs"))
    modules, unseen, absent = (tuple(map(str, fields.get(k, ()))) for k in ("modules", "unseen", "absent"))
    return Lineage(inputs, outputs, modules, unseen, absent=absent)


def record_to_dict(record: FileRecord) -> dict[str, Any]:
    """Signatures mean nothing on another machine: they are written only while a hash is pending."""
    fields = asdict(record)
    if not record.pending:
        del fields["signature"]
    return fields


def record_from_dict(fields: dict[str, Any]) -> FileRecord:
    known = {k: v for k, v in fields.items() if k in FileRecord.__dataclass_fields__}
    found = known.get("signature")
    return FileRecord(**{**known, "signature": tuple(found) if found else None})


def _stated(paths: Iterable[str | Path]) -> dict[str, Signature]:
    found: dict[str, Signature] = {}
    for path in paths:
        name = os.path.abspath(path)
        if os.path.isdir(name):
            found.update(observe.files_below(name))
        elif (signed := _stat(name)) is not None:
            found[name] = signed
    return found


def _stat(path: str) -> Signature | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return signature(status) if stat.S_ISREG(status.st_mode) else None


def _same(path: str, then: Signature, now: Signature | None) -> bool:
    """Whether the bytes are those of ``then``. The link by which the keeper protects an object changes its ctime, and so
    that of a work-tree file that is the object under another name: read-only, and with several names.
    """
    if now is None or then[:3] != now[:3]:
        return False
    if then == now:
        return True
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return not status.st_mode & 0o222 and status.st_nlink > 1
    return False


def _hashed(project: Project, wanted: dict[str, Signature], budget_mb: float) -> dict[str, str]:
    """{path: md5} from this process's memory, the project's cache, and reading what the budget allows."""
    found = {p: known[1] for p, s in wanted.items() if (known := _known.get(p)) and known[0] == s}
    missing = {p: s for p, s in wanted.items() if p not in found}
    if not missing:
        return found
    from nbledger.core import hashes

    with hashes.opened(project) as cache:
        stored = cache.files(list(missing))
        cached = {p: stored[p][1] for p, s in missing.items() if p in stored and stored[p][0] == hashes.pack(s)}
        fresh = _read({p: s for p, s in missing.items() if p not in cached}, budget_mb * MB)
        lasting = {p: md5 for p, md5 in fresh.items() if hashes.settled(missing[p])}
        cache.add_files((p, hashes.pack(missing[p]), md5) for p, md5 in lasting.items())
    if len(_known) > _MOST:
        _known.clear()
    _known.update((p, (missing[p], md5)) for p, md5 in (cached | lasting).items())
    return found | cached | fresh


def _read(wanted: dict[str, Signature], budget: float) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, signed in sorted(wanted.items(), key=lambda item: item[1][1]):
        budget -= signed[1] + _PER_FILE
        if budget < 0:
            break
        with contextlib.suppress(OSError):
            md5 = files.md5_of(Path(path))
            if _stat(path) == signed:
                found[path] = md5
    return found


def _records(
    project: Project, wanted: dict[str, Signature], moved: set[str], hashes: dict[str, str]
) -> tuple[FileRecord, ...]:
    places = {path: _place(project, path) for path in wanted}
    bare = {
        path: replace(_tracked_by_dvc(project, path, name, wanted[path], hashes.get(path)), signature=wanted[path])
        for path, (name, _) in places.items()
    }
    inside = {path: inner for path, (_, inner) in places.items() if inner is not None and bare[path].state == UNTRACKED}
    by_git = _git_states(project, {inner: wanted[path] for path, inner in inside.items()})
    records = []
    for path, record in bare.items():
        state = by_git.get(inside.get(path, ""), record.state)
        if state == UNTRACKED and places[path][1] is None:
            state = EXTERNAL
        if path in moved:
            records.append(replace(record, md5=None, pending=False, state=MOVED))
        else:
            records.append(replace(record, state=state))
    return tuple(sorted(records, key=lambda r: r.path))


def shown(project: Project, path: str) -> str:
    """A path as records have it: relative to the root, or absolute outside."""
    return _place(project, path)[0]


def _place(project: Project, path: str) -> tuple[str, str | None]:
    """(path as shown, path relative to the root of the bytes themselves); a link's bytes are where it leads."""
    real = os.path.realpath(path)
    inner = project.relative(Path(real))
    return project.relative(Path(path)) or inner or path, inner


def _tracked_by_dvc(project: Project, path: str, shown: str, signed: Signature, md5: str | None) -> FileRecord:
    record = FileRecord(shown, signed[1], md5, UNTRACKED, pending=md5 is None)
    out = None if os.path.isabs(shown) else _dvc_out(project, shown)
    if out is None or not out.cached:
        return record
    same = md5 is None or md5 == _expected(project, out, shown)
    return replace(
        record, state=DVC if same else DVC_CHANGED, pointer=out.pointer, digest=out.md5 or None, dataset=out.path
    )


def _dvc_out(project: Project, path: str) -> Any:
    if project.dvc_root is None:
        return None
    try:
        from nbledger.core import dvc

        return dvc.lookup(project, path)
    except Exception:  # a broken DVC file is told of by status; here it tracks nothing
        return None


def _expected(project: Project, out: Any, path: str) -> str | None:
    """The hash DVC has for this file; None when the folder's manifest is not at hand."""
    if not out.is_dir:
        return str(out.md5)
    from nbledger.core import dvc

    try:
        entries = dvc.folder_entries(project, out) or {}
    except Exception:
        return None
    return entries.get(path.removeprefix(out.path).lstrip("/"))


def _git_states(project: Project, paths: dict[str, Signature]) -> dict[str, str]:
    """{path: git | git-changed} of those that are in Git's index. Nothing is asked twice while the file, the index and
    HEAD are the same.
    """
    repo = project.git
    if repo is None or not paths:
        return {}
    stamp = _stamp(repo)
    known = {
        path: judged[2]
        for path, signed in paths.items()
        if stamp and (judged := _judged.get((project.root, path))) and judged[:2] == (stamp, signed)
    }
    fresh = _ask_git(project, repo, [p for p in paths if p not in known])
    if stamp and stamp == _stamp(repo):
        if len(_judged) > _MOST:
            _judged.clear()
        _judged.update(((project.root, p), (stamp, paths[p], fresh.get(p, ""))) for p in paths if p not in known)
    return {path: state for path, state in (known | fresh).items() if state}


def _stamp(repo: git.GitRepo) -> object:
    """What Git's answers about an unchanged file depend on; None where that cannot be told."""
    try:
        return signature(os.stat(repo.git_dir / "index")), git.head(repo).commit
    except (OSError, LedgerError):
        return None


def _ask_git(project: Project, repo: git.GitRepo, paths: Sequence[str]) -> dict[str, str]:
    own = sorted(p for p in paths if not _in_nested(project.root, p))
    found: dict[str, str] = {}
    for start in range(0, len(own), _AT_ONCE):
        tracked = sorted(git.tracked(repo, own[start : start + _AT_ONCE]))
        dirty = _differing(repo, tracked)
        found.update((p, GIT_CHANGED if p in dirty else GIT) for p in tracked)
    return found


def _in_nested(root: Path, path: str) -> bool:
    """Below another repository (a submodule, a clone): asking Git about it fails the whole question."""
    folder = os.path.dirname(path)
    while folder:
        if os.path.lexists(root / folder / ".git"):
            return True
        folder = os.path.dirname(folder)
    return False


def _differing(repo: git.GitRepo, paths: list[str]) -> set[str]:
    """Those whose bytes differ from HEAD. ``diff-index`` looks at stat data of these paths only; what it suspects,
    ``diff`` compares.
    """
    if not paths:
        return set()
    quick = git.call(repo, "diff-index", "--name-only", "-z", "HEAD", "--", *paths, check=False)
    if quick.returncode:
        return set(paths)  # no commit yet
    suspects = [p for p in quick.stdout.decode("utf-8", "surrogateescape").split("\0") if p]
    if not suspects:
        return set()
    sure = git.call(repo, "diff", "--name-only", "-z", "--no-ext-diff", "HEAD", "--", *suspects, check=False).stdout
    return set(sure.decode("utf-8", "surrogateescape").split("\0")) - {""}
