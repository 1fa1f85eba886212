"""Whether the words of a request are what a JSON schema allows; if not, one line that says which word is wrong.

A value that a stranger sent is never repeated in full: what is said names the word and the rule. The rules are those of
JSON Schema 2020-12 that ``RULES`` lists, and the tests hold them against jsonschema, whose import alone takes as long as
starting a keeper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from nbledger.core.errors import UsageError

Schema = dict[str, Any]
RULES = frozenset(
    {
        "type", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "items", "minItems", "maxItems",
        "properties", "required", "additionalProperties", "maxProperties", "propertyNames", "title", "format",
    }
)  # fmt: skip
_SHOWN = 60


def check(words: Any, schema: Mapping[str, Any], named: str = "the request") -> None:
    """``UsageError`` unless ``words`` fit the schema."""
    wrong = _wrong(words, schema, ())
    if wrong is not None:
        steps, said = wrong
        raise UsageError(f"{_clipped('.'.join(map(str, steps))) or named} {said}")


_Wrong = tuple[tuple[str | int, ...], str] | None


def _wrong(value: Any, schema: Mapping[str, Any], at: tuple[str | int, ...]) -> _Wrong:
    kinds = schema.get("type")
    if kinds is not None:
        wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not any(_is(value, kind) for kind in wanted):
            return at, f"is not of type {' or '.join(wanted)}"
    if "enum" in schema and value not in schema["enum"]:
        return at, f"is none of {', '.join(map(str, schema['enum']))}"
    match value:
        case str():
            said = _text(value, schema)
        case bool() | None:
            said = None
        case int() | float():
            said = _number(value, schema)
        case Mapping():
            return _object(value, schema, at)
        case list() | tuple():
            return _array(value, schema, at)
        case _:
            said = None
    return None if said is None else (at, said)


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list | tuple)
        case _:
            return isinstance(value, Mapping)


def _text(value: str, schema: Mapping[str, Any]) -> str | None:
    if len(value) > schema.get("maxLength", len(value)):
        return f"is longer than {schema['maxLength']} characters"
    if len(value) < (least := schema.get("minLength", 0)):
        return "is empty" if least == 1 else f"is shorter than {least} characters"
    if not _sendable(value, escaped=schema.get("format") == "path"):
        return "holds characters that are no text"
    if "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        return f"is not {schema.get('title', 'of the right form')}"
    return None


@cache
def _pattern(words: str) -> re.Pattern[str]:
    """In JSON Schema ``$`` is the end, not also the place before a last newline."""
    return re.compile(words[:-1] + r"\Z" if words.endswith("$") else words)


def _sendable(value: str, *, escaped: bool) -> bool:
    """No NUL, which ends paths early, and no half of a surrogate pair, which is no character; in a path it may be a byte
    that is not UTF-8, as Python gives it.
    """
    if value.isascii():
        return "\0" not in value
    if "\0" in value:
        return False
    return not any("\ud800" <= c <= "\udfff" and not (escaped and "\udc80" <= c <= "\udcff") for c in value)


def _number(value: float, schema: Mapping[str, Any]) -> str | None:
    if not value >= schema.get("minimum", value):
        return f"is not at least {schema['minimum']}"
    if not value <= schema.get("maximum", value):
        return f"is not at most {schema['maximum']}"
    return None


def _array(value: Sequence[Any], schema: Mapping[str, Any], at: tuple[str | int, ...]) -> _Wrong:
    if len(value) > schema.get("maxItems", len(value)):
        return at, f"is longer than {schema['maxItems']}"
    if len(value) < (least := schema.get("minItems", 0)):
        return at, "is empty" if least == 1 else f"is shorter than {least}"
    if "items" in schema:
        for place, item in enumerate(value):
            if wrong := _wrong(item, schema["items"], (*at, place)):
                return wrong
    return None


def _object(value: Mapping[str, Any], schema: Mapping[str, Any], at: tuple[str | int, ...]) -> _Wrong:
    known: Mapping[str, Any] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    if len(value) > schema.get("maxProperties", len(value)):
        return at, f"is longer than {schema['maxProperties']}"
    for name in schema.get("required", ()):
        if name not in value:
            return at, f"lacks {name!r}"
    for name, item in value.items():
        if others is False and name not in known:
            return at, f"has an unknown word {_clipped(name)!r}"
        if names := schema.get("propertyNames"):
            if wrong := _wrong(name, names, (*at, _clipped(name))):
                return wrong
        elif not _sendable(name, escaped=False):
            return at, "holds characters that are no text"
        rule = known.get(name, others)
        if isinstance(rule, Mapping) and (wrong := _wrong(item, rule, (*at, name))):
            return wrong
    return None


def _clipped(text: str) -> str:
    """For people: short, and without what would not print."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return "".join(c if c.isprintable() else "·" for c in shown)
