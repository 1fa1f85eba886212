"""``preview``: what exactly an action would do, before it is confirmed. ``refused`` is the error it would end with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

from nbledger.core import inside
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.project import Project
from nbledger.core.records import Preview
from nbledger.core.wording import counted
from nbledger.keeper.calls import Args

_NAMED = 30


def preview(project: Project, kind: str, args: Args) -> Preview:
    """What ``kind`` would do with these words."""
    look = _KINDS.get(kind)
    if look is None:
        hint = nearest(kind, _KINDS) or f"there are: {', '.join(sorted(_KINDS))}"
        raise UsageError(f"there is no action called {kind[:40]!r}", hint)
    title, found = look
    try:
        made = found(project, args)
    except KeyError as err:
        raise UsageError(f"{kind} needs to know {err.args[0]!r}") from err
    except LedgerError as err:
        made = Preview(title, refused=err.as_dict())
    if made.refused is not None:
        made = dataclasses.replace(made, refused={key: made.refused[key] for key in ("error", "hint", "code")})
    return made if made.title else dataclasses.replace(made, title=title)


def _push(project: Project, args: Args) -> Preview:
    from nbledger.core import push
    from nbledger.keeper.sharing import push_words

    return Preview("", tuple(push.told(push.plan(project, push_words(project, args)))))


def _pull(project: Project, args: Args) -> Preview:
    from nbledger.core import pull
    from nbledger.keeper.sharing import pull_words

    asked = pull.plan(project, pull_words(args))
    return Preview("", tuple(pull.told(asked)), tuple(pull.overwritten(asked)))


def _checkpoint(project: Project, args: Args) -> Preview:
    from nbledger.core import checkpoint, gitlog

    found = checkpoint.plan(project, [str(path) for path in args.get("paths") or ()], large=bool(args.get("large")))
    if not found.paths:
        return Preview("", ("nothing that a checkpoint commits has changed",))
    message = str(args.get("message") or "").strip() or found.message
    count = counted(len(found.paths), "file")
    lines = [f"commit {count} on {found.branch or 'no branch (HEAD is detached)'}: {message.splitlines()[0][:200]}"]
    sizes = dict(found.large)
    told = [f"{path} ({sizes[path] / 1_000_000:,.1f} MB)" if path in sizes else path for path in found.paths]
    lines += [f"  {path}" for path in _some(told)]
    if found.left:
        lines.append(f"left as they are: {', '.join(_some(found.left, 5))}")
    assert project.git is not None
    hooks = gitlog.hooks(project.git, "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")
    lines += [f"your hooks run, as with git commit: {', '.join(hooks)}"] if hooks else []
    lines.append("undo takes the commit back, until it is pushed")
    return Preview("", tuple(lines))


def _undo(project: Project, args: Args) -> Preview:
    from nbledger.core import undo

    found = undo.examined(project)
    if args.get("commit") and str(args["commit"]) != found.commit:
        raise UsageError("that is not the newest commit any more", "look at the state again")
    paths = undo.held(project, found.commit)
    lines = [f"take back the commit {found.commit[:10]}: {found.message}"]
    lines += [f"  {path}" for path in _some(paths)]
    lines.append("the files stay as they are in the work tree")
    return Preview("", tuple(lines), tuple(undo.lost(project, found.commit)))


def _use_version(project: Project, args: Args) -> Preview:
    from nbledger.core import useversion

    found = useversion.plan(project, str(args["file"]), str(args["commit"]))
    if found.same:
        return Preview("", (f"{found.out.path} is this version already",))
    present = found.present is not None and found.present != found.row.md5
    overwrites = (
        (f"{found.out.path}: what is there now (md5 {str(found.present)[:10]}, in the cache)",) if present else ()
    )
    return Preview("", tuple(useversion.told(found, done=False)), overwrites)


def _track(project: Project, args: Args) -> Preview:
    from nbledger.core import trackplan

    paths = there(project, args)
    return Preview(
        "", tuple(trackplan.told(project, paths, str(args.get("message") or ""), push=bool(args.get("push"))))
    )


def there(project: Project, args: Args) -> list[str]:
    """The ``paths`` that are to be tracked: files and folders of the project that exist, never patterns."""
    paths = [inside.relative(project, str(path)) for path in args.get("paths") or ()]
    missing = next((path for path in paths if not os.path.lexists(project.root / path)), None)
    if missing is not None:
        raise UsageError(f"there is no {missing[:200]}", "look at the file browser again")
    return paths


def _trust(project: Project, args: Args) -> Preview:
    from nbledger.core import git, gitlog, trust

    if trust.trusted(project):
        return Preview("", ("you trust it already",))
    lines = ["reproducing a run, or running a notebook, executes the code that came with it, with your rights"]
    filters = git.switched_off(project.git) if project.git is not None else ()
    if filters:
        lines.append(
            f"the programs that it names as Git filters run when files are looked at: {', '.join(_some(filters, 5))}"
        )
    if project.git is not None and (
        hooks := gitlog.hooks(project.git, "pre-commit", "commit-msg", "post-commit", "pre-push")
    ):
        lines.append(f"its hooks run when you make a checkpoint or push: {', '.join(hooks)}")
    if project.stranger_uri is not None:
        lines.append(f"the tracking server that it names is asked: {git.scrub_url(project.stranger_uri)}")
    lines.append("nbledger trust --remove takes the trust back")
    return Preview("", tuple(lines))


def _init(project: Project, args: Args) -> Preview:
    from nbledger.core import setup

    return Preview("", tuple(setup.foreseen(project, args.get("remote"), args.get("tracking_uri"))))


def _reproduce(project: Project, args: Args) -> Preview:
    from nbledger.keeper.views_run import named

    row = named(project, str(args.get("run") or "@last"))
    into = str(inside.folder(project, str(args["into"])) if args.get("into") else project.state / "reproduced")
    name = f"{row.name} ({row.run_id[:8]})"
    if not (row.snapshot or row.commit):
        raise Refused(f"the run {name} names no commit: there is no code to bring back", "it was recorded without Git")
    if args.get("into") and os.path.isdir(into) and os.listdir(into):
        raise Refused(f"{into} is not an empty folder", "name one that does not exist yet")
    lines = [
        f"code and data of the run {name} are restored below {into}; your work tree, branch and kernels are not touched"
    ]
    if args.get("restore_only"):
        return Preview(f"Restore the run {name}", (*lines, "nothing is executed"))
    times = int(args.get("times") or 1)
    often = "" if times == 1 else f", {times} times"
    lines += [
        f"the code of {row.notebook or 'the run'} is executed there in a fresh kernel, with your rights{often}",
        "the outcome is recorded as a run of its own, and the verdict on this one",
    ]
    return Preview(f"Reproduce the run {name}", tuple(lines))


def _delete(project: Project, args: Args) -> Preview:
    from nbledger.keeper.deeds_run import preview_delete

    return preview_delete(project, args)


def _restore(project: Project, args: Args) -> Preview:
    """A run that was deleted; or, with ``file``, a version of data."""
    if "file" in args:
        return _use_version(project, args)
    return Preview(
        "Bring the run back", (f"the run {str(args['run'])[:200]} and the children deleted with it are shown again",)
    )


def _promote(project: Project, args: Args) -> Preview:
    from nbledger.keeper.deeds_models import preview_promote

    return preview_promote(project, args)


def _alias(project: Project, args: Args) -> Preview:
    from nbledger.keeper.deeds_models import preview_alias

    return preview_alias(project, args)


def _of_model(name: str) -> Callable[[Project, Args], Preview]:
    def look(project: Project, args: Args) -> Preview:
        from nbledger.keeper import previews_models

        found: Preview = getattr(previews_models, name)(project, args)
        return found

    return look


def _some(names: Sequence[str], most: int = _NAMED) -> list[str]:
    return [*names[:most], *([f"… and {len(names) - most} more"] if len(names) > most else [])]


_KINDS: dict[str, tuple[str, Callable[[Project, Args], Preview]]] = {
    "push": ("Push", _push),
    "pull": ("Pull", _pull),
    "track": ("Track with DVC", _track),
    "checkpoint": ("Checkpoint", _checkpoint),
    "undo": ("Take the newest commit back", _undo),
    "use_version": ("Use another version", _use_version),
    "init": ("Set up this folder", _init),
    "trust": ("Trust this repository", _trust),
    "reproduce": ("Reproduce", _reproduce),
    "delete": ("Delete the run", _delete),
    "restore": ("Bring back", _restore),
    "promote": ("Promote", _promote),
    "alias": ("Set an alias", _alias),
    "approve": ("Approve", _of_model("approve")),
    "refuse": ("Refuse", _of_model("refuse")),
    "rollback": ("Roll back", _of_model("rollback")),
    "deploy": ("Deploy", _of_model("deploy")),
    "undeploy": ("Stop serving", _of_model("undeploy")),
    "drift": ("Look for drift", _of_model("drift")),
}
