"""Which version of a registered model is to be served, and its files: copied out of the store, compared with what was recorded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import mlflow, mlflow_files, mlflow_registry, modeldigest
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.wording import some

CHAMPION = "champion"
TARGETS = ("local", "docker", "kserve", "sagemaker")


@dataclass(frozen=True)
class Chosen:
    """A version of a registered model. ``alias`` by which it was named; ``digest`` that its files had when it was promoted."""

    model: str
    version: str
    alias: str | None
    source: str
    run_id: str | None
    digest: str | None
    place: str


@dataclass(frozen=True)
class Deployed:
    """How a deployment ended, or with ``dry`` what it would be. ``steps`` are in order; ``step`` is the last one that was begun;
    ``endpoint`` is where clients ask; ``serving`` the version that is served now, ``previous`` the one before; ``files`` what was written;
    ``example`` what can be sent to ``endpoint``/invocations: the model's own input example as JSON, or ``@`` and the file that has it.
    """

    ok: bool
    model: str
    version: str
    alias: str | None
    target: str
    endpoint: str | None = None
    serving: str | None = None
    previous: str | None = None
    digest: str | None = None
    step: str = ""
    text: str = ""
    steps: tuple[str, ...] = ()
    dry: bool = False
    requests: int = 0
    failures: int = 0
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    example: str = ""
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """What is served on this machine. ``health``: ok, starting, down: why, or stopped; ``coming``: the version that is being brought
    into service, ``step`` how far it is; ``last`` how the last order ended.
    """

    model: str
    version: str | None
    endpoint: str
    port: int
    health: str
    since: str = ""
    digest: str = ""
    requests: int = 0
    failures: int = 0
    coming: str | None = None
    step: str = ""
    last: str = ""
    target: str = "local"


def parse(name: str) -> tuple[str, str | None, str | None]:
    """(model, alias, version) of ``wine@champion``, ``wine/3`` or ``wine``, which means the champion."""
    words = name.strip().removeprefix("models:/")
    model, slash, version = words.rpartition("/")
    if slash:
        if not version.isdigit():
            raise UsageError(f"{version!r} is no number of a version", "NAME/3, NAME@champion or NAME")
        return model, None, version
    model, at, alias = words.rpartition("@")
    return (model, alias, None) if at else (words, CHAMPION, None)


def choose(project: Project, api: Any, name: str) -> Chosen:
    """The version that ``name`` means now."""
    model, alias, number = parse(name)
    uri = project.tracking_uri
    known = mlflow_registry.existing(api, uri, model)
    if number is None:
        aliases = {str(k): str(v) for k, v in known.aliases.items()}
        number = aliases.get(str(alias))
        if number is None:
            others = f"it has {some(sorted(aliases), 5)}; " if aliases else ""
            raise UsageError(f"the model {model} has no alias {alias}", f"{others}{model}/VERSION names a version")
    found = mlflow_registry.version(api, uri, model, number)
    if found is None:
        raise UsageError(f"the model {model} has no version {number}")
    digest = {str(k): str(v) for k, v in (found.tags or {}).items()}.get(modeldigest.TAG)
    source = str(found.source)
    return Chosen(
        model,
        number,
        alias,
        source,
        str(found.run_id) if found.run_id else None,
        digest,
        mlflow.display_uri(mlflow_files.place(api, uri, source)),
    )


def expected(chosen: Chosen, given: str | None) -> str:
    """The digest that the files must have: the recorded one; ``given`` by the person where none was recorded. ``Refused`` if neither,
    or if they differ.
    """
    given = given.strip().lower() if given else None
    if chosen.digest is None and given is None:
        raise Refused(
            f"version {chosen.version} of {chosen.model} has no recorded digest, so its files cannot be checked",
            "nbledger promote RUN --model NAME records one; --sha256 DIGEST if you know what they should be",
        )
    if chosen.digest is not None and given is not None and given != chosen.digest:
        raise Refused(f"version {chosen.version} was recorded as {chosen.digest[:12]}, not as {given[:12]}")
    return str(chosen.digest or given)


def fetched(project: Project, api: Any, chosen: Chosen, digest: str, target: Path) -> Path:
    """Copy the version's files into the new folder ``target``. ``Refused`` if they are not those of the digest; then nothing stays."""
    try:
        mlflow_files.fetch(project, api, chosen.source, target)
        found = modeldigest.digest(target)
        if found != digest:
            raise Refused(
                f"the files of {chosen.model} version {chosen.version} were changed since it was promoted: recorded as"
                f" {digest[:12]}, they are {found[:12]}",
                f"they are at {chosen.place}; nothing of them was loaded",
            )
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target
