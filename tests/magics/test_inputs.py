"""What a cell read and wrote is found without being told, and mapped to the data versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from conftest import commit_all, git
from kernels import kernel
from ledger import artifact, run


def inputs(project: Path, name: str) -> dict[str, dict]:
    found = run(project, name)
    listed = json.loads(artifact(project, found.info.run_id, "nbledger/inputs.json").read_text())
    return {r["path"]: r for r in listed["inputs"]}


def test_tracked_untracked_git_and_folder_inputs(project: Path) -> None:
    (project / "data").mkdir()
    (project / "images").mkdir()
    (project / "data/a.csv").write_text("x,y\n1,2\n")
    (project / "loose.csv").write_text("x\n1\n")
    (project / "config.json").write_text("{}")
    for i in range(3):
        (project / f"images/{i}.txt").write_text(str(i))
    git(project, "add", "config.json")
    git(project, "commit", "-qm", "config")
    code = """%%mlrun read
import hashlib
import json
import pandas as pd
pd.read_csv("data/a.csv"); pd.read_csv("loose.csv"); json.load(open("config.json"))
open("images/1.txt").read()
open("made.txt", "w").write("out")
"""
    with kernel(project) as k:
        assert k.run("%track_data data/a.csv images").status == "ok"
        cell = k.run(code)
        assert cell.status == "ok" and "%track_data loose.csv" in cell.displays[-1], cell
        status = k.run("%ledger status")
        assert "loose.csv" in status.shown
    found = run(project, "read")
    seen = inputs(project, "read")
    assert {p: r["state"] for p, r in seen.items()} == {
        "data/a.csv": "dvc",
        "images/1.txt": "dvc",
        "config.json": "git",
        "loose.csv": "untracked",
    }
    digests = {i.dataset.name: i.dataset.digest for i in found.inputs.dataset_inputs}
    assert digests["images"].endswith(".dir") and digests["data/a.csv"] == seen["data/a.csv"]["md5"]
    assert found.data.tags["nbledger.data.state"] == "untracked"
    outputs = json.loads(artifact(project, found.info.run_id, "nbledger/outputs.json").read_text())["outputs"]
    assert [r["path"] for r in outputs] == ["made.txt"]


def test_parquet_and_changed_data_are_seen(project: Path) -> None:
    with kernel(project) as k:
        k.run("import pandas as pd; pd.DataFrame({'a': range(10)}).to_parquet('t.parquet')")
        k.run("%track_data t.parquet")
        k.run("%%mlrun first\npd.read_parquet('t.parquet')")
        k.run("pd.DataFrame({'a': range(9)}).to_parquet('t.parquet')")
        assert "dvc-changed" in k.run("%%mlrun second\npd.read_parquet('t.parquet')").displays[-1]
    assert inputs(project, "first")["t.parquet"]["state"] == "dvc"
    assert inputs(project, "second")["t.parquet"]["state"] == "dvc-changed"


def test_large_input_is_hashed_in_the_background(project: Path) -> None:
    (project / ".nbledger.toml").write_text("hash_max_mb = 0\n")
    (project / "big.bin").write_bytes(b"y" * 2_000_000)
    commit_all(project)
    with kernel(project) as k:
        assert k.run("%%mlrun big\nlen(open('big.bin', 'rb').read())").result == "2000000"
    record = inputs(project, "big")["big.bin"]
    assert record["md5"] == hashlib.md5(b"y" * 2_000_000).hexdigest()
    assert not record["pending"]


def test_outside_any_repository_a_run_is_recorded_and_says_once_what_is_missing(folder: Path) -> None:
    with kernel(folder) as k:
        first, second = k.run("%%mlrun a\n1 + 1"), k.run("%%mlrun b\n2 + 2")
        assert first.stderr.count("no Git repository") == 1 and second.stderr == ""
    found = run(folder, "a")
    assert found.info.status == "FINISHED" and "mlflow.source.git.commit" not in found.data.tags
    session = json.loads(artifact(folder, found.info.run_id, "nbledger/session.ipynb").read_text())
    assert any("1 + 1" in "".join(c["source"]) for c in session["cells"])


def test_order_of_cells_is_told(project: Path) -> None:
    cells = ["%load_ext nbledger", "x = 1", "y = x + 1", "%%mlrun r{n}\ny"]
    notebook = {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": s}
            for i, s in enumerate(cells)
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for n in (1, 2):
        (project / f"n{n}.ipynb").write_text(json.dumps(notebook).replace("{n}", str(n)))
    commit_all(project)
    with kernel(project, {"JPY_SESSION_NAME": str(project / "n1.ipynb")}) as k:
        k.run("x = 1"), k.run("y = x + 1")
        k.run("%%mlrun r1\ny")
    with kernel(project, {"JPY_SESSION_NAME": str(project / "n2.ipynb")}) as k:
        k.run("x = 5"), k.run("y = 6")
        k.run("x = 1"), k.run("y = x + 1"), k.run("x = 1")
        k.run("%%mlrun r2\ny")
    assert run(project, "r1").data.tags["nbledger.order"] == "clean"
    assert run(project, "r1").data.tags["mlflow.source.name"] == "n1.ipynb"


def test_what_the_session_itself_wrote_is_an_input_and_is_said_to_be(project: Path) -> None:
    """Made by one cell, read by another; the tracked one uses what was read. Then DVC versions it, between two runs."""
    make = "import pandas as pd\npd.DataFrame({'a': range({n})}).to_csv('points.csv', index=False)"
    fit = "%%mlrun {name} -m total\ntotal = int(df.a.sum())"
    with kernel(project) as k:
        assert k.run(make.replace("{n}", "5")).status == k.run("df = pd.read_csv('points.csv')").status == "ok"
        loose = k.run(fit.format(name="loose"))
        assert "points.csv (untracked, written by this session): %track_data points.csv" in loose.displays[-1], loose
        assert "points.csv" in k.run("%ledger status").shown
        assert k.run("%track_data points.csv").status == "ok"
        assert "written by this session" not in k.run(fit.format(name="kept")).displays[-1]
        assert k.run(make.replace("{n}", "9")).status == k.run("df = pd.read_csv('points.csv')").status == "ok"
        changed = k.run(fit.format(name="changed"))
        assert "points.csv (dvc-changed, written by this session)" in changed.displays[-1], changed
    found = {name: inputs(project, name)["points.csv"] for name in ("loose", "kept", "changed")}
    assert {name: row["state"] for name, row in found.items()} == {
        "loose": "untracked",
        "kept": "dvc",
        "changed": "dvc-changed",
    }
    assert found["loose"]["md5"] == found["kept"]["md5"] != found["changed"]["md5"]
    states = {name: run(project, name).data.tags["nbledger.data.state"] for name in found}
    assert states == {"loose": "untracked", "kept": "clean", "changed": "changed"}
    assert [i.dataset.name for i in run(project, "kept").inputs.dataset_inputs] == ["points.csv"]
