"""``push``: what others need to have the same: first the data, then the branch together with the snapshots of runs.

Nothing is ever forced. The person's ``pre-push`` hook runs once, for the branch and the snapshots, as with ``git push``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nbledger.core import dvc, dvcremote, files, git, gitlog, gitremote, snapshotdata
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.gitremote import LEDGER_REFS, Route
from nbledger.core.project import Project

Progress = Callable[[int, int, str], None]
_NAMED = 12


@dataclass(frozen=True)
class Plan:
    """What a push would send. ``commits``: their ids and first lines, the newest first, of ``count`` in all; ``runs``: the
    snapshot refs that the remote lacks. ``data``: outputs whose present version the data remote lacks.
    """

    route: Route | None
    store: tuple[str, str] | None
    new_branch: bool = False
    count: int = 0
    commits: tuple[str, ...] = ()
    runs: dict[str, str] | None = None
    data: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hook: bool = False


@dataclass(frozen=True)
class Pushed:
    """What was sent: ``data`` files, ``commits`` of ``branch`` to ``remote``, snapshots of ``runs``."""

    remote: str | None
    branch: str | None
    commits: int
    runs: int
    data: int
    upstream: bool
    notes: tuple[str, ...] = ()


def plan(project: Project) -> Plan:
    """Ask the remotes what they lack; raises where a push would fail."""
    repo = project.git
    if repo is None:
        raise Refused("there is no Git repository here", "%ledger init makes one")
    route, store = gitremote.push_route(repo), dvcremote.default_remote(project)
    if route is None and store is None:
        raise Refused(
            "there is no remote to push to", "git remote add origin URL; nbledger init --remote URL for the data"
        )
    notes = []
    if route is None:
        notes.append("there is no Git remote: the commits stay here (git remote add origin URL)")
    outs = [out for out in dvc.outputs(project)[0] if out.cached and out.md5]
    if store is None and outs:
        notes.append("there is no default data remote: the data stay here (nbledger init --remote URL)")
    lacking = tuple(dvcremote.not_in_remote(project)) if store is not None and outs else ()
    asked = Plan(route, store, runs={}, data=lacking, notes=tuple(notes))
    return asked if route is None else _commits(repo, route, asked)


def _commits(repo: git.GitRepo, route: Route, asked: Plan) -> Plan:
    head = git.head(repo).commit
    assert head is not None
    there = gitremote.has(repo, route.remote, route.target, LEDGER_REFS)
    old = there.get(route.target)
    if old is not None and not (git.has_commit(repo, old) and gitlog.is_ancestor(repo, old, head)):
        raise Refused(f"{route.remote} has commits that you do not have", "nbledger pull first")
    here = git.ledger_refs(repo)
    runs = {ref: commit for ref, commit in here.items() if ref not in there}
    differing = sorted(ref for ref, commit in here.items() if there.get(ref, commit) != commit)
    notes = list(asked.notes)
    if differing:
        notes.append(f"{route.remote} has another {differing[0]}: it is left as it is")
    count = gitlog.count(repo, old, head) if old else int(git.text(repo, "rev-list", "--count", "HEAD", "--"))
    named = tuple(gitlog.subjects(repo, old, head, _NAMED)) if count else ()
    hook = bool(gitlog.hooks(repo, "pre-push"))
    return replace(asked, new_branch=old is None, count=count, commits=named, runs=runs, notes=tuple(notes), hook=hook)


def told(asked: Plan) -> list[str]:
    """One line a thing that a push would do."""
    lines = []
    if asked.store is not None:
        name, url = asked.store
        what = (
            f"data: {_some(asked.data)}"
            if asked.data
            else "data: nothing that the present state needs is missing there"
        )
        lines.append(f"{what} → {name} ({url})")
        if asked.runs:
            lines.append(f"data that {_runs(len(asked.runs))} read → {name}, as far as it is missing there")
    if asked.route is not None:
        route = asked.route
        where = f"{route.remote}/{route.target.removeprefix('refs/heads/')} ({route.url})"
        new = " (a new branch there)" if asked.new_branch else ""
        if asked.count:
            lines.append(f"{_count(asked.count, 'commit')} of {route.branch} → {where}{new}")
            lines += [f"  {line}" for line in asked.commits]
            if asked.count > len(asked.commits):
                lines.append(f"  … and {asked.count - len(asked.commits)} more")
        else:
            lines.append(f"commits of {route.branch}: {where} has them all")
        if route.new_upstream:
            lines.append(
                f"{route.remote}/{route.branch} becomes the upstream of {route.branch}: it has none, and there is one remote"
            )
        if asked.runs:
            lines.append(f"snapshots of {_runs(len(asked.runs))} → {route.remote} (refs/nbledger/)")
        lines += ["your pre-push hook runs"] if asked.hook and (asked.count or asked.runs) else []
        lines.append("nothing is overwritten there, nothing is forced")
    return [*lines, *asked.notes]


def push(project: Project, progress: Progress | None = None) -> Pushed:
    """Send data, then commits and snapshots. A step that fails is raised with what was done before it."""
    with files.lock(project.ensure_state() / "share.lock", 2.0, "push or pull"):
        tell = progress or (lambda *_: None)
        if project.git is not None:
            git.refuse_hooks_of_a_stranger(project.git, "push")
        tell(0, 3, "asking the remotes")
        asked = plan(project)
        sent, notes = 0, list(asked.notes)
        if asked.store is not None:
            tell(1, 3, f"data to {asked.store[0]}")
            sent = _send_data(project, asked, notes)
        if asked.route is None:
            return Pushed(None, None, 0, 0, sent, False, tuple(notes))
        tell(2, 3, f"{asked.route.branch} to {asked.route.remote}")
        runs = _send_commits(project, asked, asked.route, notes, sent)
        return Pushed(
            asked.route.remote, asked.route.branch, asked.count, runs, sent, asked.route.new_upstream, tuple(notes)
        )


def _send_data(project: Project, asked: Plan, notes: list[str]) -> int:
    """What the work tree, HEAD and the new snapshots name."""
    sent = dvc.push(project) if asked.data else 0
    assert project.git is not None
    head = git.head(project.git).commit
    commits = [*([head] if head else []), *(asked.runs or {}).values()]
    wanted = snapshotdata.of_commits(project, commits)
    if wanted.lost:
        notes.append(f"not in the cache here, so not pushed from here: {_some(wanted.lost)}")
    if wanted.rows and dvcremote.versioned(project):
        notes.append("the data remote keeps versions itself: only the present data go there, not those of older runs")
    elif wanted.rows:
        sent += dvcremote.push_objects(project, wanted.md5s(legacy=False), wanted.md5s(legacy=True))
    return sent


def _send_commits(project: Project, asked: Plan, route: Route, notes: list[str], sent: int) -> int:
    assert project.git is not None
    specs = (
        [f"refs/heads/{route.branch}:{route.target}"] if asked.count or asked.new_branch or route.new_upstream else []
    )
    if asked.runs:
        specs.append(f"{LEDGER_REFS}:{LEDGER_REFS}")
    if not specs:
        return 0
    try:
        results = gitremote.push(project.git, route, specs)
        flag, summary = results.get(route.target, ("=", ""))
        if flag == "!":
            behind = "fast-forward" in summary or "fetch first" in summary
            hint = "nbledger pull first" if behind else "ask who looks after that repository"
            raise Refused(f"{route.remote} rejected {route.branch}: {summary}", hint)
    except LedgerError as err:
        if not sent:
            raise
        raise type(err)(f"the data are pushed, the commits are not: {err.message}", err.hint) from err
    rejected = sorted(ref for ref, (flag, _) in results.items() if flag == "!" and ref.startswith("refs/nbledger/"))
    if rejected:
        why = results[rejected[0]][1]
        notes.append(f"{route.remote} rejected {_count(len(rejected), 'snapshot')}: {why}")
    return sum(1 for ref in asked.runs or () if results.get(ref, ("!", ""))[0] in "* ")


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _runs(count: int) -> str:
    return _count(count, "run")
