"""Files of tracked folders that are merely older here than their pointer says, brought one by one: what was edited stays."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence

from nbledger.core import contents, datachange, dvc, dvcremote, files, takenback
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.takenback import Behind
from nbledger.core.wording import some

_NAMED = 5


def behind(project: Project, outs: Sequence[Out], now: Sequence[str | None]) -> list[Behind | None]:
    """How each of these outputs, whose hashes are ``now``, is behind HEAD's pointer; None where it is not."""
    found: list[Behind | None] = []
    for out, md5 in zip(outs, now, strict=True):
        same = md5 in (None, "?", out.md5) or not out.cached or not out.md5 or out.legacy or out.stage is not None
        found.append(None if same else _behind(project, out, md5))
    return found


def _behind(project: Project, out: Out, md5: str | None) -> Behind | None:
    def listed() -> dict[str, str]:
        try:
            return dvc.folder_now(project, out.path)
        except OSError:
            return {}

    with contextlib.suppress(LedgerError):
        return takenback.behind(project, out.path, datachange.pointer_of(out), lambda: md5, listed)
    return None


def among(project: Project, outs: Sequence[Out], now: Sequence[str | None]) -> list[Behind]:
    """Those of these outputs, whose hashes are ``now``, that are behind HEAD's pointer, and how."""
    return [one for one in behind(project, outs, now) if one is not None]


def older(project: Project, out: Out) -> dict[str, str | None]:
    """{path: HEAD's hash} of the files of a folder, edited in part, that are merely older than HEAD's pointer; None for what
    HEAD has no more. HEAD's list of files is read in the remote where it is not here.
    """
    if not out.is_dir:
        return {}
    now = dvc.hashes_now(project, [out])
    one = behind(project, [out], now)[0]
    if one is not None and one.unknown:
        with contextlib.suppress(LedgerError):
            _list(project, out)
            one = behind(project, [out], now)[0]
    if one is None or one.whole or one.unknown:
        return {}
    return {f"{one.path}/{name}": md5 for name, md5 in one.older.items()}


def left(project: Project, outs: Sequence[Out]) -> list[str]:
    """What is said of those of these outputs that were changed here and are left as they are."""
    hashed = dvc.hashes_now(project, outs)
    differing = [(out, md5) for out, md5 in zip(outs, hashed, strict=True) if md5 != out.md5]
    outs, now = [out for out, _ in differing], [md5 for _, md5 in differing]
    both = {one.path: one for one in behind(project, outs, now) if one is not None and one.both}
    mine = [out.path for out in outs if out.path not in both]
    lines = [f"changed here, so left as they are: {some(mine, _NAMED)} (nbledger track PATH)"] if mine else []
    return lines + [takenback.told_of_both(one) for one in both.values()]


def removed(project: Project, paths: Sequence[str]) -> list[str]:
    """Remove these files, as far as the cache has their bytes; those that were."""
    done = []
    for path in paths:
        place = project.root / path
        if place.is_file() and contents.cached(project, files.md5_of(place)) is not None:
            os.unlink(place)
            done.append(path)
    return done


def _list(project: Project, out: Out) -> None:
    """HEAD's list of the folder's files into the cache, without the files."""
    if dvcremote.default_remote(project) is None or dvcremote.versioned(project):
        return
    text = dvcremote.read_lists(project, [out.md5]).get(out.md5)
    if text is None or hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir" != out.md5:
        return
    place = dvc.store(project).path(out.md5)
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(place, text)
    place.chmod(0o444)
