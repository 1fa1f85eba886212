"""JupyterLab as a person drives it: open a notebook, type, run, look; and what plain MLflow then says was recorded."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright import sync_api

from conftest import run

SCREENSHOTS = Path(__file__).parent / "screenshots"
PATIENCE = 90_000
"""How long a page is waited for unless a test says more, in milliseconds: the machine may do other things as well."""
SIDEBAR = "nbledger-sidebar"
AXE = Path(__file__).parents[2] / "labextension/node_modules/axe-core/axe.min.js"


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address with the token, the folder it serves, and the environment it runs in."""

    url: str
    token: str
    root: Path
    env: dict[str, str]

    def address_of(self, notebook: str) -> str:
        where = f"/tree/{notebook}" if notebook else ""
        return f"{self.url}/lab{where}?token={self.token}&reset"


def write_notebook(path: Path, sources: list[str]) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def open_notebook(lab: Lab, page: Any, name: str) -> None:
    page.goto(lab.address_of(name))
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook").wait_for()
    # JupyterLab drops a cell that is run before there is a kernel, with or without nbledger.
    page.get_by_text(re.compile(r"^Python 3 .*\| Idle$")).wait_for()


def cell(page: Any, index: int) -> Any:
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell").nth(index)


def type_into(page: Any, index: int, text: str) -> None:
    """Put ``text`` at the end of a cell, as one input, so that no bracket is closed by the editor."""
    cell(page, index).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text)


def run_cell(page: Any, index: int) -> None:
    """Run a cell by its keyboard shortcut and wait until its number says that it ran."""
    cell(page, index).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    sync_api.expect(cell(page, index).locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))


def recorded_runs(lab: Lab) -> list[dict[str, Any]]:
    """The runs of the project's store, by plain MLflow in a process of its own."""
    program = """
import json, mlflow
runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
print(json.dumps([{"run_id": r.info.run_id, "status": r.info.status, "params": r.data.params,
                   "metrics": r.data.metrics, "tags": r.data.tags} for r in runs]))
"""
    env = lab.env | {"MLFLOW_TRACKING_URI": f"sqlite:///{lab.root / '.nbledger' / 'mlflow.db'}"}
    return json.loads(run(sys.executable, "-c", program, cwd=lab.root, env=env).splitlines()[-1])


def run_all(page: Any) -> None:
    """Choose *Run All Cells* from the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile(r"^Run All Cells(?!,)")).first.click()


def choose_theme(lab: Lab, theme: str) -> None:
    """Set ``Light``, ``Dark`` or ``Dark High Contrast`` for pages that are opened from now on."""
    _set(lab, "@jupyterlab/apputils-extension/themes", {"theme": f"JupyterLab {theme}"})


def switch_theme(page: Any, theme: str) -> None:
    """Change to a theme in the open page, by the menu; the page's own ``data-jp-theme-name`` says when it is there."""
    name = f"JupyterLab {theme}"
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Theme$")).hover()
    page.locator(".lm-Menu-item", has_text=re.compile(f"^{name}$")).click()
    page.locator(f'body[data-jp-theme-name="{name}"]').wait_for(state="attached")
    page.keyboard.press("Escape")


def open_lab(lab: Lab, page: Any, path: str = "") -> None:
    """Open JupyterLab on a file or folder of what it serves."""
    page.goto(lab.address_of(path))
    page.locator(f'li[data-id="{SIDEBAR}"]').wait_for()


def open_sidebar(page: Any, *, width: int | None = None) -> Any:
    """The sidebar of nbledger, shown (and made so many pixels wide)."""
    panel = page.locator(f"#{SIDEBAR}")
    if not panel.is_visible():
        page.locator(f'li[data-id="{SIDEBAR}"]').click()
    panel.wait_for()
    if width is not None:
        _drag(page, panel, width)
    return panel


def section(page: Any, name: str) -> Any:
    """A section of the sidebar by its id (``state``, ``runs``, ``models``, ``pipeline``), opened if it is not."""
    found = page.locator(f"#nbledger-{name}")
    found.wait_for(state="attached")
    if not found.is_visible():
        heading = page.locator(f"#{SIDEBAR} .jp-AccordionPanel-title", has_text=re.compile(name, re.IGNORECASE))
        heading.first.click()
    found.wait_for()
    return found


def axe(page: Any, selector: str) -> list[str]:
    """What axe-core finds serious or critical in what ``selector`` shows, one line a violation."""
    if not page.evaluate("() => 'axe' in window"):
        page.add_script_tag(path=AXE)
    found = page.evaluate(
        "selector => axe.run(selector, {resultTypes: ['violations']}).then(found => found.violations)", selector
    )
    return [
        f"{one['impact']} {one['id']}: {one['help']} at {[node['target'] for node in one['nodes']][:5]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def outside_requests(page: Any, lab: Lab) -> list[str]:
    """A list that grows by every request of the page to anywhere but the server, from now on."""
    asked: list[str] = []
    ours = lab.url.split("/", 3)[2]

    def note(request: Any) -> None:
        scheme, _, rest = request.url.partition("://")
        if scheme in ("http", "https", "ws", "wss") and rest.split("/", 1)[0] != ours:
            asked.append(request.url)

    page.on("request", note)
    page.on("websocket", lambda socket: asked.append(socket.url) if f"//{ours}/" not in socket.url else None)
    return asked


def problems_of(page: Any) -> list[str]:
    """A list that grows by every exception in the page and every dialog that a script opens, from now on."""
    seen: list[str] = []
    page.on("pageerror", lambda error: seen.append(str(error)))

    def refuse(dialog: Any) -> None:
        if dialog.type != "beforeunload":
            seen.append(f"a script opened a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    return seen


def ask(lab: Lab, *words: str | Path, cwd: Path | None = None) -> str:
    """What a plain command says in the Lab's environment; ``dvc`` and ``mlflow`` are Python's modules."""
    program = [sys.executable, "-m", *words] if words[0] in ("dvc", "mlflow") else words
    return run(*program, cwd=cwd or lab.root, env=lab.env)


def accept(page: Any, name: str) -> None:
    """Press a dialog's button once it is on (what will happen is known then), and see this one go: another may follow."""
    dialog = page.locator(".jp-Dialog", has=page.get_by_role("button", name=name, exact=True)).element_handle()
    page.locator(".jp-Dialog .jp-Dialog-footer").get_by_role("button", name=name, exact=True).click()
    dialog.wait_for_element_state("hidden")


def until(page: Any, wanted: Callable[[], Any], what: str) -> None:
    """Wait until it is so outside of the page."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not wanted():
        if time.monotonic() > deadline:
            pytest.fail(f"not so after {PATIENCE // 1000} s: {what}")
        page.wait_for_timeout(100)


def workspace(lab: Lab) -> dict[str, Any]:
    """What JupyterLab saved of its state, which it does a second after the last change; nothing while it is being written."""
    for file in Path(lab.env["JUPYTERLAB_WORKSPACES_DIR"]).glob("*"):
        with suppress(ValueError):
            return json.loads(file.read_text())["data"]
    return {}


def _drag(page: Any, panel: Any, width: int) -> None:
    box = panel.bounding_box()
    edge, middle = box["x"] + box["width"] + 1, box["y"] + box["height"] / 2
    page.mouse.move(edge, middle)
    page.mouse.down()
    page.mouse.move(edge + width - box["width"], middle, steps=4)
    page.mouse.up()


def render_every_cell(lab: Lab) -> None:
    """Keep cells that are out of sight in the page."""
    _set(lab, "@jupyterlab/notebook-extension/tracker", {"windowingMode": "none"})


def _set(lab: Lab, plugin: str, values: dict[str, Any]) -> None:
    file = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / f"{plugin}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
