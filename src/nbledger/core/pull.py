"""``pull``: the branch, fast-forward only, the snapshots of runs, then the data that the present state needs.

Nothing is merged, rebased or stashed. What the person has changed and the pull would replace is a reason to refuse. A pull
that was killed, or that was to bring a part, is gone on with by the next one: what is left stands in ``.nbledger/pull.json``,
what was cut short while it was placed in ``core.halfplaced``'s note.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nbledger.core import (
    catchup,
    datachange,
    dvc,
    dvcremote,
    elsedata,
    files,
    git,
    gitfilters,
    gitlog,
    gitremote,
    halfplaced,
    kept,
    notebookoutputs,
    pointers,
    recorded,
    replaceable,
    versions,
    whereabouts,
)
from nbledger.core.dvcfiles import Out, Row
from nbledger.core.elsedata import Scope
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.gitremote import LEDGER_REFS, Route
from nbledger.core.project import Project
from nbledger.core.wording import counted, some

Progress = Callable[[int, int, str], None]
_NAMED = 12


@dataclass(frozen=True)
class Wanted:
    """Which data. ``paths``: of these outputs, or files of them, only (relative to the root; none: all that the present
    state needs); ``scopes``: of these commits too, into the cache.
    """

    paths: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a pull would do. ``commit`` is where the branch would go (None: it is there); ``files``: {path: A, M, D} of what
    the work tree gets; ``runs``: snapshots that are not here; ``data``: outputs that are missing or get another version;
    ``left`` those that do not, since only others are wanted; ``more``: versions that the cache gets beside; ``mine``: what is
    said of what was changed here.
    """

    route: Route | None
    commit: str | None = None
    count: int = 0
    commits: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    runs: int = 0
    data: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    more: int = 0
    mine: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pulled:
    """What came: ``commits`` of the branch, now at ``commit``, ``runs`` snapshots, the versions of ``data``; ``objects``
    that came into the cache beside.
    """

    remote: str | None
    branch: str | None
    commit: str | None
    commits: int
    runs: int
    data: tuple[str, ...]
    notes: tuple[str, ...] = ()
    objects: int = 0


def plan(project: Project, wanted: Wanted | None = None) -> Plan:
    """Ask the remote; raises where a pull would fail. Objects of new commits are fetched, no ref is moved."""
    repo, wanted = git.required(project.git), wanted or Wanted()
    under_way = git.operation(repo)
    if under_way == "bisect":
        raise Refused(f"a {under_way} is under way in this repository", "finish it first")
    git.refuse_if_locked(repo)
    here = git.head(repo)
    nowhere = here.branch is None and here.commit is not None  # as where CI has checked out a tag
    store = dvcremote.default_remote(project)
    alone = None if nowhere or under_way else gitremote.alone(repo)
    route = None if nowhere or under_way or alone else gitremote.pull_route(repo)
    needed, mine = replaceable.needed(project, _begun(project))
    missing = tuple(out.path for out in needed)
    if route is None:
        if store is None and not under_way and not _at_hand(project, needed, []):
            raise Refused(*(alone or ("there is no remote to pull from", "git remote add origin URL")))
        why = "HEAD is on no branch" if nowhere else "there is no Git remote"
        why = f"a {under_way} is under way" if under_way else why
        why = f"{alone[0]} ({alone[1]})" if alone else why
        asked = Plan(None, data=missing, notes=(f"{why}: only data are looked for",))
    else:
        notes = ("there is no default data remote: missing data stay missing",) if store is None and missing else ()
        asked = _commits(project, repo, Plan(route, data=missing, notes=notes), route)
    if mine:
        older = tuple(path for out in mine for path in catchup.older(project, out))
        asked = replace(asked, data=(*asked.data, *older), mine=tuple(catchup.left(project, mine)))
    if wanted.scopes:
        asked = replace(asked, more=len(elsedata.missing(project, wanted.scopes)))
    if not wanted.paths:
        return asked
    if asked.commit is None:
        _refuse_unknown(project, wanted.paths)
    chosen = tuple(path for path in asked.data if _chosen(path, wanted.paths))
    return replace(asked, data=chosen, left=tuple(path for path in asked.data if path not in chosen))


def _chosen(path: str, paths: Sequence[str]) -> bool:
    """Whether an output is named, holds what is named, or lies in it."""
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in paths)


def _refuse_unknown(project: Project, paths: Sequence[str]) -> None:
    outs = [out.path for out in dvc.outputs(project)[0] if out.cached]
    for path in paths:
        if not any(_chosen(out, [path]) for out in outs):
            raise UsageError(
                f"DVC tracks nothing at {path}", nearest(path, outs) or "nbledger status lists what there is"
            )


def _commits(project: Project, repo: git.GitRepo, asked: Plan, route: Route) -> Plan:
    there = gitremote.has(repo, route.remote, route.target, LEDGER_REFS)
    new, head = there.get(route.target), git.head(repo).commit
    assert head is not None
    if new is None:
        raise Refused(f"{route.remote} has no {route.target.removeprefix('refs/heads/')}", "nbledger push first")
    if not git.has_commit(repo, new):
        gitremote.fetch(repo, route.remote, route.target, quietly=True)
    here = git.ledger_refs(repo)
    let_go = {git.RUN_REFS + run for run in gitremote.let_go(repo)}
    runs = sum(1 for ref in there if ref != route.target and ref not in here and ref not in let_go)
    if gitlog.is_ancestor(repo, new, head):
        return replace(asked, runs=runs)
    if not gitlog.is_ancestor(repo, head, new):
        raise Refused(
            f"{route.branch} and {route.remote} have diverged: each has commits that the other has not",
            f"{gitfilters.how_to_join(project)}; then nbledger pull brings the data",
        )
    changed = gitlog.changed_paths(repo, head, new)
    _refuse_overlap(repo, changed)
    coming = _refuse_lost_data(project, set(changed))
    return replace(
        asked,
        commit=new,
        count=gitlog.count(repo, head, new),
        commits=tuple(gitlog.subjects(repo, head, new, _NAMED)),
        files=changed,
        runs=runs,
        data=tuple(dict.fromkeys((*asked.data, *coming))),
    )


def _refuse_overlap(repo: git.GitRepo, changed: dict[str, str]) -> None:
    """Files that the person changed, or has beside Git, and that the pull would write."""
    mine, untracked = git.changes(repo, every_file=True)
    both = sorted(path for path in (*mine, *untracked) if path in changed)
    if both:
        raise Refused(
            f"changed here and there: {some(both)}",
            "commit them (nbledger checkpoint -m WHY), then git pull --rebase joins both; or put yours aside",
        )
    folders = {f"{path}/" for path in changed}
    in_the_way = {path for path in untracked if any(path.startswith(folder) for folder in folders)}
    # what is ignored Git would overwrite without a word
    in_the_way |= {path for path, kind in changed.items() if kind == "A" and os.path.lexists(repo.root / path)}
    if in_the_way:
        raise Refused(f"in the way of what is pulled: {some(sorted(in_the_way))}", "move them, then pull again")


def _refuse_lost_data(project: Project, changed: set[str]) -> list[str]:
    """Outputs whose pointers the pull changes; ``Refused`` where one was changed here and is in no cache."""
    outs = _touched(dvc.outputs(project)[0], changed)
    now = dvc.hashes_now(project, outs)
    again, partial = replaceable.Again(project), halfplaced.paths(project, outs)
    for out, md5 in zip(outs, now, strict=True):
        if out.path in partial:
            if mine := halfplaced.strange(project, out):
                raise Refused(
                    f"changed here, and the pull brings another version of {out.path}: {some(mine)}",
                    "move them, then pull again",
                )
            continue
        if md5 is not None and md5 != out.md5 and not again.can_be_had(out, md5):
            raise Refused(
                f"{out.path} is changed here, and the pull brings another version of it",
                f"nbledger track {out.path} first",
            )
    return [out.path for out in outs]


def _touched(outs: Iterable[Out], changed: set[str]) -> list[Out]:
    return [out for out in outs if out.cached and out.md5 and datachange.pointer_of(out) in changed]


# ── what a pull left to the next one ─────────────────────────────────────────────────────────────────────


def _begun(project: Project) -> set[str]:
    """Pointers that were changed by a pull which did not come to their data, or brought a part of them."""
    try:
        return set(map(str, json.loads((project.state / "pull.json").read_bytes())["pointers"]))
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _begin(project: Project, pointers: set[str]) -> None:
    files.write_atomic(project.ensure_state() / "pull.json", json.dumps({"pointers": sorted(pointers)}))


def _left(project: Project, outs: Iterable[Out]) -> None:
    """Remember what of the present state was not brought, or in part only: the next pull brings it, if nothing else is said."""
    if pointers_left := {datachange.pointer_of(out) for out in outs}:
        _begin(project, pointers_left)
        return
    with contextlib.suppress(FileNotFoundError):
        (project.state / "pull.json").unlink()


# ── what it says, and does ───────────────────────────────────────────────────────────────────────────────


def told(asked: Plan) -> list[str]:
    """One line a thing that a pull would do."""
    lines = []
    if asked.route is not None:
        where = f"{asked.route.remote}/{asked.route.target.removeprefix('refs/heads/')} ({asked.route.url})"
        if asked.commit is None:
            lines.append(f"commits: {asked.route.branch} has all of {where}")
        else:
            lines.append(f"{counted(asked.count, 'commit')} of {where} → {asked.route.branch}, fast-forward")
            lines += [f"  {line}" for line in asked.commits]
            if asked.count > len(asked.commits):
                lines.append(f"  … and {asked.count - len(asked.commits)} more")
        if asked.runs:
            lines.append(f"snapshots of {counted(asked.runs, 'run')} ← {asked.route.remote} (refs/nbledger/)")
    if asked.data:
        lines.append(f"data that the state then needs: {some(asked.data)}")
    if asked.more:
        lines.append(f"{counted(asked.more, 'other version')} of data → the cache")
    if asked.left:
        lines.append(f"not brought, since you named others: {some(asked.left)}")
    return [*lines, *asked.notes, *asked.mine]


def overwritten(asked: Plan) -> list[str]:
    """What of the work tree gets other contents; all of it is in Git's history or DVC's cache."""
    words = {"A": "new", "D": "removed", "M": "replaced", "T": "replaced"}
    lines = [f"{path}: {words.get(kind, 'replaced')}" for path, kind in asked.files.items() if kind != "A"]
    return [*lines[:50], *([f"… and {len(lines) - 50} more"] if len(lines) > 50 else [])]


def pull(project: Project, progress: Progress | None = None, wanted: Wanted | None = None) -> Pulled:
    """Do it. A step that fails is raised with what was done before it."""
    wanted = wanted or Wanted()
    git.required(project.git)  # first: no folder of the ledger is made where there is no project
    with files.lock(project.ensure_state() / "share.lock", 2.0, "push or pull"):
        tell = progress or (lambda *_: None)
        steps = 4 if wanted.scopes else 3
        tell(0, steps, "asking the remote")
        halfplaced.sweep(project, dvc.outputs(project)[0] if project.dvc_root else ())
        early = _caught_up(project, wanted)  # first: what is edited beside may have to be tracked before commits come
        asked = plan(project, wanted)
        notes = list(asked.notes)
        if asked.route is not None:
            tell(1, steps, f"{asked.route.branch} from {asked.route.remote}")
            _advance(project, asked, asked.route, notes)
        tell(2, steps, "data")
        came = _data(project, asked, wanted, notes)
        objects = 0
        if wanted.scopes:
            tell(3, steps, "data of other versions")
            objects = _more(project, wanted, notes)
        if asked.runs or came or objects:
            with contextlib.suppress(LedgerError, OSError):
                recorded.keep_all(project)  # what runs need of it stays through a dvc gc, as where they were recorded
        route = asked.route
        head = git.head(project.git).commit if project.git is not None else None
        return Pulled(
            route.remote if route else None,
            route.branch if route else None,
            head,
            asked.count,
            asked.runs,
            tuple(dict.fromkeys((*came, *early))),
            tuple(notes),
            objects,
        )


def _advance(project: Project, asked: Plan, route: Route, notes: list[str]) -> None:
    repo = project.git
    assert repo is not None
    gitremote.fetch(repo, route.remote)
    if asked.runs and not gitremote.fetch(repo, route.remote, f"{LEDGER_REFS}:{LEDGER_REFS}"):
        notes.append(f"{route.remote} has other snapshots of some runs than there are here: yours are kept")
    if asked.commit is None:
        return
    git.refuse_if_locked(repo)
    _begin(project, _begun(project) | set(filter(pointers.is_pointer, asked.files)))
    with notebookoutputs.kept(project, asked.files):
        done = git.call(
            repo,
            *("merge", "--ff-only", "--no-autostash", "--no-overwrite-ignore", "--quiet", asked.commit),
            check=False,
            hooks=True,
            env={"GIT_REFLOG_ACTION": "pull"},
        )
    if done.returncode != 0:
        raise git.failure("merge", done)


def _data(project: Project, asked: Plan, wanted: Wanted, notes: list[str]) -> tuple[str, ...]:
    """Bring what is needed and wanted; all that is needed and not wanted is said."""
    if wanted.paths:
        _refuse_unknown(project, wanted.paths)
    outs, mine = replaceable.needed(project, _begun(project) | set(asked.files))
    chosen = [out for out in outs if not wanted.paths or _chosen(out.path, wanted.paths)]
    if len(chosen) < len(outs):
        notes.append(
            f"not brought, since you named others: {some(sorted({o.path for o in outs} - {o.path for o in chosen}))}"
        )
    if dvcremote.default_remote(project) is None:
        chosen = _at_hand(project, chosen, notes)
    parts = {name: out for out in chosen for name in _parts(project, out, wanted.paths)}
    if any(name != out.path for name, out in parts.items()):
        # of a folder of which only some files came the rest is to come
        _begin(project, _begun(project) | {datachange.pointer_of(out) for out in chosen})
    older = _older(project, mine, wanted)
    parts |= {path: out for path, (out, md5) in older.items() if md5 is not None}
    problem = _fetched(project, parts)
    at_hand = whereabouts.Here(project)
    whole = [n for n, out in parts.items() if _whole(project, at_hand, out, n) or (out.imported and problem is None)]
    before = "the commits are pulled, but not all data: " if asked.commit else ""
    try:
        _placed(project, parts, whole)
    except LedgerError as err:
        raise type(err)(f"{before}{err.message}", err.hint) from err
    if len(whole) < len(parts):
        lacking = [out for name, out in parts.items() if name not in whole]
        cause = problem or Refused(f"not brought: {some([out.path for out in lacking])}", "dvc pull shows more")
        raise elsedata.explained(project, elsedata.lost(project, lacking), cause, before)
    _left(project, [out for out in outs if out.path not in parts])
    removed = catchup.removed(project, [path for path, (_, md5) in older.items() if md5 is None])
    notes += catchup.left(project, mine)
    return (*parts, *removed)


def _older(project: Project, mine: Iterable[Out], wanted: Wanted) -> dict[str, tuple[Out, str | None]]:
    """{path: (output, HEAD's hash)} of what is merely older in outputs that were changed here; None for what HEAD has no more."""
    found = {path: (out, md5) for out in mine for path, md5 in catchup.older(project, out).items()}
    return {path: one for path, one in found.items() if not wanted.paths or _chosen(path, wanted.paths)}


def _caught_up(project: Project, wanted: Wanted) -> tuple[str, ...]:
    """Bring that now, as far as it can be had: what cannot is said when its turn comes."""
    older = _older(project, replaceable.needed(project, _begun(project))[1], wanted)
    parts = {path: out for path, (out, md5) in older.items() if md5 is not None}
    try:
        if parts and _fetched(project, parts) is not None:
            return ()
        at_hand = whereabouts.Here(project)
        whole = [path for path, out in parts.items() if _whole(project, at_hand, out, path)]
        _placed(project, parts, whole)
    except LedgerError:
        return ()
    return (*whole, *catchup.removed(project, [path for path, (_, md5) in older.items() if md5 is None]))


def _placed(project: Project, parts: Mapping[str, Out], names: Sequence[str]) -> None:
    """Put these, which the cache has, into the work tree."""
    if not names:
        return
    single = [parts[name] for name in names if name != parts[name].path]
    with halfplaced.noted(project, [parts[name] for name in names if name == parts[name].path], single):
        dvc.pull(project, names)


def _fetched(project: Project, parts: Mapping[str, Out]) -> LedgerError | None:
    """Bring what the cache has not, before the work tree is touched: where a new version is missing DVC would take away the
    old one. What went wrong, if anything did.
    """
    kept.bring_back(project, sorted({out.md5 for out in parts.values()}))
    at_hand = whereabouts.Here(project)
    absent = [name for name, out in parts.items() if not _whole(project, at_hand, out, name)]
    try:
        if absent:
            dvc.fetch(project, absent)
    except LedgerError as err:
        return err
    return None


def _whole(project: Project, at_hand: whereabouts.Here, out: Out, name: str) -> bool:
    """Whether the cache has all bytes of an output, or of what lies at ``name`` in it."""
    if not at_hand.has(out.md5, legacy=out.legacy) or not out.is_dir:
        return not out.is_dir and at_hand.has(out.md5, legacy=out.legacy)
    within = name.removeprefix(out.path).strip("/")
    entries = dvc.folder_entries(project, out).items()
    wanted = {md5 for path, md5 in entries if not within or path == within or path.startswith(f"{within}/")}
    return (bool(wanted) or not within) and all(at_hand.has(md5, legacy=out.legacy) for md5 in wanted)


def _parts(project: Project, out: Out, paths: Sequence[str]) -> list[str]:
    """What of an output is wanted: files of a folder that is not here, or all of it."""
    inside = [path for path in paths if path.startswith(f"{out.path}/")]
    whole = not inside or any(out.path == path or out.path.startswith(f"{path}/") for path in paths)
    return [out.path] if whole else inside


def _at_hand(project: Project, outs: Sequence[Out], notes: list[str]) -> list[Out]:
    """Those that the cache has whole: there is no remote to get others from."""
    here = versions.Cached(project)
    found = [out for out in outs if here.has(Row(out.path, out.md5, out.size, out.nfiles, True, out.legacy))]
    if len(found) < len(outs):
        lacking = sorted({out.path for out in outs} - {out.path for out in found})
        notes.append(f"not brought, for want of a default data remote: {some(lacking)}")
    return found


def _more(project: Project, wanted: Wanted, notes: list[str]) -> int:
    count, left = elsedata.bring(project, wanted.scopes)
    if left:
        named = some(sorted({f"{need.path} (of {need.where})" for need in left}))
        notes.append(f"in no remote, so not brought: {named}")
    return count
