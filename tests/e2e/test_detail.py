"""A run's page, the models and the pipeline, driven in JupyterLab and held against what plain MLflow, Git and DVC say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

import ledger
from conftest import run
from e2e.browser import (
    SCREENSHOTS,
    Lab,
    accept,
    ask,
    axe,
    open_lab,
    open_sidebar,
    outside_requests,
    problems_of,
    section,
    switch_theme,
    until,
    workspace,
)
from e2e.conftest import Home

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = '<img src="/x" onerror="window.harm=1"><script>window.harm=1</script><b onclick="window.harm=1">bold</b>'
TEXT = f"""# Houses
{HOSTILE} ![far](http://far.invalid/x.png) [go](javascript:window.harm=1)
<button data-commandlinker-command="application:close-all" data-commandlinker-args="{{}}">close</button>"""
CELLS = [
    "%load_ext nbledger\nimport csv, random\nfrom IPython.display import HTML, display",
    """random.seed(3)
with open("houses.csv", "w") as file:
    file.writelines(f"{area},{2.5 * area + random.gauss(0, 20):.1f}\\n" for area in range(40, 90))""",
    "%track_data houses.csv",
    "unused = 1",
    """%%mlrun line -p step=0.05 -p "note=<img src=x onerror=window.harm=1>" -m loss --model model --tag stage=first
from nbledger import log
from sklearn.dummy import DummyRegressor
rows = [tuple(map(float, row)) for row in csv.reader(open("houses.csv"))]
slope = 0.0
for _ in range(20):
    slope -= 0.05 * sum(2 * x / 100 * (slope * x - y) / 100 for x, y in rows) / len(rows)
    log(error=sum((slope * x - y) ** 2 for x, y in rows) / len(rows))
loss = sum((slope * x - y) ** 2 for x, y in rows)
model = DummyRegressor().fit([[x] for x, _ in rows], [y for _, y in rows])""",
    f"display(HTML({HOSTILE!r}))",
]
STAGES = """\
stages:
  prepare:
    cmd: cp houses.csv clean.csv
    deps: [houses.csv]
    outs: [clean.csv]
  size:
    cmd: wc -l < clean.csv > size.txt
    deps: [clean.csv]
    outs: [size.txt]
"""


@pytest.fixture(scope="module")
def home() -> Home:
    return Home(options=("--LabApp.expose_app_in_browser=True",))


@dataclass(frozen=True)
class Recorded:
    """The whole notebook's run, and that of its tracked cell."""

    whole: str
    line: str


@pytest.fixture(scope="module")
def recorded(lab: Lab, python: Path) -> Recorded:
    """A notebook executed as a run: a tracked cell with a model, and outputs that mean harm."""
    cells = [nbformat.v4.new_markdown_cell(TEXT), *map(nbformat.v4.new_code_cell, CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for cell in cells:
        cell.metadata["trusted"] = True  # as a file may claim
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "houses.ipynb")
    nbledger = (python, "-m", "nbledger.cli")
    run(*nbledger, "init", cwd=lab.root, env=lab.env)
    run(python, "-m", "nbconvert", "--to", "ledger", "houses.ipynb", "--output", "done", cwd=lab.root, env=lab.env)
    run(*nbledger, "flush", cwd=lab.root, env=lab.env)
    runs = {one.info.run_name: one.info.run_id for one in plain(lab).search_runs(["1"])}
    return Recorded(runs["houses"], runs["line"])


def plain(lab: Lab) -> Any:
    return ledger.client(ledger.uri(lab.root))


def execute(page: Any, command: str, **words: Any) -> None:
    page.evaluate("([id, args]) => window.jupyterapp.commands.execute(id, args)", [f"nbledger:{command}", words])


def detail(page: Any) -> Any:
    return page.locator(".nbl-detail:not(.lm-mod-hidden)").locator("visible=true").first


def tab(page: Any, name: str) -> Any:
    """A part of the run that is in front."""
    detail(page).get_by_role("tab", name=re.compile(f"^{name}")).click()
    return detail(page).get_by_role("tabpanel")


def act(page: Any, name: str) -> None:
    detail(page).get_by_role("toolbar").get_by_role("button", name=name, exact=True).click()


def told(page: Any, said: str) -> Any:
    """The notification that says so. It goes after some seconds, unless the pointer is on it."""
    return page.locator(".Toastify__toast", has_text=said)


def undo(page: Any, said: str) -> None:
    """Press *Undo* in the notification that says so."""
    told(page, said).get_by_role("button", name="Undo").click()


def clean(page: Any, selector: str, *where: str) -> None:
    found = axe(page, selector)
    assert not found, f"{' '.join(where)}: " + "\n".join(found)


def in_front(lab: Lab) -> str:
    """The main area's widget in front, as JupyterLab saved its layout."""
    layout = workspace(lab).get("layout-restorer:data", {})
    return str(layout.get("main", {}).get("current", ""))


def picture(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"detail-{name}.png")


def test_a_run_is_shown_whole_and_what_means_harm_is_inert(lab: Lab, recorded: Recorded, page: Any) -> None:
    harm, outside = problems_of(page), outside_requests(page, lab)
    open_lab(lab, page)
    execute(page, "open-run", run=recorded.line)
    shown = detail(page)
    sync_api.expect(shown.get_by_role("heading", name="line")).to_be_visible()
    of_mlflow = plain(lab).get_run(recorded.line)
    sync_api.expect(shown.locator(".nbl-detail-facts")).to_contain_text(
        of_mlflow.data.tags["mlflow.source.git.commit"][:8]
    )
    sync_api.expect(shown.get_by_role("tabpanel")).to_contain_text("<img src=x onerror=window.harm=1>")
    assert shown.get_by_role("tabpanel").locator("img").count() == 0
    assert shown.locator(".nbl-detail-curves svg").count() >= 1, "the error was logged as a series"

    pointer = (lab.root / "houses.csv.dvc").read_text()
    md5 = re.search(r"md5: (\w+)", pointer)
    data = tab(page, "Data")
    assert md5
    sync_api.expect(data.get_by_role("row", name="houses.csv")).to_contain_text(md5[1][:8])
    code = tab(page, "Code")
    sync_api.expect(code.locator(".nbl-detail-cell")).to_have_count(5)
    code.get_by_label("only what the run depends on").check()
    sync_api.expect(code).not_to_contain_text("unused = 1")
    environment = tab(page, "Environment")
    environment.get_by_role("searchbox").fill("scikit")
    sync_api.expect(environment.get_by_role("row", name="scikit-learn")).to_contain_text("imported")
    sync_api.expect(tab(page, "Artifacts").get_by_text("session.ipynb")).to_be_visible()
    sync_api.expect(tab(page, "Models and runs")).to_contain_text("which is not registered yet")

    execute(page, "open-run", run=recorded.whole, tab="notebook")
    notebook = detail(page).locator(".nbledger-recorded")
    sync_api.expect(notebook.get_by_role("heading", name="Houses")).to_be_visible()
    sync_api.expect(notebook.locator(".jp-OutputArea").get_by_text("bold")).to_be_visible()
    assert notebook.locator("img, script, [onclick], [data-commandlinker-command], a[href^=javascript]").count() == 0
    assert notebook.locator("[contenteditable=true]:not([aria-readonly=true])").count() == 0
    notebook.locator(".jp-OutputArea").get_by_text("bold").click()
    notebook.get_by_text("close", exact=True).click()
    sync_api.expect(notebook).to_be_visible()
    clean(page, ".nbl-detail")

    picture(page, "notebook")
    # One tab a run; after a reload they are there again, as they were, and so is a comparison.
    execute(page, "compare", runs=[recorded.line, recorded.whole])
    compared = page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text="line × houses")
    sync_api.expect(compared).to_have_count(1)
    execute(page, "open-run", run=recorded.line)
    assert page.locator(".nbl-detail").count() == 2
    until(page, lambda: in_front(lab).endswith(recorded.line), "the layout is saved")
    page.goto(lab.address_of("").replace("&reset", ""))
    sync_api.expect(detail(page).get_by_role("tab", name=re.compile("^Models and runs"))).to_have_attribute(
        "aria-selected", "true"
    )
    sync_api.expect(compared).to_have_count(1)
    for theme in ("Light", "Dark"):
        if theme == "Dark":
            switch_theme(page, theme)
        for name in ("Overview", "Data", "Code", "Environment", "Artifacts", "Models and runs"):
            tab(page, name)
            clean(page, ".nbl-detail", theme, name)
        tab(page, "Overview")
        picture(page, f"overview-{theme.lower()}")
    assert harm == []
    assert outside == []
    assert page.evaluate("window.harm") is None


def test_what_is_done_with_a_run_is_what_mlflow_says(lab: Lab, python: Path, recorded: Recorded, page: Any) -> None:
    mlflow, run_id = plain(lab), recorded.line
    open_lab(lab, page)
    execute(page, "open-run", run=run_id)
    panel = detail(page)

    panel.get_by_role("button", name="Rename", exact=True).click()
    panel.get_by_label("Name of the run").fill("straight")
    page.keyboard.press("Enter")
    sync_api.expect(panel.get_by_role("heading", name="straight")).to_be_visible()
    assert mlflow.get_run(run_id).info.run_name == "straight"

    panel.get_by_role("button", name="Add a note").click()
    panel.get_by_role("textbox", name="Note").fill("the *first* <b>one</b>")
    page.keyboard.press("Control+Enter")
    sync_api.expect(panel.locator(".nbl-detail-noted")).to_have_text("the *first* <b>one</b>")
    assert mlflow.get_run(run_id).data.tags["mlflow.note.content"] == "the *first* <b>one</b>"

    act(page, "Tags…")
    page.get_by_label("Value of tag 1").fill("second")
    page.locator(".jp-Dialog").get_by_role("button", name="Add a tag").click()
    page.get_by_label("Name of tag 2").fill("mlflow.user")
    sync_api.expect(page.locator(".jp-Dialog").get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_label("Name of tag 2").fill("colour")
    page.get_by_label("Value of tag 2").fill("blue")
    accept(page, "Save")
    told(page, "The tags were saved.").hover()
    sync_api.expect(panel.locator(".nbl-detail-chips")).to_contain_text("colour: blue")
    tags = mlflow.get_run(run_id).data.tags
    assert (tags["stage"], tags["colour"]) == ("second", "blue")
    undo(page, "The tags were saved.")
    until(page, lambda: "colour" not in mlflow.get_run(run_id).data.tags, "the tags as before")
    assert mlflow.get_run(run_id).data.tags["stage"] == "first"

    act(page, "Promote…")
    page.get_by_label("Registered name").fill("houses")
    sync_api.expect(page.locator(".jp-Dialog")).to_contain_text("the registered model houses is made")
    accept(page, "Promote")
    told(page, "houses version 1 is @champion.").hover()
    until(page, mlflow.search_registered_models, "a registered model")
    until(page, lambda: mlflow.get_registered_model("houses").aliases, "an alias")
    version = mlflow.get_model_version_by_alias("houses", "champion")
    assert (str(version.version), version.run_id) == ("1", run_id)
    undo(page, "houses version 1 is @champion.")
    until(page, lambda: not mlflow.get_registered_model("houses").aliases, "no alias")
    act(page, "Promote…")
    sync_api.expect(page.locator(".jp-Dialog")).to_contain_text("version 1 of houses already")
    accept(page, "Promote")
    until(page, lambda: mlflow.get_registered_model("houses").aliases, "the alias again")
    sync_api.expect(tab(page, "Models and runs").get_by_role("row", name="houses")).to_contain_text("@champion")

    act(page, "Delete…")
    accept(page, "Delete")
    sync_api.expect(panel).to_contain_text("This run is deleted.")
    assert mlflow.get_run(run_id).info.lifecycle_stage == "deleted"
    panel.get_by_role("button", name="Restore", exact=True).click()
    sync_api.expect(panel.get_by_role("toolbar")).to_be_visible()
    assert mlflow.get_run(run_id).info.lifecycle_stage == "active"

    run(python, "-m", "nbledger.cli", "trust", "--remove", cwd=lab.root, env=lab.env)
    open_lab(lab, page)
    open_sidebar(page)
    untrusted = section(page, "state").locator('[data-group="untrusted"]')
    sync_api.expect(untrusted).to_contain_text("Not trusted")
    execute(page, "open-run", run=run_id)
    act(page, "Reproduce…")
    sync_api.expect(page.locator(".jp-Dialog")).to_contain_text("Its code is executed there")
    picture(page, "reproduce")
    accept(page, "Reproduce")
    sync_api.expect(page.locator(".jp-Dialog")).to_contain_text("executes the code that came with it")
    picture(page, "trust")
    accept(page, "Trust and reproduce")
    sync_api.expect(untrusted).to_have_count(0)
    sync_api.expect(panel).to_contain_text("Verdict: identical")
    (again,) = mlflow.search_runs(["1"], f"tags.`nbledger.reproduces` = '{run_id}'")
    assert again.data.tags["nbledger.verdict"] == "identical"
    assert again.data.metrics == mlflow.get_run(run_id).data.metrics
    picture(page, "verdict")
    from mlflow.entities import Param

    live = mlflow.create_run("1", run_name="going on")
    mlflow.log_batch(live.info.run_id, params=[Param(f"p{n:02}", str(n)) for n in range(80)])
    execute(page, "open-run", run=live.info.run_id)
    sync_api.expect(detail(page).get_by_role("heading", name="going on")).to_be_visible()
    body = detail(page).get_by_role("tabpanel")
    body.evaluate("element => { element.scrollTop = 400; }")
    for step, value in enumerate((0.5, 0.25)):
        mlflow.log_metric(live.info.run_id, "loss", value, step=step)
        sync_api.expect(detail(page).get_by_role("table", name="Metrics")).to_contain_text(str(value))
    assert body.evaluate("element => element.scrollTop") >= 400
    mlflow.set_terminated(live.info.run_id, "KILLED")
    sync_api.expect(detail(page).locator(".nbl-detail-title")).to_contain_text("killed")
    execute(page, "open-run", run=run_id)
    panel.get_by_role("button", name="Open the new run").click()
    sync_api.expect(detail(page).get_by_role("button", name="Open the original")).to_be_visible()
    execute(page, "open-run", run="nothing-of-the-kind")
    sync_api.expect(detail(page).get_by_role("alert")).to_be_visible()
    picture(page, "unknown")


def test_models_and_the_pipeline_are_shown_and_follow_what_changes(lab: Lab, recorded: Recorded, page: Any) -> None:
    open_lab(lab, page)
    open_sidebar(page, width=240)
    pipeline = section(page, "pipeline")
    sync_api.expect(pipeline).to_contain_text("No pipeline yet.")
    picture(page, "sidebar-empty")
    execute(page, "open-pipeline")
    (lab.root / "dvc.yaml").write_text(STAGES)
    sync_api.expect(pipeline.get_by_role("button", name=re.compile("^prepare"))).to_contain_text("stale")
    ask(lab, "dvc", "repro", "--quiet")
    sync_api.expect(pipeline.get_by_role("button", name=re.compile("^prepare"))).to_contain_text("up to date")
    graph = page.locator(".nbl-pipeline")
    sync_api.expect(graph).to_contain_text("all up to date")

    with (lab.root / "houses.csv").open("a") as file:
        file.write("90,1.0\n")
    sync_api.expect(pipeline.get_by_role("button", name=re.compile("^prepare"))).to_contain_text("houses.csv")
    stale = graph.locator(".nbl-pipeline-box[data-stale=true][data-kind=stage]")
    sync_api.expect(stale).to_have_count(1)
    said = ask(lab, "dvc", "status", "prepare")
    assert "changed deps" in said and "houses.csv" in said
    stale.focus()
    sync_api.expect(graph.get_by_role("complementary", name="Details")).to_contain_text("cp houses.csv clean.csv")
    page.keyboard.press("ArrowDown")
    sync_api.expect(graph.locator(".nbl-pipeline-box[aria-pressed=true]")).to_have_attribute(
        "data-id", "data:clean.csv"
    )
    graph.get_by_label("as a table").check()
    sync_api.expect(graph.get_by_role("row", name=re.compile("^prepare"))).to_contain_text("stale")
    clean(page, ".nbl-pipeline")
    graph.get_by_label("as a table").uncheck()
    clean(page, ".nbl-pipeline")
    picture(page, "pipeline")

    mlflow = plain(lab)
    if not mlflow.search_registered_models():  # this test alone: nothing was promoted yet
        mlflow.create_registered_model("houses")
        mlflow.create_model_version("houses", f"runs:/{recorded.line}/model", recorded.line)
        mlflow.set_registered_model_alias("houses", "champion", "1")
    name = mlflow.get_run(recorded.line).info.run_name
    models = section(page, "models")
    sync_api.expect(models.get_by_role("button", name="houses")).to_contain_text("champion → 1")
    sync_api.expect(models).to_contain_text("no gate")
    models.get_by_role("button", name="houses").click()
    lineage = page.locator(".nbl-models .nbl-lineage")
    sync_api.expect(lineage).to_contain_text(name)
    sync_api.expect(lineage).to_contain_text("houses.csv")
    mlflow.set_model_version_tag("houses", "1", "nbledger.gate.state", "passed")
    execute(page, "refresh")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    sync_api.expect(page.locator(".nbl-models").get_by_role("row", name=name)).to_contain_text("gate: passed")
    clean(page, ".nbl-models")
    picture(page, "models")
    switch_theme(page, "Dark")
    clean(page, ".nbl-models", "dark")
    clean(page, "#nbledger-sidebar", "dark")
    picture(page, "models-dark")

    many = "".join(
        f"  s{n:03}:\n    cmd: 'true'\n    deps: [{'houses.csv' if n < 10 else f'o{n - 10:03}'}]\n    outs: [o{n:03}]\n"
        for n in range(100)
    )
    (lab.root / "dvc.yaml").write_text("stages:\n" + many)
    execute(page, "open-pipeline")
    sync_api.expect(graph).to_contain_text("100 stages, 100 stale")
    sync_api.expect(graph.locator(".nbl-pipeline-box")).to_have_count(100)
    graph.get_by_role("button", name="Fit").click()
    clean(page, ".nbl-pipeline")
    picture(page, "pipeline-many")
    (lab.root / "dvc.yaml").write_text("stages: [")
    sync_api.expect(graph.get_by_role("list", name="Problems")).to_contain_text("dvc.yaml")
