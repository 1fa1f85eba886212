"""Which stages of a ``dvc.yaml`` are stale, told from ``dvc.lock`` and the hash cache without importing DVC.

What is not plain (templates, ``foreach``, parameters outside YAML, dependencies elsewhere) is left to DVC itself.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from nbledger.core import codestages, dvc, dvcfiles, hashes
from nbledger.core.dvcfiles import Damaged, Out, Row
from nbledger.core.project import Project

_KNOWN = {"cmd", "deps", "outs", "params", "metrics", "plots", "desc", "meta", "frozen", "wdir", "always_changed"}


class _NotPlain(ValueError):
    pass


def stale(project: Project, dvc_yamls: Sequence[str]) -> list[str]:
    """Names of stale stages of these ``dvc.yaml`` files (relative to the root)."""
    found: list[str] = []
    codes: dict[str, str] = {}
    with hashes.opened(project) as known:
        try:
            codes = _codes(project, dvc_yamls)
            for pointer in dvc_yamls:
                found += [_name(project, pointer, stage) for stage in _stale_in(project, pointer, known, codes)]
        except (_NotPlain, Damaged):
            return sorted(_by_dvc(project, codes))
    return sorted(found)


def _by_dvc(project: Project, codes: Mapping[str, str]) -> list[str]:
    """The stale stages as DVC itself finds them; it calls stages that write code stale because they always run."""
    if not codes:
        return list(dvc.status_of_stages(project))
    from nbledger.core import pipeline

    return [node.id for node in pipeline.pipeline(project).nodes if node.kind == pipeline.STAGE and node.stale]


def _name(project: Project, pointer: str, stage: str) -> str:
    prefix = dvc.require_root(project).relative_to(project.root).as_posix()
    relative = pointer if prefix == "." else pointer[len(prefix) + 1 :]
    return stage if relative == "dvc.yaml" else f"{relative}:{stage}"


def _codes(project: Project, dvc_yamls: Sequence[str]) -> dict[str, str]:
    """{path: MD5 of what the stages that write the code of notebooks would write to it now}."""
    writing = [
        (str(stage.get("cmd")), _base(pointer, stage), _outs(pointer, stage))
        for pointer in dvc_yamls
        for stage in dvcfiles.read_stages(project.root / pointer).values()
        if _always(stage)
    ]
    return {path: code.md5 for path, code in codestages.all_written(project, writing, []).items()}


def _always(stage: Mapping[str, Any]) -> bool:
    return str(stage.get("always_changed", "")).lower() == "true"


def _base(pointer: str, stage: Mapping[str, Any]) -> str:
    """The folder that a stage's command runs in, from the root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(pointer), stage.get("wdir") or "."))


def _outs(pointer: str, stage: Mapping[str, Any]) -> list[str]:
    base = _base(pointer, stage)
    return [posixpath.normpath(posixpath.join(base, path)) for path in dvcfiles.stage_outs({**stage, "wdir": None})]


def _stale_in(project: Project, pointer: str, known: hashes.Hashes, codes: Mapping[str, str]) -> list[str]:
    path = project.root / pointer
    stages = dvcfiles.read_stages(path)
    locks = dvcfiles.read_lock(path.with_suffix(".lock"))
    return [name for name, stage in stages.items() if _is_stale(project, pointer, stage, locks.get(name), known, codes)]


def _is_stale(
    project: Project,
    pointer: str,
    stage: dict[str, Any],
    locked: dict[str, Any] | None,
    known: hashes.Hashes,
    codes: Mapping[str, str],
) -> bool:
    if set(stage) - _KNOWN or "${" in str(stage):
        raise _NotPlain
    if locked is None:
        return True
    base = _base(pointer, stage)
    if _always(stage):
        made = _outs(pointer, stage)
        if not made or not all(path in codes for path in made):
            return True
        there = [Out(path, codes[path], 0, 1, False, pointer) for path in made]
        return any(h != o.md5 for h, o in zip(dvc.current_hashes(project, there, known), there, strict=True))
    rows = dvcfiles.lock_rows(locked)
    declared = {posixpath.normpath(p) for p in dvcfiles.stage_outs({**stage, "wdir": None})}
    if str(stage.get("frozen", "")).lower() != "true":
        deps = _deps(stage)
        if stage.get("cmd") != locked.get("cmd") or _params_changed(project, base, stage, locked):
            return True
        rows = rows + dvcfiles.lock_rows(locked, "deps")
        declared |= deps
    if declared != {posixpath.normpath(row.path) for row in rows}:
        return True
    outs = [_out(pointer, base, row) for row in rows]
    if any(codes.get(out.path, out.md5) != out.md5 for out in outs):
        return True
    outs = [out for out in outs if out.path not in codes]
    return any(now != out.md5 for now, out in zip(dvc.current_hashes(project, outs, known), outs, strict=True))


def _deps(stage: dict[str, Any]) -> set[str]:
    deps = stage.get("deps") or []
    if not all(isinstance(dep, str) and "://" not in dep for dep in deps):
        raise _NotPlain
    return {posixpath.normpath(dep) for dep in deps}


def _out(pointer: str, base: str, row: Row) -> Out:
    path = posixpath.normpath(posixpath.join(base, row.path))
    if not row.md5 or "://" in row.path or path.startswith(("../", "/")):
        raise _NotPlain
    return Out(path, row.md5, row.size, row.nfiles, row.md5.endswith(".dir"), pointer, legacy=row.legacy)


def _params_changed(project: Project, base: str, stage: dict[str, Any], locked: dict[str, Any]) -> bool:
    wanted: dict[str, list[str] | None] = {}
    for entry in stage.get("params") or []:
        if isinstance(entry, str):
            wanted.setdefault("params.yaml", [])
            keys = wanted["params.yaml"]
            if keys is not None:
                keys.append(entry)
        elif isinstance(entry, dict):
            wanted.update({file: keys if isinstance(keys, list) else None for file, keys in entry.items()})
        else:
            raise _NotPlain
    recorded = locked.get("params") or {}
    if set(wanted) != set(recorded):
        return True
    return any(
        _file_changed(project, posixpath.join(base, file), keys, recorded[file]) for file, keys in wanted.items()
    )


def _file_changed(project: Project, path: str, keys: list[str] | None, recorded: dict[str, Any]) -> bool:
    if not path.endswith((".yaml", ".yml")) or not isinstance(recorded, dict):
        raise _NotPlain
    try:
        values = dvcfiles.load_yaml(dvcfiles.read_text(project.root / path)) or {}
    except FileNotFoundError:
        return True
    if keys is None:
        return not _same(values, recorded)
    if set(keys) != set(recorded):
        return True
    return any(not _same(_dig(values, key), recorded[key]) for key in keys)


def _dig(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal as YAML 1.2 reads them (``1e-3`` and ``0.001`` are)."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (isinstance(one, str) and isinstance(other, str) and _typed(one) == _typed(other))


def _typed(text: str) -> Any:
    lowered = text.lower()
    if lowered in ("true", "false", "null", "~", ""):
        return {"true": True, "false": False}.get(lowered)
    try:
        return float(text)
    except ValueError:
        return text
