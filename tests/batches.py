"""Notebooks for the tests of ``nbledger run``, the verb itself, and what plain MLflow then says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

RUN = (sys.executable, "-m", "nbledger.cli", "run", "--trust")
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(path: Path, *sources: str | tuple[str, str], kernel: str = "python3") -> Path:
    """A notebook of code cells; (tag, source) for one that is tagged. Written without nbformat: there may be many."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {"tags": [source[0]]} if isinstance(source, tuple) else {},
            "outputs": [],
            "source": source[1] if isinstance(source, tuple) else source,
        }
        for number, source in enumerate(sources)
    ]
    spec = {"kernelspec": {**_KERNEL["kernelspec"], "name": kernel}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 5}))
    return path


def run(
    root: Path, *words: str | Path, code: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``nbledger run --trust WORDS``, which must exit with ``code``."""
    done = subprocess.run(
        [*RUN, *map(str, words)],
        cwd=root,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    return judged(done, code)


def judged(done: subprocess.CompletedProcess[str], code: int) -> subprocess.CompletedProcess[str]:
    """A command that must have exited with ``code``, whose errors are for people."""
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def answer(root: Path, *words: str | Path, code: int = 0) -> dict[str, Any]:
    """What ``nbledger run … --json`` prints."""
    found: dict[str, Any] = json.loads(run(root, *words, "--json", code=code).stdout)
    return found


def owned(root: Path) -> list[psutil.Process]:
    """Living processes that execute a notebook of this project, or were started by its cells."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("NBLEDGER_NOTEBOOK", "").startswith(str(root)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def none_left(root: Path, seconds: float = 60.0) -> float:
    """Wait until no process of a notebook is left; how long that took."""
    began = time.monotonic()
    while left := owned(root):
        assert time.monotonic() - began < seconds, left
        time.sleep(0.05)
    return time.monotonic() - began
