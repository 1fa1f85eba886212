"""JupyterLab in a real browser: what a person types, sees and finds recorded."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from conftest import git, isolated_environment, run, short_folder, stop_keepers

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab from this environment, on an empty folder."""
    runtime = short_folder()
    env = isolated_environment(tmp_path_factory.mktemp("home"), runtime)
    root = tmp_path_factory.mktemp("lab") / "wine"
    root.mkdir()
    page_config = Path(env["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    page_config.parent.mkdir()
    page_config.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    token, port = secrets.token_hex(16), _free_port()
    log = (root.parent / "server.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}",
            f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        ],
        cwd=root, env=env, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api/status?token={token}", server, Path(log.name))
        yield Lab(url, token, root, env)
    finally:
        stop_keepers(runtime)
        _end(server)
        log.close()
        shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def page(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of a headless Chromium; what it shows at the end is kept as a picture."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.fail("no Chromium: put `chromium` on PATH or its path into CHROMIUM (`make deps` installs it)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(CHROMIUM_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        try:
            yield page
        finally:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
            browser.close()


def test_a_tracked_cell_typed_in_jupyterlab_is_recorded_with_the_notebook_as_on_screen(lab: Lab, page: Any) -> None:
    write_notebook(lab.root / "train.ipynb", ["%load_ext nbledger", "%ledger init", ""])
    open_notebook(lab, page, "train.ipynb")

    run_cell(page, 0)
    run_cell(page, 1)
    type_into(
        page, 2, "%%mlrun forest -p n_estimators=5 -m accuracy\naccuracy = 0.875  # typed and never saved by hand"
    )
    assert "never saved by hand" not in (lab.root / "train.ipynb").read_text()
    run_cell(page, 2)

    shown = cell(page, 2).locator(".jp-OutputArea")
    sync_api.expect(shown).to_contain_text("forest")
    assert "Traceback" not in shown.inner_text()

    run(sys.executable, "-m", "nbledger.cli", "flush", cwd=lab.root, env=lab.env)
    (recorded,) = recorded_runs(lab)
    assert recorded["status"] == "FINISHED"
    assert recorded["params"]["n_estimators"] == "5"
    assert recorded["metrics"]["accuracy"] == 0.875

    snapshot = git(lab.root, "for-each-ref", "--format=%(objectname)", f"refs/nbledger/runs/{recorded['run_id']}")
    assert "typed and never saved by hand" in git(lab.root, "show", f"{snapshot}:train.ipynb")


def test_run_all_still_stops_at_the_first_error_before_a_tracked_cell(lab: Lab, page: Any) -> None:
    write_notebook(
        lab.root / "stops.ipynb", ["first = 1", "1 / 0", "%%mlrun never\nreached = True", "print('nor this')"]
    )
    open_notebook(lab, page, "stops.ipynb")
    type_into(page, 0, "  # unsaved")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()

    sync_api.expect(cell(page, 1).locator(".jp-OutputArea")).to_contain_text("ZeroDivisionError")
    sync_api.expect(cell(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:")
    sync_api.expect(cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    sync_api.expect(cell(page, 3).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    assert "# unsaved" in (lab.root / "stops.ipynb").read_text(), "the batch holds a tracked cell: saved before it"


def test_with_the_setting_off_the_notebook_is_not_saved(lab: Lab, page: Any) -> None:
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "nbledger" / "save-before-run.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"saveBeforeTrackedRun": False}))
    write_notebook(lab.root / "off.ipynb", ["print('quick')"])
    try:
        open_notebook(lab, page, "off.ipynb")
        type_into(page, 0, "\nif False:\n%mlrun start never")
        run_cell(page, 0)
        time.sleep(1)
        assert "mlrun" not in (lab.root / "off.ipynb").read_text()
    finally:
        settings.unlink()


# ── what the stories are told with ───────────────────────────────────────────────────────────────────────


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.terminate()
    for process in psutil.wait_procs(family, timeout=10)[1]:
        process.kill()
    server.wait()
