"""What Git's history says of a path: its commits, its contents in many of them, where a file went. Reads only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import git
from nbledger.core.git import GitRepo

_PLAIN = ("--no-show-signature", "--no-ext-diff", "--no-textconv")


@dataclass(frozen=True)
class Logged:
    """A commit; ``at`` is ISO 8601 UTC, ``message`` its first line."""

    commit: str
    author: str
    at: str
    message: str


def commits_of(repo: GitRepo, path: str, most: int, which: Sequence[str] = ()) -> list[Logged]:
    """Commits that changed ``path``, the newest first: those of HEAD and the local branches, or those that ``git log`` finds
    from ``which``.
    """
    which = which or ("--branches", *(["HEAD"] if git.head(repo).commit else []))
    out = git.call(
        repo,
        "log",
        f"-n{int(most)}",
        "-z",
        *_PLAIN,
        "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
        "--format=%H%x1f%an%x1f%cd%x1f%s",
        *which,
        "--",
        path,
        env={"TZ": "UTC"},
        check=False,
    ).stdout.decode("utf-8", "replace")
    rows = (entry.split("\x1f", 3) for entry in out.split("\0") if entry)
    return [Logged(row[0], row[1][:200], row[2], row[3][:500]) for row in rows if len(row) == 4]


def had(repo: GitRepo, path: str, text: str) -> bool:
    """Whether a commit of any ref or reflog had ``text`` (a word of it) in the file ``path``."""
    words = ("log", "-n1", *_PLAIN, "--format=%H", "--all", "--reflog", "--full-history", "-m", f"-S{text}", "--", path)
    return bool(git.call(repo, *words, check=False).stdout.strip())


def blobs(repo: GitRepo, wanted: Sequence[tuple[str, str]]) -> list[bytes | None]:
    """Contents of (commit, path) pairs, None where there is no such file, in one call."""
    good = [i for i, (commit, path) in enumerate(wanted) if git.is_hex(commit) and "\n" not in path]
    names = b"".join(os.fsencode(f"{wanted[i][0]}:{wanted[i][1]}") + b"\n" for i in good)
    out = git.call(repo, "cat-file", "--batch", stdin=names).stdout if good else b""
    found: list[bytes | None] = [None] * len(wanted)
    at = 0
    for i, name in zip(good, names.split(b"\n"), strict=False):
        end = out.index(b"\n", at)
        line, at = out[at:end], end + 1
        if line == name + b" missing":
            continue
        _, kind, count = line.split(b" ")
        if kind == b"blob":
            found[i] = out[at : at + int(count)]
        at += int(count) + 1
    return found


def trees(repo: GitRepo, commits: Sequence[str]) -> dict[str, str]:
    """{commit: its tree} of those that are here."""
    asked = [commit for commit in commits if git.is_hex(commit)]
    names = "".join(f"{commit}^{{tree}}\n" for commit in asked).encode()
    out = git.call(repo, "cat-file", "--batch-check=%(objectname)", stdin=names).stdout.decode() if asked else ""
    pairs = zip(asked, out.splitlines(), strict=False)
    return {commit: tree for commit, tree in pairs if git.is_hex(tree)}


def peeled(repo: GitRepo, ids: Sequence[str]) -> list[str]:
    """The commits that these commits and tags mean, each id itself where it means none."""
    names = "".join(f"{git.full_id(one)}^{{commit}}\n" for one in ids).encode()
    out = git.call(repo, "cat-file", "--batch-check=%(objectname)", stdin=names).stdout.decode() if ids else ""
    return [name if git.is_hex(name) else one for one, name in zip(ids, out.splitlines(), strict=True)]


def size_of(repo: GitRepo, commit: str, path: str) -> int | None:
    """Bytes of a file as the commit has it; None where it has none."""
    spec = ("--end-of-options", f"{git.full_id(commit)}:{path}")
    done = git.call(repo, "cat-file", "-s", *spec, check=False)
    kind = git.call(repo, "cat-file", "-t", *spec, check=False).stdout.strip()
    return int(done.stdout) if done.returncode == 0 and kind == b"blob" else None


def gone(repo: GitRepo) -> list[str]:
    """Paths that HEAD has and the work tree or the index has not any more."""
    out = git.call(repo, "ls-files", "-z", "--deleted").stdout
    out += git.call(
        repo, "diff-index", "-z", "--cached", "--no-renames", "--diff-filter=D", "--name-only", "HEAD"
    ).stdout
    return sorted({os.fsdecode(path) for path in out.split(b"\0") if path})


def unified(before: bytes, after: bytes) -> list[str]:
    """The hunks of a unified diff of two texts, by Git's own algorithm but nothing that a repository configures."""
    with tempfile.TemporaryDirectory(prefix="nbledger-") as folder:
        names = ("before", "after")
        for name, data in zip(names, (before, after), strict=True):
            (Path(folder) / name).write_bytes(data)
        out = git.call(
            Path(folder),
            *("-c", "core.attributesFile=/dev/null"),
            *("diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color", "--text", "-U3", "--", *names),
            check=False,
            env={"GIT_CEILING_DIRECTORIES": os.path.dirname(folder)},
        ).stdout
    lines = out.decode("utf-8", "replace").split("\n")
    first = next((i for i, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    return lines[first:-1] if lines and lines[-1] == "" else lines[first:]


def contents(repo: GitRepo, ids: Sequence[str]) -> list[bytes | None]:
    """Contents of blobs by their ids, None where one is missing, in one call."""
    good = [i for i in ids if git.is_hex(i)]
    out = git.call(repo, "cat-file", "--batch", stdin="".join(f"{i}\n" for i in good).encode()).stdout if good else b""
    found, at = {}, 0
    for object_id in good:
        end = out.index(b"\n", at)
        fields, at = out[at:end].split(b" "), end + 1
        if len(fields) == 3:
            found[object_id] = out[at : at + int(fields[2])]
            at += int(fields[2]) + 1
    return [found.get(i) for i in ids]


def changed_paths(repo: GitRepo, old: str, new: str) -> dict[str, str]:
    """{path: A, M, D or T} of what differs between two commits."""
    between = git.full_id(old), git.full_id(new)
    out = git.call(repo, "diff-tree", "-r", "-z", "--no-renames", "--name-status", *between).stdout.split(b"\0")
    return {os.fsdecode(path): kind.decode() for kind, path in zip(out[0::2], out[1::2], strict=False)}


def count(repo: GitRepo, old: str, new: str) -> int:
    """How many commits ``new`` has that ``old`` has not."""
    return int(git.text(repo, "rev-list", "--count", f"{git.full_id(old)}..{git.full_id(new)}", "--"))


def subjects(repo: GitRepo, old: str | None, new: str, most: int) -> list[str]:
    """``id first-line`` of the commits that ``new`` has and ``old`` has not, the newest first."""
    span = f"{git.full_id(old)}..{git.full_id(new)}" if old else git.full_id(new)
    out = git.call(repo, "log", f"-n{int(most)}", "-z", *_PLAIN, "--format=%h %s", span, "--").stdout
    return [line[:200] for line in out.decode("utf-8", "replace").split("\0") if line]


def is_ancestor(repo: GitRepo, old: str, new: str) -> bool:
    ids = git.full_id(old), git.full_id(new)
    return git.call(repo, "merge-base", "--is-ancestor", *ids, check=False).returncode == 0


def merge_base(repo: GitRepo, one: str, other: str) -> str | None:
    """The newest commit that both stand on; None where they have none, or where this clone does not hold it."""
    done = git.call(repo, "merge-base", git.full_id(one), git.full_id(other), check=False)
    found = done.stdout.decode().strip()
    return found if git.is_hex(found) else None


def line(repo: GitRepo, new: str, most: int, old: str | None = None) -> list[str]:
    """``new`` and the commits that it stands on, near ones first; with ``old`` without those that that one has too."""
    span = [git.full_id(new), *([f"^{git.full_id(old)}"] if old else [])]
    return git.text(repo, "rev-list", "--topo-order", f"--max-count={int(most)}", *span, "--").split()


def parents(repo: GitRepo, commits: Sequence[str]) -> dict[str, list[str]]:
    """{commit: its parents} of those that are here."""
    asked = [git.full_id(commit) for commit in dict.fromkeys(commits) if git.is_hex(commit)]
    out = git.text(repo, "rev-list", "--no-walk", "--parents", "--ignore-missing", *asked, "--") if asked else ""
    return {row[0]: row[1:] for row in map(str.split, out.splitlines())}


def logged(repo: GitRepo, commit: str) -> Logged:
    """One commit."""
    words = ("--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%H%x1f%an%x1f%cd%x1f%s", "--no-walk")
    out = git.call(repo, "log", "-n1", *_PLAIN, *words, git.full_id(commit), "--", env={"TZ": "UTC"}).stdout
    found, author, at, message = out.decode("utf-8", "replace").rstrip("\n").split("\x1f", 3)
    return Logged(found, author[:200], at, message[:500])


def is_shallow(repo: GitRepo) -> bool:
    """Whether this clone lacks older commits (``git clone --depth``), as CI's usually do."""
    return (repo.common_dir / "shallow").is_file()


def hooks_folder(repo: GitRepo) -> Path:
    """Where Git looks for hooks; nothing is run."""
    listed = git.call(repo, "config", "--path", "-z", "--get-all", "core.hooksPath", check=False).stdout
    configured = os.fsdecode(listed).split("\0")[:-2]  # the last value is that of our call
    return repo.root / configured[-1] if configured else repo.common_dir / "hooks"


def hooks(repo: GitRepo, *names: str) -> list[str]:
    """Those of these hooks that Git would run; nothing is."""
    folder = hooks_folder(repo)
    return [name for name in names if os.access(folder / name, os.X_OK)]
