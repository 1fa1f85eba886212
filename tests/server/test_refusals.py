"""What every route refuses, asked of a real server: nothing reaches the project, whichever route it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import make_repository
from nbledger.server.routes import PREFIX, ROUTES, Route
from server.jupyter import Server, examples, started

FOREIGN = "http://evil.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served") / "root"
    make_repository(root)
    make_repository(root.parent / "outside")
    (root / "link").symlink_to(root.parent / "outside")
    (root / "sub").mkdir()
    with started(root, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server under a hub's prefix, which lets nobody in without a name and nobody change anything."""
    root = tmp_path_factory.mktemp("strict") / "root"
    make_repository(root)
    with started(
        root,
        tmp_path_factory.mktemp("home"),
        "--ServerApp.authorizer_class=authorizer.OnlyLooking",
        "--ServerApp.allow_unauthenticated_access=False",
        base="/user/ada/lab/",
        env={"PYTHONPATH": str(Path(__file__).parent)},
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_reaches_the_project(request: pytest.FixtureRequest) -> Iterator[None]:
    """A keeper's first deed is its folder: where there is none, no keeper was ever asked."""
    yield
    for name in {"server", "strict"} & set(request.fixturenames):
        running: Server = request.getfixturevalue(name)
        assert not (running.root / ".nbledger").exists()
        assert not (running.root.parent / "outside" / ".nbledger").exists()


def refused(server: Server, status: int | set[int], **how: Any) -> None:
    """Every route, asked with good words but for what ``how`` says, answers ``status`` and one clear error."""
    wanted = {status} if isinstance(status, int) else status
    seen = {}
    for route in ROUTES:
        given = how.get("words")
        words = examples(route) if given is None else given(route)
        if words is None:
            continue
        rest = {k: v for k, v in how.items() if k not in {"words", "headers_for"}}
        if "headers_for" in how:
            rest["headers"] = how["headers_for"](route)
        reply = server.call(route, words, **rest)
        good = reply.status in wanted and _is_clear(reply.json)
        if not good:
            seen[f"{route.method} {route.path}"] = (reply.status, reply.body[:200])
    assert not seen


def _is_clear(answer: Any) -> bool:
    error = answer["error"]
    return bool(error["error"]) and len(json.dumps(answer)) < 1_000 and isinstance(error["code"], int)


def test_without_a_token(server: Server) -> None:
    refused(server, 403, headers={})


def test_with_a_wrong_token(server: Server) -> None:
    refused(server, 403, headers={"Authorization": "token 0123456789abcdef"})


def test_with_a_cookie_and_a_bad_or_no_xsrf_token(server: Server) -> None:
    cookies = server.cookies()
    assert "username-" in cookies["Cookie"]
    refused(server, 403, headers=cookies)
    refused(server, 403, headers=cookies | {"X-XSRFToken": "2|0|0|0"})


def test_with_a_cookie_from_another_site(server: Server) -> None:
    cookies = server.cookies()
    xsrf = dict(one.split("=", 1) for one in cookies["Cookie"].split("; "))["_xsrf"]
    good = cookies | {"X-XSRFToken": xsrf}
    (state,) = (r for r in ROUTES if r.path == "state")
    assert server.call(state, {}, headers=good, path="no-such-file").status == 404  # it is let in, and finds nothing
    refused(server, {403, 404}, headers=good | {"Origin": FOREIGN})
    refused(server, 403, headers=cookies | {"Referer": f"{FOREIGN}/page"})


@pytest.mark.parametrize(
    "path",
    [
        "..", "../", "../outside", "sub/../../outside", "%2e%2e/outside", "..%2foutside", "%2e%2e%2foutside",
        "sub/%2e%2e/%2e%2e/outside", "/..%2Foutside", "/etc", "%2fetc%2fpasswd", "link", "link/.git", "no-such-file",
        "sub%00", "x" * 5_000, "%5c..%5coutside",
    ],
)  # fmt: skip
def test_a_path_that_is_not_served(server: Server, path: str) -> None:
    refused(server, 404, raw_path=path)
    (route,) = (r for r in ROUTES if r.path == "state")
    said = server.call(route, {}, raw_path=path).json["error"]["error"]
    assert said == "Jupyter Server serves no such path"  # the same, whether something is there or not


def test_a_path_in_absolute_form(server: Server) -> None:
    refused(server, 404, path=str(server.root.parent / "outside"))
    refused(server, 404, path=str(server.root))


def test_unknown_words(server: Server) -> None:
    refused(server, 400, words=lambda route: examples(route) | {"cwd": "/etc"})
    refused(server, 400, words=lambda route: examples(route) | {"served": "/"})
    refused(server, 400, words=lambda route: examples(route) | {"<img src=x onerror=alert(1)>": "1"})


def test_missing_words(server: Server) -> None:
    refused(server, 400, words=lambda route: {} if route.needed else None)


def test_words_of_a_wrong_type(server: Server) -> None:
    def wrong(route: Route) -> dict[str, Any] | None:
        if not route.words:
            return None
        if route.method == "POST":
            return examples(route) | {name: {"x": [1]} for name in route.words if name != "tags"} | {"tags": 7}
        name, schema = next(iter(route.words.items()))
        return examples(route) | {name: ["x" * 21_000] if schema["type"] == "array" else ["x", "y"]}

    refused(server, 400, words=wrong)


def test_a_megabyte_of_words(server: Server) -> None:
    for route in ROUTES:
        words = dict.fromkeys(route.words or ["x"], "x" * 1_000_000)
        try:
            assert server.call(route, words).status in {400, 413, 414, 431}
        except (ConnectionError, OSError):
            assert route.method != "POST"  # Tornado hangs up on a header of that size
    assert server.ask("GET", "api/status", server.known).status == 200


def test_methods_that_a_path_does_not_have(server: Server) -> None:
    for route in ROUTES:
        has = {r.method for r in ROUTES if r.path == route.path}
        for method in {"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"} - has:
            reply = server.ask(method, f"{PREFIX}/{route.path}", server.known, b"" if method != "HEAD" else None)
            assert reply.status == 405, (method, route.path)


def test_paths_that_are_no_route(server: Server) -> None:
    for path in ("nothing", "state/x", "runs%2fdetail", "STATE", "state%00"):
        assert server.ask("GET", f"{PREFIX}/{path}", server.known).status == 404, path


def test_whoever_may_only_look_changes_nothing(strict: Server) -> None:
    """Under a hub's prefix, with an authorizer that denies `write` and `execute` on the resource `nbledger`."""
    for route in ROUTES:
        reply = strict.call(route, examples(route), path="no-such-file")
        assert reply.status == (404 if route.action == "read" else 403), route
        if route.action != "read":
            assert route.action in reply.json["error"]["error"]


def test_nobody_is_let_in_without_a_name_under_a_prefix(strict: Server) -> None:
    refused(strict, 403, headers={})
    outside = Server(strict.port, "/", strict.token, strict.root, os.environ.copy(), strict.pid)
    assert {outside.call(route, examples(route)).status for route in ROUTES} == {404}
