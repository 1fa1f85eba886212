"""Push and pull against a bare Git repository and a local DVC remote."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import dvc

from nbledger.core import dvcremote
from nbledger.core.project import find
from nbledger.core.track import track


def test_what_the_remote_lacks(project: Path, tmp_path: Path) -> None:
    assert dvcremote.default_remote(find(project)) is None
    (project / "a.csv").write_text("1\n")
    (project / "d").mkdir()
    (project / "d" / "b.csv").write_text("2\n")
    track(find(project), ["a.csv", "d"])
    assert dvcremote.not_in_remote(find(project)) == []
    dvc(project, "remote", "add", "-d", "Store", str(tmp_path / "store"))
    assert dvcremote.default_remote(find(project)) == ("store", str(tmp_path / "store"))
    assert dvcremote.not_in_remote(find(project)) == ["a.csv", "d"]
    dvc(project, "push", "-q", "a.csv.dvc")
    assert dvcremote.not_in_remote(find(project)) == ["d"]
    dvc(project, "push", "-q")
    assert dvcremote.not_in_remote(find(project)) == []
    dvc(project, "remote", "modify", "--local", "store", "url", "https://me:secret@example.org/x")
    assert dvcremote.default_remote(find(project)) == ("store", "https://example.org/x")
