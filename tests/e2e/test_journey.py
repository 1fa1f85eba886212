"""The beginner's journey in JupyterLab: the wine notebook, unchanged, Run All; read with plain Git, DVC and MLflow."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

from conftest import dvc, git, run
from e2e.browser import SCREENSHOTS, Lab, choose_theme, open_notebook, recorded_runs, render_every_cell, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WINE = Path(__file__).parents[2] / "examples" / "wine.ipynb"
DIALOGS: list[str] = []


def test_the_wine_notebook_run_all_records_three_truthful_runs(lab: Lab, page: Any) -> None:
    shutil.copy(WINE, lab.root)
    render_every_cell(lab)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.on("dialog", lambda dialog: (DIALOGS.append(dialog.message), dialog.dismiss()))
    open_notebook(lab, page, "wine.ipynb")
    run_all(page)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    last = cells.nth(cells.count() - 1)
    sync_api.expect(last.locator(".jp-OutputArea")).to_contain_text("committed", timeout=180_000)
    shown = [
        float(text)
        for text in page.locator(".jp-OutputArea-executeResult .jp-RenderedText").all_inner_texts()
        if re.fullmatch(r"0?\.\d+|1\.0", text.strip())
    ]
    table = page.locator(".nbledger table").first
    assert table.locator("tbody tr").count() == 3
    take_pictures(lab, page)
    assert table.get_by_text("finished").count() == 3, table.inner_text()
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()

    run(sys.executable, "-m", "nbledger.cli", "flush", cwd=lab.root, env=lab.env)
    found = {recorded["tags"]["mlflow.runName"]: recorded for recorded in recorded_runs(lab)}
    assert set(found) == {"forest", "forest-small", "forest-light"}
    forest, small, light = found["forest"], found["forest-small"], found["forest-light"]
    assert [r["status"] for r in (forest, small, light)] == ["FINISHED"] * 3
    assert [r["params"]["n_estimators"] for r in (forest, small, light)] == ["50", "3", "50"]
    assert {r["params"]["max_depth"] for r in found.values()} == {"2"}
    assert [r["metrics"]["accuracy"] for r in (forest, small, light)] == pytest.approx(shown, abs=0)
    assert forest["metrics"]["report.accuracy"] == forest["metrics"]["accuracy"]
    assert {r["tags"]["mlflow.source.name"] for r in found.values()} == {"wine.ipynb"}
    assert {r["tags"]["mlflow.source.type"] for r in found.values()} == {"NOTEBOOK"}
    assert not DIALOGS

    inputs = dataset_inputs(lab)
    for recorded in found.values():
        commit = recorded["tags"]["mlflow.source.git.commit"]
        pointer = yaml.safe_load(git(lab.root, "show", f"{commit}:data/wine.csv.dvc"))
        assert inputs[recorded["run_id"]] == {"data/wine.csv": pointer["outs"][0]["md5"]}
        code = json.loads(git(lab.root, "show", f"{commit}:wine.ipynb"))
        assert len(code["cells"]) == len(json.loads(WINE.read_text())["cells"])
    assert inputs[forest["run_id"]] == inputs[small["run_id"]] != inputs[light["run_id"]]

    assert git(lab.root, "log", "-1", "--format=%s") == "Three forests on two versions of the wine data"
    assert "wine.ipynb" in git(lab.root, "show", "--name-only", "--format=", "HEAD").splitlines()
    assert git(lab.root, "stash", "list") == ""
    assert "up to date" in dvc(lab.root, "status")
    assert sorted(git(lab.root, "log", "--format=%s").splitlines()[1:3]) == [
        "wine below 13.5 % alcohol",
        "wine, as published",
    ]


def take_pictures(lab: Lab, page: Any) -> None:
    """The pictures of README.md: the third run and the table, in both themes (``make pictures`` copies them to docs)."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.keyboard.press("Control+s")
    page.get_by_text("Saving completed").wait_for()
    for theme in ("Light", "Dark"):
        choose_theme(lab, theme)
        open_notebook(lab, page, "wine.ipynb")
        page.keyboard.press("Control+b")
        second_run = page.locator(".jp-CodeCell", has_text="%%mlrun forest-small")
        second_run.evaluate("element => element.scrollIntoView({block: 'start'})")
        page.locator(".nbledger table").first.wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOTS / f"lab-{theme.lower()}.png")


def dataset_inputs(lab: Lab) -> dict[str, dict[str, str]]:
    """{run id: {data set: digest}} by plain MLflow in a process of its own."""
    program = """
import json, mlflow
runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
print(json.dumps({r.info.run_id: {i.dataset.name: i.dataset.digest for i in r.inputs.dataset_inputs} for r in runs}))
"""
    env = lab.env | {"MLFLOW_TRACKING_URI": f"sqlite:///{lab.root / '.nbledger' / 'mlflow.db'}"}
    found: dict[str, dict[str, str]] = json.loads(
        run(sys.executable, "-c", program, cwd=lab.root, env=env).splitlines()[-1]
    )
    return found
