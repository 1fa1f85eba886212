"""An authorizer for a real server: everybody may look, nobody may change anything."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class OnlyLooking(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" or resource != "nbledger"
