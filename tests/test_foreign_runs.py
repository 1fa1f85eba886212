"""Runs that nbledger did not make, in the table and wherever else a run is shown: what nobody recorded is said to be unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import git, isolated_environment, make_repository, short_folder
from forked import shared
from ledger import client, uri
from nbledger.commands import tree
from nbledger.commands.answer import Face
from nbledger.core import mlflow_tables, runs
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.records import plain
from nbledger.keeper import calls, publish, recorder
from nbledger.keeper.recorder import Plan

SCRIPT = """\
import os
import sys

import mlflow

alpha = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
power = 2
with mlflow.start_run(run_name=None if "MLFLOW_RUN_ID" in os.environ else f"script-{power}"):
    mlflow.log_param("alpha", alpha)
    mlflow.log_metric("loss", alpha**power)
    with mlflow.start_run(run_name="fold", nested=True):
        mlflow.log_metric("loss", 0.5)
"""
PROJECT = "name: ours\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.1}\n    command: python train.py {alpha}\n"
RUN_SCRIPT = "import runpy, sys; sys.argv = ['train.py']; runpy.run_path('train.py', run_name='__main__')"
RUN_PROJECT = "import mlflow; mlflow.projects.run('.', env_manager='local', parameters={'alpha': 0.3}, run_name='ours')"


def notebook(*sources: str) -> str:
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for n, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store has runs of every kind; Ada made one of them with nbledger."""
    runtime = short_folder()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in isolated_environment(tmp_path_factory.mktemp("home"), runtime).items():
            patch.setenv(name, value)
        root = make_repository(tmp_path_factory.mktemp("foreign") / "project")
        patch.chdir(root)
        (root / ".nbledger.toml").write_text("keeper = false\nexperiment = 'ours'\n")
        (root / "src").mkdir()
        (root / "src/train.py").write_text(SCRIPT)
        (root / "src/MLproject").write_text(PROJECT)
        (root / "work.ipynb").write_text(notebook("rate = 1", "total = rate * 2"))
        commits = [_committed(root)]
        _recorded(root)
        patch.setenv("MLFLOW_TRACKING_URI", uri(root))
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
        _ran(root, RUN_SCRIPT)
        _ran(root, RUN_PROJECT)
        (root / "src/train.py").write_text(SCRIPT.replace("power = 2", "power = 3"))
        (root / "work.ipynb").write_text(notebook("rate = 7", "total = rate * 2"))
        commits.append(_committed(root))
        _ran(root, RUN_SCRIPT)
        _by_clients(root, commits)
    shutil.rmtree(runtime, ignore_errors=True)
    return root


def _committed(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a state")
    return git(root, "rev-parse", "HEAD")


def _ran(root: Path, code: str) -> None:
    """A run of plain MLflow, which finds out about Git by itself."""
    ended = shared().run(code, root / "src")
    assert ended.code == 0, ended.out


def _recorded(root: Path) -> None:
    recording = recorder.start(find(root), Plan(name="with", params={"alpha": "0.5"}, notebook="work.ipynb"))
    recording.log(0, {"loss": 0.25})
    recording.outcome("FINISHED")
    recording.end()
    assert publish.flush(find(root)) == (0, [])


def _by_clients(root: Path, commits: list[str]) -> None:
    """Runs of other clients: of Papermill with tags, of a kernel, of Java (which knows a user but no tag), of nobody."""
    api = client(uri(root))
    ours = api.get_experiment_by_name("ours").experiment_id
    for number, commit in enumerate([*commits, "f" * 40], 1):
        tags = {"mlflow.source.name": "work.ipynb", "mlflow.source.type": "NOTEBOOK", "mlflow.user": "ben"}
        _ended(api, ours, f"book-{number}", {**tags, "mlflow.source.git.commit": commit}, loss=0.25)
    launcher = "/usr/lib/python3.11/site-packages/ipykernel_launcher.py"
    _ended(api, ours, "kernel", {"mlflow.source.name": launcher, "mlflow.source.type": "LOCAL", "mlflow.user": "root"})
    store = api._tracking_client.store
    run = store.create_run(ours, "grace", 1_700_000_000_000, [], "java")
    api.set_terminated(run.info.run_id)
    _ended(api, ours, "nobody", {})
    gone = api.create_experiment("gone")
    (root / ".nbledger/orphan").write_text(_ended(api, gone, "orphan", {}))
    api.delete_experiment(gone)


def _ended(api: Any, experiment: str, name: str, tags: dict[str, str], **metrics: float) -> str:
    run = api.create_run(experiment, run_name=name, tags=tags).info.run_id
    for key, value in metrics.items():
        api.log_metric(run, key, value)
    api.set_terminated(run)
    return str(run)


@pytest.fixture
def root(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def ledger(*words: str) -> tuple[Any, str, int]:
    """(what ``--json`` prints, the plain text, the exit code)"""
    answer = tree.run(words, Face())
    assert answer is not None
    return plain(answer.data), answer.text, answer.code


def row(name: str) -> dict[str, Any]:
    (found,) = [one for one in ledger("runs", "-n", "100")[0] if one["name"] == name]
    return dict(found)


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "origin", "user", "source"),
    [
        ("with", "nbledger", "Ada Tester <ada@example.org>", "work.ipynb"),
        ("script-3", "script", None, "train.py"),
        ("ours", "project", None, "src"),
        ("book-1", "notebook", "ben", "work.ipynb"),
        ("kernel", "notebook", "root", None),
        ("java", "unknown", "grace", None),
        ("nobody", "unknown", None, None),
    ],
)
def test_a_row_says_who_and_what_made_it(
    root: Path, name: str, origin: str, user: str | None, source: str | None
) -> None:
    import getpass

    found = row(name)
    assert found["origin"] == origin
    assert found["user"] == (user or (getpass.getuser() if origin in ("script", "project") else None))
    assert (found["notebook"] or "").endswith(source or "")
    assert (found["notebook"] is None) == (source is None)
    assert found["dirty"] is (False if name == "with" else None)
    assert bool(found["commit"]) == (name not in ("kernel", "java", "nobody"))


def test_plain_mlflow_and_the_tables_say_the_same(root: Path) -> None:
    here = find(root)
    tables = mlflow_tables.opened(here.tracking_uri, None)
    assert tables is not None
    by_tables = {one.row.run_id: one.row for one in tables.read(tables.ids())}
    tables.close()
    by_api = {one.run_id: one for one in runs._from_mlflow(here, "", "", 1000, None)}
    assert by_tables == by_api and len(by_api) == 13


def test_the_table_marks_what_nobody_recorded(root: Path) -> None:
    _, text, _ = ledger("runs", "-n", "100")
    lines = {line.split()[1]: line for line in text.splitlines()[2:] if len(line.split()) > 3}
    head = text.splitlines()[0]
    assert "user" in head and "orphan" not in text
    assert lines["nobody"].endswith("?") and " ? " in lines["nobody"]
    assert lines["book-1"].endswith(f"{row('book-1')['commit'][:8]}?")
    assert lines["with"].endswith(row("with")["commit"][:8]) and "Ada Tester" in lines["with"]
    assert "? not known: 12 runs were not recorded by nbledger, but by plain MLflow" in text
    from nbledger_magics.display import Shown

    answer = tree.run(["runs", "-n", "100"], Face())
    assert answer is not None
    assert 'title="not known">?</td>' in Shown(answer)._repr_html_()


def test_mine_and_somebody_elses(root: Path) -> None:
    names = lambda *words: [one["name"] for one in ledger("runs", *words)[0]]  # noqa: E731
    assert names("--mine") == ["with"]
    assert names("--user", "tester ada") == ["with"]
    assert names("--user", "ben") == ["book-3", "book-2", "book-1"]
    assert names("--user", "BEN", "metrics.loss > 0.1", "--sort", "+start", "-n", "2") == ["book-1", "book-2"]
    assert names("--user", "grace") == ["java"]
    assert ledger("runs", "--user", "ben", "with")[1] == "no run of ben matches with"
    assert ledger("show", "@mine")[0]["name"] == "with"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--user", "bem"], "no run is of 'bem'"),
        (["--mine", "--user", "ben"], "different runs"),
        (["--user", " "], "--user needs a name"),
        (["--parent", "script-3", "--mine"], "whoever made them"),
    ],
)
def test_what_asks_for_nobody_is_refused(root: Path, words: list[str], said: str) -> None:
    from nbledger.core.errors import UsageError

    with pytest.raises(UsageError, match=said):
        ledger("runs", *words)


def test_mine_of_a_person_without_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "cleo@example.org")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Cleo")
    assert ledger("runs", "--mine")[1] == "no run of Cleo <cleo@example.org>"


# ── one run ──────────────────────────────────────────────────────────────────────────────────────────────


def test_show_says_what_is_not_known(root: Path) -> None:
    _, text, _ = ledger("show", "script-3")
    assert "recorded by  plain MLflow in a script" in text
    assert f"{row('script-3')['commit']} (changes are not known)" in text
    assert "not known" in text and "files read" in text
    assert "not known: no commit was noted" in ledger("show", "nobody")[1]
    orphan = ledger("show", (root / ".nbledger/orphan").read_text())[1]
    assert "another MLflow client" in orphan and "gone" in orphan
    _, text, _ = ledger("show", "with")
    assert "Ada Tester <ada@example.org>" in text and "recorded by" not in text


def test_the_page_of_a_run(root: Path) -> None:
    found = calls.encode(calls.perform(find(root), "detail", {"run": "ours"}))
    assert found["run"]["origin"] == "project"
    assert found["lacking"] == [
        "cells, environment, inputs and outputs are not known: nbledger did not record this run"
    ]


def test_the_notebook_is_that_of_the_commit_if_it_is_here(root: Path) -> None:
    shown = calls.perform(find(root), "notebook", {"run": "book-1"})
    assert (shown.kind, [c["source"] for c in shown.notebook["cells"]]) == (
        "snapshot",
        ["rate = 1", "total = rate * 2"],
    )
    assert "which MLflow noted" in shown.note and "not known" in shown.note
    for name, why in (
        ("book-3", "is not in this clone"),
        ("nobody", "noted no commit"),
        ("script-3", "src/train.py at the commit"),
    ):
        with pytest.raises(Refused, match=f"the run {name} has no notebook") as refused:
            calls.perform(find(root), "notebook", {"run": name})
        assert why in refused.value.hint


def test_notebooks_of_two_commits_are_compared(root: Path) -> None:
    found = calls.perform(find(root), "compare_notebooks", {"a": "book-1", "b": "book-2"})
    assert found.note.count("which MLflow noted") == 2
    assert len(found.diff) == 1


# ── compared ─────────────────────────────────────────────────────────────────────────────────────────────


def test_scripts_are_compared_by_their_commits(root: Path) -> None:
    found, text, _ = ledger("compare", "script-2", "script-3")
    (change,) = found["code"]
    assert (change["kind"], change["where"], change["effect"]) == ("module", "src/train.py", "literals")
    assert "+power = 3" in change["diff"]
    assert not [c for c in found["causes"] if c["kind"] not in ("code", "parameter")]
    assert text.count("may not be what ran") == 2
    assert found["runs"][0]["unknown"] == ["data", "environment", "seed"]


def test_a_project_is_compared_by_the_file_of_its_entry_point(root: Path) -> None:
    found, _, _ = ledger("compare", "ours", "script-3")
    assert [change["where"] for change in found["code"]] == ["src/train.py"]
    assert found["params"]["alpha"] == ["0.3", "0.5"]


def test_nothing_is_said_of_what_is_not_known(root: Path) -> None:
    found, text, _ = ledger("compare", "with", "nobody")
    assert not found["data"] and not found["code"] and not found["environment"] and not found["seeds"]
    assert "code, data and environment are unknown" in text
    found, text, _ = ledger("compare", "with", "book-3")
    assert found["equal"] is True
    assert "the metrics are the same" in text
    assert "nothing that was recorded differs" not in text
    found, text, _ = ledger("compare", "with", "book-1", "nobody", "script-3")
    assert [one["unknown"] for one in found["runs"]][2] == ["code", "data", "environment", "seed"]


# ── executed again ───────────────────────────────────────────────────────────────────────────────────────


def test_a_reproduction_says_what_is_missing(root: Path, tmp_path: Path) -> None:
    from nbledger.core import trust

    trust.trust(find(root))
    missing = {}
    for name in ("script-3", "ours", "book-3", "nobody"):
        found, text, code = ledger("reproduce", name)
        assert (found["verdict"], code) == ("not-restorable", 1), text
        missing[name] = [f"{one['what']}: {one['why']} — {one['hint']}" for one in found["missing"]]
        assert {"the packages", "the files that it read"} <= {one["what"] for one in found["missing"]}
        assert "nbledger.verdict" not in row(name)["tags"]
    assert "--restore-only brings src/train.py back" in missing["script-3"][0]
    assert "mlflow run" in missing["ours"][0] and "-P alpha=0.3" in missing["ours"][0]
    assert "a commit that this clone does not have" in missing["book-3"][0]
    assert "noted no commit" in missing["nobody"][0]
    _, text, code = ledger("reproduce", "script-2", "--restore-only", "--into", str(tmp_path / "there"))
    assert code == 0, text
    assert "power = 2" in (tmp_path / "there/src/train.py").read_text()
    assert "changes to the code" in text
    git(root, "worktree", "remove", "--force", str(tmp_path / "there"))
