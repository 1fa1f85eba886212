"""Which runs stand for a commit: those whose code is the commit's, else the nearest ones before it that say so."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nbledger.core import cells, dvcfiles, git, gitlog, mlflow, runs, secrets, stagecells
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.git import GitRepo
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.report import Commit, Told
from nbledger.core.runs import REPRODUCES, VERDICT, only_compares

PARENT = "mlflow.parentRunId"
_REPRODUCED_BY = "nbledger.reproduced_by"
_LOOKED = 1_000  # of the newest runs
_LINE = 500  # commits on either side
_TREES = 60  # comparisons of a run's code with a commit's
_NAMES = 30
_NEAR = 10  # commits of either side for which another experiment is looked for

Key = tuple[str, str]
"""(the notebook or script, the stage's name or the run's)"""


@dataclass(frozen=True)
class Standing:
    """A run and how many commits before its side it was made; 0: its code is the side's."""

    row: RunRow
    behind: int


@dataclass(frozen=True)
class Chosen:
    """{key: the run} of each side, the base's as far as the head has one too; ``only_base`` are the names of the others that
    have the base's code; ``elsewhere``: the experiment that the runs are of, where it is not the project's own.
    """

    base: Mapping[Key, Standing] = field(default_factory=dict)
    head: Mapping[Key, Standing] = field(default_factory=dict)
    only_base: tuple[str, ...] = ()
    more: int = 0
    elsewhere: str = ""


def choose(project: Project, base: Commit, head: Commit) -> Chosen:
    """The newest finished run of each notebook and name (or stage) on either side. A run of a changed work tree stands for
    the commit that has its code (outputs of notebooks and of stages apart), and for no other; that commit may lie before a side, too.
    """
    repo = project.git
    assert repo is not None
    lines = gitlog.line(repo, base.commit, _LINE), gitlog.line(repo, head.commit, _LINE, base.commit)
    own = list(_candidates(project, (base.commit, head.commit)))
    near = list(dict.fromkeys((head.commit, *lines[1][:_NEAR], base.commit, *lines[0][:_NEAR])))
    elsewhere = _elsewhere(project, near) if not project.embedded and not any(r.commit in near for r in own) else ""
    others = _candidates(project, (), elsewhere) if elsewhere else ()
    rows = sorted((*own, *others), key=lambda row: row.start or "", reverse=True)
    alike = _Alike(repo, [base.commit, head.commit, *near, *(row.commit or "" for row in rows)])
    alike.tell_children(near, [row.commit for row in rows if row.commit and row.dirty])
    sides = [
        _nearest(rows, side.commit, {commit: at for at, commit in enumerate(line)}, alike)
        for side, line in zip((base, head), lines, strict=True)
    ]
    left, right = _by_notebook(*sides)
    kept = {key: right[key] for key in list(right)[:_NAMES]}
    only = tuple(key[1] for key, found in left.items() if key not in right and found.behind == 0)
    return Chosen({key: left[key] for key in kept if key in left}, kept, only, len(right) - len(kept), elsewhere)


def _by_notebook(
    left: dict[Key, Standing], right: dict[Key, Standing]
) -> tuple[dict[Key, Standing], dict[Key, Standing]]:
    """Of a notebook whose runs are called otherwise on either side (after the request, in CI) the newest stand for each other,
    under the head's name.
    """
    matched = {key[0] for key in right if key in left}
    for key, found in right.items():
        notebook = key[0]
        if not notebook or notebook in matched or stagecells.TAG in found.row.tags:
            continue
        others = [k for k, s in left.items() if k[0] == notebook and stagecells.TAG not in s.row.tags]
        if others:
            nearest = min(others, key=lambda k: left[k].behind)  # the first of these is the newest
            left = {k: s for k, s in left.items() if k not in others} | {key: left[nearest]}
        matched.add(notebook)
    return left, right


def _elsewhere(project: Project, commits: Sequence[str]) -> str:
    """The experiment in which runs of these commits are, where the project's own has none: in CI the folder of the clone, by
    which an experiment is called unless the settings name it, is another one.
    """
    for commit in commits:
        for row in runs.anywhere(project, f"tags.`mlflow.source.git.commit` = '{git.full_id(commit)}'", 20):
            if row.experiment != project.experiment and _counts(row):
                return row.experiment
    return ""


def _candidates(project: Project, commits: Sequence[str], experiment: str | None = None) -> Iterator[RunRow]:
    """Finished runs that count: those of these commits, and the newest ones."""
    whole: dict[str, RunRow] = {}
    inside: dict[str, dict[str, RunRow]] = {}
    asked = [f"tags.`mlflow.source.git.commit` = '{git.full_id(commit)}'" for commit in dict.fromkeys(commits)]
    for text in (*asked, ""):
        try:
            found = runs.listed(project, text, limit=_LOOKED, experiment=experiment)
        except UsageError:  # a server's experiment that was not made yet
            continue
        for row in (row for row in found if _made_something(row)):
            if _counts(row):
                whole.setdefault(row.run_id, row)
            else:
                inside.setdefault(row.tags[PARENT], {})[row.run_id] = row
    for run_id, row in whole.items():
        yield from _figures_of(row, list(inside.get(run_id, {}).values()))


def _figures_of(row: RunRow, inside: Sequence[RunRow]) -> list[RunRow]:
    """A run; of a notebook that was executed as a whole and has no figures of its own, in its place the runs of its ``%%mlrun``
    cells that have some. A stage's stays what it is called by, so that both sides are told under one name.
    """
    cells_of = [one for one in inside if one.metrics and one.notebook == row.notebook]
    stage = row.tags.get(stagecells.TAG)
    if row.metrics or not row.notebook or not cells_of or (stage and len(cells_of) > 1):
        return [row]
    return [replace(one, tags={**one.tags, stagecells.TAG: stage}) if stage else one for one in cells_of]


def _counts(row: RunRow) -> bool:
    """Whether a run can stand for a commit by itself: not the trial of a sweep, nor what else is inside another run."""
    return _made_something(row) and not (PARENT in row.tags and stagecells.TAG not in row.tags)


def _made_something(row: RunRow) -> bool:
    """Whether it finished with code that is known: not a reproduction, not a comparison of data (``drift``), not one that only
    holds others.
    """
    holds = "nbledger.repro" in row.tags and not row.metrics
    looked = REPRODUCES in row.tags or only_compares(row.tags)
    return row.status == "FINISHED" and row.commit is not None and not (holds or looked)


def key_of(row: RunRow) -> Key:
    return row.notebook or "", row.tags.get(stagecells.TAG) or row.name


def _nearest(rows: Iterable[RunRow], commit: str, line: Mapping[str, int], alike: _Alike) -> dict[Key, Standing]:
    found: dict[Key, Standing] = {}
    for row in rows:
        known = found.get(key_of(row))
        if known is not None and known.behind == 0:
            continue  # a newer one has the side's code
        behind = _behind(row, commit, line, alike)
        if behind is not None and (known is None or behind < known.behind):
            found[key_of(row)] = Standing(row, behind)
    return found


def _behind(row: RunRow, commit: str, line: Mapping[str, int], alike: _Alike) -> int | None:
    ran = row.commit or ""
    if ran == commit or alike.same(ran, commit):
        return 0
    if row.dirty is False:
        return line.get(ran)
    became = (line[child] for child in alike.children.get(ran, ()) if child in line and alike.same(ran, child))
    return min(became, default=None)


class _Alike:
    """Whether a commit, or the snapshot of a run, holds the code and data of another one. What this clone does not hold is
    told apart for all of them in one call; each pair of trees is looked at once, and of one side not more than some dozens.
    """

    def __init__(self, repo: GitRepo, commits: Iterable[str]) -> None:
        self._repo, self._trees = repo, gitlog.trees(repo, list(dict.fromkeys(commits)))
        self._known: dict[tuple[str, str], bool] = {}
        self._left: dict[str, int] = {}
        self.children: dict[str, list[str]] = {}
        """{snapshot of changed code: the near commits on what it was changed from, of which one may be what it became}"""

    def tell_children(self, near: Sequence[str], snapshots: Sequence[str]) -> None:
        above = gitlog.parents(self._repo, [*near, *snapshots])
        for one in snapshots:
            own = set(above.get(one, ()))
            self.children[one] = [commit for commit in near if commit != one and own & set(above.get(commit, ()))]

    def same(self, one: str, other: str) -> bool:
        trees = self._trees.get(one, ""), self._trees.get(other, "")
        if "" in trees or trees[0] == trees[1]:
            return "" not in trees
        if trees not in self._known:
            left = self._left.get(other, _TREES)
            if left <= 0:
                return False
            self._left[other] = left - 1
            try:
                self._known[trees] = not _telling(self._repo, one, other)
            except LedgerError:  # objects that a partial clone lacks, and cannot fetch
                self._known[trees] = False
        return self._known[trees]


def _telling(repo: GitRepo, one: str, other: str) -> bool:
    """Whether two commits differ in more than what running leaves behind: outputs of notebooks, and of stages."""
    paths = set(gitlog.changed_paths(repo, one, other))
    if not paths:
        return False
    left = {path for path in paths if posixpath.basename(path) not in ("dvc.lock", ".gitignore")}
    if left:
        left -= set(made(repo, other))
    books = [path for path in left if path.endswith(".ipynb")]
    if len(books) < len(left):
        return True
    contents = gitlog.blobs(repo, [(commit, path) for path in books for commit in (one, other)])
    return any(_code(a) != _code(b) for a, b in zip(contents[0::2], contents[1::2], strict=True))


def _code(notebook: bytes | None) -> tuple[str, ...] | None:
    parsed = cells.parse_notebook(notebook) if notebook is not None else None
    return tuple(cell.source for cell in parsed) if parsed is not None else None


def made(repo: GitRepo, commit: str) -> dict[str, str]:
    """{path: stage} of what stages make."""
    files = [path for path in git.whole_tree(repo, commit) if posixpath.basename(path) == "dvc.yaml"]
    found: dict[str, str] = {}
    for path, (_, _, raw) in git.objects_at(repo, commit, files).items():
        try:
            parsed = dvcfiles.load_yaml(raw.decode("utf-8"))
            stages = {str(name): s for name, s in parsed["stages"].items() if isinstance(s, dict)}
            outs = [(out, name) for name, stage in stages.items() for out in dvcfiles.stage_outs(stage)]
        except (dvcfiles.Damaged, ValueError, KeyError, TypeError, AttributeError, LedgerError):
            continue
        found |= {posixpath.normpath(posixpath.join(posixpath.dirname(path), str(out))): name for out, name in outs}
    return found


def told(project: Project, found: Standing) -> Told:
    """A run as the report tells of it."""
    row = found.row
    return Told(
        run_id=row.run_id,
        title=row.name or row.run_id[:8],
        experiment=row.experiment,
        start=row.start,
        user=(row.user or "").partition(" <")[0] or None,  # a report is read by more people than the ledger
        url=url_of(project.tracking_uri, row),
        behind=found.behind,
        dirty=row.dirty,
        verdict=row.tags.get(VERDICT, ""),
        reproduced_by=row.tags.get(_REPRODUCED_BY, ""),
        data_state=row.tags.get("nbledger.data.state", ""),
        order=row.tags.get("nbledger.order", ""),
        left_out=row.tags.get("nbledger.snapshot.left_out", ""),
    )


def url_of(uri: str, row: RunRow) -> str:
    """The run's page on its server; empty for a store that is none. Logins are left out."""
    address = secrets.without_login(uri)
    if not address.startswith(("http://", "https://")) or not row.experiment_id.isalnum():
        return ""
    return f"{mlflow.display_uri(address).rstrip('/')}/#/experiments/{row.experiment_id}/runs/{row.run_id}"
