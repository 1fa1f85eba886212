"""An empty run store as nbledger keeps it for each version of MLflow, made once per process that runs tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from forked import shared

_MAKE = """
import os
os.environ["JUPYTER_DATA_DIR"] = {home!r}
from nbledger.core import mlflow, project
mlflow.ensure_embedded(project.find())
"""


@cache
def _made() -> Path:
    home = tempfile.mkdtemp(prefix="nbl-store-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    ended = shared().run(_MAKE.format(home=home), Path(home))
    assert ended.code == 0, ended.out
    (store,) = Path(home, "nbledger").glob("store-*.db")
    return store


def put(jupyter_data: Path) -> None:
    """Put it where nbledger looks for it, as if it had made a store before: each that MLflow makes costs over a second."""
    (jupyter_data / "nbledger").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(_made(), jupyter_data / "nbledger")
