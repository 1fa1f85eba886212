"""``undo`` against what plain git says before and after."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import commit_all, dvc, git
from nbledger.core import undo
from nbledger.core.checkpoint import checkpoint
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.core.useversion import use
from nbledger.keeper.calls import perform


def take_back(root: Path) -> str:
    found = undo.available(find(root))
    assert found is not None
    return undo.undo(find(root), found.commit)


def test_a_tracked_file_is_taken_back_and_shows_as_changed(project: Path) -> None:
    (project / "data.csv").write_text("a\n1\n")
    (project / "other.py").write_text("x = 1\n")
    base = commit_all(project, "data in Git")
    (project / "other.py").write_text("x = 2\n")
    git(project, "add", "other.py")
    before = git(project, "status", "--porcelain")
    made = track(find(project), ["data.csv"], "Track it")[0].commit
    assert undo.available(find(project)) == undo.Undoable(made, "Track it")
    assert take_back(project) == base == git(project, "rev-parse", "HEAD")
    assert (project / "data.csv").read_text() == "a\n1\n"
    assert (project / "data.csv.dvc").exists()
    assert "data.csv" in git(project, "ls-files")
    shown = git(project, "status", "--porcelain").splitlines()
    assert sorted(shown) == sorted([*before.splitlines(), "?? .gitignore", "?? data.csv.dvc"])
    assert undo.available(find(project)) is None
    assert not git(project, "fsck", "--strict")
    assert git(project, "reflog", "-1", "--format=%gs") == "nbledger undo: Track it"
    again = track(find(project), ["data.csv"])[0].commit
    assert again
    assert not dvc(project, "status", "-q")


def test_a_checkpoint_is_taken_back_and_what_is_staged_since_stays(project: Path) -> None:
    odd = "-odd\n\u202enäme.ipynb"
    (project / "new.ipynb").write_text("{}")
    (project / "kept.ipynb").write_text("{}")
    commit_all(project)
    (project / "kept.ipynb").write_text('{"a": 1}')
    (project / odd).write_text("{}")
    (project / "new.ipynb").unlink()
    made = checkpoint(find(project), "One\n\nmore").commit
    assert made
    (project / "kept.ipynb").write_text('{"a": 2}')
    git(project, "add", "kept.ipynb")
    take_back(project)
    shown = git(project, "-c", "core.quotePath=false", "status", "--porcelain", "-z").split("\0")
    assert sorted(filter(None, shown)) == sorted(["M  kept.ipynb", " D new.ipynb", f"?? {odd}"])


def test_the_first_commit_is_taken_back(folder: Path) -> None:
    git(folder, "init", "-q")
    (folder / "a.ipynb").write_text("{}")
    assert checkpoint(find(folder), "First").commit
    assert take_back(folder) == ""
    assert git(folder, "status", "--porcelain") == "?? a.ipynb"
    assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert checkpoint(find(folder), "Again").commit


def test_what_is_not_ours_or_known_elsewhere_stays(project: Path, tmp_path: Path) -> None:
    def refused(words: str) -> None:
        head = git(project, "rev-parse", "HEAD")
        assert undo.available(find(project)) is None
        with pytest.raises(Refused, match=words):
            undo.undo(find(project), head)
        assert git(project, "rev-parse", "HEAD") == head

    refused("not made by nbledger")
    (project / "a.ipynb").write_text("{}")
    made = checkpoint(find(project), "ours").commit
    assert made
    with pytest.raises(Refused, match="not the newest"):
        undo.undo(find(project), git(project, "rev-parse", "HEAD~"))
    with pytest.raises(LedgerError, match="full id"):
        undo.undo(find(project), "HEAD")
    git(project, "branch", "also")
    refused("also holds")
    git(project, "branch", "-D", "also")
    git(project, "switch", "-q", "--detach")
    refused("on no branch")
    git(project, "switch", "-q", "main")
    (project / ".git" / "MERGE_HEAD").write_text(made + "\n")
    refused("merge is under way")
    (project / ".git" / "MERGE_HEAD").unlink()
    git(project, "init", "-q", "--bare", str(tmp_path / "remote"))
    git(project, "remote", "add", "origin", str(tmp_path / "remote"))
    git(project, "push", "-q", "origin", "main")
    refused("is pushed")
    git(project, "update-ref", "-d", "refs/remotes/origin/main")
    (project / ".git" / "index.lock").write_text("")
    with pytest.raises(LedgerError, match="lock"):
        undo.undo(find(project), made)
    (project / ".git" / "index.lock").unlink()
    git(project, "commit", "-q", "--amend", "-m", "mine now")
    refused("not made by nbledger")


def test_what_only_the_undone_commit_names_is_told(project: Path) -> None:
    data = project / "data.csv"
    for text in ("a\n1\n", "a\n2\n"):
        data.write_text(text)
        track(find(project), [str(data)])
    newest, older = git(project, "rev-parse", "HEAD"), git(project, "rev-parse", "HEAD~")
    assert undo.lost(find(project), newest) == [], "the work tree's pointer still names it"
    use(find(project), "data.csv", older)
    (said,) = undo.lost(find(project), newest)
    assert said.startswith("data.csv: no commit names the version ")
    assert perform(find(project), "preview", {"kind": "undo", "commit": newest}).overwrites == (said,)


def test_of_two_commits_at_once_both_can_be_undone(project: Path) -> None:
    """Eight threads and two processes note commits at the same time; a torn last line costs only itself."""
    root = find(project)
    undo.remember(root, "0" * 40, "first")
    with (project / ".nbledger" / "commits").open("a") as file:
        file.write('{"commit": "torn')
    noting = "import sys; from nbledger.core import undo; from nbledger.core.project import find\n"
    noting += "for n in range(20): undo.remember(find(), f'{sys.argv[1]}{n:039x}', 'x')"
    others = [subprocess.Popen([sys.executable, "-c", noting, word], cwd=project) for word in "ab"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: undo.remember(root, f"c{n:039x}", "y"), range(20)))
    assert [other.wait(60) for other in others] == [0, 0]
    lines = (project / ".nbledger" / "commits").read_text().splitlines()
    known = [json.loads(line)["commit"] for line in lines if line.endswith("}")]
    assert len(lines) == 62 and len(set(known)) == 61 and known[0] == "0" * 40
