"""The room of DVC's door in which its own loader reads ``dvc.yaml`` files: ``foreach``, ``matrix``, ``vars`` and templates
resolved. Nothing is executed: DVC parses what ``vars`` and ``params`` name, Python files included.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core import dvc, dvcfiles, git
from nbledger.core.project import Project

_STAGES = 5000


@dataclass(frozen=True)
class Used:
    """A dependency or output: ``path`` from the project's root, or a URL. ``md5`` is what ``dvc.lock`` has (empty: none);
    ``metric`` and ``plot`` that it is one of the stage's metrics, or plots.
    """

    path: str
    md5: str
    legacy: bool
    local: bool
    metric: bool = False
    plot: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage as DVC sees it. ``file`` is its ``dvc.yaml``; ``params`` as ``file:key``; ``changed_params`` those whose values
    are not those of the last run; ``locked``: it was run before; ``wdir``: the folder of its command, from the root.
    """

    name: str
    file: str
    cmd: str
    deps: tuple[Used, ...]
    outs: tuple[Used, ...]
    params: tuple[str, ...]
    changed_params: tuple[str, ...]
    locked: bool
    frozen: bool
    always: bool
    cmd_changed: bool
    wdir: str = ""


def load(project: Project, files: Sequence[str]) -> tuple[list[Stage], list[str]]:
    """(the stages of these ``dvc.yaml`` files, given from the project's root; what is wrong with them)."""
    return dvc.guarded(lambda: _load(project, files), "status")


def _load(project: Project, names: Sequence[str]) -> tuple[list[Stage], list[str]]:
    import logging

    logging.getLogger("dvc").setLevel(logging.ERROR)
    found: list[Stage] = []
    loaded: list[Any] = []
    problems: list[str] = []
    with dvc.opened(dvc.require_root(project)) as repo:
        for name in names:
            try:
                for path in (project.root / name, (project.root / name).with_name("params.yaml")):
                    if path.is_file():
                        dvcfiles.refuse_bomb(dvcfiles.read_text(path))
                stages = _stages(repo, str(project.root / name))
                keys = list(stages)
            except Exception as err:  # whatever a parser makes of a broken file
                problems.append(f"{name}: {_words(err)}")
                continue
            for key in keys[:_STAGES]:
                try:
                    stage = stages[key]
                    found.append(described(project, name, key, stage, key in stages.lockfile_data))
                    loaded.append(stage)
                except Exception as err:
                    problems.append(f"{name}: {key}: {_words(err)}")
        problems += _graph_problems(loaded)
    return found, problems


def _stages(repo: Any, path: str) -> Any:
    from dvc.dvcfile import load_file

    return load_file(repo, path).stages


def _graph_problems(stages: Sequence[Any]) -> list[str]:
    """Outputs that two stages write, and stages that wait for each other."""
    from dvc.repo.graph import build_graph

    try:
        build_graph(list(stages))
    except Exception as err:
        return [_words(err)]
    return []


def _words(err: Exception) -> str:
    causes: list[str] = []
    cause: BaseException | None = err
    while cause is not None and len(causes) < 3:
        text = " ".join(str(cause).split())
        if text and not any(text in known for known in causes):
            causes.append(text)
        cause = cause.__cause__
    return git.scrub_url(": ".join(causes) or type(err).__name__)[:500]


def described(project: Project, file: str, name: str, stage: Any, locked: bool) -> Stage:
    """A stage of DVC's in plain values. ``locked``: ``dvc.lock`` has it, so that changed parameters can be told."""
    from dvc.dependency.param import ParamsDependency

    params: list[Any] = []
    deps: list[Any] = []
    for dep in stage.deps:
        (params if isinstance(dep, ParamsDependency) else deps).append(dep)
    return Stage(
        name,
        file,
        "\n".join(stage.cmd) if isinstance(stage.cmd, list) else str(stage.cmd or ""),
        tuple(_used(project, dep) for dep in deps),
        tuple(_used(project, out) for out in stage.outs),
        tuple(text for dep in params for text in _param_names(project, dep)),
        tuple(text for dep in params for text in _changed(project, dep)) if locked else (),
        locked,
        bool(stage.frozen),
        bool(stage.always_changed),
        bool(stage.cmd_changed),
        "" if (wdir := _relative(project, stage.wdir)) == "." else wdir,
    )


def _used(project: Project, item: Any) -> Used:
    local = getattr(item, "protocol", "local") == "local" and not hasattr(item, "def_repo")
    path = _relative(project, item.fs_path) if local else str(getattr(item, "def_path", item))
    info = getattr(item, "hash_info", None)
    value = info.value if info is not None and isinstance(info.value, str) else ""
    legacy = info is not None and info.name == "md5-dos2unix"
    return Used(
        path,
        value,
        legacy,
        local and "://" not in path,
        bool(getattr(item, "metric", False)),
        bool(getattr(item, "plot", False)),
    )


def _relative(project: Project, path: str) -> str:
    return os.path.relpath(path, project.root).replace(os.sep, "/")


def _param_names(project: Project, dep: Any) -> list[str]:
    file = _relative(project, dep.fs_path)
    return [f"{file}:{key}" for key in dep.params] or [file]


def _changed(project: Project, dep: Any) -> list[str]:
    """``file:key`` of parameters that are new, gone, or have another value."""
    file = _relative(project, dep.fs_path)
    found: list[str] = []
    for what in dep.status().values():
        found += [f"{file}:{key}" for key in what] if isinstance(what, dict) else [file]
    return found


def files(project: Project) -> list[str]:
    """Every ``dvc.yaml`` of the repository, from the project's root."""
    if project.dvc_root is None:
        return []
    return [name for name in dvc.listed_files(project) if posixpath.basename(name) == "dvc.yaml"]
