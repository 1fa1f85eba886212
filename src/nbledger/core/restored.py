"""Restored work trees: where they are, who makes them, and how they go.

Each is written down in ``.nbledger/reproductions/<name>.json`` before anything of it is made, so that what a killed
process leaves half-made is known and can be taken away (``nbledger doctor``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nbledger.core import files, git, owners, worktrees
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import Project

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")

Kind = Literal[
    "run", "record", "commit", "object", "submodule", "data", "input", "external", "python", "package", "kernel", "code"
]


@dataclass(frozen=True)
class Missing:
    """One thing that is not to be had: ``what`` it is, ``why``, and what to do. ``needed`` is False where the run did
    not depend on it, as far as was seen.
    """

    kind: Kind
    what: str
    why: str
    hint: str = ""
    needed: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f" — {self.hint}" if self.hint else "")


class NotRestorable(Refused):
    """A run that cannot be brought back; ``missing`` says what for."""

    def __init__(self, missing: tuple[Missing, ...]) -> None:
        first, *others = missing
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(f"the run cannot be brought back: {first.what}: {first.why}{more}", first.hint)
        self.missing = missing


@dataclass(frozen=True)
class Restored:
    """A restored work tree. ``into`` is its root, ``name`` what it is registered as, ``scratch`` the folder for the
    ledger of what is executed in it (made when it is used).
    """

    into: Path
    commit: str
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""
    scratch: Path = Path()


@dataclass(frozen=True)
class Registration:
    """``kept`` is set when the work tree is whole and meant to stay; until then it belongs to ``owner``."""

    name: str
    into: str
    run_id: str
    commit: str
    owner: dict[str, Any]
    kept: bool = False

    @property
    def abandoned(self) -> bool:
        """Half-made or no longer wanted, and nobody is at work on it."""
        return not self.kept and not owners.alive(self.owner)


def folder(project: Project) -> Path:
    return project.state / "reproductions"


def begin(project: Project, run_id: str, commit: str, into: Path | None) -> tuple[Registration, Path]:
    """Choose a name and a place (``into``, or one of our own) and write both down; the place is not made yet, unless
    it is the person's own empty folder. ``Refused`` when that folder holds something.
    """
    if into is not None:
        into = Path(os.path.abspath(into))
        if os.path.lexists(into) and (not into.is_dir() or os.listdir(into)):
            raise Refused(f"{into} is not an empty folder", "name one that does not exist yet: --into DIR")
    project.ensure_state()
    for known in registered(project):
        same = into is not None and _same_place(known.into, into)
        if same and not known.kept and not known.abandoned:
            raise _in_use(known)
        if same or (known.kept and not os.path.isdir(known.into)):  # taken away by hand
            remove(project, known.name)
    listing = folder(project)
    try:
        listing.mkdir(mode=0o700, exist_ok=True)
        for number in range(1, 10_000):
            name = f"{run_id[:12]}-{number}"
            place = into or project.state / "reproduced" / name
            if into is None and os.path.lexists(place):
                continue
            with contextlib.suppress(FileExistsError):
                made = Registration(name, str(place), run_id, commit, owners.owner())
                _create(listing / f"{name}.json", made)
                if into is not None:
                    _alone(project, made)
                place.parent.mkdir(parents=True, exist_ok=True)
                return made, place
    except OSError as err:
        raise LedgerError(f"cannot write to {project.state}: {err.strerror}", "free some disk space") from err
    raise Refused(f"there are too many restored copies of run {run_id[:12]}", "nbledger doctor lists them")


def _same_place(x: str | Path, y: str | Path) -> bool:
    return os.path.realpath(x) == os.path.realpath(y)


def _alone(project: Project, made: Registration) -> None:
    """``Refused`` where another process chose the same folder in this moment: who fails there takes it away."""
    for other in registered(project):
        if other.name != made.name and _same_place(other.into, made.into):
            (folder(project) / f"{made.name}.json").unlink(missing_ok=True)
            raise _in_use(other)


def _in_use(known: Registration) -> Refused:
    return Refused(
        f"{known.into} is being restored into by process {known.owner.get('pid')}", "name another: --into DIR"
    )


def _create(path: Path, made: Registration) -> None:
    """Of two processes that want the same name, one gets it. A crash here leaves a note of nothing: no work tree yet."""
    with open(path, "x", encoding="utf-8") as file:
        json.dump(asdict(made), file)


def keep(project: Project, name: str) -> None:
    """Say that a restored work tree is whole and stays until it is removed by hand or by ``doctor``."""
    known = load(project, name)
    if known is not None:
        files.write_atomic(folder(project) / f"{name}.json", json.dumps(asdict(replace(known, kept=True))))


def load(project: Project, name: str) -> Registration | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        fields = json.loads((folder(project) / f"{name}.json").read_bytes())
        known = {k: v for k, v in fields.items() if k in Registration.__dataclass_fields__}
        return Registration(**known)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def registered(project: Project) -> list[Registration]:
    """All restored work trees of this project, oldest first."""
    paths: list[tuple[float, Path]] = []
    with contextlib.suppress(FileNotFoundError):  # none yet, or no longer
        for path in folder(project).glob("[!.]*.json"):
            with contextlib.suppress(FileNotFoundError):  # one that is removed meanwhile is none
                paths.append((path.stat().st_mtime, path))
    return [known for _, path in sorted(paths) if (known := load(project, path.stem)) is not None]


def remove(project: Project, which: Restored | Path | str) -> None:
    """Take a restored work tree away with all that belongs to it: the folder, Git's entry, the scratch ledger, the
    registration last. Of a folder that no registration names nothing is touched.
    """
    known = next((r for r in registered(project) if _is(r, which)), None)
    if known is None:
        return
    worktrees.remove(_main(project), Path(known.into))
    worktrees.remove_folder(scratch(project, known.name))
    with contextlib.suppress(OSError):
        (project.state / "reproduced").rmdir()
    (folder(project) / f"{known.name}.json").unlink(missing_ok=True)


def _is(known: Registration, which: Restored | Path | str) -> bool:
    if isinstance(which, Restored):
        return which.name == known.name
    return known.name == which or Path(known.into) == Path(os.path.abspath(which))


def _main(project: Project) -> git.GitRepo | None:
    """The repository of the main work tree: a linked one cannot remove itself."""
    return git.discover(project.home) if project.git is not None else None


def scratch(project: Project, name: str) -> Path:
    """Where the ledger of re-executions in the work tree of that name is kept."""
    return folder(project) / f"{name}.scratch"
