"""Which versions of data commits name: what the ``.dvc`` and ``dvc.lock`` files in them say, read without DVC."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core import dvc, dvcfiles, git, gitlog, pointers
from nbledger.core.dvcfiles import Damaged, Row
from nbledger.core.git import GitRepo
from nbledger.core.project import Project

_EMPTY_TREES = {40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}
_EMPTY_TREES[64] = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
_DIFF = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv")
_PATTERNS = ("--", "*.dvc", "*dvc.lock")  # a star stands for folders too
_MAGIC = {"GIT_LITERAL_PATHSPECS": "0"}


@dataclass(frozen=True)
class Need:
    """A version of data that a commit names. ``path`` and ``pointer`` are relative to the project's root; ``where`` says
    which commit, branch, tag or run it is.

    ``remote``: the one that the output names itself, empty for the default one. ``aside``: it is never pushed (``push:
    false``). ``made``: the output of a stage, which can be made again. ``source``: the repository that it is imported
    from, and brought from by DVC. ``clouds``: remotes that keep versions themselves, as far as the pointer names the version.
    """

    path: str
    pointer: str
    md5: str
    where: str
    size: int = 0
    legacy: bool = False
    remote: str = ""
    aside: bool = False
    made: bool = False
    source: str = ""
    clouds: frozenset[str] = frozenset()

    @property
    def version(self) -> tuple[str, str, str]:
        """What it is a version of, and which, whoever names it."""
        return self.pointer, self.path, self.md5


@dataclass(frozen=True)
class _Pointer:
    """One content of a pointer. ``tree``: a commit or tree that has it at ``path``."""

    path: str
    blob: str
    tree: str
    where: str


def of_trees(project: Project, named: Mapping[str, str]) -> list[Need]:
    """What these commits ({id: what to call it}) name with all that they hold, each version once."""
    repo = project.git
    if repo is None or project.dvc_root is None or not named:
        return []
    trees = gitlog.trees(repo, list(named))
    found: dict[tuple[str, str], _Pointer] = {}
    held = _held(repo, list(dict.fromkeys(trees.values())))
    for commit, tree in trees.items():
        for path, blob in held[tree].items():
            found.setdefault((path, blob), _Pointer(path, blob, tree, named[commit]))
    return list(_needs(project, repo, list(found.values())))


def of_new(project: Project, tips: Mapping[str, str], known: Iterable[str]) -> list[Need]:
    """What the commits name that lead to ``tips`` ({id: what to call it}) and not to ``known``: of each the pointers that
    it brings, the newest commit first.
    """
    repo = project.git
    commits = new_commits(repo, tips, known) if repo is not None and project.dvc_root is not None else []
    if repo is None or not commits:
        return []
    # Of a merge only what neither side had: the rest was brought by a commit that is looked at itself, or is known.
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    out = git.call(repo, *_DIFF, "-c", "--root", *_PATTERNS, stdin=stdin, env=_MAGIC).stdout
    found: dict[tuple[str, str], _Pointer] = {}
    called, commit = dict(zip(gitlog.peeled(repo, list(tips)), tips.values(), strict=True)), ""
    words = iter(out.split(b"\0"))
    for word in words:
        if word.startswith(b":"):
            path = os.fsdecode(next(words))
            if (blob := _result(word)) and _ours(project, path):
                where = called.get(commit) or f"commit {commit[:8]}"
                found.setdefault((path, blob), _Pointer(path, blob, commit, where))
        elif git.is_hex(word.decode("ascii", "replace")):
            commit = word.decode()
    return list(_needs(project, repo, list(found.values())))


def of_files(project: Project, paths: Iterable[str]) -> list[Need]:
    """What these ``.dvc`` files of the work tree name."""
    found: list[Need] = []
    for path in paths:
        text = dvcfiles.read_text(project.root / path)
        found += _of_pointer(_Pointer(path, "", "", "the work tree"), text)
    return found


def new_commits(repo: GitRepo, tips: Iterable[str], known: Iterable[str]) -> list[str]:
    """Ids of the commits that lead to ``tips`` and not to ``known``, the newest first. Ids that are not here are passed over
    among the known ones.
    """
    here = gitlog.trees(repo, list(dict.fromkeys(known)))
    lines = [*(git.full_id(tip) for tip in tips), *(f"^{commit}" for commit in here)]
    return (
        git.call(repo, "rev-list", "--stdin", stdin="".join(f"{x}\n" for x in lines).encode()).stdout.decode().split()
    )


def _result(word: bytes) -> str:
    """The id of the content that a line of ``--raw`` ends with, of a merge too; empty where the file is gone or no file."""
    sides = len(word) - len(word.lstrip(b":"))
    fields = word.lstrip(b":").decode("ascii", "replace").split(" ")
    mode, blob = fields[sides], fields[2 * sides + 1]
    return blob if mode.startswith("100") else ""


def _held(repo: GitRepo, trees: Sequence[str]) -> dict[str, dict[str, str]]:
    """{tree: {path of a pointer in it: its content's id}}, by one process: each tree as what differs from the one before."""
    if not trees:
        return {}
    pairs = list(zip([_EMPTY_TREES[len(trees[0])], *trees], trees, strict=False))
    stdin = "".join(f"{old} {new}\n" for old, new in pairs).encode()
    words = iter(git.call(repo, *_DIFF, *_PATTERNS, stdin=stdin, env=_MAGIC).stdout.split(b"\0"))
    found: dict[str, dict[str, str]] = {}
    now: dict[str, str] = {}
    for word in words:
        *headers, entry = word.split(b"\n")
        for header in headers:
            now = dict(now)
            found[header.decode().split(" ")[1]] = now
        if entry.startswith(b":"):
            path, blob = os.fsdecode(next(words)), _result(entry)
            if blob and pointers.is_pointer(path):
                now[path] = blob
            else:
                now.pop(path, None)
    return found


def _ours(project: Project, path: str) -> bool:
    """Whether it is a pointer of this DVC repository, which may be a folder of the Git repository."""
    prefix = dvc.require_root(project).relative_to(project.root).as_posix()
    return pointers.is_pointer(path) and (prefix == "." or path.startswith(f"{prefix}/"))


def _needs(project: Project, repo: GitRepo, found: Sequence[_Pointer]) -> Iterator[Need]:
    found = [one for one in found if _ours(project, one.path)]
    blobs = list(dict.fromkeys(one.blob for one in found))
    texts = dict(zip(blobs, gitlog.contents(repo, blobs), strict=True))
    locks = [one for one in found if one.path.endswith("dvc.lock")]
    declared = gitlog.blobs(repo, [(one.tree, _beside(one.path, "dvc.yaml")) for one in locks])
    stages = {(one.path, one.blob): text for one, text in zip(locks, declared, strict=True)}
    for one in found:
        text = (texts[one.blob] or b"").decode("utf-8", "replace")
        try:
            if (one.path, one.blob) in stages:
                yield from _of_lock(one, text, (stages[one.path, one.blob] or b"").decode("utf-8", "replace"))
            else:
                yield from _of_pointer(one, text)
        except (Damaged, AttributeError, TypeError, ValueError):
            continue  # DVC could not bring anything by it either


def _beside(path: str, name: str) -> str:
    return posixpath.join(posixpath.dirname(path), name)


def _of_pointer(one: _Pointer, text: str) -> Iterator[Need]:
    data: Any = dvcfiles.load_yaml(text) or {}
    repos = [
        dep["repo"] for dep in data.get("deps") or [] if isinstance(dep, dict) and isinstance(dep.get("repo"), dict)
    ]
    source = str(repos[0].get("url") or "") if repos else ""
    outs = data.get("outs") or []
    for row, out in zip(dvcfiles.rows_of(text), outs, strict=True):
        if row.cached and row.md5:
            yield _need(one, row, out, source=source)


def _need(one: _Pointer, row: Row, out: Mapping[str, Any], *, made: bool = False, source: str = "") -> Need:
    return Need(
        path=posixpath.normpath(_beside(one.path, row.path)),
        pointer=one.path,
        md5=row.md5,
        where=one.where,
        size=row.size,
        legacy=row.legacy,
        remote=str(out.get("remote") or ""),
        aside=str(out.get("push", "true")).lower() == "false",
        made=made,
        source=source,
        clouds=_clouds(out),
    )


def _clouds(out: Mapping[str, Any]) -> frozenset[str]:
    """Remotes of which the pointer says in which version they keep the output, all files of it."""
    files = out.get("files")
    entries = files if isinstance(files, list) and files else [out]
    named = [set(entry.get("cloud") or ()) for entry in entries if isinstance(entry, Mapping)]
    return frozenset(set.intersection(*named)) if named else frozenset()


# ── pipelines ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Declared:
    """An output of a stage in ``dvc.yaml`` with options of its own; ``path`` as a pattern, since it may be a template."""

    path: re.Pattern[str]
    options: Mapping[str, Any]


def _of_lock(one: _Pointer, text: str, stages: str) -> Iterator[Need]:
    """A ``dvc.lock`` does not say which of its outputs Git keeps or nobody pushes: the ``dvc.yaml`` beside it does."""
    data: Any = dvcfiles.load_yaml(text) or {}
    declared = _stages(stages)
    for name, entry in (data.get("stages") or {}).items():
        wdir, outs = declared.get(name.partition("@")[0], ("", ()))
        for row in dvcfiles.lock_rows(entry):
            options = next((out.options for out in outs if out.path.fullmatch(row.path)), {})
            if row.md5 and str(options.get("cache", "true")).lower() != "false":
                placed = Row(posixpath.join(wdir, row.path), row.md5, row.size, row.nfiles, row.cached, row.legacy)
                yield _need(one, placed, options, made=True)


def _stages(text: str) -> dict[str, tuple[str, tuple[_Declared, ...]]]:
    """{stage: (its working folder, its outputs with options)}; nothing of what cannot be read."""
    try:
        stages: Any = (dvcfiles.load_yaml(text) or {}).get("stages") or {}
        return {str(name): _stage(entry) for name, entry in stages.items() if isinstance(entry, dict)}
    except (Damaged, AttributeError):
        return {}


def _stage(entry: dict[str, Any]) -> tuple[str, tuple[_Declared, ...]]:
    entry = entry["do"] if isinstance(entry.get("do"), dict) else entry
    found = []
    for kind in ("outs", "metrics", "plots"):
        listed = entry.get(kind)
        for out in listed if isinstance(listed, list) else []:
            for path, options in out.items() if isinstance(out, dict) else ():
                if isinstance(options, dict):
                    found.append(_Declared(_pattern(str(path)), options))
    wdir = entry.get("wdir")
    return (wdir if isinstance(wdir, str) and "$" not in wdir else ""), tuple(found)


def _pattern(path: str) -> re.Pattern[str]:
    """A path in which ``${…}`` may stand for anything."""
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\$\{[^}]*\}", path)), re.DOTALL)
