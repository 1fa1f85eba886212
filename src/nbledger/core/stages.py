"""The stages of ``dvc.yaml``: what it declares, the values of their parameters, and what is to be written for a new one.

Which cells of a notebook a stage is stands in ``stagecells``.
"""

from __future__ import annotations

import io
import json
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nbledger.core import dvc, dvcfiles
from nbledger.core.dvcfiles import Damaged
from nbledger.core.errors import ToolFailed, UsageError, nearest
from nbledger.core.project import Project
from nbledger.core.stagecells import MAGIC, RUNNING, TAG, Slice, code, left_out, names, slice_of, sliced, stage_of

if TYPE_CHECKING:
    from nbledger.core import dvcgraph

__all__ = [
    "FOLDER",
    "MAGIC",
    "PARAMS",
    "RUNNING",
    "TAG",
    "Plan",
    "Slice",
    "Stage",
    "as_loaded",
    "code",
    "code_command",
    "code_path",
    "command",
    "declared",
    "entry",
    "file_table",
    "given",
    "left_out",
    "names",
    "notebook_of",
    "notebook_stages",
    "param_entries",
    "parameters",
    "parsed",
    "paths_of",
    "prefix",
    "runs",
    "slice_of",
    "sliced",
    "stage",
    "stage_of",
    "stages",
    "text",
    "variable",
]
FOLDER = "stages"
PARAMS = "params.yaml"


@dataclass(frozen=True)
class Stage:
    """A stage as its ``dvc.yaml`` (``file``) declares it; paths are relative to the project's root, ``cmd`` runs in
    ``wdir``. ``params``: (file, dotted key), the key empty for the whole file. ``notebook``: that of a command
    ``nbledger run NB --stage NAME``. ``always``: DVC runs it every time.
    """

    name: str
    cmd: str
    file: str
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    notebook: str | None = None
    always: bool = False
    frozen: bool = False
    wdir: str = ""


@dataclass(frozen=True)
class Plan:
    """A stage that is to be written. Paths are relative to the project's root; ``params`` as DVC's ``-p`` takes them: ``key``
    (of params.yaml), ``file:key``, or ``file:`` for all of it; ``values``: what params.yaml is to hold where it does not
    have the key. The file with the stage's code is a dependency without being named here.
    """

    name: str
    notebook: str
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


# ── what dvc.yaml declares ────────────────────────────────────────────────────────────────────────────────────
def stages(project: Project) -> dict[str, Stage]:
    """All stages, by the name that ``dvc repro`` calls them. DVC is imported only for templates and ``foreach``."""
    found: dict[str, Stage] = {}
    for file, table in declared(project).items():
        if any("foreach" in entry or "matrix" in entry or "${" in str(entry) for entry in table.values()):
            found |= {_address(project, file, stage.name): stage for stage in _resolved(project, file)}
            continue
        for name, entry in table.items():
            found[_address(project, file, name)] = _plain(file, name, entry)
    return found


def stage(project: Project, name: str) -> Stage:
    """The stage called ``name``."""
    known = stages(project)
    if name not in known:
        there = ", ".join(sorted(known)) if known else "this project has none"
        raise UsageError(f"there is no stage {name!r}", nearest(name, known) or f"stages: {there}")
    return known[name]


def declared(project: Project) -> dict[str, dict[str, dict[str, Any]]]:
    """{``dvc.yaml`` from the project's root: {stage: its entry as written, every scalar a string}}."""
    return {file: _read(project, file) for file in _files(project)}


def notebook_stages(project: Project, notebook: str) -> list[Stage]:
    """The stages that run ``notebook`` (a path from the project's root), as ``dvc.yaml`` files have them."""
    found = []
    for file, table in declared(project).items():
        for name, entry in table.items():
            if "cmd" in entry and (plain := _plain(file, name, entry)).notebook == notebook:
                found.append(plain)
    return found


def code_path(project: Project, name: str) -> str:
    """The file of the stage's code, from the project's root."""
    return posixpath.join(prefix(project), FOLDER, f"{name}.py")


def prefix(project: Project) -> str:
    """The DVC repository's folder, from the project's root; empty where it is the root."""
    inner = dvc.require_root(project).relative_to(project.root).as_posix()
    return "" if inner == "." else inner


def _files(project: Project) -> list[str]:
    if project.dvc_root is None:
        return []
    return [name for name in dvc.listed_files(project) if posixpath.basename(name) == "dvc.yaml"]


def _read(project: Project, file: str) -> dict[str, dict[str, Any]]:
    try:
        return dvcfiles.read_stages(project.root / file)
    except FileNotFoundError:
        return {}
    except Damaged as err:
        raise ToolFailed(f"{file} cannot be read: {err}", "mend it, or take back the last change") from err


def _address(project: Project, file: str, name: str) -> str:
    inner = posixpath.relpath(file, prefix(project) or ".")
    return name if inner == "dvc.yaml" else f"{inner}:{name}"


def _plain(file: str, name: str, entry: Mapping[str, Any]) -> Stage:
    base = posixpath.normpath(posixpath.join(posixpath.dirname(file), str(entry.get("wdir") or ".")))
    said = entry.get("cmd") or ""
    cmd = "\n".join(map(str, said)) if isinstance(said, list) else str(said)
    params = tuple((_joined(base, path), key) for path, key in _params(entry.get("params") or ()))
    deps, outs, metrics, plots = (
        tuple(_joined(base, path) for path in paths_of(entry.get(kind) or ()))
        for kind in ("deps", "outs", "metrics", "plots")
    )
    always, frozen = (str(entry.get(key, "")).lower() == "true" for key in ("always_changed", "frozen"))
    called = notebook_of(cmd)
    notebook = None if called is None else _joined(base, called)
    return Stage(
        name, cmd, file, deps, outs, metrics, plots, params, notebook, always, frozen, "" if base == "." else base
    )


def _resolved(project: Project, file: str) -> list[Stage]:
    from nbledger.core import dvcgraph

    loaded, problems = dvcgraph.load(project, [file])
    if problems:
        raise ToolFailed(problems[0], "mend dvc.yaml")
    return [as_loaded(each) for each in loaded]


def as_loaded(each: dvcgraph.Stage) -> Stage:
    """A stage as DVC's own loader has it."""
    called = notebook_of(each.cmd)
    pairs = [name.partition(":") for name in each.params]
    return Stage(
        each.name,
        each.cmd,
        each.file,
        tuple(used.path for used in each.deps),
        tuple(used.path for used in each.outs if not (used.metric or used.plot)),
        tuple(used.path for used in each.outs if used.metric),
        tuple(used.path for used in each.outs if used.plot),
        tuple((path, key) for path, _, key in pairs),
        None if called is None else _joined(each.wdir, called),
        each.always,
        each.frozen,
        each.wdir,
    )


def _joined(base: str, path: str) -> str:
    return path if "://" in path else posixpath.normpath(posixpath.join(base, path))


def paths_of(entries: Any) -> list[str]:
    """The paths of a list of ``deps``, ``outs``, ``metrics`` or ``plots``."""
    if isinstance(entries, dict):
        entries = [entries]
    found: list[str] = []
    for entry in entries if isinstance(entries, list | tuple) else ():
        found += [str(key) for key in entry] if isinstance(entry, dict) else [str(entry)]
    return found


def _params(entries: Any) -> list[tuple[str, str]]:
    """(file, key) of a list of ``params``."""
    found: list[tuple[str, str]] = []
    for entry in entries if isinstance(entries, list | tuple) else ():
        if isinstance(entry, dict):
            for file, keys in entry.items():
                found += (
                    [(str(file), str(key)) for key in keys] if isinstance(keys, list) and keys else [(str(file), "")]
                )
        else:
            found.append((PARAMS, str(entry)))
    return found


def command(notebook: str, name: str) -> str:
    """What runs the stage, in the folder that ``notebook`` is relative to."""
    return f"nbledger run {shlex.quote(_no_option(notebook))} --stage {shlex.quote(name)}"


def code_command(notebook: str) -> str:
    """What writes the code of a notebook's stages."""
    return f"nbledger code {shlex.quote(_no_option(notebook))}"


def _no_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def runs(cmd: str, notebook: str, name: str) -> bool:
    """Whether a command executes the stage ``name`` of ``notebook``, with whatever other options."""
    called = notebook_of(cmd)
    if called is None or posixpath.normpath(called) != posixpath.normpath(notebook):
        return False
    words = shlex.split(cmd)
    named = [after for word, after in pairwise(words) if word == "--stage"]
    return name in (*named, *(word[8:] for word in words if word.startswith("--stage=")))


def notebook_of(cmd: str) -> str | None:
    """The notebook of a command ``nbledger run NB … --stage NAME``."""
    try:
        words = shlex.split(cmd)
    except ValueError:
        return None
    for at, word in enumerate(words[:-1]):
        if posixpath.basename(word) == "nbledger" and words[at + 1] == "run":
            rest = words[at + 2 :]
            if any(each == "--stage" or each.startswith("--stage=") for each in rest):
                return next((each for each in rest if each.endswith(".ipynb")), None)
    return None


def parameters(project: Project, stage: Stage) -> dict[str, Any]:
    """{dotted key: value} of the stage's parameters as their files have them now; those of a whole file by its top keys."""
    found: dict[str, Any] = {}
    for file, key in stage.params:
        table = file_table(project, file)
        if not key:
            found.update({str(name): value for name, value in table.items()})
            continue
        value: Any = table
        for part in key.split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, Mapping) and part in value:
                value = value[part]
            else:
                raise UsageError(
                    f"{file} has no {key!r}, which the stage {stage.name} takes as parameter",
                    nearest(key, map(str, table)) or f"add it, or take it out of {stage.file}",
                )
        found[key] = value
    return found


def variable(key: str) -> str:
    """The variable of a notebook that a parameter sets: the last part of its key."""
    return key.rpartition(".")[2]


def given(project: Project, notebook: str, name: str) -> dict[str, Any]:
    """{variable: value} of what the stage ``name`` of ``dvc.yaml`` sets in its notebook; empty where it has no such stage."""
    found = next((each for each in notebook_stages(project, notebook) if each.name == name), None)
    values: dict[str, Any] = {}
    for key, value in (parameters(project, found) if found is not None else {}).items():
        called = variable(key)
        if not called.isidentifier():
            raise UsageError(f"the parameter {key} of the stage {name} cannot be a variable", "give it another name")
        if called in values:
            raise UsageError(f"two parameters of the stage {name} would set the variable {called}", "rename one")
        values[called] = value
    return values


def file_table(project: Project, file: str) -> Mapping[str, Any]:
    """The table that a file of parameters holds, its values typed as DVC types them."""
    try:
        text = dvcfiles.read_text(project.root / file)
    except OSError as err:
        raise UsageError(
            f"{file}, the file of parameters: {err.strerror}", "write it, or take it out of dvc.yaml"
        ) from err
    except Damaged as err:
        raise UsageError(f"{file} cannot be read: {err}", "mend it") from err
    try:
        table = parsed(file, text)
    except UsageError:
        raise
    except Exception as err:  # whatever a parser makes of a broken file
        raise UsageError(f"{file} cannot be read: {' '.join(str(err).split())[:200]}", "mend that line") from err
    if not isinstance(table, Mapping):
        raise UsageError(f"{file} holds no table of parameters", "write NAME: VALUE lines")
    return table


def parsed(file: str, text: str) -> Any:
    """What a YAML, JSON, TOML or Python file of parameters (or metrics) holds; whatever its parser raises."""
    kind = posixpath.splitext(file)[1].lower()
    if kind == ".json":
        return json.loads(text)
    if kind == ".toml":
        import tomllib

        return tomllib.loads(text)
    if kind == ".py":
        return _assigned(text)
    from ruamel.yaml import YAML

    dvcfiles.refuse_bomb(text)
    return YAML(typ="safe").load(text) or {}


def _assigned(text: str) -> dict[str, Any]:
    """The plain values that a Python file sets at its top level, and in classes; nothing is executed."""
    import ast

    def table(body: Sequence[ast.stmt]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                found[statement.name] = table(statement.body)
            targets = statement.targets if isinstance(statement, ast.Assign) else ()
            if isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets = [statement.target]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(statement, ast.Assign | ast.AnnAssign):
                    try:
                        found[target.id] = ast.literal_eval(statement.value)  # type: ignore[arg-type]
                    except ValueError:
                        continue
        return found

    return table(ast.parse(text).body)


# ── what is to be written ─────────────────────────────────────────────────────────────────────────────────────
def entry(plan: Plan, base: str = "") -> dict[str, Any]:
    """The stage as ``dvc.yaml`` will have it in the folder ``base`` (from the project's root)."""

    def here(path: str) -> str:
        return posixpath.relpath(path, base or ".")

    own = f"{FOLDER}/{plan.name}.py"
    deps = [path for path in dict.fromkeys(map(here, plan.deps)) if path != own]
    made: dict[str, Any] = {"cmd": command(here(plan.notebook), plan.name), "deps": [*deps, own]}
    if plan.params:
        made["params"] = param_entries([_placed(param, base) for param in plan.params])
    if plan.outs:
        made["outs"] = [here(path) for path in dict.fromkeys(plan.outs)]
    for kind, paths in (("metrics", plan.metrics), ("plots", plan.plots)):
        if paths:
            made[kind] = [{here(path): {"cache": False}} for path in dict.fromkeys(paths)]
    return made


def _placed(param: str, base: str) -> str:
    file, colon, key = param.rpartition(":")
    return f"{posixpath.relpath(file, base or '.')}:{key}" if colon else param


def param_entries(params: Sequence[str]) -> list[Any]:
    """A list of ``params`` as ``dvc.yaml`` has it, of ``key``, ``file:key`` and ``file:``."""
    plain: list[Any] = []
    by_file: dict[str, list[str]] = {}
    for param in dict.fromkeys(params):
        file, colon, key = param.rpartition(":")
        if not colon or file == PARAMS:
            plain += [] if key in plain else [key]
        else:
            by_file.setdefault(file, []).extend([key] if key else [])
    return plain + [{file: keys or None} for file, keys in by_file.items()]


def text(plan: Plan, base: str = "") -> str:
    """The YAML that will be written for the stage, for showing."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump({"stages": {plan.name: entry(plan, base)}}, stream)
    return stream.getvalue()
