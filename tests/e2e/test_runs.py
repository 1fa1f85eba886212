"""The table of runs in a real browser: ten thousand of them, found, sorted and compared; and one that runs."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from conftest import git, run
from e2e.browser import (
    Lab,
    axe,
    cell,
    open_lab,
    open_notebook,
    open_sidebar,
    outside_requests,
    problems_of,
    run_cell,
    section,
    until,
    workspace,
    write_notebook,
)
from many_runs import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COUNT = 10_000
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned';alert(1)\">",
    "\u202erevo dellor\u202c \u05e9\u05dc\u05d5\u05dd",
    "long " + "w" * 10_000,
)
ENDLESS = """%%mlrun endless -p hostile='<img src=x onerror=alert(2)>'
import os, time
open("pid", "w").write(str(os.getpid()))
for step in range(100_000):
    log(loss=1 / (step + 1), step=step)
    time.sleep(0.05)"""

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def harmless(lab: Lab, page: Any) -> Iterator[None]:
    """No script of a name runs, no exception is left, nothing is asked of anybody else."""
    problems, elsewhere = problems_of(page), outside_requests(page, lab)
    yield
    assert problems == []
    assert elsewhere == []


@pytest.fixture(scope="module")
def many(lab: Lab) -> Path:
    """A project with ten thousand runs, the three newest with names that want to be more than text."""
    git(lab.root, "init", "-q")
    run(sys.executable, "-m", "nbledger.cli", "init", cwd=lab.root, env=lab.env)
    ids = fill(lab.root, COUNT)
    with sqlite3.connect(store(lab)) as database:
        for name, run_id in zip(HOSTILE, ids[-3:], strict=True):
            database.execute("update runs set name = ? where run_uuid = ?", (name[:250], run_id))
            tag = ("mlflow.runName", run_id)
            database.execute("delete from tags where key = ? and run_uuid = ?", tag)
            database.execute("insert into tags (key, value, run_uuid) values (?, ?, ?)", (tag[0], name[:7_000], run_id))
            database.execute(
                "insert into params (key, value, run_uuid) values (?, ?, ?)", ("html", name[:7_000], run_id)
            )
    write_notebook(lab.root / "endless.ipynb", ["%load_ext nbledger\nfrom nbledger import log", ENDLESS])
    return lab.root


def store(lab: Lab) -> Path:
    return lab.root / ".nbledger" / "mlflow.db"


def open_table(page: Any) -> Any:
    """The table in the main area, by the button in the sidebar; its rows are there."""
    open_sidebar(page)
    section(page, "runs").get_by_role("button", name="Open the table of runs").click()
    table = page.locator("#nbledger-runs-table")
    table.locator("[data-run]").first.wait_for()
    return table


def kept(lab: Lab, table: str) -> dict[str, Any]:
    """How a table (``runs``, or ``runs-sidebar``) was left, as JupyterLab saved it."""
    return next((left for key, left in workspace(lab).items() if key.startswith(f"nbledger:{table}:")), {})


def columns_kept(lab: Lab) -> tuple[str, str]:
    """The last column shown and the one sorted by."""
    left = kept(lab, "runs")
    return ((left.get("shown") or [""])[-1], left["sort"]["column"]) if left else ("", "")


def whose_kept(lab: Lab, table: str) -> Any:
    return kept(lab, table).get("scope", {}).get("user")


def test_ten_thousand_runs_are_sorted_filtered_selected_and_compared(lab: Lab, many: Path, page: Any) -> None:
    open_lab(lab, page)
    table = open_table(page)
    grid = table.locator(".nbl-grid")
    foot = table.locator(".nbl-runs-foot")
    expect(grid).to_have_attribute("aria-rowcount", str(COUNT + 1))  # the keeper reads them bit by bit
    expect(foot).to_have_text(f"{COUNT:,} runs")

    frames = page.evaluate(SCROLL, ".nbl-runs .nbl-grid")
    log.info("%(wheel).0f frames a second by wheel, %(drag).0f by dragging; %(blank)d with a blank", frames)
    assert frames["reached"] == frames["end"]
    assert frames["blank"] == 0
    expect(table.locator(f'[aria-rowindex="{COUNT + 1}"]')).to_be_visible()

    own = page.evaluate(TIMED, 'li[data-id="filebrowser"]')
    column = table.get_by_role("columnheader", name=re.compile("^metric accuracy"))
    sort = page.evaluate(TIMED, f"#{column.get_attribute('id')}".replace(":", "\\:"))
    log.info("a sort took %.0f ms, JupyterLab's file browser %.0f ms to open", sort, own)
    expect(column).to_have_attribute("aria-sort", "descending")
    shown = [float(text) for text in column_texts(table, column)]
    assert shown == sorted(shown, reverse=True)
    with sqlite3.connect(store(lab)) as database:
        best, worst = database.execute(
            "select max(value), min(value) from latest_metrics where key = 'accuracy'"
        ).fetchone()
    assert shown[0] == pytest.approx(best, rel=1e-5)
    column.click()
    expect(column).to_have_attribute("aria-sort", "ascending")
    assert float(column_texts(table, column)[0]) == pytest.approx(worst, rel=1e-5)

    box = table.get_by_role("textbox", name="Filter runs")
    box.fill("ridge ipynb finished")
    expect(foot).to_have_text(re.compile(rf"^[\d,]+ of {COUNT:,} runs$"))
    assert all("ridge" in name for name in table.locator(".nbl-run-name").all_inner_texts())
    question = "metrics.accuracy > 0.985 and params.model = 'forest'"
    box.fill(question)
    right = matching(lab, question)
    expect(foot).to_have_text(f"{right} of {COUNT:,} runs")
    assert 0 < right < 200
    box.fill("metrics.accuracy > ")
    expect(table.locator(".nbl-filter-problem")).to_be_visible()
    expect(table.locator(".nbl-filter-problem")).not_to_be_empty()
    expect(foot).to_have_text(f"{right} of {COUNT:,} runs")
    box.fill("there is no such run")
    expect(table.get_by_text("No run matches the filter.")).to_be_visible()
    table.get_by_role("button", name="Show all runs").click()

    rows = table.locator("[data-run]")
    compare = table.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_be_disabled()
    rows.nth(0).click()
    expect(table.get_by_role("button", name="Compare with now")).to_be_enabled()
    expect(foot).to_have_text(f"1 of {COUNT:,} selected")
    grid.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(foot).to_have_text(f"3 of {COUNT:,} selected")
    page.keyboard.press("Space")
    expect(foot).to_have_text(f"2 of {COUNT:,} selected")
    page.keyboard.press("Control+a")
    expect(foot).to_have_text(f"{COUNT:,} of {COUNT:,} selected")
    page.keyboard.press("Escape")
    rows.nth(1).click()
    rows.nth(3).locator("[data-box]").click()
    assert axe(page, "#nbledger-runs-table") == []
    table.get_by_role("button", name="Compare 2").click()
    expect(page.locator(".nbl-compare .nbl-compared > li")).to_have_count(2)


def test_columns_are_chosen_and_found_again_and_names_stay_text(lab: Lab, many: Path, page: Any) -> None:
    open_lab(lab, page)
    table = open_table(page)
    heads = table.get_by_role("columnheader")
    table.get_by_role("button", name="Columns").click()
    chooser = page.get_by_role("dialog", name="Columns")
    for name in ("depth", "learning_rate", "model"):  # room for one more on screen: others are not in the page
        chooser.get_by_role("textbox").fill(name)
        chooser.get_by_role("checkbox", name=name, exact=True).first.uncheck()
    chooser.get_by_role("textbox").fill("html")
    chooser.get_by_role("checkbox", name="html").check()
    assert axe(page, ".nbl-chooser") == []
    page.keyboard.press("Escape")
    expect(table.get_by_role("columnheader", name="parameter html")).to_be_attached()

    table.get_by_role("columnheader", name="Name").click(button="right")
    page.locator(".lm-Menu-item", has_text="Sort descending").click()
    expect(table.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    table.get_by_role("columnheader", name="Started").click()
    expect(table.locator('[aria-rowindex="2"]')).to_contain_text("long wwww")

    # Names of another direction, of 10 kB and with tags: one line each, in the column's width, and nothing else.
    assert page.title() != "pwned"
    assert page.locator("#nbledger-runs-table img, #nbledger-runs img").count() == 0
    expect(table.get_by_text(HOSTILE[0]).first).to_be_attached()
    boxes = [table.locator(f'[aria-rowindex="{at}"]').bounding_box() for at in (2, 3, 4, 5)]
    assert {round(box["height"]) for box in boxes} == {28}
    name = table.locator('[aria-rowindex="2"] [role="gridcell"]', has=page.locator(".nbl-run-name")).bounding_box()
    assert name["width"] == pytest.approx(200, abs=1)

    sidebar = open_sidebar(page, width=240)
    listed = section(page, "runs")
    expect(listed.get_by_role("option").first).to_contain_text("long")
    assert {round(one.bounding_box()["height"]) for one in listed.get_by_role("option").all()[:4]} == {42}
    assert listed.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert axe(page, "#nbledger-runs") == []
    assert sidebar.is_visible()
    shown = heads.all_inner_texts()
    until(page, lambda: columns_kept(lab) == ("params.html", "started"), "the table is saved as it was left")
    page.goto(lab.address_of("").replace("&reset", ""))
    again = page.locator("#nbledger-runs-table")
    again.locator("[data-run]").first.wait_for()
    expect(again.get_by_role("columnheader", name="parameter html")).to_be_attached()
    assert again.get_by_role("columnheader").all_inner_texts() == shown


def test_whose_runs_are_shown_is_chosen_by_a_switch_and_found_again(lab: Lab, many: Path, page: Any) -> None:
    open_lab(lab, page)
    table = open_table(page)
    foot = table.locator(".nbl-runs-foot")
    expect(foot).to_have_text(f"{COUNT:,} runs")
    whose = table.get_by_role("combobox", name="Whose runs")
    whose.select_option(label="grace")
    with sqlite3.connect(store(lab)) as database:
        count = "select count(*) from tags where key = 'mlflow.user' and value = 'grace'"
        expect(foot).to_have_text(f"{database.execute(count).fetchone()[0]:,} of {COUNT:,} runs")
    assert set(column_texts(table, table.get_by_role("columnheader", name="User"))) == {"grace"}
    whose.select_option(label="My runs")
    expect(table.get_by_text("No runs of yours yet.")).to_be_visible()
    table.get_by_role("button", name="Show all runs").click()
    expect(foot).to_have_text(f"{COUNT:,} runs")
    whose.select_option(label="emmy")

    open_sidebar(page, width=240)
    listed = section(page, "runs")
    everyone = listed.get_by_role("button", name="Everyone", exact=True)
    mine = listed.get_by_role("button", name="Mine", exact=True)
    expect(everyone).to_have_attribute("aria-pressed", "true")
    expect(listed.locator("[data-run] .nbl-person").first).to_have_text(re.compile("ada|grace|emmy"))
    assert listed.evaluate("node => node.scrollWidth <= node.clientWidth")
    mine.click()
    expect(listed.get_by_text("No runs of yours yet.")).to_be_visible()
    assert axe(page, "#nbledger-runs") == []
    until(page, lambda: whose_kept(lab, "runs") == "emmy", "the choice of the table is saved")
    until(page, lambda: whose_kept(lab, "runs-sidebar") == "@mine", "the choice of the sidebar is saved")
    page.goto(lab.address_of("").replace("&reset", ""))
    expect(page.locator("#nbledger-runs-table").get_by_role("combobox", name="Whose runs")).to_have_value("emmy")
    listed = section(page, "runs")
    expect(listed.get_by_role("button", name="Mine", exact=True)).to_have_attribute("aria-pressed", "true")
    listed.get_by_role("button", name="Everyone", exact=True).click()
    expect(listed.locator("[data-run]").first).to_be_visible()


def test_a_running_cell_moves_its_curve_and_nothing_else_and_is_killed_with_its_kernel(
    lab: Lab, many: Path, page: Any
) -> None:
    open_notebook(lab, page, "endless.ipynb")
    page.evaluate("() => performance.setResourceTimingBufferSize(10_000)")  # requests are counted; 250 is the default
    run_cell(page, 0)
    cell(page, 1).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    table = open_table(page)
    endless = table.locator("[data-run]", has_text="endless").first
    expect(endless).to_contain_text("running")
    # The columns are those of most runs: this one's loss is among them.
    curve = endless.locator(".nbl-sparkline.nbl-mod-live path").first
    before = curve.get_attribute("d")
    expect(curve).not_to_have_attribute("d", before)

    grid = table.locator(".nbl-grid")
    grid.evaluate("node => { node.scrollTop = 28 * 5_000; }")
    middle = table.locator('[aria-rowindex="5010"]')
    middle.click()
    chosen = middle.get_attribute("data-run")
    place = grid.evaluate("node => node.scrollTop")
    told = page.evaluate(
        "() => performance.getEntriesByType('resource').filter(e => e.name.includes('runs/changes')).length"
    )
    page.wait_for_function(
        "told => performance.getEntriesByType('resource').filter(e => e.name.includes('runs/changes')).length > told + 2",
        arg=told,
    )
    assert grid.evaluate("node => node.scrollTop") == place
    expect(table.locator('[aria-selected="true"]')).to_have_attribute("data-run", chosen)
    assert page.evaluate("() => document.activeElement.classList.contains('nbl-grid')")

    grid.evaluate("node => { node.scrollTop = 0; }")
    expect(endless).to_contain_text("running")
    os.kill(int((lab.root / "pid").read_text()), signal.SIGKILL)
    expect(endless).to_contain_text("killed")
    expect(table.locator('[aria-selected="true"]')).to_have_count(0)  # out of sight, but
    expect(table.locator(".nbl-runs-foot")).to_have_text(f"1 of {COUNT + 1:,} selected")
    with sqlite3.connect(store(lab)) as database:
        (status,) = database.execute("select status from runs where name = 'endless'").fetchone()
    assert status == "KILLED"


def column_texts(table: Any, column: Any) -> list[str]:
    index = column.get_attribute("aria-colindex")
    cells = table.locator(f'.nbl-grid-body [aria-colindex="{index}"]').all_inner_texts()
    return [text.strip() for text in cells]


def matching(lab: Lab, question: str) -> int:
    """How many runs plain MLflow finds."""
    program = (
        "import json, sys, mlflow\n"
        "found = mlflow.search_runs(search_all_experiments=True, filter_string=sys.argv[1], output_format='list')\n"
        "print(json.dumps(len(found)))"
    )
    env = lab.env | {"MLFLOW_TRACKING_URI": f"sqlite:///{store(lab)}"}
    return int(json.loads(run(sys.executable, "-c", program, question, cwd=lab.root, env=env).splitlines()[-1]))


SCROLL = """async selector => {
  const grid = document.querySelector(selector);
  const frame = () => new Promise(requestAnimationFrame);
  const end = grid.scrollHeight - grid.clientHeight;
  const box = grid.getBoundingClientRect();
  const covered = () => [40, box.height / 2, box.height - 20].every(
    y => document.elementFromPoint(box.left + 60, box.top + y)?.closest('[data-run]'));
  let blank = 0;
  const walk = async (steps, by) => {
    const start = performance.now();
    for (let step = 0; step < steps; step++) {
      grid.scrollTop += by;
      await frame();
      for (let late = 0; !covered(); late++) {
        if (late === 5) { blank += 1; break; }
        await frame();
      }
    }
    return 1000 * steps / (performance.now() - start);
  };
  // As a wheel turns, then as fast as somebody drags the bar: every frame has other rows.
  const wheel = await walk(60, 90);
  const drag = await walk(60, Math.ceil(end / 50));
  return { blank, wheel, drag, end: Math.round(end), reached: Math.round(grid.scrollTop) };
}"""
"""Scroll to the end, a step a frame: how many frames a second, and how many places stayed without a row."""

TIMED = """async selector => {
  const frame = () => new Promise(requestAnimationFrame);
  const start = performance.now();
  document.querySelector(selector).click();
  await frame();
  await frame();
  return performance.now() - start;
}"""
"""Click; how long until it is drawn, in milliseconds."""
