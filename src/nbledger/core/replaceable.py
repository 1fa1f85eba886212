"""What of the data in the work tree may be replaced: what a commit, a run or a reflog names, and the cache holds. That the cache
alone has the bytes is not enough: nothing would say that they are there, and ``nbledger gc`` would take them.
"""

from __future__ import annotations

import os

from nbledger.core import catchup, contents, datachange, dvc, git, gitlog, halfplaced, versions
from nbledger.core.dvcfiles import Out, Row
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.takenback import Behind


def needed(project: Project, changed: set[str]) -> tuple[list[Out], list[Out]]:
    """Outputs that are missing or not the version that their pointer names, as far as nothing is lost by bringing that: what is
    there now can be had again, or (pointer in ``changed``) was there before its pointer changed and is not edited since. And
    the others: while a merge is under way all that is not as before it, for it may be what the person has decided for.
    """
    joining = project.git is not None and git.operation(project.git) != ""
    outs = [out for out in dvc.outputs(project)[0] if out.cached and out.md5] if project.dvc_root else []
    now = dvc.hashes_now(project, outs)
    wanted, mine = [], []
    again = Again(project)
    partial = halfplaced.paths(project, outs)
    for out, md5, behind in zip(outs, now, catchup.behind(project, outs, now), strict=True):
        if md5 == out.md5:
            continue
        moved = datachange.pointer_of(out) in changed
        if md5 is None or out.path in partial:
            wanted.append(out)
        elif behind is not None and not behind.whole and (not moved or _edited(behind)):
            mine.append(out)  # its older files are brought one by one
        elif joining and (behind is None or not behind.whole):
            mine.append(out)
        elif again.can_be_had(out, md5) or (moved and out.is_dir):
            wanted.append(out)
        else:
            mine.append(out)
    return wanted, mine


def _edited(behind: Behind) -> bool:
    return bool(behind.edited or behind.both or behind.unknown)


class Again:
    """Which versions in the work tree could be had again once they are replaced."""

    def __init__(self, project: Project) -> None:
        self._project, self._cached = project, versions.Cached(project) if project.dvc_root is not None else None

    def can_be_had(self, out: Out, md5: str) -> bool:
        """Whether a commit, a run or a reflog names ``md5`` for this output, and the cache has the bytes."""
        repo, pointer = self._project.git, datachange.pointer_of(out)
        if repo is None or self._cached is None or not gitlog.had(repo, pointer, md5):
            return False
        row = Row(out.path, md5, 0, 1, True, out.legacy)
        return self._cached.has(row) or (md5.endswith(".dir") and not out.legacy and self._has_files(out))

    def _has_files(self, out: Out) -> bool:
        """Whether the cache has all files of a folder as it is now, though not its list: that stands in the remote."""
        try:
            now = dvc.folder_now(self._project, out.path)
        except (OSError, LedgerError):
            return False
        return all(contents.cached(self._project, md5) is not None for md5 in now.values())


def never_whole(project: Project, out: Out) -> bool:
    """Whether a folder holds nothing but files of its version, and those that lack have never been here: a ``dvc pull`` that was
    killed leaves such. Any other is the person's.
    """
    listed = contents.folder(project, out.md5)
    if not listed:  # the list comes first of all
        return not os.listdir(project.root / out.path)
    try:
        now = dvc.folder_now(project, out.path)
    except (OSError, LedgerError):
        return False
    lacking = listed.keys() - now.keys()
    same = all(listed.get(name) == md5 for name, md5 in now.items())
    return same and not any(contents.cached(project, listed[name]) for name in lacking)
