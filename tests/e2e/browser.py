"""JupyterLab as a person drives it: open a notebook, type, run, look; and what plain MLflow then says was recorded."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright import sync_api

from conftest import run

SCREENSHOTS = Path(__file__).parent / "screenshots"
PATIENCE = 90_000


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address with the token, the folder it serves, and the environment it runs in."""

    url: str
    token: str
    root: Path
    env: dict[str, str]

    def address_of(self, notebook: str) -> str:
        return f"{self.url}/lab/tree/{notebook}?token={self.token}&reset"


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
    sync_api.expect(cell(page, index).locator(".jp-InputPrompt")).to_have_text(
        re.compile(r"\[\d+\]:"), timeout=PATIENCE
    )


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
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()


def choose_theme(lab: Lab, theme: str) -> None:
    """Set ``Light`` or ``Dark`` for pages that are opened from now on."""
    _set(lab, "@jupyterlab/apputils-extension/themes", {"theme": f"JupyterLab {theme}"})


def render_every_cell(lab: Lab) -> None:
    """Keep cells that are out of sight in the page."""
    _set(lab, "@jupyterlab/notebook-extension/tracker", {"windowingMode": "none"})


def _set(lab: Lab, plugin: str, values: dict[str, Any]) -> None:
    file = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / f"{plugin}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
