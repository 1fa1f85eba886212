"""The generated workflows, as a forge would run them: which jobs an event starts, and each step's script in a clean clone.

Actions (``uses:``) are what the caller has made already: the clone, Python, a login. Expressions are only what the workflows
have of them.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Done:
    """A step (GitHub) or a whole job (GitLab) that was executed."""

    name: str
    script: str
    code: int
    out: str


@dataclass
class Event:
    """What happened: ``github`` as ``github.*`` has it, {"secrets.NAME" and "vars.NAME": value} in ``given``."""

    github: dict[str, str]
    given: dict[str, str] = field(default_factory=dict)

    def value(self, expression: str) -> Any:
        """``github.ref_type == 'tag' && …`` or one name. A name that is not known is the empty string, as on GitHub."""

        def looked(found: re.Match[str]) -> str:
            if found["text"]:
                return found["text"]
            if found["name"] in ("cancelled", "hashFiles"):
                return "(lambda *_: False)"
            known = {f"github.{key}": value for key, value in self.github.items()} | self.given
            return repr(known.get(found["name"], ""))

        code = re.sub(r"(?P<text>'[^']*')|(?P<name>[A-Za-z_][\w.-]*)", looked, expression)
        code = code.replace("&&", " and ").replace("||", " or ")
        return eval(re.sub(r"!(?!=)", " not ", code).strip())

    def filled(self, text: Any) -> str:
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(self.value(found[1])), str(text))


def github_jobs(workflow: Path, event: Event) -> list[str]:
    """The jobs that the event starts."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [name for name, job in jobs.items() if event.value(job["if"])]


def run_github(workflow: Path, job: str, event: Event, clone: Path, env: Mapping[str, str]) -> list[Done]:
    """The job's scripts, one after the other, until one fails (the others only where they say so)."""
    whole = yaml.safe_load(workflow.read_text())
    path, more = clone.parent / "github-path", clone.parent / "github-env"
    for each in (path, more):
        each.write_text("")
    base = {**env, "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_PATH": str(path), "GITHUB_ENV": str(more)}
    base |= {f"GITHUB_{key.upper()}": value for key, value in event.github.items() if "." not in key}
    base |= {"RUNNER_TEMP": str(clone.parent)}
    base |= {name: event.filled(value) for name, value in whole["env"].items()}
    done: list[Done] = []
    for step in whole["jobs"][job]["steps"]:
        if "run" not in step:
            continue
        if any(one.code for one in done) and "cancelled()" not in step.get("if", ""):
            continue
        own = {name: event.filled(value) for name, value in step.get("env", {}).items()}
        told = dict(line.split("=", 1) for line in more.read_text().splitlines())
        found = _bash(step["run"], clone, base | told | own)
        done.append(Done(step["name"], step["run"], *found))
    return done


def gitlab_jobs(file: Path, variables: Mapping[str, str]) -> list[str]:
    """The jobs of which a rule holds for these predefined variables."""
    jobs = {name: job for name, job in yaml.safe_load(file.read_text()).items() if not name.startswith(".")}

    def holds(rule: str) -> bool:
        code = re.sub(r"=~ (/.*/)", lambda found: f"in _Matching({found[1][1:-1]!r})", rule)
        code = re.sub(r"\$(\w+)", lambda found: repr(variables.get(found[1], "")), code).replace("&&", " and ")
        return bool(eval(code, {"_Matching": _Matching}))

    return [name for name, job in jobs.items() if any(holds(rule["if"]) for rule in job["rules"])]


class _Matching:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __contains__(self, text: str) -> bool:
        return re.search(self._pattern, text) is not None


@dataclass(frozen=True)
class GitlabJob:
    """A job as the runner is given it: all of its script, and its variables, those of the project over those of the file over
    those of the pipeline.
    """

    name: str
    script: tuple[str, ...]
    variables: dict[str, str]


def gitlab_job(text: str, name: str, pipeline: Mapping[str, str], given: Mapping[str, str], clone: Path) -> GitlabJob:
    """The job ``name`` of the file ``text``. A token of an identity is told as its audience."""
    whole = yaml.safe_load(text)
    common, own = whole[".nbledger"], whole[name]
    predefined = {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(clone), **pipeline}
    known = predefined | given
    told = {}
    for key, value in {**common["variables"], **own.get("variables", {})}.items():
        said = value if isinstance(value, dict) else {"value": value}
        told[key] = said["value"] if said.get("expand") is False else _expanded(said["value"], known)
    tokens = {key: _expanded(said["aud"], known) for key, said in common.get("id_tokens", {}).items()}
    script = (*common["before_script"], *own["script"])
    return GitlabJob(name, script, {**predefined, **told, **given, **tokens})


def _expanded(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), text)


def gitlab_clone(job: GitlabJob, url: str, clone: Path, env: Mapping[str, str]) -> None:
    """What the runner does before the script: the branches and tags at the depth that is asked for, the commit as a detached HEAD,
    and nothing of the job before but what the flags of ``git clean`` leave.
    """

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(clone), *words], check=True, env=dict(env), capture_output=True)

    if clone.exists():
        git("remote", "set-url", "origin", url)
    else:
        clone.mkdir(parents=True)
        git("init", "--quiet")
        git("remote", "add", "origin", url)
    depth = int(job.variables.get("GIT_DEPTH", "20"))
    heads = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    git("fetch", "--quiet", "--prune", "origin", *heads, *(("--depth", str(depth)) if depth else ()))
    git("checkout", "--force", "--quiet", job.variables["CI_COMMIT_SHA"])
    git("clean", *job.variables.get("GIT_CLEAN_FLAGS", "-ffdx").split())


def run_gitlab(job: GitlabJob, clone: Path, env: Mapping[str, str]) -> Done:
    """The script in one shell, which reads it as the runner writes it: nothing is on the standard input of its commands."""
    lines = "\n".join(line.strip() for line in job.script)
    written = (
        'case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit\nset +o noclobber\n'
        f"(eval {shlex.quote(lines)}) < /dev/null\nexit 0\n"
    )
    done = subprocess.run(
        ["bash"],
        cwd=clone,
        env={**env, **job.variables},
        input=written,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return Done(job.name, lines, done.returncode, done.stdout)


def _bash(script: str, clone: Path, env: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=clone,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout
