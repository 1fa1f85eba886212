"""What is removed while a folder is listed is missing from the list, and nothing else is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nbledger.core import identity, kept, restored
from nbledger.core.project import find


def gone(path: Path) -> None:
    """An entry that is there when the folder is read, and not when it is looked at."""
    path.symlink_to("nowhere")


def test_restored_work_trees(project: Path) -> None:
    here = find(project)
    first, _ = restored.begin(here, "a" * 32, "c" * 40, None)
    gone(restored.folder(here) / "gone.json")
    second, _ = restored.begin(here, "b" * 32, "c" * 40, None)
    for name, when in ((first.name, 2), (second.name, 1)):
        os.utime(restored.folder(here) / f"{name}.json", (when, when))
    assert restored.registered(here) == [second, first]


def test_notebooks(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
        gone(tmp_path / f"{name}-gone.ipynb")
    assert {path.name for path in identity._below(tmp_path)} == {"a.ipynb", "b.ipynb", "c.ipynb"}


def test_objects_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("aa", "bb", "cc"):
        (tmp_path / prefix).mkdir()
        (tmp_path / prefix / "0").touch()
        (tmp_path / prefix / "1.tmp").touch()
    (tmp_path / "ab").touch()
    listing = os.listdir

    def removed_before(path: Path) -> list[str]:
        if path == tmp_path / "bb":
            shutil.rmtree(path)
        return listing(path)

    monkeypatch.setattr(os, "listdir", removed_before)
    assert list(kept.listed(tmp_path)) == ["aa0", "cc0"]
