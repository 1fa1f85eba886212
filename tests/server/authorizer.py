"""An authorizer for a real server: it denies the actions that a request's own header ``X-Deny`` names."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class Denies(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action not in handler.request.headers.get("X-Deny", "").split()
