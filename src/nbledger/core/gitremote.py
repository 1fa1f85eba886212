"""Git over the network: where a branch is pushed to and pulled from, what a remote has, and Git's complaints in our words.

Nothing here forces, prompts, or lets a name be read as an option.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import git, trust
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable, Untrusted
from nbledger.core.git import GitRepo

LEDGER_REFS = "refs/nbledger/*"
PUSHING = "NBLEDGER_PUSHING"
"""Variable by which ``nbledger push`` tells the pre-push hook that it is no plain ``git push``."""
_ASK = 30.0  # seconds in which a remote has to say what it has
_SEND = 3600.0

_NO_ENTRY = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied|"
    r"access denied|host key verification failed|\b40[13]\b|invalid username or (password|token)|protected branch",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"could not resolve|connection (refused|timed out|reset|closed)|network is unreachable|no route to host|"
    r"operation timed out|failed to connect|early eof|hung up unexpectedly|\b50[0234]\b",
    re.IGNORECASE,
)
_NOWHERE = re.compile(
    r"does not appear to be a git repository|repository .*not found|no such remote|\b404\b", re.IGNORECASE
)
_BEHIND = re.compile(r"non-fast-forward|fetch first|stale info", re.IGNORECASE)


@dataclass(frozen=True)
class Route:
    """A branch and where it goes: ``target`` is the ref on the remote; ``new_upstream``: none is set yet, and there is
    only this remote.
    """

    branch: str
    remote: str
    target: str
    url: str
    new_upstream: bool


def remotes(repo: GitRepo) -> list[str]:
    return git.text(repo, "remote", check=False).splitlines()


def seen(repo: GitRepo, remote: str) -> dict[str, str]:
    """{branch: commit} of a remote, as it was last seen."""
    prefix = f"refs/remotes/{git.ref_name(remote)}/"
    out = git.text(repo, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in out.splitlines())
    return {ref.removeprefix(prefix): commit for commit, ref in pairs if ref != f"{prefix}HEAD"}


def tags(repo: GitRepo) -> dict[str, str]:
    """{full name: id of the tag, or of the commit where it is a light one}."""
    out = git.text(repo, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/")
    return {ref: commit for commit, ref in (line.split(" ", 1) for line in out.splitlines())}


def current_branch(repo: GitRepo) -> str:
    """The branch that HEAD is on, with at least one commit."""
    head = git.head(repo)
    if head.branch is None:
        raise Refused("HEAD is on no branch", "git switch BRANCH first")
    if head.commit is None:
        raise Refused("there is no commit yet", 'nbledger checkpoint -m "…" makes one')
    return head.branch


def push_route(repo: GitRepo) -> Route | None:
    """Where plain ``git push`` of the current branch would go; None where there is no remote at all. On no branch, at a
    commit that a remote has, as where CI has checked out a tag: that remote, for snapshots only (no ``target``).
    """
    names = remotes(repo)
    if names and (only := _snapshots_only(repo, names)):
        return only
    branch = current_branch(repo)
    if not names:
        return None
    tracked = git.config(repo, f"branch.{branch}.remote")
    remote = git.config(repo, f"branch.{branch}.pushRemote") or git.config(repo, "remote.pushDefault") or tracked
    if not remote:
        if len(names) > 1:
            raise Refused(
                f"{branch} has no upstream, and there are several remotes: {', '.join(names)}",
                f"git push --set-upstream REMOTE {branch}, once",
            )
        remote = names[0]
    merge = git.config(repo, f"branch.{branch}.merge") if remote == tracked else ""
    target = merge if merge.startswith("refs/heads/") else f"refs/heads/{branch}"
    return _route(repo, branch, remote, target, names, not tracked and len(names) == 1)


def _snapshots_only(repo: GitRepo, names: list[str]) -> Route | None:
    head = git.head(repo)
    if head.branch is not None or head.commit is None:
        return None
    has_it = git.text(repo, "for-each-ref", "--contains", head.commit, "--format=%(refname)", "refs/remotes/")
    holders = [name for name in names if any(ref.startswith(f"refs/remotes/{name}/") for ref in has_it.split("\n"))]
    if not holders:
        return None
    return Route(
        "HEAD", holders[0], "", git.scrub_url(git.config(repo, f"remote.{holders[0]}.url")), new_upstream=False
    )


def pull_route(repo: GitRepo) -> Route | None:
    """Where plain ``git pull`` would take the current branch from, unless it is ``alone``; None where there is no remote at all."""
    branch, names = current_branch(repo), remotes(repo)
    if not names:
        return None
    remote, merge = (git.config(repo, f"branch.{branch}.{key}") for key in ("remote", "merge"))
    return _route(repo, branch, remote, merge, names, False)


def alone(repo: GitRepo) -> tuple[str, str] | None:
    """(that the current branch has no upstream, what gives it one) where there are remotes; else None."""
    branch, names = current_branch(repo), remotes(repo)
    remote, merge = (git.config(repo, f"branch.{branch}.{key}") for key in ("remote", "merge"))
    if not names or (remote and merge.startswith("refs/heads/")):
        return None
    there = git.ref(repo, f"refs/remotes/{names[0]}/{branch}") is not None
    way = f"git branch --set-upstream-to {names[0]}/{branch}, once" if there else "nbledger push makes it one"
    return f"{branch} has no upstream", way


def _route(repo: GitRepo, branch: str, remote: str, target: str, names: list[str], new: bool) -> Route:
    if remote not in names:
        raise Refused(
            f"the upstream of {branch} is {git.scrub_url(remote)!r}, which is no remote here", "git remote -v"
        )
    return Route(branch, remote, git.ref_name(target), git.scrub_url(git.config(repo, f"remote.{remote}.url")), new)


def has(repo: GitRepo, remote: str, *patterns: str) -> dict[str, str]:
    """{ref: commit} of what the remote has under these names."""
    done = git.call(repo, "ls-remote", "--", remote, *patterns, check=False, timeout=_ASK, network=True)
    if done.returncode != 0:
        raise complaint(repo, remote, "ls-remote", done)
    pairs = (line.split("\t", 1) for line in done.stdout.decode("utf-8", "surrogateescape").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and git.is_hex(pair[0])}


def default_branch(repo: GitRepo, remote: str) -> str:
    """The branch that HEAD of the remote is on; "" where the remote does not say it."""
    done = git.call(repo, "ls-remote", "--symref", "--", remote, "HEAD", check=False, timeout=_ASK, network=True)
    if done.returncode != 0:
        raise complaint(repo, remote, "ls-remote", done)
    found = re.match(r"ref: refs/heads/(\S+)\tHEAD$", done.stdout.decode("utf-8", "surrogateescape"), re.MULTILINE)
    return found[1] if found else ""


def push(repo: GitRepo, route: Route, specs: list[str]) -> dict[str, tuple[str, str]]:
    """``git push`` with the person's hooks: {ref on the remote: (flag, summary)}, flags as ``--porcelain`` has them. Raises
    where nothing at all came through. Our own hook is told that the data have been looked after.
    """
    _refuse_within(repo, route.remote)
    upstream = ["--set-upstream"] if route.new_upstream else []
    done = git.call(
        repo,
        *("push", "--porcelain", *upstream, "--", route.remote, *specs),
        check=False,
        hooks=True,
        timeout=_SEND,
        env={PUSHING: "1"},
    )
    found = {}
    for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
        flag, tab, rest = line.partition("\t")
        names, _, summary = rest.partition("\t")
        if tab and len(flag) == 1 and ":" in names:
            found[names.split(":", 1)[1]] = flag, summary
    # A connection that broke leaves lines too: of refs that were up to date, and of those of which nothing was heard.
    if done.returncode != 0 and not any(flag == "!" and "report status" not in said for flag, said in found.values()):
        raise complaint(repo, route.remote, "push", done)
    return found


def _refuse_within(repo: GitRepo, remote: str) -> None:
    """A repository that lies in an untrusted work tree is no place to push to: its hooks would run."""
    if trust.repository_trusted(repo):
        return
    url = git.config(repo, f"remote.{remote}.pushurl") or git.config(repo, f"remote.{remote}.url")
    place = Path(os.path.realpath(repo.root / url.removeprefix("file://")))
    if place.is_relative_to(os.path.realpath(repo.root)):
        raise Untrusted(f"{remote} is a repository within this project, whose hooks would run", "nbledger trust")


def fetch(repo: GitRepo, remote: str, *specs: str, quietly: bool = False) -> bool:
    """``git fetch``; with ``quietly`` only objects come, and no ref is moved. False where a ref was rejected.

    With refs of our own (``specs``), or where the remote's own configuration brings those of the ledger, nothing is pruned,
    whatever is configured: that would remove snapshots not yet pushed.
    """
    only = ["--refmap=", "--no-write-fetch-head", "--no-recurse-submodules"] if quietly else []
    only += ["--no-tags"] if specs else []
    if f"{LEDGER_REFS}:{LEDGER_REFS}" in specs:
        specs = (*specs, *(f"^{git.RUN_REFS}{run}" for run in let_go(repo)))
    only += ["--no-prune", "--no-prune-tags"] if specs or maps_ledger(repo, remote) else []
    done = git.call(repo, "fetch", "--quiet", *only, "--", remote, *specs, check=False, timeout=_SEND, network=True)
    if done.returncode == 0:
        return True
    if b"[rejected]" in done.stderr:
        return False
    raise complaint(repo, remote, "fetch", done)


def maps_ledger(repo: GitRepo, remote: str) -> bool:
    """Whether a plain ``git fetch`` of this remote writes to the refs of the ledger (and, with prune, removes some)."""
    key = f"remote.{git.ref_name(remote)}.fetch"
    specs = git.text(repo, "config", "--get-all", key, check=False).splitlines()
    targets = [spec.partition(":")[2].partition("*")[0] for spec in specs]
    ours = LEDGER_REFS.partition("*")[0]
    return any(t.startswith("refs/") and (t.startswith(ours) or ours.startswith(t)) for t in targets)


def let_go_file(repo: GitRepo) -> Path:
    return repo.common_dir / "nbledger" / "let-go"


def let_go(repo: GitRepo) -> list[str]:
    """Runs whose data, and snapshots unless a branch holds them, ``gc --keep`` removed here: they are fetched one by one when
    they are asked for, never all.
    """
    try:
        return [run for run in let_go_file(repo).read_text().split() if re.fullmatch(r"[0-9a-f]{32}", run)]
    except (OSError, UnicodeDecodeError):
        return []


def prunes_ledger(repo: GitRepo) -> list[str]:
    """Remotes of which a plain ``git fetch`` removes snapshots that they have not."""
    found = []
    for remote in remotes(repo):
        said = git.config(repo, f"remote.{remote}.prune") or git.config(repo, "fetch.prune")
        if said.lower() in ("true", "yes", "on", "1") and maps_ledger(repo, remote):
            found.append(remote)
    return found


def complaint(repo: GitRepo, remote: str, verb: str, done: subprocess.CompletedProcess[bytes]) -> LedgerError:
    """What Git says about a remote, as an error with what to do."""
    said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    words = git.scrub_url(" ".join(said))
    if owned := re.search(r"git config --global --add safe\.directory \S+", words):
        return Refused(f"{remote} belongs to another user, and Git does not trust it", f"{owned[0]}, if you do")
    telling = [
        x for x in said if not x.startswith(("error: failed to push", "hint:", "Please make sure", "and the rep"))
    ]
    # ssh says what is wrong, then Git that something is
    telling = [x for x in telling if not x.startswith("fatal: Could not read from remote repository")] or telling
    last = git.scrub_url(telling[-1] if telling else f"exit code {done.returncode}")[:300]
    if _BEHIND.search(words):
        return Refused(f"{remote} has commits that you do not have", "nbledger pull first")
    if _NO_ENTRY.search(words):
        return Refused(f"{remote} did not let you in: {last}", "set up a credential helper or an SSH key for it")
    if _NOWHERE.search(words):
        return Refused(f"there is no repository at {remote}: {last}", f"git remote set-url {remote} URL")
    if _AWAY.search(words):
        return Unreachable(f"{remote} did not answer: {last}", "check the network, then try again")
    return ToolFailed(f"git {verb} failed: {last}", f"git {verb} {remote} shows more")
