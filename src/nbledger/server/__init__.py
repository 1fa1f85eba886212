"""The Jupyter Server face: routes for the JupyterLab front end, answered by the project's keeper."""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """What Jupyter Server loads for ``nbledger.server`` in its configuration."""
    return [{"module": "nbledger.server.extension"}]
