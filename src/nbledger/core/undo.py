"""``undo``: take back the newest commit if nbledger made it and nobody else has it; the work tree stays as it is.

Which commits are nbledger's own stands in ``.nbledger/commits``, by their full ids: an id names one commit and its
whole history, so the list cannot be wrong about a commit that was amended, rebased or made by hand.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from nbledger.core import dvcfiles, git
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.files import lock, write_atomic
from nbledger.core.project import Project
from nbledger.core.records import Undoable

_MOST = 500  # commits remembered, at least
_REFS = ("refs/heads", "refs/remotes", "refs/tags")


def remember(project: Project, commit: str, message: str) -> None:
    """Note that nbledger made this commit. A list that cannot be written costs the offer to undo, nothing else."""
    line = json.dumps({"commit": commit, "message": _subject(message)}).encode()
    with contextlib.suppress(OSError, LedgerError):
        path = _list(project)
        with lock(project.ensure_state() / "commits.lock", 2.0, "the list of commits"):
            lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
            if len(lines) > 2 * _MOST:
                write_atomic(path, b"\n".join(lines[-_MOST:]))
            with open(path, "ab") as file:  # a last line that a killed process left torn ends here
                file.write((b"\n" if lines[-1] else b"") + line + b"\n")


def available(project: Project) -> Undoable | None:
    """The commit that ``undo`` would take back now; None where there is none."""
    try:
        return examined(project)
    except (LedgerError, OSError):
        return None


def undo(project: Project, commit: str) -> str:
    """Take back ``commit``; the branch's new head (empty where it was the first commit). Refuses where it is not HEAD, not
    nbledger's, or known elsewhere.
    """
    if not git.is_hex(commit):
        raise UsageError(f"{commit[:60]!r} is not the full id of a commit", "nbledger undo takes back the newest one")
    repo, found = project.git, examined(project)
    assert repo is not None
    if found.commit != commit:
        raise Refused(
            f"{commit[:10]} is not the newest commit: {found.commit[:10]} is", "look at the state again, then decide"
        )
    git.refuse_if_locked(repo)
    parent = _parent(repo, commit)
    entries = _touched(repo, parent, commit)
    _move(repo, commit, parent, found.message)
    _settle_index(repo, entries)
    return parent or ""


def held(project: Project, commit: str) -> list[str]:
    """Paths that the commit changed."""
    repo = project.git
    if repo is None or not git.is_hex(commit):
        return []
    return sorted(os.fsdecode(path) for path in _touched(repo, _parent(repo, commit), commit))


def lost(project: Project, commit: str) -> list[str]:
    """Versions of data, in words, that only this commit names: the pointer in the work tree is another one by now."""
    repo = project.git
    if repo is None:
        return []
    said = []
    for path in held(project, commit):
        if not path.endswith(".dvc"):
            continue
        now = project.root / path
        kept = git.read_blob(repo, f"{commit}:{path}") or b""
        versions, here = _versions(kept), _versions(now.read_bytes() if now.is_file() else b"")
        said += [
            f"{path.removesuffix('.dvc')}: no commit names the version {md5[:10]} any more (its bytes stay in the cache)"
            for md5 in sorted(versions - here)
        ]
    return said


def _versions(pointer: bytes) -> set[str]:
    """The hashes that a pointer names; none where it cannot be read."""
    try:
        return {row.md5 for row in dvcfiles.rows_of(pointer.decode("utf-8", "replace")) if row.md5}
    except LedgerError:
        return set()


def _list(project: Project) -> Path:
    return project.state / "commits"


def _subject(message: str) -> str:
    return next(iter(message.strip().splitlines()), "")[:500]


def _made(project: Project, commit: str) -> str | None:
    """The message of ``commit`` if it is one of nbledger's own."""
    try:
        lines = _list(project).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if commit in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                fields = json.loads(line)
                if fields["commit"] == commit:
                    return str(fields["message"])
    return None


def examined(project: Project) -> Undoable:
    """HEAD, if it can be taken back; ``Refused`` says why not."""
    repo = git.required(project.git)
    head = git.head(repo)
    if head.commit is None:
        raise Refused("this branch has no commit yet", "there is nothing to take back")
    message = _made(project, head.commit)
    if message is None:
        raise Refused(
            f"the newest commit ({head.commit[:10]}) was not made by nbledger", "git reset --soft HEAD~ takes it back"
        )
    if head.branch is None:
        raise Refused("HEAD is on no branch", "git switch BRANCH first")
    if under_way := git.operation(repo):
        raise Refused(f"a {under_way} is under way in this repository", "finish it first")
    _refuse_if_known(repo, head.commit, head.branch)
    return Undoable(head.commit, message)


def _refuse_if_known(repo: git.GitRepo, commit: str, branch: str) -> None:
    """Refuse when another branch, a tag or a remote's branch holds the commit."""
    listed = git.text(repo, "for-each-ref", f"--contains={commit}", "--format=%(refname)", *_REFS)
    others = [name for name in listed.splitlines() if name != f"refs/heads/{branch}"]
    remote = [name for name in others if name.startswith("refs/remotes/")]
    if remote:
        where = remote[0].removeprefix("refs/remotes/")
        raise Refused(f"{commit[:10]} is pushed ({where} has it)", "git revert HEAD makes a commit that undoes it")
    if others:
        where = others[0].split("/", 2)[2]
        raise Refused(f"{where} holds {commit[:10]} too", "git revert HEAD makes a commit that undoes it")


def _parent(repo: git.GitRepo, commit: str) -> str | None:
    raw = git.call(repo, "cat-file", "commit", commit).stdout.split(b"\n\n", 1)[0]
    parents = [line[7:].decode() for line in raw.split(b"\n") if line.startswith(b"parent ")]
    if len(parents) > 1:
        raise Refused("the newest commit is a merge", "git reset --merge HEAD~ takes it back")
    return parents[0] if parents else None


def _touched(repo: git.GitRepo, parent: str | None, commit: str) -> dict[bytes, tuple[bytes, bytes]]:
    """{path: its index entry (mode and id) before the commit, and in it} of what the commit changed."""
    between = [parent, commit] if parent else ["--root", "--no-commit-id", commit]
    out = git.call(repo, "diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", *between).stdout.split(b"\0")
    found = {}
    for facts, path in zip(out[0::2], out[1::2], strict=False):
        old_mode, new_mode, old, new, _ = facts.lstrip(b":").split(b" ")
        found[path] = (b"%s %s" % (old_mode, old), b"%s %s" % (new_mode, new))
    return found


def _move(repo: git.GitRepo, commit: str, parent: str | None, message: str) -> None:
    """Set the branch back, only if it is still at ``commit``."""
    note = f"nbledger undo: {message}"
    if parent is None:
        git.call(repo, "update-ref", "-m", note, "-d", "HEAD", commit)
    else:
        git.update_ref(repo, "HEAD", parent, commit, note)


def _settle_index(repo: git.GitRepo, entries: dict[bytes, tuple[bytes, bytes]]) -> None:
    """Put the index back for the commit's paths, where it still has what the commit had: what the person has staged
    since stays.
    """
    listed = git.call(repo, "ls-files", "-z", "--stage").stdout.split(b"\0") if entries else []
    staged = {path: facts for facts, _, path in (entry.partition(b"\t") for entry in listed if entry)}
    lines = b""
    for path, (old, new) in entries.items():
        gone = new.startswith(b"000000")
        if staged.get(path) == (None if gone else new + b" 0"):
            lines += (
                (b"0 " + b"0" * len(new.split(b" ")[1]) if old.startswith(b"000000") else old) + b"\t" + path + b"\0"
            )
    if lines:
        git.call(repo, "update-index", "-z", "--index-info", stdin=lines)
