"""The generated workflows, as a forge would run them: which jobs an event starts, and each step's script in a clean clone.

Actions (``uses:``) are what the caller has made already: the clone, Python, a login. Expressions are only what the workflows
have of them.
"""

from __future__ import annotations

import re
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


def run_gitlab(file: Path, job: str, variables: Mapping[str, str], clone: Path, env: Mapping[str, str]) -> Done:
    """All of a job's script, in one shell, as GitLab's runner does."""
    whole = yaml.safe_load(file.read_text())
    common, own = whole[".nbledger"], whole[job]
    told = {**common["variables"], **own.get("variables", {})}
    told = {name: value["value"] if isinstance(value, dict) else value for name, value in told.items()}
    script = "\n".join([*common["before_script"], *own["script"]])
    told = {name: text.replace("$CI_PROJECT_DIR", str(clone)) for name, text in told.items()}
    base = {**env, "CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(clone), **told, **variables}
    return Done(job, script, *_bash(script, clone, base))


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
