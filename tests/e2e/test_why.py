"""Why do two runs differ, and does a run come out again: asked and answered in JupyterLab, without leaving the notebook."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

from conftest import git
from e2e.browser import (
    SCREENSHOTS,
    Lab,
    choose_theme,
    open_notebook,
    recorded_runs,
    render_every_cell,
    run_all,
    write_notebook,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "%load_ext nbledger\n%ledger init",
    """import csv
import random


def write_houses(count, seed):
    draw = random.Random(seed)
    with open("houses.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["area", "price"])
        table.writerows((area, round(2.5 * area + draw.gauss(0, 20), 1)) for area in (draw.randint(40, 200) for _ in range(count)))


write_houses(60, seed=1)""",
    '%track_data houses.csv -m "sixty houses"',
    """def fit(step, rounds):
    with open("houses.csv") as file:
        rows = [(float(r["area"]) / 100, float(r["price"]) / 100) for r in csv.DictReader(file)]
    slope, losses = 0.0, []
    for _ in range(rounds):
        slope -= step * sum(2 * x * (slope * x - y) for x, y in rows) / len(rows)
        losses.append(sum((slope * x - y) ** 2 for x, y in rows) / len(rows))
    return slope, losses


step = 0.05""",
    "%%mlrun line -p step -m slope -m loss\nslope, loss = fit(step, rounds=30)",
    "write_houses(80, seed=2)",
    '%track_data houses.csv -m "eighty others"',
    "step = 0.02",
    "%%mlrun line -p step -m slope -m loss\nslope, loss = fit(step, rounds=30)",
    "%compare_runs line~1 line",
    "%%mlrun steeper -p step=0.3 -m slope -m loss\nslope, loss = fit(0.3, rounds=30)",
    "%compare_runs line~1 line steeper",
    "%reproduce line",
    """%%mlrun chance -m drawn
drawn = random.random()""",
    "%reproduce chance --times 3",
]


def test_two_runs_are_compared_and_one_is_reproduced(lab: Lab, page: Any) -> None:
    write_notebook(lab.root / "houses.ipynb", CELLS)
    for key, value in {"user.name": "Ada Tester", "user.email": "ada@example.org"}.items():
        subprocess.run(["git", "config", "--global", key, value], env=lab.env, check=True)
    render_every_cell(lab)
    page.set_viewport_size({"width": 1280, "height": 900})
    open_notebook(lab, page, "houses.ipynb")
    run_all(page)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    last = cells.nth(len(CELLS) - 1).locator(".jp-OutputArea")
    sync_api.expect(last).to_contain_text("not deterministic", timeout=240_000)
    said = page.locator(".jp-Notebook").inner_text()
    assert "Traceback" not in said

    compared = cells.nth(9).locator(".nbledger")
    kinds = compared.locator(".cause .kind").all_inner_texts()
    assert kinds[:2] == ["data", "parameter"], compared.inner_text()
    assert "houses.csv" in compared.inner_text()
    assert "0.05" in compared.inner_text()
    assert compared.locator("svg").count() >= 1, "the loss was logged as a series"
    assert cells.nth(11).locator(".nbledger svg").count() >= 1, "three runs have a chart"
    assert "identical" in cells.nth(12).locator(".nbledger").inner_text()
    assert "Loading widget" not in said
    take_pictures(lab, page)

    from conftest import run

    run(sys.executable, "-m", "nbledger.cli", "flush", cwd=lab.root, env=lab.env)
    found = recorded_runs(lab)
    first = [r for r in found if r["tags"]["mlflow.runName"] == "line"]
    (again,) = [r for r in first if "nbledger.reproduces" in r["tags"]]
    (original,) = [r for r in first if r["run_id"] == again["tags"]["nbledger.reproduces"]]
    assert original["tags"]["nbledger.verdict"] == again["tags"]["nbledger.verdict"] == "identical"
    assert original["tags"]["nbledger.reproduced_by"] == again["run_id"]
    assert original["metrics"] == again["metrics"]
    assert len(git(lab.root, "worktree", "list").splitlines()) <= 2  # a copy of the run that differed may be kept


def take_pictures(lab: Lab, page: Any) -> None:
    """The comparison and the verdicts in both themes."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.keyboard.press("Control+s")
    page.get_by_text("Saving completed").wait_for()
    for theme in ("Light", "Dark"):
        choose_theme(lab, theme)
        open_notebook(lab, page, "houses.ipynb")
        page.keyboard.press("Control+b")
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        for name, index in (("compare", 9), ("three", 11), ("reproduce", 12)):
            cells.nth(index).evaluate("element => element.scrollIntoView({block: 'start'})")
            page.wait_for_timeout(400)
            page.screenshot(path=SCREENSHOTS / f"{name}-{theme.lower()}.png")
