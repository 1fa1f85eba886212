"""The contents that a run read are found by their hash wherever they still are, and never by their name alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from conftest import commit_all, dvc
from nbledger.core import contents
from nbledger.core.project import find

OLD, NEW = b"id,x\n1,2\n", b"id,x\n1,3\n"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def bytes_of(found: Path | bytes | None) -> bytes | None:
    return found.read_bytes() if isinstance(found, Path) else found


def test_in_the_work_tree_in_a_commit_or_in_the_cache(project: Path) -> None:
    known = find(project)
    (project / "a.csv").write_bytes(OLD)
    first = commit_all(project)
    assert bytes_of(contents.find(known, "a.csv", md5(OLD), None)) == OLD
    (project / "a.csv").write_bytes(NEW)
    assert contents.find(known, "a.csv", md5(OLD), None) is None
    assert bytes_of(contents.find(known, "a.csv", md5(OLD), first)) == OLD
    assert bytes_of(contents.find(known, "a.csv", md5(NEW), first)) == NEW
    assert contents.find(known, "a.csv", md5(b"other"), first) is None
    assert contents.find(known, "gone.csv", md5(OLD), first) is None
    (project / "big.csv").write_bytes(OLD)
    dvc(project, "add", "--quiet", "big.csv")
    (project / "big.csv").unlink()
    assert bytes_of(contents.find(known, "big.csv", md5(OLD), None)) == OLD


def test_a_tracked_folder_by_its_list_of_files(project: Path) -> None:
    (project / "parts").mkdir()
    (project / "parts" / "a.csv").write_bytes(OLD)
    dvc(project, "add", "--quiet", "parts")
    pointer = (project / "parts.dvc").read_text()
    digest = next(line.split()[-1] for line in pointer.splitlines() if "md5: " in line and ".dir" in line)
    assert contents.folder(find(project), digest) == {"a.csv": md5(OLD)}
    assert contents.folder(find(project), "0" * 32 + ".dir") == {}
