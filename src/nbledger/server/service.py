"""What the routes of one Jupyter Server share: where projects are, and who is told when they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbledger.core.project import Project
from nbledger.server import bridge
from nbledger.server.bridge import Answer
from nbledger.server.listening import Emit, Listening
from nbledger.server.places import Places
from nbledger.server.routes import Route


class Service:
    """One a server."""

    def __init__(self, root: str, emit: Emit) -> None:
        self.places = Places(root)
        self.listening = Listening(emit)

    async def ask(self, project: Project, route: Route, words: Mapping[str, Any]) -> Answer:
        """The keeper's answer. From now on the viewers of this project are told of changes."""
        self.listening.wanted(project)
        try:
            return await bridge.ask(project, route.call, route.args(words, self.places.root), route.seconds)
        finally:
            if route.action != "read":
                self.places.forget()
