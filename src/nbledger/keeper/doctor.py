"""``doctor``: what is wrong with this project, and the mend."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import nbledger
from nbledger.core import (
    credentials,
    dvc,
    dvcremote,
    files,
    git,
    gitfilters,
    gitremote,
    halfplaced,
    kept,
    mlflow,
    prepush,
    rebuild,
    recorded,
    restored,
    trust,
    underway,
    worktrees,
)
from nbledger.core.errors import Busy, LedgerError
from nbledger.core.project import Project
from nbledger.core.wording import counted
from nbledger.keeper import batches, calls, client, endpoint
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher

_BEING_REMOVED = 60.0
"""Seconds that a publisher may still be at work on the folder of a journal it has published."""


@dataclass(frozen=True)
class Finding:
    """One thing examined; ``fix`` is what to do (or what ``--fix`` does), ``fixed`` whether that was done."""

    severity: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""
    fixed: bool = False


def examine(project: Project, *, fix: bool = False, pushes: bool = False) -> list[Finding]:
    """Examine tools, repository, data pointers, store, keeper and journals; with ``fix`` mend what is safe to mend.

    ``pushes``: it is the keeper that pushes what this process asks for, so it is the one who tries the data remote.
    """
    found: list[Finding] = []
    for part in (
        _tools,
        _repository,
        _filters,
        _pointers,
        _remote_of_the_keeper if pushes else _remote,
        _store,
        _keeper,
        _journals,
        _refs,
        _sharing,
        _recorded,
        _reproductions,
        _batches,
        _environments,
    ):
        try:
            found += part(project, fix)
        except LedgerError as err:
            found.append(Finding("problem", err.message, err.hint))
        except OSError as err:
            found.append(Finding("problem", f"{err.strerror}: {err.filename}"))
    return found


def _tools(project: Project, fix: bool) -> Iterator[Finding]:
    yield Finding(
        "ok", f"git {git.version()}, DVC {dvc.version()}, MLflow {mlflow.version()}, nbledger {nbledger.__version__}"
    )


def _repository(project: Project, fix: bool) -> Iterator[Finding]:
    if project.git is None:
        yield Finding("problem", f"{project.root} is not in a Git repository", "nbledger init")
        return
    try:
        git.require_identity(project.git)
    except LedgerError as err:
        yield Finding("problem", err.message, err.hint)
    for lock in git.locks(project.git):
        yield Finding(
            "problem", f"{lock} is there: a Git process is at work, or was killed", f"if none runs: rm {lock}"
        )
    if not os.access(project.git.git_dir, os.W_OK):
        yield Finding("problem", f"{project.git.git_dir} is read-only: no snapshots can be taken", "make it writable")
    yield Finding("ok", f"Git repository {project.root}")


def _filters(project: Project, fix: bool) -> Iterator[Finding]:
    """What Git does for notebooks, where somebody asked for it."""
    found = gitfilters.troubles(project)
    for trouble in found:
        mended = fix and trouble.mendable and trust.trusted(project)
        yield Finding("problem", trouble.text, trouble.fix, mended)
    if fix and any(trouble.mendable for trouble in found) and trust.trusted(project):
        gitfilters.install(project)
    if not found and gitfilters.installed(project):
        yield Finding("ok", "Git keeps notebooks without outputs, and merges them by cell")


def _pointers(project: Project, fix: bool) -> Iterator[Finding]:
    if project.dvc_root is None:
        yield Finding("problem", "there is no DVC repository", "nbledger init")
        return
    outs, problems = dvc.outputs(project)
    for problem in problems:
        yield Finding("problem", str(problem), "restore it: git checkout -- its path")
    for path in underway.cut_short(project, outs):
        yield Finding("problem", f"tracking {path} was cut short: nothing versions it", f"nbledger track {path}")
    if partial := halfplaced.paths(project, outs):
        yield Finding("problem", halfplaced.told(sorted(partial)), halfplaced.HINT)
    yield Finding("ok", f"DVC repository {project.dvc_root}, {counted(len(outs), 'output')}")


def _remote(project: Project, fix: bool) -> Iterator[Finding]:
    """Where data are pushed: the plugin, the credential, and what it lets this person do there."""
    for each in credentials.check(project):
        yield Finding(each.severity, each.text, each.fix)


def _remote_of_the_keeper(project: Project, fix: bool) -> Iterator[Finding]:
    answer = client.call(project, "data_remote", start=True)
    found: list[credentials.Finding] = calls.built(list[credentials.Finding], calls.encode(answer))
    for each in found:
        yield Finding(each.severity, each.text, each.fix)
    if any(each.severity == "problem" and "environment" in each.text for each in found):
        yield Finding(
            "note",
            "what a notebook pushes, the keeper pushes: with the environment that it was started in, without what a cell set",
            "set it before JupyterLab starts, or use the cloud's own files or .dvc/config.local",
        )


def _store(project: Project, fix: bool) -> Iterator[Finding]:
    shown = mlflow.display_uri(project.tracking_uri)
    if project.embedded and not (project.state / "mlflow.db").exists():
        yield Finding("note", f"no run store yet: {shown} is made with the first run")
    elif mlflow.reachable(project.tracking_uri):
        if not project.tracking_uri.startswith(("http:", "https:", "sqlite:")):
            mlflow.client(project)  # a scheme that MLflow does not know is told here
        elif project.tracking_uri.startswith("http"):
            try:
                mlflow.experiments(mlflow.client(project), project.tracking_uri)
            except LedgerError as err:
                if not mlflow.shut_out(err):
                    raise
                yield Finding("problem", f"the run store {shown} does not accept your login (401)", err.hint)
                return
        yield Finding("ok", f"run store {shown}")
    else:
        yield Finding(
            "problem", f"the run store {shown} does not answer", "check the server; runs are kept until it does"
        )


def _keeper(project: Project, fix: bool) -> Iterator[Finding]:
    known = endpoint.load(project)
    if known is None:
        yield Finding("note", "the keeper is not running; the next tracked cell starts it")
        return
    alive = journals.process_started(known.pid) == known.created
    try:
        with endpoint.connect(known, 2):
            answers = True
    except OSError:
        answers = False
    if alive and answers and known.version == nbledger.__version__:
        yield Finding("ok", f"keeper running, pid {known.pid}")
    elif alive and answers:
        if fix:
            client.stop(project)
        yield Finding("problem", f"the keeper is of version {known.version}", "nbledger doctor --fix replaces it", fix)
    else:
        if fix and not alive:
            endpoint.withdraw(project, known.pid)
        what = "does not answer" if alive else "is gone and left its socket"
        yield Finding(
            "problem",
            f"the keeper (pid {known.pid}) {what}",
            f"kill {known.pid}" if alive else "nbledger doctor --fix clears it",
            fix and not alive,
        )


def _journals(project: Project, fix: bool) -> Iterator[Finding]:
    count = 0
    with contextlib.suppress(FileNotFoundError):
        for leftover in journals.leftovers(project):
            if time.time() - leftover.stat().st_ctime < _BEING_REMOVED:
                continue
            if fix:
                leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover, ignore_errors=True)
            yield Finding(
                "note", f"{leftover.name} was left half-made or half-removed by a crash", "nbledger doctor --fix", fix
            )
    for path in journals.pending(project):
        reading = journals.read(path)
        if reading.damaged:
            yield Finding(
                "problem",
                f"journal {path.name} has {reading.damaged} damaged lines; the others are kept",
                f"see {path / 'events.jsonl'}",
            )
        if publisher.orphaned(path):
            if fix:
                publisher.close_orphan(path)
            yield Finding(
                "problem",
                f"run {path.name[:8]} is open, but its kernel is gone",
                "nbledger doctor --fix closes it as KILLED",
                fix,
            )
        elif any(e["t"] == "end" for e in reading.events):
            count += 1
    if fix:
        left, reasons = publisher.flush(project)
        if left:
            yield Finding("problem", f"{left} runs could not be published: {'; '.join(reasons)}", "nbledger flush")
        elif count:
            yield Finding("problem", f"{count} runs waited to be published", "", True)
    elif count:
        yield Finding("problem", f"{count} runs wait to be published", "nbledger flush")


def _refs(project: Project, fix: bool) -> Iterator[Finding]:
    """Snapshots are kept per run; one that no journal and no published run names was left by a crash at its start."""
    if project.git is None:
        return
    refs = git.run_refs(project.git)
    yield Finding("ok", f"{counted(len(refs), 'snapshot')} under {git.RUN_REFS}")


def _sharing(project: Project, fix: bool) -> Iterator[Finding]:
    """What would keep work from others: snapshots that a fetch removes before they are pushed, a hook that the project asks
    for and this clone has not, or that cannot run.
    """
    if project.git is None:
        return
    for remote in gitremote.prunes_ledger(project.git):
        text = f"git fetch removes snapshots that are not pushed yet: remote.{remote}.fetch maps refs/nbledger/*, with prune"
        key = f"git config --unset remote.{remote}.fetch refs/nbledger"
        yield Finding("problem", text, f"{key}; nbledger push and pull send and bring them")
    if project.settings.pre_push_hook and not prepush.looks(project.git):
        mended = fix and trust.trusted(project)
        if mended:
            prepush.install(project)
        text = "this project has git push look whether the data are in the remote, and this clone has no pre-push hook"
        yield Finding("problem", text, "nbledger init --hook", mended)
    elif prepush.installed(project.git):
        python = prepush.python(project.git)
        if os.access(python, os.X_OK):
            yield Finding("ok", "git push asks first whether the data are in the remote (pre-push hook)")
        else:
            yield Finding(
                "problem",
                f"the pre-push hook needs {python}, which is gone: it looks for nothing",
                "nbledger init --hook",
            )


def _recorded(project: Project, fix: bool) -> Iterator[Finding]:
    """Data that recorded runs need: protected from ``dvc gc``, or not; taken by one already; held by nothing else."""
    if project.git is None or project.dvc_root is None:
        return
    if fix:
        back, damaged = kept.bring_back(project)
        if back:
            yield Finding(
                "problem", f"{kept.amount(len(back))} of recorded runs had been removed from the cache", "", True
            )
        for md5 in damaged[:5]:
            yield Finding(
                "problem", f"the kept object {md5} is damaged: its bytes are not what its name says", "dvc pull"
            )
        if recorded.examined(project).bare:
            recorded.keep_all(project)
        kept.refresh(project)
    kept.recount(project)
    found = recorded.examined(project)
    if found.lost and not fix:
        yield Finding(
            "problem",
            f"{kept.amount(len(found.lost))} of recorded runs were removed from the cache (by dvc gc?), and are kept",
            "nbledger doctor --fix gives them back",
        )
    if found.bare:
        summary = kept.summary(project)
        why = summary.reason if summary is not None else ""
        yield Finding(
            "problem",
            f"dvc gc would take {kept.amount(len(found.bare), found.bare_bytes)} that recorded runs need"
            + (f": {why}" if why else ""),
            "nbledger gc spares them; nbledger push keeps them elsewhere"
            if fix
            else "nbledger doctor --fix protects them",
        )
    if found.needed:
        count, size = len(found.needed) - len(found.bare), found.bytes - found.bare_bytes
        where = "" if dvcremote.default_remote(project) else ", and only in this cache: there is no data remote"
        yield Finding("ok", f"{kept.amount(count, size)} of recorded runs protected from dvc gc{where}")
    if found.only and dvcremote.default_remote(project):
        yield Finding(
            "note",
            f"{kept.amount(len(found.only), found.only_bytes)} of recorded runs are named by no commit of a branch or tag: dvc "
            "gc -c would remove them from the remote, even with -A",
            "nbledger gc --cloud spares them",
        )


def _reproductions(project: Project, fix: bool) -> Iterator[Finding]:
    """Restored work trees: those at work are left alone, those kept are listed, those half-made go."""
    for known in restored.registered(project):
        name = f"the restored copy of run {known.run_id[:12]} in {known.into}"
        if known.kept and os.path.isdir(known.into):
            yield Finding("note", f"{name} is kept", f"git worktree remove --force {known.into}")
            continue
        if not known.kept and not known.abandoned:
            yield Finding("ok", f"{name} is being worked on, pid {known.owner.get('pid')}")
            continue
        if fix:
            restored.remove(project, known.name)
        if known.kept:
            yield Finding("note", f"{name} was removed by hand", "nbledger doctor --fix removes Git's note of it", fix)
        else:
            yield Finding(
                "problem", f"{name} is half-made: the process is gone", "nbledger doctor --fix removes it", fix
            )


def _batches(project: Project, fix: bool) -> Iterator[Finding]:
    """Batches of notebooks that were cut short: only a person knows whether they are to go on."""
    for batch in batches.known(project):
        if not batch.unfinished and batch.closed:
            continue
        count = f"{len(batch.unfinished)} of {len(batch.tasks)} notebooks"
        if batches.busy(project, batch.id):
            yield Finding("ok", f"batch {batch.id} is being worked on, {count} are left")
        else:
            where = batches.folder(project) / batch.id
            hint = f"nbledger run --resume {batch.id} runs them; rm -r {where} forgets it"
            yield Finding("note", f"batch {batch.id}: {count} did not finish", hint)


def _environments(project: Project, fix: bool) -> Iterator[Finding]:
    """Rebuilt environments that a killed process left half-made."""
    for folder in rebuild.unfinished(project):
        try:
            with files.lock(folder.with_name(f"{folder.name}.lock"), timeout=0, what="this environment"):
                if fix:
                    worktrees.remove_folder(folder)
                yield Finding(
                    "problem", f"the environment {folder} is half-made", "nbledger doctor --fix removes it", fix
                )
        except Busy:
            yield Finding("ok", f"the environment {folder} is being made")
