"""Data that DVC is putting into the work tree: noted before the first file is touched, so that what a killed pull or join left
half-placed is known for that, and not taken for the person's own.

The note stands in ``.nbledger/placing-….json``, one for a work tree. It goes when all of it is there. DVC itself replaces nothing that
its cache has not, so whatever of a noted output is neither in the cache nor in the wanted version came later, from the person.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nbledger.core import cache, contents, dvc, files, hashes
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import Project
from nbledger.core.wording import some

_TEMPORARY = re.compile(r"\.[A-Za-z0-9_-]{22}\.tmp")  # as DVC names a file until all its bytes are there
HINT = "nbledger pull (or nbledger join) once more: it brings the rest"
_EMPTY = hashlib.md5(b"", usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Placed:
    """An output that is (or was, by who was killed) brought in the version ``md5``; ``before`` is the hash of what stood there (None:
    nothing), ``apart`` what stood there already and looks like a leftover. Not ``whole``: single files of it only.
    """

    path: str
    md5: str
    before: str | None
    apart: tuple[str, ...]
    whole: bool


@contextlib.contextmanager
def noted(project: Project, outs: Iterable[Out], parts: Iterable[Out] = ()) -> Iterator[None]:
    """Keep a note that these are placed, ``parts`` by single files only; with an error, of what was begun."""
    whole, single = {out.path: out for out in outs}, {out.path: out for out in parts}
    listed = [*whole.values(), *(out for path, out in single.items() if path not in whole)]
    already = _read(project)
    now = dvc.hashes_now(project, listed)
    found = dict(already)
    for out, before in zip(listed, now, strict=True):
        one = already.get(out.path)
        if one is None or (not one.whole and out.path in whole):
            one = Placed(out.path, out.md5, before, (), out.path in whole)
            one = replace(one, apart=tuple(_leftovers(project, one)))
        found[out.path] = replace(one, md5=out.md5)
    _write(project, found)
    try:
        yield
    except LedgerError:
        _settle(project, listed)
        raise
    # a folder that is half placed is not made whole by single files of it
    stays = {path for path, one in already.items() if path not in whole and (path not in single or one.whole)}
    _write(project, {path: one for path, one in found.items() if path in stays})


def paths(project: Project, outs: Iterable[Out]) -> set[str]:
    """Paths of those whose placing was cut short, and that are not whole by now."""
    found = _read(project)
    return {out.path for out in outs if out.path in found and _half(project, out, found[out.path])}


def strange(project: Project, out: Out) -> list[str]:
    """Files of a half-placed output that are neither of the wanted version nor in the cache: the person's."""
    one = _read(project).get(out.path)
    if one is None:
        return []
    wanted, now = contents.folder(project, one.md5), _present(project, one)
    left = set(_leftovers(project, one))
    return sorted(
        path
        for path, name, md5 in ((f"{one.path}/{name}".rstrip("/"), name, md5) for name, md5 in now.items())
        if path not in left and md5 not in (wanted.get(name), one.md5) and contents.cached(project, md5) is None
    )


def refuse(project: Project, targets: Sequence[str]) -> None:
    """``Refused`` where one of these is half-placed: to version a part would be to lose the rest."""
    found = _read(project)
    if not found:
        return
    for out in dvc.outputs(project)[0]:
        one = found.get(out.path)
        if one is None or out.path not in targets:
            continue
        if _half(project, out, one) or (not one.whole and _leftovers(project, one)):
            raise Refused(told([out.path]), HINT)


def told(names: Sequence[str]) -> str:
    """What is said of them."""
    return f"only a part of {some(names)} is here: a pull or join was cut short, or is under way"


def sweep(project: Project, outs: Iterable[Out]) -> None:
    """Remove what DVC left half-written among these, and forget those that are whole. Only with the lock of sharing held."""
    listed, found = list(outs), _read(project)
    left = [path for out in listed if out.path in found for path in _leftovers(project, found[out.path])]
    with dvc.lock(project) if left else contextlib.nullcontext():  # a DVC that somebody runs beside has such files too
        for path in left:
            with contextlib.suppress(OSError):  # DVC says that it is in the way
                (project.root / path).unlink(missing_ok=True)
    if found:
        _settle(project, listed)


def _settle(project: Project, outs: Sequence[Out]) -> None:
    found = _read(project)
    for out in outs:
        one = found.get(out.path)
        if one is not None and not _half(project, out, one) and not _leftovers(project, one):
            del found[out.path]
    _write(project, found)


def _half(project: Project, out: Out, one: Placed) -> bool:
    """Whether something of what was to be placed lacks, or something stands there still that was to go."""
    if not one.whole:
        return False
    now = dvc.hashes_now(project, [out])[0]
    if now in (None, "?", out.md5, one.md5, one.before):
        return False
    there, left = _present(project, one), set(_leftovers(project, one))
    if not (project.root / one.path).is_dir():
        return one.path in left  # DVC puts a file there at one stroke
    wanted = contents.folder(project, one.md5) if one.md5.endswith(".dir") else {}
    if not wanted or wanted.keys() - there.keys():
        return True
    wrong = {name: md5 for name, md5 in there.items() if wanted.get(name) != md5}
    return any(f"{one.path}/{name}" in left or contents.cached(project, md5) is not None for name, md5 in wrong.items())


def _present(project: Project, one: Placed) -> dict[str, str]:
    """{name: MD5} of what is there now; of a file alone with an empty name."""
    place = project.root / one.path
    try:
        if place.is_dir():
            return dvc.folder_now(project, one.path)
        with hashes.opened(project) as known:
            return {"": cache.hash_file(place, known).md5}
    except (OSError, LedgerError):
        return {}


def _leftovers(project: Project, one: Placed) -> list[str]:
    """What DVC leaves when it is killed at a file: one under a temporary name, or (a reflink is made in two steps) an empty one."""
    place, found = project.root / one.path, []
    if place.is_dir() and not place.is_symlink():
        wanted = contents.folder(project, one.md5)
        for folder, _, names in os.walk(place):
            found += [
                path
                for name in names
                if _left(path := Path(folder, name), wanted.get(path.relative_to(place).as_posix()))
            ]
    else:
        with contextlib.suppress(OSError):
            names = os.listdir(place.parent)
            found += [
                path for name in names if _left(path := place.parent / name, one.md5 if name == place.name else None)
            ]
    apart = set(one.apart)
    return sorted(path for path in (each.relative_to(project.root).as_posix() for each in found) if path not in apart)


def _left(path: Path, wanted: str | None) -> bool:
    temporary = _TEMPORARY.fullmatch(path.name) is not None
    if (not temporary and wanted in (None, _EMPTY)) or path.is_symlink():
        return False
    with contextlib.suppress(OSError):
        return path.is_file() and (temporary or path.stat().st_size == 0)
    return False


# ── the note ─────────────────────────────────────────────────────────────────────────────────────────────


def _file(project: Project) -> Path:
    return project.state / f"placing-{hashlib.sha256(os.fsencode(project.root)).hexdigest()[:12]}.json"


def _read(project: Project) -> dict[str, Placed]:
    found: dict[str, Placed] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for fields in json.loads(_file(project).read_bytes())["placed"]:
            one = Placed(**{**fields, "apart": tuple(fields["apart"])})
            found[one.path] = one
    return found


def _write(project: Project, found: dict[str, Placed]) -> None:
    if found:
        project.ensure_state()
        files.write_atomic(_file(project), json.dumps({"placed": [asdict(one) for one in found.values()]}))
    else:
        _file(project).unlink(missing_ok=True)
