"""The room of DVC's door in which stages are written to ``dvc.yaml``, with what belongs to them: the stage that writes their
code, ``.gitignore`` lines for their outputs, new parameters in ``params.yaml``.

DVC's own checks come first, for all stages together and with those that are there; then the files are written, each as a
whole, ``dvc.yaml`` last. Whatever goes wrong, they are what they were.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import dvc, dvcfiles, files, git, stagecode, stages
from nbledger.core.dvcfiles import Damaged
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.stages import FOLDER, PARAMS, Plan

_FILE = "dvc.yaml"
_KINDS = ("deps", "params", "outs", "metrics", "plots")
_UNFIT = re.compile(r"[^\w-]+")


def add(project: Project, plans: Sequence[Plan], force: bool = False) -> tuple[str, ...]:
    """Write the stages; the files that were changed, from the project's root. ``Refused`` (or ``UsageError``) in DVC's own
    words where DVC would not have them, or a name is taken and not to be replaced (``force``): nothing is changed then.
    """
    with dvc.lock(project):
        made = changes(project, plans, force)
        _write(project, made)
    return tuple(made)


def changes(project: Project, plans: Sequence[Plan], force: bool = False) -> dict[str, bytes]:
    """{path from the project's root: what it would hold} of the files that ``add`` would change; ``dvc.yaml`` is the last."""
    for plan in plans:
        _check(project, plan)
    return dvc.guarded(lambda: _changes(project, plans, force), "stage add")


def _write(project: Project, made: Mapping[str, bytes]) -> None:
    before: dict[Path, bytes | None] = {}
    try:
        for name, content in made.items():
            path = project.root / name
            before[path] = path.read_bytes() if path.exists() else None
            files.write_atomic(path, content)
    except BaseException as err:
        for path, old in before.items():
            with contextlib.suppress(OSError):
                if old is None:
                    path.unlink(missing_ok=True)
                elif path.read_bytes() != old:
                    files.write_atomic(path, old)
        if isinstance(err, OSError):
            raise LedgerError(f"cannot write {err.filename}: {err.strerror}", "make room, or make it writable") from err
        raise


# ── what is checked before DVC is asked ───────────────────────────────────────────────────────────────────────
def _check(project: Project, plan: Plan) -> None:
    base = stages.prefix(project)
    if not (project.root / plan.notebook).is_file():
        raise UsageError(f"there is no notebook {plan.notebook}", "name one that is there")
    for path in (plan.notebook, *plan.deps, *plan.outs, *plan.metrics, *plan.plots):
        if "${" in path:
            raise Refused(f"{path}: `${{` would be a template in dvc.yaml", "name the file otherwise")
    if _outside(plan.notebook, base):
        raise Refused(f"{plan.notebook} lies outside of the DVC repository", "move it into the folder that holds .dvc")
    for path in plan.deps:
        if _outside(path, base):
            raise Refused(
                f"a dependency outside the repository: {path}",
                "copy it into the project, or let DVC bring it: dvc import-url",
            )
    for path in (*plan.deps, *plan.outs, *plan.metrics, *plan.plots):
        if path == plan.notebook:
            raise Refused(
                f"{path} is the stage's own notebook, which changes whenever it is executed",
                f"leave it out: {FOLDER}/{plan.name}.py stands for its code",
            )
    own = project.root / stages.code_path(project, plan.name)
    if own.is_file() and not stagecode.is_ours(own):
        raise Refused(
            f"{project.relative(own)} is not a file that nbledger wrote", "move it, or name the stage otherwise"
        )


def _outside(path: str, base: str) -> bool:
    if "://" in path:
        return False
    inner = posixpath.relpath(path, base or ".") if not path.startswith("/") else path
    return inner.startswith(("../", "/")) or inner == ".."


# ── what the files will hold ──────────────────────────────────────────────────────────────────────────────────
@dataclass
class _Pipeline:
    """``dvc.yaml`` as it becomes: the whole document, the stages that are new or changed, and those that go."""

    document: Any
    touched: dict[str, None] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)

    @property
    def stages(self) -> MutableMapping[str, Any]:
        found: MutableMapping[str, Any] = self.document["stages"]
        return found


def _changes(project: Project, plans: Sequence[Plan], force: bool) -> dict[str, bytes]:
    from dvc.utils.serialize import dumps_yaml

    root = dvc.require_root(project)
    base = stages.prefix(project)
    pipeline = _Pipeline(_document(root / _FILE))
    for plan in plans:
        known = pipeline.stages.get(plan.name)
        if known is not None and {"foreach", "matrix", "do"} & set(known):
            raise Refused(f"the stage {plan.name} is one of many (foreach, matrix)", "edit dvc.yaml by hand")
        if known is not None and not force:
            raise UsageError(f"there is a stage {plan.name} already", "--force replaces it")
    _put_code_stages(pipeline, plans, base)
    for plan in plans:
        entry = stages.entry(plan, base)
        if isinstance(
            known := pipeline.stages.get(plan.name), Mapping
        ):  # options that the person added to the command stay
            same = stages.runs(str(known.get("cmd", "")), posixpath.relpath(plan.notebook, base or "."), plan.name)
            entry["cmd"] = known["cmd"] if same else entry["cmd"]
        _put(pipeline, plan.name, entry)
    with dvc.opened(root) as repo:
        outs = _checked(repo, root, pipeline, {plan.name: plan for plan in plans})
    made: dict[str, bytes] = {}
    made |= _ignored(project, root, outs)
    made |= _parameters(project, plans, base)
    text = dumps_yaml(pipeline.document).encode()
    made[posixpath.join(base, _FILE)] = text
    return {name: content for name, content in made.items() if _bytes(project.root / name) != content}


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _document(path: Path) -> Any:
    """A YAML file with its comments and its format, as DVC reads it in order to change it."""
    from dvc.utils.serialize import parse_yaml_for_update
    from ruamel.yaml.comments import CommentedMap

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    try:
        dvcfiles.refuse_bomb(text)
    except Damaged as err:
        raise Refused(f"{path.name}: {err}", "mend it") from err
    document = parse_yaml_for_update(text, str(path)) or CommentedMap()
    if not isinstance(document, MutableMapping):
        raise Refused(f"{path.name} holds no table", "mend it")
    if path.name == _FILE and not isinstance(document.get("stages"), MutableMapping):
        document["stages"] = CommentedMap()
    return document


def _put(pipeline: _Pipeline, name: str, wanted: Mapping[str, Any]) -> None:
    """Make the stage what is wanted; what the person added to it (a description, options of an output) stays."""
    pipeline.touched[name] = None
    have = pipeline.stages.get(name)
    if not isinstance(have, MutableMapping):
        pipeline.stages[name] = dict(wanted)
        return
    for key in ("wdir", *(kind for kind in _KINDS if kind not in wanted)):
        have.pop(key, None)
    for key, value in wanted.items():
        if key not in have:
            have[key] = value
        elif isinstance(value, list):
            if isinstance(have[key], Mapping):  # plots may be written as a table, too
                have[key] = [{path: options} for path, options in have[key].items()]
            elif not isinstance(have[key], list):
                have[key] = []
            _merge(have[key], value)
        elif have[key] != value and key != "desc":
            have[key] = value


def _merge(have: Any, wanted: Sequence[Any]) -> None:
    """Take out of a list what is not wanted, add what it lacks; the rest stays as it is written, comments too."""
    said = {_key(item): item for item in wanted}
    for at in range(len(have) - 1, -1, -1):
        key = _key(have[at])
        if key not in said:
            del have[at]
        elif isinstance(said[key], Mapping) and isinstance(said[key].get(key), list):  # parameters of a file
            have[at] = said.pop(key)
        else:
            del said[key]
    for item in said.values():
        have.append(item)


def _key(item: Any) -> str:
    return str(next(iter(item))) if isinstance(item, Mapping) and item else str(item)


def _put_code_stages(pipeline: _Pipeline, plans: Sequence[Plan], base: str) -> None:
    """One stage a notebook that writes the code of all its stages."""
    new = {f"{FOLDER}/{plan.name}.py" for plan in plans}
    here = {posixpath.relpath(plan.notebook, base or "."): None for plan in plans}
    by_command = {str(entry.get("cmd")): name for name, entry in pipeline.stages.items() if isinstance(entry, Mapping)}
    for name in [name for name, entry in pipeline.stages.items() if _writes_code(entry)]:
        entry = pipeline.stages[name]
        left = [out for out in entry.get("outs") or [] if _key(out) not in new]
        if entry["cmd"] in map(stages.code_command, here) or len(left) == len(entry.get("outs") or []):
            continue
        if left:  # a stage that was another notebook's
            _merge(entry["outs"], left)
            pipeline.touched[name] = None
        else:
            del pipeline.stages[name]
            pipeline.dropped.add(name)
    for notebook in here:
        command = stages.code_command(notebook)
        name = by_command.get(command) or _code_name(notebook, pipeline.stages)
        mine = {p.name for p in plans if posixpath.relpath(p.notebook, base or ".") == notebook}
        mine |= {n for n, e in pipeline.stages.items() if isinstance(e, Mapping) and _runs(e, notebook, n)}
        there = pipeline.stages.get(name)
        before = [_key(out) for out in (there.get("outs") or [])] if isinstance(there, Mapping) else []
        wanted = {f"{FOLDER}/{stage}.py" for stage in mine}
        outs = [*(out for out in before if out in wanted), *sorted(wanted - set(before))]
        entry = {
            "cmd": command,
            "desc": f"The code of each stage, as {posixpath.basename(notebook)} has it",
            "always_changed": True,
            # persist: DVC would delete them before it has them written, and leave none where that fails
            "outs": [{out: {"cache": False, "persist": True}} for out in outs],
        }
        _put(pipeline, name, entry)


def _writes_code(entry: Any) -> bool:
    return isinstance(entry, Mapping) and str(entry.get("cmd", "")).startswith("nbledger code ")


def _runs(entry: Mapping[str, Any], notebook: str, name: str) -> bool:
    return stages.runs(str(entry.get("cmd", "")), notebook, name)


def _code_name(notebook: str, taken: Iterable[str]) -> str:
    """``code-`` and the notebook's name, with more of its path where that is taken."""
    known = set(taken)
    parts = [_UNFIT.sub("-", part).strip("-") for part in posixpath.splitext(notebook)[0].split("/")]
    for count in range(1, len(parts) + 1):
        name = "code-" + "-".join(part for part in parts[-count:] if part)
        if name not in known:
            return name
    number = next(n for n in range(2, 10_000) if f"{name}-{n}" not in known)
    return f"{name}-{number}"


# ── DVC's own checks ──────────────────────────────────────────────────────────────────────────────────────────
def _checked(repo: Any, root: Path, pipeline: _Pipeline, plans: Mapping[str, Plan]) -> list[str]:
    """Have DVC check every stage by itself and all together; the paths of outputs that Git is to ignore."""
    from dvc.exceptions import DvcException

    made = []
    for name in pipeline.touched:
        try:
            made.append(_stage(repo, root, name, pipeline.stages[name]))
        except DvcException as err:
            raise _refusal(err, name, root) from err
    names = ", ".join(plans)
    try:
        index = repo.index.update(made)
        if pipeline.dropped:
            left = [s for s in index.stages if not (s.path == str(root / _FILE) and s.name in pipeline.dropped)]
            index = type(index)(repo, stages=left)
        index.check_graph()
    except DvcException as err:
        raise _refusal(err, names, root) from err
    outs = [out for stage in made for out in stage.outs if out.use_scm_ignore]
    for out in outs:
        if repo.scm.is_tracked(out.fspath):
            path = out.def_path
            raise Refused(
                f"the output {path} is already tracked by Git",
                f"take it out of Git first: git rm -r --cached {path}",
            )
    return [str(out.fspath) for out in outs]


def _stage(repo: Any, root: Path, name: str, entry: Mapping[str, Any]) -> Any:
    from dvc.stage import PipelineStage, create_stage
    from dvc.stage.exceptions import InvalidStageName
    from dvc.stage.utils import is_valid_name

    if not is_valid_name(name):
        raise InvalidStageName
    said: dict[str, Any] = {"deps": list(entry.get("deps") or []), "params": list(entry.get("params") or [])}
    for kind in ("outs", "metrics", "plots"):
        for item in entry.get(kind) or []:
            options = next(iter(item.values())) if isinstance(item, Mapping) else None
            flags = options if isinstance(options, Mapping) else {}
            persist = "_persist" if flags.get("persist") else ""
            cache = "" if flags.get("cache", True) else "_no_cache"
            said.setdefault(f"{kind}{persist}{cache}", []).append(_key(item))
    return create_stage(
        PipelineStage, repo, str(root / _FILE), wdir=str(root), name=name, cmd=str(entry["cmd"]), **said
    )


def _refusal(err: Exception, names: str, root: Path) -> LedgerError:
    """DVC's own reason, in one line, and what to do."""
    kind = type(err).__name__
    said = " ".join(str(err).split()).replace(f"{root}/", "")
    if kind == "OutputDuplicationError":
        others = sorted({stage.addressing for stage in getattr(err, "stages", ())} - set(names.split(", ")))
        if others:
            said = f"output '{getattr(err, 'output', '')}' is already specified in stage {', '.join(others)}"
    hints = {
        "InvalidStageName": (UsageError, "use letters, digits, - and _"),
        "OutputDuplicationError": (
            Refused,
            "an output belongs to one stage: name another, or take it out of the other",
        ),
        "OverlappingOutputPathsError": (Refused, "an output belongs to one stage: name another"),
        "CyclicGraphError": (Refused, "a stage cannot depend on what is made from its outputs"),
        "CircularDependencyError": (Refused, "leave it out of the one or the other"),
        "ArgumentDuplicationError": (Refused, "name it once"),
        "StageExternalOutputsError": (Refused, "write it into the project"),
    }
    make, hint = hints.get(kind, (Refused, "dvc.yaml is as it was"))
    for rest in (" Use `dvc remove", " See <", " See https"):
        said = said.partition(rest)[0]
    said = said if said[1:2].isupper() else said[:1].lower() + said[1:]
    return make(f"DVC refuses the stage {names}: {git.scrub_url(said.rstrip('. '))}", hint)


# ── .gitignore and params.yaml ────────────────────────────────────────────────────────────────────────────────
def _ignored(project: Project, root: Path, outs: Sequence[str]) -> dict[str, bytes]:
    """``.gitignore`` files with a line for each output that Git does not ignore; DVC adds those in folders yet to come."""
    if project.git is None:
        return {}
    paths = [name for out in outs if (name := project.relative(Path(out))) is not None]
    known = git.ignored(project.git, paths) if paths else set()
    made: dict[str, bytes] = {}
    for name in paths:
        folder = posixpath.dirname(name)
        if name in known or not (project.root / folder).is_dir():
            continue
        file = posixpath.join(folder, ".gitignore")
        text = made.get(file, _bytes(project.root / file) or b"")
        line = dvcfiles.ignore_line(posixpath.basename(name)).encode()
        if line not in text.splitlines():
            made[file] = text + (b"" if not text or text.endswith(b"\n") else b"\n") + line + b"\n"
    return made


def _parameters(project: Project, plans: Sequence[Plan], base: str) -> dict[str, bytes]:
    """``params.yaml`` with the values that it lacks. ``UsageError`` for a parameter that has none."""
    from dvc.utils.serialize import dumps_yaml

    file = posixpath.join(base, PARAMS)
    document: Any = None
    for plan in plans:
        for param in plan.params:
            where, colon, key = param.rpartition(":")
            if colon and posixpath.normpath(where) != file:
                stages.parameters(project, stages.Stage(plan.name, "", _FILE, params=((where, key),)))
                continue
            document = _document(project.root / file) if document is None else document
            if not key or _has(document, key):
                continue
            if key not in plan.values:
                raise UsageError(
                    f"{file} has no {key!r}, and the notebook's parameters give it no value",
                    f"add `{key}: …` to {file}, or tag the cell that sets it `parameters`",
                )
            _set(document, key, plan.values[key])
    if document is None:
        return {}
    text = dumps_yaml(document).encode() if document else b""
    return {file: text} if document and document != _document(project.root / file) else {}


def _has(table: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True


def _set(table: Any, key: str, value: Any) -> None:
    *above, last = key.split(".")
    for part in above:
        if not isinstance(table.get(part), MutableMapping):
            table[part] = {}
        table = table[part]
    table[last] = value
