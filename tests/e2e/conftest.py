"""A JupyterLab with the installed wheel, and a page of a real browser."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import isolated_environment, short_folder, stop_keepers
from e2e import installed
from e2e.browser import PATIENCE, SCREENSHOTS, Lab
from servers import free_port

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Home:
    """How JupyterLab is started; a module says so in a fixture ``home`` of its own."""

    application: str = "jupyterlab"
    base_url: str = "/"
    options: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def home() -> Home:
    return Home()


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter in whose environment nbledger is installed as people get it."""
    return installed.python_of(tmp_path_factory)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, python: Path, home: Home) -> Iterator[Lab]:
    """JupyterLab with the installed wheel, on an empty folder."""
    runtime = short_folder()
    env = isolated_environment(tmp_path_factory.mktemp("home"), runtime)
    env["PATH"] = os.pathsep.join((str(python.parent), env["PATH"]))
    root = tmp_path_factory.mktemp("lab") / "wine"
    root.mkdir()
    page_config = Path(env["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    page_config.parent.mkdir()
    page_config.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    token, port = secrets.token_hex(16), free_port()
    log = (root.parent / "server.log").open("w")
    server = subprocess.Popen(
        [
            python, "-m", home.application, "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}",
            f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
            f"--ServerApp.base_url={home.base_url}", *home.options,
        ],
        cwd=root, env=env, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}{home.base_url.rstrip('/')}"
        _wait_for(f"{url}/api/status?token={token}", server, Path(log.name))
        yield Lab(url, token, root, env)
    finally:
        _end(server)
        stop_keepers(runtime)  # a server that still ran would start another one
        log.close()
        shutil.rmtree(runtime, ignore_errors=True)


@contextmanager
def chromium() -> Iterator[Any]:
    """A page of a headless Chromium."""
    where = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not where:
        pytest.fail("no Chromium: put `chromium` on PATH or its path into CHROMIUM (`make deps` installs it)")
    from playwright import sync_api

    sync_api.expect.set_options(timeout=PATIENCE)  # state of the whole process: nobody else sets it
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, headless=True, args=list(CHROMIUM_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        try:
            yield page
        finally:
            browser.close()


@pytest.fixture
def page(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of a browser; what it shows at the end is kept as a picture."""
    with chromium() as page:
        try:
            yield page
        finally:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")


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
    """End it and what it started; any of them may be at its end already."""
    family: list[psutil.Process] = []
    if server.poll() is None:
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(server.pid)
            family = [own, *own.children(recursive=True)]
    server.terminate()
    for process in psutil.wait_procs(family, timeout=10)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait()
