"""The table of routes: complete, described, and guarded route by route."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from conftest import run
from nbledger.core.errors import UsageError
from nbledger.keeper import calls
from nbledger.server import words
from nbledger.server.handlers import AUTH_RESOURCE, LedgerHandler, handlers
from nbledger.server.routes import ROUTES, Route
from nbledger.server.service import Service
from server import openapi
from server.jupyter import examples

OURS = [pytest.param(route, id=f"{route.method} {route.path}") for route in ROUTES]


@pytest.mark.parametrize("route", OURS)
def test_a_route_asks_the_keeper_for_something_it_does_and_says_what_and_who_may(route: Route) -> None:
    assert route.call in calls.TABLE
    assert route.says
    assert route.action == {"GET": "read"}.get(route.method, route.action)
    assert route.action in {"read", "write", "execute"}
    assert (route.action == "read") == (route.method == "GET")


@pytest.mark.parametrize("route", OURS)
def test_the_words_of_a_route_are_bounded(route: Route) -> None:
    """Every text, list and number has a limit, and no word is taken that is not named."""
    Draft202012Validator.check_schema(route.schema)
    assert route.schema["additionalProperties"] is False
    assert set(route.needed) <= set(route.words)
    unbounded = [name for name, schema in route.words.items() if not _bounded(schema)]
    assert not unbounded
    words.check(examples(route), route.schema)
    words.check(examples(route, list(route.words)), route.schema)


def _bounded(schema: dict[str, object]) -> bool:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    limits = {"string": "maxLength", "array": "maxItems", "object": "maxProperties", "integer": "maximum"}
    own = all("enum" in schema or limits[str(kind)] in schema for kind in kinds if kind in limits)
    inner = schema.get("items") or schema.get("additionalProperties")
    return own and (not isinstance(inner, dict) or _bounded(inner))


def test_every_route_has_one_guarded_method_and_no_handler_has_more() -> None:
    """A route that is added is guarded by the way handlers are made; a method that is added by hand is found here."""
    verbs = ("get", "head", "post", "delete", "patch", "put")
    assert not [verb for verb in verbs if verb in vars(LedgerHandler)]
    found = []
    for pattern, kind, _ in handlers("/", Service("/", lambda _: None)):
        assert issubclass(kind, LedgerHandler)
        assert kind.auth_resource == AUTH_RESOURCE
        for verb in verbs:
            if method := vars(kind).get(verb):
                found.append((verb.upper(), pattern.removeprefix("/nbledger/api/")))
                assert method.__code__.co_filename.endswith("tornado/web.py")  # authenticated
                assert method.__wrapped__.__code__.co_filename.endswith(
                    "jupyter_server/auth/decorator.py"
                )  # authorized
    assert sorted(found) == sorted((route.method, route.path) for route in ROUTES)


def test_loading_the_extension_imports_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys, nbledger.server.extension\n"
        "heavy = {'mlflow', 'dvc', 'pandas', 'numpy', 'git', 'pygit2', 'sqlalchemy', 'nbdime', 'nbclient', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", program, cwd=Path("/")) == "[]"


def test_the_front_end_asks_the_routes_that_there_are() -> None:
    assert set(openapi.answers()) == {(route.method, route.path) for route in ROUTES}


def test_the_description_is_valid_and_says_what_the_table_and_the_front_end_say() -> None:
    written = yaml.safe_load(openapi.FILE.read_text())
    validate(written)
    assert written == json.loads(json.dumps(openapi.document())), (
        "openapi.yaml is behind: PYTHONPATH=src:tests python -m server.openapi"
    )


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 5},
        "flag": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3},
        "one": {"type": "string", "minLength": 1, "maxLength": 8},
        "hash": {"type": "string", "minLength": 64, "maxLength": 64},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"n": ["3"]}, {"n": 3}),
        ({"flag": ["1"]}, {"flag": True}),
        ({"flag": ["false"]}, {"flag": False}),
        ({"many": ["a"]}, {"many": ["a"]}),
        ({"many": ["a", " b "]}, {"many": ["a", " b "]}),
        ({"one": ["<b>\u202e"]}, {"one": "<b>\u202e"}),
    ],
)
def test_query_words_become_what_their_schema_says(given: dict[str, list[str]], made: dict[str, object]) -> None:
    assert words.of_query(given, SCHEMA) == made
    words.check(made, SCHEMA)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n": ["1.5"]}, "n is not of type integer"),
        ({"n": ["9" * 400]}, "n is not of type integer"),
        ({"n": ["6"]}, "n is not at most 5"),
        ({"n": ["1", "2"]}, "n is not of type integer"),
        ({"flag": ["yes"]}, "flag is not of type boolean"),
        ({"many": ["a", "b", "c", "d"]}, "many is longer than 3"),
        ({"many": ["x" * 1_000_000]}, "many.0 is longer than 4 characters"),
        ({"one": ["a", "b"]}, "one is not of type string"),
        ({"one": [""]}, "one is empty"),
        ({"hash": ["abc"]}, "hash is shorter than 64 characters"),
        ({"one": ["a\0b"]}, "characters that are no text"),
        ({"x" * 1_000_000: ["1"]}, "has an unknown word 'xxx"),
    ],
)
def test_words_that_do_not_fit_are_named_and_never_repeated_in_full(given: dict[str, list[str]], says: str) -> None:
    with pytest.raises(UsageError) as error:
        words.check(words.of_query(given, SCHEMA), SCHEMA)
    assert says in error.value.message
    assert len(error.value.message) < 300


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b'"x"', b"\xff", b'{"n": NaN}', b"[" * 100_000, b'{"a":' * 50_000, b" " * 600_000]
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError):
        words.of_body(body)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UsageError):
        words.check(words.of_body(b'{"one": "\\ud800"}'), SCHEMA)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a/..", "~/x", "..", "x\n/../y"])
def test_a_file_outside_of_the_project_is_no_word(path: str) -> None:
    (route,) = (r for r in ROUTES if (r.method, r.path) == ("GET", "diff"))
    with pytest.raises(UsageError, match="not a path within the project"):
        words.check({"file": path}, route.schema)


@pytest.mark.parametrize("path", ["a..b/c", "..a", "a/...", ".dvc", "ü b/\u202ec", "a~"])
def test_odd_names_within_the_project_are_words(path: str) -> None:
    (route,) = (r for r in ROUTES if (r.method, r.path) == ("GET", "diff"))
    words.check({"file": path}, route.schema)
