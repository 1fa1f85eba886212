"""What Jupyter Server calls to load the extension."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.server.handlers import handlers
from nbledger.server.service import Service

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

EVENT = "urn:nbledger:changed:v1"
_SCHEMA = Path(__file__).parent / "events" / "changed.v1.yaml"


def _load_jupyter_server_extension(server: ServerApp) -> None:
    events = server.event_logger
    events.register_event_schema(_SCHEMA)

    def emit(changed: dict[str, Any]) -> None:
        events.emit(schema_id=EVENT, data=changed)

    root = getattr(server.contents_manager, "root_dir", "") or server.root_dir
    service = Service(str(root), emit)
    server.web_app.settings["nbledger"] = service
    server.web_app.add_handlers(".*$", handlers(server.base_url, service))
