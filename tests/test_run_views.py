"""Everything recorded of a run, its notebook, and the difference of two, as the sidebar asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from nbdime.diff_utils import to_diffentry_dicts
from nbdime.patching import patch

from conftest import commit_all, git
from kernels import kernel
from ledger import flush
from nbledger.core import mlflow
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.keeper import calls

TRACKED = """%%mlrun {name} -p scale=2 -m total --tag who=ada --seed 3
from nbledger import log
for step in range(500):
    log(loss=float('inf') if step == 250 else 1 / (1 + step), step=step)
total = {factor} * sum(lib.weigh(float(r['x'])) for r in rows)
open('out.txt', 'w').write(str(total))"""
CELLS = ("import csv\nimport lib", "rows = list(csv.DictReader(open('data.csv')))", "idle = 1")


def ask(root: Path, call: str, **args: Any) -> Any:
    """What a route answers."""
    return json.loads(json.dumps(calls.encode(calls.perform(find(root), call, args))))


_empty: list[bytes] = []  # MLflow takes seconds to make a store


def api(root: Path) -> Any:
    """Plain MLflow's client of the project's store."""
    here = find(root)
    store = here.state / "mlflow.db"
    if here.embedded and not store.exists():
        if _empty:
            here.ensure_state()
            store.write_bytes(_empty[0])
        else:
            mlflow.ensure_embedded(here)
            _empty.append(store.read_bytes())
    return mlflow.client(here)


def made(root: Path, name: str, *, status: str | None = "FINISHED", tags: dict[str, str] | None = None) -> str:
    """A run of plain MLflow."""
    client = api(root)
    known = client.get_experiment_by_name("plain")
    experiment = known.experiment_id if known else client.create_experiment("plain")
    run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    if status:
        client.set_terminated(run, status)
    return run


def record(root: Path, runs: dict[str, int]) -> None:
    """Runs of one kernel: {name: factor}."""
    (root / "lib.py").write_text("def weigh(x):\n    return x\n")
    (root / "data.csv").write_text("id,x\n1,0.5\n2,1.5\n")
    commit_all(root)
    with kernel(root) as k:
        for source in (*CELLS, *(TRACKED.format(name=name, factor=factor) for name, factor in runs.items())):
            cell = k.run(source)
            assert cell.status == "ok", cell.traceback


def test_everything_recorded_of_a_run_its_notebook_and_what_another_has_otherwise(project: Path) -> None:
    record(project, {"first": 2, "second": 3})
    assert "is published" in flush(project)
    found = ask(project, "detail", run="first")
    run_id = found["run"]["run_id"]
    stored = api(project).get_run(run_id)
    assert found["params"] == stored.data.params == {"scale": "2"}
    assert found["tags"] == stored.data.tags
    assert found["tags"]["who"] == "ada"
    assert found["run"]["metrics"]["total"] == 4.0
    assert (found["deleted"], found["note"], found["lacking"], found["models"]) == (False, "", [], [])

    points = found["series"]["loss"]
    assert list(found["series"]) == ["loss"]
    assert 150 < len(points) <= 200
    assert [points[0][:2], points[-1][:2]] == [[0, 1.0], [499, 1 / 500]]
    assert [250, "inf"] in [point[:2] for point in points]  # what stands out is not thinned away

    (data,) = found["inputs"]
    assert (data["path"], data["state"], data["size"]) == ("data.csv", "git", len((project / "data.csv").read_text()))
    assert [f["path"] for f in found["outputs"]] == ["out.txt"]
    assert found["modules"] == ["lib.py"]
    cells = {cell["source"]: cell for cell in found["cells"]}
    assert [cells[source]["needed"] for source in CELLS] == [True, True, False]
    assert cells[CELLS[1]]["reads"] == ["data.csv"]
    assert found["cells"][-1]["writes"] == ["out.txt"]
    packages = {p["name"]: p for p in found["environment"]["packages"]}
    assert list(packages) == sorted(packages)
    assert packages["nbledger"]["imported"]
    assert not packages["pytest"]["imported"]
    assert found["environment"]["hardware"]["processors"].isdigit()
    assert found["seeds"] == {"seed": "3"}
    assert found["order"] == "clean"
    paths = {a["path"]: a for a in found["artifacts"]}
    assert paths["nbledger"]["folder"]
    assert paths["nbledger/session.ipynb"]["size"] > 100

    for name in (run_id[:10], stored.data.tags["nbledger.journal"], "@last~1"):
        assert ask(project, "detail", run=name) == found
    with pytest.raises(UsageError, match="there is no run"):
        ask(project, "detail", run="f" * 32)

    book = ask(project, "notebook", run="first")
    assert (book["kind"], "not recorded" in book["note"]) == ("session", True)
    assert [c["source"] for c in book["notebook"]["cells"]] == [c["source"] for c in found["cells"]]
    assert [c["metadata"]["nbledger"]["needed"] for c in book["notebook"]["cells"]][-4:] == [True, True, False, True]

    compared = ask(project, "compare_notebooks", a="first", b="second")
    assert (compared["a"], compared["b"]) == ("first", "second")
    sources = [c["source"] for c in patch(compared["base"], to_diffentry_dicts(compared["diff"]))["cells"]]
    assert sources == [*CELLS[:2], TRACKED.format(name="second", factor=3)]
    assert "idle = 1" not in json.dumps(compared)
    assert ask(project, "compare_notebooks", a="first", b="first")["diff"] == []

    written = ask(project, "markdown", names=["first", "second"])["markdown"]
    assert written.startswith("## first ↔ second\n\n### Why, most likely first\n\n1. **code**: ")
    assert "| total | 4 | 6 | +2 | +50 % |" in written
    assert "-total = 2 * sum(lib.weigh(float(r['x'])) for r in rows)" in written
    printed = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", "compare", "first", "second", "--markdown"],
        cwd=project, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert printed.stdout == written

    folder = Path(stored.info.artifact_uri.removeprefix("file://")) / "nbledger"
    (folder / "session.json").write_text('{"needed": "all", "cells": [1]}')
    damaged = ask(project, "detail", run="first")
    assert damaged["params"] == found["params"]
    assert any("cannot be understood" in line for line in damaged["lacking"])


def test_a_run_of_plain_mlflow_tells_what_it_has_and_what_it_lacks(project: Path) -> None:
    client = api(project)
    run = made(project, "plain", tags={"mlflow.note.content": "a *note*", "k": "v"})
    other = made(project, "other", status=None)
    client.log_param(other, "depth", 3)
    client.log_batch(other, [Metric("loss", 1000 - n, 1000 + n, n) for n in range(999)])
    client.log_batch(other, [Metric("loss", 1, 1999, 999), Metric("once", 1, 1, 0)])
    child = made(project, "child", tags={"mlflow.parentRunId": run})
    again = made(project, "plain", tags={"nbledger.reproduces": run, "nbledger.verdict": "identical"})
    client.delete_run(made(project, "gone", tags={"mlflow.parentRunId": run}))
    found = ask(project, "detail", run=run)
    assert found["note"] == "a *note*"
    assert found["environment"] is None
    assert found["lacking"] == [
        "cells, environment, inputs and outputs are not known: nbledger did not record this run"
    ]
    assert [r["run_id"] for r in found["children"]] == [child]
    assert [r["run_id"] for r in found["reproductions"]] == [again]
    for call, words in (("notebook", {"run": run}), ("compare_notebooks", {"a": run, "b": run})):
        with pytest.raises(Refused, match=r"no notebook|no cells"):
            ask(project, call, **words)

    running = ask(project, "detail", run="other")
    assert running["run"]["status"] == "RUNNING"
    assert running["lacking"] == ["cells, environment, inputs and outputs are recorded when the run ends"]
    assert running["params"] == {"depth": "3"}
    assert list(running["series"]) == ["loss"]
    points = running["series"]["loss"]
    assert 100 <= len(points) <= 200
    assert [points[0], points[-1]] == [[0, 1000.0, 1000], [999, 1.0, 1999]]

    client.delete_run(run)
    deleted = ask(project, "detail", run=run)
    assert deleted["deleted"]
    assert [r["run_id"] for r in deleted["children"]] == [child]


def test_very_much_is_cut_and_said(project: Path) -> None:
    client = api(project)
    run = made(project, "much", tags={"mlflow.source.name": "a/big.ipynb"})
    folder = project.parent / "many"
    for number in range(21):
        (folder / str(number)).mkdir(parents=True)
        for inner in range(100):
            (folder / str(number) / f"{inner}.txt").touch()
    (folder / "loop").symlink_to(folder)
    client.log_artifacts(run, str(folder))
    found = ask(project, "detail", run=run)
    assert len(found["artifacts"]) == 2000
    assert "the first 2,000 artifacts are shown" in found["lacking"]

    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * 3_000_000}}
    cell = {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "show()", "outputs": [picture]}
    book = {"cells": [cell] * 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    client.log_text(run, json.dumps(book), "big.ipynb")
    client.log_text(run, "{}", "other.ipynb")
    shown = ask(project, "notebook", run=run)
    assert (shown["kind"], shown["name"]) == ("executed", "big.ipynb")
    assert [len(c["outputs"]) for c in shown["notebook"]["cells"]] == [1, 1, 1, 0, 0]
    assert "the outputs of 2 cells are left out" in shown["note"]

    client.log_text(run, "no notebook", "big.ipynb")
    with pytest.raises(LedgerError, match="is no notebook"):
        ask(project, "notebook", run=run)


def test_a_run_that_is_going_on_shows_its_notebook_as_the_snapshot_holds_it(project: Path) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "of yesterday"}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "x = 1", "outputs": [output]},
    ]
    path = project / "note book.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    commit = commit_all(project)
    path.write_text(path.read_text().replace("x = 1", "x = 2"))
    later = commit_all(project)
    tags = {"mlflow.source.name": "note book.ipynb", "mlflow.source.git.commit": commit}
    made(project, "going", status=None, tags=tags | {"nbledger.schema": "2"})
    made(project, "later", tags=tags | {"mlflow.source.git.commit": later})
    book = ask(project, "notebook", run="going")
    assert (book["kind"], book["name"]) == ("snapshot", "note book.ipynb")
    assert [c["source"] for c in book["notebook"]["cells"]] == ["# Title", "x = 1"]
    assert "of yesterday" not in json.dumps(book)
    assert "when the run has ended" in book["note"]
    found = ask(project, "compare_notebooks", a="going", b="later")
    assert [c["source"] for c in patch(found["base"], to_diffentry_dicts(found["diff"]))["cells"]] == [
        "# Title",
        "x = 2",
    ]
    made(project, "evil", tags=tags | {"mlflow.source.git.commit": "--output=stolen"})
    with pytest.raises(Refused, match="no notebook"):
        ask(project, "notebook", run="evil")
    assert not (project / "stolen").exists()
    assert git(project, "status", "--short") == ""


def test_a_run_is_told_from_its_journal_while_the_store_is_away(project: Path) -> None:
    (project / ".nbledger.toml").write_text('tracking_uri = "http://127.0.0.1:9"\n')
    record(project, {"waiting": 2})
    found = ask(project, "detail", run="waiting")
    assert found["run"]["status"] == "FINISHED"
    assert found["params"] == {"scale": "2"}
    assert [f["path"] for f in found["inputs"]] == ["data.csv"]
    assert 150 < len(found["series"]["loss"]) <= 200
    assert any("does not answer" in line for line in found["lacking"])
    assert ask(project, "detail", run=found["run"]["run_id"]) == found
    book = ask(project, "notebook", run="waiting")
    assert book["notebook"]["cells"][-1]["source"] == TRACKED.format(name="waiting", factor=2)
    with pytest.raises(LedgerError, match="does not answer"):
        ask(project, "detail", run="another")
