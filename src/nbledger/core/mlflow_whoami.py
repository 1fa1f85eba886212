"""Whom the tracking server takes this process for: the login that it checked, where it asks for one."""

from __future__ import annotations

import os
import urllib.parse
from typing import TYPE_CHECKING, Any

from nbledger.core.errors import ToolFailed
from nbledger.core.mlflow import _translated, display_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CURRENT, _ONE = "/api/2.0/mlflow/users/current", "/api/2.0/mlflow/users/get"


def login(api: MlflowClient, uri: str) -> str | None:
    """The login with which the server let this process in; None where it has no logins (or is no server). A server that does
    not say raises, rather than be taken for one without.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    found = _asked(api, uri, _CURRENT)
    if found is None:  # an older server does not say it, but looks at the password all the same
        mine = os.environ.get("MLFLOW_TRACKING_USERNAME") or urllib.parse.urlsplit(uri).username or ""
        found = _asked(api, uri, _ONE, username=mine) if mine else None
    return found


def _asked(api: Any, uri: str, route: str, **words: str) -> str | None:
    from mlflow.utils.rest_utils import http_request

    with _translated(uri):
        creds = vars(api)["_tracking_client"].store.get_host_creds()
        answer = http_request(creds, route, "GET", params=words, raise_on_status=False)
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        with _translated(uri):
            raise RuntimeError(f"error code {answer.status_code} != 200")
    try:
        name = answer.json()["user"]["username"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str) or not name:
        raise ToolFailed(f"the tracking server {display_uri(uri)} does not say who you are", f"it answers {route} so")
    return name
