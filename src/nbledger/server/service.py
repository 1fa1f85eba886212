"""What the routes of one Jupyter Server share: where projects are, and who is told when they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbledger.core.errors import UsageError
from nbledger.server import bridge
from nbledger.server.bridge import Answer
from nbledger.server.listening import Emit, Listening
from nbledger.server.places import Place, Places
from nbledger.server.routes import Route

_WITHOUT_LEDGER = frozenset({"state", "preview"})


class Service:
    """One a server."""

    def __init__(self, root: str, emit: Emit) -> None:
        self.places = Places(root)
        self.listening = Listening(emit)

    async def ask(self, place: Place, route: Route, words: Mapping[str, Any]) -> Answer:
        """The keeper's answer. From now on the viewers of this project are told of changes.

        A folder without a ledger gets no keeper, whose first deed is to make one: it is told what ``init`` would do.
        """
        project, args = place.project, route.args(words, self.places.root)
        if not place.begun and route.call != "init":
            if route.call not in _WITHOUT_LEDGER:
                raise UsageError("there is no ledger in this folder", "nbledger init makes one")
            return await bridge.alone(project, route.call, args, route.seconds)
        if route.path == "jobs" and not project.settings.keeper and route.action == "execute":
            raise UsageError(
                "the settings want no keeper, which does work that takes a while",
                "do it on the command line, or remove `keeper = false`",
            )
        self.listening.wanted(project)
        try:
            return await bridge.ask(project, route.call, args, route.seconds, again=route.action == "read")
        finally:
            if route.action != "read":
                self.places.forget()
