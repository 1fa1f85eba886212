"""The one door to Git: every call of the ``git`` executable is made here.

Plumbing calls run without hooks and without a file-system monitor, take no optional locks, never ask for a
password, and read path names literally. What a repository's own configuration would execute is switched off until the
repository is trusted (``gitguard``). Only full object ids and validated names of refs reach a command line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from nbledger.core import files, gitguard, secrets, trust
from nbledger.core.errors import Busy, LedgerError, Refused, ToolFailed, Unreachable, Untrusted

RUN_REFS = "refs/nbledger/runs/"
SNAPSHOT_REFS = "refs/nbledger/snapshots/"
_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF = re.compile(r"(?!.*(//|\.\.|@\{|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\/.-][^\x00-\x20\x7f~^:?*\[\\]*(?<![/.])")
_NO_DRIVERS = ("--no-ext-diff", "--no-textconv")
_LABS_OWN = ("/.ipynb_checkpoints/", "/.jupyter_ystore.db")


@dataclass(frozen=True)
class GitRepo:
    """A Git work tree. ``git_dir`` differs from ``common_dir`` in a linked work tree."""

    root: Path
    git_dir: Path
    common_dir: Path


@dataclass(frozen=True)
class Head:
    """Where HEAD is: ``commit`` and ``tree`` are None on an unborn branch, ``branch`` when detached."""

    commit: str | None
    tree: str | None
    branch: str | None


def discover(start: Path) -> GitRepo | None:
    """The work tree that holds ``start``, found by reading ``.git`` as gitrepository-layout(5) describes it."""
    for folder in (start, *start.parents):
        dot_git = folder / ".git"
        if dot_git.is_file():
            first = dot_git.read_text(encoding="utf-8", errors="replace").splitlines()[:1]
            if not first or not first[0].startswith("gitdir: "):
                raise LedgerError(f"{dot_git} is not a Git link file", "repair the clone or the work tree")
            git_dir = (folder / first[0][len("gitdir: ") :]).resolve()
        elif (dot_git / "HEAD").is_file():
            git_dir = dot_git.resolve()
        else:
            continue
        common = git_dir / "commondir"
        common_dir = (git_dir / common.read_text().strip()).resolve() if common.is_file() else git_dir
        return GitRepo(folder, git_dir, common_dir)
    return None


@cache
def executable() -> str:
    """Path of ``git``; a clear error when there is none."""
    found = shutil.which("git")
    if found is None:
        raise LedgerError("the git command was not found", "install Git (https://git-scm.com) and try again")
    return found


def _environment(index: Path | None, extra: dict[str, str] | None) -> dict[str, str]:
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("GIT_")
        or k.startswith(("GIT_SSH", "GIT_CONFIG", "GIT_AUTHOR", "GIT_COMMITTER", "GIT_TRACE"))
    }
    env.update(LC_ALL="C", GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_LITERAL_PATHSPECS="1")
    if index is not None:
        env["GIT_INDEX_FILE"] = str(index)
    env.update(extra or {})
    return env


def call(
    repo: GitRepo | Path,
    *args: str,
    index: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    hooks: bool = False,
    network: bool = False,
    env: dict[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``git args`` in the work tree; with ``check``, a failure raises ``ToolFailed`` with Git's last line. A call
    that takes longer than ``timeout`` seconds is ended: ``Unreachable``.

    ``hooks``: with the person's hooks; ``network``: it asks a remote. Both are ``Untrusted`` where the repository is not
    trusted and its own configuration names something to execute.
    """
    root = repo.root if isinstance(repo, GitRepo) else repo
    stranger = None if "--no-index" in args else _stranger(repo)
    if stranger is not None:
        found = named_by(stranger)
        if hooks or network:
            _refuse_to_execute(stranger, found, args[0], hooks=hooks)
        else:
            args = tuple(gitguard.outside_submodules(args))
            env = gitguard.environment(found, stranger.root, os.environ) | (env or {})
    command = [executable(), *(gitguard.WITH_HOOKS if hooks else gitguard.ALWAYS), *args]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            input=stdin,
            capture_output=True,
            env=_environment(index, env),
            stdin=subprocess.DEVNULL if stdin is None else None,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as err:
        raise Unreachable(f"git {args[0]}: no answer within {timeout:.0f} s", "check the network") from err
    except OSError as err:
        raise ToolFailed(f"git could not be started in {root}: {err.strerror}") from err
    if check and done.returncode != 0:
        raise failure(args[0], done)
    return done


def is_trusted(folder: Path) -> bool:
    """Whether ``folder`` lies in a repository that is trusted."""
    found = discover(folder)
    return found is not None and trust.repository_trusted(found)


def _stranger(repo: GitRepo | Path) -> GitRepo | None:
    """The repository of a call, if it is not trusted."""
    found = repo
    if isinstance(found, Path):
        try:
            within = discover(found)
        except (LedgerError, OSError):
            return None
        if within is None:
            return None
        found = within
    return None if trust.repository_trusted(found) else found


_memory = gitguard.Memory()


def named_by(repo: GitRepo) -> gitguard.Found:
    """What the repository's own configuration would have executed."""

    def ask() -> bytes:
        words = ("config", "-z", "--list", "--includes", "--show-scope", "--show-origin")
        command = [executable(), *gitguard.ALWAYS, *words]
        try:
            done = subprocess.run(
                command,
                cwd=repo.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=_environment(None, None),
                check=False,
                timeout=10,
            )
        except subprocess.TimeoutExpired as err:
            raise Refused(f"the configuration of {repo.root} cannot be read to its end", "look at .git/config") from err
        except OSError as err:
            raise ToolFailed(f"git could not be started in {repo.root}: {err.strerror}") from err
        if done.returncode != 0:
            raise failure("config", done)
        return done.stdout

    return _memory.of(repo.root, repo.git_dir, repo.common_dir, ask)


def switched_off(repo: GitRepo) -> tuple[str, ...]:
    """Names of the repository's own filters that do not run, because it is not trusted."""
    return () if trust.repository_trusted(repo) else named_by(repo).drivers


def refuse_hooks_of_a_stranger(repo: GitRepo, verb: str) -> None:
    """``Untrusted`` where ``git verb`` with its hooks would execute what a repository names that is not trusted."""
    if not trust.repository_trusted(repo):
        _refuse_to_execute(repo, named_by(repo), verb, hooks=True)


def _refuse_to_execute(repo: GitRepo, found: gitguard.Found, verb: str, *, hooks: bool) -> None:
    named = [*found.executes, *(f"hooks/{name}" for name in (gitguard.hooks(repo.common_dir) if hooks else ()))]
    if (repo.root / ".gitmodules").exists():
        named.append("submodules")
    if named:
        shown = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
        raise Untrusted(
            f"git {verb} would execute what this repository names, and you have not trusted it: {shown}",
            "look at .git/config and .git/hooks first; then `nbledger trust`",
        )


def failure(verb: str, done: subprocess.CompletedProcess[bytes]) -> LedgerError:
    """The error that Git's own words call for."""
    said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    text = scrub_url(" ".join(said))
    if "File exists" in text and (named := re.search(r"'([^']+\.lock)'", text)):
        return _held(named[1])
    if "tell me who you are" in text or "empty ident name" in text or "unable to auto-detect email" in text:
        return Refused(
            "Git does not know who you are",
            'git config --global user.name "Your Name"; git config --global user.email you@example.org',
        )
    if "dubious ownership" in text:
        return Refused(
            "Git does not trust this repository: it belongs to another user",
            "git config --global --add safe.directory <its path>, if you trust it",
        )
    return ToolFailed(f"git {verb} failed: {scrub_url(said[-1]) if said else f'exit code {done.returncode}'}")


def text(repo: GitRepo | Path, *args: str, index: Path | None = None, check: bool = True) -> str:
    """Standard output of a Git call, stripped."""
    return call(repo, *args, index=index, check=check).stdout.decode("utf-8", "surrogateescape").strip()


def version() -> str:
    return text(Path.cwd(), "--version").removeprefix("git version ")


def is_hex(commit: str) -> bool:
    """Only full object ids are put on a command line; anything else could be read as an option."""
    return _HEX.fullmatch(commit) is not None


def full_id(text: str) -> str:
    """``text`` if it is a full object id; ``Refused`` otherwise. Ids come from tags of runs and from remotes too."""
    if not is_hex(text):
        raise Refused(f"{text[:80]!r} is no full id of a commit", "git log shows them")
    return text


def ref_name(text: str) -> str:
    """``text`` if it may be the name of a ref (git-check-ref-format); ``Refused`` otherwise."""
    if not _REF.fullmatch(text) or text == "@":
        raise Refused(f"{text[:80]!r} is no name that Git gives a ref", "git check-ref-format tells the rules")
    return text


def head(repo: GitRepo) -> Head:
    """HEAD's commit, tree and branch. A commit's tree never changes, so a known commit costs no process."""
    reference = (repo.git_dir / "HEAD").read_text().strip()
    branch = reference.removeprefix("ref: refs/heads/") if reference.startswith("ref: ") else None
    commit = _commit_of(repo, reference)
    if commit is not None and commit in _trees:
        return Head(commit, _trees[commit], branch)
    asked = call(repo, "cat-file", "--batch-check=%(objectname)", stdin=b"HEAD^{commit}\nHEAD^{tree}\n")
    commit, tree, *_ = asked.stdout.decode().split("\n")
    if not is_hex(commit):
        return Head(None, None, branch)
    _trees[commit] = tree
    return Head(commit, tree, branch)


_trees: dict[str, str] = {}


def _commit_of(repo: GitRepo, reference: str) -> str | None:
    """The commit that HEAD's text leads to, read from the ref files (gitrepository-layout(5)); None: ask Git."""
    if not reference.startswith("ref: "):
        return reference if is_hex(reference) else None
    name = reference.removeprefix("ref: ")
    try:
        found = (repo.common_dir / name).read_text().strip()
    except OSError:
        found = _packed(repo.common_dir / "packed-refs").get(name, "")
    return found if is_hex(found) else None


def _packed(path: Path) -> dict[str, str]:
    try:
        stat = path.stat()
    except OSError:
        return {}
    return _packed_refs(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _packed_refs(path: Path, _mtime: int, _size: int) -> dict[str, str]:
    pairs = (
        line.split(" ", 1) for line in path.read_text(errors="surrogateescape").splitlines() if line[:1] not in "#^"
    )
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def required(repo: GitRepo | None) -> GitRepo:
    """The repository; ``Refused`` where a project has none."""
    if repo is None:
        raise Refused("there is no Git repository here", "%ledger init makes one")
    return repo


def operation(repo: GitRepo) -> str:
    """``merge``, ``rebase``, … when one is under way, else an empty string."""
    marks = {
        "MERGE_HEAD": "merge",
        "rebase-merge": "rebase",
        "rebase-apply": "rebase",
        "CHERRY_PICK_HEAD": "cherry-pick",
        "REVERT_HEAD": "revert",
        "BISECT_LOG": "bisect",
    }
    return next((name for mark, name in marks.items() if (repo.git_dir / mark).exists()), "")


def scrub_url(url: str) -> str:
    """The URL (or a message that holds one) without user names, passwords and tokens."""
    return secrets.scrub(url)


def remote_url(repo: GitRepo) -> str | None:
    """URL of ``origin`` (else of the first remote) without credentials; asked again when the repository's config changes."""
    try:
        stat = (repo.common_dir / "config").stat()
    except OSError:
        return None
    return _remote_url(repo, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _remote_url(repo: GitRepo, _mtime: int, _size: int) -> str | None:
    asked = call(repo, "config", "-z", "--get-regexp", r"^remote\..*\.url$", check=False)
    listed = asked.stdout.decode("utf-8", "replace")
    urls = dict(entry.split("\n", 1) for entry in listed.split("\0") if "\n" in entry)
    url = urls.get("remote.origin.url") or next(iter(urls.values()), None)
    return scrub_url(url) if url else None


def upstream(repo: GitRepo, branch: str) -> tuple[str, int | None, int | None] | None:
    """(upstream branch, commits ahead, behind) of a local branch, counts None where the upstream is gone; None without."""
    asked = "--format=%(upstream:short)%00%(upstream:track,nobracket)", f"refs/heads/{branch}"
    name, _, counts = text(repo, "for-each-ref", *asked, check=False).partition("\0")
    if not name:
        return None
    if counts == "gone":
        return name, None, None
    found = {word: int(count) for word, _, count in (part.partition(" ") for part in counts.split(", ") if part)}
    return name, found.get("ahead", 0), found.get("behind", 0)


def is_checkpoint(path: str) -> bool:
    """Whether ``path`` is JupyterLab's own: a copy that it keeps beside a notebook, or the store of a shared session
    (jupyter-collaboration). No one's work.
    """
    return any(own in f"/{path}" for own in _LABS_OWN)


def changes(repo: GitRepo, *, every_file: bool = False) -> tuple[list[str], list[str]]:
    """Paths (changed, untracked) as ``git status`` sees them; untracked folders as ``folder/`` unless ``every_file``.

    JupyterLab's own files (``is_checkpoint``) are no one's work and are not listed; nor are notebooks that differ from the
    index by no more than a filter takes out, which ``git status`` lists as soon as their size is another one.
    """
    out = call(
        repo, "status", "--porcelain=v1", "-z", "--no-renames", "-uall" if every_file else "-unormal"
    ).stdout.decode("utf-8", "surrogateescape")
    changed: list[str] = []
    untracked: list[str] = []
    for entry in out.split("\0"):
        if entry and not (entry.startswith("??") and is_checkpoint(entry[3:])):
            (untracked if entry.startswith("??") else changed).append(entry[3:])
    executed = [entry[3:] for entry in out.split("\0") if entry.startswith(" M ") and entry.endswith(".ipynb")]
    if executed and any(
        _names_a_filter(path) for path in (repo.root / ".gitattributes", repo.common_dir / "info/attributes")
    ):
        alike = set(executed) - differing(repo, executed)
        changed = [path for path in changed if path not in alike]
    return changed, untracked


def _names_a_filter(attributes: Path) -> bool:
    try:
        return attributes.is_file() and b"filter=" in attributes.read_bytes()
    except OSError:
        return False


def differing(repo: GitRepo, paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` whose contents differ from the index, as filters leave them. Each state of a file is asked once."""
    seen = []
    for place in (*(repo.root / path for path in paths), repo.git_dir / "index", repo.common_dir / "config"):
        try:
            seen.append(files.signature(place.stat()))
        except OSError:
            seen.append((0, 0, 0, 0))
    return set(_differing(repo, tuple(paths), tuple(seen), trust.repository_trusted(repo)))


@lru_cache(64)
def _differing(repo: GitRepo, paths: tuple[str, ...], _seen: object, _trusted: bool) -> list[str]:
    out = call(repo, "diff", "--name-only", "-z", *_NO_DRIVERS, "--", *paths).stdout
    return [os.fsdecode(path) for path in out.split(b"\0") if path]


def tracked(repo: GitRepo, paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` (relative to the root) that are in Git's index; files below a given folder count too."""
    wanted = list(paths)
    if not wanted:
        return set()
    out = call(repo, "ls-files", "-z", "--", *wanted, check=False).stdout
    return set(out.decode("utf-8", "surrogateescape").split("\0")) - {""}


def in_head(repo: GitRepo, paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` (relative to the root) that HEAD's commit holds."""
    if head(repo).commit is None or not paths:
        return set()
    out = call(repo, "ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD", "--", *paths).stdout
    return set(out.decode("utf-8", "surrogateescape").split("\0")) - {""}


def known(repo: GitRepo, paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` that the index or HEAD has: what is staged as removed, or moved elsewhere, is in HEAD alone."""
    return tracked(repo, paths) | in_head(repo, paths)


def ignored(repo: GitRepo, paths: Sequence[str], *, tracked_too: bool = True) -> set[str]:
    """Those of ``paths`` that Git's rules ignore; ``tracked_too``: whether or not they are in the index."""
    # check-ignore refuses literal pathspecs; "./" keeps names that begin with ":" from being magic
    data = b"".join(b"./" + os.fsencode(p) + b"\0" for p in paths)
    out = call(
        repo,
        "check-ignore",
        "-z",
        *(["--no-index"] if tracked_too else []),
        "--stdin",
        stdin=data,
        check=False,
        env={"GIT_LITERAL_PATHSPECS": "0"},
    ).stdout
    return {os.fsdecode(p).removeprefix("./") for p in out.split(b"\0") if p}


def ignored_folders(repo: GitRepo) -> list[str]:
    """Folders (``folder/``) that Git ignores as a whole."""
    out = call(repo, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", check=False).stdout
    return [path for path in out.decode("utf-8", "surrogateescape").split("\0") if path.endswith("/")]


def unlike_checkout(repo: GitRepo, paths: Sequence[str], index: Path) -> list[str]:
    """Those of ``paths`` whose line endings differ from what a checkout of ``index`` would write."""
    out = call(repo, "ls-files", "--eol", "-z", "--", *paths, index=index).stdout
    crlf_here = config(repo, "core.autocrlf") == "true" or config(repo, "core.eol") == "crlf"
    unlike = []
    for entry in out.split(b"\0"):
        facts, _, path = entry.partition(b"\t")
        held, here, attribute, *more = [*facts.decode().split(), "", "", ""][:4]
        attributes = f"{attribute} {' '.join(more)}"
        if held[2:] == here[2:]:
            same = here != "w/lf" or "eol=crlf" not in attributes
        else:
            same = here == "w/crlf" and ("eol=crlf" in attributes or (crlf_here and "eol=lf" not in attributes))
        if path and held[2:] != "-text" and not same:
            unlike.append(os.fsdecode(path))
    return unlike


def locks(repo: GitRepo) -> list[Path]:
    """Git's lock files of the index, HEAD and the branch that are there: a Git process is at work, or one was killed."""
    reference = (repo.git_dir / "HEAD").read_text(errors="surrogateescape").strip()
    branch = [repo.common_dir / f"{reference[5:]}.lock"] if reference.startswith("ref: ") else []
    return [
        path for path in (repo.git_dir / "index.lock", repo.git_dir / "HEAD.lock", *branch) if os.path.lexists(path)
    ]


def refuse_if_locked(repo: GitRepo, patience: float = 1.0) -> None:
    """Raise ``Busy`` when another process holds one of these: nothing may be half-done."""
    deadline = time.monotonic() + patience
    while found := locks(repo):
        if time.monotonic() > deadline:
            raise _held(str(found[0]))
        time.sleep(0.02)


def _held(lock: str) -> Busy:
    what = {"index.lock": "index", "HEAD.lock": "HEAD"}.get(os.path.basename(lock), "branch")
    return Busy(
        f"another Git process holds the {what} lock of this repository, {lock}",
        f"wait for it to finish; if no Git process runs, a killed one left it: rm {shlex.quote(lock)}",
    )


def require_identity(repo: GitRepo | Path) -> None:
    """Raise when a commit would fail for want of user.name and user.email."""
    done = call(repo, "var", "GIT_COMMITTER_IDENT", check=False)
    if done.returncode != 0:
        raise failure("var", done)


def init(root: Path) -> None:
    call(root, "init", "-q")


def blob(repo: GitRepo, data: bytes) -> str:
    """Store ``data`` as a blob, unfiltered; its id."""
    return call(repo, "hash-object", "-w", "--stdin", stdin=data).stdout.decode().strip()


def read_blob(repo: GitRepo, spec: str) -> bytes | None:
    """Bytes of ``commit:path``, a blob's id or ``:path`` (the index); None where there is none."""
    if not (is_hex(spec.partition(":")[0]) or spec.startswith((":", "HEAD:"))):
        return None
    done = call(repo, "cat-file", "blob", "--end-of-options", spec, check=False)
    return done.stdout if done.returncode == 0 else None


def commit_tree(
    repo: GitRepo,
    tree: str,
    parents: Sequence[str],
    message: str,
    *,
    ledger: bool = False,
    when: str | None = None,
    sign: bool = False,
) -> str:
    """Make a commit object. ``ledger`` commits carry nbledger's own name, so they need no identity."""
    env: dict[str, str] = {}
    if ledger:
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": "nbledger", f"GIT_{role}_EMAIL": "nbledger@localhost"}
    if when:
        env |= {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    args = [arg for parent in parents for arg in ("-p", full_id(parent))]
    if sign:
        args.append("-S")
    done = call(repo, "commit-tree", *args, full_id(tree), stdin=message.encode(), env=env, network=sign)
    return done.stdout.decode().strip()


def update_ref(repo: GitRepo, ref: str, new: str, old: str | None = None, message: str = "") -> None:
    """Move a ref; with ``old``, only if it is still there (40 zeros: only if it does not exist)."""
    args = ["-m", message] if message else []
    ids = [full_id(new), *([full_id(old)] if old is not None else [])]
    call(repo, "update-ref", *args, "--end-of-options", ref_name(ref), *ids)


def update_refs(repo: GitRepo, commands: str) -> None:
    """Several ref updates as one transaction (``git update-ref --stdin``)."""
    call(repo, "update-ref", "--stdin", stdin=commands.encode())


def run_refs(repo: GitRepo) -> dict[str, str]:
    """Snapshot refs: {run id: commit}."""
    out = text(repo, "for-each-ref", "--format=%(refname) %(objectname)", RUN_REFS)
    return {ref.removeprefix(RUN_REFS): commit for ref, commit in (line.split() for line in out.splitlines())}


def ref(repo: GitRepo, name: str) -> str | None:
    """The commit that a ref names, read from the ref files; None where there is none, or none that can be read so."""
    return _commit_of(repo, f"ref: {name}")


def ledger_refs(repo: GitRepo) -> dict[str, str]:
    """All refs of the ledger: {full name: commit}."""
    out = text(repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/nbledger/")
    return dict(line.split(" ", 1) for line in out.splitlines())


def has_commit(repo: GitRepo, commit: str) -> bool:
    """Whether this clone holds the commit (its trees and files may still be elsewhere, in a partial clone)."""
    return is_hex(commit) and not call(repo, "cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode


def fetch_run(repo: GitRepo, run_id: str, commit: str) -> bool:
    """Fetch a run's snapshot ref from the remotes that have it, one after the other; whether the commit is here then."""
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        return False
    ref = f"{RUN_REFS}{run_id}"
    quietly = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    # a batch on a cluster sends its snapshot once, under its own name
    names = [ref, f"{SNAPSHOT_REFS}{commit}"] if is_hex(commit) else [ref]
    for remote in text(repo, "remote", check=False).splitlines():
        for name in names:
            call(repo, "fetch", *quietly, "--", remote, f"{name}:{ref}", check=False, network=True)
            if has_commit(repo, commit):
                return True
    return False


def config(repo: GitRepo, key: str) -> str:
    """The last value of ``key``; empty without one."""
    return text(repo, "config", "--get", key, check=False) if not key.startswith("-") else ""


def commit_pathspecs(repo: GitRepo, paths: Sequence[str], message: str) -> str | None:
    """``git commit --only`` of ``paths`` with the user's hooks and signing; None when nothing differs from HEAD."""
    under_way = operation(repo)
    if under_way and under_way != "bisect":
        raise Refused(f"a {under_way} is under way in this repository", f"finish it (git {under_way} --continue) first")
    refuse_if_locked(repo)
    refuse_hooks_of_a_stranger(repo, "commit")
    require_identity(repo)
    present = [p for p in paths if os.path.lexists(repo.root / p)]
    in_index = tracked(repo, present)
    new = [p for p in present if p not in in_index]
    if new:
        call(repo, "add", "-N", "--", *new)
    there = set(present)
    gone = [p for p in paths if p not in there]
    held = known(repo, gone)
    wanted = present + [p for p in gone if p in held]
    if not wanted:
        return None
    if (
        head(repo).commit is not None
        and not call(repo, "diff", "--quiet", *_NO_DRIVERS, "HEAD", "--", *wanted, check=False).returncode
    ):
        _unstage(repo, new)
        return None
    done = call(
        repo, "commit", "-q", "-F", "-", "--only", "--", *wanted, stdin=message.encode(), check=False, hooks=True
    )
    if done.returncode != 0:
        _unstage(repo, new)
        raise failure("commit", done)
    return head(repo).commit


def _unstage(repo: GitRepo, paths: Sequence[str]) -> None:
    """Take out of the index again what was put there for a commit that was not made."""
    if paths:
        call(repo, "rm", "-q", "--cached", "--", *paths, check=False)


def edit_tree(
    repo: GitRepo, tree: str | None, changes: dict[str, str | None], read: dict[str, bytes] | None = None
) -> str | None:
    """A tree like ``tree`` (None: empty) in which each path is a plain file with the given blob, or (None) is gone,
    a folder with all it holds. Only the folders on the way are read (unless ``read`` has them, by id) and written. None when nothing is left.
    """
    entries = _tree_entries(tree, _tree_bytes(repo, tree, read or {})) if tree else {}
    below: dict[str, dict[str, str | None]] = {}
    for path, blob_id in changes.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = blob_id
        elif blob_id is None:
            entries.pop(name, None)
        else:
            entries[name] = ("100644", blob_id)
    for name, inner in below.items():
        mode, old = entries.get(name, ("", ""))
        if mode == "160000":
            raise Refused(f"{name} is a submodule", f"run this inside {name}")
        subtree = edit_tree(repo, old if mode == "40000" else None, inner, read)
        if subtree is not None:
            entries[name] = ("40000", subtree)
        elif mode == "40000":
            del entries[name]
    return _write_tree(repo, entries) if entries else None


def _tree_bytes(repo: GitRepo, tree: str, read: dict[str, bytes]) -> bytes:
    return read[tree] if tree in read else call(repo, "cat-file", "tree", full_id(tree)).stdout


def _tree_entries(tree: str, raw: bytes) -> dict[str, tuple[str, str]]:
    entries, at, width = {}, 0, len(tree) // 2
    while at < len(raw):
        space, end = raw.index(b" ", at), raw.index(b"\0", at)
        entries[os.fsdecode(raw[space + 1 : end])] = (raw[at:space].decode(), raw[end + 1 : end + 1 + width].hex())
        at = end + 1 + width
    return entries


def _write_tree(repo: GitRepo, entries: dict[str, tuple[str, str]]) -> str:
    def order(item: tuple[str, tuple[str, str]]) -> bytes:
        return os.fsencode(item[0]) + (b"/" if item[1][0] == "40000" else b"")

    raw = b"".join(
        mode.encode() + b" " + os.fsencode(name) + b"\0" + bytes.fromhex(object_id)
        for name, (mode, object_id) in sorted(entries.items(), key=order)
    )
    return call(repo, "hash-object", "-t", "tree", "-w", "--stdin", stdin=raw).stdout.decode().strip()


def update_index(repo: GitRepo, changes: dict[str, str | None], timeout: float = 10.0) -> None:
    """Set (blob id) or remove (None) these entries of the user's index; all others stay as they are. Waits up to
    ``timeout`` seconds for another Git process, then ``Busy``.
    """
    gone = "0 " + "0" * max((len(blob_id) for blob_id in changes.values() if blob_id), default=40)
    lines = b"".join(
        (f"100644 {blob_id}\t" if blob_id else f"{gone}\t").encode() + os.fsencode(path) + b"\0"
        for path, blob_id in changes.items()
    )
    deadline = time.monotonic() + timeout
    while True:
        done = call(repo, "update-index", "-z", "--index-info", stdin=lines, check=False)
        if done.returncode == 0:
            return
        problem = failure("update-index", done)
        if not isinstance(problem, Busy) or time.monotonic() > deadline:
            raise problem
        time.sleep(0.05)


def tree_blobs(repo: GitRepo, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """{path: blob id} of those of ``paths`` that the commit has."""
    out = call(repo, "ls-tree", "-z", full_id(commit), "--", *paths).stdout if paths else b""
    parts = (entry.partition(b"\t") for entry in out.split(b"\0") if entry)
    return {os.fsdecode(name): facts.decode().split(" ")[2] for facts, _, name in parts}


def objects_at(repo: GitRepo, commit: str, paths: Sequence[str]) -> dict[str, tuple[str, str, bytes]]:
    """{path: (id, type, bytes)} of those of ``paths`` that the commit has, in one call; an empty path is its tree."""
    full_id(commit)
    asked = [path for path in dict.fromkeys(paths) if "\n" not in path]
    names = b"".join(os.fsencode(f"{commit}:{path}" if path else f"{commit}^{{tree}}") + b"\n" for path in asked)
    out = call(repo, "cat-file", "--batch", stdin=names).stdout if asked else b""
    found, at = {}, 0
    for path, name in zip(asked, names.split(b"\n"), strict=False):
        end = out.index(b"\n", at)
        line = out[at:end]
        at = end + 1
        if line != name + b" missing":
            found_id, kind, size = line.decode().split(" ")
            found[path] = found_id, kind, out[at : at + int(size)]
            at += int(size) + 1
    return found


def commit_named(repo: GitRepo, name: str) -> str | None:
    """The id of the commit that ``name`` (a branch, a tag, ``HEAD~2``, the beginning of an id) means; None if none."""
    if not name or name.startswith(("-", ":")) or not name.isprintable():
        return None
    found = text(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}", check=False)
    return found if is_hex(found) else None


def whole_tree(repo: GitRepo, commit: str) -> dict[str, str]:
    """{path: blob id} of everything that a commit holds."""
    out = call(repo, "ls-tree", "-r", "-z", "--full-tree", full_id(commit)).stdout
    parts = (entry.partition(b"\t") for entry in out.split(b"\0") if entry)
    return {os.fsdecode(name): facts.decode().split(" ")[2] for facts, _, name in parts}


def listed(repo: GitRepo, pattern: str) -> list[str]:
    """Paths of the work tree that match ``pattern`` in any folder: tracked ones, and others that are not ignored."""
    spec, glob = f":(glob)**/{pattern}", {"GIT_LITERAL_PATHSPECS": "0"}
    out = call(repo, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", spec, env=glob).stdout
    return [os.fsdecode(path) for path in out.split(b"\0") if path]


def index_blobs(repo: GitRepo, paths: Sequence[str]) -> dict[str, str]:
    """{path: blob id} of those of ``paths`` that are in the user's index, unmerged ones left out."""
    out = call(repo, "ls-files", "-z", "--stage", "--", *paths).stdout if paths else b""
    found = {}
    for entry in filter(None, out.split(b"\0")):
        head_part, _, name = entry.partition(b"\t")
        _, object_id, stage = head_part.decode().split(" ")
        if stage == "0":
            found[os.fsdecode(name)] = object_id
    return found
