"""An empty run store, kept for each version of MLflow, of which a project's first one is a copy.

MLflow makes a SQLite store by running every migration it ever had: more than a second of computing, for tables that are the
same each time. Only the place of the artifacts and the time of making differ.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path


def copy_to(draft: Path, artifacts: str, version: str) -> bool:
    """Put an empty store at ``draft`` whose first experiment keeps its artifacts below ``artifacts``.

    False where none is kept for that version of MLflow, or not one that could be used; ``draft`` may be there then.
    """
    try:
        shutil.copyfile(_kept(version), draft)
        now = time.time_ns() // 1_000_000
        with contextlib.closing(sqlite3.connect(draft)) as made, made:
            whole = made.execute("pragma quick_check").fetchone() == ("ok",)
            empty = made.execute("select count(*) from runs").fetchone() == (0,)
            first = made.execute(
                "update experiments set artifact_location = ?, creation_time = ?, last_update_time = ?",
                (f"{artifacts}/0", now, now),
            )
            return whole and empty and first.rowcount == 1
    except (OSError, sqlite3.Error):
        return False


def keep(store: Path, version: str) -> None:
    """Keep this new and empty store for later projects; where it cannot be, the next one is made anew, too."""
    place = _kept(version)
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".store-")  # readable for its owner only
        os.close(handle)
        try:
            shutil.copyfile(store, name)
            os.replace(name, place)
        finally:
            Path(name).unlink(missing_ok=True)
        for old in place.parent.glob("store-*.db"):
            if old != place:
                old.unlink()


def _kept(version: str) -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "nbledger" / f"store-{version}.db"
