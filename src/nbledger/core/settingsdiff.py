"""Two versions of a file of settings (JSON, YAML, TOML, INI): the keys whose values differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from nbledger.core.differences import Row

SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf")
_LARGEST = 1_000_000
_MOST = 200
_LEAVES = 200_000
_DEPTH = 20


def compare(a: bytes, b: bytes, suffix: str) -> tuple[Row, ...] | None:
    """Keys (dotted) whose values differ; None where a file is too large, or not what its name says."""
    if max(len(a), len(b)) > _LARGEST:
        return None
    try:
        left, right = (_flat(_parsed(text.decode("utf-8"), suffix)) for text in (a, b))
    except Exception:  # whatever a parser makes of a file that is not in its format
        return None
    names = dict.fromkeys((*left, *right))
    found = [Row(name, (left.get(name), right.get(name))) for name in names if left.get(name) != right.get(name)]
    return tuple(found[:_MOST])


def _parsed(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix in (".yaml", ".yml"):
        import yaml

        return yaml.safe_load(text)
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _flat(value: Any) -> dict[str, str]:
    """The values by dotted key. ``ValueError`` of more than there is room for: aliases in YAML can make any number."""
    found = dict(islice(_leaves(value), _LEAVES + 1))
    if len(found) > _LEAVES:
        raise ValueError("too many values")
    return found


def _leaves(value: Any, name: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and depth and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key), depth - 1)
    elif isinstance(value, list) and depth and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{index}]", depth - 1)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)
