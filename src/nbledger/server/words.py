"""The words of a request, as the route's JSON schema wants them; or one line that says which is wrong.

A value that a stranger sent is never repeated in full: what is said names the word and the rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from nbledger.core.errors import UsageError

BODY_LIMIT = 512 << 10
_SHOWN = 60

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


def check(words: JsonObject, schema: str) -> None:
    """``UsageError`` unless ``words`` fit the schema (as JSON text, so that its validator is made once)."""
    error = next(iter(_validator(schema).iter_errors(words)), None)
    if error is not None:
        raise UsageError(_said(error))
    if not _sendable(words):
        raise UsageError("the request holds characters that are no text")


def decoded(given: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    """Query words as text, byte by byte what was sent."""
    try:
        return {name: [value.decode() for value in values] for name, values in given.items()}
    except UnicodeDecodeError as err:
        raise UsageError("the request is not UTF-8") from err


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


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


def _sendable(value: Any) -> bool:
    """No NUL, which ends paths early, and no half of a surrogate pair, which is no character."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(_sendable(k) and _sendable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_sendable, value))
    return True


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _said(error: ValidationError) -> str:
    where = _clipped(".".join(str(step) for step in error.absolute_path)) or "the request"
    rule, wanted = str(error.validator), error.validator_value
    match rule:
        case "required":
            missing = next(name for name in wanted if name not in error.instance)
            return f"{where} lacks {missing!r}"
        case "additionalProperties":
            known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
            unknown = next((name for name in error.instance if name not in known), "")
            return f"{where} has an unknown word {_clipped(unknown)!r}"
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            return f"{where} is not of type {' or '.join(kinds)}"
        case "enum":
            return f"{where} is none of {', '.join(map(str, wanted))}"
        case "pattern":
            return f"{where} is not {error.schema.get('title', 'of the right form')}"
        case "minLength" | "minItems":
            return f"{where} is empty" if wanted == 1 else f"{where} is less than {wanted}"
        case "maxLength" | "maxItems" | "maxProperties":
            return f"{where} is longer than {wanted}"
        case "minimum" | "maximum":
            return f"{where} is not {'at least' if rule == 'minimum' else 'at most'} {wanted}"
        case _:
            return f"{where} is wrong ({rule})"
