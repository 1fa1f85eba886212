"""The address of a tracking server as ``init`` is given it: one that MLflow can read; and whether it answers and lets one in."""

from __future__ import annotations

from nbledger.core import secrets
from nbledger.core.errors import LedgerError, UsageError, nearest
from nbledger.core.serverhttp import LOGIN, Server, said

_KINDS = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "file", "databricks", "databricks-uc", "uc")


def check(uri: str) -> None:
    """``UsageError`` for an address that MLflow cannot read, or that carries a password: the file that names it enters Git."""
    shown = secrets.scrub(uri)
    scheme, slashes, rest = uri.partition("://")
    if not slashes:
        raise UsageError(f"{shown!r} is no tracking URI", "give one such as https://mlflow.example.org")
    if "@" in rest.partition("/")[0]:
        raise UsageError(
            "the tracking URI carries a password, which would enter Git",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment instead",
        )
    kind = scheme.lower().partition("+")[0]
    if kind not in _KINDS and (near := nearest(kind, _KINDS)):  # others may be a plugin's
        raise UsageError(f"MLflow knows no store of the kind {scheme}://", near.replace("?", "://?"))
    if kind in ("http", "https"):
        Server(uri)  # a host, and a port that is one


def told(uri: str, seconds: float = 5.0) -> list[str]:
    """A line about a server that is ready, or about what it lacks (``! …``); nothing about other stores. Nothing fails for it.

    A login is sent over TLS and within this machine only.
    """
    if not uri.startswith(("http://", "https://")):
        return []
    shown = secrets.scrub(uri)
    try:
        server = Server(uri, seconds)
        if (status := server.ask("GET", "/health", login=False).status) != 200:
            return [f"! what answers at {shown} is no MLflow server (status {status}) — check the address"]
        if server.parts.scheme == "http" and not server.local:
            server.withhold()
        answer = server.ask("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 1})
    except OSError as err:
        return [
            f"! the tracking server {shown} did not answer: {said(err)} — check the address; runs are kept until it does"
        ]
    except LedgerError as err:
        return [f"! the tracking server was not asked: {err}"]
    if answer.status in (401, 403) and server.withheld:
        return [f"! {shown} asks for a login, which would go there in the clear — give it an https:// address"]
    if answer.status in (401, 403):
        found = f"the login of {server.login.where} is not accepted" if server.login else "it asks for a login"
        return [f"! the tracking server {shown} did not let you in: {found} — {LOGIN} say who you are"]
    if answer.status != 200:
        return [f"! what answers at {shown} is no MLflow server (status {answer.status}) — check the address"]
    return [f"the tracking server {shown} lets you in"]
