"""What the sidebar costs a person's eyes: JupyterLab in a real browser, beside its own file browser in the same page."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.cases_server import Server, server
from bench.measure import Row, row, timed
from bench.world import World, stop_keepers, warm_keeper
from nbledger.core.project import find
from nbledger.keeper import client

_FILL = Path(__file__).resolve().parent.parent / "tests" / "many_runs.py"
_FILES = 30
_PATIENCE = 120_000
_PLAIN = "JupyterLab's file browser, shown and listing a folder of 30 files for the first time, in the same page"
_METRICS = ("accuracy", "f1", "loss")
Opening = Callable[[], float]


def browser(world: World) -> list[Row]:
    """A page for each pair: either panel is opened for the first time in it, then the table is sorted."""
    root, count = world.project(), world.size(10_000, 300)
    pairs = max(7, world.pairs) if count == 10_000 else 1
    folders = _folders(root, 2 * pairs + 2)
    warm_keeper(root)
    timed([sys.executable, str(_FILL), str(root), str(count)], cwd=root)
    _read(root, count)
    opened: list[tuple[float, float]] = []
    sorted_: list[tuple[float, float]] = []
    with server(root, ours=True, options=("--LabApp.expose_app_in_browser=True",)) as here:
        for pair in range(pairs + 1):
            for page in _page(here):
                files = _files(page, folders)
                opened.append(_both(pair, partial(_opened, page), files))
                _table(page, count)
                column = _METRICS[pair % len(_METRICS)]
                sorted_.append(_both(pair, partial(_sort, page, column), files))
    stop_keepers()
    # The first page fills the browser's and the server's caches.
    first, sort = (list(zip(*times[1:], strict=True)) for times in (opened, sorted_))
    return [
        row("browser-sidebar", f"the sidebar, shown for the first time: state and {count:,} runs, until it is painted", _PLAIN, first, 2),
        row("browser-sort", f"a click that sorts the table of {count:,} runs by a metric for the first time, until it is painted", _PLAIN, sort, 1),
    ]  # fmt: skip


def _both(pair: int, ours: Opening, plain: Opening) -> tuple[float, float]:
    """In turns, the order reversed every second time."""
    if pair % 2:
        second = plain()
        return ours(), second
    return ours(), plain()


def _folders(root: Path, count: int) -> Iterator[str]:
    """Folders that no page has listed, out of Git's sight."""
    (root / ".git" / "info" / "exclude").write_text("listed-*\n")
    names = [f"listed-{number}" for number in range(count)]
    for name in names:
        (root / name).mkdir()
        for number in range(_FILES):
            (root / name / f"{name}-{number}.txt").write_text("x")
    return iter(names)


def _read(root: Path, count: int) -> None:
    """Wait until the keeper has every run."""
    here = find(root)
    while len(client.ask(here, "table", start=True)["runs"]) < count:
        time.sleep(0.2)


def _page(here: Server) -> Iterator[Any]:
    """A page of a browser that was just started, with nothing open in it and the left area closed."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(_PATIENCE)
        page.goto(f"http://127.0.0.1:{here.port}/lab?token={here.token}&reset")
        page.locator('li[data-id="nbledger-sidebar"]').wait_for()
        # The runs are fetched at start; a panel that has nothing to show yet would be painted sooner.
        page.wait_for_function("() => performance.getEntriesByType('resource').some(e => /api.runs\\?/.test(e.name))")
        page.wait_for_load_state("networkidle")
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        page.wait_for_timeout(1_000)
        yield page
        chromium.close()


def _files(page: Any, folders: Iterator[str]) -> Opening:
    def opening() -> float:
        folder = next(folders)
        words = ["filebrowser:go-to-path", {"path": folder}, ".jp-DirListing-item", f"{folder}-0.txt"]
        return _timed(page, words)

    return opening


def _opened(page: Any) -> float:
    return _timed(page, ["nbledger:show-sidebar", {}, "#nbledger-runs [data-run]", "accuracy"])


def _table(page: Any, count: int) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('nbledger:open-runs')")
    page.locator(f'#nbledger-runs-table [aria-rowcount="{count + 1}"]').wait_for()
    page.wait_for_load_state("networkidle")


def _sort(page: Any, column: str) -> float:
    return float(page.evaluate(_SORT, f"metric {column}")) / 1000


def _timed(page: Any, words: list[Any]) -> float:
    took = float(page.evaluate(_OPEN, words)) / 1000
    page.wait_for_load_state("networkidle")
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.wait_for_timeout(300)
    return took


_PAINTED = """
  const frame = () => new Promise(requestAnimationFrame);
  const painted = async holds => {
    while (!holds()) { await frame(); }
    await frame();
    await new Promise(resolve => { const { port1, port2 } = new MessageChannel(); port1.onmessage = resolve; port2.postMessage(0); });
    return performance.now() - start;
  };
"""
"""Once it holds, the frame that shows it, and the task after that frame was painted."""

_OPEN = f"""async ([command, words, selector, text]) => {{
  const start = performance.now();
  {_PAINTED}
  void window.jupyterapp.commands.execute(command, words);
  return painted(() => Array.from(document.querySelectorAll(selector)).some(
    node => node.offsetParent !== null && node.textContent.includes(text)));
}}"""

_SORT = f"""async name => {{
  const head = Array.from(document.querySelectorAll('#nbledger-runs-table [role="columnheader"]'))
    .find(one => one.getAttribute('aria-label').startsWith(name));
  const before = document.querySelector('#nbledger-runs-table [aria-rowindex="2"]').dataset.run;
  const start = performance.now();
  {_PAINTED}
  head.click();
  return painted(() => head.getAttribute('aria-sort') !== 'none'
    && document.querySelector('#nbledger-runs-table [aria-rowindex="2"]').dataset.run !== before);
}}"""
