"""The environment of a run: how this one differs from it, and a virtual environment made from its record.

Nothing is ever installed into the user's own environment. A rebuilt one is kept under ``.nbledger/environments`` and
used again; it has a kernel and this very nbledger in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nbledger.core import environment as environments
from nbledger.core import files
from nbledger.core.environment import Environment, canonical
from nbledger.core.errors import LedgerError, ToolFailed
from nbledger.core.installers import TIMEOUT, Pip, Tool, Uv, python_of, uv
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.restored import Missing
from nbledger.core.worktrees import remove_folder

Progress = Callable[[int, int, str], None]

_DONE = "nbledger.json"
_KERNEL = ("ipykernel", "ipython", "psutil")


@dataclass(frozen=True)
class Comparison:
    """``lines`` tell people how this environment differs; ``missing`` what was imported and is not installed."""

    lines: tuple[str, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Rebuilt:
    """``python`` is the interpreter of the rebuilt environment."""

    python: Path
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()


def against_this(recorded: Environment, imported: Mapping[str, str]) -> Comparison:
    """How this process's environment differs from a recorded one: what the run imported first, the rest counted."""
    now = environments.current()
    there = {name: version for name, version, _, _ in recorded.packages}
    here = {name: version for name, version, _, _ in now.packages}
    used = {canonical(name) for name in imported}
    missing = [
        Missing(
            "package", f"{name} {there[name]}", "the run imported it, and it is not installed here", "--env rebuild"
        )
        for name in sorted(used & set(there))
        if name not in here
    ]
    changed = [name for name in sorted(there) if here.get(name) != there[name] and name != "nbledger"]
    changed.sort(key=lambda name: name not in used)
    parts = [f"Python {recorded.python} → {now.python}"] if recorded.python != now.python else []
    parts += [f"{name} {there[name]} → {here.get(name, 'not installed')}" for name in changed[:4]]
    if not parts:
        return Comparison((), tuple(missing))
    rest = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    count = sum(name in used for name in changed)
    head = f"{len(changed)} packages differ from the record" + (
        f", {count} of them imported by the run" if used else ""
    )
    return Comparison((f"{head}: {', '.join(parts)}{rest}",), tuple(missing))


def without_kernel() -> tuple[Missing, ...]:
    """The kernel that this interpreter lacks."""
    if importlib.util.find_spec("ipykernel") is not None:
        return ()
    return (
        Missing(
            "kernel", "ipykernel", f"{sys.executable} has no kernel to execute cells with", "pip install ipykernel"
        ),
    )


def of_record(project: Project, record: Record, *, progress: Progress | None = None) -> Rebuilt:
    """The environment of a run, made or found again. What cannot be installed blocks only where the run imported it."""
    assert record.environment is not None
    kept = record.folder / "environment.txt" if record.folder else None
    text = kept.read_text() if kept and kept.is_file() else environments.as_requirements(record.environment)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    into = project.ensure_state() / "environments" / digest
    made = rebuild(text, into, progress=progress)
    _note_user(into, record.run_id)
    used = {canonical(name) for name in record.imported} | ({"nbledger"} if not record.imported else set())
    judged = tuple(_judged(one, used, bool(record.imported)) for one in made.missing)
    return Rebuilt(made.python, judged, made.notes)


def _judged(one: Missing, used: set[str], known: bool) -> Missing:
    from dataclasses import replace

    name = canonical(re.split(r"[\s=@]", one.what, maxsplit=1)[0])
    needed = one.kind != "package" or name in used or not known
    return replace(one, needed=needed)


def rebuild(environment_txt: Path | str, into: Path, *, progress: Progress | None = None) -> Rebuilt:
    """Make a virtual environment at ``into`` from a recorded lock file (its path or text); what stands there is used
    again if it is whole, and made anew if not.

    ``Missing`` are packages, or the Python version, that cannot be had. ``ToolFailed`` when no environment can be made.
    """
    text = environment_txt.read_text() if isinstance(environment_txt, Path) else environment_txt
    into.parent.mkdir(parents=True, exist_ok=True)
    with files.lock(into.with_name(f"{into.name}.lock"), timeout=TIMEOUT, what="this environment"):
        known = _known(into, text)
        if known is not None and not known.missing:
            return known
        if into.exists():
            remove_folder(into)
        try:
            return _made(text, into, progress)
        except BaseException:
            with contextlib.suppress(LedgerError, OSError):
                remove_folder(into)
            raise


def _note_user(into: Path, run_id: str) -> None:
    """Remember for which runs an environment was made, and that it was used just now, for ``nbledger gc --keep``."""
    with contextlib.suppress(OSError):
        if run_id not in users(into):
            with open(into.with_name(f"{into.name}.runs"), "a", encoding="utf-8") as file:
                file.write(f"{run_id}\n")
        os.utime(into / _DONE)


def users(into: Path) -> set[str]:
    """The runs that an environment was made for, as far as that was noted."""
    try:
        return set(into.with_name(f"{into.name}.runs").read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return set()


def unused_for(into: Path) -> float:
    """Seconds since an environment was last used, or since it was begun if it is not whole."""
    import time

    mark = into / _DONE
    return max(time.time() - (mark if mark.is_file() else into).stat().st_mtime, 0.0)


def forget_users(into: Path) -> None:
    for suffix in ("runs", "lock"):
        into.with_name(f"{into.name}.{suffix}").unlink(missing_ok=True)


def unfinished(project: Project) -> list[Path]:
    """Environments without the mark of those that are whole."""
    try:
        listed = [Path(item.path) for item in os.scandir(project.state / "environments") if item.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(folder for folder in listed if not (folder / _DONE).is_file())


def _known(into: Path, text: str) -> Rebuilt | None:
    """What an earlier call made and found out, if it came to its end."""
    try:
        noted = json.loads((into / _DONE).read_bytes())
        missing = tuple(Missing(**fields) for fields in noted["missing"])
        python = python_of(into)
        if noted["digest"] != _digest(text) or not python.exists():
            return None
        return Rebuilt(python, missing, tuple(noted["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(text: str) -> str:
    version = importlib.metadata.version("nbledger")

    return hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()


def _made(text: str, into: Path, progress: Progress | None) -> Rebuilt:
    say = progress or (lambda done, total, words: None)
    tool = Uv(into) if uv() else Pip(into)
    missing: list[Missing] = []
    notes: list[str] = []
    say(0, 4, "environment: Python")
    missing += tool.create(text)
    if "# conda environment:" in text:
        notes.append("the run's environment was conda's: what of it is no Python package is not rebuilt")
    wanted, local = _requirements(text, missing)
    say(1, 4, f"environment: {len(wanted)} packages")
    missing += tool.install(wanted)
    say(2, 4, "environment: local packages")
    for name, version, path in local:
        _link_local(into, name, version, path)
    say(3, 4, "environment: kernel")
    notes += _add_nbledger(tool, into)
    say(4, 4, "environment: made")
    fields = {
        "digest": _digest(text),
        "missing": [vars(one) for one in missing],
        "notes": notes,
    }
    files.write_atomic(into / _DONE, json.dumps(fields))
    return Rebuilt(python_of(into), tuple(missing), tuple(notes))


_OPTIONS = re.compile(r"^-(?!e\s)|\s--?[A-Za-z]|^-e\s+-")


def _requirements(text: str, missing: list[Missing]) -> tuple[list[str], list[tuple[str, str, Path]]]:
    """(requirements to install, local editable packages as (name, version, folder)); what is not there is missing."""
    wanted: list[str] = []
    local: list[tuple[str, str, Path]] = []
    for line in text.splitlines():
        bare, _, comment = line.partition("  # ")
        bare = bare.strip()
        if not bare or bare.startswith("#"):
            continue
        if bare.startswith("-e ") and "://" not in bare:
            name, _, version = comment.strip().partition(" ")
            path = Path(bare[3:].strip())
            if canonical(name) == "nbledger":
                continue
            if path.is_dir():
                local.append((name, version, path))
            else:
                why = f"it was installed from {path}, which is not there"
                missing.append(Missing("package", f"{name} {version}".strip(), why, "put the folder back"))
            continue
        if _OPTIONS.search(bare):  # a record may come from a store that others write to
            missing.append(Missing("package", bare[:100], "an option is no package", ""))
            continue
        name = canonical(re.split(r"[\s=@]", bare.removeprefix("-e ").strip(), maxsplit=1)[0])
        if name == "nbledger":
            continue
        place = re.search(r"@\s*(file:\S+)", bare)
        if place and not os.path.exists(unquote(urlsplit(place[1]).path)):
            why = f"it was installed from {unquote(urlsplit(place[1]).path)}, which is not there"
            missing.append(Missing("package", name, why, "put the file back"))
        else:
            wanted.append(bare)
    return wanted, local


# ── what is on this machine: local packages, and nbledger itself ─────────────────────────────────────────


def _site_packages(into: Path) -> Path:
    if os.name == "nt":
        return into / "Lib" / "site-packages"
    return next((into / "lib").glob("python*")) / "site-packages"


def _link_local(into: Path, name: str, version: str, path: Path) -> None:
    """An editable package: by the very files that make it one here, else its sources on the path. It is not built, as
    that would write into its folder.
    """
    site = _site_packages(into)
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found is not None and found.version == version and found.files:
        base = Path(str(found.locate_file("")))
        for item in found.files:
            source = base / item
            inside = ".." not in item.parts and item.suffix != ".pyc" and source.is_file()
            if inside:
                (site / item).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, site / item)
        return
    sources = path / "src" if (path / "src").is_dir() else path
    (site / f"_nbledger_{canonical(name)}.pth").write_text(f"{sources}\n")


def _add_nbledger(tool: Tool, into: Path) -> list[str]:
    """A kernel, and this nbledger: its own files, so that what records there is what compares here."""
    site = _site_packages(into)
    lacking = [n for n in _KERNEL if not any(site.glob(f"{n.replace('-', '_')}-*.dist-info"))]
    notes = []
    if lacking:
        notes.append(f"not in the record, added for the kernel: {', '.join(lacking)}")
        tool.install_open(lacking)
    folders = []
    for package in ("nbledger", "nbledger_magics"):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ToolFailed(f"the package {package} was not found")
        folders.append(Path(next(iter(spec.submodule_search_locations))))
    own = importlib.metadata.distribution("nbledger")
    for item in own.files or ():
        if (
            item.parts[0].endswith(".dist-info")
            and item.name != "RECORD"
            and os.path.isfile(str(own.locate_file(item)))
        ):
            (site / item).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(own.locate_file(item)), site / item)
    if "site-packages" in folders[0].parts:
        for folder in folders:
            shutil.copytree(folder, site / folder.name, dirs_exist_ok=True)
    else:
        (site / "_nbledger.pth").write_text("".join(f"{folder.parent}\n" for folder in folders))
    return notes
