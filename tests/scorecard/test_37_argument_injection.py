"""Words such as `--output=…`, `--upload-pack=…`, `ext::sh -c …`, `-c core.x=y`, `@{…}`, and names with line ends are given to every
argument and option of every verb, and are planted where nbledger reads names that others wrote: run names, tags that
should hold a commit, branches, remotes, the outputs of `.dvc` files, lines of an environment's record. In a trusted project, so
that nothing else stops them: a canary program, and files that Git's options would write, must be absent; an answer or a refusal
in one line is right, anything else is not. The plain way is a script that hands a run's tag to `git show`, and a remote's name
to `git fetch`, as GitPython does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from conftest import commit_all, git, isolated_environment, short_folder
from nbledger.commands.answer import Face
from nbledger.commands.tree import ledger, run
from nbledger.core import git as door
from nbledger.core import gitlog, rebuild, trust
from nbledger.core.errors import LedgerError
from nbledger.core.project import find
from nbledger.keeper import calls
from scorecard.conftest import FULL

WAITS = {"run", "init", "trust", "reproduce", "gc"}
"""Verbs that have their words in tests below, or whose deed is not to be done by chance."""


def words(place: Path) -> list[str]:
    canary, written = place / "canary", place / "written"
    return [
        f"--output={written}",
        f"--upload-pack=touch {canary}",
        f"ext::sh -c 'touch {canary}'",
        f"-c core.fsmonitor='touch {canary}'",
        f"-ccore.pager=touch {canary}",
        f"--exec=touch {canary}",
        f"-u touch {canary}",
        f"--config-env=core.sshCommand={canary}",
        f"a\n--output={written}",
        f"HEAD\n--output={written}",
        "@{-1}",
        f"@{{--output={written}}}",
        f":(attr:x)--output={written}",
        f"HEAD:--output={written}",
        f"$(touch {canary})",
        f"`touch {canary}`",
        f"|touch {canary}",
        f"refs/heads/--output={written}",
        f"--receive-pack=touch {canary}",
        f"--git-dir={place}",
        "-",
        "--",
    ]


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


@pytest.fixture(scope="module")
def stored(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """(a trusted project whose runs carry hostile names and tags, the folder in which canaries would appear)."""
    import shutil

    base, runtime = tmp_path_factory.mktemp("inject"), short_folder()
    place = base / "place"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in isolated_environment(tmp_path_factory.mktemp("home"), runtime).items():
            patch.setenv(name, value)
        root = base / "project"
        shutil.copytree(_template, root, symlinks=True)
        (root / "a.py").write_text("1\n")
        (root / "data.csv").write_text("1\n")
        commit_all(root)
        patch.chdir(root)
        project = find(root)
        trust.trust(project)
        _plant(root, place)
        yield root, place
    shutil.rmtree(runtime, ignore_errors=True)


def _plant(root: Path, place: Path) -> None:
    from nbledger.core import mlflow

    project = find(root)
    api: Any = mlflow.client(project)
    for number, word in enumerate(words(place)):
        experiment = api.get_experiment_by_name("x")
        identity = experiment.experiment_id if experiment else api.create_experiment("x")
        tags = {
            "nbledger.snapshot": word,
            "mlflow.source.git.commit": word,
            "mlflow.source.name": word,
            "mlflow.source.git.branch": word,
        }
        one = api.create_run(identity, run_name=f"run-{number}", tags=tags)
        api.set_terminated(one.info.run_id)


@pytest.fixture
def place(stored: tuple[Path, Path], isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(stored[0])
    trust.trust(find(stored[0]))
    return stored[1]


def answered(args: list[str]) -> str:
    """What became of a command: an answer, or the kind of refusal. Anything else fails the test."""
    refused: LedgerError | None = None
    try:
        run(args, Face())
    except LedgerError as err:
        refused = err
    assert refused is None or "\n" not in str(refused), args
    return "answered" if refused is None else type(refused).__name__


def invocations(command: click.Command, name: str, word: str) -> Iterator[list[str]]:
    """The command with ``word`` in each place that takes a text, in turn."""
    needed = [p for p in command.params if isinstance(p, click.Argument) and p.required]
    required = [x for p in command.params if isinstance(p, click.Option) and p.required for x in (p.opts[0], "x")]
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    if arguments:
        yield [name, *required, "--", word, *(["a.py"] * (len(needed) - 1))]
        yield [name, *required, word]
    for option in command.params:
        if (
            isinstance(option, click.Option)
            and not option.is_flag
            and option.opts[0] not in ("--limit", "-n", "--times")
        ):
            yield [name, *required, f"{option.opts[-1]}={word}", *(["a.py"] * len(needed))]


def test_words_of_every_verb(place: Path, seen: Callable[[str], None]) -> None:
    chosen = words(place)[:: 1 if FULL else 7]
    verbs = sorted(set(ledger.commands) - WAITS)
    calls = [args for name in verbs for word in chosen for args in invocations(ledger.commands[name], name, word)]
    done = [answered(args) for args in calls]
    assert left(place) == []
    seen(
        f"{len(done)} calls of {len({args[0] for args in calls})} verbs, {done.count('answered')} answered, 0 canaries"
    )


def test_what_runs_carry(place: Path, seen: Callable[[str], None]) -> None:
    """A run whose commit, branch or notebook is an option."""
    project, done = find(Path.cwd()), 0
    step = 1 if FULL else 6
    for number in range(0, len(words(place)), step):
        name = f"run-{number}"
        asked: list[tuple[str, dict[str, Any]]] = [
            (call, {"run": name}) for call in ("show", "record", "detail", "notebook")
        ]
        asked += [("compare", {"names": [name, "HEAD"]}), ("markdown", {"names": [name, "run-0"]})]
        for call, args in asked:
            done += 1
            try:
                calls.perform(project, call, args)
            except LedgerError:
                continue
        answered(["reproduce", "--restore-only", name])
    assert left(place) == []
    seen(f"{done} calls on runs with such tags, 0 canaries")


def test_every_function_of_the_door(place: Path) -> None:
    """What takes a commit or a ref takes a full id or the name of a ref, whoever calls it."""
    repo = find(Path.cwd()).git
    assert repo is not None
    head = door.head(repo).commit or ""
    for word in words(place):
        assert not door.has_commit(repo, word)
        assert door.read_blob(repo, word) is None or word.startswith(":")
        assert not door.fetch_run(repo, "a" * 32, word)
        assert not door.fetch_run(repo, word, head)
        for ask in (
            lambda w: door.tree_blobs(repo, w, ["a.py"]),
            lambda w: door.objects_at(repo, w, ["a.py"]),
            lambda w: door.whole_tree(repo, w),
            lambda w: door.update_ref(repo, w.removeprefix("refs/heads/"), head),
            lambda w: door.update_ref(repo, "refs/heads/x", w),
            lambda w: door.commit_tree(repo, w, [], "x", ledger=True),
            lambda w: gitlog.size_of(repo, w, "a.py"),
            lambda w: gitlog.changed_paths(repo, w, head),
            lambda w: gitlog.count(repo, head, w),
            lambda w: gitlog.subjects(repo, None, w, 3),
            lambda w: gitlog.is_ancestor(repo, w, head),
        ):
            with pytest.raises(LedgerError):
                ask(word)
        found = door.commit_named(repo, word)
        assert found is None or len(found) == 40
        assert door.tracked(repo, [word]) == set()
        assert gitlog.commits_of(repo, word, 3) == []
    assert left(place) == []


def test_branches_and_remotes(project: Path, tmp_path: Path) -> None:
    """Names that Git itself would not make, written into its files."""
    place = tmp_path / "place"
    place.mkdir()
    commit_all(project)
    trust.trust(find(project))
    evil = f"--upload-pack=touch {place}/canary"
    with open(project / ".git" / "config", "a") as file:
        file.write(f'[remote "{evil}"]\n\turl = {tmp_path}/none.git\n\tfetch = +refs/heads/*:refs/remotes/x/*\n')
        file.write(f'[branch "main"]\n\tremote = "{evil}"\n\tmerge = "refs/heads/x --output={place}/written"\n')
    for args in (["push"], ["push", "--dry-run"], ["pull"], ["pull", "--dry-run"], ["status"]):
        answered(args)
    (project / ".git" / "HEAD").write_text(f"ref: refs/heads/--output={place}/written\n")
    for args in (["status"], ["checkpoint", "-m", "x"], ["pull"], ["push"]):
        answered(args)
    git_url = project / ".git" / "config"
    text = git_url.read_text().replace(f"{tmp_path}/none.git", f"ext::sh -c 'touch {place}/canary'")
    git_url.write_text(text + '[protocol "ext"]\n\tallow = always\n')
    (project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for args in (["push"], ["pull"]):
        answered(args)
    (project / "x.dvc").write_text(f"outs:\n- md5: {'1' * 32}\n  path: --output={place}/written\n")
    for args in (["status"], ["pull"]):
        answered(args)
    assert left(place) == []


def test_lines_of_a_recorded_environment(tmp_path: Path) -> None:
    missing: list[Any] = []
    lines = [
        "--index-url http://127.0.0.1:9/x",
        "-r /etc/passwd",
        "-e --index-url=x",
        "numpy==1 --global-option=x",
        "six==1.17.0",
    ]
    wanted, local = rebuild._requirements("\n".join(lines), missing)
    assert wanted == ["six==1.17.0"]
    assert local == []
    assert len(missing) == 4


def test_plain_scripts(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    (project / "a.py").write_text("1\n")
    commit_all(project)
    git(project, "remote", "add", "origin", str(project))
    place = tmp_path / "place"
    place.mkdir()
    (place / "evil").write_text(f'#!/bin/sh\ntouch {place}/canary\nexec git-upload-pack "$@"\n')
    (place / "evil").chmod(0o755)
    tag, remote = f"--output={place}/written", f"--upload-pack={place}/evil"
    script = f"import git; r = git.Repo({str(project)!r}); r.git.show({tag!r}); r.git.fetch({remote!r}, 'origin')"
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, cwd=tmp_path)
    found = [name for name in left(place) if name != "evil"]
    plain(not found, f"left behind by `git show TAG` and `git fetch NAME`: {', '.join(found) or 'nothing'}")
