"""Notebooks of format 4.5 for the tests, as plain tables, and as JupyterLab writes them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbledger.core import notebookclean

Cell = dict[str, Any]


def code(source: str, key: str, outputs: Sequence[Cell] = (), **metadata: Any) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": 3 if outputs else None,
        "id": key,
        "metadata": metadata,
        "outputs": list(outputs),
        "source": source,
    }


def text(source: str, key: str, **more: Any) -> Cell:
    return {"cell_type": "markdown", "id": key, "metadata": {}, "source": source, **more}


def book(*cells: Cell, **metadata: Any) -> Cell:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write(path: Path, notebook: Cell) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebookclean.written(copy.deepcopy(notebook)))
