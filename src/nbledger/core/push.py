"""``push``: what others need to have the same: first the data, then the branch together with the snapshots of runs.

Nothing is ever forced. The person's ``pre-push`` hook runs once, for the branch and the snapshots, as with ``git push``.
A push that was killed, wherever, is gone on with by the next one: data that are there are not sent again, and no commit is
sent before the data that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from nbledger.core import (
    conflicts,
    dvc,
    dvcremote,
    files,
    git,
    gitfilters,
    gitlog,
    gitremote,
    needs,
    prepush,
    restorable,
    whereabouts,
)
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.gitremote import LEDGER_REFS, Route
from nbledger.core.needs import Need
from nbledger.core.project import Project
from nbledger.core.restorable import Gap
from nbledger.core.whereabouts import Found
from nbledger.core.wording import counted, some

Progress = Callable[[int, int, str], None]
_NAMED = 12


@dataclass(frozen=True)
class Wanted:
    """What to push. ``runs``: their snapshots; ``tags``: all that the remote has not; ``allow_missing``: also commits whose
    data are neither here nor in the remote. ``waiting``: how many runs are not published yet, to be told; ``unpublished``: the
    names that their snapshots, and those of open runs, have until then. They are not sent: others would keep them for ever
    beside those of the published runs.
    """

    runs: bool = True
    tags: bool = False
    allow_missing: bool = False
    waiting: int = 0
    unpublished: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What a push would send. ``commits``: their ids and first lines, the newest first, of ``count`` in all; ``runs`` and
    ``tags``: the refs that the remote lacks; ``unsent``: snapshots that are left here. ``data``: outputs whose present
    version the data remote lacks, ``unnamed`` those of which no commit names it yet; ``older``: those of which it lacks another version that is named; ``found`` all of these.
    ``gaps``: what others could not restore after it.
    """

    route: Route | None
    store: tuple[str, str] | None
    new_branch: bool = False
    count: int = 0
    commits: tuple[str, ...] = ()
    runs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    unsent: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    hook: bool = False


@dataclass(frozen=True)
class Pushed:
    """What was sent: ``data`` files, ``commits`` of ``branch`` to ``remote``, snapshots of ``runs``, ``tags``; ``gaps``:
    what others cannot restore all the same.
    """

    remote: str | None
    branch: str | None
    commits: int
    runs: int
    data: int
    upstream: bool
    notes: tuple[str, ...] = ()
    tags: int = 0
    gaps: tuple[Gap, ...] = ()


@dataclass
class _There:
    """What the Git remote has: ``known`` commits, and ``others`` {commit: what to call it} whose data must be had too."""

    known: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


def plan(project: Project, wanted: Wanted | None = None) -> Plan:
    """Ask the remotes what they lack; raises where a push would fail."""
    repo, wanted = git.required(project.git), wanted or Wanted()
    route, store = gitremote.push_route(repo), dvcremote.default_remote(project)
    if route is None and store is None:
        raise Refused(
            "there is no remote to push to", "git remote add origin URL; nbledger init --remote URL for the data"
        )
    asked, there = Plan(route, store), _There()
    if route is None:
        asked = replace(asked, notes=("there is no Git remote: the commits stay here (git remote add origin URL)",))
    else:
        asked = _commits(project, repo, asked, wanted, there)
    return _data(project, asked, wanted, there)


def _commits(project: Project, repo: git.GitRepo, asked: Plan, wanted: Wanted, found: _There) -> Plan:
    head, route = git.head(repo).commit, asked.route
    assert head is not None
    assert route is not None
    target = [route.target] if route.target else []
    there = gitremote.has(repo, route.remote, *target, LEDGER_REFS, "refs/tags/*")
    old = there.get(route.target)
    seen = gitremote.seen(repo, route.remote)
    if old is not None and not (git.has_commit(repo, old) and gitlog.is_ancestor(repo, old, head)):
        both = needs.new_commits(repo, [head], [*seen.values(), old])
        hint = f"{gitfilters.how_to_join(project)}; nbledger pull brings the data" if both else "nbledger pull first"
        raise Refused(f"{route.remote} has commits that you do not have", hint)
    here = git.ledger_refs(repo)
    waiting = {git.RUN_REFS + name for name in wanted.unpublished}
    runs = {ref: commit for ref, commit in here.items() if ref not in there and ref not in waiting}
    tags = {ref: commit for ref, commit in gitremote.tags(repo).items() if ref not in there} if wanted.tags else {}
    differing = sorted(ref for ref, commit in here.items() if there.get(ref, commit) != commit)
    notes = list(asked.notes)
    if differing:
        notes.append(f"{route.remote} has another {differing[0]}: it is left as it is")
    notes += conflicts.sent(repo, old, head)
    found.known = [*seen.values(), *there.values()]
    found.others = {commit: f"{route.remote}/{name}" for name, commit in seen.items()}
    found.others |= {c: _called(ref) for ref, c in (gitremote.tags(repo) | here).items() if ref in there}
    count = gitlog.count(repo, old, head) if old else len(needs.new_commits(repo, [head], found.known))
    if not target:
        count, notes = 0, [*notes, "HEAD is on no branch: no commits are sent, only data and the snapshots of runs"]
    return replace(
        asked,
        new_branch=bool(target) and old is None,
        count=count,
        commits=tuple(gitlog.subjects(repo, old, head, min(count, _NAMED))) if count else (),
        runs=runs if wanted.runs else {},
        tags=tags,
        unsent=() if wanted.runs else tuple(runs),
        notes=tuple(notes),
        hook=prepush.others(repo),
    )


def _data(project: Project, asked: Plan, wanted: Wanted, there: _There) -> Plan:
    """What the data remote lacks of the present state, of new commits, of runs, and of what others have already."""
    outs = [out for out in dvc.outputs(project)[0] if out.cached and out.md5] if project.dvc_root else []
    whereabouts.refuse_unmounted(project, there.others)
    notes = list(asked.notes)
    if asked.store is None and outs:
        notes.append("there is no default data remote: the data stay here (nbledger init --remote URL)")
    lacking = dvcremote.not_in_remote(project) if asked.store is not None and outs else []
    present, new, snapshots, others = _named(project, asked, there)
    now, brought = {need.version for need in present}, {need.version for need in new}
    sent = now | brought | {need.version for need in snapshots}
    every = {need.version: need for need in reversed((*present, *new, *snapshots, *others))}
    found = whereabouts.look(project, list(every.values()), inside=lambda need: need.version in sent)
    lost = [one for one in found if one.lost and not one.why and not one.need.made and one.need.version in brought]
    if lost and asked.route is not None and not wanted.allow_missing:
        named = some([f"{one.need.path} (in {one.need.where})" for one in lost], 3)
        raise Refused(
            f"data that your commits name are neither here nor in the remote: {named}",
            "track them again where the bytes are, or fetch them; --allow-missing pushes the commits without them",
        )
    sendable = [one.need for one in found if one.here and not one.why]
    nothing = {one.need.path for one in found if one.lost and not one.here}
    data = tuple(sorted({*lacking} - nothing | {need.path for need in sendable if need.version in now}))
    gaps = restorable.of_data(one for one in found if one.lost or one.why)
    gaps += restorable.of_sources([*present, *new])
    gaps += restorable.of_work_tree(project) + restorable.of_runs(project, wanted.waiting)
    if asked.route is not None and project.git is not None:
        gaps += restorable.of_snapshots(asked.unsent)
        gaps += restorable.of_places(project.git, asked.route.remote, asked.store)
    return replace(
        asked,
        data=data,
        unnamed=_unnamed(project, lacking, [one.need for one in found if not one.why]),
        older=tuple(sorted({need.path for need in sendable if need.version not in now} - set(data))),
        found=tuple(found),
        gaps=tuple(gaps),
        notes=tuple(notes),
    )


def _unnamed(project: Project, lacking: Sequence[str], known: Iterable[Need]) -> tuple[str, ...]:
    """Outputs whose present version is not among those that are sent by their hash: it is in no commit yet, or the remote
    knows no hashes.
    """
    now = {out.path: out.md5 for out in dvc.outputs(project)[0] if out.path in lacking}
    named = {(need.path, need.md5) for need in known}
    return tuple(path for path in lacking if (path, now.get(path)) not in named)


def _named(project: Project, asked: Plan, there: _There) -> tuple[list[Need], ...]:
    """Versions that HEAD holds, that new commits bring, that the snapshots to be sent hold, and that others have."""
    assert project.git is not None
    head = git.head(project.git)
    if head.commit is None:
        return [], [], [], []
    label = head.branch or "HEAD"
    tips = {head.commit: label} | {commit: _called(ref) for ref, commit in asked.tags.items()}
    new = needs.of_new(project, tips, there.known) if asked.route is not None else []
    present = needs.of_trees(project, {head.commit: label})
    snapshots = needs.of_trees(project, {commit: _called(ref) for ref, commit in asked.runs.items()})
    return present, new, snapshots, needs.of_trees(project, there.others)


def _called(ref: str) -> str:
    kind, _, name = ref.removeprefix("refs/").partition("/")
    return f"tag {name}" if kind == "tags" else f"run {name.rpartition('/')[2][:8]}"


def told(asked: Plan) -> list[str]:
    """One line a thing that a push would do, then what others could not restore all the same."""
    lines = []
    if asked.store is not None:
        name, url = asked.store
        what = (
            f"data: {some(asked.data)}" if asked.data else "data: nothing that the present state needs is missing there"
        )
        lines.append(f"{what} → {name} ({url})")
        if asked.older:
            lines.append(f"other versions, which commits or runs name: {some(asked.older)} → {name}")
    if asked.route is not None:
        route = asked.route
        where = f"{route.remote}/{route.target.removeprefix('refs/heads/')} ({route.url})"
        new = " (a new branch there)" if asked.new_branch else ""
        if asked.count:
            lines.append(f"{counted(asked.count, 'commit')} of {route.branch} → {where}{new}")
            lines += [f"  {line}" for line in asked.commits]
            if asked.count > len(asked.commits):
                lines.append(f"  … and {asked.count - len(asked.commits)} more")
        elif asked.new_branch:
            lines.append(f"{route.branch} → {where}{new}: the remote has its commits already")
        elif route.target:
            lines.append(f"commits of {route.branch}: {where} has them all")
        if route.new_upstream:
            lines.append(
                f"{route.remote}/{route.branch} becomes the upstream of {route.branch}: it has none, and there is one remote"
            )
        if asked.tags:
            lines.append(f"tags: {some([ref.removeprefix('refs/tags/') for ref in asked.tags])} → {route.remote}")
        if asked.runs:
            lines.append(f"snapshots of {counted(len(asked.runs), 'run')} → {route.remote} (refs/nbledger/)")
        lines += ["your pre-push hook runs"] if asked.hook and (asked.count or asked.runs or asked.tags) else []
        lines.append("nothing is overwritten there, nothing is forced")
    lines += asked.notes
    if asked.gaps:
        lines += ["others could not restore, even then:", *(f"  {line}" for line in restorable.told(asked.gaps))]
    return lines


def push(project: Project, progress: Progress | None = None, wanted: Wanted | None = None) -> Pushed:
    """Send data, then commits and snapshots. A step that fails is raised with what was done before it."""
    repo = git.required(project.git)  # first: no folder of the ledger is made where there is no project
    with files.lock(project.ensure_state() / "share.lock", 2.0, "push or pull"):
        tell = progress or (lambda *_: None)
        git.refuse_hooks_of_a_stranger(repo, "push")
        tell(0, 3, "asking the remotes")
        asked = plan(project, wanted)
        sent, gaps, notes = 0, list(asked.gaps), list(asked.notes)
        if asked.store is not None or any(one.here and not one.why for one in asked.found):
            tell(1, 3, f"data to {asked.store[0] if asked.store else 'their remotes'}")
            sent = _send_data(project, asked, gaps)
        if asked.route is None:
            return Pushed(None, None, 0, 0, sent, False, tuple(notes), 0, tuple(gaps))
        tell(2, 3, f"{asked.route.branch if asked.route.target else 'snapshots'} to {asked.route.remote}")
        runs, tags = _send_commits(project, asked, asked.route, notes, gaps, sent)
        route = asked.route
        upstream = route.new_upstream
        return Pushed(
            route.remote,
            route.branch,
            asked.count,
            runs,
            sent,
            upstream,
            tuple(notes),
            tags,
            tuple(dict.fromkeys(gaps)),
        )


def _send_data(project: Project, asked: Plan, gaps: list[Gap]) -> int:
    """What the work tree, HEAD, the new commits and snapshots name; then it is asked whether all is there."""
    sent = dvc.push(project, asked.unnamed) if asked.unnamed else 0
    wanted = [one for one in asked.found if one.here and not one.why]
    if not wanted:
        return sent
    sent += whereabouts.send(project, wanted)
    left = [one for one in whereabouts.look(project, [one.need for one in wanted]) if one.here]
    gaps += restorable.of_data(left)
    return sent


def _send_commits(
    project: Project, asked: Plan, route: Route, notes: list[str], gaps: list[Gap], sent: int
) -> tuple[int, int]:
    """How many snapshots and tags are there now."""
    assert project.git is not None
    specs = (
        [f"refs/heads/{route.branch}:{route.target}"] if asked.count or asked.new_branch or route.new_upstream else []
    )
    specs += [f"{ref}:{ref}" for ref in asked.tags]
    if asked.runs:
        specs.append(f"{LEDGER_REFS}:{LEDGER_REFS}")
    if not specs:
        return 0, 0
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
    for refs, what in ((asked.runs, "snapshot"), (asked.tags, "tag")):
        rejected = sorted(ref for ref in refs if results.get(ref, ("", ""))[0] == "!")
        if rejected:
            why = results[rejected[0]][1]
            notes.append(f"{route.remote} rejected {counted(len(rejected), what)}: {why}")
            gaps += restorable.of_snapshots(rejected) if refs is asked.runs else []
    return _arrived(results, asked.runs), _arrived(results, asked.tags)


def _arrived(results: dict[str, tuple[str, str]], refs: Iterable[str]) -> int:
    return sum(1 for ref in refs if results.get(ref, ("!", ""))[0] in "* ")
