"""What the commands of every verb share."""

from __future__ import annotations

from typing import Any

import click

from nbledger.commands.answer import Face
from nbledger.keeper import client

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def ask(face: Face, name: str, args: dict[str, Any] | None = None) -> Any:
    """Do a call by the keeper (or here), for the project of the working directory."""
    return client.call(face.project(), name, args or {}, start=face.start_keeper, progress=face.progress)
