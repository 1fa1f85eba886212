"""What a checkpoint commits, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.core import checkpoint as core
from nbledger.core.checkpoint import checkpoint
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import find
from nbledger.core.track import track


def committed(root: Path) -> list[str]:
    return sorted(filter(None, git(root, "show", "-z", "--name-only", "--format=", "HEAD").split("\0")))


def test_large_files_are_asked_about(project: Path) -> None:
    (project / ".nbledger.toml").write_text("large_file_mb = 0.001\n")
    commit_all(project)
    (project / "big.bin").write_bytes(b"x" * 2000)
    (project / "small.py").write_text("1")
    (project / "wide.ipynb").write_text("{" + " " * 2000 + "}")
    before = git(project, "status", "--porcelain")
    with pytest.raises(Refused, match=r"wide\.ipynb has 0\.0 MB.*clear its outputs"):
        checkpoint(find(project), "all")
    (project / "wide.ipynb").unlink()
    with pytest.raises(Refused, match=r"big\.bin has.*nbledger track big\.bin"):
        checkpoint(find(project), "named", ["big.bin"])
    assert git(project, "status", "--porcelain") == before.replace("\n?? wide.ipynb", "")
    made = checkpoint(find(project), "everything", ["."])
    assert (made.paths, made.left) == (("small.py",), ("big.bin",))
    asked = core.plan(find(project), ["."], large=True)
    assert (asked.large, asked.message) == ((("big.bin", 2000),), "Checkpoint big.bin")
    checkpoint(find(project), "large, too", ["."], large=True)
    assert committed(project) == ["big.bin"]
    assert checkpoint(find(project), "nothing new", ["big.bin"]).commit is None  # it is in Git already: no question


def test_data_are_never_committed(project: Path) -> None:
    (project / "d").mkdir()
    (project / "d" / "x.csv").write_text("1")
    track(find(project), ["d"])
    (project / ".gitignore").write_text("")
    (project / "sub").mkdir()
    (project / "sub" / "-a b.py").write_text("1")
    (project / "sub" / "n.ipynb").write_text("{}")
    (project / "sub" / ".ipynb_checkpoints").mkdir()
    (project / "sub" / ".ipynb_checkpoints" / "n-checkpoint.ipynb").write_text("{}")
    for name in (".jupyter_ystore.db", ".jupyter_ystore.db-journal"):
        (project / name).write_text("the Lab's own")
    for name in ("d", "d/x.csv", "./d/"):
        with pytest.raises(Refused, match="never the data"):
            checkpoint(find(project), "data", [name])
    asked = core.plan(find(project), ["sub"])
    assert asked.paths == (".gitignore", "sub/-a b.py", "sub/n.ipynb")
    assert asked.message == "Checkpoint sub/n.ipynb, .gitignore, sub/-a b.py"
    assert checkpoint(find(project), "m", ["."]).paths == asked.paths
    assert "d/x.csv" not in git(project, "ls-files")
    git(project, "init", "-q", "nested")
    (project / "nested" / "x.ipynb").write_text("{}")
    for paths in (["."], ["nested"], []):
        assert checkpoint(find(project), "m", paths).commit is None  # another repository is not ours to take in
    for bad in ("../x", "/etc/passwd", "nothing"):
        with pytest.raises(UsageError):
            checkpoint(find(project), "m", [bad])
    with pytest.raises(UsageError, match="message is empty"):
        checkpoint(find(project), " ")
