"""Two versions of ``dvc.lock`` joined stage by stage. (DVC's merge driver knows ``.dvc`` files only.)

A stage that one side ran anew is taken from it. Of one that both ran, with another outcome, ours stays: what it read has
mostly changed by the merge itself, and ``dvc repro`` runs it then.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from nbledger.core import dvcfiles, files
from nbledger.core.dvcfiles import Damaged
from nbledger.core.wording import some


def merge(base: Path, ours: Path, theirs: Path, path: str) -> tuple[bool, list[str]]:
    """Join two versions into the file ``ours``; (whether they conflict, what to say). ``ValueError`` where one is no lock file."""
    was, left, right = (_read(place) for place in (base, ours, theirs))
    lines: list[str] = []
    for key in dict.fromkeys((*left, *right)):
        if key == "stages":
            table = left.setdefault("stages", {})
            stages = _joined(was.get("stages") or {}, table, right.get("stages") or {})
            lines += [f"{path}: stage {name}: {said}" for name, said in stages]
        elif key not in left or left[key] == was.get(key):
            if key in right:
                left[key] = right[key]
        elif key in right and right[key] not in (left[key], was.get(key)):
            lines.append(f"{path}: both sides changed {key}; it is ours")
    _write(ours, left)
    if lines:
        lines.append(
            f"{path} is valid and has ours of these: nbledger repro (or dvc repro) runs what is stale; then git add {path}"
        )
    return bool(lines), lines


def _joined(
    base: Mapping[str, Any], ours: MutableMapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Put what theirs changed into ours; (stage, what is in conflict) of those that both changed."""
    for name in dict.fromkeys((*ours, *theirs, *base)):
        was, left, right = base.get(name), ours.get(name), theirs.get(name)
        if right in (left, was):
            continue
        if left == was:
            if right is None:
                del ours[name]
            else:
                ours[name] = right
        elif left is None or right is None:
            yield name, f"{'ours' if left is None else 'theirs'} removed it, the other side ran it anew"
        else:
            yield name, _differing(left, right)


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """What differs in a stage that both sides ran, by the names of files and parameters."""
    found = []
    for kind, words in (("deps", "read"), ("outs", "wrote")):
        hashes = [{str(e.get("path")): e.get("md5") for e in side.get(kind) or []} for side in (ours, theirs)]
        names = [name for name in dict.fromkeys((*hashes[0], *hashes[1])) if hashes[0].get(name) != hashes[1].get(name)]
        if names:
            found.append(f"{words} another {some(names, 4)}")
    values = [
        {f"{file}:{k}": v for file, table in (side.get("params") or {}).items() for k, v in (table or {}).items()}
        for side in (ours, theirs)
    ]
    names = [name for name in dict.fromkeys((*values[0], *values[1])) if values[0].get(name) != values[1].get(name)]
    if names:
        found.append(f"had another {some(names, 4)}")
    if ours.get("cmd") != theirs.get("cmd"):
        found.append("had another command")
    return f"both sides ran it, and theirs {', '.join(found)}" if found else "both sides ran it"


def _read(place: Path) -> MutableMapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = place.read_text(encoding="utf-8")
    dvcfiles.refuse_bomb(text)
    try:
        found = YAML().load(text) or {}
    except YAMLError as err:
        raise Damaged("one side is not valid YAML") from err
    stages = found.get("stages", {}) if isinstance(found, MutableMapping) else None
    if not isinstance(stages, MutableMapping) or not all(isinstance(stage, Mapping) for stage in stages.values()):
        raise Damaged("one side has no table of stages")
    return found


def _write(place: Path, data: Any) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(data, stream)
    files.write_atomic(place, stream.getvalue())
