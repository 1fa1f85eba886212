"""A clone in steps that can be gone on with: what `git clone` makes, with the snapshots of runs, and without its hooks.

What was reached stands in ``.git/nbledger/join.json``. Until everything is fetched there is nothing of the person's in the
folder, so a fetch that was killed is begun anew; Git cannot go on with one. The files are written by an index of our own, so
that a killed process leaves no lock behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import files, git, gitremote
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.gitremote import LEDGER_REFS
from nbledger.core.repoaddress import Address, same

Tell = Callable[[str], None]
_ASK, _BRING = 60.0, 4 * 3600.0
_PLAIN = ("-c", "submodule.recurse=false", "-c", "core.sparseCheckout=false", "-c", "advice.detachedHead=false")
_BRANCHES = "refs/heads/"


@dataclass(frozen=True)
class Cloned:
    """``fresh``: it was made, or finished, by this call; ``snapshots``: those of runs that came with it."""

    root: Path
    branch: str | None
    commit: str
    fresh: bool
    snapshots: int


def clone(address: Address, place: Path, branch: str | None, tell: Tell) -> Cloned:
    """Clone into ``place``, or go on where an earlier call stopped; a clone of the same repository is left as it is.

    Raises before anything is written where the repository cannot be asked, and leaves nothing behind where the first fetch
    fails.
    """
    existing = _existing(address, place)
    if existing is not None:
        head = git.head(existing)
        if head.commit is None:
            raise Refused(f"{place} is a clone without a commit", f"git -C {place} pull, or remove it and join again")
        if branch is not None and branch != head.branch:
            raise Refused(f"{place} is on {head.branch or 'no branch'}", f"git -C {place} switch {branch}")
        return Cloned(existing.root, head.branch, head.commit, False, len(git.run_refs(existing)))
    noted = _noted(place)
    if noted is None or "branch" not in noted:
        noted = {"url": address.shown}
        tell(f"asking {address.shown}")
        chosen = _chosen(address, branch)
        _fetch(address, place, chosen, noted, tell)
    elif branch is not None and branch != noted["branch"]:
        raise Refused(
            f"{place} was begun with the branch {noted['branch']}",
            f"without --branch it is finished; then git switch {branch}",
        )
    with _alone(place):
        tell("files of the work tree")
        _check_out(place, noted)
    repo = git.discover(place)
    assert repo is not None
    head = git.head(repo)
    assert head.commit is not None
    return Cloned(place, head.branch, head.commit, True, len(git.run_refs(repo)))


# ── what is there already ────────────────────────────────────────────────────────────────────────────────


def _existing(address: Address, place: Path) -> git.GitRepo | None:
    """The whole clone of this repository at ``place``; None where there is none yet. ``Refused`` for anything else."""
    if not os.path.lexists(place):
        return None
    if not place.is_dir():
        raise Refused(f"{place} is a file", "name another folder: nbledger join URL DIR")
    held = set(os.listdir(place))
    noted = _noted(place)
    if not held or (held == {".git"} and os.listdir(place / ".git") == ["nbledger"]):
        return None
    if noted is not None and not noted.get("whole"):
        if not same(str(noted.get("url", "")), address.shown):
            raise Refused(f"{place} was begun as a clone of {noted.get('url')}", "name another folder, or remove it")
        if "branch" not in noted and held - {".git"}:
            raise Refused(f"{place} is not empty", "name another folder: nbledger join URL DIR")
        return None
    repo = git.discover(place) if ".git" in held else None
    if repo is None or repo.root != place:
        raise Refused(f"{place} is not empty", "name another folder: nbledger join URL DIR")
    listed = git.text(repo, "config", "--get-all", "remote.origin.url", check=False).splitlines()
    if not any(same(url, address.url) for url in listed):
        other = f" of {git.scrub_url(listed[0])}" if listed else ""
        raise Refused(f"{place} is another repository{other}", "name another folder: nbledger join URL DIR")
    return repo


def noted_file(place: Path) -> Path:
    return place / ".git" / "nbledger" / "join.json"


def _noted(place: Path) -> dict[str, Any] | None:
    """What an earlier call reached here; None where there was none. It lies where no clone can bring it along."""
    try:
        found = json.loads(noted_file(place).read_bytes())
    except OSError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def whole(place: Path) -> bool:
    """Whether everything of the repository was brought here by a join."""
    return bool((_noted(place) or {}).get("whole"))


def note_whole(place: Path, shown: str) -> None:
    """What a plain clone lacked has been brought."""
    with contextlib.suppress(OSError):  # a linked work tree: its .git is a file
        noted_file(place).parent.mkdir(exist_ok=True)
        _note(place, {"url": shown, "whole": True})


def _note(place: Path, noted: dict[str, Any]) -> None:
    files.write_atomic(noted_file(place), json.dumps(noted))


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    with files.lock(noted_file(place).with_suffix(".lock"), 2.0, f"{place} (another join)"):
        yield


# ── the steps ────────────────────────────────────────────────────────────────────────────────────────────


def _chosen(address: Address, branch: str | None) -> str:
    """The branch that is wanted, or the one that the repository is on."""
    words = ("ls-remote", "--symref", "--", address.url, "HEAD", f"{_BRANCHES}*")
    done = git.call(_nowhere(), *words, check=False, timeout=_ASK, network=True)
    if done.returncode != 0:
        raise _complaint(address, "ls-remote", done)
    lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    there = [name.removeprefix(_BRANCHES) for line in lines if (name := line.partition("\t")[2]).startswith(_BRANCHES)]
    default = next((line[5:].partition("\t")[0] for line in lines if line.startswith("ref: ")), "").removeprefix(
        _BRANCHES
    )
    if not there:
        raise Refused(
            f"{address.shown} holds no branch yet", "who set it up has to push first: nbledger init, nbledger push"
        )
    if branch is not None:
        if branch not in there:
            raise UsageError(
                f"{address.shown} has no branch {branch[:80]!r}",
                nearest(branch, there) or f"it has: {', '.join(there[:8])}",
            )
        return branch
    # a bare repository may still be on a branch that nobody ever pushed
    likely = [name for name in (default, "main", "master") if name in there]
    if not likely and len(there) > 1:
        raise UsageError(
            f"{address.shown} does not say which branch is meant", f"--branch, one of: {', '.join(there[:8])}"
        )
    return (likely or there)[0]


def _fetch(address: Address, place: Path, branch: str, noted: dict[str, Any], tell: Tell) -> None:
    """Make the repository and bring everything of it: branches, tags and the snapshots of runs."""
    made = _first_made(place)
    try:
        noted_file(place).parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise LedgerError(
            f"cannot write to {place}: {err.strerror}", "name another folder: nbledger join URL DIR"
        ) from err
    with _alone(place):
        _wipe(place)
        _note(place, noted)
        try:
            git.ref_name(branch)
            git.call(_nowhere(), "init", "--quiet", "--", str(place))
            git.call(place, "symbolic-ref", "HEAD", f"{_BRANCHES}{branch}")
            git.call(place, "remote", "add", "--", "origin", address.url)
            tell(f"commits, tags and snapshots of runs from {address.shown}")
            quiet = ("--quiet", "--no-recurse-submodules", "--no-write-fetch-head", "--tags")
            specs = ("+refs/heads/*:refs/remotes/origin/*", f"{LEDGER_REFS}:{LEDGER_REFS}")
            words = ("fetch", *quiet, "--", "origin", *specs)
            done = git.call(place, *words, check=False, timeout=_BRING, network=True)
            if done.returncode != 0:
                raise _complaint(address, "fetch", done)
            commit = git.text(
                place, "rev-parse", "--verify", "--end-of-options", f"refs/remotes/origin/{branch}^{{commit}}"
            )
            git.update_ref(_repo(place), f"{_BRANCHES}{branch}", commit)
            git.call(place, "config", f"branch.{branch}.remote", "origin")
            git.call(place, "config", f"branch.{branch}.merge", f"{_BRANCHES}{branch}")
            git.call(place, "symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}")
        except LedgerError:
            shutil.rmtree(place / ".git", ignore_errors=True)
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        noted["branch"] = branch
        _note(place, noted)


def _nowhere() -> Path:
    """A folder in which no other repository's configuration has a say."""
    return Path(Path.home().anchor)


def _first_made(place: Path) -> list[Path]:
    """The folders that have to be made, the innermost first."""
    return [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]


def _wipe(place: Path) -> None:
    """Take what a killed fetch left: nothing of it is anybody's, and Git cannot go on with it."""
    for item in (place / ".git").iterdir():
        if item.name == "nbledger":
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)


def _check_out(place: Path, noted: dict[str, Any]) -> None:
    """Write the files of HEAD, and the index when all are there."""
    repo = _repo(place)
    index = repo.git_dir / f"nbledger-{secrets.token_hex(4)}.index"
    try:
        swept(place)
        if not (repo.git_dir / "index").exists():
            git.call(repo, *_PLAIN, "read-tree", "--reset", "-u", "HEAD", index=index)
            os.replace(index, repo.git_dir / "index")
    finally:
        swept(place)
    noted["whole"] = True
    _note(place, noted)


def swept(place: Path) -> None:
    """Remove the indices of a checkout that was killed. Its Git may have gone on for a moment after: so again at a join's end."""
    for leftover in (place / ".git").glob("nbledger-*.index*"):
        leftover.unlink(missing_ok=True)


def _repo(place: Path) -> git.GitRepo:
    found = git.discover(place)
    if found is None or found.root != place:
        raise LedgerError(f"{place} is no clone any more", "join again, into another folder")
    return found


def _complaint(address: Address, verb: str, done: Any) -> LedgerError:
    err = gitremote.complaint(git.GitRepo(Path(), Path(), Path()), address.shown, verb, done)
    if err.hint.startswith("git remote set-url"):
        return type(err)(
            f"there is no Git repository at {address.shown}", "look at the address; you may have to log in to see it"
        )
    return err
