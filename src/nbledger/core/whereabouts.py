"""Where the data are that commits name: in the remote, in the cache here, or nowhere."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbledger.core import cache, dvc, dvcfiles, dvcremote, git, gitlog, kept
from nbledger.core.errors import Refused
from nbledger.core.needs import Need, of_files, of_trees
from nbledger.core.project import Project

NO_REMOTE = "there is no data remote"
_EVERY = 1000
"""Files of a folder after which its list is not remembered as a whole any more."""


@dataclass(frozen=True)
class Found:
    """What became of a need that its remote has not, or not whole. ``here``: hashes that can be sent from this clone;
    ``lost``: names of the files that are nowhere (that of the output itself where it is a file, or its list is lost), of
    ``files`` in all. ``why`` there is no remote to look in.
    """

    need: Need
    here: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    files: int = 1
    why: str = ""


@dataclass
class _Remote:
    """One remote, and what is asked of it."""

    needs: list[Need] = field(default_factory=list)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    """{hash of an output: {hash: name} of itself and of its files}"""


def look(project: Project, needs: Sequence[Need], *, inside: Callable[[Need], bool] = lambda need: True) -> list[Found]:
    """Ask the remotes, and look into the cache. Of folders the files are asked for by name where ``inside`` says so: a list
    that is there does not prove that its files are. Imports are left out, DVC brings them from where they come.

    Raises where a remote does not answer.
    """
    at_hand, found = Here(project), list[Found]()
    remotes: dict[str, _Remote] = {}
    default = dvcremote.default_remote(project)
    for need in needs:
        if need.source:
            continue
        name = need.remote or (default[0] if default else "")
        if need.aside:
            found.append(Found(need, why="it is kept here on purpose (push: false)"))
        elif not name:
            lost = () if at_hand.has(need.md5, legacy=need.legacy) else (need.path,)
            found.append(Found(need, lost=lost, why=NO_REMOTE))
        elif dvcremote.versioned(project, name):
            if name not in need.clouds:
                found.append(Found(need, why=f"no commit says which version of it {name} has"))
        else:
            remotes.setdefault(name, _Remote()).needs.append(need)
    for name, remote in remotes.items():
        found += _asked(project, name, remote, at_hand, inside)
    return sorted(found, key=lambda one: one.need.path)


def _asked(
    project: Project, name: str, remote: _Remote, at_hand: Here, inside: Callable[[Need], bool]
) -> Iterator[Found]:
    for need in remote.needs:
        files = at_hand.files(need) if inside(need) else {}
        remote.names[need.md5] = {**remote.names.get(need.md5, {}), **files, need.md5: need.path}
    there = _present(project, name, remote.needs, remote)
    # of what is not there at all, the files may be
    missing = [need for need in remote.needs if need.md5 not in there and not inside(need)]
    for need in missing:
        remote.names[need.md5] |= at_hand.files(need)
    missing += _listed_there(project, remote, there, at_hand, inside)
    there |= _present(project, name, missing, remote) if missing else set()
    for need in remote.needs:
        names = remote.names[need.md5]
        absent = [md5 for md5 in names if md5 not in there]
        if absent:
            held = {md5: at_hand.has(md5, legacy=need.legacy) for md5 in absent}
            here = tuple(md5 for md5 in absent if held[md5])
            lost = tuple(sorted(_name(need, md5, names[md5]) for md5 in absent if not held[md5]))
            if need.path in lost:
                here, lost = (), (need.path,)
            elif lost:  # the list would stand for files that nobody has
                here = tuple(md5 for md5 in here if md5 != need.md5)
            yield Found(need, here, lost, max(len(names) - 1, 1))


def _listed_there(
    project: Project, remote: _Remote, there: set[str], at_hand: Here, inside: Callable[[Need], bool]
) -> list[Need]:
    """Folders whose list the default remote has and this clone has not: it is read there, and their files asked for too."""
    wanted = [
        need
        for need in remote.needs
        if inside(need) and need.md5.endswith(".dir") and need.md5 in there and not (need.remote or need.legacy)
    ]
    wanted = [need for need in wanted if not at_hand.has(need.md5, legacy=False)]
    lists = dvcremote.read_lists(project, sorted({need.md5 for need in wanted})) if wanted else {}
    for md5, text in lists.items():
        remote.names[md5] |= {one: name for name, one in (cache.manifest_of(text) or {}).items() if kept.is_name(one)}
    return wanted


def _present(project: Project, name: str, needs: Sequence[Need], remote: _Remote) -> set[str]:
    old, new = (
        {md5 for need in needs if need.legacy is legacy for md5 in remote.names[need.md5]} for legacy in (True, False)
    )
    return present(project, new, old, name)


def _name(need: Need, md5: str, name: str) -> str:
    return need.path if md5 == need.md5 else f"{need.path}/{name}"


class Here:
    """What this clone's cache holds, data kept for recorded runs included."""

    def __init__(self, project: Project) -> None:
        where = kept.place(project)
        store, legacy = dvc.store(project).root, dvc.cache_dir(project)
        self._roots: dict[bool, list[Path]] = {False: [store], True: [legacy]}
        for part in kept.PARTS if where is not None else ():
            assert where is not None
            self._roots[part.startswith("legacy")].append(where.root / part)
        self._known: dict[tuple[str, bool], bool] = {}
        self._lists: dict[str, dict[str, str]] = {}

    def has(self, md5: str, *, legacy: bool) -> bool:
        key = md5, legacy
        if key not in self._known:
            self._known[key] = any((root / md5[:2] / md5[2:]).is_file() for root in self._roots[legacy])
        return self._known[key]

    def files(self, need: Need) -> dict[str, str]:
        """{hash: name} of the files of a folder, as far as its list is here."""
        if not need.md5.endswith(".dir"):
            return {}
        if need.md5 in self._lists:
            return self._lists[need.md5]
        for root in self._roots[need.legacy]:
            entries = cache.read_manifest(root / need.md5[:2] / need.md5[2:])
            if entries is not None:
                # a list is somebody's file: what it names that is no hash could lead out of the cache
                found = {md5: name for name, md5 in entries.items() if kept.is_name(md5)}
                if len(found) <= _EVERY:
                    self._lists[need.md5] = found
                return found
        return {}


def present(project: Project, md5s: Iterable[str], legacy: Iterable[str] = (), remote: str = "") -> set[str]:
    """Those of these objects that a remote (the default one without a name) has. Each is looked for itself, whatever DVC
    remembers of the remote, and a folder's files are not taken to be there because their list is. In a folder on this machine
    their names are looked for: DVC would read every byte, and remove what is damaged.
    """
    wanted = {"md5": sorted(set(md5s)), "md5-dos2unix": sorted(set(legacy))}
    root, place = dvc.require_root(project), dvcremote.named(project, remote)[1] if any(wanted.values()) else ""
    if os.path.isabs(place):
        folders = {"md5": f"{place}/files/md5", "md5-dos2unix": place}
        return {
            name
            for kind, names in wanted.items()
            for name in names
            if os.path.isfile(f"{folders[kind]}/{name[:2]}/{name[2:]}")
        }

    def ask() -> set[str]:
        found: set[str] = set()
        with dvc.opened(root) as repo:
            for kind, names in wanted.items():
                if names:
                    odb = repo.cloud.get_remote_odb(remote or None, "status", hash_name=kind)
                    found |= set(odb.oids_exist(names))
        return found

    return dvc.guarded(ask, "status") if any(wanted.values()) else set()


def refuse_unmounted(project: Project, named: Mapping[str, str]) -> None:
    """``Refused`` where the default remote is a folder that is not there, although commits that others have ({id: what to
    call it}) name data in it. DVC would begin another store in its place, as where a share is not mounted.
    """
    if dvcremote.default_remote(project) is None:
        return
    name, place, _ = dvcremote.named(project, "")
    if not os.path.isabs(place) or os.path.exists(place):
        return
    for need in of_trees(project, _of_place(project, name, place, named)):
        if not (need.aside or need.source) and need.remote.lower() in ("", name.lower()):
            raise Refused(
                f"{place}, the folder of the data remote {name}, is not there, and {need.where} names data in it",
                f"mount it, and push again; mkdir -p {shlex.quote(place)} if it is to begin anew",
            )


def _of_place(project: Project, name: str, place: str, named: Mapping[str, str]) -> dict[str, str]:
    """Those of the commits whose ``.dvc/config`` has the remote there; all, where a file of this machine says where it is."""
    path = dvc.require_root(project) / ".dvc" / "config"
    url = ""
    with contextlib.suppress(dvcfiles.Unusual):
        url = dvcfiles.plain_config(path).get(f'remote "{name.lower()}"', {}).get("url", "")
    if os.path.abspath(path.parent / os.path.expanduser(url)) != place:
        return dict(named)
    configured = [(commit, path.relative_to(project.root).as_posix()) for commit in named]
    texts = gitlog.blobs(git.required(project.git), configured)
    return {
        commit: named[commit]
        for (commit, _), text in zip(configured, texts, strict=True)
        if url.encode() in (text or b"")
    }


def push_tracked(project: Project, pointers: Mapping[str, str]) -> None:
    """Send what these outputs ({path: its ``.dvc`` file}) are now; also what a push that was killed left out of a folder
    whose list is there, which DVC takes for the whole.
    """
    wanted = [need for need in of_files(project, sorted(set(pointers.values()))) if need.path in pointers]
    default = dvcremote.default_remote(project)
    for name in sorted({need.remote for need in wanted if not (need.aside or need.source)}):
        ours = [need for need in wanted if need.remote == name and not (need.aside or need.source)]
        if (not name and default is None) or dvcremote.versioned(project, name):
            dvc.push(project, [need.path for need in ours])
            continue
        plain, old = (sorted({need.md5 for need in ours if need.legacy is legacy}) for legacy in (False, True))
        dvcremote.push_objects(project, plain, old, name or None)


def missing(project: Project, needs: Sequence[Need]) -> list[Need]:
    """Those of which this clone has not all bytes; what is kept for runs counts as here. Imports and what nobody pushes are
    left out.
    """
    at_hand, found = Here(project), dict[tuple[str, str, str], Need]()
    for need in needs:
        if not (need.aside or need.source) and not _whole(need, at_hand):
            found.setdefault(need.version, need)
    return list(found.values())


def _whole(need: Need, at_hand: Here) -> bool:
    names = [need.md5, *at_hand.files(need)]
    return all(at_hand.has(md5, legacy=need.legacy) for md5 in names)


def fetch(project: Project, needs: Sequence[Need]) -> tuple[int, list[Need]]:
    """Bring these versions into the cache, from their remotes: how many objects came, and the needs of which not all did."""
    kept.bring_back(project, sorted({need.md5 for need in needs}))
    count, wanted = 0, missing(project, needs)
    for name in sorted({need.remote for need in wanted}):
        ours = [need for need in wanted if need.remote == name and (name or dvcremote.default_remote(project))]
        if ours and not dvcremote.versioned(project, name):
            plain, old = ({need.md5 for need in ours if need.legacy is legacy} for legacy in (False, True))
            count += dvcremote.fetch_objects(project, sorted(plain), sorted(old), name or None)
    return count, missing(project, wanted)


def send(project: Project, found: Sequence[Found]) -> int:
    """Send what can be sent of what the remotes lack, data kept for runs too; how many objects were not there. Raises where
    one could not be sent; everything before it is there then, and a repetition goes on.
    """
    count = 0
    for name in sorted({one.need.remote for one in found}):
        ours = [one for one in found if one.need.remote == name and one.here and not one.why]
        if ours:
            kept.bring_back(project, sorted({one.need.md5 for one in ours}))
        plain, old = (
            {md5 for one in ours if one.need.legacy is legacy for md5 in (one.here if one.lost else (one.need.md5,))}
            for legacy in (False, True)
        )
        count += dvcremote.push_objects(project, sorted(plain), sorted(old), name or None) if plain or old else 0
    return count
