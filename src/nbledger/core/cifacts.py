"""What a CI workflow has to know of a project: its data remote, tracking server, Python, packages, pipeline and gates.

Read from the project's own files alone, and from no credential: the names of secrets are what a workflow holds.
"""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import dvcremote, gates, git, remoteurl, secrets, stages
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

BY_HAND = ("poetry.lock", "pixi.lock", "Pipfile.lock", "conda-lock.yml", "environment.yml", "environment.yaml")
UV = "0.13.9"
"""The version of uv that a workflow installs where a project has a lock of it."""


@dataclass(frozen=True)
class Remote:
    """The data remote. ``login``: aws, keys (S3 elsewhere), gcp, azure, ssh; empty where none is needed, or none is known."""

    name: str = ""
    url: str = ""
    kind: str = ""
    login: str = ""
    region: str = ""
    extra: str = ""


@dataclass(frozen=True)
class Packages:
    """What installs the project's own packages. ``way``: pip, uv (``uv.lock``), project (``pyproject.toml`` that pip cannot
    read alone), by hand, none; ``words`` for ``pip install``; ``source`` the file; ``has_nbledger``: that names nbledger too.
    """

    way: str
    source: str = ""
    words: str = ""
    has_nbledger: bool = False


@dataclass(frozen=True)
class Facts:
    """``tracking``: the server that the project's settings name, without a login; empty where none is. ``store``: whether
    they name a store that is no server. ``sources``: the stages
    that declare metrics, or without a pipeline the notebooks; ``notebooks`` those that are checked. ``models``: {one whose
    champion has a gate: the approvals that it asks for}.
    """

    python: str
    python_file: str
    packages: Packages
    remote: Remote
    tracking: str
    store: bool
    pipeline: bool
    stages: tuple[str, ...]
    sources: tuple[str, ...]
    notebooks: tuple[str, ...]
    models: dict[str, int]
    branch: str


def read(project: Project) -> Facts:
    """All of it. What cannot be read is an error: a workflow that was made of half of it would fail elsewhere, later."""
    known = stages.stages(project) if project.dvc_root is not None else {}
    books = tuple(git.listed(project.git, "*.ipynb")) if project.git is not None else ()
    version, file = _python(project.root)
    if known:
        sources = tuple(name for name, stage in known.items() if stage.metrics)
        used = {stage.notebook for stage in known.values() if stage.notebook}
        checked = tuple(sorted(used & set(books)))
    else:
        sources, checked = books, books[:1] if len(books) == 1 else ()
    uri = project.settings.tracking_uri or ""
    server = uri.startswith(("http://", "https://"))
    demands = {str(name): gates.demanded(project.settings, name, "champion") for name in project.settings.models}
    return Facts(
        version,
        file,
        _packages(project.root),
        _remote(project),
        secrets.without_login(uri) if server else "",
        bool(uri) and not server,
        bool(known),
        tuple(known),
        sources,
        checked,
        {name: gate.approvals for name, gate in demands.items() if gate is not None},
        _branch(project),
    )


def _python(root: Path) -> tuple[str, str]:
    """(``3.12`` or ``3.12.4``, the file that says so): the project's ``.python-version``, else the interpreter's own."""
    file = root / ".python-version"
    if file.is_file():
        said = file.read_text(encoding="utf-8", errors="replace").strip()
        if re.fullmatch(r"3\.\d{1,2}(\.\d{1,2})?", said):
            return said, file.name
    return f"{sys.version_info[0]}.{sys.version_info[1]}", ""


def _packages(root: Path) -> Packages:
    here = {item.name for item in root.iterdir() if item.is_file()}
    project: dict[str, Any] = {}
    if "pyproject.toml" in here:
        try:
            project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
            raise LedgerError(f"pyproject.toml is not valid TOML: {err}", "mend that line") from err
    table = project.get("project")
    table = table if isinstance(table, dict) else {}
    if "uv.lock" in here and table:
        return Packages("uv", "uv.lock", "", _names_nbledger(root / "uv.lock", r'^name = "nbledger"$'))
    lists = sorted(name for name in here if name.startswith("requirements") and name.endswith((".txt", ".lock")))
    if lists:
        chosen = "requirements.txt" if "requirements.txt" in lists else lists[0]
        named = _names_nbledger(root / chosen, r"^\s*nbledger\b")
        return Packages("pip", chosen, f"--requirement {shlex.quote(chosen)}", named)
    if found := next((name for name in BY_HAND if name in here), ""):
        return Packages("by hand", found)
    needs = [str(each) for each in table.get("dependencies") or ()]
    named = any(re.match(r"\s*nbledger\b", each) for each in needs)
    if table and "build-system" in project:
        return Packages("pip", "pyproject.toml", "--editable .", named)
    if needs:
        return Packages("project", "pyproject.toml", "", named)
    return Packages("none")


def _names_nbledger(path: Path, pattern: str) -> bool:
    try:
        return re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) is not None
    except OSError:
        return False


def _remote(project: Project) -> Remote:
    if dvcremote.default_remote(project) is None:
        return Remote()
    name, url, options = dvcremote.named(project, "")
    kind = remoteurl.kind_of(url)
    said = {key: option.value for key, option in options.items()}
    endpoint = str(said.get("endpointurl", ""))
    login = {"gs": "gcp", "azure": "azure", "ssh": "ssh"}.get(kind.scheme, "")
    if kind.scheme == "s3":
        amazon = not endpoint or re.fullmatch(r"https://([a-z0-9.-]+\.)?amazonaws\.com(\.cn)?/?", endpoint)
        login = "aws" if amazon else "keys"
    region = str(said.get("region", ""))
    region = region if re.fullmatch(r"[a-z0-9-]{2,30}", region) else ""
    return Remote(name, secrets.scrub(url), kind.scheme or "folder", login, region, kind.extra)


def _branch(project: Project) -> str:
    """The branch that pull requests go to: the remote's own, else the one that is checked out."""
    if project.git is None:
        return "main"
    there = git.text(project.git, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", check=False)
    return there.removeprefix("origin/") or git.head(project.git).branch or "main"
