"""A real Jupyter Server with the extension, and requests to it as browsers and scripts send them."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psutil
import pytest

from conftest import isolated_environment, short_folder, stop_keepers
from nbledger.server.routes import PREFIX, Route
from servers import free_port

_OTHERS = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "nbdime", "notebook", "notebook_shim")
EXTENSIONS = dict.fromkeys((*_OTHERS, "nbledger.server"), False)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server: its port, base URL, token, folder, environment and process."""

    port: int
    base: str
    token: str
    root: Path
    env: dict[str, str]
    pid: int

    @property
    def known(self) -> dict[str, str]:
        """The headers of a script that has the token."""
        return {"Authorization": f"token {self.token}"}

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Reply:
        """One request; ``path`` is below the base URL, already encoded."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request(method, self.base + path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def call(
        self,
        route: Route,
        words: Mapping[str, Any],
        *,
        path: str = "",
        raw_path: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "",
    ) -> Reply:
        """Ask a route as the front end does; ``raw_path`` stands in the URL as it is."""
        query = f"path={quote(path, safe='/') if raw_path is None else raw_path}"
        body = None
        if route.method == "POST":
            body = json.dumps(words).encode()
        elif words:
            query += "&" + urlencode({k: _spelt(v) for k, v in words.items()}, doseq=True)
        sent = self.known if headers is None else headers
        return self.ask(method or route.method, f"{PREFIX}/{route.path}?{query}", sent, body)

    def cookies(self) -> dict[str, str]:
        """What a browser holds after it came with the token: its cookies, as headers; XSRF token apart."""
        first = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        first.request("GET", f"{self.base}tree?token={self.token}")
        answer = first.getresponse()
        given = [v.split(";")[0] for k, v in answer.getheaders() if k.lower() == "set-cookie"]
        first.close()
        return {"Cookie": "; ".join(given), "Host": f"127.0.0.1:{self.port}"}


def _spelt(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return [_spelt(one) for one in value] if isinstance(value, list) else value


@contextmanager
def started(
    root: Path,
    home: Path,
    *options: str,
    base: str = "/",
    env: Mapping[str, str] | None = None,
    extension: str = "nbledger.server",
    python: Sequence[str] = (sys.executable,),
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Jupyter Server on ``root``, alone with nbledger's extension (or another one); ``python``: how it is started."""
    runtime = short_folder()
    environment = isolated_environment(home, runtime) | dict(env or {})
    token, port = secrets.token_hex(16), free_port()
    log = (home / "server.log").open("w")
    words = (
        *python, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.base_url={base}", f"--ServerApp.jpserver_extensions={EXTENSIONS | {extension: True}}", *options,
    )  # fmt: skip
    process = subprocess.Popen(words, cwd=cwd or root, env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(port, base, token, root, environment, process.pid)
    try:
        _wait(server, process, home / "server.log")
        yield server
    finally:
        process.terminate()
        for one in psutil.wait_procs([psutil.Process(process.pid)], timeout=10)[1] if process.poll() is None else ():
            one.kill()
        process.wait()
        stop_keepers(runtime)  # a server that still ran would start another one
        log.close()
        shutil.rmtree(runtime, ignore_errors=True)


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            if server.ask("GET", "api/status", server.known).status == 200:
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"Jupyter Server did not start:\n{log.read_text()[-4000:]}")


def example(schema: Mapping[str, Any]) -> Any:
    """A value that fits the schema of a word."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        return None
    if "pattern" in schema:
        return next(word for word in ("deadbeef", "data/a.csv") if len(word) <= schema["maxLength"])
    made: dict[str, Any] = {"integer": schema.get("minimum", 1), "boolean": True, "string": "word", "object": {}}
    return [example(schema["items"])] if kind == "array" else made[str(kind)]


def examples(route: Route, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Words that the route takes: those that are needed, or ``names``."""
    return {name: example(route.words[name]) for name in (route.needed if names is None else names)}
