"""The data that a model was trained on: which of its run's inputs, and their bytes, wherever they still are.

Every file is brought by its hash, from the cache, the work tree, Git or the data remote, and hashed again: what is compared is
what the run read, or nothing.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import contents, files, git, tablediff
from nbledger.core.driftjob import Files
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.lineage import DVC, GIT, UNKNOWN, FileRecord
from nbledger.core.project import Project
from nbledger.core.record import Record

_LEAST_ALIKE = 0.5


@dataclass(frozen=True)
class Reference:
    """Tables that a run read as one: a file, or those of a folder. ``path`` is the file's or the tracked folder's."""

    path: str
    records: tuple[FileRecord, ...]

    @property
    def md5(self) -> str:
        """The full hash of what DVC tracks, else that of the file."""
        first = self.records[0]
        return str(first.digest if first.digest and first.dataset == self.path else first.md5 or "")

    @property
    def size(self) -> int:
        return sum(record.size for record in self.records)


def of_run(project: Project, record: Record) -> list[Reference]:
    """The tables among a run's inputs. Those of one tracked folder that are of one kind belong together."""
    found: dict[tuple[str, str | None], list[FileRecord]] = {}
    for one in record.inputs or _of_row(project, record):
        suffix = tablediff.suffix_of(one.path)
        if suffix is not None:
            together = one.dataset if one.dataset and one.dataset != one.path else one.path
            found.setdefault((together, suffix), []).append(one)
    made: list[Reference] = []
    for (path, _), records in found.items():
        several = len(records) > 1
        made.append(Reference(path if several else records[0].path, tuple(sorted(records, key=lambda r: r.path))))
    return made


def _of_row(project: Project, record: Record) -> list[FileRecord]:
    """What the run's dataset inputs name, where nbledger did not record it."""
    made: list[FileRecord] = []
    for one in record.row.inputs:
        if not one.md5.endswith(".dir"):
            made.append(FileRecord(one.path, 0, one.md5, UNKNOWN))
            continue
        for name, md5 in sorted(contents.folder(project, one.md5).items()):
            made.append(FileRecord(posixpath.join(one.path, name), 0, md5, UNKNOWN, digest=one.md5, dataset=one.path))
    return made


def chosen(
    found: Sequence[Reference],
    wanted: str | None,
    columns: Sequence[str],
    columns_of: Callable[[Reference], Sequence[str]],
) -> tuple[Reference, list[str]]:
    """The one of that path, else the one whose columns are most like ``columns``; and the paths of others as alike."""
    if wanted is not None:
        for one in found:
            if wanted == one.path or any(wanted == record.path for record in one.records):
                return one, []
        paths = [one.path for one in found]
        hint = nearest(wanted, paths) or (f"it read {', '.join(paths[:5])}" if paths else "it read no table at all")
        raise UsageError(f"the model's run did not read {wanted[:200]}", hint)
    if not found:
        raise Refused(
            "the run that made this model records no table that it read",
            "name the data that it was trained on: --reference FILE, or Compared with in JupyterLab",
        )
    scored = [(one, alike(columns, columns_of(one))) for one in found]
    scored.sort(key=lambda pair: (pair[1], pair[0].records[0].state in (DVC, GIT), pair[0].size), reverse=True)
    best, score = scored[0]
    if score < _LEAST_ALIKE:
        listed = ", ".join(one.path for one, _ in scored[:5])
        raise Refused(
            f"none of the tables that the model's run read has the columns of these data (it read {listed})",
            "name the data that it was trained on, as raw as these: --reference FILE, or Compared with in JupyterLab",
        )
    return best, [one.path for one, other in scored[1:] if other == score]


def alike(wanted: Sequence[str], columns: Sequence[str]) -> float:
    """The share of all columns that both have; labels may be missing from new data."""
    both = set(wanted) & set(columns)
    return len(both) / max(1, len(set(wanted) | set(columns)))


def bring(project: Project, record: Record, reference: Reference, folder: Path) -> Files:
    """The files of a reference, copied to ``folder`` and checked. ``Refused`` names what cannot be had."""
    commit = _commit(project, record)
    absent = [one for one in reference.records if one.md5 and _find(project, one, commit) is None]
    _fetch(project, [str(one.md5) for one in absent])
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number, one in enumerate(reference.records):
        target = folder / f"{number}{tablediff.suffix_of(one.path) or ''}"
        if not target.is_file():
            _place(project, one, commit, target)
        paths.append(target)
    return Files(tuple(paths), tuple(one.path for one in reference.records))


def _place(project: Project, one: FileRecord, commit: str | None, target: Path) -> None:
    if not one.md5:
        raise Refused(f"which bytes of {one.path} the run read is not known: it was changed meanwhile")
    source = _find(project, one, commit)
    if source is None:
        raise Refused(
            f"{one.path} as the model's run read it ({one.md5}) is neither here nor in the data remote",
            "whoever has it: nbledger push; or --reference FILE",
        )
    if isinstance(source, bytes):
        target.write_bytes(source)
    else:
        shutil.copyfile(source, target)
    if (now := files.md5_of(target)) != one.md5:
        target.unlink()
        raise Refused(
            f"{one.path} is not what the model's run read: its hash is {now}, not {one.md5}", "dvc fetch it anew"
        )


def _find(project: Project, one: FileRecord, commit: str | None) -> Path | bytes | None:
    path = one.path if not os.path.isabs(one.path) else str(one.path)
    return contents.find(project, path, str(one.md5), commit)


def _commit(project: Project, record: Record) -> str | None:
    """The commit that holds what Git versions of the inputs, fetched if this clone does not have it."""
    commit = record.row.snapshot or record.row.commit
    if project.git is None or not commit or not git.is_hex(commit):
        return None
    if git.has_commit(project.git, commit) or git.fetch_run(project.git, record.run_id, commit):
        return commit
    return None


def _fetch(project: Project, md5s: Sequence[str]) -> None:
    """Bring objects into the cache: those kept for runs, else from the default remote. What is nowhere stays away."""
    if not md5s or project.dvc_root is None:
        return
    from nbledger.core import dvcremote, kept

    kept.bring_back(project, list(md5s))
    left = [md5 for md5 in md5s if contents.cached(project, md5) is None]
    if left and dvcremote.default_remote(project) is not None:
        try:
            dvcremote.fetch_objects(project, left)
        except LedgerError as err:
            raise Refused(f"the training data are not here, and {err.message}", err.hint) from err
