"""The one door to papermill: parameters set in a notebook, in a cell after the one tagged ``parameters``."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbledger.core import secrets
from nbledger.core.defuse import names_of
from nbledger.core.errors import LedgerError, UsageError, nearest
from nbledger.core.kernels import kernel_name, quickly

_HOLDER, _INJECTED = "parameters", "injected-parameters"


def literal(text: Any) -> Any:
    """A command-line value as papermill reads it: a number, true/false, null, a list or table, or text."""
    if not isinstance(text, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value


def tables_of(path: Path) -> list[dict[str, Any]]:
    """What a JSON or YAML file of parameters holds: a table, or a list of tables."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}", "name a JSON or YAML file of parameters") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise UsageError(f"{path} cannot be read: {' '.join(str(err).split())[:200]}", "mend that line") from err
    tables = found if isinstance(found, list) and found else [found]
    if not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path} holds no table of parameters", "write NAME: VALUE lines, or a list of such tables")
    return [{str(key): value for key, value in table.items()} for table in tables]


def table_of(path: Path) -> dict[str, Any]:
    """The one table of a file of parameters."""
    tables = tables_of(path)
    if len(tables) > 1:
        raise UsageError(f"{path} holds {len(tables)} tables", "nbledger run --params runs the notebook with each")
    return tables[0]


def require() -> None:
    """``LedgerError`` where papermill is not installed."""
    import importlib.util

    if importlib.util.find_spec("papermill") is None:
        raise LedgerError("parameters need papermill", "pip install 'nbledger[batch]'")


def parameterised(notebook: Any, values: Mapping[str, Any], *, kernel: str = "", language: str = "") -> Any:
    """``notebook`` with papermill's injected cell for ``values``."""
    if not values:
        return notebook
    try:
        with quickly():
            from papermill.parameterize import parameterize_notebook
    except ImportError as err:
        raise LedgerError("parameters need papermill", "pip install 'nbledger[batch]'") from err
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    notebook.metadata.setdefault("papermill", {})
    try:
        made = parameterize_notebook(notebook, dict(values), kernel_name=kernel or None, language=language or None)
    except Exception as err:  # a value that the kernel's language cannot hold, a notebook without kernel
        raise UsageError(f"the parameters cannot be set: {' '.join(str(err).split())[:200]}") from err
    for cell in made.cells:
        if not cell.metadata["tags"]:
            del cell.metadata["tags"]
    return made


def masked(notebook: Any, values: Mapping[str, Any]) -> Any:
    """``notebook`` as it may be kept: secrets among its injected ``values`` are hidden, its other cells are shared."""
    from papermill.translators import translate_parameters

    hidden = {key: secrets.HIDDEN if secrets.secret(key, value) else value for key, value in values.items()}
    kernel = kernel_name(notebook)
    language = notebook.metadata.get("kernelspec", {}).get("language") or notebook.metadata.get(
        "language_info", {}
    ).get("name")
    made = copy.copy(notebook)
    made.metadata = copy.deepcopy(notebook.metadata)
    made.metadata["papermill"]["parameters"] = hidden
    made.cells = [copy.copy(cell) for cell in notebook.cells]
    for cell in made.cells:
        if _INJECTED in cell.metadata.get("tags", ()):
            cell.source = translate_parameters(kernel, language or "python", hidden, "Parameters")
    return made


def unknown(notebook: Any, values: Mapping[str, Any]) -> list[str]:
    """A line for each of ``values`` that the cell tagged ``parameters`` does not set; nothing if there is no such cell."""
    tagged = [c.source for c in notebook.cells if _HOLDER in c.metadata.get("tags", ())]
    if not tagged:
        return ["no cell is tagged `parameters`: they are set at the top"] if values else []
    names = frozenset().union(*(names_of(source).binds for source in tagged))
    lost = [name for name in values if name not in names]
    return [
        f"its parameters have no {name!r}" + (f": {near}" if (near := nearest(name, names)) else "") for name in lost
    ]
