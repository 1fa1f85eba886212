"""Workflows for GitHub Actions and GitLab CI that call nbledger's verbs: what is asked for, what the files say, writing them.

A file carries, in a comment, the options that it was made with and a digest of what was written. So the same call again
changes nothing, a newer nbledger replaces what nobody has edited, and what was edited is not replaced unasked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbledger._version import __version__
from nbledger.core import cifacts, cirender, gate_language, madefiles
from nbledger.core.cifacts import Facts
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.files import write_atomic
from nbledger.core.madefiles import Step
from nbledger.core.project import Project

FORGES = ("github", "gitlab")
FILES = {"github": ".github/workflows/nbledger.yml", "gitlab": ".gitlab/nbledger.yml"}
ENTRY = ".gitlab-ci.yml"
"""What GitLab reads: made where there is none, and never touched where there is one."""
TARGETS = ("local", "docker", "kserve", "sagemaker")
_MARK = "# nbledger-ci: "
_HOSTED = re.compile(r"(ubuntu|windows|macos)-.*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAGS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,80}\*?|\*")
_CRON = re.compile(r"[0-9*/,-]+( [0-9*/,A-Z-]+){4}")
_PACKAGE = re.compile(r"[A-Za-z0-9][^\s'\"`$\\;&|<>{}]{0,300}")


@dataclass(frozen=True)
class Wanted:
    """What the workflow is to do, each empty for what the project itself says. ``source``: the stage or notebook whose run is
    promoted; ``condition`` and ``first``: for a model whose gate stands in no settings; ``data``: the path of live data, for
    drift; ``install``: what pip is told for nbledger; ``tags``: those that release, with one ``*`` at the end at most.
    """

    model: str = ""
    source: str = ""
    condition: str = ""
    first: str = ""
    tags: str = "v*"
    deploy: str = ""
    port: str = ""
    data: str = ""
    cron: str = "17 5 * * *"
    runner: str = ""
    install: str = ""

    @property
    def own(self) -> bool:
        """Whether the machine that runs the jobs is one's own, which stays."""
        return bool(self.runner) and _HOSTED.fullmatch(self.runner) is None


@dataclass(frozen=True)
class Outcome:
    """``jobs`` that the workflow has; ``secrets`` and ``variables`` that the forge has to be given, {name: what it is};
    ``notes``: what is left to a person.
    """

    forge: str
    jobs: tuple[str, ...]
    steps: tuple[Step, ...]
    secrets: dict[str, str]
    variables: dict[str, str]
    notes: tuple[str, ...]
    text: str

    @property
    def current(self) -> bool:
        """Whether all files are as they would be written."""
        return all(step.deed == "same" for step in self.steps if step.file != ENTRY) and self._entered

    @property
    def _entered(self) -> bool:
        return all(step.deed in ("same", "kept") for step in self.steps if step.file == ENTRY)


def write(
    project: Project,
    forge: str,
    asked: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    check: bool = False,
) -> Outcome:
    """Write the workflow of ``forge`` into the project; with ``dry_run`` only say what would be. ``asked``: fields of
    ``Wanted``; what is not said is as it was the last time. With ``check`` nothing is refused: the outcome says what differs.

    Refuses to replace what was edited since nbledger wrote it, unless ``force``: then the edited one is kept as NAME.orig.
    """
    if forge not in FORGES:
        raise UsageError(f"there is no {forge!r} to write for", nearest(forge, FORGES) or "there are github and gitlab")
    if project.git is None:
        raise Refused("there is no Git repository here", "nbledger init makes one")
    path = project.root / FILES[forge]
    there = madefiles.there(path)
    before, asked = _remembered(there), dict(asked or {})
    if asked.get("deploy", before.deploy) != before.deploy:
        before = replace(before, port="")
    wanted = replace(before, **asked)
    facts = cifacts.read(project)
    wanted = checked(facts, wanted, forge)
    plan = cirender.plan(project, facts, wanted, forge)
    text = sealed(plan.text, _asked(wanted), forge)
    edited = there is not None and there != text and not untouched(there)
    if edited and not (force or check):
        raise Refused(
            f"{FILES[forge]} was edited, or is not nbledger's",
            f"--force writes it anew and keeps yours as {path.name}.orig; --dry-run shows what would be written",
        )
    steps = [madefiles.step(project.root, FILES[forge], text)]
    entry, notes = None, list(plan.notes)
    if forge == "gitlab":
        entry, step, said = _entry(project.root)
        steps.append(step)
        notes += said
    if not dry_run and not check:
        _put(path, text, there if edited else None)
        if entry is not None:
            _put(project.root / ENTRY, entry, None)
    return Outcome(forge, plan.jobs, tuple(steps), plan.secrets, plan.variables, tuple(notes), text)


def checked(facts: Facts, wanted: Wanted, forge: str) -> Wanted:
    """The options, completed by what the project has; ``UsageError`` for what is none, or leaves the workflow undecided."""
    if not wanted.model and len(facts.models) == 1:
        wanted = replace(wanted, model=next(iter(facts.models)))
    for name, value in asdict(wanted).items():
        if not str(value).isprintable() or "${{" in str(value):
            raise UsageError(f"--{name} {value!r} cannot stand in a workflow", "one line, without ${{")
    if not _TAGS.fullmatch(wanted.tags):
        raise UsageError(f"--tags {wanted.tags!r} is no pattern of tags", "such as v* or release/*")
    if not _CRON.fullmatch(wanted.cron):
        raise UsageError(f"--cron {wanted.cron!r} is no schedule", 'five fields, such as "17 5 * * *"')
    if wanted.runner and not _LABEL.fullmatch(wanted.runner):
        raise UsageError(f"--runner {wanted.runner!r} is no label of a runner", "letters, digits, . _ and -")
    if wanted.install and not _PACKAGE.fullmatch(wanted.install):
        raise UsageError(f"--install {wanted.install!r} is nothing that pip installs", "such as nbledger==1.2")
    if wanted.deploy and wanted.deploy not in TARGETS:
        raise UsageError(f"nothing is deployed to {wanted.deploy!r}", f"there are: {', '.join(TARGETS)}")
    if wanted.port and not (wanted.deploy == "local" and wanted.port.isdecimal() and 0 < int(wanted.port) < 65536):
        raise UsageError(f"--port {wanted.port!r} is for --deploy local: a number below 65536")
    for text in filter(None, (wanted.condition, wanted.first)):
        gate_language.parse(text)
    if not wanted.model:
        alone = [name for name in ("source", "condition", "first", "deploy", "data") if getattr(wanted, name)]
        if alone and not (alone == ["source"] and not facts.pipeline):
            known = f"the settings know {', '.join(facts.models)}" if facts.models else "the settings name none"
            raise UsageError("which model is meant?", f"--model NAME; {known}")
        return wanted
    if not wanted.condition and wanted.model not in facts.models:
        raise UsageError(
            f"nothing says when a run becomes {wanted.model}",
            '[models.NAME] with a gate in .nbledger.toml, or --if "…"',
        )
    if wanted.deploy == "local" and not wanted.own:
        raise UsageError(
            "--deploy local serves on the machine that runs the job, and a hosted runner is thrown away after it",
            "--runner LABEL of a machine of your own",
        )
    return replace(wanted, source=_source(facts, wanted))


def _source(facts: Facts, wanted: Wanted) -> str:
    """The stage, or without a pipeline the notebook, whose run is promoted."""
    known = facts.stages if facts.pipeline else facts.sources
    what, where = ("stage", "dvc.yaml has") if facts.pipeline else ("notebook", "Git has")
    if wanted.source:
        if wanted.source not in known:
            there = f"{where} {', '.join(known[:8]) or 'none'}"
            raise UsageError(f"there is no {what} {wanted.source!r}", nearest(wanted.source, known) or there)
        return wanted.source
    if len(facts.sources) == 1:
        return facts.sources[0]
    said = f"{len(facts.sources)} declare metrics" if facts.pipeline else f"Git has {len(facts.sources)}"
    raise UsageError(
        f"which {what}'s run is promoted?", f"--from {what.upper()}: {said}: {', '.join(facts.sources[:8]) or 'none'}"
    )


# ── what a file says of itself ───────────────────────────────────────────────────────────────────────────


def _asked(wanted: Wanted) -> dict[str, str]:
    """The options that are not as they are by default: what the next call remembers."""
    return {name: value for name, value in asdict(wanted).items() if value != getattr(Wanted(), name)}


def sealed(text: str, options: Mapping[str, str], forge: str) -> str:
    """With the lines that say who wrote it, from what, and what the rest was when it was written."""
    head = (
        f"# Written by `nbledger ci {forge}` of nbledger {__version__}; the same call brings it up to date.\n"
        "# Edit it as you like: what was edited is replaced by --force only.\n"
    )
    said = {"options": dict(options), "sha256": hashlib.sha256((head + text).encode()).hexdigest()}
    return f"{head}{_MARK}{json.dumps(said, sort_keys=True)}\n{text}"


def _said(text: str | None) -> tuple[dict[str, Any], str]:
    """(what the file says of itself, the rest of it)."""
    lines = (text or "").splitlines(keepends=True)
    for at, line in enumerate(lines[:5]):
        if line.startswith(_MARK):
            try:
                found = json.loads(line.removeprefix(_MARK))
            except ValueError:
                break
            return found if isinstance(found, dict) else {}, "".join((*lines[:at], *lines[at + 1 :]))
    return {}, text or ""


def untouched(text: str) -> bool:
    """Whether a file is as nbledger, of whatever version, wrote it."""
    said, rest = _said(text)
    return said.get("sha256") == hashlib.sha256(rest.encode()).hexdigest()


def _remembered(there: str | None) -> Wanted:
    """The options of the last time. They are checked like those of the command line."""
    said = _said(there)[0].get("options")
    options = said if isinstance(said, dict) else {}
    known = asdict(Wanted())
    return Wanted(**{k: v for k, v in options.items() if k in known and isinstance(v, str)})


# ── on the disk ──────────────────────────────────────────────────────────────────────────────────────────


def _entry(root: Path) -> tuple[str | None, Step, list[str]]:
    """GitLab's own file: what to write, the step, and what a person has to do where it is theirs."""
    include = f"include:\n  - local: {FILES['gitlab']}\n"
    there = madefiles.there(root / ENTRY)
    if there is None:
        return include, Step(ENTRY, "written"), []
    if FILES["gitlab"] in there:
        return None, Step(ENTRY, "same"), []
    return None, Step(ENTRY, "kept"), [f"{ENTRY} is yours: add to its include:  - local: {FILES['gitlab']}"]


def _put(path: Path, text: str, before: str | None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if before is not None:
            write_atomic(path.with_name(f"{path.name}.orig"), before)
        if madefiles.there(path) != text:
            write_atomic(path, text)
    except OSError as err:
        raise LedgerError(f"{err.strerror}: {err.filename}", "make the folder writable") from err


__all__ = [
    "ENTRY",
    "FILES",
    "FORGES",
    "TARGETS",
    "Outcome",
    "Wanted",
    "checked",
    "sealed",
    "untouched",
    "write",
]
