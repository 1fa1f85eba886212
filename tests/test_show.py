"""A run is named by id, prefix, name or @last; a wrong name is answered with the nearest ones."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import git
from kernels import kernel
from ledger import run
from nbledger.commands import text, tree
from nbledger.commands.answer import Face
from nbledger.core import trust
from nbledger.core.errors import Unreachable, UsageError
from nbledger.core.project import find
from nbledger.core.records import RunRow
from nbledger.core.runs import REPRODUCES, resolve
from nbledger.keeper import calls, recorder
from nbledger.keeper.recorder import Plan


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_runs_are_named_in_every_way(project: Path) -> None:
    with kernel(project) as k:
        for depth, name in enumerate(("forest", "forest", "ridge"), 1):
            k.run(f"%%mlrun {name} -p depth={depth} -m v\nv = 0.5")
        assert "parameters" in k.run("%mlrun show ridge").shown
        wrong = k.run("%mlrun show rigde")
        assert wrong.status == "error" and "did you mean ridge?" in wrong.traceback
    found = run(project, "ridge")
    by_id = nbledger(project, "show", found.info.run_id, "--json")
    assert json.loads(by_id.stdout)["params"] == {"depth": "3"}
    for name in (found.info.run_id[:10], "ridge", "@last", "@last~0"):
        assert json.loads(nbledger(project, "show", name, "--json").stdout)["run_id"] == found.info.run_id
    for name, depth in (("forest", "2"), ("forest~0", "2"), ("forest~1", "1"), ("@last~2", "1")):
        assert json.loads(nbledger(project, "show", name, "--json").stdout)["params"] == {"depth": depth}, name
    far = nbledger(project, "show", "forest~2")
    assert far.returncode == 2 and "2 runs are called 'forest'" in far.stderr
    unknown = nbledger(project, "show", "@last~9")
    assert unknown.returncode == 2 and "3 runs are recorded" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1


def test_while_the_server_is_away_only_what_waits_here_is_shown_and_that_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for name in ("forest", "ridge"):
        recording = recorder.start(find(project), Plan(name=name))
        recording.outcome("FINISHED")
        recording.end()

    def asked(*words: str) -> tuple[list[str], str]:
        answer = tree.run(["runs", *words], Face())
        assert answer is not None
        return [row.name for row in answer.data], answer.text

    names, text = asked()
    assert sorted(names) == ["forest", "ridge"]
    assert "the tracking server does not answer: only runs that wait here" in text
    assert asked("rid", "--mine")[0] == ["ridge"]
    assert {row.user for row in tree.run(["runs"], Face()).data} == {"Ada Tester <ada@example.org>"}  # type: ignore[union-attr]
    for words in (["metrics.loss < 1"], ["--user", "ben"], ["no", "such"]):
        with pytest.raises(Unreachable):
            asked(*words)
    # a run that does not wait here may be on the server
    here, run_id = find(project), "7" * 32
    trust.trust(here)
    git(project, "update-ref", f"refs/nbledger/runs/{run_id}", "HEAD")
    away = r"127\.0\.0\.1:9 does not answer"
    for words in (
        ["show", "three"],
        ["show", run_id],
        ["reproduce", run_id],
        ["reproduce", run_id[:8]],
        ["reproduce", "x"],
    ):
        with pytest.raises(Unreachable, match=f"{away}, and no run that waits here is meant by '{words[1]}'"):
            tree.run(words, Face())
    with pytest.raises(Unreachable, match=f"{away}, and no run"):
        calls.perform(here, "promote_if", {"run": "three", "model": "m", "condition": "accuracy > 0.5"})
    with pytest.raises(Unreachable, match=away):
        tree.run(["compare", "three", "four"], Face())
    shown = tree.run(["show", "forest"], Face())
    assert shown is not None and shown.data.name == "forest"


def row(run_id: str, name: str, start: str, reproduces: str = "") -> RunRow:
    tags = {REPRODUCES: reproduces} if reproduces else {}
    return RunRow(run_id, name, "FINISHED", "e", start, None, None, None, None, dirty=None, tags=tags)


ROWS = [
    row("aaaa1" + "0" * 27, "forest", "2026-01-01"),
    row("aaaa2" + "0" * 27, "forest", "2026-01-02"),
    row("bbbb1" + "0" * 27, "forest", "2026-01-03", reproduces="aaaa1" + "0" * 27),
    row("cccc1" + "0" * 27, "odd~1", "2025-12-31"),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("forest", "aaaa2"),
        ("forest~1", "aaaa1"),
        ("@last", "aaaa2"),
        ("@last~1", "aaaa1"),
        ("@last~2", "cccc1"),
        ("bbbb", "bbbb1"),
        ("aaaa1", "aaaa1"),
        ("odd~1", "cccc1"),
    ],
)
def test_a_name_is_the_newest_run_of_that_name_and_no_reproduction(name: str, expected: str) -> None:
    assert resolve(ROWS, name).run_id.startswith(expected)


def test_mine_is_the_newest_of_one_person() -> None:
    users = ("Ada <ada@example.org>", "ben", "A. <ADA@example.org>", None)
    rows = [replace(one, user=user) for one, user in zip(ROWS, users, strict=True)]
    assert resolve(rows, "@mine", ["ada@example.org"]).run_id.startswith("aaaa1")  # the reproduction does not count
    assert resolve(rows, "@mine", ["ben"]).run_id.startswith("aaaa2")
    with pytest.raises(UsageError, match="no run @mine~1: 1 run is yours"):
        resolve(rows, "@mine~1", ["ben"])


def test_a_comparison_of_data_is_not_the_last_run_and_gives_no_columns() -> None:
    looked = replace(
        ROWS[0],
        run_id="d" * 32,
        name="drift wine",
        start="2026-02-01",
        tags={"nbledger.drift.verdict": "drift"},
        metrics={"p/x": 0.1, "distance/x": 0.2, "p/y": 0.3, "distance/y": 0.4, "drift.share": 1.0},
    )
    own = [replace(one, metrics={"accuracy": 0.9, "f1": 0.8}) for one in ROWS]
    rows = [*own, looked, replace(looked, run_id="e" * 32)]
    assert resolve(rows, "@last").run_id.startswith("aaaa2")
    assert resolve(rows, "drift wine").run_id[0] in "de"
    assert text.metric_columns(rows) == ["accuracy", "f1"]
    assert text.metric_columns(rows[-2:]) == ["p/x", "distance/x", "p/y", "distance/y"]
    assert "p/x" in text.runs(rows)  # counted among what is not shown


@pytest.mark.parametrize(
    ("name", "said"), [("aaaa", "means 2 runs"), ("aaa", "no run"), ("forest~2", "2 runs are called")]
)
def test_what_names_no_run_or_several_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve(ROWS, name)
