"""The notebook and the file browser in JupyterLab: what moves while a cell runs, what marks it, and what plain tools then say."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

from conftest import git
from e2e.browser import (
    SCREENSHOTS,
    Lab,
    accept,
    ask,
    axe,
    cell,
    open_lab,
    open_notebook,
    problems_of,
    recorded_runs,
    run_cell,
    switch_theme,
    type_into,
    write_notebook,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOP = """%%mlrun curve
import time
from nbledger import log
for step in range({rounds}):
    log(loss=1 / (step + 1), accuracy=step / {rounds})
    time.sleep(0.1)"""


@pytest.fixture(scope="module", autouse=True)
def project(lab: Lab) -> None:
    ask(lab, "git", "init", "--quiet")
    ask(lab, "nbledger", "init")


def flushed(lab: Lab) -> dict[str, dict[str, Any]]:
    """The runs by name, once all are published."""
    ask(lab, "nbledger", "flush")
    return {one["tags"]["mlflow.runName"]: one for one in recorded_runs(lab)}


def mark(page: Any, index: int) -> Any:
    return cell(page, index).locator(".nbl-CellMark")


def points(page: Any, index: int) -> int:
    """How many points the curves below a cell have."""
    lines = (
        cell(page, index)
        .locator(".jp-OutputArea polyline")
        .evaluate_all("lines => lines.map(line => line.getAttribute('points'))")
    )
    return sum(len(line.split()) for line in lines)


def run_all_tracked(page: Any) -> None:
    page.get_by_role("button", name=re.compile("Save the notebook and run all")).click()


def test_a_curve_moves_and_the_cell_is_marked(lab: Lab, page: Any) -> None:
    write_notebook(lab.root / "curve.ipynb", ["%load_ext nbledger", LOOP.format(rounds=150), "plain = 1"])
    seen = problems_of(page)
    open_notebook(lab, page, "curve.ipynb")
    run_cell(page, 0)
    cell(page, 1).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    shown = cell(page, 1).locator(".jp-OutputArea .nbledger")
    sync_api.expect(shown).to_contain_text("running")
    earlier = points(page, 1)
    page.wait_for_function(
        "before => [...document.querySelectorAll('.jp-OutputArea polyline')]"
        ".map(line => line.getAttribute('points').split(' ').length).reduce((a, b) => a + b, 0) > before",
        arg=earlier + 4,
    )
    sync_api.expect(mark(page, 1)).to_have_attribute("data-status", "running")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "notebook-live.png")
    sync_api.expect(shown).to_contain_text("finished")
    assert points(page, 1) == 300 and shown.count() == 1
    sync_api.expect(mark(page, 1)).to_have_attribute("data-status", "finished")
    sync_api.expect(mark(page, 1)).to_contain_text("curve")
    assert mark(page, 0).count() == mark(page, 2).count() == 0

    page.keyboard.press("Control+s")
    page.get_by_text("Saving completed").wait_for()
    saved = nbformat.read(lab.root / "curve.ipynb", 4)
    assert "nbl" not in json.dumps([dict(c.metadata) for c in saved.cells]) and "widgets" not in saved.metadata
    assert len(saved.cells[1].outputs) == 1 and "<polyline" in saved.cells[1].outputs[0].data["text/html"]

    open_notebook(lab, page, "curve.ipynb")
    sync_api.expect(mark(page, 1)).to_contain_text("curve")
    assert points(page, 1) == 300, "the static picture is still there"
    sync_api.expect(mark(page, 1)).not_to_contain_text("edited")
    type_into(page, 1, "\nmore = 1")
    sync_api.expect(mark(page, 1)).to_contain_text("edited since")
    page.screenshot(path=SCREENSHOTS / "notebook-edited.png")
    page.keyboard.press("Control+z")
    sync_api.expect(mark(page, 1)).not_to_contain_text("edited")

    page.keyboard.press("Escape")
    for key, place in (("Control+Shift+ArrowUp", 0), ("z", 1), ("x", None), ("z", 1)):
        if key == "x":
            cell(page, 1).locator(".jp-InputPrompt").click()
        page.keyboard.press(key)
        sync_api.expect(page.locator(".nbl-CellMark")).to_have_count(0 if place is None else 1)
        if place is not None:
            sync_api.expect(mark(page, place)).to_contain_text("curve")
    assert axe(page, ".jp-NotebookPanel .nbl-CellMark") == axe(page, ".nbl-ToolbarBadge") == []
    for theme in ("Dark", "Light"):
        switch_theme(page, theme)
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        page.screenshot(path=SCREENSHOTS / f"notebook-{theme.lower()}.png")
    mark(page, 1).get_by_role("button").click()
    sync_api.expect(page.locator(".nbl-detail:visible")).to_contain_text("curve")
    assert not seen


def test_a_dead_kernel_shows_in_the_mark(lab: Lab, page: Any) -> None:
    dying = LOOP.format(rounds=60).replace("curve", "dying") + "\nimport os\nos.kill(os.getpid(), 9)"
    write_notebook(lab.root / "dying.ipynb", ["%load_ext nbledger", dying])
    open_notebook(lab, page, "dying.ipynb")
    run_cell(page, 0)
    cell(page, 1).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    sync_api.expect(mark(page, 1)).to_have_attribute("data-status", "running")
    sync_api.expect(mark(page, 1)).to_have_attribute("data-status", "killed")
    assert points(page, 1) > 8, "what was drawn last stays"
    assert flushed(lab)["dying"]["status"] == "KILLED"


def test_run_all_tracked_is_one_run(lab: Lab, page: Any) -> None:
    write_notebook(lab.root / "good.ipynb", ["x = 20", "%%mlrun inner -m x\nx += 1", "x * 2"])
    write_notebook(lab.root / "bad.ipynb", ["y = 1", "1 / 0", "y = 2"])
    write_notebook(lab.root / "slow.ipynb", ["print('on')", "import time\ntime.sleep(60)", "late = 1"])
    open_notebook(lab, page, "good.ipynb")
    type_into(page, 0, "  # typed, not saved")
    run_all_tracked(page)
    sync_api.expect(page.locator(".Toastify")).to_contain_text("recorded as one run")
    assert [cell(page, i).locator(".jp-InputPrompt").inner_text() for i in range(3)] == ["[1]:", "[2]:", "[3]:"]
    assert (
        cell(page, 2).locator(".jp-OutputArea").inner_text().strip() == "[3]:\n42" or "42" in cell(page, 2).inner_text()
    )

    open_notebook(lab, page, "bad.ipynb")
    run_all_tracked(page)
    sync_api.expect(page.locator(".Toastify")).to_contain_text("recorded as failed")
    assert cell(page, 2).locator(".jp-InputPrompt").inner_text() == "[ ]:"

    open_notebook(lab, page, "slow.ipynb")
    run_all_tracked(page)
    sync_api.expect(cell(page, 1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    sync_api.expect(cell(page, 0).locator(".jp-OutputArea")).to_contain_text("on")
    page.get_by_role("button", name=re.compile("^Interrupt the kernel")).click()
    sync_api.expect(page.locator(".Toastify")).to_contain_text("recorded as killed")

    found = flushed(lab)
    assert {name: found[name]["status"] for name in ("good", "inner", "bad", "slow")} == {
        "good": "FINISHED", "inner": "FINISHED", "bad": "FAILED", "slow": "KILLED",
    }  # fmt: skip
    assert found["inner"]["tags"]["mlflow.parentRunId"] == found["good"]["run_id"]
    assert "typed, not saved" in git(
        lab.root, "show", f"{found['good']['tags']['mlflow.source.git.commit']}:good.ipynb"
    )


def item(page: Any, name: str) -> Any:
    return page.locator(".jp-DirListing-item", has=page.get_by_text(name, exact=True))


def menu(page: Any, name: str, entry: str) -> None:
    """Choose an entry of the context menu of a file; what was just written to the disk is known a moment later."""
    chosen = page.get_by_role("menuitem", name=entry)
    for _ in range(20):
        item(page, name).click(button="right")
        page.wait_for_timeout(200)
        if chosen.is_visible():
            break
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
    chosen.click()


def entries(page: Any, name: str, *wanted: str) -> None:
    """See that a file's context menu offers these entries of nbledger's and no other; before the state is known it has none."""
    deadline = time.monotonic() + 30
    while True:
        item(page, name).click(button="right")
        found = set(page.locator(".lm-Menu-itemLabel:visible").all_inner_texts())
        page.keyboard.press("Escape")
        ours = found & {"Track with DVC…", "Show versions", "Show what changed"}
        if (found and ours == set(wanted)) or time.monotonic() > deadline:
            break
        page.wait_for_timeout(300)
    assert found
    assert ours == set(wanted)


def test_files_are_marked_tracked_compared_and_brought_back(lab: Lab, page: Any) -> None:
    (lab.root / "train.py").write_text("a = 1\nb = 2\n")
    (lab.root / "wine.csv").write_text("x,y\n1,2\n")
    write_notebook(lab.root / "plain.ipynb", ["kept = 1", "gone = 2"])
    ask(lab, "git", "add", "train.py", "plain.ipynb")
    ask(lab, "git", "commit", "--quiet", "-m", "Start")
    open_lab(lab, page)
    entries(page, "wine.csv", "Track with DVC…", "Show what changed")
    entries(page, "train.py")

    menu(page, "wine.csv", "Track with DVC…")
    accept(page, "Track")
    mark = item(page, "wine.csv").locator(".nbl-FileMark")
    sync_api.expect(mark).to_have_attribute("data-state", "clean")
    assert ask(lab, "git", "log", "-1", "--format=", "--name-only").split() == [".gitignore", "wine.csv.dvc"]
    assert "wine.csv" not in ask(lab, "dvc", "status")

    (lab.root / "wine.csv").write_text("x,y\n1,2\n3,4\n")
    sync_api.expect(mark).to_have_attribute("data-state", "changed")
    menu(page, "wine.csv", "Show what changed")
    diff = page.locator(".nbl-diff:visible")
    sync_api.expect(diff).to_contain_text("1 added")
    page.screenshot(path=SCREENSHOTS / "files-data-diff.png")
    assert axe(page, ".nbl-diff") == []

    (lab.root / "train.py").write_text("a = 1\nb = 3\n")
    menu(page, "train.py", "Show what changed")
    sync_api.expect(diff.locator(".nbl-mod-removed")).to_contain_text("b = 2")
    sync_api.expect(diff.locator(".nbl-mod-added")).to_contain_text("b = 3")
    assert axe(page, ".nbl-diff") == []
    write_notebook(lab.root / "plain.ipynb", ["kept = 1", "fresh = 3"])
    menu(page, "plain.ipynb", "Show what changed")
    sync_api.expect(diff).to_contain_text("fresh")

    ask(lab, "nbledger", "track", "wine.csv", "-m", "two rows")
    sync_api.expect(mark).to_have_attribute("data-state", "clean")
    menu(page, "wine.csv", "Show versions")
    rows = page.locator(".nbl-versions tbody tr")
    sync_api.expect(rows).to_have_count(2)
    sync_api.expect(rows.nth(0)).to_contain_text("two rows")
    assert axe(page, ".nbl-versions") == []
    page.screenshot(path=SCREENSHOTS / "files-versions.png")
    rows.nth(1).get_by_role("button", name="Use…").click()
    accept(page, "Use")
    sync_api.expect(rows.nth(1)).to_contain_text("in use")
    assert (lab.root / "wine.csv").read_text() == "x,y\n1,2\n"
    page.locator(".Toastify").get_by_role("button", name="Undo").first.click()
    sync_api.expect(rows.nth(0)).to_contain_text("in use")
    assert (lab.root / "wine.csv").read_text() == "x,y\n1,2\n3,4\n"

    (lab.root / ".nbledger.toml").write_text("large_file_mb = 1\n")
    (lab.root / "big.bin").write_bytes(bytes(2_000_000))
    toast = page.locator(".Toastify__toast", has_text="big.bin (2.0 MB) is large for Git")
    toast.wait_for()
    toast.get_by_role("button", name="Track with DVC").click()
    accept(page, "Track")
    sync_api.expect(item(page, "big.bin").locator(".nbl-FileMark")).to_have_attribute("data-state", "clean")
    sync_api.expect(toast).to_have_count(0)
    assert "big.bin" not in ask(lab, "git", "ls-files").split()
    (lab.root / "big.bin").unlink()
    sync_api.expect(item(page, "big.bin.dvc").locator(".nbl-FileMark")).to_have_attribute("data-state", "missing")
    for theme in ("Dark", "Light"):
        switch_theme(page, theme)
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        page.screenshot(path=SCREENSHOTS / f"files-{theme.lower()}.png")
    assert axe(page, ".jp-DirListing-content .nbl-FileMark") == []
