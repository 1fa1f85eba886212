"""An executed notebook as a page of HTML, made by nbconvert where that is installed."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_one_at_a_time = threading.Lock()


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter

    return HTMLExporter()


def available() -> bool:
    """Whether pages can be made here."""
    import importlib.util

    return importlib.util.find_spec("nbconvert") is not None


def render(notebook: Any) -> str:
    """The notebook, which stays as it is, as one HTML file."""
    with _one_at_a_time:
        page: str = _exporter().from_notebook_node(notebook)[0]
    return page
