"""What ``track`` is asked to track: words become targets, and everything that forbids tracking is found out before
anything is written.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbledger.core import cache, dvc, dvcfiles, git, versions
from nbledger.core.dvcfiles import Damaged, Out, Problem, Row
from nbledger.core.errors import Refused, UsageError, nearest
from nbledger.core.project import STATE, Project

_LONGEST = 255  # bytes of a file's name
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTERNAL = {".git", ".dvc", ".hg", STATE}
_OWN_FILES = {"dvc.yaml", "dvc.lock", ".gitignore", ".dvcignore", ".gitattributes", ".gitmodules"}


@dataclass(frozen=True)
class Target:
    """One file or folder to track. ``rel`` and ``pointer`` are relative to the project's root; ``text`` is the
    pointer's text (None: new), in which it is output number ``index`` called ``name``; ``ignored`` says that Git
    ignores the data already.
    """

    path: Path
    rel: str
    pointer: str
    name: str
    text: str | None = None
    index: int = 0
    scan: cache.Scan | None = None
    ignore: cache.Ignore | None = None
    ignored: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.scan.size if self.scan is not None else os.stat(self.path).st_size


def plan(project: Project, words: Sequence[str], cwd: Path, follow: bool) -> list[Target]:
    """The targets that ``words`` (paths or globs, relative to ``cwd``) name, each once; raises for what cannot be
    tracked.
    """
    outs, problems = dvc.outputs(project)
    found: dict[str, Target] = {}
    for path in _expand(project, words, cwd, outs):
        target = _resolve(project, path, follow, outs, problems)
        if (same := found.get(target.rel)) is not None:
            target = replace(same, notes=tuple(dict.fromkeys(same.notes + target.notes)))
        found[target.rel] = target
    targets = [_owned(project, target, outs, problems) for target in _without_nested(found)]
    targets = [_examine(project, target, follow, outs) for target in targets]
    if project.git is not None:
        ignored = git.ignored(project.git, [path for target in targets for path in (target.pointer, target.rel)])
        targets = [replace(target, ignored=target.rel in ignored) for target in targets]
        hidden = ignored & {target.pointer for target in targets}
        if hidden:
            raise Refused(
                f"Git ignores {min(hidden)}, which has to be committed",
                "add a line !*.dvc to .gitignore, after the pattern that hides it",
            )
    return targets


def _expand(project: Project, words: Sequence[str], cwd: Path, outs: Sequence[Out]) -> list[Path]:
    if not words:
        raise UsageError("no path to track", "name a file or a folder")
    paths: list[Path] = []
    for word in words:
        if not word.strip() or "\0" in word:
            raise UsageError(f"{word!r} is not a path", "name a file or a folder")
        path = Path(os.path.normpath(cwd / word))
        if os.path.lexists(path):
            paths.append(path)
            continue
        matches = glob.glob(word, root_dir=cwd, recursive=True) if _listable(project, cwd, word) else []
        kept = [m for m in sorted(matches) if not m.endswith(".dvc") and os.path.basename(m) not in _OWN_FILES]
        if not kept:
            raise _nothing_there(project, word, path, outs)
        paths += [Path(os.path.normpath(cwd / match)) for match in kept]
    return paths


def _listable(project: Project, cwd: Path, word: str) -> bool:
    """Whether ``word`` is a pattern whose folder lies inside the project, wherever links lead: no other is listed."""
    magic = next((at for at, part in enumerate(Path(word).parts) if glob.has_magic(part)), None)
    return magic is not None and _inside(project, cwd.joinpath(*Path(word).parts[:magic]))


def _inside(project: Project, folder: Path) -> bool:
    real, root = os.path.realpath(folder), os.path.realpath(project.root)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _nothing_there(project: Project, word: str, path: Path, outs: Sequence[Out]) -> UsageError:
    rel = project.relative(path)
    if (out := next((out for out in outs if out.path == rel), None)) is not None:
        return UsageError(f"{word} is tracked, but not in the work tree", _way_back(project, word, out))
    folder, name = path.parent, path.name
    while not folder.is_dir():
        folder, name = folder.parent, folder.name
    names = os.listdir(folder) if _inside(project, folder) and not glob.has_magic(word) else []
    hint = nearest(name, (n for n in names if not n.endswith(".dvc")))
    return UsageError(
        f"nothing matches {word}" if glob.has_magic(word) else f"{word} is not there",
        hint or "check the spelling; paths are relative to where you are",
    )


def _way_back(project: Project, word: str, out: Out) -> str:
    """Of an output that is not in the work tree: from the cache where it has all of it, else from a remote."""
    if out.stage is not None and not (out.cached and out.md5):
        return f"dvc repro {out.stage} makes it"
    row = Row(out.path, out.md5, out.size, out.nfiles, out.cached, out.legacy)
    fetch = "nbledger pull" if project.git is not None else "dvc pull"
    how = "dvc checkout" if versions.Cached(project).has(row) else fetch
    return f"bring it back: {how} {shlex.quote(word)}"


def _resolve(project: Project, path: Path, follow: bool, outs: Sequence[Out], problems: Sequence[Problem]) -> Target:
    """The path, inside the repository and with links followed where that is safe."""
    root = dvc.require_root(project)
    asked = path
    notes: tuple[str, ...] = ()
    path = Path(os.path.realpath(path.parent)) / path.name
    if path.is_symlink():
        path, notes = _through_link(project, root, path, follow)
    if path == root or path in root.parents:
        raise Refused(f"{asked} holds the whole repository", "track a folder below it, such as data/")
    if root not in path.parents:
        where = "this project" if root == project.root else f"the DVC repository in {project.relative(root)}"
        raise Refused(
            f"{asked} is outside {where}", f"copy it in, or keep it where it is and fetch it by: dvc import-url {asked}"
        )
    rel = path.relative_to(project.root).as_posix()
    _refuse_names(project, root, path, rel)
    return Target(path, rel, f"{rel}.dvc", path.name, notes=notes)


def _through_link(project: Project, root: Path, path: Path, follow: bool) -> tuple[Path, tuple[str, ...]]:
    aim = Path(os.path.realpath(path))
    if not aim.exists():
        raise Refused(f"{path.name} is a link to {os.readlink(path)}, which is not there", "mend or remove the link")
    if _within(aim, dvc.cache_dir(project)):  # cache.type = symlink
        return path, ()
    if _within(aim, root) and aim != root:
        return aim, (f"{path.name} is a link: its target {aim.relative_to(project.root).as_posix()} was tracked",)
    if not follow:
        raise Refused(
            f"{path.name} is a link to {aim}, outside the project",
            "copy the data in, or say --follow-symlinks to take the bytes it points to",
        )
    return path, (f"{path.name} is a link: the bytes of {aim} were tracked",)


def _within(path: Path, folder: Path) -> bool:
    folder = Path(os.path.realpath(folder))
    return folder == path or folder in path.parents


def _refuse_names(project: Project, root: Path, path: Path, rel: str) -> None:
    parts = set(path.relative_to(root).parts)
    if _CONTROL.search(rel):
        raise Refused(f"{rel!r} has a line break or a control character in its name", "rename it")
    try:
        rel.encode()
    except UnicodeEncodeError as err:
        raise Refused(f"{os.fsencode(rel)!r} is not UTF-8, which DVC needs", "rename it") from err
    if len(os.fsencode(path.name)) + len(".dvc") > _LONGEST:
        raise Refused(f"{rel[:80]}… has so long a name that there can be no {rel[:20]}….dvc beside it", "rename it")
    if "\\" in rel and {":", "@"} & set(str(project.root / rel)):
        raise Refused(
            f"{rel} has a backslash and a colon or an @ in its path: DVC cannot be asked for that", "rename it"
        )
    if parts & _INTERNAL:
        raise Refused(f"{rel} belongs to {min(parts & _INTERNAL)}, which is not data", "track your own files")
    if path.name in _OWN_FILES or (path.name.endswith(".dvc") and path.is_file()):
        raise Refused(f"{rel} is kept by Git, not by DVC", "name the data, not the pointer")
    for folder in (path, *path.parents):
        if folder == root:
            break
        if (folder / ".git").exists():
            raise Refused(
                f"{rel} is in another Git repository, {project.relative(folder)}",
                f"run this inside {project.relative(folder)}",
            )
        if (folder / ".dvc" / "config").is_file():
            raise Refused(
                f"{rel} is in another DVC repository, {project.relative(folder)}",
                f"run this inside {project.relative(folder)}",
            )


def _without_nested(found: dict[str, Target]) -> list[Target]:
    """Targets below another target are tracked with it."""
    kept = []
    for rel, target in found.items():
        if any(other != rel and rel.startswith(f"{other}/") for other in found):
            continue
        inner = [name for name in found if name.startswith(f"{rel}/")]
        kept.append(replace(target, notes=(*target.notes, *(f"{name} was tracked as part of {rel}" for name in inner))))
    return kept


def _owned(project: Project, target: Target, outs: Sequence[Out], problems: Sequence[Problem]) -> Target:
    """The target with the pointer it already has; or the tracked folder it lies in."""
    chain = [target.rel, *(str(p) for p in Path(target.rel).parents if str(p) != ".")]
    damaged = {problem.pointer: problem.message for problem in problems}
    for rel in chain:
        if f"{rel}.dvc" in damaged:
            raise Refused(
                f"{rel}.dvc is damaged: {damaged[f'{rel}.dvc']}",
                "mend it (git checkout brings the last one back), or delete it and track again",
            )
    by_path = {out.path: out for out in outs}
    owner = next((by_path[rel] for rel in chain if rel in by_path), None)
    if owner is None:
        if os.path.lexists(project.root / target.pointer):
            _refuse_foreign_pointer(project, target.pointer)
        return target
    if owner.stage is not None:
        raise Refused(
            f"{target.rel} is made by stage {owner.stage} of {owner.pointer}",
            f"dvc repro {owner.stage} makes and tracks it",
        )
    if owner.imported:
        raise Refused(
            f"{owner.path} was imported by {owner.pointer}", f"dvc update {owner.pointer} brings it up to date"
        )
    if owner.path != target.rel:
        note = f"{target.rel} is inside the tracked folder {owner.path}: the folder was tracked again"
        target = replace(
            target,
            path=project.root / owner.path,
            rel=owner.path,
            name=Path(owner.path).name,
            notes=(*target.notes, note),
        )
    return _with_pointer(project, target, owner)


def _refuse_foreign_pointer(project: Project, pointer: str) -> None:
    try:
        rows = dvcfiles.read_pointer(project.root / pointer).rows
    except Damaged as err:
        raise Refused(f"{pointer} is damaged: {err}", "mend it, or delete it and track again") from err
    except OSError as err:
        raise Refused(f"{pointer} cannot be read: {err.strerror}", "mend it, or delete it and track again") from err
    raise Refused(
        f"{pointer} already tracks {', '.join(row.path for row in rows) or 'nothing'}",
        "rename that file, then track again",
    )


def _with_pointer(project: Project, target: Target, owner: Out) -> Target:
    path = project.root / owner.pointer
    rows = dvcfiles.read_pointer(path).rows
    folder = os.path.dirname(owner.pointer)
    index = next(i for i, row in enumerate(rows) if os.path.normpath(os.path.join(folder, row.path)) == owner.path)
    return replace(target, pointer=owner.pointer, text=dvcfiles.read_text(path), index=index, name=rows[index].path)


def _examine(project: Project, target: Target, follow: bool, outs: Sequence[Out]) -> Target:
    """Look at the bytes' place: readable, not ignored, and (for a folder) all of it trackable."""
    _refuse_ignored(project, target)
    if not target.path.is_dir():
        if not target.path.is_file():
            raise Refused(f"{target.rel} is neither a file nor a folder", "track a regular file")
        return target
    inner = next((out for out in outs if out.path.startswith(f"{target.rel}/")), None)
    if inner is not None:
        keeper = f"stage {inner.stage}" if inner.stage else inner.pointer
        raise Refused(
            f"{target.rel} holds {inner.path}, which {keeper} already tracks",
            f"dvc remove {inner.pointer} first, or track the other files one by one"
            if not inner.stage
            else "track the other files one by one",
        )
    ignore = dvc.ignore_filter(project, target.path)
    try:
        scan = cache.scan(target.path, ignore)
    except OSError as err:
        raise Refused(f"{err.filename} cannot be read: {err.strerror}", "mend its permissions") from err
    return replace(target, scan=scan, ignore=ignore, notes=(*target.notes, *_judge(project, target, scan, follow)))


def _refuse_ignored(project: Project, target: Target) -> None:
    root = dvc.require_root(project)
    ignore = dvc.ignore_filter(project, target.path.parent)
    if ignore is None:
        return
    for path in (target.path, *target.path.parents):
        if path == root:
            return
        is_dir = path.is_dir()
        dirs, names = ignore(str(path.parent), [path.name] if is_dir else [], [] if is_dir else [path.name])
        if not dirs and not names:
            raise Refused(
                f"{target.rel} is ignored by .dvcignore", "take it out of .dvcignore (dvc check-ignore -d shows where)"
            )


def _judge(project: Project, target: Target, scan: cache.Scan, follow: bool) -> list[str]:
    """Refuse what a folder may not hold; notes on what DVC leaves out."""
    rel = target.rel
    for kind, names in (("a link to nothing", scan.broken), ("neither a file nor a folder", scan.special)):
        if names:
            raise Refused(f"{rel}/{names[0]} is {kind}", "remove it, or name it in .dvcignore")
    _refuse_inner(rel, [name for name, _ in scan.entries])
    root, cached = dvc.require_root(project), dvc.cache_dir(project)
    outside = [
        n
        for n in (*scan.links, *scan.folder_links)
        if not any(_within(Path(os.path.realpath(target.path / n)), place) for place in (root, cached))
    ]
    if outside and not follow:
        raise Refused(
            f"{rel}/{outside[0]} is a link to {os.path.realpath(target.path / outside[0])}, outside the project",
            "copy the data in, or say --follow-symlinks to take the bytes it points to",
        )
    if not scan.entries and target.text is None:
        raise Refused(f"{rel} is an empty folder", "put the data in first")
    return [f"{rel}/{name} is a link to a folder, which DVC does not follow: left out" for name in scan.folder_links]


def _refuse_inner(rel: str, names: Sequence[str]) -> None:
    suspects = [name for name in names if name.endswith((".dvc", "dvc.yaml", "dvc.lock", ".dvcignore"))]
    for path in suspects:
        name = path.rpartition("/")[2]
        if name == ".dvcignore":
            raise Refused(f"{rel}/{path}: DVC takes no .dvcignore inside a tracked folder", "move it up to the root's")
        if name.endswith(".dvc") or name in {"dvc.yaml", "dvc.lock"}:
            raise Refused(
                f"{rel} holds {path}, a file of DVC's own", "move it out, or track the other files one by one"
            )
    try:
        "".join(names).encode()
    except UnicodeEncodeError as err:
        odd = next(
            name for name in names if not name.isascii() and os.fsencode(name).decode("utf-8", "replace") != name
        )
        raise Refused(f"{rel}/{os.fsencode(odd)!r} is not UTF-8, which DVC needs", "rename it") from err
