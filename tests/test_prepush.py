"""The pre-push hook: plain `git push` of commits whose data nobody else could get is refused, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, data_remote, dvc, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import needs, prepush, push, trust
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track

SYSTEM = "/usr/bin:/bin"  # a python3 without nbledger


def plain_push(root: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """`git push WORDS`: its exit code and all that it says."""
    done = subprocess.run(
        ["git", "push", *words], cwd=root, capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    return done.returncode, done.stdout + done.stderr


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def script(path: Path, text: str) -> bytes:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path.read_bytes()


@pytest.fixture
def shared(project: Path, tmp_path: Path) -> Path:
    """The project with a bare repository, a data remote that is a folder, and the hook; its first commits are pushed."""
    both_remotes(project, tmp_path)
    git(project, "push", "-q", "-u", "origin", "main")
    trust.trust(find(project))
    assert prepush.install(find(project)) == [
        "git push asks first whether the data are in the remote (.git/hooks/pre-push)"
    ]
    return project


def branches(root: Path) -> str:
    return git(root, "ls-remote", "origin")


def test_a_forgotten_push_is_refused(shared: Path, tmp_path: Path) -> None:
    write(shared, {"a.csv": "1", "d/x": "x", "d/y": "y", "d/z": "z"})
    track(find(shared), ["a.csv", "d"])
    before = branches(shared)
    code, said = plain_push(shared)
    assert code == 1
    assert "a.csv; named by main" in said
    assert "d: 3 of 3 files; named by main" in said
    assert f"not in store ({tmp_path / 'store'})" in said
    assert "nbledger push sends the data, then the commits" in said
    assert find(shared) and "md5" not in said
    assert branches(shared) == before

    # what is in the remote is not named any more; of a folder every file counts
    dvc(shared, "push", "-q")
    y = next(path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.read_text() == "y")
    y.rename(tmp_path / "away")
    code, said = plain_push(shared)
    assert (code, "d: 1 of 3 files; named by main" in said, "a.csv" in said) == (1, True, False)
    assert branches(shared) == before
    (tmp_path / "away").rename(y)
    assert plain_push(shared)[0] == 0
    assert branches(shared) != before

    # commits without pointers are not asked about, whatever the data remote does
    (tmp_path / "store").rename(tmp_path / "gone")
    write(shared, {"n.py": "1"})
    commit_all(shared)
    assert plain_push(shared)[0] == 0
    write(shared, {"a.csv": "2"})
    track(find(shared), ["a.csv"])
    assert plain_push(shared)[0] == 1
    assert plain_push(shared, "--no-verify")[0] == 0
    # of new commits only: that the remote has commits without their data already is no matter of this push
    write(shared, {"n.py": "2"})
    commit_all(shared)
    code, said = plain_push(shared, "origin", "HEAD:refs/heads/other")
    assert code == 0, said


def test_our_own_push_has_looked_after_the_data(shared: Path) -> None:
    write(shared, {"a.csv": "1"})
    track(find(shared), ["a.csv"])
    (shared / ".git" / "hooks" / "pre-push").write_text(
        (shared / ".git" / "hooks" / "pre-push").read_text().replace("python=/", "python=/nowhere/")
    )  # would say so, were it come to
    assert "hook" not in "\n".join(push.told(push.plan(find(shared))))
    done = push.push(find(shared))
    assert (done.commits, done.data) == (1, 1)
    write(shared, {"b.csv": "1"})
    track(find(shared), ["b.csv"])
    lost = next((shared / ".dvc" / "cache").rglob("*/md5/c4/*"))
    assert lost.read_text() == "1"  # both are it, and it is in the remote
    lost.unlink()
    assert push.push(find(shared)).commits == 1


def test_lost_data_and_where_to_look(shared: Path) -> None:
    write(shared, {"a.csv": "1"})
    track(find(shared), ["a.csv"])
    write(shared, {"a.csv": "2"})
    track(find(shared), ["a.csv"])
    first = git(shared, "rev-parse", "HEAD~")
    shutil.rmtree(next((shared / ".dvc" / "cache" / "files" / "md5").glob("c4")))  # that of "1"
    dvc(shared, "push", "-q")
    code, said = plain_push(shared)
    assert code == 1
    assert f"a.csv: nor are they here; named by commit {first[:8]}" in said
    assert "nbledger push --allow-missing" in said
    with pytest.raises(Refused, match=rf"neither here nor in the remote: a\.csv \(in commit {first[:8]}\)"):
        push.push(find(shared))
    done = push.push(find(shared), wanted=push.Wanted(allow_missing=True))
    assert done.commits == 2


def test_no_remote_an_unreachable_one_and_a_stranger(shared: Path) -> None:
    config = (shared / ".dvc" / "config").read_text()
    write(shared, {"a.csv": "1"})
    track(find(shared), ["a.csv"])
    (shared / ".dvc" / "config").write_text("")
    code, said = plain_push(shared)
    assert (code, "which are not in a data remote" in said, "nbledger init --remote URL" in said) == (
        1,
        True,
        True,
    )
    (shared / ".dvc" / "config").write_text("[core]\n    remote = s\n['remote \"s\"']\n    url = ssh://127.0.0.1:9/x\n")
    code, said = plain_push(shared)
    assert code == 1
    assert "whether the data are in the remote could not be asked" in said
    assert "git push --no-verify pushes without asking" in said
    assert len([line for line in said.splitlines() if line.startswith("nbledger")]) == 1
    (shared / ".dvc" / "config").write_text(config)
    trust.distrust(find(shared))
    code, said = plain_push(shared)
    assert (code, "this project is not trusted" in said) == (1, True)


def test_a_repository_of_dvc_in_a_folder_and_a_linked_work_tree(shared: Path, tmp_path: Path) -> None:
    git(shared, "rm", "-rq", ".dvc", ".dvcignore")
    git(shared, "commit", "-qm", "no DVC at the root")
    assert plain_push(shared)[0] == 0
    shutil.rmtree(shared / ".dvc")
    (shared / "sub").mkdir()
    dvc(shared / "sub", "init", "-q", "--subdir")
    data_remote(shared / "sub", tmp_path / "store")
    git(shared, "worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    write(shared, {"sub/a.csv": "1"})
    track(find(shared / "sub"), ["a.csv"], cwd=shared / "sub")
    commit_all(shared)
    code, said = plain_push(shared)
    assert (code, "sub/a.csv; named by commit" in said) == (1, True), said
    git(tmp_path / "linked", "merge", "-q", "main")
    code, said = plain_push(tmp_path / "linked", "origin", "linked")
    assert (code, "sub/a.csv: nor are they here; named by" in said) == (1, True), said  # it has a cache of its own
    dvc(shared / "sub", "push", "-q")
    assert plain_push(tmp_path / "linked", "origin", "linked")[0] == 0


def test_what_is_asked_of_refs(shared: Path, tmp_path: Path) -> None:
    write(shared, {"a.csv": "1"})
    track(find(shared), ["a.csv"])
    git(shared, "tag", "-a", "v1", "-m", "one")
    for words in (
        ("origin", "v1"),
        (str(tmp_path / "bare.git"), "main"),
        ("origin", "HEAD:refs/nbledger/runs/" + "1" * 32),
    ):
        code, said = plain_push(shared, *words)
        assert (code, "a.csv; named by" in said) == (1, True), (words, said)
    assert "a.csv; named by v1" in plain_push(shared, "origin", "v1")[1]
    dvc(shared, "push", "-q")
    assert plain_push(shared, "--tags", "origin", "main")[0] == 0
    assert plain_push(shared, "origin", ":v1")[0] == 0  # a deletion asks for nothing

    # a merge brings what neither side had: that of the other side is not this push's to look for
    git(shared, "switch", "-qc", "side", "HEAD~")
    write(shared, {"sub/b.csv": "forgotten"})
    track(find(shared), ["sub/b.csv"])
    assert plain_push(shared, "--no-verify", "-u", "origin", "side")[0] == 0
    git(shared, "switch", "-q", "main")
    git(shared, "merge", "-q", "--no-edit", "side")
    code, said = plain_push(shared)
    assert code == 0, said


def test_a_hook_that_was_there_stays(shared: Path, tmp_path: Path) -> None:
    project, hooks = find(shared), shared / ".git" / "hooks"
    assert prepush.install(project) == []  # a second time changes nothing
    assert prepush.remove(project) == ["removed the pre-push hook .git/hooks/pre-push"]
    assert prepush.remove(project) == []
    assert not (hooks / "pre-push").exists()
    own = script(
        hooks / "pre-push", f'echo "$@" >> {tmp_path}/seen; cat >> {tmp_path}/seen; exit $(cat {tmp_path}/code)'
    )
    assert prepush.install(project)[1] == "your own hook is kept, and called first (pre-push.before-nbledger)"
    assert (hooks / "pre-push.before-nbledger").read_bytes() == own
    assert prepush.others(project.git) and prepush.installed(project.git)
    write(shared, {"a.csv": "1"})
    track(project, ["a.csv"])
    head, there = git(shared, "rev-parse", "HEAD"), git(shared, "rev-parse", "HEAD~")
    (tmp_path / "code").write_text("7")
    code, said = plain_push(shared)
    assert (code, "nbledger" in said) == (1, False)  # theirs refuses first
    assert (tmp_path / "seen").read_text() == (
        f"origin {tmp_path / 'bare.git'}\nrefs/heads/main {head} refs/heads/main {there}\n"
    )
    (tmp_path / "code").write_text("0")
    code, said = plain_push(shared)
    assert (code, "a.csv; named by main" in said) == (1, True)
    assert push.push(project).commits == 1
    assert (tmp_path / "seen").read_text().count("origin") == 3  # ours asks theirs too
    assert prepush.remove(project) == ["your own hook is back (.git/hooks/pre-push)"]
    assert (hooks / "pre-push").read_bytes() == own

    # a link, as many keep them, and a hook that is switched off
    (hooks / "pre-push").unlink()
    script(shared / "mine.sh", f"touch {tmp_path}/linked")
    (hooks / "pre-push").symlink_to("../../mine.sh")
    prepush.install(project)
    write(shared, {"n.py": "1"})
    commit_all(shared)
    assert plain_push(shared)[0] == 0
    assert (tmp_path / "linked").exists()
    prepush.remove(project)
    assert os.readlink(hooks / "pre-push") == "../../mine.sh"

    # what somebody edited is theirs
    prepush.install(project)
    edited = (hooks / "pre-push").read_text() + "make test\n"
    (hooks / "pre-push").write_text(edited)
    for deed in (prepush.remove,):
        with pytest.raises(Refused, match="was edited since nbledger made it"):
            deed(project)
    with pytest.raises(Refused, match="was edited"):
        prepush.install(project)
    assert (hooks / "pre-push").read_text() == edited
    # an older version of ours is renewed
    body = edited.removesuffix("make test\n").split("\n", 2)[2] + "# older\n"
    (hooks / "pre-push").write_text(f"#!/bin/sh\n{prepush._MARK}{prepush._digest(body)}\n{body}")
    assert prepush.install(project) == ["renewed the pre-push hook .git/hooks/pre-push"]


def test_hooks_that_others_share(shared: Path, tmp_path: Path) -> None:
    project = find(shared)
    prepush.remove(project)
    for folder in ("team", str(tmp_path / "all-of-mine")):
        git(shared, "config", "core.hooksPath", folder)
        with pytest.raises(Refused, match="not this clone's alone") as told:
            prepush.install(project)
        assert f'{Path(folder) / "pre-push"}: nbledger pre-push "$@"' in str(told.value)
    assert prepush.remove(project) == []
    script(tmp_path / "all-of-mine" / "pre-push", 'nbledger pre-push "$@"')  # as it says
    write(shared, {"a.csv": "1"})
    track(project, ["a.csv"])
    code, said = plain_push(shared)
    assert (code, "a.csv; named by main" in said) == (1, True)
    git(shared, "config", "core.hooksPath", ".git/own")
    assert prepush.install(project)[0].endswith("(.git/own/pre-push)")
    assert plain_push(shared)[0] == 1


def test_beside_the_pre_commit_framework(shared: Path, tmp_path: Path) -> None:
    """Its hook calls `pre-push.legacy` with the input that it has read, and tells its own hooks by variables."""
    project, hooks = find(shared), shared / ".git" / "hooks"
    prepush.remove(project)
    framework = script(
        hooks / "pre-push",
        f"# File generated by pre-commit: https://pre-commit.com\ntouch {tmp_path}/ran\n"
        'here=$(dirname "$0"); [ ! -x "$here/pre-push.legacy" ] || PRE_COMMIT_RUNNING_LEGACY=1 "$here/pre-push.legacy" "$@"',
    )
    said = prepush.install(project)
    assert said[0].endswith("(.git/hooks/pre-push.legacy)")
    assert said[1] == "the hook of the pre-commit framework stays, and calls it"
    assert (hooks / "pre-push").read_bytes() == framework
    assert prepush.installed(project.git)
    write(shared, {"a.csv": "1"})
    track(project, ["a.csv"])
    code, text = plain_push(shared)
    assert (code, "a.csv; named by main" in text, (tmp_path / "ran").exists()) == (1, True, True)
    assert prepush.remove(project) == ["removed the pre-push hook .git/hooks/pre-push.legacy"]

    variables = {
        "PRE_COMMIT_FROM_REF": git(shared, "rev-parse", "HEAD~"),
        "PRE_COMMIT_TO_REF": git(shared, "rev-parse", "HEAD"),
        "PRE_COMMIT_REMOTE_NAME": "origin",
        "PRE_COMMIT_REMOTE_BRANCH": "refs/heads/main",
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", "pre-push"],
        cwd=shared,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "a.csv; named by main" in done.stdout) == (1, True)


def test_nbledger_that_is_gone_blocks_nobody(shared: Path) -> None:
    write(shared, {"a.csv": "1"})
    track(find(shared), ["a.csv"])
    hook = shared / ".git" / "hooks" / "pre-push"
    text = hook.read_text()
    assert f"python={sys.executable}" in text
    hook.write_text(text.replace(f"python={sys.executable}", "python=/nowhere/python"))
    code, said = plain_push(shared, env={"PATH": SYSTEM, "PYTHONPATH": ""})
    assert (code, said.count("nobody looks whether the data are pushed")) == (0, 1)
    write(shared, {"a.csv": "2"})
    track(find(shared), ["a.csv"])
    hook.write_text(
        text.replace(f"python={sys.executable}", "python=/nowhere/python").replace("python=python3", "python=none")
    )
    code, said = plain_push(shared)
    assert (code, said.count("nobody looks whether the data are pushed")) == (0, 1)


def test_the_verb(shared: Path) -> None:
    def said(*words: str) -> str:
        answer = run(words, Face())
        assert answer is not None
        return answer.text

    assert "removed the pre-push hook" in said("init", "--no-hook")
    assert "git push asks first" in said("init", "--hook")
    assert "git push asks first whether the data are in the remote (pre-push hook)" in said("doctor")
    hook = shared / ".git" / "hooks" / "pre-push"
    body = hook.read_text().split("\n", 2)[2].replace(sys.executable, "/nowhere/python")
    hook.write_text(f"#!/bin/sh\n{prepush._MARK}{prepush._digest(body)}\n{body}")
    assert "the pre-push hook needs /nowhere/python, which is gone" in said("doctor")
    said("init", "--hook")
    git(shared, "config", "fetch.prune", "true")
    assert "git fetch removes snapshots" not in said("doctor")
    git(shared, "config", "--add", "remote.origin.fetch", "+refs/nbledger/*:refs/nbledger/*")
    assert "git fetch removes snapshots that are not pushed yet: remote.origin.fetch maps" in said("doctor")


# ── pipelines: what a `dvc.lock` names, and the `dvc.yaml` beside it takes back ───────────────────────────

YAML = """
    stages:
      plain:
        cmd: x
        outs: [model.bin, {kept: {push: false}}, {data/other: {remote: second}}]
        metrics: [{scores.json: {cache: false}}]
      each:
        foreach: [a, b]
        do:
          cmd: x
          wdir: sub
          outs: ["out-${item}.bin", {"log-${item}.txt": {cache: false}}]
"""
LOCK = """
    schema: '2.0'
    stages:
      plain:
        cmd: x
        outs:
        - {path: model.bin, hash: md5, md5: 11111111111111111111111111111111, size: 1}
        - {path: kept, hash: md5, md5: 22222222222222222222222222222222.dir, size: 1, nfiles: 1}
        - {path: data/other, hash: md5, md5: 33333333333333333333333333333333, size: 1}
        - {path: scores.json, hash: md5, md5: 44444444444444444444444444444444, size: 1}
      each@a:
        cmd: x
        outs:
        - {path: out-a.bin, hash: md5, md5: 55555555555555555555555555555555, size: 1}
        - {path: log-a.txt, hash: md5, md5: 66666666666666666666666666666666, size: 1}
"""
IMPORTED = """
    deps:
    - {path: d, repo: {url: https://example.org/x.git, rev_lock: abc}}
    outs:
    - {path: imported, hash: md5, md5: 77777777777777777777777777777777, size: 1}
"""


def test_what_pointers_name(project: Path) -> None:
    write(project, {"p/dvc.yaml": textwrap.dedent(YAML), "p/dvc.lock": textwrap.dedent(LOCK)})
    write(project, {"imported.dvc": textwrap.dedent(IMPORTED), "broken.dvc": "outs: [", "mydvc.lock": "no pointer"})
    first = commit_all(project)
    found = {need.path: need for need in needs.of_trees(find(project), {first: "main"})}
    assert set(found) == {"p/model.bin", "p/kept", "p/data/other", "p/sub/out-a.bin", "imported"}
    assert found["p/model.bin"].made and not found["p/model.bin"].aside
    assert found["p/kept"].aside
    assert found["p/data/other"].remote == "second"
    assert found["imported"].source == "https://example.org/x.git"
    assert {need.where for need in found.values()} == {"main"}

    # each tree is told from the one before it: all of them, in any order, are what each is by itself
    git(project, "rm", "-q", "imported.dvc")
    (project / "p" / "dvc.lock").write_text(textwrap.dedent(LOCK).replace("1" * 32, "9" * 32))
    write(project, {"q/a b.dvc": "outs:\n- md5: " + "8" * 32 + "\n  path: a b\n"})
    second = commit_all(project)
    both = needs.of_trees(find(project), {second: "new", first: "old"})
    assert {need.version for need in both} == {
        need.version for one in (first, second) for need in needs.of_trees(find(project), {one: ""})
    }
    assert {need.md5 for need in both if need.path == "p/model.bin"} == {"1" * 32, "9" * 32}
    new = needs.of_new(find(project), {second: "tip"}, [first, "f" * 40])
    assert {need.path for need in new} == {"p/model.bin", "p/kept", "p/data/other", "p/sub/out-a.bin", "q/a b"}
    assert needs.of_new(find(project), {second: "tip"}, [second]) == []
