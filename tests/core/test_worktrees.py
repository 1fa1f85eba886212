"""Work trees of Git that come and go beside each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import commit_all, git
from nbledger.core import worktrees
from nbledger.core.project import find


def test_one_is_made_while_the_last_other_is_taken_away(project: Path, tmp_path: Path) -> None:
    (project / "a.txt").write_text("1\n")
    commit = commit_all(project)
    repo = find(project).git
    assert repo is not None

    def comes_and_goes(name: str) -> None:
        for number in range(25):
            place = tmp_path / f"{name}-{number}"
            worktrees.add(repo, place, commit)
            assert (place / "a.txt").read_text() == "1\n"
            worktrees.remove(repo, place)

    with ThreadPoolExecutor() as pool:
        list(pool.map(comes_and_goes, ("one", "two", "three")))
    assert git(project, "worktree", "list").count("\n") == 0
    assert not (repo.common_dir / "worktrees").exists()
