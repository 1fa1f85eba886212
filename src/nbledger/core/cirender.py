"""The text of a CI workflow: parts of ``ciparts/`` with what a project has and a person asked for.

What comes from the project (names of models, stages, files) is a value of an environment variable or a quoted word, never
text of a script; what comes from whoever opens a pull request or makes a tag is in variables only.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbledger._version import __version__
from nbledger.core import cifacts, datachange, dvc, kserve, textparts
from nbledger.core.cifacts import Facts
from nbledger.core.errors import Refused
from nbledger.core.project import Project

if TYPE_CHECKING:
    from nbledger.core.ciworkflow import Wanted

ACTIONS = {
    "CHECKOUT": ("actions/checkout", "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "SETUP_PYTHON": ("actions/setup-python", "5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "CACHE": ("actions/cache", "27d5ce7f107fe9357f9df03efb73ab90386fccae", "v5.0.5"),
    "AWS": ("aws-actions/configure-aws-credentials", "e6de054238d6b7531b4efff3b6587d9aade6a06c", "v6.2.3"),
    "GCP": ("google-github-actions/auth", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093", "v3.0.0"),
    "AZURE": ("azure/login", "f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca", "v3.0.1"),
}
"""Each by the commit of its release: a tag can be moved, a commit cannot."""
RUNNER = "ubuntu-24.04"
_SAGEMAKER = {"region": "AWS_DEFAULT_REGION", "role": "SAGEMAKER_ROLE", "bucket": "SAGEMAKER_BUCKET"}
KUBECTL, DOCKER = "v1.37.2", "29.8.2"
"""What a hosted runner of GitLab is given to deploy with; those of GitHub have both."""
_TRACKING = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_AUDIENCES = {
    "aws": "https://sts.amazonaws.com",
    "gcp": "https://iam.googleapis.com/$GCP_WORKLOAD_IDENTITY_PROVIDER",
    "azure": "api://AzureADTokenExchange",
}
_VARIABLES = {
    "aws": {"AWS_ROLE_ARN": "the role that trusts the forge's identity (OIDC)"},
    "gcp": {
        "GCP_WORKLOAD_IDENTITY_PROVIDER": "the workload identity provider of the forge (OIDC)",
        "GCP_SERVICE_ACCOUNT": "the service account that it may be",
    },
    "azure": {
        "AZURE_CLIENT_ID": "the application that trusts the forge's identity (OIDC)",
        "AZURE_TENANT_ID": "its tenant",
        "AZURE_SUBSCRIPTION_ID": "its subscription",
    },
}
_ON_GITLAB = {"azure": {name: _VARIABLES["azure"][name] for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")}}


@dataclass(frozen=True)
class Plan:
    """A workflow that is to be written, and what the forge and a person have to add."""

    text: str
    jobs: tuple[str, ...]
    secrets: dict[str, str]
    variables: dict[str, str]
    notes: tuple[str, ...]


def plan(project: Project, facts: Facts, wanted: Wanted, forge: str) -> Plan:
    """The text for one forge, and what it takes."""
    flags = _flags(project, facts, wanted, forge)
    secrets, variables = _secrets(facts, flags, forge), _variables(facts, flags, forge)
    values = _values(project, facts, wanted, flags, forge, secrets)
    text = textparts.part("ciparts", f"{forge}.yml")
    values["DEPLOY"] = _part(
        f"{forge}-deploy.yml", flags, values | {"LOGIN": textparts.indented(_login(secrets), 4)}, forge
    )
    if forge == "github":
        for job in ("review", "release", "deploy", "drift"):
            values[f"SETUP_{job.upper()}"] = _part("github-setup.yml", {*flags, job}, values, forge)
    text = textparts.filled(textparts.chosen(text, flags), values)
    return Plan(text, _jobs(flags), secrets, variables, _notes(facts, wanted, flags, forge))


def _part(name: str, flags: set[str], values: dict[str, str], forge: str) -> str:
    """Steps of a job, at their place in it."""
    chosen = textparts.chosen(textparts.part("ciparts", name), flags)
    return textparts.indented(textparts.filled(chosen, values), 6 if forge == "github" else 4)


def _flags(project: Project, facts: Facts, wanted: Wanted, forge: str) -> set[str]:
    logins = {facts.remote.login, *(("aws",) if wanted.deploy == "sagemaker" else ())} - {""}
    if forge == "gitlab" and len(logins & _AUDIENCES.keys()) > 1:
        raise Refused("a job of GitLab has one identity here, and the data and SageMaker need two", "deploy elsewhere")
    if {"keys", "aws"} <= logins:
        raise Refused(
            "the keys of the data remote and the role that deploys to SageMaker would be one login of a job",
            "deploy elsewhere",
        )
    hosted = forge == "gitlab" and not wanted.runner
    said = {
        "model": wanted.model,
        "pipeline": facts.pipeline,
        "notebook": not facts.pipeline and wanted.source,
        "check": facts.notebooks,
        "remote": facts.remote.kind and (facts.remote.kind != "folder" or wanted.runner),
        "deploy": wanted.deploy,
        "kubectl": wanted.deploy == "kserve",
        "fetch-kubectl": wanted.deploy == "kserve" and hosted,
        "docker": wanted.deploy == "docker",
        "engine": wanted.deploy == "docker" and hosted,
        "local": wanted.deploy == "local",
        "kept": wanted.deploy == "local" or (wanted.own and facts.store),
        "sagemaker": wanted.deploy == "sagemaker",
        "drift": wanted.model and wanted.data,
        "tracked-data": wanted.data and _tracked(project, wanted.data),
        "dispatch": wanted.model and (wanted.data or wanted.deploy),
        "approvals": facts.models.get(wanted.model, 0),
        "condition": wanted.condition,
        "uri": not facts.tracking,
        "python-file": facts.python_file,
        "pip": facts.packages.way in ("pip", "project"),
        "oidc": logins & _AUDIENCES.keys(),
        "region": facts.remote.region,
        "runner": wanted.runner,
    }
    return {name for name, holds in said.items() if holds} | logins


def _tracked(project: Project, path: str) -> bool:
    """Whether DVC has the live data: then they are brought first."""
    outs = dvc.outputs(project)[0] if project.dvc_root is not None else []
    wanted = posixpath.normpath(path)
    return any(wanted == out.path or wanted.startswith(f"{out.path}/") for out in outs if datachange.pointer_of(out))


def _jobs(flags: set[str]) -> tuple[str, ...]:
    jobs = {"review": True, "release": "model" in flags, "approved": "approvals" in flags, "deploy": "deploy" in flags}
    return tuple(name for name, there in (jobs | {"drift": "drift" in flags}).items() if there)


# ── what goes into the text ──────────────────────────────────────────────────────────────────────────────


def _values(
    project: Project, facts: Facts, wanted: Wanted, flags: set[str], forge: str, secrets: dict[str, str]
) -> dict[str, str]:
    github = forge == "github"
    root = project.dvc_root.relative_to(project.root).as_posix() if project.dvc_root is not None else "."
    region = _text(facts.remote.region) if facts.remote.region else "${{ vars.AWS_REGION }}"
    promote = ["nbledger", "promote", '"$RUN"', "--model", '"$MODEL"']
    promote += ["--if", '"$CONDITION"'] if wanted.condition else []
    promote += ["--first", '"$FIRST"'] if wanted.first else []
    failed = "" if github else " || FAILED=$?"
    conditions = {"CONDITION": wanted.condition, "FIRST": wanted.first}
    return {
        **{name: f"{action}@{commit}  # {version}" for name, (action, commit, version) in ACTIONS.items()},
        "TAGS": _text(wanted.tags) if github else _pattern(wanted.tags),
        "BRANCH": _text(facts.branch),
        "CRON": _text(wanted.cron),
        "JOBS": ", ".join(name for name in ("drift", "deploy") if name in flags),
        "MODEL": _text(wanted.model),
        "SOURCE": _text(wanted.source),
        "RUN": _text(f"@stage:{wanted.source}"),
        "DATA": _text(wanted.data),
        "RUNNER": _text(wanted.runner) if not github else wanted.runner or RUNNER,
        "PYTHON": facts.python,
        "PACKAGES": _text(facts.packages.source),
        "CACHE_PATH": _text(posixpath.normpath(f"{root}/.dvc/cache")),
        "REGION": region,
        "AUDIENCE": next((said for login, said in _AUDIENCES.items() if login in flags), ""),
        "IMAGE": f"python:{facts.python}",
        "CHECK": _lines([f"nbledger check {_word(name)}{failed}" for name in facts.notebooks], 10 if github else 0),
        "INSTALL": _lines(_install(facts, wanted, github=github), 4 if github else 0),
        "LOGIN": textparts.indented(_login(secrets), 10),
        "PROMOTE": " ".join(promote),
        "DEPLOY_COMMAND": _deploy(wanted, github=github),
        "KUBECTL": KUBECTL,
        "DOCKER": DOCKER,
        "CONDITIONS": _conditions({name: text for name, text in conditions.items() if text}, github=github),
    }


def _deploy(wanted: Wanted, *, github: bool) -> str:
    """The command. What the forge was not given ends it, and the job."""
    registry = "${IMAGE_REGISTRY:?}" if github else "$CI_REGISTRY_IMAGE"
    more = {
        "docker": f' --image "{registry}/{kserve.name_of(wanted.model)}" --push',
        "sagemaker": "".join(f' --{option} "${{{name}:?}}"' for option, name in _SAGEMAKER.items()),
    }.get(wanted.deploy, "")
    more += f" --port {wanted.port}" if wanted.port else ""
    return f'nbledger deploy "$MODEL@champion" --to {wanted.deploy}{more}'


def _install(facts: Facts, wanted: Wanted, *, github: bool) -> list[str]:
    """The commands that install the project's packages and nbledger."""
    extras = [facts.remote.extra] if facts.remote.extra else []
    extras += ["drift"] if wanted.data else []
    extras += ["sagemaker"] if wanted.deploy == "sagemaker" else []
    own = wanted.install or f"nbledger[{','.join(extras)}]=={__version__}".replace("[]", "")
    own = "" if facts.packages.has_nbledger and not wanted.install else shlex.quote(own)
    match facts.packages.way:
        case "uv":
            found = [f"python -m pip install uv=={cifacts.UV}", "uv sync --frozen"]
            found += [f"uv pip install {own}"] if own else []
            path = 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"' if github else 'export PATH="$PWD/.venv/bin:$PATH"'
            return [*found, path]
        case "project":
            found = [f"python -m pip install uv=={cifacts.UV}"]
            return [*found, f"uv pip install --system --requirement pyproject.toml {own}".rstrip()]
        case "pip":
            return [f"python -m pip install {facts.packages.words} {own}".rstrip()]
    return [f"python -m pip install {own}"]


def _login(secrets: dict[str, str]) -> str:
    names = [name for name in (*_TRACKING, *_KEYS) if name in secrets]
    return "\n".join(f"{name}: ${{{{ secrets.{name} }}}}" for name in names)


def _conditions(conditions: dict[str, str], *, github: bool) -> str:
    if github:
        return "\n".join(f"          {name}: {_text(text)}" for name, text in conditions.items())
    return "\n".join(f"    {name}: {{value: {_text(text)}, expand: false}}" for name, text in conditions.items())


def _lines(commands: Sequence[str], by: int) -> str:
    """Commands at their place: lines of a script so far to the right, or (0) items of GitLab's list."""
    if by:
        return textparts.indented("\n".join(commands), by)
    return "\n".join(f"    - {_text(command)}" for command in commands)


def _word(name: str) -> str:
    """A file's name as a word of a script."""
    if not name.isprintable() or "${{" in name:
        raise Refused(f"{name!r} cannot stand in a workflow", "give it a name of one line, without ${{")
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def _text(value: str) -> str:
    """A string as YAML has it: JSON's strings are YAML's."""
    return json.dumps(value, ensure_ascii=False)


def _pattern(tags: str) -> str:
    """``v*`` as the regular expression that GitLab asks for."""
    stem = tags.removesuffix("*")
    quoted = "".join(char if char.isalnum() or char in "_-" else f"\\{char}" for char in stem)
    return f"/^{quoted}{'' if tags.endswith('*') else '$'}/"


# ── what the forge and a person add ──────────────────────────────────────────────────────────────────────


def _secrets(facts: Facts, flags: set[str], forge: str) -> dict[str, str]:
    found = dict.fromkeys(_TRACKING[:2], "the login at the tracking server")
    found[_TRACKING[2]] = "or a token in place of both"
    if "keys" in flags:
        found |= dict.fromkeys(_KEYS, f"the key of {facts.remote.url}")
    if "ssh" in flags:
        found["DVC_SSH_KEY"] = f"the private key for {facts.remote.url}" + (" (a file)" if forge == "gitlab" else "")
    if "kubectl" in flags:
        found["KUBECONFIG"] = "the cluster and who may apply there" + (" (a file)" if forge == "gitlab" else "")
    if forge == "gitlab":
        found["GITLAB_TOKEN"] = "a project access token (Reporter, api) for the comment; not protected"  # noqa: S105
    return found


def _variables(facts: Facts, flags: set[str], forge: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if "uri" in flags:
        found["MLFLOW_TRACKING_URI"] = "the tracking server: the project's settings name none"
    for login, names in (_VARIABLES | (_ON_GITLAB if forge == "gitlab" else {})).items():
        found |= names if login in flags else {}
    if "sagemaker" in flags:
        found |= {"SAGEMAKER_ROLE": "the role that the endpoint runs as", "SAGEMAKER_BUCKET": "for the model's files"}
    if "aws" in flags and not facts.remote.region:
        found["AWS_DEFAULT_REGION" if forge == "gitlab" else "AWS_REGION"] = "its region"
    return found


def _notes(facts: Facts, wanted: Wanted, flags: set[str], forge: str) -> tuple[str, ...]:
    notes = []
    if not facts.remote.kind:
        notes.append("the project has no data remote: nbledger init --remote URL, or CI has no data")
    elif facts.remote.kind == "folder" and not wanted.runner:
        notes.append(
            f"the data remote {facts.remote.url} is a folder: only a machine that has it (--runner) can run this"
        )
    elif not facts.remote.login and facts.remote.kind not in ("folder", "http", "https"):
        notes.append(f"how a job logs in at {facts.remote.kind}:// is not known: add a step for it")
    if facts.packages.way == "none":
        notes.append(
            "no file says which packages the project needs (requirements.txt, uv.lock): only nbledger is installed"
        )
    elif facts.packages.way == "by hand":
        notes.append(f"{facts.packages.source} is not for pip or uv: add a step that installs it")
    if not wanted.model:
        notes.append(
            "no model is named (--model NAME, or [models.NAME] in the settings): pull requests are reviewed, no more"
        )
    elif not wanted.data:
        notes.append("without --data PATH nothing looks for drift")
    if wanted.model and not wanted.deploy:
        notes.append("without --deploy nothing is deployed: kserve, sagemaker, docker, local")
    if not facts.pipeline and not wanted.source and not wanted.model:
        notes.append("there is no pipeline, and no one notebook: pull requests get a report, nothing is run")
    if forge == "gitlab" and "drift" in flags:
        notes.append(f'GitLab keeps schedules beside the file: Build → Pipeline schedules, "{wanted.cron}"')
    if forge == "gitlab" and "model" in flags and "remote" in flags:
        notes.append("for nbledger push: Settings → CI/CD → Job token permissions → allow Git push requests")
    if "engine" in flags:
        notes.append(
            "images are built by Docker in Docker: the project needs its container registry, and a runner that is privileged"
        )
    if "kubectl" in flags:
        notes.append(
            "the cluster fetches the model's files: MLflow has to keep them where it can, not behind its own server"
        )
    if "sagemaker" in flags:
        notes.append(
            "SageMaker runs MLflow's image, which somebody pushes once: mlflow sagemaker build-and-push-container"
        )
    if wanted.runner and "model" in flags:
        notes.append("protect the environment production, and the tags that release")
    return tuple(notes)
