"""What changed in a file since the last commit, whatever the file is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.core.diffs import diff
from nbledger.core.errors import UsageError
from nbledger.core.project import find
from nbledger.core.track import track

ODD = "-o\n\u202e<img src=x>.py"


def cell(source: str, name: str) -> dict[str, object]:
    return {"cell_type": "code", "id": name, "source": source, "metadata": {}, "outputs": [], "execution_count": 1}


def notebook(*sources: str) -> str:
    cells = [cell(source, f"c{i}") for i, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_texts(project: Path) -> None:
    (project / "a.py").write_text("x = 1\ny = 2\n")
    (project / ODD).write_text("1\n")
    (project / "gone.txt").write_text("bye\n")
    (project / "old.py").write_text("".join(f"line {i}\n" for i in range(20)))
    (project / "b.bin").write_bytes(b"\0\1")
    (project / "crlf.txt").write_text("one\ntwo\n")
    commit_all(project)
    # nothing that the repository configures may run
    bait = project / "bait.sh"
    bait.write_text(f"#!/bin/sh\ntouch {project}/EXECUTED\ncat\n")
    bait.chmod(0o755)
    (project / ".gitattributes").write_text("* diff=bait filter=bait\n")
    for key in ("diff.bait.command", "diff.bait.textconv", "filter.bait.clean", "diff.external", "core.fsmonitor"):
        git(project, "config", key, str(bait))
    (project / "a.py").write_text("x = 1\ny = 3\n")
    (project / ODD).write_text("2\n")
    (project / "gone.txt").unlink()
    (project / "old.py").rename(project / "new.py")
    (project / "new.py").write_text("line 0 changed\n" + "".join(f"line {i}\n" for i in range(1, 20)))
    (project / "b.bin").write_bytes(b"\0\1\2")
    (project / "crlf.txt").write_bytes(b"one\r\nTWO\r\n")
    (project / "long.txt").write_text("".join(f"{i}\n" for i in range(8000)))
    (project / ("n" * 250)).write_text("x" * 4096 + "\n")
    (project / "link").symlink_to("/etc/hostname")
    git(project, "init", "-q", "inner")
    (project / "within").symlink_to(".git")
    (project / "deep" / ".dvc").mkdir(parents=True)
    (project / "deep" / ".dvc" / "config.local").write_text("password = secret\n")

    here = find(project)
    found = diff(here, "./a.py")
    assert (found.path, found.kind, found.note) == ("a.py", "text", "")
    assert found.lines == ("@@ -1,2 +1,2 @@", " x = 1", "-y = 2", "+y = 3")
    assert diff(here, ODD).lines == ("@@ -1 +1 @@", "-1", "+2")
    assert diff(here, "gone.txt").lines == ("@@ -1 +0,0 @@", "-bye")
    assert diff(here, "gone.txt").note == "deleted"
    moved = diff(here, "new.py")
    assert moved.note == "renamed from old.py"
    assert [line for line in moved.lines if line[0] in "+-"] == ["-line 0", "+line 0 changed"]
    assert (diff(here, "b.bin").kind, diff(here, "b.bin").note) == ("binary", "binary: 2 bytes before, 3 bytes now")
    assert diff(here, "crlf.txt").lines == ("@@ -1,2 +1,2 @@", " one", "-two", "+TWO")
    assert diff(here, "long.txt").cut
    assert len(diff(here, "long.txt").lines) == 5000
    wide = diff(here, "n" * 250)
    assert wide.cut
    assert max(map(len, wide.lines)) <= 2001
    assert diff(here, "link").lines[1:] == ("+/etc/hostname", "\\ No newline at end of file")
    assert not (project / "EXECUTED").exists()
    for bad in (
        "../x",
        "/etc/passwd",
        "",
        ".git/config",
        "inner/.git/config",
        "within/config",
        "deep/.dvc/config.local",
        ".nbledger/commits",
        "a\0",
        "nothing.py",
        "x/../../y",
        "\ud800",
        "x" * 5000,
    ):
        with pytest.raises(UsageError):
            diff(here, bad)
    (project / "way").symlink_to("/etc")
    with pytest.raises(UsageError, match="link"):
        diff(here, "way/hostname")
    assert not git(project, "fsck", "--strict")


def test_notebooks(project: Path) -> None:
    (project / "n.ipynb").write_text(notebook("a = 1", "b = 2"))
    (project / "bad.ipynb").write_text("{}")
    commit_all(project)
    (project / "n.ipynb").write_text(notebook("a = 1", "b = 3", "c = 4"))
    (project / "bad.ipynb").write_text("<<<<<<< ours\n")
    (project / "new.ipynb").write_text(notebook("z = 1"))
    found = diff(find(project), "n.ipynb")
    assert found.kind == "notebook"
    assert found.notebook is not None
    assert [c["source"] for c in found.notebook.base["cells"]] == ["a = 1", "b = 2"]
    assert {op["op"] for op in found.notebook.diff[0]["diff"]} >= {"addrange"}
    new = diff(find(project), "new.ipynb")
    assert new.notebook is not None
    assert new.notebook.base["cells"] == []
    assert new.note.startswith("a new file")
    bad = diff(find(project), "bad.ipynb")
    assert (bad.kind, bad.lines[-1]) == ("text", "+<<<<<<< ours")
    assert "not a valid notebook" in bad.note


def test_tracked_data_against_its_pointer(project: Path) -> None:
    (project / "d.csv").write_text("id,v\n1,1\n2,2\n")
    (project / "f").mkdir()
    for name in "abc":
        (project / "f" / name).write_text(name)
    track(find(project), ["d.csv", "f"])
    (project / "d.csv").write_text("id,v\n1,1\n2,5\n3,3\n")
    (project / "f" / "a").write_text("changed")
    (project / "f" / "b").unlink()
    (project / "f" / "z").write_text("z")
    found = diff(find(project), "d.csv")
    assert found.kind == "data"
    assert found.data is not None
    assert (found.data.state, found.data.sizes) == ("changed", (13, 17))
    assert found.data.table is not None
    assert (found.data.table.added, found.data.table.changed) == (1, 1)
    folder = diff(find(project), "f/a").data
    assert folder is not None
    assert {row.name: row.note for row in folder.files} == {"f/a": "changed", "f/b": "removed", "f/z": "added"}
    (project / "d.csv").unlink()
    gone = diff(find(project), "d.csv").data
    assert gone is not None
    assert (gone.state, gone.values[1]) == ("removed", None)
    pointer = diff(find(project), "d.csv.dvc")
    assert (pointer.kind, pointer.note) == ("text", "nothing changed")
