"""The one door to DVC: where its repository, cache and outputs are, and every call of the ``dvc`` package.

Importing DVC takes half a second, so reading is done on its files (``dvcfiles``); only ``init``, ``push``, ``pull``
and what is unusual in a configuration import it.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from nbledger.core import cache, dvcfiles, files, git, hashes, remoteerrors, trust
from nbledger.core.dvcfiles import Damaged, Out, Problem
from nbledger.core.errors import Busy, LedgerError, Refused, ToolFailed, Untrusted
from nbledger.core.project import STATE, Project
from nbledger.core.records import DataState

__all__ = [
    "Out",
    "Problem",
    "cache_dir",
    "config",
    "data_status",
    "fetch",
    "folder_entries",
    "guarded",
    "ignore_filter",
    "init",
    "link_types",
    "listed_files",
    "loaded_config",
    "lock",
    "lookup",
    "machinery",
    "outputs",
    "pull",
    "push",
    "refuse_if_running",
    "require_root",
    "safe_links",
    "share",
    "stale_stages",
    "store",
    "verify",
    "version",
]

T = TypeVar("T")
_NO_REPOSITORY = "this project has no DVC repository"


def version() -> str:
    """DVC's version, without importing it."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("dvc")
    except PackageNotFoundError as err:
        raise LedgerError("DVC is not installed", "pip install dvc") from err


def require_root(project: Project) -> Path:
    """Folder that holds ``.dvc``; ``Refused`` without one."""
    if project.dvc_root is None:
        raise Refused(_NO_REPOSITORY, "make one: %ledger init (nbledger init)")
    return project.dvc_root


def init(project: Project, folder: Path | None = None) -> Path:
    """Make ``folder`` (default: the project's DVC root or root) a DVC repository; nothing happens when it is one.

    DVC's usage statistics are switched off for this clone, and DVC told to skip the ledger's own folder.
    """
    root = folder or project.dvc_root or project.root
    if not (root / ".dvc" / "config").is_file():
        guarded(lambda: _init(project, root), "init")
    guarded(lambda: _no_analytics(root), "config")
    ignore = root / ".dvcignore"
    lines = ignore.read_text(encoding="utf-8") if ignore.is_file() else ""
    if not {f"{STATE}/", f"/{STATE}/"} & set(lines.splitlines()):
        files.write_atomic(ignore, f"{lines}{'' if lines.endswith(chr(10)) or not lines else chr(10)}{STATE}/\n")
    return root


def _init(project: Project, root: Path) -> None:
    import logging

    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # it would print its greeting into a cell or a terminal
    repo = Repo.init(str(root), no_scm=project.git is None, subdir=project.git is not None and root != project.git.root)
    repo.close()


def _no_analytics(root: Path) -> None:
    with contextlib.suppress(dvcfiles.Unusual):
        if "analytics" in dvcfiles.config(root).get("core", {}):
            return
    from dvc.config import Config

    with Config(str(root / ".dvc")).edit("local") as settings:
        settings["core"].setdefault("analytics", False)


def site_cache() -> str:
    """Where DVC keeps what it remembers of repositories, for calls of ours: a private folder of the person.

    DVC's own choice is a folder that all users may write to, and a repository's configuration can lead it into the
    repository; what lies there is unpickled.
    """
    given = os.environ.get("DVC_SITE_CACHE_DIR")
    if given:
        return given
    from platformdirs import user_cache_dir

    folder = Path(user_cache_dir("nbledger")) / "dvc"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder)


def opened(root: Path) -> Any:
    """DVC's ``Repo``. It writes to its own files whatever is asked: no link may lead them out of a stranger's repository."""
    for name in (".dvc", ".dvc/tmp", ".dvc/tmp/lock", ".dvc/tmp/rwlock", ".dvc/tmp/btime", ".dvc/.gitignore"):
        if (root / name).is_symlink() and not git.is_trusted(root):
            raise Refused(f"{root / name} is a link, and DVC would write to where it leads", "remove it")
    if not git.is_trusted(root) and dvcfiles.names_command(root):
        raise Untrusted("a data remote names a command that DVC would execute (bearer_token_command)", "nbledger trust")
    from dvc.repo import Repo

    return Repo(str(root), config={"core": {"site_cache_dir": site_cache()}})


def machinery() -> tuple[Any, Any, Any]:
    """What ``dvc repro`` is made of, for ``dvcrepro``: DVC's command line, the module that goes through the stages, and the
    one that runs a stage's command.
    """
    import dvc.cli
    import dvc.repo.reproduce as walking
    import dvc.stage.run as running

    return dvc.cli, walking, running


def config(project: Project) -> dict[str, dict[str, str]]:
    """DVC's merged configuration, {section: {option: value}}, by our own reader where the files are plain."""
    root = require_root(project)
    try:
        return dvcfiles.config(root)
    except dvcfiles.Unusual:
        from dvc.config import Config

        loaded = guarded(lambda: Config(str(root / ".dvc")), "config")
        return {
            section: {str(k): str(v) for k, v in options.items() if not isinstance(v, dict)}
            for section, options in loaded.items()
            if isinstance(options, dict)
        }


def cache_dir(project: Project) -> Path:
    """DVC's local cache folder (``dvc cache dir``), whether or not it exists yet."""
    settings = config(project).get("cache", {})
    if "local" in settings:
        return Path(guarded(lambda: _ask_cache_dir(require_root(project)), "cache dir"))
    return Path(settings.get("dir") or require_root(project) / ".dvc" / "cache")


def _ask_cache_dir(root: Path) -> str:

    with opened(root) as repo:
        return str(repo.cache.local_cache_dir)


def store(project: Project) -> cache.Store:
    """Where objects of DVC 3 are kept."""
    shared = config(project).get("cache", {}).get("shared") == "group"
    return cache.Store(cache_dir(project) / "files" / "md5", shared)


@contextlib.contextmanager
def lock(project: Project, timeout: float = 5.0) -> Iterator[None]:
    """Hold DVC's own repository lock, so that a plain ``dvc`` waits for us and we for it; ``Busy`` after ``timeout``
    seconds names the holder.
    """
    folder = require_root(project) / ".dvc" / "tmp"
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(exist_ok=True)
            if config(project).get("core", {}).get("hardlink_lock", "").lower() in ("true", "1", "yes", "on"):
                holding = _hardlink_lock(folder)
            else:
                holding = files.lock(folder / "lock", timeout, "this DVC repository")
            stack.enter_context(holding)
        except LedgerError:
            raise
        except OSError as err:
            raise LedgerError(f"cannot write to {err.filename or folder}: {err.strerror}", "make it writable") from err
        except Exception as err:  # dvc.lock.LockError
            raise Busy(
                "this DVC repository is in use by another process", "wait for it to finish, then try again"
            ) from err
        yield


def _hardlink_lock(folder: Path) -> contextlib.AbstractContextManager[Any]:
    from dvc.lock import make_lock

    held: contextlib.AbstractContextManager[Any] = make_lock(
        str(folder / "lock"), tmp_dir=str(folder), hardlink_lock=True
    )
    return held


def refuse_if_running(project: Project, paths: Sequence[Path]) -> None:
    """``Busy`` when a stage that ``dvc repro`` runs right now writes one of ``paths`` (it lets go of the lock)."""
    try:
        writing = json.loads((require_root(project) / ".dvc" / "tmp" / "rwlock").read_bytes()).get("write", {})
    except (OSError, ValueError, AttributeError):
        return
    for busy, holder in writing.items():
        near = [path for path in paths if Path(busy) in (path, *path.parents) or path in Path(busy).parents]
        if near and isinstance(holder, dict) and _alive(holder.get("pid")):
            raise Busy(
                f"{project.relative(near[0])} is being written by {holder.get('cmd')} (pid {holder.get('pid')})",
                "wait for it to finish, then try again",
            )


def _alive(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        pass
    return True


def ignore_filter(project: Project, folder: Path) -> cache.Ignore | None:
    """What ``.dvcignore`` files leave out below ``folder``; None where none says more than DVC's defaults.

    DVC itself refuses to track a folder with a ``.dvcignore`` inside, so only those above are looked at.
    """
    root = require_root(project)
    above = [root, *(f for f in (folder, *folder.parents) if root in f.parents)]
    if not any(dvcfiles.custom_ignores(f / ".dvcignore") for f in above):
        return None
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    matcher = DvcIgnoreFilter(localfs, str(root))
    return lambda path, dirs, names: matcher(path, list(dirs), list(names))


def outputs(project: Project) -> tuple[list[Out], list[Problem]]:
    """Every output of every ``.dvc`` and ``dvc.yaml`` of the repository, and the files that could not be read."""
    if project.dvc_root is None:
        return [], []
    found: list[Out] = []
    problems: list[Problem] = []
    for pointer in listed_files(project):
        try:
            found += _outs_of(project, pointer)
        except FileNotFoundError:
            continue
        except Damaged as err:
            problems.append(Problem(pointer, str(err)))
        except OSError as err:
            problems.append(Problem(pointer, err.strerror or str(err)))
    return found, problems


def _outs_of(project: Project, pointer: str) -> list[Out]:
    path = project.root / pointer
    if posixpath.basename(pointer) == "dvc.yaml":
        return _stage_outs(project, path, pointer)
    content = dvcfiles.read_pointer(path)
    outs = (_out(pointer, row, None, content.imported) for row in content.rows)
    return [out for out in outs if out is not None]


def _out(pointer: str, row: dvcfiles.Row, stage: str | None, imported: bool = False) -> Out | None:
    """None for outputs outside the project and on other systems (``s3://…``)."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(pointer), row.path))
    if "://" in row.path or path.startswith(("../", "/")):
        return None
    return Out(
        path,
        row.md5,
        row.size,
        row.nfiles,
        row.md5.endswith(".dir"),
        pointer,
        stage,
        row.cached,
        row.legacy,
        imported,
        row.executable,
    )


def _stage_outs(project: Project, path: Path, pointer: str) -> list[Out]:
    """Outputs of a ``dvc.yaml``: as locked; those never made have an empty md5."""
    stages = dvcfiles.read_stages(path)
    declared = {name: dvcfiles.stage_outs(stage.get("do", stage)) for name, stage in stages.items()}
    found: dict[str, Out | None] = {}
    for name, locked in dvcfiles.read_lock(path.with_suffix(".lock")).items():
        if name.split("@")[0] not in stages:
            continue
        base = stages[name.split("@")[0]].get("wdir") or "."
        flags = declared[name.split("@")[0]]
        for row in dvcfiles.lock_rows(locked):
            written = posixpath.join(base, row.path) if base != "." else row.path
            cached = flags.get(written, True)
            placed = dvcfiles.Row(written, row.md5, row.size, row.nfiles, cached, row.legacy, row.executable)
            found[posixpath.normpath(written)] = _out(pointer, placed, name)
    for name, paths in declared.items():
        for written, cached in paths.items():
            if "${" not in written and posixpath.normpath(written) not in found:
                row = dvcfiles.Row(written, "", 0, 0, cached, False)
                found[posixpath.normpath(written)] = _out(pointer, row, name)
    return [out for out in found.values() if out is not None]


def listed_files(project: Project) -> list[str]:
    """All ``*.dvc`` and ``dvc.yaml`` of this DVC repository that Git does not ignore, relative to the root."""
    root = require_root(project)
    if project.git is not None:
        listed = git.call(
            root,
            "ls-files",
            "-z",
            "-co",
            "--exclude-standard",
            "--",
            "*.dvc",
            "*dvc.yaml",
            env={"GIT_LITERAL_PATHSPECS": "0"},
        ).stdout
        names = set(os.fsdecode(listed).split("\0")) - {""}
    else:
        names = set(_walk_dvc_files(root))
    nested = lru_cache(None)(
        lambda folder: bool(folder) and ((root / folder / ".dvc").is_dir() or nested(posixpath.dirname(folder)))
    )
    prefix = root.relative_to(project.root).as_posix()
    return sorted(
        name if prefix == "." else f"{prefix}/{name}"
        for name in names
        if _is_dvc_file(posixpath.basename(name)) and not nested(posixpath.dirname(name))
    )


def _is_dvc_file(name: str) -> bool:
    return name == "dvc.yaml" or (name.endswith(".dvc") and name != ".dvc")


def _walk_dvc_files(root: Path) -> Iterator[str]:
    for folder, dirs, names in os.walk(root):
        here = set(names)
        dirs[:] = [d for d in dirs if d not in (".git", ".dvc", STATE, ".hg") and f"{d}.dvc" not in here]
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        yield from (name if prefix == "." else f"{prefix}/{name}" for name in names if _is_dvc_file(name))


def lookup(project: Project, relpath: str) -> Out | None:
    """The output that ``relpath`` (relative to the root) is, or lies in: looked for in the DVC files beside it and
    beside the folders above it. For a file in a folder, ``folder_entries`` tells its own hash.
    """
    if project.dvc_root is None:
        return None
    chain = [relpath, *(p for p in map(str, Path(relpath).parents) if p != ".")]
    for path in chain:
        found = _claims(project, f"{path}.dvc", chain)
        if found:
            return found
    for folder in [posixpath.dirname(path) for path in chain]:
        for name in _dvc_names(project.root / folder):
            found = _claims(project, posixpath.join(folder, name), chain)
            if found:
                return found
        if project.root / folder == project.dvc_root:
            break
    return None


def _dvc_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as listing:
            return [item.name for item in listing if _is_dvc_file(item.name)]
    except OSError:
        return []


def _claims(project: Project, pointer: str, chain: Sequence[str]) -> Out | None:
    try:
        return next((out for out in _outs_of(project, pointer) if out.path in chain), None)
    except (Damaged, OSError):
        return None


def folder_entries(project: Project, out: Out) -> dict[str, str]:
    """{path relative to the folder: md5} of a folder's files as tracked; empty where its ``.dir`` object is missing."""
    path = object_path(project, out)
    try:
        return _entries(str(path), files.signature(os.stat(path)))
    except OSError:
        return {}


def object_path(project: Project, out: Out) -> Path:
    """Where the output's object is kept (if it is there)."""
    if out.legacy:
        return cache_dir(project) / out.md5[:2] / out.md5[2:]
    return store(project).path(out.md5)


@lru_cache(8)
def _entries(path: str, signature: files.Signature) -> dict[str, str]:
    return cache.read_manifest(Path(path)) or {}


def data_status(project: Project, outs: Sequence[Out] | None = None) -> DataState:
    """Outputs whose content in the work tree differs from what is tracked, and those that are not there."""
    wanted = [out for out in (outputs(project)[0] if outs is None else outs) if out.cached and out.md5]
    changed, missing = [], []
    with hashes.opened(project) as known:
        for out, now in zip(wanted, current_hashes(project, wanted, known), strict=True):
            if now is None:
                missing.append(out.path)
            elif now != out.md5:
                changed.append(out.path)
    return DataState(changed=tuple(changed), missing=tuple(missing))


def hashes_now(project: Project, outs: Sequence[Out]) -> list[str | None]:
    """As ``current_hashes``, with the project's memory of hashes."""
    with hashes.opened(project) as known:
        return current_hashes(project, outs, known)


def folder_now(project: Project, path: str) -> dict[str, str]:
    """{name: MD5} of the files that are in the folder at ``path`` (relative to the root) now, but for what DVC ignores."""
    place = project.root / path
    with hashes.opened(project) as known:
        return cache.folder_hashes(place, known, ignore_filter(project, place))


def current_hashes(project: Project, outs: Sequence[Out], known: hashes.Hashes) -> list[str | None]:
    """Hash of each output as it is in the work tree; None where there is nothing, ``?`` where it cannot be read."""
    singles: dict[str, tuple[bytes, int]] = {}
    for out in outs:
        if not out.is_dir and not out.legacy:
            with contextlib.suppress(OSError):
                status = os.stat(project.root / out.path)
                singles[str(project.root / out.path)] = (hashes.pack(files.signature(status)), status.st_mode)
    rows = known.files(list(singles))
    found: list[str | None] = []
    for out in outs:
        path = str(project.root / out.path)
        row = rows.get(path)
        if row is not None and row[0] == singles[path][0]:
            found.append(row[1])
        else:
            found.append(_current(project, out, known))
    return found


def _current(project: Project, out: Out, known: hashes.Hashes) -> str | None:
    path = project.root / out.path
    if not path.exists():
        return None
    try:
        ignore = ignore_filter(project, path) if path.is_dir() else None
        if out.legacy:
            return _legacy_hash(path, ignore)
        if path.is_dir():
            return cache.hash_folder(path, known, ignore).md5
        return cache.hash_file(path, known).md5
    except (OSError, LedgerError):
        return "?"


def _legacy_hash(path: Path, ignore: cache.Ignore | None) -> str:
    """DVC 2's hash, which takes line ends of text files as one."""
    import hashlib

    from dvc_data.hashfile.hash import file_md5

    if not path.is_dir():
        return str(file_md5(str(path), name="md5-dos2unix"))
    entries = {
        name: str(file_md5(f"{path}/{name}", name="md5-dos2unix")) for name, _ in cache.scan(path, ignore).entries
    }
    return hashlib.md5(cache.manifest(entries), usedforsecurity=False).hexdigest() + ".dir"


def stale_stages(project: Project) -> list[str]:
    """Stages that ``dvc repro`` would run: ``name``, or ``folder/dvc.yaml:name`` below the DVC root."""
    from nbledger.core import dvcstages

    return dvcstages.stale(project, [p for p in listed_files(project) if posixpath.basename(p) == "dvc.yaml"])


def status_of_stages(project: Project) -> list[str]:
    """Names of stages that ``dvc status`` lists, asked of DVC itself. It asks other hosts, and clones, what imports name."""
    if not trust.trusted(project):
        raise Untrusted("which stages are stale is not asked of DVC until you trust this project", "nbledger trust")

    def ask() -> list[str]:

        root = require_root(project)
        with opened(root) as repo:
            names = [str(name) for name in repo.status() if not name.endswith(".dvc")]
        return [_stage_address(root, name) for name in names]

    found: list[str] = guarded(ask, "status")
    return found


def _stage_address(root: Path, address: str) -> str:
    """DVC names stages by paths relative to where this process happens to be; make it the DVC root."""
    file, colon, name = address.rpartition(":")
    if not colon:
        return address if Path.cwd() == root else f"{os.path.relpath(Path.cwd(), root)}/dvc.yaml:{address}"
    relative = os.path.relpath(Path(file).absolute(), root).replace(os.sep, "/")
    return name if relative == "dvc.yaml" else f"{relative}:{name}"


def push(project: Project, paths: Sequence[str] | None = None) -> int:
    """Send the data of ``paths`` (outputs, relative to the root; None: of all) to the default remote; files sent."""
    return sum(int(done) for done in _transfer(project, paths, "push"))


def pull(project: Project, paths: Sequence[str] | None = None) -> int:
    """Fetch the data of ``paths`` (None: all) and put them into the work tree; number of files fetched.

    Files in the work tree that differ and are in no cache are left alone: DVC refuses then.
    """
    return sum(int(done.get("stats", {}).get("fetched", 0)) for done in _transfer(project, paths, "pull"))


def fetch(project: Project, paths: Sequence[str]) -> None:
    """Bring the objects of these outputs from their remotes into the cache; the work tree is left alone."""
    import logging

    logging.getLogger("dvc").setLevel(logging.ERROR)  # what is missing is told by the caller, by name
    logging.getLogger("dvc_data").setLevel(logging.ERROR)
    _transfer(project, paths, "fetch")


def link_types(project: Project) -> tuple[str, ...]:
    """Ways in which files may come out of the cache, most wanted first, as the project's configuration has them."""
    words = config(project).get("cache", {}).get("type", "reflink,copy").replace(",", " ").split()
    return tuple(word.strip("\"'").lower() for word in words)


def safe_links(project: Project) -> tuple[str, ...]:
    """``reflink`` and what DVC is configured to make, but never a link through which root could write into the cache."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return ("reflink",)
    return tuple(dict.fromkeys(("reflink", *(w for w in link_types(project) if w in ("hardlink", "symlink")))))


def share(project: Project, there: Project) -> None:
    """Give ``there``, another work tree of this repository, the cache of this one, and its present remotes with what
    the person has set for them locally: a ``.dvc/config.local`` that only they can read.
    """
    root, other = require_root(project), require_root(there)
    settings = {name: dict(options) for name, options in _remotes(project).items()}
    settings.setdefault("cache", {})["dir"] = str(cache_dir(project))
    settings.setdefault("core", {})["analytics"] = "false"
    settings["core"].setdefault("site_cache_dir", str(other / ".dvc" / "tmp" / "site"))
    text = dvcfiles.render_config(dvcfiles.absolute(settings, root / ".dvc"))
    path = other / ".dvc" / "config.local"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _remotes(project: Project) -> dict[str, dict[str, str]]:
    """What this repository's own two files say of remotes and of everything local."""
    root = require_root(project)
    try:
        shared, local = (dvcfiles.plain_config(root / ".dvc" / name) for name in ("config", "config.local"))
    except dvcfiles.Unusual:
        shared, local = guarded(lambda: _read_levels(root), "config")
    chosen = {name: options for name, options in shared.items() if name.startswith("remote ")}
    if "remote" in shared.get("core", {}):
        chosen["core"] = {"remote": shared["core"]["remote"]}
    for name, options in local.items():
        chosen[name] = {**chosen.get(name, {}), **options}
    return chosen


def _read_levels(root: Path) -> list[dict[str, dict[str, str]]]:
    from dvc.config import Config

    loaded = Config(str(root / ".dvc"))
    return [_flat(loaded.read(level)) for level in ("repo", "local")]


def loaded_config(root: Path) -> dict[str, dict[str, str]]:
    """DVC's merged configuration as DVC itself reads it, paths made absolute: {section: {option: value}}."""
    from dvc.config import Config

    return _flat(guarded(lambda: Config(str(root / ".dvc")), "config"))


def _flat(sections: dict[str, Any]) -> dict[str, dict[str, str]]:
    """DVC's nested tables as the sections of its file: ``remote "name"``."""
    found: dict[str, dict[str, str]] = {}
    for section, options in sections.items():
        for key, value in options.items() if isinstance(options, dict) else ():
            if isinstance(value, dict):
                found[f'{section} "{key}"'] = {str(k): str(v) for k, v in value.items()}
            else:
                found.setdefault(section, {})[str(key)] = str(value)
    return found


def verify(path: Path, out: Out) -> str:
    """The hash of an object (or of a file) in the kind of hash that ``out`` has."""
    if out.legacy:
        from dvc_data.hashfile.hash import file_md5

        return str(file_md5(str(path), name="md5-dos2unix"))
    return files.md5_of(path)


def _transfer(project: Project, paths: Sequence[str] | None, verb: str) -> list[Any]:
    """What DVC says of it, once for pointers and once for outputs: together, it took a backslash in a pointer's name for a
    slash.
    """
    root = require_root(project)
    targets = [_target(project, path) for path in paths or ()]
    pointers = [target for target in targets if target.endswith(".dvc")]
    others = [target for target in targets if not target.endswith(".dvc")]
    groups = [None] if paths is None else [group for group in (pointers, others) if group]
    if not groups:
        return []

    def transfer() -> list[Any]:
        with opened(root) as repo:
            # a push or pull that was killed leaves a list of a part of the files there, which DVC would take for the whole
            repo.drop_data_index()
            return [getattr(repo, verb)(targets=group) for group in groups]

    return guarded(transfer, verb, project.root)


def _target(project: Project, path: str) -> str:
    """What DVC takes for the output: its pointer, which is read without the others; but where ``:`` or ``@`` would
    make that ``file:stage``, the output itself, which DVC looks for last.
    """
    pointer = project.root / f"{path}.dvc"
    plain = pointer.is_file() and not {":", "@"} & set(str(pointer))
    return str(pointer if plain else project.root / path)


def guarded(function: Callable[[], T], verb: str, root: Path | None = None) -> T:
    """Call into DVC; its errors as ours, one line each, with paths from ``root``. What it and the clouds' libraries log is
    not printed.
    """
    with contextlib.suppress(ImportError):
        import dvc.logger  # noqa: F401  # whose handlers are to be there, to be silenced
    with remoteerrors.listening() as heard:
        try:
            return function()
        except (LedgerError, KeyboardInterrupt):
            raise
        except ImportError as err:
            raise remoteerrors.missing_plugin(err) or LedgerError(
                f"DVC cannot be imported: {err}", "pip install dvc (with the extra your remote needs)"
            ) from err
        except Exception as err:
            raise _failure(err, verb, heard, root) from err


def _failure(err: Exception, verb: str, heard: remoteerrors.Heard, root: Path | None) -> LedgerError:
    causes = remoteerrors.chain(err)
    names = remoteerrors.names(causes)
    said = git.scrub_url(" ".join(str(err).split()) or type(err).__name__)
    if "LockError" in names:
        return Busy("this DVC repository is in use by another process", "wait for it to finish, then try again")
    if names & {"NoRemoteError"}:
        return Refused("this project has no default DVC remote", "nbledger init --remote URL")
    if "RemoteMissingDepsError" in names and (lacking := remoteerrors.missing_parts(causes)) is not None:
        return lacking
    if "ConfirmRemoveError" in names or "Can't remove the following unsaved files" in said:
        paths = said.partition("to force.")[2].strip()
        return Refused(f"in the way of what DVC brings, and in no cache: {paths or said}", "move it, then pull again")
    if "CheckoutError" in names:
        # DVC names them from where this process happens to be
        paths = ", ".join(os.path.relpath(path, root or ".") for path in getattr(err, "target_infos", [])[:5])
        if heard.errors and (why := remoteerrors.explain(heard.errors)) is not None:
            return why
        if verb == "pull" and paths:
            hint = "whoever tracked it has to nbledger push; nbledger doctor asks whether the remote lets you read"
            return ToolFailed(f"neither the cache nor the remote has the data of {paths}", hint)
        return ToolFailed(f"dvc {verb}: {said}", "run dvc fetch, or dvc pull --force to overwrite local changes")
    if (why := remoteerrors.explain([err, *heard.errors], writing=verb == "push")) is not None:
        return why
    if heard.errors and heard.errors[0] not in causes:
        said += f": {git.scrub_url(' '.join(str(heard.errors[0]).split()))}"
    return ToolFailed(f"dvc {verb} failed: {said}", "nbledger doctor tells more about the setup")
