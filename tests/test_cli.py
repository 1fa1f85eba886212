"""Bad input and broken surroundings on the command line: one clear line, the promised exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from conftest import commit_all, git
from faults import Done, on_disk
from nbledger.commands import sections, tree
from nbledger.core.project import find
from nbledger.keeper import recorder
from snap import Snap, check_same

VERBS: dict[str, tuple[str, ...]] = {
    "init": ("init",),
    "track": ("track", "data.csv"),
    "runs": ("runs",),
    "status": ("status",),
    "checkpoint": ("checkpoint", "-m", "message"),
    "doctor": ("doctor",),
    "flush": ("flush",),
}
WRITING = ("init", "track", "checkpoint")


def cli(root: Path, *words: str, env: Mapping[str, str] | None = None) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *words],
        cwd=root,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def one_line(done: Done, code: int, *words: str) -> None:
    """The error is one line on standard error that says these words, and the exit code is as designed."""
    assert done.code == code, done
    assert done.out == "", done
    assert done.err.startswith("nbledger: ") and done.err.count("\n") == 1 and "Traceback" not in done.err, done
    for word in words:
        assert word in done.err, done


@pytest.fixture
def work(project: Path) -> Path:
    """A project with something for each verb to do: data, a changed notebook, a staged and an untracked file."""
    (project / "note.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n')
    (project / "code.py").write_text("x = 1\n")
    commit_all(project)
    (project / "data.csv").write_text("a,b\n1,2\n" * 20_000)
    (project / "note.ipynb").write_text('{"cells": [], "metadata": {"a": 1}, "nbformat": 4, "nbformat_minor": 5}\n')
    (project / "code.py").write_text("x = 2\n")
    git(project, "add", "code.py")
    (project / "new.py").write_text("y = 1\n")
    return project


def pending(root: Path, uri: str = "") -> None:
    """A finished run that waits in its journal."""
    recording = recorder.start(find(root), recorder.Plan(name="waits", params={"a": 1}))
    recording.log(0, {"loss": 0.5})
    recording.outcome("FINISHED")
    recording.end()


# ── wrong words ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", VERBS)
def test_misspelt_option(work: Path, verb: str) -> None:
    before = Snap.take(work)
    one_line(cli(work, *VERBS[verb], "--jsno"), 2, "--jsno", f"nbledger {verb} --help")
    check_same(before, Snap.take(work))
    assert not (work / ".nbledger").exists()


@pytest.mark.parametrize(
    ("typed", "meant"), [("statsu", "status"), ("trakc", "track"), ("rusn", "runs"), ("zzz", "there are: ")]
)
def test_misspelt_verb(work: Path, typed: str, meant: str) -> None:
    one_line(cli(work, typed), 2, typed, meant)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("track",), "PATHS"),
        (("checkpoint",), "--message"),
        (("checkpoint", "-m", "  "), "message is empty"),
        (("runs", "-n", "zero"), "zero"),
        (("runs", "-n", "0"), "0"),
        (("status", "surplus"), "surplus"),
        (("init", "--tracking-uri", "not-a-uri"), "not-a-uri"),
        (("init", "--tracking-uri", "http://u:secret@h/"), "password"),
        (("--jsno",), "--jsno"),
        (("track", "no such.csv"), "no such.csv"),
        (("track", "data.csv", "no such.csv"), "no such.csv"),
        (("checkpoint", "-m", "m", "missing.ipynb"), "missing.ipynb"),
        (("checkpoint", "-m", "m", "/etc/hostname"), "outside"),
        (("runs", "-e", "no such experiment"), "no such experiment"),
        (("runs", "metrics.a >>> 1"), "not understood"),
    ],
)
def test_wrong_words(work: Path, words: tuple[str, ...], said: str) -> None:
    before = Snap.take(work)
    done = cli(work, *words)
    one_line(done, 2, said)
    assert "secret" not in done.err
    check_same(before, Snap.take(work))


def test_track_refuses_what_is_outside(work: Path) -> None:
    before = Snap.take(work)
    one_line(cli(work, "track", "/etc/hostname"), 3, "outside this project", "import-url")
    check_same(before, Snap.take(work))


def test_no_words_is_help() -> None:
    done = cli(Path.cwd())
    assert done.code == 2 and "Usage: nbledger" in done.out


def test_help_and_version_are_done(work: Path) -> None:
    assert cli(work, "--help").code == 0
    assert cli(work, "track", "-h").code == 0
    assert "version" in cli(work, "--version").out


def test_debug_shows_the_traceback_wherever_it_stands(work: Path) -> None:
    for words in (("--debug", "track", "missing"), ("track", "missing", "--debug")):
        done = cli(work, *words)
        assert done.code == 1 and "Traceback" in done.err and "UsageError" in done.err, done


def test_errors_as_json(work: Path) -> None:
    for words, code in (
        (("track", "missing", "--json"), 2),
        (("runs", "--json", "--oops"), 2),
        (("statsu", "--json"), 2),
    ):
        done = cli(work, *words)
        assert done.code == code and done.out == ""
        error = json.loads(done.err)
        assert set(error) == {"error", "hint", "code"}
        assert error["code"] == code and error["error"] and isinstance(error["hint"], str)


# ── broken surroundings ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", VERBS)
def test_no_git_identity(work: Path, verb: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[user]\n\tuseConfigOnly = true\n")
    before = Snap.take(work)
    done = cli(work, *VERBS[verb], env={"GIT_CONFIG_GLOBAL": str(config), "EMAIL": ""})
    if verb in WRITING:
        one_line(done, 3, "Git does not know who you are", "git config --global user.name")
        assert not (work / "data.csv.dvc").exists()
    elif verb == "doctor":
        assert done.code == 1 and "Git does not know who you are" in done.out
    else:
        assert done.code == 0, done
    check_same(before, Snap.take(work))


def test_init_without_identity_makes_nothing_and_then_completes(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[user]\n\tuseConfigOnly = true\n")
    one_line(cli(folder, "init", env={"GIT_CONFIG_GLOBAL": str(config)}), 3, "who you are")
    assert list(folder.iterdir()) == []
    done = cli(folder, "init")
    assert done.code == 0, done
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "ls-files").split() == [".dvc/.gitignore", ".dvc/config", ".dvcignore"]
    again = cli(folder, "init")
    assert again.code == 0 and again.out == "everything was there already\n"


def test_init_whose_commit_failed_commits_the_next_time(folder: Path) -> None:
    git(folder, "init", "-q")
    hook = folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no commits today >&2\nexit 1\n")
    hook.chmod(0o755)
    one_line(cli(folder, "init"), 3, "no commits today")
    hook.unlink()
    assert cli(folder, "init").code == 0
    assert git(folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("verb", VERBS)
def test_no_git_executable(work: Path, verb: str, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    before = Snap.take(work)
    done = cli(work, *VERBS[verb], env={"PATH": str(empty)})
    if verb == "doctor":
        assert done.code == 1 and "the git command was not found" in done.out, done
    elif verb in ("runs", "flush"):
        assert done.code == 0, done
    else:
        one_line(done, 3, "git command was not found", "install Git")
    check_same(before, Snap.take(work))


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (verb, words)
        for words in (b"outs:\n- md5: [\n", b"\xff\xfe\0", b"outs: 7\n", b"- a\n", b"")
        for verb in VERBS
        if words.startswith(b"outs:\n") or verb in ("track", "status", "doctor")
    ],
)
def test_corrupt_pointer(work: Path, verb: str, words: bytes) -> None:
    (work / "old.csv.dvc").write_bytes(words)
    commit_all(work)
    (work / "note.ipynb").write_text("{}\n")
    (work / "data2.csv").write_text("1\n")
    before = Snap.take(work)
    done = cli(work, *(("track", "old.csv.dvc") if verb == "track" else VERBS[verb]))
    assert "Traceback" not in done.err
    if verb == "doctor":
        assert done.code == 1 and "old.csv.dvc" in done.out, done
    elif verb == "status":
        assert done.code == 0 and "old.csv.dvc" in done.out, done
    elif verb == "track":
        assert done.code in (2, 3) and done.err.count("\n") == 1 and "old.csv.dvc" in done.err, done
    else:
        assert done.code == 0, done
    if verb != "checkpoint":
        check_same(before, Snap.take(work))


@pytest.mark.parametrize("verb", VERBS)
def test_read_only(work: Path, verb: str) -> None:
    done = on_disk("ro", work, *VERBS[verb])
    assert done.moved == ()
    assert "Traceback" not in done.err
    if verb in (*WRITING, "runs"):
        one_line(done, 3, "ead-only")
        assert "another Git process" not in done.err
    elif verb == "doctor":
        assert done.code == 1 and "read-only" in done.out, done
    else:
        assert done.code == 0, done


def test_read_only_with_runs_waiting(work: Path) -> None:
    pending(work)
    done = on_disk("ro", work, "flush")
    assert done.code == 1 and "1 run waits" in done.out and "ead-only" in done.out, done


@pytest.mark.parametrize("verb", VERBS)
def test_full_disk(work: Path, verb: str) -> None:
    done = on_disk("full", work, *VERBS[verb])
    assert done.moved == (), done
    assert "Traceback" not in done.err
    if verb in ("track", "checkpoint", "runs"):
        one_line(done, 3)
        assert "No space left" in done.err or "full" in done.err or "disk" in done.err, done
        assert "another Git process" not in done.err
    else:
        assert done.code in (0, 1), done
        assert done.err == ""


def test_full_disk_at_init(folder: Path) -> None:
    (folder / "data.csv").write_text("1\n")
    done = on_disk("full", folder, "init")
    one_line(done, 3, "space")


def test_full_disk_with_runs_waiting(work: Path) -> None:
    pending(work)
    done = on_disk("full", work, "flush")
    assert done.code == 1 and "1 run waits" in done.out, done


@pytest.fixture
def silent() -> Iterator[str]:
    """The URI of a server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("verb", VERBS)
def test_tracking_server_that_answers_nothing(work: Path, verb: str, silent: str) -> None:
    (work / ".nbledger.toml").write_text(f'tracking_uri = "{silent}"\n')
    pending(work)
    begun = time.monotonic()
    done = cli(work, *VERBS[verb])
    assert time.monotonic() - begun < 60  # MLflow's own retries take minutes
    assert "Traceback" not in done.err
    if verb == "flush":
        assert done.code == 1 and "1 run waits" in done.out and "does not answer" in done.out, done
    elif verb == "doctor":
        assert done.code == 1 and "does not answer" in done.out, done
    elif verb == "status":
        assert done.code == 0 and "does not answer" in done.out and "1 waiting" in done.out, done
    elif verb == "runs":
        assert done.code == 0 and "waits" in done.out, done
    else:
        assert done.code == 0, done


def test_runs_of_a_silent_server_with_nothing_waiting(work: Path, silent: str) -> None:
    one_line(cli(work, "runs", env={"MLFLOW_TRACKING_URI": silent}), 3, silent, "does not answer")


@pytest.mark.parametrize(
    "uri", ["nonsense://x", "http://", "http://127.0.0.1:notaport", "sqlite:////nowhere/at/all.db"]
)
@pytest.mark.parametrize("verb", ["runs", "status", "doctor"])
def test_tracking_uri_that_makes_no_sense(work: Path, verb: str, uri: str) -> None:
    done = cli(work, *VERBS[verb], env={"MLFLOW_TRACKING_URI": uri})
    assert "Traceback" not in done.err and "should not have happened" not in done.err, done
    if verb == "runs":
        one_line(done, 3)
    else:
        assert done.code == (1 if verb == "doctor" else 0), done


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_shapes(work: Path) -> None:
    done = cli(work, "track", "data.csv", "--json")
    assert done.code == 0, done
    (tracked,) = json.loads(done.out)
    assert set(tracked) >= {"path", "md5", "size", "nfiles", "changed", "commit", "pushed"}
    assert (tracked["path"], tracked["size"], tracked["nfiles"]) == ("data.csv", 160_000, 1)
    assert tracked["commit"] == git(work, "rev-parse", "HEAD") and tracked["pushed"] is False

    status = json.loads(cli(work, "status", "--json").out)
    assert set(status) >= {"root", "clean", "code", "data", "pipeline", "tracking"}
    assert set(status["code"]) >= {"branch", "commit", "changed", "untracked", "ahead", "behind"}
    assert set(status["data"]) >= {"changed", "missing", "not_pushed", "untracked_inputs"}
    assert set(status["pipeline"]) >= {"stale"}
    assert set(status["tracking"]) >= {"uri", "experiment", "reachable", "pending"}
    assert status["root"] == str(work) and status["clean"] is False
    assert status["code"]["changed"] == ["code.py", "note.ipynb"]
    assert status["code"]["untracked"] == ["new.py"]

    assert json.loads(cli(work, "runs", "--json").out) == []
    pending(work)
    (run,) = json.loads(cli(work, "runs", "--json").out)
    assert set(run) >= {
        *("run_id", "name", "status", "experiment", "start", "end", "notebook", "commit", "snapshot", "dirty"),
        *("params", "metrics", "inputs", "tags"),
    }
    assert (run["name"], run["status"], run["params"], run["metrics"]) == (
        "waits",
        "FINISHED",
        {"a": "1"},
        {"loss": 0.5},
    )
    assert run["start"].endswith("Z") and run["start"] <= run["end"] and run["dirty"] is True
    assert git(work, "rev-parse", f"refs/nbledger/runs/{run['run_id']}") == run["commit"] == run["snapshot"]

    assert json.loads(cli(work, "flush", "--json").out) == {"left": 0, "reasons": []}
    made = json.loads(cli(work, "checkpoint", "-m", "m", "--json").out)
    assert made["commit"] == git(work, "rev-parse", "HEAD") and made["paths"] == ["note.ipynb"]
    assert set(made["left"]) == {"code.py", "new.py"}
    assert git(work, "diff", "--cached", "--name-only") == "code.py"
    assert {"severity", "text", "fix", "fixed"} <= set(json.loads(cli(work, "doctor", "--json").out)["findings"][0])


# ── anywhere ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_any_project(folder: Path) -> None:
    one_line(cli(folder, "track", "x"), 3, "init")
    one_line(cli(folder, "checkpoint", "-m", "m"), 3, "init")
    for words in (("status",), ("runs",), ("show",), ("compare", "a", "b"), ("reproduce", "a")):
        one_line(cli(folder, *words), 3, "there is no nbledger project in", "nbledger init")
    assert cli(folder, "doctor").code == 1
    assert cli(folder, "flush").code == 0
    assert list(folder.iterdir()) == []
    pending(folder)  # as %%mlrun leaves it, which needs no init
    assert "waits" in cli(folder, "runs").out
    status = cli(folder, "status")
    assert status.code == 0 and "no Git repository" in status.out


def test_a_working_directory_that_is_gone(folder: Path) -> None:
    doomed = folder / "doomed"
    doomed.mkdir()
    command = f"rmdir '{doomed}'; exec '{sys.executable}' -m nbledger.cli status"
    done = subprocess.run(["sh", "-c", command], cwd=doomed, capture_output=True, text=True, check=False)
    one_line(Done(done.returncode, done.stdout, done.stderr), 3, "working directory is gone")


def test_interrupted_just_before_something_was_awaited(tmp_path: Path) -> None:
    """Where Ctrl-C comes between a coroutine's making and its first step, Python warns of it at its end: not to the person."""
    program = """
import sys
from nbledger import cli
kept = []
async def begun(): pass
def interrupted(words):
    kept.append(begun())
    raise KeyboardInterrupt
cli._run = interrupted
sys.exit(cli.main([]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "nbledger: interrupted\n")


def test_from_a_subfolder_a_worktree_and_a_submodule(work: Path, tmp_path: Path) -> None:
    deep = work / "a b/c"
    deep.mkdir(parents=True)
    (deep / "data.csv").write_text("1\n")
    assert cli(deep, "track", "data.csv").code == 0
    assert (deep / "data.csv.dvc").exists()
    assert json.loads(cli(deep, "status", "--json").out)["root"] == str(work)
    made = json.loads(cli(deep, "checkpoint", "-m", "m", "--json").out)
    assert made["paths"] == ["note.ipynb"]

    linked = tmp_path / "linked"
    git(work, "worktree", "add", "-q", "-b", "side", str(linked))
    (linked / "more.csv").write_text("2\n")
    before = Snap.take(work)
    assert cli(linked, "track", "more.csv").code == 0
    assert json.loads(cli(linked, "status", "--json").out)["code"]["branch"] == "side"
    assert git(linked, "log", "-1", "--format=%D").startswith("HEAD -> side")
    after = Snap.take(work)
    assert (after.head, after.index, after.status) == (before.head, before.index, before.status)

    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    assert cli(inner, "init").code == 0
    git(work, "submodule", "--quiet", "add", str(inner), "sub")
    commit_all(work)
    sub = work / "sub"
    (sub / "d.csv").write_text("3\n")
    assert cli(sub, "track", "d.csv").code == 0
    assert json.loads(cli(sub, "status", "--json").out)["root"] == str(sub)
    assert git(work, "status", "--porcelain") == "M sub"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experimnt = 'x'", "did you mean experiment?"),
        ("zzz = 1", "known: "),
        ("keeper = 'yes'", "true or false"),
        ("snapshot_max_mb = -1", "a number"),
        ("snapshot_max_mb = true", "a number"),
        ("tracking_uri = ''", "a non-empty string"),
        ("ignore_inputs = 'x'", "a list of strings"),
        ("experiment = ", "not valid TOML"),
    ],
)
@pytest.mark.parametrize("where", [".nbledger.toml", "pyproject.toml"])
def test_settings_are_checked(work: Path, where: str, text: str, said: str) -> None:
    (work / where).write_text(text if where == ".nbledger.toml" else f"[tool.nbledger]\n{text}\n")
    one_line(cli(work, "status"), 2, where, said)


def test_a_closed_pipe_is_no_traceback(work: Path) -> None:
    command = f"'{sys.executable}' -m nbledger.cli --help | true; '{sys.executable}' -m nbledger.cli status | head -c 1"
    done = subprocess.run(["sh", "-c", command], cwd=work, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr


@pytest.mark.parametrize("words", [("approve",), ("deploy", "wine")], ids=lambda words: words[0])
def test_models_are_not_looked_for_where_there_is_no_project(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = cli(tmp_path, *words)
    assert done.code == 3
    assert "there is no nbledger project in" in done.err
    assert list(tmp_path.iterdir()) == []


def test_help_lists_each_verb_once(tmp_path: Path) -> None:
    shown = [name for names in sections.SECTIONS.values() for name in names]
    assert sorted(shown) == sorted(name for name, verb in tree.ledger.commands.items() if not verb.hidden)
    said = cli(tmp_path, "--help").out
    for name in shown:
        assert re.search(rf"^  {name} +[A-Z]", said, re.MULTILINE), name
    assert "..." not in said.partition("Options:")[2], "a sentence is cut off"
