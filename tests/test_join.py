"""``join``: from an address to a place to work in; nothing of the repository executed unasked, and gone on with after any kill."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import commit_all, data_remote, git, run
from endings import until
from githttp import githttp
from nbledger.commands import join as command
from nbledger.commands import tree
from nbledger.commands.answer import Answer, Face
from nbledger.core import cloning, contents, gitfilters, installers, join, projectenv, repoaddress, trust
from nbledger.core.errors import LedgerError, Refused, Unreachable, UsageError
from nbledger.core.project import find
from nbledger.core.setup import initialise
from nbledger.core.track import track
from nbledger_magics import display
from servers import Server, mlflow_server

RUN = "1" * 32


def wheel(place: Path) -> None:
    """A package that needs no network."""
    place.mkdir(parents=True, exist_ok=True)
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(place / "tiny-1.0-py3-none-any.whl", "w") as file:
        file.writestr("tiny.py", "value = 7\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


OFFLINE = "--no-index\n--find-links wheels\n"


@pytest.fixture
def bare(project: Path, tmp_path: Path) -> Path:
    """A colleague's project as it was pushed: code, data, an environment, and the snapshot of a run."""
    (project / "work.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n')
    wheel(project / "wheels")
    (project / "requirements.txt").write_text(f"{OFFLINE}tiny==1.0\n")
    (project / "a.csv").write_text("1,2\n")
    (project / "d").mkdir()
    for name in "xyz":
        (project / "d" / name).write_text(name * 100)
    data_remote(project, tmp_path / "store")
    commit_all(project)
    track(find(project), ["a.csv", "d"], push=True)
    git(project, "update-ref", f"refs/nbledger/runs/{RUN}", "HEAD")
    return pushed(project, tmp_path)


def pushed(project: Path, place: Path) -> Path:
    there = place / "wine.git"
    if not there.exists():
        git(place, "init", "-q", "--bare", "wine.git")
    git(project, "push", "-q", str(there), "refs/heads/*:refs/heads/*", "refs/nbledger/*:refs/nbledger/*")
    return there


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the colleague works: an empty folder."""
    place = tmp_path / "colleague"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def joined(*words: str | Path, face: Face | None = None) -> Answer:
    answer = tree.run(["join", *map(str, words)], face or Face())
    assert answer is not None
    return answer


def states(answer: Answer) -> dict[str, str]:
    return {step.name: step.state for step in answer.data.steps}


def python(root: Path, code: str) -> str:
    return run(installers.python_of(root / ".venv"), "-c", code, cwd=root)


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────


def test_ready_to_work_in(bare: Path, project: Path, elsewhere: Path, isolated: Path) -> None:
    hooks = isolated / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {isolated}/fired\n")
        (hooks / name).chmod(0o755)
    git(project, "config", "--global", "init.templateDir", str(isolated / "template"))
    answer = joined(bare, "--trust")
    assert not (isolated / "fired").exists(), "a hook of the person's template ran"
    root = elsewhere / "wine"
    assert (answer.code, answer.data.root, answer.data.branch) == (0, str(root), "main")
    assert states(answer) == {"code": "ready", "environment": "ready", "data": "ready", "tracking": "ready"}
    assert (root / "a.csv").read_text() == "1,2\n" and (root / "d" / "z").read_text() == "z" * 100
    assert python(root, "import tiny; print(tiny.value)") == "7"
    assert git(root, "status", "-sb") == "## main...origin/main"
    assert git(root, "rev-parse", "HEAD", f"refs/nbledger/runs/{RUN}").split() == [
        git(project, "rev-parse", "HEAD"),
        git(project, "rev-parse", f"refs/nbledger/runs/{RUN}"),
    ]
    assert git(root, "rev-parse", "--abbrev-ref", "origin/HEAD") == "origin/main"
    assert trust.trusted(find(root))
    assert "next:\n  cd " in answer.text and "source .venv/bin/activate" in answer.text

    (root / "a.csv").write_text("mine\n")
    (root / "work.ipynb").write_text("{}")
    before = git(root, "for-each-ref"), (root / ".git" / "index").read_bytes()
    again = joined(bare, "--trust")
    assert again.code == 0 and states(again) == states(answer)
    assert "was there" in again.text and "is what it should be" in again.text
    assert (git(root, "for-each-ref"), (root / ".git" / "index").read_bytes()) == before
    assert (root / "a.csv").read_text() == "mine\n" and (root / "work.ipynb").read_text() == "{}"


def test_nothing_is_executed_before_a_yes(bare: Path, project: Path, elsewhere: Path, tmp_path: Path) -> None:
    canary = tmp_path / "fired"
    (project / "pack").mkdir()
    (project / "pack" / "setup.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (project / "requirements.txt").write_text(f"{OFFLINE}./pack\n")
    (project / ".nbledger.toml").write_text('tracking_uri = "http://127.0.0.1:9"\n')
    (project / ".gitmodules").write_text('[submodule "s"]\n\tpath = s\n\turl = ../s\n')
    git(project, "add", "-A")
    git(project, "commit", "-qm", "executes")
    pushed(project, tmp_path)
    answer = joined(bare)
    root = elsewhere / "wine"
    assert answer.code == 1
    assert states(answer) == {
        "code": "ready",
        "environment": "open",
        "data": "open",
        "tracking": "open",
        "submodules": "left out",
    }
    assert not canary.exists() and not (root / ".venv").exists() and not (root / "a.csv").exists()
    assert not trust.trusted(find(root))
    assert "not before you trust this project" in answer.text and "nbledger join" in answer.text
    looked = join.would_execute(join.begin(str(bare), None, None, elsewhere), env=True, data=True)
    assert [line.split(":")[0].split(",")[0] for line in looked[:3]] == [
        f"{'uv pip' if installers.uv() else 'pip'} install -r requirements.txt",
        f"dvc pull from {tmp_path / 'store'}",
        "runs are looked for at http",
    ]
    assert "later, when you run them: 1 notebook" in looked[-1]


def test_the_question_is_asked_once_with_what_it_is_about(bare: Path, elsewhere: Path) -> None:
    """At a terminal, in a real process."""
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "nbledger.cli", "join", str(bare), "--no-env"]
    process = subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, cwd=elsewhere)
    os.close(theirs)
    said = b""
    while b"Do you trust" not in said:
        said += os.read(ours, 4096)
    os.write(ours, b"y\n")
    out, _ = process.communicate(timeout=120)
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:
            break
        if not more:
            break
        said += more
    os.close(ours)
    assert process.returncode == 0, out
    assert said.count(b"Do you trust") == 1
    assert b"dvc pull from" in said and b"with your credentials" in said
    assert (elsewhere / "wine" / "a.csv").exists()


@pytest.mark.parametrize("step", ["asking", "commits, tags", "files of the work tree", "environment: ", "data"])
def test_gone_on_with_after_a_kill(bare: Path, project: Path, elsewhere: Path, step: str) -> None:
    words = [sys.executable, "-m", "nbledger.cli", "join", str(bare), "w", "--trust"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=elsewhere, text=True)
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if step in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert step in seen[-1], "the step was not reached"
    answer = joined(bare, "w", "--trust")
    root = elsewhere / "w"
    assert answer.code == 0, answer.text
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "fsck", "--full") == ""
    assert git(root, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        f"refs/nbledger/runs/{RUN}",
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/main",
    ]
    assert (root / "d" / "y").read_text() == "y" * 100
    assert python(root, "import tiny") == ""
    assert [p.name for p in (root / ".git").iterdir() if "nbledger-" in p.name or p.name.endswith(".lock")] == []


def test_what_a_killed_join_left_at_work_is_waited_for(
    bare: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv outlives the join that started it: two of them in one folder would leave half an environment."""
    slow, log = tmp_path / "slow", tmp_path / "log"
    slow.mkdir()
    steps = [f"echo begun >> {log}", '[ "$1" != venv ] || sleep 4', f'{installers.uv()} "$@"', "code=$?"]
    (slow / "uv").write_text("\n".join(["#!/bin/sh", *steps, f"echo ended >> {log}", "exit $code", ""]))
    (slow / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    words = [sys.executable, "-m", "nbledger.cli", "join", str(bare), "w", "--trust"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=elsewhere)
    until(log.exists)
    process.kill()
    process.wait()
    assert joined(bare, "w", "--trust").code == 0
    assert python(elsewhere / "w", "import tiny") == ""
    said = log.read_text().split()
    assert said == ["begun", "ended"] * (len(said) // 2) and len(said) >= 4


def test_what_a_killed_fetch_or_checkout_left_is_no_obstacle(bare: Path, elsewhere: Path) -> None:
    """As a SIGKILL at the worst moment leaves it: locks of refs, half of a pack, half of the files, an index of our own."""
    root = elsewhere / "wine"
    (root / ".git" / "nbledger").mkdir(parents=True)
    (root / ".git" / "nbledger" / "join.json").write_text(json.dumps({"url": str(bare)}))
    for name in ("HEAD.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "refs/remotes/origin/main.lock"):
        (root / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / ".git" / name).write_text("x")
    assert joined(bare, "--trust", "--no-env").code == 0
    (root / ".git" / "index").unlink()
    (root / "requirements.txt").write_text("ha")
    (root / ".git" / "nbledger-ab.index.lock").write_text("x")
    noted = {"url": str(bare), "branch": "main"}
    (root / ".git" / "nbledger" / "join.json").write_text(json.dumps(noted))
    assert joined(bare, "--trust", "--no-env").code == 0
    assert git(root, "status", "--porcelain") == ""
    assert not (root / ".git" / "nbledger-ab.index.lock").exists()


# ── what is there already, and what is not there ─────────────────────────────────────────────────────────────


def test_only_an_empty_folder_or_this_repository_will_do(bare: Path, elsewhere: Path) -> None:
    (elsewhere / "wine").mkdir()
    (elsewhere / "wine" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="is not empty"):
        joined(bare)
    (elsewhere / "file").write_text("")
    with pytest.raises(Refused, match="is a file"):
        joined(bare, "file")
    git(elsewhere, "init", "-q", "other")
    with pytest.raises(Refused, match="is another repository"):
        joined(bare, "other")
    assert sorted(os.listdir(elsewhere / "wine")) == ["mine.txt"]
    (elsewhere / "empty").mkdir()
    assert joined(bare, "empty", "--no-env", "--no-data").code in (0, 1)
    assert (elsewhere / "empty" / "a.csv.dvc").exists()


def test_a_clone_of_plain_git_is_completed(bare: Path, elsewhere: Path) -> None:
    git(elsewhere, "clone", "-q", str(bare), "plain")
    answer = joined(bare, "plain", "--trust", "--no-env")
    assert answer.code == 0 and states(answer)["snapshots"] == "ready"
    assert git(elsewhere / "plain", "rev-parse", f"refs/nbledger/runs/{RUN}")
    assert (elsewhere / "plain" / "a.csv").exists()


def test_within_another_repository(bare: Path, elsewhere: Path) -> None:
    """Whose configuration, that of a stranger, has no say."""
    git(elsewhere, "init", "-q")
    (elsewhere / ".git" / "hooks" / "post-checkout").write_text(f"#!/bin/sh\ntouch {elsewhere}/fired\n")
    git(elsewhere, "config", "core.fsmonitor", f"touch {elsewhere}/fired; false")
    git(elsewhere, "config", f"url.{elsewhere}/none.insteadOf", str(bare))
    assert joined(bare, "--trust", "--no-env").code == 0
    assert not (elsewhere / "fired").exists()


def test_branches(bare: Path, project: Path, elsewhere: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean main"):
        joined(bare, "--branch", "mian")
    assert os.listdir(elsewhere) == [], "nothing is left of a join that could not begin"
    git(project, "switch", "-q", "-c", "side")
    commit_all(project, "side")
    pushed(project, tmp_path)
    answer = joined(bare, "w", "--branch", "side", "--no-env", "--no-data")
    assert answer.data.branch == "side"
    with pytest.raises(Refused, match="is on side"):
        joined(bare, "w", "--branch", "main")
    git(bare, "symbolic-ref", "HEAD", "refs/heads/never-pushed")
    assert joined(bare, "v", "--no-env", "--no-data").data.branch == "main"
    git(tmp_path, "init", "-q", "--bare", "new.git")
    with pytest.raises(Refused, match="holds no branch yet"):
        joined(tmp_path / "new.git")
    assert sorted(os.listdir(elsewhere)) == ["v", "w"]


def test_what_git_says_of_an_address_is_told_with_what_to_do(bare: Path, elsewhere: Path) -> None:
    if shutil.which("ssh"):
        with pytest.raises(
            Unreachable, match=r"did not answer: ssh: connect to host 127\.0\.0\.1 port 1: Connection refused"
        ):
            joined("ssh://ada@127.0.0.1:1/team/wine.git")
    if os.getuid() == 0:  # a shared folder, in which somebody else made the repository
        for path in (bare, *bare.rglob("*")):
            os.lchown(path, 65534, 65534)
        with pytest.raises(Refused, match=f"belongs to another user.*safe.directory {bare}, if you do"):
            joined(bare)
    assert os.listdir(elsewhere) == []


def test_a_clone_that_fails_leaves_nothing(bare: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="no Git repository at"):
        joined(f"file://{elsewhere}/nowhere", "deep/down")
    shutil.rmtree(bare / "objects")
    (bare / "objects").mkdir()
    with pytest.raises(LedgerError):
        joined(bare, "deep/down")
    assert os.listdir(elsewhere) == []


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://git.example.org/team/wine.git", "wine"),
        ("https://ada@git.example.org/team/wine", "wine"),
        ("http://127.0.0.1:8080/wine.git/", "wine"),
        ("ssh://git@git.example.org:2222/team/wine.git", "wine"),
        ("git@git.example.org:team/wine.git", "wine"),
        ("git.example.org:wine", "wine"),
        ("file:///srv/git/wine.git", "wine"),
    ],
)
def test_addresses_that_are_taken(text: str, name: str, tmp_path: Path) -> None:
    found = repoaddress.parse(text, tmp_path)
    assert (found.url, found.name) == (text, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ext::sh -c 'touch fired'", "names a program"),
        ("fd::17", "names a program"),
        ("--upload-pack=touch fired", "is an option"),
        ("ssh://-oProxyCommand=touch/x", "names no host"),
        ("ssh://-oProxyCommand=x@host/x", "names no host"),
        ("-oProxyCommand=touch:x", "is an option"),
        ("ada@-oProxyCommand=touch:x", "option of ssh"),
        ("host:--upload-pack=touch", "option of ssh"),
        ("https://ada:hunter22@example.org/x", "carries a password"),
        ("ssh://ada:hunter22@example.org/x", "carries a password"),
        ("https://ghp_0123456789012345678901234567890123456789@example.org/x", "carries a password"),
        ("https://x@example.org/x?private_token=hunter22", "carries a password"),
        ("s3://bucket/path", "place of data"),
        ("htps://example.org/x", "did you mean http"),
        ("https://example.org", "names no host and repository"),
        ("https://example.org:port/x", "no valid address"),
        ("https://example.org/..", "does not tell a name"),
        ("nowhere", "there is no 'nowhere'"),
        ("", "no address"),
        ("https://example.org/x\n--upload-pack=y", "no address"),
        ("\x1b[2Jhttps://example.org/x", "no address"),
    ],
)
def test_addresses_that_are_refused(text: str, said: str, elsewhere: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        joined("--", text)
    assert said in str(caught.value) and "hunter22" not in str(caught.value) and "ghp_" not in str(caught.value)
    assert os.listdir(elsewhere) == []


def test_over_http_with_a_login(bare: Path, project: Path, elsewhere: Path, isolated: Path, tmp_path: Path) -> None:
    (tmp_path / "http").mkdir()
    with githttp(tmp_path / "http", {"ben": "a password of ben"}) as there:
        git(
            project, "push", "-q", str(there.repository), "refs/heads/*:refs/heads/*", "refs/nbledger/*:refs/nbledger/*"
        )
        with pytest.raises(Refused, match=r"did not let you in.*set up a credential helper"):
            joined(there.url, "w")
        assert os.listdir(elsewhere) == []
        git(project, "config", "--global", "credential.helper", "store")
        (isolated / ".git-credentials").write_text(
            f"{there.address('ben')}\n".replace("a password of ben", "a%20password%20of%20ben")
        )
        answer = joined(there.url, "w", "--trust", "--no-env")
        assert answer.code == 0 and git(elsewhere / "w", "rev-parse", f"refs/nbledger/runs/{RUN}")
        held = b"".join(p.read_bytes() for p in (elsewhere / "w").rglob("*") if p.is_file())
        assert b"password of ben" not in held and b"a%20password" not in held
    with pytest.raises(Unreachable, match="did not answer"):
        joined(there.url, "v")
    assert os.listdir(elsewhere) == ["w"]
    assert joined(there.url, "w", "--no-env").code == 0, "what is whole needs no server"


# ── what a repository may hold ───────────────────────────────────────────────────────────────────────────────


def test_a_project_that_cannot_be_read_is_told(bare: Path, project: Path, elsewhere: Path, tmp_path: Path) -> None:
    (project / ".nbledger.toml").write_text("nonsense = 1\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "broken")
    pushed(project, tmp_path)
    answer = joined(bare, "--trust")
    assert answer.code == 2 and states(answer) == {"code": "ready", "settings": "failed"}
    assert "unknown setting 'nonsense'" in answer.text
    (project / ".nbledger.toml").unlink()
    (project / "linked").mkdir()
    shutil.rmtree(project / ".nbledger", ignore_errors=True)
    (project / ".nbledger").symlink_to(tmp_path)
    git(project, "add", "-A", "-f")
    git(project, "commit", "-qm", "hostile")
    pushed(project, tmp_path)
    hostile = joined(bare, "h", "--trust")
    assert states(hostile)["settings"] == "failed" and "is a link" in hostile.text
    assert not trust.trusted(join.find_anyhow(elsewhere / "h"))


def test_filters_and_hook_where_the_project_asks_for_them(
    bare: Path, project: Path, elsewhere: Path, tmp_path: Path
) -> None:
    trust.trust(find(project))
    gitfilters.install(find(project))
    (project / ".nbledger.toml").write_text("pre_push_hook = true\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "asks")
    pushed(project, tmp_path)
    answer = joined(bare, "--no-env", "--no-data")
    root = elsewhere / "wine"
    assert states(answer)["git"] == "open" and "nbledger's filters and hook: not before you trust" in answer.text
    assert (
        '[filter "nbledger"]' not in (root / ".git" / "config").read_text()
        and not (root / ".git/hooks/pre-push").exists()
    )
    assert joined(bare, "--no-env", "--no-data", "--trust").code == 0
    assert gitfilters.installed(find(root)) and os.access(root / ".git" / "hooks" / "pre-push", os.X_OK)
    assert git(root, "status", "--porcelain") == "" and git(root, "rev-parse", "HEAD") == git(bare, "rev-parse", "main")
    again = joined(bare, "--no-env", "--no-data")
    assert again.code == 0 and "filters and hook are set up" in again.text


def test_data_that_cannot_be_had(bare: Path, project: Path, elsewhere: Path, tmp_path: Path) -> None:
    answer = joined(bare, "a", "--trust", "--no-env", "--no-data")
    assert states(answer)["data"] == "left out" and "a.csv, d" in answer.text
    shutil.move(tmp_path / "store", tmp_path / "away")
    answer = joined(bare, "b", "--trust", "--no-env")
    assert states(answer)["data"] == "failed" and answer.code == 3 and "next:" in answer.text
    shutil.move(tmp_path / "away", tmp_path / "store")
    again = joined(bare, "b", "--trust", "--no-env")
    assert again.code == 0 and (elsewhere / "b" / "d" / "x").exists()
    (project / ".dvc" / "config").write_text("")
    git(project, "commit", "-qam", "no remote")
    pushed(project, tmp_path)
    answer = joined(bare, "c", "--trust", "--no-env")
    assert states(answer)["data"] == "open" and "names no data remote" in answer.text and answer.code == 1


def test_a_folder_of_which_a_part_came_is_completed_and_one_that_was_changed_is_not(
    bare: Path, elsewhere: Path
) -> None:
    joined(bare, "--trust", "--no-env")
    root = elsewhere / "wine"
    (root / "d" / "y").unlink()
    answer = joined(bare, "--trust", "--no-env")  # it was here: whoever removed it may have meant to
    assert answer.code == 0 and "changed here, so left as it is: d" in answer.text
    assert sorted(os.listdir(root / "d")) == ["x", "z"]
    cached = contents.cached(find(root), hashlib.md5(b"y" * 100, usedforsecurity=False).hexdigest())
    assert cached is not None
    cached.unlink()
    joined(bare, "--trust", "--no-env")
    assert (root / "d" / "y").read_text() == "y" * 100
    for change in ("mine", "y"):
        (root / "d" / change).write_text("mine")
        answer = joined(bare, "--trust", "--no-env")
        assert answer.code == 0 and (root / "d" / change).read_text() == "mine", answer.text


# ── environments ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A project's folder, no repository, with a place for notes."""
    root = tmp_path / "plain"
    wheel(root / "wheels")
    (root / "notes").mkdir()
    return root


def made(root: Path) -> projectenv.Made:
    want = projectenv.wanted(root)
    assert want is not None
    return projectenv.make(root, root / "notes", want, lambda _: None)


def test_pip_where_there_is_no_uv(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installers, "uv", lambda: None)
    (plain / "requirements.txt").write_text(f"{OFFLINE}tiny\n")
    (plain / "requirements-dev.txt").write_text(f"{OFFLINE}nothing\n")
    done = made(plain)
    assert done.fresh and "not installed: requirements-dev.txt" in done.notes
    assert python(plain, "import tiny; print(tiny.value)") == "7"
    assert not made(plain).fresh


def test_the_locked_environment(plain: Path) -> None:
    (plain / "pyproject.toml").write_text(
        textwrap.dedent("""
        [project]
        name = "wine"
        version = "1"
        requires-python = ">=3.8"
        dependencies = ["tiny"]
        [tool.uv]
        no-index = true
        find-links = ["wheels"]
        """)
    )
    assert projectenv.wanted(plain) == projectenv.Wanted(
        "pyproject.toml", "dependencies", "uv pip install its dependencies", (), ("tiny",)
    )
    uv = installers.uv()
    assert uv is not None
    run(uv, "lock", "--offline", "--quiet", cwd=plain)
    lock = (plain / "uv.lock").read_bytes()
    assert made(plain).fresh
    assert python(plain, "import tiny; print(tiny.value)") == "7"
    assert (plain / "uv.lock").read_bytes() == lock
    (plain / ".venv" / "mine.txt").write_text("")
    assert not made(plain).fresh and (plain / ".venv" / "mine.txt").exists()


@pytest.mark.parametrize(
    ("name", "hint"), [("environment.yml", "conda env create -f environment.yml"), ("poetry.lock", "poetry install")]
)
def test_environments_that_others_make(plain: Path, name: str, hint: str) -> None:
    (plain / name).write_text("")
    want = projectenv.wanted(plain)
    assert want is not None and (want.way, want.does) == ("by hand", hint)
    with pytest.raises(Refused, match="not for uv or pip"):
        made(plain)


def test_what_cannot_be_installed_is_told_and_made_anew(plain: Path) -> None:
    (plain / "requirements.txt").write_text(f"{OFFLINE}there-is-no-such-package==9\n")
    with pytest.raises(LedgerError, match=r"could not make the environment.*there-is-no-such-package"):
        made(plain)
    (plain / ".venv" / "torn").write_text("")
    (plain / "requirements.txt").write_text(f"{OFFLINE}tiny\n")
    assert made(plain).fresh
    assert not (plain / ".venv" / "torn").exists(), "what a killed call left is made anew"


def test_a_persons_own_environment_is_filled_and_a_link_is_not_followed(plain: Path, tmp_path: Path) -> None:
    (plain / "requirements.txt").write_text(f"{OFFLINE}tiny\n")
    uv = installers.uv()
    assert uv is not None
    run(uv, "venv", "--quiet", "--python", sys.executable, str(plain / ".venv"), cwd=plain)
    (plain / ".venv" / "mine.txt").write_text("")
    made(plain)
    assert (plain / ".venv" / "mine.txt").exists() and python(plain, "import tiny") == ""
    shutil.rmtree(plain / ".venv")
    (tmp_path / "outside").mkdir()
    (plain / ".venv").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused, match="is a link"):
        made(plain)
    assert os.listdir(tmp_path / "outside") == []


def test_no_option_is_a_dependency(plain: Path) -> None:
    (plain / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["--index-url=http://127.0.0.1:9"]\n'
    )
    with pytest.raises(Refused, match="is an option"):
        made(plain)
    (plain / "pyproject.toml").write_text("[project")
    with pytest.raises(LedgerError, match="not valid TOML"):
        projectenv.wanted(plain)
    (plain / "pyproject.toml").write_text("[tool.ruff]\n")
    assert projectenv.wanted(plain) is None


# ── the tracking server, and other faces ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db", auth=("admin", "a password of twelve")) as started:
        yield started


def test_the_login_of_the_tracking_server(
    server: Server, bare: Path, project: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(find(project), tracking_uri=server.uri)
    pushed(project, tmp_path)
    without = joined(bare, "--trust", "--no-env", "--no-data")
    assert states(without)["tracking"] == "open" and without.code == 1
    assert "did not let you in: none of its variables is set" in without.text
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in without.text
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another password")
    wrong = joined(bare, "--trust", "--no-env", "--no-data")
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are set" in wrong.text
    assert "another password" not in wrong.text
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a password of twelve")
    right = joined(bare, "--trust", "--no-env", "--no-data")
    assert right.code == 0 and re.search(
        r"tracking +http://127\.0\.0\.1:\d+: 1 experiment, login by MLFLOW", right.text
    )
    assert find(elsewhere / "wine").experiment == find(project).experiment == "project"  # not the folder's name
    assert "this folder's name" not in right.text
    settings = elsewhere / "wine" / ".nbledger.toml"
    settings.write_text(f'tracking_uri = "{server.uri}"\n')
    assert "experiment wine, this folder's name" in joined(bare, "--trust", "--no-env", "--no-data").text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (elsewhere / "wine" / ".nbledger.toml").unlink()
    away = joined(bare, "--trust", "--no-env", "--no-data")
    assert states(away)["tracking"] == "failed" and away.code == 3 and "does not answer" in away.text


def test_in_a_notebook(bare: Path, elsewhere: Path) -> None:
    """There is nobody to ask: what needs trust is left open, and --trust does it."""
    steps: list[str] = []
    face = Face(start_keeper=True, progress=lambda done, total, text: steps.append(f"{done}/{total} {text}"))
    answer = joined(bare, "--no-env", face=face)
    assert answer.code == 1 and states(answer)["data"] == "open"
    assert steps[0].startswith("0/5 asking") and steps[-1] == "4/5 Git"
    assert joined(bare, "--no-env", "--trust", face=face).code == 0


def test_the_plain_answer_names_what_waits() -> None:
    steps = (
        join.Step("code", "ready", "cloned: main at 0123456789"),
        join.Step(
            "environment", "left out", "requirements.txt not installed (--no-env)", "pip install -r requirements.txt"
        ),
        join.Step("data", "failed", "dvc pull: the remote did not answer", "check the network", 3),
    )
    done = join.Joined("/w", "https://x/w", "main", "0" * 40, steps, ("cd /w", "nbledger status"))
    assert done.code == 3
    assert command.told(done).splitlines() == [
        "/w",
        "✓ code         cloned: main at 0123456789",
        "– environment  requirements.txt not installed (--no-env)",
        "               → pip install -r requirements.txt",
        "✗ data         dvc pull: the remote did not answer",
        "               → check the network",
        "next:",
        "  cd /w",
        "  nbledger status",
    ]
    page = display.Shown(Answer(done, command.told(done), done.code))._repr_html_()
    assert page.count("<tr>") == 3 and '<span class="bad" title="failed">✗</span>' in page
    assert "check the network" in page and "<code>nbledger status</code>" in page


def test_two_at_once_in_one_folder(bare: Path, elsewhere: Path) -> None:
    words = [sys.executable, "-m", "nbledger.cli", "join", str(bare), "w", "--trust", "--no-env"]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=elsewhere) for _ in range(2)]
    said = [process.communicate(timeout=120)[1].decode() for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, said
    assert joined(bare, "w", "--trust", "--no-env").code == 0
    root = elsewhere / "w"
    assert git(root, "status", "--porcelain") == "" and git(root, "fsck") == ""


def test_another_join_is_told(bare: Path, elsewhere: Path) -> None:
    place = elsewhere / "w"
    (place / ".git" / "nbledger").mkdir(parents=True)
    with cloning._alone(place), pytest.raises(LedgerError, match="another join"):
        joined(bare, "w")
    assert (place / ".git" / "nbledger").exists()
