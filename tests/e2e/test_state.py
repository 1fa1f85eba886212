"""The sidebar's State in a real browser: every line, its action, and what plain Git, DVC and MLflow then say."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api

from e2e.browser import (
    SCREENSHOTS,
    Lab,
    accept,
    ask,
    axe,
    open_lab,
    open_notebook,
    open_sidebar,
    outside_requests,
    problems_of,
    run_cell,
    section,
    switch_theme,
    type_into,
    write_notebook,
)

HOSTILE = ("<img src=x onerror=alert(1)>.py", "\u202egnp.exe", "n" * 250, "'\"`;&.py")

STAGE = """\
stages:
  count:
    cmd: wc raw.csv > n.txt
    deps: [raw.csv]
    outs: [n.txt]
"""


@pytest.fixture(autouse=True)
def harmless(lab: Lab, page: Any) -> Iterator[None]:
    """No script of a name runs, no exception is left, nothing is asked of anybody else."""
    problems, elsewhere = problems_of(page), outside_requests(page, lab)
    yield
    assert problems == []
    assert elsewhere == []


def line(page: Any, group: str) -> Any:
    return page.locator(f'#nbledger-state [data-group="{group}"]')


def names(page: Any, group: str) -> list[str]:
    """The files of a line, opened."""
    toggle = line(page, group).locator(".nbl-toggle")
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    return line(page, group).locator(".nbl-path-name").all_inner_texts()


def act(page: Any, group: str, verb: str, button: str) -> str:
    """Press a line's button and confirm; what the dialog said would happen."""
    line(page, group).get_by_role("button", name=verb, exact=True).first.click()
    dialog = page.locator(".jp-Dialog")
    dialog.locator(".nbl-confirm-lines").first.wait_for()
    said = dialog.inner_text()
    accept(page, button)
    return said


def told(page: Any, text: str) -> Any:
    """The notification that says so."""
    return page.locator(".Toastify__toast", has_text=text)


def idle(lab: Lab, page: Any) -> None:
    """Wait until no job runs: a line may go before its job is at its end."""
    for _ in range(600):
        jobs = page.request.get(f"{lab.url}/nbledger/api/jobs?path=&token={lab.token}").json()["result"]["jobs"]
        if all(job["state"] != "running" for job in jobs):
            return
        time.sleep(0.1)
    pytest.fail("a job does not end")


def gone(page: Any, *groups: str) -> None:
    for group in groups:
        line(page, group).wait_for(state="detached")


def log(lab: Lab, form: str = "%s") -> list[str]:
    return ask(lab, "git", "log", f"--format={form}").splitlines()


def test_an_empty_folder_becomes_a_project(lab: Lab, page: Any) -> None:
    open_lab(lab, page)
    open_sidebar(page)
    state = section(page, "state")
    sync_api.expect(state).to_contain_text("No project was found here")
    sync_api.expect(page.locator(".nbl-status")).to_have_text("no project")
    assert not list(lab.root.iterdir()), "looking made something"
    assert axe(page, "#nbledger-state") == []
    page.screenshot(path=SCREENSHOTS / "state-no-project.png")

    state.get_by_role("button", name="Set up this folder…").click()
    page.locator(".nbl-confirm-lines").wait_for()
    accept(page, "Set up")
    sync_api.expect(state.locator(".nbl-branch")).to_contain_text("main")
    sync_api.expect(state.locator(".nbl-calm")).to_be_visible()
    sync_api.expect(page.locator(".nbl-status")).to_have_text("reproducible")
    assert ask(lab, "git", "status", "--porcelain") == ""
    assert "no data or pipelines tracked" in ask(lab, "dvc", "status")


def test_every_line_has_an_action_that_plain_tools_confirm(lab: Lab, page: Any, tmp_path: Path) -> None:
    _remotes(lab, tmp_path)
    (lab.root / "raw.csv").write_text("a,b\n1,2\n" * 100)
    (lab.root / "helper.py").write_text("x = 1\n")
    write_notebook(
        lab.root / "read.ipynb",
        ["%load_ext nbledger\nimport pathlib", "%%mlrun first\ntext = pathlib.Path('raw.csv').read_text()"],
    )
    ask(lab, "git", "add", "helper.py", "read.ipynb")
    ask(lab, "git", "commit", "-qm", "By hand")
    open_notebook(lab, page, "read.ipynb")
    open_sidebar(page)
    section(page, "state")

    _tracks_what_a_run_read(lab, page)
    _shows_an_edit_at_once(lab, page)
    _rests_while_hidden(lab, page)
    _commits_and_takes_back(lab, page)
    _tracks_large_and_changed_data(lab, page)
    _sets_where_data_is_pushed_to(lab, page, tmp_path / "data")
    _pushes_and_pulls(lab, page)
    _shows_stale_stages(lab, page)
    _stops_a_job(lab, page)


def test_looks(lab: Lab, page: Any) -> None:
    """Hostile names are text; axe is content in every theme; nothing overflows at 240 and 600 pixels or 200 %."""
    commit_all(lab)
    for name in HOSTILE:
        (lab.root / name).write_text("")
    (lab.root / "deep" / "folder" / "of" / "many").mkdir(parents=True)
    for number in range(150):
        (lab.root / "deep/folder/of/many" / f"module_{number:03}.py").write_text("")
    ask(lab, "git", "add", "--intent-to-add", "deep")
    open_lab(lab, page)
    panel = open_sidebar(page, width=240)
    section(page, "state")
    shown = names(page, "untracked")
    assert "<img src=x onerror=alert(1)>.py" in shown
    assert "\ufffdgnp.exe" in shown, "a name that turns the text around shows where it does"
    assert page.locator("#nbledger-sidebar img").count() == 0
    assert len(names(page, "changed")) == 100
    sync_api.expect(line(page, "changed").locator(".nbl-more")).to_have_text("and 50 more")
    toggle = line(page, "changed").locator(".nbl-toggle")
    toggle.click()
    for theme in ("Light", "Dark", "Dark High Contrast"):
        switch_theme(page, theme)
        for part in ("#nbledger-sidebar .nbl-summary", "#nbledger-state", ".nbl-status"):
            assert axe(page, part) == [], theme
        page.screenshot(path=SCREENSHOTS / f"state-240-{theme.split()[-1].lower()}.png")
    toggle.click()
    _fits(panel)
    panel = open_sidebar(page, width=600)
    _fits(panel)
    page.screenshot(path=SCREENSHOTS / "state-600.png")
    page.set_viewport_size({"width": 700, "height": 500})  # as 1400 × 1000 at 200 %
    panel = open_sidebar(page, width=240)
    _fits(panel)
    _works_by_keyboard(page)


def commit_all(lab: Lab) -> None:
    ask(lab, "git", "add", "--all")
    ask(lab, "git", "commit", "-qm", "All", "--allow-empty")


def _remotes(lab: Lab, folder: Path) -> None:
    ask(lab, "git", "init", "-q", "--bare", folder / "code.git")
    ask(lab, "git", "remote", "add", "origin", folder / "code.git")
    ask(lab, "git", "push", "-qu", "origin", "main")


def _tracks_what_a_run_read(lab: Lab, page: Any) -> None:
    run_cell(page, 0)
    run_cell(page, 1)
    assert names(page, "untracked-inputs") == ["raw.csv"]
    sync_api.expect(page.locator(".nbl-summary")).to_contain_text("Not yet reproducible: because raw.csv was read")
    assert page.locator('li[data-id="nbledger-sidebar"]').get_attribute("data-nbl-badge") == "not-yet"
    said = act(page, "untracked-inputs", "Track…", "Track")
    assert "raw.csv" in said
    gone(page, "untracked-inputs")
    idle(lab, page)
    assert ask(lab, "git", "ls-files", "raw.csv*") == "raw.csv.dvc"
    assert ask(lab, "git", "check-ignore", "raw.csv") == "raw.csv"


def _shows_an_edit_at_once(lab: Lab, page: Any) -> None:
    """Well within the page's patience; how long it took from the end of the write to the page is logged."""
    page.evaluate(
        """() => { window.seen = null; new MutationObserver(() => {
            if (!window.seen && document.querySelector('#nbledger-state [data-group="changed"]')?.textContent
                .startsWith('Changed2')) window.seen = Date.now(); })
            .observe(document.querySelector('#nbledger-state'), {childList: true, subtree: true, characterData: true}) }"""
    )
    gone(page, "untracked")
    (lab.root / "helper.py").write_text("x = 2\n")
    written = time.time()
    page.wait_for_function("() => window.seen")
    seconds = page.evaluate("() => window.seen") / 1000 - written
    logging.getLogger(__name__).info("an edit from outside showed after %.2f s", seconds)


def _rests_while_hidden(lab: Lab, page: Any) -> None:
    """A page that nobody sees asks for nothing, and knows all when it is shown."""
    asked: list[str] = []
    hide = """hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
        document.dispatchEvent(new Event('visibilitychange')) }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(300)  # what it asked before is told by then
    page.on("request", lambda request: asked.append(request.url) if "/nbledger/api/" in request.url else None)
    (lab.root / "meanwhile.py").write_text("")
    page.wait_for_timeout(1500)
    assert asked == []
    page.evaluate(hide, False)
    assert names(page, "untracked") == ["meanwhile.py"]
    (lab.root / "meanwhile.py").unlink()
    gone(page, "untracked")


def _commits_and_takes_back(lab: Lab, page: Any) -> None:
    assert sorted(names(page, "changed")) == ["helper.py", "read.ipynb"]
    before = log(lab, "%H")[0]
    line(page, "changed").get_by_role("button", name="Checkpoint…", exact=True).click()
    dialog = page.locator(".jp-Dialog")
    sync_api.expect(dialog).to_contain_text("commit 2 files on main")
    button = dialog.get_by_role("button", name="Checkpoint", exact=True)
    sync_api.expect(button).to_be_disabled()
    page.keyboard.press("Enter")
    sync_api.expect(dialog).to_be_visible()
    page.keyboard.insert_text("Twice <b>as</b> good")
    sync_api.expect(button).to_be_enabled()
    page.keyboard.press("Enter")
    told(page, "Committed 2 files").hover()  # so that it stays
    gone(page, "changed")
    assert log(lab)[0] == "Twice <b>as</b> good"
    assert ask(lab, "git", "show", "--format=", "--name-only").splitlines() == ["helper.py", "read.ipynb"]

    told(page, "Committed 2 files").get_by_role("button", name="Undo").click()
    page.locator(".nbl-confirm-lines").wait_for()
    accept(page, "Undo")
    line(page, "changed").wait_for()
    assert log(lab, "%H")[0] == before
    assert (lab.root / "helper.py").read_text() == "x = 2\n"

    act_checkpoint(page, "changed", "Again")
    gone(page, "changed")
    said = act(page, "undo", "Undo…", "Undo")
    assert "Again" in said
    line(page, "changed").wait_for()
    assert log(lab, "%H")[0] == before
    act_checkpoint(page, "changed", "At last")
    gone(page, "changed")
    _counts_what_is_on_screen(lab, page)


def _counts_what_is_on_screen(lab: Lab, page: Any) -> None:
    """A document that is not saved is not recorded, and a checkpoint holds it as it is on screen."""
    summary = page.locator(".nbl-summary-text")
    sync_api.expect(summary).to_contain_text("Reproducible")
    type_into(page, 0, "  # on screen")
    sync_api.expect(summary).to_contain_text("read.ipynb is not saved")
    sync_api.expect(page.locator(".nbl-status")).to_contain_text("not yet")
    assert names(page, "unsaved") == ["read.ipynb"]
    assert "on screen" not in (lab.root / "read.ipynb").read_text()
    line(page, "unsaved").get_by_role("button", name="Save", exact=True).click()
    gone(page, "unsaved")
    assert "on screen" in (lab.root / "read.ipynb").read_text()
    type_into(page, 0, ", later")
    line(page, "unsaved").wait_for()
    act_checkpoint(page, "changed", "As on screen")
    gone(page, "changed", "unsaved")
    assert "on screen, later" in ask(lab, "git", "show", "HEAD:read.ipynb")


def act_checkpoint(page: Any, group: str, message: str) -> None:
    line(page, group).get_by_role("button", name="Checkpoint…", exact=True).click()
    page.locator(".nbl-confirm-lines").wait_for()
    page.locator(".nbl-confirm-ask input").fill(message)
    accept(page, "Checkpoint")


def _tracks_large_and_changed_data(lab: Lab, page: Any) -> None:
    (lab.root / "big.bin").write_bytes(b"\0" * 11_000_000)
    assert names(page, "large") == ["big.bin"]
    sync_api.expect(line(page, "large")).to_contain_text("11.0 MB")
    act(page, "large", "Track…", "Track")
    gone(page, "large")
    idle(lab, page)
    assert ask(lab, "git", "ls-files", "big.bin*") == "big.bin.dvc"

    (lab.root / "raw.csv").write_text("a,b\n3,4\n")
    assert names(page, "data-changed") == ["raw.csv"]
    act(page, "data-changed", "Track…", "Track")
    gone(page, "data-changed")
    idle(lab, page)
    assert ask(lab, "dvc", "status") == "Data and pipelines are up to date."
    assert log(lab)[0] != "At last"


def _sets_where_data_is_pushed_to(lab: Lab, page: Any, store: Path) -> None:
    line(page, "no-remote").get_by_role("button", name="Set…").click()
    page.locator(".jp-Dialog input").fill(str(store))
    page.keyboard.press("Enter")
    page.locator(".nbl-confirm-lines").wait_for()
    accept(page, "Set")
    gone(page, "no-remote")
    assert str(store) in ask(lab, "git", "show", "HEAD:.dvc/config")


def _pushes_and_pulls(lab: Lab, page: Any) -> None:
    ahead = len(ask(lab, "git", "log", "--format=%h", "@{upstream}..").splitlines())
    assert ahead > 0
    sync_api.expect(page.locator(".nbl-ahead")).to_have_text(f"↑{ahead}")
    assert sorted(names(page, "not-pushed")) == ["big.bin", "raw.csv"]
    act(page, "not-pushed", "Push…", "Push")
    gone(page, "not-pushed")
    idle(lab, page)
    sync_api.expect(page.locator(".nbl-ahead")).to_have_count(0)
    assert ask(lab, "git", "rev-parse", "origin/main") == log(lab, "%H")[0]
    assert "in sync" in ask(lab, "dvc", "status", "--cloud")

    kept = (lab.root / "big.bin").read_bytes()
    (lab.root / "big.bin").unlink()
    assert names(page, "missing") == ["big.bin"]
    act(page, "missing", "Pull…", "Pull")
    gone(page, "missing")
    idle(lab, page)
    assert (lab.root / "big.bin").read_bytes() == kept
    sync_api.expect(page.locator(".nbl-summary")).to_contain_text("Reproducible")


def _shows_stale_stages(lab: Lab, page: Any) -> None:
    (lab.root / "dvc.yaml").write_text(STAGE)
    line(page, "stale").wait_for()
    line(page, "stale").locator(".nbl-toggle").click()
    sync_api.expect(line(page, "stale").locator(".nbl-row")).to_have_text(["count"])
    ask(lab, "dvc", "repro", "-q")
    gone(page, "stale")


def _stops_a_job(lab: Lab, page: Any) -> None:
    """A reproduction, which takes a while, is shown with its progress and stopped by its button."""
    page.evaluate(
        """async words => { const cookie = /_xsrf=([^;]+)/.exec(document.cookie)?.[1];
            const answer = await fetch(words.url, {method: 'POST', body: JSON.stringify({kind: 'reproduce', run: '@last'}),
                headers: {'Content-Type': 'application/json', 'X-XSRFToken': cookie ?? ''}});
            if (!answer.ok) throw new Error(await answer.text()) }""",
        {"url": f"{lab.url}/nbledger/api/jobs?path="},
    )
    job = page.locator("#nbledger-state .nbl-job")
    job.get_by_role("progressbar").wait_for()
    job.get_by_role("button", name=re.compile("^Stop: ")).click()
    job.wait_for(state="detached")
    page.get_by_text(re.compile("Reproduce .*: stopped")).first.wait_for()


def _fits(panel: Any) -> None:
    """Nothing in the sidebar is wider than it, and no line's button is pushed out."""
    assert (
        panel.evaluate(
            """panel => { const edge = panel.getBoundingClientRect().right + 1;
            return [...panel.querySelectorAll('#nbledger-state *, .nbl-summary *')]
                .filter(node => node.getBoundingClientRect().right > edge && !node.closest('.nbl-path, .nbl-clip, .nbl-row-deeds'))
                .map(node => node.className) }"""
        )
        == []
    )


def _works_by_keyboard(page: Any) -> None:
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    page.keyboard.press("Alt+Shift+L")
    focused = "() => document.activeElement.closest('#nbledger-state') !== null"
    page.wait_for_function(focused)
    toggle = line(page, "untracked").locator(".nbl-toggle")
    was = toggle.get_attribute("aria-expanded")
    for _ in range(400):
        if toggle.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("Tab")
    assert toggle.evaluate("node => getComputedStyle(node).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.press("Space")
    sync_api.expect(toggle).to_have_attribute("aria-expanded", json.dumps(was != "true"))
