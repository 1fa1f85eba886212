"""Runs that differ in data, parameter and code, compared in a real browser: why, by how much, and copied as Markdown."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from conftest import run
from e2e.browser import (
    SCREENSHOTS,
    Lab,
    axe,
    open_notebook,
    open_sidebar,
    outside_requests,
    problems_of,
    section,
    switch_theme,
    write_notebook,
)
from e2e.pictures import looks_as_kept

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "<img src=x onerror=alert(1)>"
CELLS = [
    "%load_ext nbledger\n%ledger init",
    """import csv
import random


def write_houses(count, seed):
    draw = random.Random(seed)
    with open("houses.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["area", "price"])
        for _ in range(count):
            area = draw.randint(40, 200)
            table.writerow([area, round(2.5 * area + draw.gauss(0, 20), 1)])


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
    "%%mlrun first -p step -m slope -m loss\nslope, loss = fit(step, rounds=30)",
    "write_houses(80, seed=2)",
    '%track_data houses.csv -m "eighty others"',
    "step = 0.02",
    "%%mlrun second -p step -m slope -m loss\nslope, loss = fit(step, rounds=40)",
    "%%mlrun third -p step=0.3 -m slope -m loss\nslope, loss = fit(0.3, rounds=30)",
]


PLAIN = """import sys, mlflow
mlflow.set_experiment("wine")
with mlflow.start_run(run_name="hostile"):
    mlflow.log_param("html", sys.argv[1])
"""


def store(lab: Lab) -> str:
    return f"sqlite:///{lab.root / '.nbledger' / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def harmless(lab: Lab, page: Any) -> Iterator[None]:
    """No script of a name runs, no exception is left, nothing is asked of anybody else."""
    problems, elsewhere = problems_of(page), outside_requests(page, lab)
    yield
    assert problems == []
    assert elsewhere == []


@pytest.fixture(scope="module")
def houses(lab: Lab) -> Path:
    """Three runs of one notebook, recorded without a browser."""
    notebook = lab.root / "houses.ipynb"
    write_notebook(notebook, CELLS)
    run(
        sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", notebook,
        cwd=lab.root, env=lab.env,
    )  # fmt: skip
    run(sys.executable, "-m", "jupyter", "trust", notebook, cwd=lab.root, env=lab.env)
    run(sys.executable, "-m", "nbledger.cli", "flush", cwd=lab.root, env=lab.env)
    return notebook


def test_two_runs_are_compared_and_a_third_is_added(lab: Lab, houses: Path, page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_viewport_size({"width": 1280, "height": 900})
    open_notebook(lab, page, houses.name)
    open_sidebar(page)
    listed = section(page, "runs").get_by_role("option")
    listed.filter(has_text="first").click()
    listed.filter(has_text="second").click(modifiers=["Control"])
    section(page, "runs").get_by_role("button", name="Compare 2").click()
    body = page.locator(".nbl-compare")
    part = lambda name: body.get_by_role("region", name=name).first  # noqa: E731

    # Why: the data first, then the parameter and the cell; with a word for the weight, not only a bar.
    causes = body.locator(".nbl-causes > li")
    expect(causes.first).to_contain_text("houses.csv differs")
    kinds = body.locator(".nbl-kind").all_inner_texts()
    assert kinds[0] == "data"
    assert {"parameter", "code"} <= set(kinds)
    expect(causes.first).to_contain_text("strong")
    expect(page.get_by_role("tab", name="second × first")).to_have_count(1)

    # The runs are in the table's order: the newest first.
    assert body.locator(".nbl-compared .nbl-link").all_inner_texts() == ["second", "first"]
    body.get_by_role("button", name="Swap").click()
    expect(body.locator(".nbl-compared .nbl-link")).to_have_text(["first", "second"])
    expect(part("Parameters")).to_contain_text("0.05")

    # What is better is guessed, marked, and can be turned round; the table remembers it.
    loss = body.locator(".nbl-part tr", has=page.get_by_role("button", name="loss: lower is better"))
    values = [float(text) for text in re.findall(r"\d+\.\d+", loss.inner_text())[:2]]
    best = loss.locator(".nbl-mod-best")
    expect(best).to_contain_text(f"{min(values)}")
    loss.get_by_role("button").click()
    loss = body.locator(".nbl-part tr", has=page.get_by_role("button", name="loss: higher is better"))
    expect(loss.locator(".nbl-mod-best")).to_contain_text(f"{max(values)}")
    loss.get_by_role("button").click()

    # Curves with a readout by keyboard, and their numbers as a table.
    curves = body.get_by_role("slider", name="Values of loss")
    expect(curves.locator(".nbl-curve")).to_have_count(2)
    curves.focus()
    page.keyboard.press("Home")
    expect(curves).to_have_attribute("aria-valuetext", re.compile(r"^step 0: first [\d.]+ · second [\d.]+$"))
    assert (
        len(
            set(
                curves.locator(".nbl-curve-line").evaluate_all(
                    "all => all.map(e => e.getAttribute('stroke-dasharray'))"
                )
            )
        )
        == 2
    )

    # Data: rows and distributions; code: lines, and the notebooks side by side.
    expect(part("Data")).to_contain_text("60 → 80 rows")
    expect(part("Data").locator(".nbl-distribution")).to_have_count(4)
    added = body.locator(".nbl-diff-line.nbl-mod-added").all_inner_texts()
    assert any("rounds=40" in line for line in added), added
    body.get_by_role("button", name="Show the notebooks side by side").click()
    expect(body.locator(".nbl-notebook-diff .jp-Notebook-diff")).to_contain_text("rounds=40")
    assert body.locator(".jp-OutputArea-executeResult").count() == 0
    body.get_by_role("button", name="Hide the notebooks").click()

    body.get_by_role("button", name="Copy as Markdown").click()
    expect(body.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    text = page.evaluate("() => navigator.clipboard.readText()")
    assert "| step |" in text
    assert "houses.csv" in text

    # What is equal is shown on demand: the packages, which are the same.
    packages = part("Environment").locator("tbody tr")
    expect(packages).to_have_count(0)
    body.get_by_role("button", name="All", exact=True).click()
    expect(body.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(packages.filter(has_text=platform.python_version()).first).to_be_visible()
    assert part("Environment").locator(".nbl-mod-differs").count() == 0
    body.get_by_role("button", name="Differences only").click()
    expect(packages).to_have_count(0)

    body.get_by_role("button", name="Open in MLflow").click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("mlflow ui --backend-store-uri sqlite:///")
    dialog.get_by_role("button", name="Copy the command").click()
    assert page.evaluate("() => navigator.clipboard.readText()").startswith("mlflow ui")
    assert axe(page, ".nbl-compare") == []
    pictures(page)

    body.get_by_role("button", name="Add a run").click()
    page.get_by_role("dialog", name="Add a run").get_by_role("textbox").fill("third")
    page.get_by_role("dialog", name="Add a run").get_by_role("button", name="third").click()
    expect(body.locator(".nbl-compared > li")).to_have_count(3)
    parallel = body.locator(".nbl-parallel")
    expect(parallel.locator(".nbl-curve")).to_have_count(3)
    parallel.get_by_role("button", name="third").click()
    expect(parallel.get_by_role("status")).to_contain_text("third: step 0.3")
    expect(body.get_by_role("slider", name="Values of loss").locator(".nbl-curve")).to_have_count(3)
    assert axe(page, ".nbl-compare") == []
    body.get_by_role("button", name="Leave first out").click()
    expect(body.locator(".nbl-compared .nbl-link")).to_have_text(["second", "third"])

    # A run that plain MLflow made, with a value that wants to be more than text.
    run(sys.executable, "-c", PLAIN, HOSTILE, cwd=lab.root, env=lab.env | {"MLFLOW_TRACKING_URI": store(lab)})
    body.get_by_role("button", name="Add a run").click()
    page.get_by_role("dialog", name="Add a run").get_by_role("button", name="hostile").click()
    expect(part("Parameters")).to_contain_text(HOSTILE)
    assert body.locator("img").count() == 0

    # With the present state: one run is enough.
    listed.filter(has_text="third").click()
    section(page, "runs").get_by_role("button", name="Compare with now").click()
    now = page.locator(".nbl-compare").last
    expect(now.locator(".nbl-compared > li")).to_have_count(2)
    expect(now.locator(".nbl-problem")).to_have_count(0)


def pictures(page: Any) -> None:
    """The comparison, and the whole Lab with the sidebar and a notebook, in both themes (pictures of README.md)."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.locator(".nbl-compare-body").first.evaluate("node => { node.scrollTop = 0; }")
    tabs = page.locator("#jp-main-dock-panel .lm-TabBar-tab")
    for theme in ("Dark", "Light"):
        switch_theme(page, theme)
        for name, tab in (("sidebar", "houses.ipynb"), ("comparetab", "×")):
            tabs.filter(has_text=tab).first.click()
            if name == "sidebar":
                marked = page.locator(".jp-Notebook .jp-CodeCell", has_text="%%mlrun first")
                marked.evaluate("cell => cell.scrollIntoView({block: 'start'})")
            picture = SCREENSHOTS / f"{name}-{theme.lower()}.png"
            for _ in range(20):  # until all is drawn
                page.wait_for_timeout(500)
                page.screenshot(path=picture)
                if looks_as_kept(picture):
                    break
            else:
                pytest.fail(f"{picture} is not as docs/pictures has it: look, then `make pictures`")
