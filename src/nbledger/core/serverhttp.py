"""An MLflow server as the present person's own client reaches it: MLflow's variables, certificates and proxies, over plain HTTP
and without importing MLflow.
"""

from __future__ import annotations

import base64
import configparser
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import secrets
from nbledger.core.errors import LedgerError, UsageError

LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_MOST = 16 << 20


@dataclass(frozen=True)
class Answered:
    """What came back; ``seconds`` the time it took, ``middle`` the local time halfway (Unix)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    middle: float

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Login:
    """``header`` is secret; ``where`` it was found is not."""

    header: str
    where: str


class Server:
    """The server as the present person reaches it: MLflow's own variables, certificates and proxies."""

    def __init__(self, url: str, timeout: float = 15.0) -> None:
        self.parts = urllib.parse.urlsplit(url.strip())
        try:
            port = self.parts.port
        except ValueError as err:
            raise UsageError(f"{secrets.scrub(url)!r} has no valid port", "such as https://mlflow.example.org") from err
        if self.parts.scheme not in ("http", "https") or not self.parts.hostname:
            raise UsageError(f"{secrets.scrub(url)!r} is no server's address", "such as https://mlflow.example.org")
        self.host, self.port = self.parts.hostname, port or (443 if self.parts.scheme == "https" else 80)
        place = f"[{self.host}]" if ":" in self.host else self.host
        self.base = f"{self.parts.scheme}://{place}{f':{port}' if port else ''}{self.parts.path.rstrip('/')}"
        self.timeout, self.login, self.context = timeout, _login(self.parts), _context()
        self.withheld = False
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=self.context))

    def withhold(self) -> None:
        """Send no login from here on: somebody on the way could read it."""
        self.withheld, self.login = self.login is not None, None

    @property
    def local(self) -> bool:
        return self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"

    def ask(
        self,
        method: str,
        path: str,
        what: dict[str, Any] | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        login: bool = True,
    ) -> Answered:
        """Ask once, and follow no redirection. ``OSError`` where nothing answers."""
        data = what if isinstance(what, bytes) or what is None else json.dumps(what).encode()
        request = urllib.request.Request(self.base + path, data, method=method)  # noqa: S310 - http or https, see above
        kind = "application/octet-stream" if isinstance(what, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "User-Agent": "nbledger", **(headers or {})}.items():
            request.add_unredirected_header(name, value)
        if login and self.login is not None:
            request.add_unredirected_header("Authorization", self.login.header)
        began, clock = time.monotonic(), time.time()
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                status, said, body = answer.status, answer.headers, answer.read(_MOST)
        except urllib.error.HTTPError as err:
            with err:
                status, said, body = err.code, err.headers, err.read(_MOST)
        except http.client.HTTPException as err:
            raise OSError(f"what answers is no HTTP ({type(err).__name__})") from err
        seconds = time.monotonic() - began
        named = {name.lower(): value for name, value in said.items()}
        return Answered(status, named, body, seconds, clock + seconds / 2)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *words: Any, **options: Any) -> None:
        """None: a login must not follow a redirection elsewhere."""


def said(err: BaseException) -> str:
    """What an error of the network says, in one line."""
    reason = err.reason if isinstance(err, urllib.error.URLError) else err
    words = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason) or type(reason).__name__
    return secrets.scrub(" ".join(str(words).split()))


def _context() -> ssl.SSLContext:
    """As MLflow's own client is told."""
    own = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get("REQUESTS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=own)
        if mine := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
            context.load_cert_chain(mine)
    except OSError as err:
        raise LedgerError(
            f"a certificate's file cannot be read: {said(err)}", "see MLFLOW_TRACKING_SERVER_CERT_PATH"
        ) from err
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _login(parts: urllib.parse.SplitResult) -> Login | None:
    """The login that MLflow's client would send, and where it stands."""
    if parts.username is not None and parts.password is not None:
        name, word = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password)
        return Login(_basic(name, word), "the address itself")
    kept = configparser.ConfigParser(interpolation=None)
    try:
        kept.read(Path.home() / ".mlflow" / "credentials")
        file = dict(kept["mlflow"]) if kept.has_section("mlflow") else {}
    except (configparser.Error, OSError, ValueError):
        file = {}
    name = os.environ.get("MLFLOW_TRACKING_USERNAME") or file.get("mlflow_tracking_username", "")
    word = os.environ.get("MLFLOW_TRACKING_PASSWORD") or file.get("mlflow_tracking_password", "")
    if name and word:
        whole = os.environ.get("MLFLOW_TRACKING_USERNAME") and os.environ.get("MLFLOW_TRACKING_PASSWORD")
        return Login(_basic(name, word), LOGIN if whole else "~/.mlflow/credentials")
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return Login(f"Bearer {token}", "MLFLOW_TRACKING_TOKEN")
    return None


def _basic(name: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()
