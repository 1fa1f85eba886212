"""The merge of a pull request as an approval: what Git's history must show for it, and all that shows nothing."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from conftest import run
from nbledger.core import git, merged
from nbledger.core.errors import LedgerError, Refused, UsageError

ADA, BEN, CLEO = ("Ada <ada@example.org>", "Ben <ben@example.org>", "Cleo <cleo@example.org>")
FORGE = "GitHub <noreply@github.com>"


class Clone:
    """A clone of the team's remote, in which anybody commits: ``by`` is the author, ``through`` the committer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        repo = git.discover(root)
        assert repo is not None
        self.repo = repo

    def git(self, *words: str, by: str = ADA, through: str | None = None) -> str:
        env = dict(os.environ)
        for role, who in (("AUTHOR", by), ("COMMITTER", through or by)):
            name, _, address = who.partition(" <")
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address.rstrip(">")}
        return run("git", *words, cwd=self.root, env=env)

    def commit(self, name: str, by: str = ADA, through: str | None = None) -> str:
        (self.root / name).write_text(name)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", name, by=by, through=through)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str, by: str, through: str | None = None, *words: str) -> str:
        """Merge into main, as a forge does, and push."""
        self.git("switch", "--quiet", "main")
        self.git("merge", "--quiet", *(words or ("--no-ff", "--no-edit")), branch, by=by, through=through)
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def forge(tmp_path: Path) -> tuple[Clone, Clone]:
    """(the clone in which pull requests are made and merged, another one that fetches nothing by itself)."""
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", "remote.git", cwd=tmp_path)
    run("git", "clone", "--quiet", "remote.git", "first", cwd=tmp_path)
    first = Clone(tmp_path / "first")
    first.git("switch", "--quiet", "--create", "main")
    first.commit("start")
    first.git("push", "--quiet", "origin", "main")
    run("git", "clone", "--quiet", "remote.git", "second", cwd=tmp_path)
    return first, Clone(tmp_path / "second")


def pull_request(clone: Clone, name: str = "feature") -> str:
    clone.git("switch", "--quiet", "--create", name, "main")
    return clone.commit(name)


def evidence(clone: Clone, commit: str, where: str) -> merged.Merge:
    return merged.evidence(clone.repo, commit, merged.line(clone.repo, where))


def test_a_merge_says_who_took_the_commit_in(forge: tuple[Clone, Clone]) -> None:
    first, second = forge
    asked = pull_request(first)
    later = first.commit("later")
    made = first.merge("feature", BEN, FORGE)
    first.commit("next", CLEO)
    first.git("push", "--quiet", "origin", "main")
    refs = second.git("for-each-ref")
    for commit in (asked, later):  # further commits of the pull request change nothing
        found = evidence(second, commit, "main")
        assert (found.branch, found.commit, found.people) == ("origin/main", made, (BEN,))
        assert abs((found.at - dt.datetime.now(dt.UTC)).total_seconds()) < 600
    assert second.git("for-each-ref") == refs  # nothing moved
    assert not (second.root / ".git" / "FETCH_HEAD").exists()
    assert evidence(second, asked, made).commit == made  # the merge commit by its id
    with pytest.raises(Refused, match=rf"not taken into origin/HEAD by {later[:10]} — it came there by {made[:10]}"):
        evidence(second, asked, later)


def test_an_own_committer_counts_and_a_branch_within_the_request_does_not(forge: tuple[Clone, Clone]) -> None:
    first, _ = forge
    asked = pull_request(first)
    first.git("switch", "--quiet", "main")
    first.commit("meanwhile", CLEO)
    first.git("switch", "--quiet", "feature")
    first.git("merge", "--quiet", "--no-edit", "main", by=ADA)  # she brings her branch up to date by a merge of her own
    made = first.merge("feature", BEN, ADA)
    found = evidence(first, asked, "main")
    assert (found.commit, found.people) == (made, (BEN, ADA))
    assert set(merged.authors(first.repo, made)) == {ADA}
    assert merged.authors(first.repo, asked) == (ADA,)
    tree = first.git("rev-parse", "HEAD^{tree}")
    assert merged.authors(first.repo, git.commit_tree(first.repo, tree, [asked], "a snapshot", ledger=True)) == (ADA,)
    assert merged.authors(first.repo, git.commit_tree(first.repo, tree, [], "of nothing", ledger=True)) == ()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("--ff-only",), "is the newest commit of origin/main — nobody merged it"),
        (("--squash",), "is not in origin/main — it has not been merged, or by a squash or a rebase"),
    ],
)
def test_what_leaves_no_merge_is_no_evidence(forge: tuple[Clone, Clone], how: tuple[str, ...], said: str) -> None:
    first, second = forge
    asked = pull_request(first)
    first.git("push", "--quiet", "origin", "feature")
    second.git("fetch", "--quiet")
    with pytest.raises(Refused, match="is not in origin/main"):
        evidence(second, asked, "main")
    first.merge("feature", BEN, None, *how)
    if how == ("--squash",):
        first.git("commit", "--quiet", "--message", "squashed", by=BEN)
        first.git("push", "--quiet", "origin", "main")
    with pytest.raises(Refused, match=said):
        evidence(second, asked, "main")


def test_a_commit_on_the_line_of_the_branch_was_pushed_not_merged(forge: tuple[Clone, Clone]) -> None:
    first, second = forge
    asked = first.commit("direct")
    pull_request(first)
    first.merge("feature", BEN)
    with pytest.raises(Refused, match=r"was pushed to origin/main itself: no merge says who took it in"):
        evidence(second, asked, "main")


def test_a_machine_is_no_person(forge: tuple[Clone, Clone]) -> None:
    first, second = forge
    asked = pull_request(first)
    first.merge("feature", "merge-queue[bot] <1+merge-queue[bot]@users.noreply.github.com>", FORGE)
    with pytest.raises(Refused, match=r"merged by merge-queue\[bot\].*, which is no person"):
        evidence(second, asked, "main")


def test_names_that_are_no_branch_and_commits_that_are_nowhere(forge: tuple[Clone, Clone]) -> None:
    first, second = forge
    asked = pull_request(first)
    for word in ("nope", "--upload-pack=touch x", "../x", "a b", "main\n", "$(touch x)", "ext::sh -c true"):
        with pytest.raises(UsageError, match="origin has no branch"):
            evidence(second, asked, word)
    assert not (second.root / "x").exists()
    with pytest.raises(Refused, match=r"is not here, and not in origin/main — .*fetch-depth: 0"):
        evidence(second, "ab" * 20, "main")
    with pytest.raises(LedgerError):
        evidence(second, "--output=x", "main")
    second.git("remote", "rename", "origin", "one")
    second.git("remote", "add", "two", "nowhere")
    with pytest.raises(Refused, match="there are several remotes"):
        evidence(second, asked, "main")
    second.git("remote", "remove", "one")
    second.git("remote", "remove", "two")
    with pytest.raises(Refused, match="has no remote"):
        evidence(second, asked, "main")


def test_a_clone_that_is_cut_off_does_not_guess_who_wrote_it(forge: tuple[Clone, Clone], tmp_path: Path) -> None:
    first, _ = forge
    pull_request(first)
    first.commit("more", CLEO)
    made = first.merge("feature", BEN)
    assert set(merged.authors(first.repo, made)) == {ADA, CLEO}
    run("git", "clone", "--quiet", "--depth=1", f"file://{tmp_path}/remote.git", "shallow", cwd=tmp_path)
    assert merged.authors(Clone(tmp_path / "shallow").repo, made) == ()
    assert merged.authors(first.repo, "ab" * 20) == ()


def test_a_mailmap_joins_the_addresses_of_a_person(forge: tuple[Clone, Clone]) -> None:
    first, _ = forge
    (first.root / ".mailmap").write_text("Ada <ada@example.org> <ada@home.example>\n")
    hostile = "Eve\n<eve@example.org>"
    found = merged.spellings(first.repo, ["A. L. <ada@home.example>", BEN, hostile, "no address"])
    assert found == {"A. L. <ada@home.example>": ADA, BEN: BEN}
