"""The words of a request, each made what the route's JSON schema says that it is (``keeper.words`` judges them)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nbledger.core.errors import UsageError
from nbledger.keeper.words import check

__all__ = ["BODY_LIMIT", "check", "decoded", "of_body", "of_query"]

BODY_LIMIT = 512 << 10

JsonObject = Mapping[str, Any]


def of_query(given: Mapping[str, Sequence[str]], schema: JsonObject) -> dict[str, Any]:
    """The words of a query string: each value is made what its schema says, a list by repeating the word."""
    properties = schema["properties"]
    return {name: _valued(values, properties.get(name, {})) for name, values in given.items()}


def of_body(body: bytes) -> dict[str, Any]:
    """The words of a body: a JSON object, or nothing at all."""
    if len(body) > BODY_LIMIT:
        raise UsageError(f"the request is larger than {BODY_LIMIT >> 10} kB", "send less at once")
    if not body.strip():
        return {}
    try:
        words = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as err:
        raise UsageError("the body of the request is not JSON") from err
    if not isinstance(words, dict):
        raise UsageError("the body of the request is not a JSON object")
    return words


def decoded(given: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    """Query words as text, byte by byte what was sent."""
    try:
        return {name: [value.decode() for value in values] for name, values in given.items()}
    except UnicodeDecodeError as err:
        raise UsageError("the request is not UTF-8") from err


def _valued(values: Sequence[str], schema: JsonObject) -> Any:
    kind = schema.get("type")
    if kind == "array":
        return list(values)
    if len(values) != 1:
        return list(values)  # the schema will say that it is not one
    (value,) = values
    if kind == "integer":
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 16 else value
    if kind == "boolean":
        return {"1": True, "true": True, "0": False, "false": False}.get(value, value)
    return value


def _no_number(word: str) -> float:
    raise ValueError(word)
