"""The schemas of the keeper's calls: one each, every word bounded, and read as jsonschema reads them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from nbledger.core.errors import UsageError
from nbledger.keeper import calls, schemas, words
from nbledger.server.routes import ROUTES
from server.jupyter import examples

HOW = "a line in nbledger/keeper/schemas.py is missing or too much: see the example at its top"


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for inner in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        yield from parts(inner)


def test_every_call_has_a_schema() -> None:
    assert set(calls.TABLE) == set(schemas.CALLS), HOW


@pytest.mark.parametrize("name", [*schemas.CALLS, "CONTEXT"])
def test_a_schema_is_one_and_bounds_every_word(name: str) -> None:
    schema = schemas.CALLS.get(name, schemas.CONTEXT)
    Draft202012Validator.check_schema(schema)
    limits = {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"}
    for part in parts(schema):
        assert set(part) <= words.RULES, f"words.py has no rule {set(part) - words.RULES}"
        kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
        assert all("enum" in part or limits[kind] in part for kind in kinds if kind in limits)
        if "object" in kinds:
            assert part["additionalProperties"] is False or "maxProperties" in part


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_a_route_lets_through_is_what_its_call_takes(route: Any) -> None:
    for names in (route.needed, list(route.words)):
        words.check(route.args(examples(route, names), "/served"), schemas.CALLS[route.call])


def values(wheel: random.Random, schema: dict[str, Any], depth: int = 0) -> Any:
    """Something that may fit, or fail in one place or another."""
    kind = schema.get("type", "string")
    kind = wheel.choice(kind) if isinstance(kind, list) else kind
    if wheel.random() < 0.1 or depth > 4:
        kind = wheel.choice(["string", "integer", "number", "boolean", "null", "array", "object"])
    match kind:
        case "string":
            limit = min(schema.get("maxLength", 10), 40)
            some = [
                "",
                "x",
                "deadbeef",
                "data/a.csv",
                "../x",
                "/etc",
                "a/..",
                "x" * limit,
                "x" * (limit + 1),
                "ü\u202e",
            ]
            return wheel.choice([*some, *map(str, schema.get("enum", [])), "x" * (schema.get("maxLength", 10) + 1)])
        case "integer":
            return wheel.choice([0, 1, -1, schema.get("minimum", 0), schema.get("maximum", 9), 1 << 60, 2.0])
        case "number":
            return wheel.choice([0.5, -1e300, 1e300, 7])
        case "boolean":
            return wheel.random() < 0.5
        case "null":
            return None
        case "array":
            count = wheel.choice([0, 1, 2, 4, 5])
            return [values(wheel, schema.get("items", {}), depth + 1) for _ in range(count)]
    known = schema.get("properties", {})
    made = {name: values(wheel, inner, depth + 1) for name, inner in known.items() if wheel.random() < 0.8}
    made |= {name: values(wheel, known[name], depth + 1) for name in schema.get("required", ()) if wheel.random() < 0.9}
    others = schema.get("additionalProperties")
    if isinstance(others, dict) or wheel.random() < 0.05:
        made |= {name: values(wheel, others or {}, depth + 1) for name in wheel.sample(["a", "b", "", "x" * 300], 2)}
    return made


@pytest.mark.parametrize("name", [*schemas.CALLS, "CONTEXT"])
def test_words_are_judged_as_jsonschema_judges_them(name: str) -> None:
    wheel, schema = random.Random(name), schemas.CALLS.get(name, schemas.CONTEXT)
    judge = Draft202012Validator(schema)
    for _ in range(150):
        made = values(wheel, schema)
        if judge.is_valid(made):
            words.check(made, schema)
            continue
        with pytest.raises(UsageError) as refused:
            words.check(made, schema)
        assert len(refused.value.message) < 400
        assert refused.value.message.isprintable()


def test_a_pattern_ends_where_the_text_ends() -> None:
    with pytest.raises(UsageError, match=re.escape("commit is not a commit's id")):
        words.check({"commit": "deadbeef\n"}, schemas.CALLS["undo"])


def test_what_is_no_text_is_refused_but_for_bytes_in_paths() -> None:
    byte, half = chr(0xDC80), chr(0xD800)
    for bad in ("a\0b", half, byte):
        with pytest.raises(UsageError, match="run holds characters that are no text"):
            words.check({"run": bad}, schemas.CALLS["show"])
    for bad in ("a\0b", half):
        with pytest.raises(UsageError, match="holds characters that are no text"):
            words.check({"paths": [f"a{bad}"]}, schemas.CALLS["track"])
    words.check({"paths": [f"a{byte}"]}, schemas.CALLS["track"])
