"""Every route of the server extension, its event socket included, is asked of a real Jupyter Server as a stranger, with a
wrong token, with a cookie but no (or a wrong) XSRF token, from another site, and with an authorizer that denies reading,
writing or executing; by every method that HTTP has, and under both values of `allow_unauthenticated_access`.

Each is answered by 403 before the project is looked at, and the folder that is asked about has no ledger afterwards
(Jupyter Server's own event socket may send a stranger to the login page instead, and tells other sites 404).
The plain way is a handler as it is written without a thought of this: without `@authenticated`, on the server's defaults.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from conftest import make_repository
from nbledger.server.routes import PREFIX, ROUTES
from server.jupyter import Reply, Server, examples, started

FOREIGN = "http://evil.example"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EVENTS = "api/events/subscribe"
PLAIN = """
from jupyter_server.base.handlers import APIHandler

class Handler(APIHandler):
    def get(self):
        self.finish('{"secret": "what the project holds"}')

def _load_jupyter_server_extension(server):
    server.web_app.add_handlers(".*$", [(r"/plain", Handler)])

def _jupyter_server_extension_points():
    return [{"module": "plain_handler"}]
"""


@pytest.fixture(scope="module", params=[True, False], ids=["open by default", "closed by default"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Once as Jupyter Server is set up by itself, once under a hub's prefix where nobody is let in without a name."""
    root = make_repository(tmp_path_factory.mktemp("served") / "root")
    with started(
        root,
        tmp_path_factory.mktemp("home"),
        "--ServerApp.authorizer_class=authorizer.Denies",
        f"--ServerApp.allow_unauthenticated_access={request.param}",
        base="/" if request.param else "/user/ada/lab/",
        env={"PYTHONPATH": str(Path(__file__).parents[1] / "server")},
    ) as running:
        yield running
        assert not (root / ".nbledger").exists()  # a keeper's first deed: none was ever asked


def refused(server: Server, **how: object) -> int:
    """Every route, asked with good words, says 403 and one clear error; how many were asked."""
    seen = {}
    for route in ROUTES:
        reply = server.call(route, examples(route), **how)  # type: ignore[arg-type]
        error = reply.json["error"]
        if reply.status != 403 or not error["error"] or len(reply.body) > 1_000:
            seen[f"{route.method} {route.path}"] = (reply.status, reply.body[:200])
    assert not seen
    return len(ROUTES)


def socket(server: Server, headers: Mapping[str, str]) -> Reply:
    """Jupyter's event socket, on which changes are told."""
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Host": f"127.0.0.1:{server.port}",
    }  # fmt: skip
    return server.ask("GET", EVENTS, {**upgrade, **headers})


def test_strangers(server: Server, seen: Callable[[str], None]) -> None:
    count = refused(server, headers={}) + refused(server, headers={"Authorization": "token 0123456789abcdef"})
    for route in ROUTES:
        for method in METHODS:
            body = b"{}" if method in ("POST", "PUT", "PATCH") else None
            reply = server.ask(method, f"{PREFIX}/{route.path}?path=", {}, body)
            assert reply.status == 403, (method, route.path)
            count += 1
    for headers in ({}, {"Authorization": "token 0123"}):
        reply = socket(server, headers)  # Jupyter Server's own: it sends a stranger to the login page, or says 403
        assert reply.status == 403 or (reply.status == 302 and "/login?" in reply.headers["location"])
    seen(f"{len(ROUTES)} routes: {count + 2} requests without a token or with a wrong one, all refused")


def test_cookies_without_the_xsrf_token(server: Server, seen: Callable[[str], None]) -> None:
    cookies = server.cookies()
    assert "username-" in cookies["Cookie"]
    count = refused(server, headers=cookies)
    count += refused(server, headers=cookies | {"X-XSRFToken": "2|0|0|0"})
    count += refused(server, headers=cookies | {"Referer": f"{FOREIGN}/page"})
    xsrf = dict(one.split("=", 1) for one in cookies["Cookie"].split("; "))["_xsrf"]
    good = cookies | {"X-XSRFToken": xsrf}
    (state,) = (route for route in ROUTES if route.path == "state")
    assert server.call(state, {}, headers=good, path="no-such-file").status == 404  # let in, and finds nothing
    for route in ROUTES:
        for how in (cookies, good):  # Jupyter Server tells another site that there is nothing
            reply = server.call(route, examples(route), headers=how | {"Origin": FOREIGN})
            assert reply.status in {403, 404}
            assert "access-control-allow-origin" not in reply.headers
    assert socket(server, cookies | {"Origin": FOREIGN}).status == 403
    seen(f"{count} requests with a cookie and no XSRF token, all 403; the event socket from another site too")


def test_an_authorizer_that_denies(server: Server, seen: Callable[[str], None]) -> None:
    count = refused(server, headers=server.known | {"X-Deny": "read write execute"})
    for action in ("read", "write", "execute"):
        for route in ROUTES:
            how = server.known | {"X-Deny": action}
            reply = server.call(route, examples(route), headers=how, path="no-such-file")
            assert reply.status == (403 if route.action == action else 404), (route, action)
            if route.action == action:
                assert action in reply.json["error"]["error"]
                count += 1
    assert socket(server, server.known | {"X-Deny": "execute"}).status == 403
    seen(f"{count} requests that the authorizer denies, all 403")


def test_plain_handler_without_authentication(
    tmp_path_factory: pytest.TempPathFactory, plain: Callable[[bool, str], None]
) -> None:
    root, code = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("code")
    (code / "plain_handler.py").write_text(PLAIN)
    statuses = {}
    for access in (True, False):
        words = (f"--ServerApp.allow_unauthenticated_access={access}",)
        env, home = {"PYTHONPATH": str(code)}, tmp_path_factory.mktemp("home")
        with started(root, home, *words, env=env, extension="plain_handler") as running:
            assert running.ask("GET", "plain", running.known).status == 200
            statuses[access] = running.ask("GET", "plain").status
    plain(
        set(statuses.values()) == {403},
        f"a handler without @authenticated answers a stranger with {statuses[True]} (the default),"
        f" with {statuses[False]} under allow_unauthenticated_access=False",
    )
