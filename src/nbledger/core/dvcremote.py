"""The room of DVC's door that leads to remotes: which one is the default, what it lacks, and sending objects by hash."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nbledger.core import cache, dvc, dvcfiles, git, kept, remoteerrors, remoteurl
from nbledger.core import files as on_disk
from nbledger.core.credentialplaces import Option
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project

T = TypeVar("T")


def default_remote(project: Project) -> tuple[str, str] | None:
    """Name and URL (without credentials; a local one as an absolute path) of the default remote; None without one."""
    if project.dvc_root is None:
        return None
    sections = _sections(project.dvc_root)
    name = sections.get("core", {}).get("remote", "").lower()
    url = sections.get(f'remote "{name}"', {}).get("url", "")
    return (name, git.scrub_url(url)) if name and url else None


def named(project: Project, name: str) -> tuple[str, str, dict[str, Option]]:
    """A remote as it is configured (no name: the default one): its name, its URL (without credentials) and its options, each
    with the file that says so. ``UsageError`` where there is no such remote.
    """
    root = dvc.require_root(project)
    name = name or _sections(root).get("core", {}).get("remote", "")
    section = f'remote "{name.lower()}"'
    found: dict[str, Option] = {}
    for path, shown in dvcfiles.levels(root):
        try:
            options = dvcfiles.absolute(dvcfiles.plain_config(path), path.parent).get(section, {})
        except dvcfiles.Unusual:
            merged = dvc.loaded_config(root).get(section, {})
            options = {key: merged[key] for key in merged if key not in found and _mentions(path, key)}
        found |= {key: Option(value, shown) for key, value in options.items()}
    if "url" not in found:
        names = [name[8:-1] for name in _sections(root) if name.startswith('remote "')]
        raise UsageError(f"there is no data remote {name!r}", f"there are: {', '.join(sorted(names)) or 'none'}")
    url = found.pop("url").value
    if url.startswith("remote://"):  # a place within another remote, whose options it has
        base, _, rest = url.removeprefix("remote://").partition("/")
        if base.lower() == name.lower():
            raise UsageError(f"the data remote {name} stands in itself", "nbledger init --remote URL")
        _, above, inherited = named(project, base)
        return name, f"{above.rstrip('/')}/{rest}", {**inherited, **found}
    return name, git.scrub_url(url), found


def _mentions(path: Path, key: str) -> bool:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return key in path.read_text(encoding="utf-8")
    return False


def add(project: Project, url: str, options: Mapping[str, str] | None = None) -> list[str]:
    """Make ``url`` (as ``remoteurl.checked`` gives it) the default remote ``storage``, with these options of it; the files
    that were written. Options of a place that was alike stay. What differs from person to person goes into
    ``.dvc/config.local``; what stands there for another place is kept under another name, with that place's address.
    """
    shared, own = remoteurl.split(dict(options or {}))
    if shared or own:
        check_options(url, {**shared, **own})
    from dvc.config import Config, ConfigError
    from dvc.config_schema import RelPath

    folder = dvc.require_root(project) / ".dvc"
    place = RelPath(project.root / url) if remoteurl.relative(url) else url
    before = {name: _bytes(folder / name) for name in ("config", "config.local")}
    try:
        unchecked = Config(str(folder), validate=False)
        was = str(unchecked.read("repo").get("remote", {}).get("storage", {}).get("url", "")) or url
        elsewhere = not remoteurl.alike(was, url) and _personal(unchecked.read("local"))
        if elsewhere or _foreign(unchecked.read("local"), url):
            with unchecked.edit("local", validate=False) as settings:
                _put_aside(settings, unchecked.read("repo"))
        with Config(str(folder), validate=False).edit("repo") as settings:
            entry = settings["remote"].setdefault("storage", {})
            if not remoteurl.alike(was, url):
                entry.clear()  # options of another place
            entry |= {"url": place, **shared}
            settings["core"]["remote"] = "storage"
        if own:
            with Config(str(folder), validate=True).edit("local") as settings:
                settings["remote"].setdefault("storage", {}).update(own)
        Config(str(folder), validate=True)
    except BaseException as err:
        for name, bytes_before in before.items():
            if bytes_before is not None and _bytes(folder / name) != bytes_before:
                on_disk.write_atomic(folder / name, bytes_before)
        if not isinstance(err, ConfigError):
            raise
        hint = "give one such as s3://bucket/path; nbledger doctor looks at the options"
        raise UsageError(f"DVC refused the remote: {git.scrub_url(str(err))}", hint) from err
    return [name for name, bytes_before in before.items() if _bytes(folder / name) != bytes_before]


def shared_options(project: Project) -> dict[str, str]:
    """The options of ``storage``, its ``url`` among them, that ``.dvc/config`` has for everybody."""
    if project.dvc_root is None:
        return {}
    with contextlib.suppress(dvcfiles.Unusual):
        return dict(dvcfiles.plain_config(project.dvc_root / ".dvc" / "config").get('remote "storage"', {}))
    return {}


def carried(before: Mapping[str, str], after: Mapping[str, str], given: Iterable[str]) -> list[str]:
    """Which options of the place before are those of the new one, and which are not, in words."""
    if before.get("url", after.get("url")) == after.get("url"):
        return []
    old = set(before) - {"url"} - set(given)
    said = []
    if stay := sorted(old & set(after)):
        said.append(f"as before: {', '.join(stay)} (--remote-option {stay[0]}=… sets another)")
    if gone := sorted(old - set(after)):
        said.append(f"! not kept, as for another place: {', '.join(gone)} — --remote-option {gone[0]}=… gives it again")
    return said


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _foreign(local: Any, url: str) -> list[str]:
    """A person's options of ``storage`` that DVC does not take with ``url``."""
    known = option_names(remoteurl.kind_of(url))
    return sorted(set(local.get("remote", {}).get("storage", {})) - known - {"url"}) if known else []


def _personal(local: Any) -> bool:
    return bool(set(local.get("remote", {}).get("storage", {})) - {"url"})


def _put_aside(local: Any, repo: Any) -> None:
    """Give them, with the address that they are for, a name of their own."""
    old = {**repo.get("remote", {}).get("storage", {}), **local["remote"].pop("storage")}
    if strange := sorted(set(old) - option_names(remoteurl.kind_of(str(old.get("url", "")))) - {"url"}):
        raise UsageError(
            f"{', '.join(strange)} of .dvc/config.local is for another kind of place than its data remote",
            "take the line out of .dvc/config.local",
        )
    local["remote"][next(f"storage-{at}" for at in range(1, 1000) if f"storage-{at}" not in local["remote"])] = old


def option_names(kind: remoteurl.Kind) -> set[str]:
    """The options that DVC knows for such a place; empty where it knows no such place."""
    from dvc.config_schema import REMOTE_SCHEMAS

    return {str(key) for key in REMOTE_SCHEMAS.get(kind.scheme, {})} - {"url"}


def check_options(url: str, options: Mapping[str, str]) -> None:
    """``UsageError`` for an option that DVC does not know for such a place."""
    kind = remoteurl.kind_of(url)
    known = option_names(kind)
    if known and (wrong := remoteurl.unknown(options, known, kind)) is not None:
        raise wrong


def _sections(root: Path) -> dict[str, dict[str, str]]:
    """DVC's merged configuration with the paths of the repository's own two files made absolute."""
    try:
        merged = {section: dict(options) for section, options in dvcfiles.config(root).items()}
        for name in ("config", "config.local"):
            own = dvcfiles.plain_config(root / ".dvc" / name)
            for section, options in dvcfiles.absolute(own, root / ".dvc").items():
                merged.setdefault(section, {}).update(options)
        return merged
    except dvcfiles.Unusual:
        return dvc.loaded_config(root)


def versioned(project: Project, name: str = "") -> bool:
    """Whether the remote (the default one without a name) is one of DVC's "cloud versioned" ones, which hold files by
    name, not by hash.
    """
    remote = (name.lower(), "") if name else default_remote(project)
    options = _sections(dvc.require_root(project)).get(f'remote "{remote[0]}"', {}) if remote else {}
    return any(options.get(key, "").lower() in ("true", "1", "yes", "on") for key in ("version_aware", "worktree"))


def not_in_remote(project: Project) -> list[str]:
    """Outputs (relative to the project's root) whose present version the remote lacks: what ``dvc data status
    --not-in-remote`` lists. Empty without a remote; a remote that does not answer raises.
    """
    root = dvc.require_root(project)
    if default_remote(project) is None:
        return []

    def ask() -> list[str]:
        from dvc.repo import data as dvc_data_status

        with dvc.opened(root) as repo:
            # only this part of it: the whole status hashes the work tree as well
            part = getattr(dvc_data_status, "_get_entries_not_in_remote", None)
            if part is None:
                whole = repo.data_status(not_in_remote=True, remote_refresh=True)
                return [str(path) for path in whole.get("not_in_remote", [])]
            return [str(path) for path in part(repo, remote_refresh=True)]

    prefix = root.relative_to(project.root).as_posix()
    found = [path.replace(os.sep, "/").rstrip("/") for path in dvc.guarded(ask, "data status")]
    return sorted(path if prefix == "." else f"{prefix}/{path}" for path in found)


def push_objects(project: Project, md5s: Iterable[str], legacy: Iterable[str] = (), remote: str | None = None) -> int:
    """Send these objects of the cache (folders with all they hold) to a remote (None: the default one); how many were not
    there.

    What the cache lacks and the remote has is no failure; what neither has is named.
    """
    root, named = dvc.require_root(project), list(md5s)

    def send() -> tuple[int, list[str]]:
        from dvc_data.hashfile.db import get_index
        from dvc_data.hashfile.hash_info import HashInfo

        wanted = [HashInfo("md5", md5) for md5 in named] + [HashInfo("md5-dos2unix", md5) for md5 in legacy]
        with dvc.opened(root) as repo, remoteerrors.listening() as heard:
            # What DVC remembers of the remote counts a folder's files as there once its list is: after a push that was
            # killed, some are not. The remote itself is asked.
            get_index(repo.cloud.get_remote_odb(remote, "push")).clear()
            # Files by name and before their lists: asked for a list alone, DVC sent to S3 the list without its files.
            files: Any = repo.cloud.push([HashInfo("md5", md5) for md5 in _inside(project, named)], remote=remote)
            lists: Any = repo.cloud.push(wanted, remote=remote)
        failed = files.failed | lists.failed
        if failed and heard.errors:  # they are here, and the remote did not take them
            raise heard.errors[0]
        return len(files.transferred | lists.transferred), sorted(str(info.value) for info in failed)

    sent, failed = dvc.guarded(send, "push")
    if failed:
        raise Refused(
            f"{len(failed)} data objects are neither in the cache nor in the remote: {', '.join(failed[:3])}",
            "track them again where the bytes are, or dvc pull from where they were pushed",
        )
    return int(sent)


def _inside(project: Project, md5s: Iterable[str]) -> list[str]:
    """Hashes of the files that those of these objects hold which are folders, as far as the cache has their lists."""
    root = dvc.store(project).root
    lists = [cache.read_manifest(root / md5[:2] / md5[2:]) or {} for md5 in md5s if md5.endswith(".dir")]
    # a list is somebody's file: what it names that is no hash could lead out of the cache
    return sorted({md5 for entries in lists for md5 in entries.values() if kept.is_name(md5)})


def fetch_objects(project: Project, md5s: Iterable[str], legacy: Iterable[str] = (), remote: str | None = None) -> int:
    """Bring these objects (folders with all they hold) from a remote (None: the default one) into the cache; how many came.
    What the remote lacks is left out: look whether it is there.
    """
    root, named = dvc.require_root(project), list(md5s)

    def bring() -> int:
        from dvc_data.hashfile.hash_info import HashInfo

        wanted = [HashInfo("md5", md5) for md5 in named] + [HashInfo("md5-dos2unix", md5) for md5 in legacy]
        # What is missing there DVC logs; it is told by the caller, by name.
        with dvc.opened(root) as repo, remoteerrors.listening() as heard:
            lists: Any = repo.cloud.pull(wanted, remote=remote)
            # Asked for a list of files alone, DVC may bring the list without them (see push_objects).
            files: Any = repo.cloud.pull([HashInfo("md5", md5) for md5 in _inside(project, named)], remote=remote)
            if (lists.failed or files.failed) and heard.errors:
                raise heard.errors[0]
            return len(lists.transferred | files.transferred)

    return dvc.guarded(bring, "fetch")


def unneeded(project: Project, needed: set[str]) -> dict[str, int]:
    """{name in the default remote: bytes} of its objects whose hashes are not among ``needed``."""

    def look(odbs: list[Any]) -> dict[str, int]:
        found: dict[str, int] = {}
        for odb in odbs:
            names = [odb.oid_to_path(oid) for oid in odb.all() if oid not in needed]
            sizes = odb.fs.sizes(names) if names else []
            found |= {name: int(size or 0) for name, size in zip(names, sizes, strict=True)}
        return found

    return _with_remote(project, look)


def read_lists(project: Project, md5s: Sequence[str]) -> dict[str, bytes]:
    """{hash: text} of those lists of a folder's files that the default remote has."""

    def read(odbs: list[Any]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for odb in odbs:
            for md5 in md5s:
                with contextlib.suppress(FileNotFoundError), odb.fs.open(odb.oid_to_path(md5), "rb") as file:
                    found[md5] = file.read()
        return found

    return _with_remote(project, read) if md5s else {}


def remove(project: Project, names: Sequence[str]) -> None:
    """Remove these objects (names as ``unneeded`` gave them) from the default remote."""

    def unlink(odbs: list[Any]) -> None:
        from dvc_data.hashfile.db import get_index

        odbs[0].fs.remove(list(names))
        for odb in odbs:
            get_index(odb).clear()  # what DVC remembers of the remote is not so any more

    _with_remote(project, unlink)


def _with_remote(project: Project, work: Callable[[list[Any]], T]) -> T:
    """Do it with the default remote's stores of objects, DVC 3's and DVC 2's."""
    root = dvc.require_root(project)

    def inside() -> T:

        with dvc.opened(root) as repo:
            return work([repo.cloud.get_remote_odb(None, "gc", hash_name=kind) for kind in ("md5", "md5-dos2unix")])

    return dvc.guarded(inside, "gc")


def import_fs(kind: remoteurl.Kind) -> None:
    """Import what ``opened_fs`` needs for such a place: for those who count the seconds that the place takes. What cannot be
    imported is told by ``opened_fs``.
    """
    for module in ("dvc.repo", "dvc.fs", *kind.modules):
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def opened_fs(project: Project, name: str, overrides: Mapping[str, Any]) -> tuple[Any, str]:
    """DVC's file system of a remote and the path of the remote in it; ``overrides`` are options that count where the
    configuration has none. It asks nobody for a password.
    """
    root = dvc.require_root(project)

    def make() -> tuple[Any, str]:
        from dvc.fs import get_cloud_fs

        with dvc.opened(root) as repo:
            cls, config, path = get_cloud_fs(repo.config, name=name)
        if cls.protocol == "ssh":
            from asyncssh import SSHClient

            config["client_factory"] = SSHClient  # DVC's own would prompt
        return cls(**{**overrides, **config}), path

    fs, path = dvc.guarded(make, "remote list")
    return fs, str(path)
