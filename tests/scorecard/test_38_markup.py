"""A repository and its runs bear markup wherever a name or a text can stand: images with `onerror`, scripts, `javascript:`
links, Markdown, SVG, ANSI escapes, bidirectional overrides and JupyterLab's command-linker buttons, in run names, tags,
notes, parameters, metrics, file, branch and stage names, a commit's message, models, cells and outputs. JupyterLab is
opened on it in a real browser, in which a canary command is registered.

Sidebar, table, a run's page with each of its parts, comparison, models, pipeline, differences of files and notebooks, the
Markdown report and nbledger's own tables in a trusted notebook show it as text: no script ran, no command, no dialog
opened, nothing was asked of another machine. The plain way is JupyterLab's own view of an untrusted notebook's output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright import sync_api

import ledger
from conftest import run
from e2e.browser import Lab, open_lab, open_sidebar, outside_requests, problems_of, section
from e2e.conftest import Home, lab, page, python  # noqa: F401
from kernels import kernel

pytestmark = [pytest.mark.browser]

IMAGE = '<img src="/x" onerror="window.harm=1">'
BUTTON = '<button data-commandlinker-command="canary:fire" data-commandlinker-args="{}">press</button>'
SVG = '<svg onload="window.harm=1"><image href="http://far.invalid/s.png"/></svg>'
LINKS = "[go](javascript:window.harm=1) ![p](http://far.invalid/p.png) <a href='javascript:window.harm=1'>a</a>"
ODD = "\u202egnp.exe\u2066 \x1b[31mred\x1b]8;;javascript:window.harm=1\x07link\x1b]8;;\x07"
HARM = f"{IMAGE}<script>window.harm=1</script>{BUTTON}{SVG} {LINKS} {ODD}"
NAME = f"{IMAGE}{BUTTON}"
FILE = "<img src=x onerror=window.harm=1>.py"
BRANCH = "<img/src=x/onerror=window.harm=1>"
CELL = """%%mlrun {name} -p depth={depth} -p text=X -m loss --tag team=T
from nbledger import log
from IPython.display import HTML, SVG, Markdown, Javascript, display
{source}
log(loss={depth}.5)
for step in range(3):
    log(error=1 / (1 + step), step=step)
display(HTML(harm), Markdown(harm), SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='window.harm=1'/>"))
display(Javascript("window.harm=1"))
print(harm)"""
SHOWN = "[onerror], [onload], [onclick], [data-commandlinker-command], a[href^='javascript:'], iframe, script"


@dataclass(frozen=True)
class Recorded:
    """The ids of two runs."""

    first: str
    second: str


@pytest.fixture(scope="module")
def home() -> Home:
    return Home(options=("--LabApp.expose_app_in_browser=True",))


@pytest.fixture(scope="module")
def recorded(lab: Lab) -> Recorded:  # noqa: F811
    """The poisoned project, made with plain tools and a kernel."""
    root, nbledger = lab.root, (sys.executable, "-m", "nbledger.cli")
    run(*nbledger, "init", cwd=root, env=lab.env)
    (root / "data.csv").write_text("1\n")
    (root / FILE).write_text("a = 1\n")
    _notebook(root / "changed.ipynb", "x = 1", [])
    run("git", "checkout", "-q", "-b", BRANCH, cwd=root, env=lab.env)
    run("git", "add", "-A", cwd=root, env=lab.env)
    run(*nbledger, "checkpoint", "-m", f"{NAME} {ODD}", cwd=root, env=lab.env)
    with kernel(root, lab.env) as here:
        assert here.run(f"harm = {HARM!r}").status == "ok"
        assert here.run("%track_data data.csv").status == "ok"
        for number, name in enumerate(("first", "second")):
            source = f"n = len(open('data.csv').read())  # {IMAGE} {number}"
            done = here.run(CELL.format(name=name, depth=number + 1, source=source))
            assert done.status == "ok", done
    for _ in range(5):  # what another process publishes at this moment is told as waiting
        if "everything recorded is published" in run(*nbledger, "flush", cwd=root, env=lab.env, ok=False):
            break
    api = ledger.client(ledger.uri(root))
    runs = {one.info.run_name: one.info.run_id for one in api.search_runs(["1"])}
    for name, run_id in runs.items():
        api.log_param(run_id, "markup", f"{HARM}{name}"[:500])
        for key, value in {
            "mlflow.runName": f"{NAME} {name} {ODD}",
            "mlflow.note.content": f"# {HARM}",
            "team": HARM,
            "mlflow.user": NAME,
        }.items():
            api.set_tag(run_id, key, value)
    api.create_registered_model("canary", tags={"t": HARM}, description=HARM)
    api.create_model_version("canary", str(root / "x"), runs["first"], tags={"t": HARM}, description=HARM)
    api.set_registered_model_alias("canary", "champion", "1")
    (root / FILE).write_text(f"a = 2  # {HARM}\n")
    (root / f"new {FILE}").write_text("b = 1\n")
    (root / "dvc.yaml").write_text(
        json.dumps(
            {"stages": {"s": {"cmd": f"echo {NAME}", "desc": HARM, "deps": [FILE], "outs": ["<b onclick=1>.txt"]}}}
        )
    )
    output = nbformat.v4.new_output("display_data", data={"text/html": HARM, "text/plain": HARM, "text/markdown": HARM})
    _notebook(root / "changed.ipynb", f"x = 2  # {HARM}", [output])
    return Recorded(runs["first"], runs["second"])


def _notebook(path: Path, source: str, outputs: list[Any], *, markdown: str = HARM) -> None:
    cells = [nbformat.v4.new_markdown_cell(markdown), nbformat.v4.new_code_cell(source, outputs=outputs)]
    for cell in cells:
        cell.metadata["trusted"] = True  # as a file may claim
    kernel_of = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel_of), path)


def execute(page: Any, command: str, **words: Any) -> None:  # noqa: F811
    page.evaluate("([id, args]) => window.jupyterapp.commands.execute(id, args).then(() => null)", [command, words])


@pytest.fixture
def opened(lab: Lab, page: Any) -> Iterator[Any]:  # noqa: F811
    """A page of JupyterLab with the canary command; nothing of it may have happened at the end."""
    problems, elsewhere = problems_of(page), outside_requests(page, lab)
    open_lab(lab, page)
    page.evaluate(
        "window.jupyterapp.commands.addCommand('canary:fire', {execute: () => { window.fired = (window.fired ?? 0) + 1; }})"
    )
    yield page
    assert [one for one in problems if "dialog" in one] == []
    assert elsewhere == []


def inert(page: Any, where: str, view: str, text: str = "onerror") -> None:  # noqa: F811
    """What ``view`` shows holds the markup as text, and nothing of it works, whatever is pressed."""
    shown = page.locator(view).locator("visible=true").first
    sync_api.expect(shown).to_contain_text(text)
    assert shown.locator(SHOWN).count() == 0, where
    for button in shown.get_by_text("press", exact=True).all()[:3]:
        button.click(timeout=2_000, force=True)
    assert page.evaluate("() => [window.harm ?? null, window.fired ?? null]") == [None, None], where
    assert not page.locator(".jp-Dialog").count(), where


def test_it_is_text_in_every_view(lab: Lab, recorded: Recorded, opened: Any, seen: Callable[[str], None]) -> None:  # noqa: F811
    open_sidebar(opened, width=420)
    state = section(opened, "state")
    for toggle in state.locator(".nbl-toggle").all():
        toggle.click()
    inert(opened, "state", "#nbledger-state")
    sync_api.expect(state).to_contain_text(BRANCH)
    section(opened, "runs")
    inert(opened, "runs", "#nbledger-runs")
    section(opened, "models")
    section(opened, "pipeline")
    execute(opened, "nbledger:open-runs")
    inert(opened, "table of runs", "#nbledger-runs-table")
    views = 3
    for tab in ("overview", "data", "code", "notebook", "environment", "artifacts", "related"):
        execute(opened, "nbledger:open-run", run=recorded.first, tab=tab)
        inert(opened, f"a run's {tab}", ".nbl-detail:not(.lm-mod-hidden)")
        views += 1
    for command, words, view in (
        ("compare", {"runs": [recorded.first, recorded.second]}, ".nbl-compare"),
        ("open-models", {"model": "canary"}, "[id^=nbledger-models]:not(#nbledger-models)"),
        ("open-pipeline", {}, "[id^=nbledger-pipeline]:not(#nbledger-pipeline)"),
        ("show-diff", {"path": FILE}, ".nbl-diff"),
        ("show-diff", {"path": "changed.ipynb"}, ".nbl-diff"),
    ):
        execute(opened, f"nbledger:{command}", **words)
        inert(opened, f"{command} {words}", view)
        views += 1
    seen(f"{views} views: the markup is text, no script, no command, no dialog, no request elsewhere")


def test_reports_and_tables_in_notebooks(
    lab: Lab,  # noqa: F811
    recorded: Recorded,
    opened: Any,
    seen: Callable[[str], None],
) -> None:
    """nbledger's HTML is put into a page as it is where a notebook is trusted, its Markdown where somebody pastes it."""
    report = run(
        sys.executable,
        "-m",
        "nbledger.cli",
        "compare",
        "--markdown",
        recorded.first,
        recorded.second,
        cwd=lab.root,
        env=lab.env,
    )
    assert "onerror" in report
    with kernel(lab.root, lab.env) as here:
        lines = (
            "%runs",
            f"%compare_runs {recorded.first} {recorded.second}",
            f"%ledger show {recorded.first}",
            "%ledger status",
        )
        html = [html for line in lines for html in here.run(line).html if html]
    assert len(html) >= len(lines)
    outputs = [nbformat.v4.new_output("display_data", data={"text/html": one}) for one in html]
    _notebook(lab.root / "tables.ipynb", "1", outputs, markdown=report)
    subprocess.run(
        [sys.executable, "-m", "jupyter", "trust", "tables.ipynb"],
        cwd=lab.root,
        env=lab.env,
        check=True,
        capture_output=True,
    )
    execute(opened, "docmanager:open", path="tables.ipynb")
    opened.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output").nth(len(html) - 1).wait_for(
        state="attached"
    )
    inert(opened, "tables", ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")
    seen(f"{len(html)} of nbledger's own tables in a trusted notebook and a Markdown report: text")


def test_plain_untrusted_output(lab: Lab, opened: Any, plain: Callable[[bool, str], None]) -> None:  # noqa: F811
    outputs = [nbformat.v4.new_output("display_data", data={"text/html": HARM})]
    _notebook(lab.root / "foreign.ipynb", "1", outputs, markdown="")
    execute(opened, "docmanager:open", path="foreign.ipynb")
    area = opened.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output")
    area.get_by_text("press", exact=True).first.click()
    harm, fired = opened.evaluate("() => [window.harm ?? null, window.fired ?? null]")
    said = "JupyterLab's sanitizer removes scripts from an untrusted notebook's output" if not harm else "a script ran"
    plain(
        not (harm or fired),
        said + (f", and keeps a button that executes a command when it is pressed ({fired} time)" if fired else ""),
    )
