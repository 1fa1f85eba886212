"""``join``: from the address of a repository to a place in which one can work: clone, environment, data, tracking.

Cloning and looking execute nothing that came with the repository. What does, or sends the person's credentials to places that
it names, waits until the project is trusted. Every step looks at what is there first, so the same call goes on where an earlier one
stopped; a step that fails does not keep the others from being tried.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nbledger.core import (
    catchup,
    cloning,
    dvc,
    dvcremote,
    files,
    git,
    gitfilters,
    gitremote,
    halfplaced,
    mlflow,
    prepush,
    projectenv,
    recorded,
    replaceable,
    repoaddress,
    takenback,
    trust,
)
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.gitremote import LEDGER_REFS
from nbledger.core.project import Project, find, find_anyhow
from nbledger.core.wording import counted, some

State = Literal["ready", "left out", "open", "failed"]
Progress = Callable[[int, int, str], None]
_STEPS = 5
_LOGIN = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class Step:
    """One thing that joining takes. ``open``: only the person can do it, ``hint`` says how; ``failed``: it was tried."""

    name: str
    state: State
    text: str
    hint: str = ""
    code: int = 0


@dataclass(frozen=True)
class Joined:
    """``root`` is the clone, ``next`` what to type now."""

    root: str
    url: str
    branch: str | None
    commit: str
    steps: tuple[Step, ...]
    next: tuple[str, ...]

    @property
    def code(self) -> int:
        """0 all ready, 1 something waits for the person, otherwise the code of what failed."""
        return max((step.code or int(step.state == "open") for step in self.steps), default=0)


@dataclass
class Joining:
    """A join under way. ``project`` is None where the clone's own settings cannot be read: ``steps`` then says why."""

    cloned: cloning.Cloned
    url: str
    project: Project | None
    steps: list[Step]


def begin(url: str, folder: Path | None, branch: str | None, cwd: Path, progress: Progress | None = None) -> Joining:
    """Clone, or find the clone; what is needed to ask for trust."""
    address = repoaddress.parse(url, cwd)
    place = Path(os.path.realpath(cwd / (folder or address.name)))
    if not str(place).isprintable():
        raise UsageError(f"{str(place)!r} is no name for a folder", "name another: nbledger join URL DIR")
    if branch is not None:
        git.ref_name(branch)
    tell = progress or (lambda *_: None)
    cloned = cloning.clone(address, place, branch, lambda words: tell(0, _STEPS, words))
    head = f"{cloned.branch or 'no branch'} at {cloned.commit[:10]}"
    if cloned.snapshots:
        head += f", snapshots of {_count(cloned.snapshots, 'run')}"
    steps = [Step("code", "ready", f"{'cloned' if cloned.fresh else 'was there'}: {head}")]
    try:
        # Anything of its .nbledger/ that is no folder of ours is told here, and so are settings that cannot be read.
        project: Project | None = find(place)
    except LedgerError as err:
        steps.append(Step("settings", "failed", err.message, err.hint, err.exit_code))
        project = None
    return Joining(cloned, address.shown, project, steps)


# ── what trust is asked for ──────────────────────────────────────────────────────────────────────────────


def would_execute(joining: Joining, *, env: bool, data: bool) -> list[str]:
    """One line a thing that the rest would execute, or would give the person's credentials to. Reads only."""
    project, lines = joining.project, []
    if project is None:
        return []
    want = _wanted(project) if env else None
    if isinstance(want, projectenv.Wanted) and want.way != "by hand":
        lines.append(f"{want.does}, into {projectenv.FOLDER}: packages may run code of theirs when they are built")
    if data and (remote := dvcremote.default_remote(project)) is not None and _outs(project):
        lines.append(f"dvc pull from {remote[1]}, with your credentials for it")
    if project.stranger_uri is not None:
        lines.append(f"runs are looked for at {mlflow.display_uri(project.stranger_uri)}, with your login")
    if gitfilters.asked(project):
        lines.append("nbledger's own filters and merge drivers for notebooks, which .gitattributes asks for")
    if project.settings.pre_push_hook:
        lines.append("nbledger's pre-push hook, which the project's settings ask for")
    later = [text for text in (_count(_notebooks(project), "notebook"), _stages(project)) if text]
    if later:
        lines.append(f"later, when you run them: {', '.join(later)}")
    return lines


def _notebooks(project: Project) -> int:
    return len(git.listed(project.git, "*.ipynb")) if project.git is not None else 0


def _stages(project: Project) -> str:
    found = git.listed(project.git, "dvc.yaml") if project.git is not None else []
    return f"the stages of {', '.join(found[:3])}" if found else ""


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────


def finish(joining: Joining, *, env: bool, data: bool, progress: Progress | None = None) -> Joined:
    """The steps after the clone, as far as the project is trusted."""
    tell = progress or (lambda *_: None)
    steps = list(joining.steps)
    project = joining.project
    if project is not None:
        project = find_anyhow(project.root)  # trusted or not by now
        if not cloning.whole(joining.cloned.root):
            steps += _tried("snapshots", lambda: _snapshots(project, joining))
        tell(1, _STEPS, "environment")
        steps += _tried("environment", lambda: _environment(project, env, lambda words: tell(1, _STEPS, words)))
        tell(2, _STEPS, "data")
        steps += _tried("data", lambda: _data(project, data))
        tell(3, _STEPS, "tracking server")
        steps += _tried("tracking", lambda: _tracking(project))
        tell(4, _STEPS, "Git")
        steps += _tried("git", lambda: _git(project))
        steps += _submodules(project)
    cloned = joining.cloned
    cloning.swept(cloned.root)
    return Joined(
        str(cloned.root), joining.url, cloned.branch, cloned.commit, tuple(steps), _next(joining, steps, cloned.root)
    )


def _tried(name: str, work: Callable[[], Step | None]) -> Iterator[Step]:
    try:
        step = work()
    except LedgerError as err:
        step = Step(name, "failed", err.message, err.hint, err.exit_code)
    except OSError as err:
        step = Step(name, "failed", f"{err.strerror}: {err.filename}", "", LedgerError.exit_code)
    if step is not None:
        yield step


def _untrusted(name: str, text: str) -> Step:
    return Step(
        name, "open", f"{text}: not before you trust this project", "--trust, or nbledger trust in it; then join again"
    )


def _snapshots(project: Project, joining: Joining) -> Step | None:
    """Those of runs that a clone made by plain Git has not got."""
    repo = project.git
    assert repo is not None
    before = len(git.run_refs(repo))
    differing = not gitremote.fetch(repo, "origin", f"{LEDGER_REFS}:{LEDGER_REFS}")
    cloning.note_whole(joining.cloned.root, joining.url)
    if differing:
        return Step("snapshots", "ready", "origin has other snapshots of some runs than there are here: yours are kept")
    came = len(git.run_refs(repo)) - before
    return Step("snapshots", "ready", f"brought those of {_count(came, 'run')}") if came else None


def _wanted(project: Project) -> projectenv.Wanted | LedgerError | None:
    try:
        return projectenv.wanted(project.root)
    except LedgerError as err:
        return err


def _environment(project: Project, asked: bool, tell: projectenv.Tell) -> Step | None:
    want = projectenv.wanted(project.root)
    if want is None:
        text = "no file says which packages are needed (pyproject.toml, requirements.txt, …)"
        return Step("environment", "left out", text)
    if not asked:
        return Step("environment", "left out", f"{want.source} not installed (--no-env)", want.does)
    if want.way == "by hand":
        return Step("environment", "open", f"{want.source} is not for uv or pip", want.does)
    if not trust.trusted(project):
        return _untrusted("environment", want.does)
    assert project.git is not None
    made = projectenv.make(project.root, project.git.common_dir / "nbledger", want, tell)
    words = f"made in {projectenv.FOLDER}" if made.fresh else f"{projectenv.FOLDER} is what it should be"
    return Step("environment", "ready", "; ".join([f"{words}, by {want.source}", *made.notes]))


def _outs(project: Project) -> list[Out]:
    return [out for out in dvc.outputs(project)[0] if out.cached and out.md5]


def _data(project: Project, asked: bool) -> Step | None:
    if project.dvc_root is None:
        return Step("data", "left out", "this is no DVC repository")
    outs = _outs(project)
    wanted = _lacking(project, outs)
    if not wanted:
        here = f"all {_count(len(outs), 'output')} are here" if outs else "the present state has none"
        more, waits = _told_of_differing(project, outs)
        return Step("data", "open" if waits else "ready", "; ".join([here, *more]))
    names = some([out.path for out in wanted])
    size = sum(out.size for out in wanted)
    if not asked:
        return Step("data", "left out", f"not brought (--no-data): {names}", "nbledger pull")
    if dvcremote.default_remote(project) is None:
        return Step(
            "data",
            "open",
            f"the project names no data remote, and {names} cannot be had",
            "ask who set it up to push with one",
        )
    if not trust.trusted(project):
        return _untrusted("data", f"dvc pull of {names}")
    with files.lock(project.ensure_state() / "share.lock", 2.0, "push or pull"):
        halfplaced.sweep(project, outs)
        with halfplaced.noted(project, wanted):
            dvc.pull(project, [out.path for out in wanted])
    with contextlib.suppress(LedgerError, OSError):
        recorded.keep_all(project)  # what runs need of it stays through a dvc gc, as where they were recorded
    return Step("data", "ready", f"brought {names} ({_size(size)})")


def _lacking(project: Project, outs: list[Out]) -> list[Out]:
    """Outputs that are not here, and those of which only a part is: a pull that was killed leaves such."""
    missing = [out for out in outs if not os.path.lexists(project.root / out.path)]
    folders = [out for out in outs if out.is_dir and (project.root / out.path).is_dir()]
    now = dvc.hashes_now(project, folders)
    differing = [out for out, md5 in zip(folders, now, strict=True) if md5 != out.md5]
    partial = [out for out in differing if replaceable.never_whole(project, out)]
    noted = halfplaced.paths(project, outs) - {out.path for out in partial}
    return [*missing, *partial, *(out for out in outs if out.path in noted)]


def _told_of_differing(project: Project, outs: list[Out]) -> tuple[list[str], bool]:
    """What is said of what is here in another version than the pointer's, and whether some of it waits for a pull."""
    now = dvc.hashes_now(project, outs)
    behind = catchup.among(project, outs, now)
    late = {one.path for one in behind}
    mine = [o.path for o, md5 in zip(outs, now, strict=True) if md5 not in (None, o.md5) and o.path not in late]
    lines = [f"changed here, so left as it is: {some(mine)}"] if mine else []
    return [*lines, *map(takenback.told, behind)], bool(behind)


def _tracking(project: Project) -> Step:
    uri = project.tracking_uri
    if project.stranger_uri is not None:
        return _untrusted("tracking", f"asking {mlflow.display_uri(project.stranger_uri)}")
    if project.embedded:
        return Step(
            "tracking",
            "ready",
            "no server: runs stay in this clone (.nbledger/mlflow.db)",
            "nbledger init --tracking-uri URI",
        )
    shown = mlflow.display_uri(uri)
    if not mlflow.reachable(uri, 5.0):
        text = f"{shown} does not answer; what you record is kept until it does"
        return Step(
            "tracking", "failed", text, "check the network and the address (.nbledger.toml)", LedgerError.exit_code
        )
    named = [name for name in _LOGIN if os.environ.get(name)]
    try:
        count = len(mlflow.experiments(mlflow.client(project), uri))
    except LedgerError as err:
        if any(code in err.message for code in ("401", "403", "nauthorized", "not authenticated", "ermission denied")):
            looked = (
                f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} set"
                if named
                else "none of its variables is set"
            )
            hint = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment"
            return Step("tracking", "open", f"{shown} did not let you in: {looked}", hint)
        raise
    login = f", login by {named[0]}" if named else ""
    where = f", experiment {project.experiment}"
    if not project.settings.experiment and "MLFLOW_EXPERIMENT_NAME" not in os.environ:
        where += ', this folder\'s name: experiment = "…" in .nbledger.toml is for everybody'
    return Step("tracking", "ready", f"{shown}: {_count(count, 'experiment')}{login}{where}")


def _git(project: Project) -> Step | None:
    """Filters and merge drivers, which .gitattributes asks for, and the hook, which a setting does."""
    wanted = [
        text for text, on in (("filters", gitfilters.asked(project)), ("hook", project.settings.pre_push_hook)) if on
    ]
    if not wanted:
        return None
    if not trust.trusted(project):
        return _untrusted("git", f"nbledger's {' and '.join(wanted)}")
    done = gitfilters.install(project, tidy=False) if "filters" in wanted else []
    done += prepush.install(project) if "hook" in wanted else []
    return Step("git", "ready", "; ".join(done) or f"{' and '.join(wanted)} are set up")


def _submodules(project: Project) -> list[Step]:
    if not (project.root / ".gitmodules").is_file():
        return []
    return [Step("submodules", "left out", "not entered", "git submodule update --init")]


def _next(joining: Joining, steps: list[Step], root: Path) -> tuple[str, ...]:
    lines = [f"cd {_quoted(root)}"] if Path.cwd() != root else []
    if any(step.name == "environment" and step.state == "ready" for step in steps):
        lines.append(
            f"source {projectenv.FOLDER}/bin/activate" if os.name != "nt" else rf"{projectenv.FOLDER}\Scripts\activate"
        )
    again = any(step.state in ("open", "failed") for step in steps)
    return (*lines, f"nbledger join {joining.url} {_quoted(root)}" if again else "nbledger status")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _count(count: int, what: str) -> str:
    return counted(count, what) if count else ""
