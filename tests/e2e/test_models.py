"""The models panel in JupyterLab: what is promoted, approved, rolled back and looked at there is what plain MLflow then says."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

import ledger
from approvals import Team
from conftest import git, run
from e2e.browser import (
    SCREENSHOTS,
    Lab,
    accept,
    axe,
    open_lab,
    open_sidebar,
    outside_requests,
    problems_of,
    section,
    switch_theme,
)
from e2e.conftest import Home
from e2e.test_detail import execute

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

MODEL = "wine"
TRAIN = """%%mlrun {name} -p depth={depth} -m accuracy -m latency_ms --model model
import csv
from sklearn.dummy import DummyClassifier
rows = list(csv.DictReader(open("wine.csv")))
model = DummyClassifier().fit([[float(row["acid"])] for row in rows], [row["kind"] for row in rows])
accuracy, latency_ms = {accuracy}, 12.0"""
SETTINGS = """
[gates.release]
if = "accuracy >= champion.accuracy + 0.005 and latency_ms < 50"
first = "accuracy > 0.8"
"""


@pytest.fixture(scope="module")
def home() -> Home:
    return Home(options=("--LabApp.expose_app_in_browser=True",))


@pytest.fixture(scope="module")
def team(lab: Lab, python: Path) -> Iterator[Team]:
    """Two runs with models, made by a committed notebook from versioned data; the first is the champion. Ada is at the Lab."""
    nbledger = (python, "-m", "nbledger.cli")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.env.items():
            patch.setenv(name, value)
        run(*nbledger, "init", cwd=lab.root, env=lab.env)
        for name, shift in (("wine.csv", 0.0), ("live.csv", 40.0)):
            rows = "".join(f"{n % 50 + shift},{n % 3}\n" for n in range(200))
            (lab.root / name).write_text(f"acid,kind\n{rows}")
        with (lab.root / ".nbledger.toml").open("a") as settings:
            settings.write(SETTINGS)
        cells = ["%load_ext nbledger"]
        cells += [TRAIN.format(name=n, depth=d, accuracy=a) for n, d, a in (("small", 2, 0.85), ("large", 5, 0.9))]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)), metadata=kernel)
        nbformat.write(notebook, lab.root / "train.ipynb")
        run(*nbledger, "track", "wine.csv", "live.csv", cwd=lab.root, env=lab.env)
        git(lab.root, "add", "--all")
        git(lab.root, "commit", "--quiet", "--message", "Train")
        out = ("--output-dir", lab.root.parent / "executed")
        run(python, "-m", "nbconvert", "--to", "ledger", "train.ipynb", *out, cwd=lab.root, env=lab.env)
        run(*nbledger, "flush", cwd=lab.root, env=lab.env)
        run(*nbledger, "promote", "small", "--model", MODEL, "--if", "accuracy > 0.8", cwd=lab.root, env=lab.env)
        yield Team(lab.root)


def models(page: Any) -> Any:
    """The page of models, in front."""
    execute(page, "open-models")
    shown = page.locator(".nbl-models:not(.lm-mod-hidden)").locator("visible=true").first
    shown.wait_for()
    return shown


def dialog(page: Any) -> Any:
    return page.locator(".jp-Dialog")


def story(page: Any, name: str) -> None:
    """Show a part of the chosen version's story; one click is enough, whatever the page takes in meanwhile."""
    button = models(page).get_by_role("group", name="Show", exact=True).get_by_role("button", name=re.compile(name))
    button.click()
    sync_api.expect(button).to_have_attribute("aria-pressed", "true")


def look_again(page: Any) -> None:
    """Have the page ask for the models anew, as it does when the browser's tab is looked at again."""
    with page.expect_response(re.compile(r"/nbledger/api/models\?")) as answer:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    answer.value.finished()


def aliases(lab: Lab) -> dict[str, str]:
    known = ledger.client(ledger.uri(lab.root)).get_registered_model(MODEL)
    return {str(k): str(v) for k, v in known.aliases.items()}


def until(page: Any, lab: Lab, wanted: dict[str, str]) -> None:
    """Wait until plain MLflow says that these aliases point there."""
    for _ in range(900):
        if {**aliases(lab), **wanted} == aliases(lab):
            return
        page.wait_for_timeout(100)
    assert aliases(lab) == wanted


def decided(lab: Lab) -> list[str]:
    """The kinds of the decisions as plain MLflow has them, in order."""
    tags = ledger.client(ledger.uri(lab.root)).get_registered_model(MODEL).tags
    return [json.loads(tags[key])["kind"] for key in sorted(tags) if key.startswith("nbledger.decision.")]


def picture(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"models-{name}.png")


def clean(page: Any, selector: str) -> None:
    found = axe(page, selector)
    assert not found, "\n".join(found)


def test_a_promotion_is_judged_while_it_is_typed(lab: Lab, team: Team, page: Any) -> None:
    harm, outside = problems_of(page), outside_requests(page, lab)
    open_lab(lab, page)
    open_sidebar(page)
    side = section(page, "models")
    sync_api.expect(side.get_by_role("button", name=MODEL)).to_contain_text("champion → 1")
    shown = models(page)
    shown.get_by_role("toolbar", name=f"Actions: {MODEL}").get_by_role("button", name="Promote…").click()
    asked, button = dialog(page), dialog(page).get_by_role("button", name="Promote", exact=True)
    sync_api.expect(button).to_be_disabled()
    asked.get_by_label(re.compile("^Run")).fill("large")
    sync_api.expect(button).to_be_enabled()  # without a gate it is only registered
    asked.get_by_label("Gate").select_option("release")
    sync_api.expect(asked).to_contain_text("The gate lets it pass")
    asked.get_by_label("Gate").select_option(label="a condition of your own")
    sync_api.expect(button).to_be_disabled()
    condition = asked.get_by_label("Condition", exact=True)
    condition.fill("accuracy >")
    sync_api.expect(asked.get_by_role("alert")).to_be_visible()
    for typed, said in (
        ("accuracy > 0.99", "The gate refuses"),
        ("acuracy > 0.5", "accuracy"),
        ("accuracy > champion.accuracy + 0.2", "0.9"),
    ):
        condition.fill(typed)
        sync_api.expect(asked.locator(".nbl-models-will")).to_contain_text(said)
        sync_api.expect(button).to_be_disabled()
    picture(page, "refused")
    assert decided(lab) == ["promote"], "nothing was recorded while it was typed"
    condition.fill("accuracy > champion.accuracy + 0.005")
    sync_api.expect(asked).to_contain_text("The gate lets it pass")
    clean(page, ".jp-Dialog")
    picture(page, "promote")
    accept(page, "Promote")
    sync_api.expect(page.locator(".Toastify__toast", has_text=f"{MODEL} version 2 is @champion")).to_be_visible()
    until(page, lab, {"champion": "2", "previous": "1"})
    assert decided(lab) == ["promote", "promote"]
    sync_api.expect(side.get_by_role("button", name=MODEL)).to_contain_text("champion → 2")
    assert harm == []
    assert outside == []


def test_where_a_version_comes_from_and_what_was_decided(lab: Lab, team: Team, page: Any) -> None:
    open_lab(lab, page)
    shown = models(page)
    story(page, "Lineage")
    graph = shown.locator(".nbl-origins")
    for named in ("wine.csv", "large", f"{MODEL}/2"):
        sync_api.expect(graph.get_by_role("button", name=named).first).to_be_visible()
    details = graph.get_by_role("complementary", name="Details")
    graph.get_by_role("button", name="wine.csv").focus()
    sync_api.expect(details.get_by_role("heading", name="File")).to_be_visible()
    page.keyboard.press("ArrowDown")
    run = graph.get_by_role("button", name="run large")
    sync_api.expect(run).to_be_focused()
    sync_api.expect(run).to_have_attribute("aria-pressed", "true")
    sync_api.expect(details.get_by_role("heading", name="File")).to_have_count(0)
    clean(page, ".nbl-models")
    picture(page, "lineage")
    look_again(page)
    sync_api.expect(run).to_be_focused()
    shown.get_by_label("as a table").check()
    table = shown.get_by_role("table", name="Where it comes from")
    sync_api.expect(table).to_contain_text("wine.csv")
    shown.get_by_role("radio", name="Show where version 1 comes from").check()
    sync_api.expect(table).to_contain_text(f"{MODEL}/1")
    look_again(page)
    sync_api.expect(table).to_contain_text(f"{MODEL}/1")
    clean(page, ".nbl-models")
    picture(page, "lineage-table")
    story(page, "Decisions")
    record = shown.get_by_role("list", name=f"Decisions about {MODEL}")
    sync_api.expect(record.get_by_role("listitem").first).to_contain_text("version 2 → @champion")
    sync_api.expect(record).to_contain_text("champion.accuracy + 0.005")
    clean(page, ".nbl-models")
    picture(page, "decisions")
    page.locator(".lm-TabBar-tab", has_text="Models").locator(".lm-TabBar-tabCloseIcon").click()
    sync_api.expect(shown).to_have_count(0)
    models(page)
    sync_api.expect(record.get_by_role("listitem").first).to_contain_text("version 2 → @champion")
    sync_api.expect(shown.get_by_role("radio", name="Show where version 1 comes from")).to_be_checked()


def test_live_data_are_held_against_those_of_the_champion(lab: Lab, team: Team, page: Any) -> None:
    (lab.root / "strange.csv").write_text("x,y\n1,2\n3,4\n")
    open_lab(lab, page)
    shown = models(page)
    deed = shown.get_by_role("button", name="Drift…")
    asked, button = dialog(page), dialog(page).get_by_role("button", name="Look", exact=True)
    file = asked.get_by_label(re.compile("^Live data"))

    deed.click()
    file.fill("nowhere.csv")
    sync_api.expect(asked).to_contain_text("there is no nowhere.csv")
    sync_api.expect(button).to_be_disabled()
    clean(page, ".jp-Dialog")
    picture(page, "drift-refused")
    page.keyboard.press("Escape")
    sync_api.expect(deed).to_be_focused()

    deed.click()
    file.fill("strange.csv")
    accept(page, "Look")
    failed = shown.get_by_role("alert").filter(has_text="Look for drift in strange.csv")
    sync_api.expect(failed).to_contain_text("has the columns of these data", timeout=400_000)
    clean(page, ".nbl-models")
    picture(page, "drift-failed")
    failed.get_by_role("button", name="Put away").click()
    sync_api.expect(failed).to_have_count(0)

    rows = "".join(f"{number},{number * 7 % 40}\n" for number in range(40))
    for name in ("strange.csv", "usual.csv"):
        (lab.root / name).write_text(f"x,y\n{rows}")
    deed.click()
    file.fill("strange.csv")
    asked.get_by_label(re.compile("^Compared with")).fill("usual.csv")
    sync_api.expect(asked).to_contain_text("strange.csv is compared with usual.csv")
    sync_api.expect(asked).to_contain_text("as it is now")
    clean(page, ".jp-Dialog")
    picture(page, "drift-reference")
    accept(page, "Look")
    sync_api.expect(shown).to_contain_text("against usual.csv, for version", timeout=400_000)
    clean(page, ".nbl-models")
    picture(page, "drift-against")

    deed.click()
    file.fill("live.csv")
    sync_api.expect(asked).to_contain_text("wine.csv")
    clean(page, ".jp-Dialog")
    picture(page, "drift")
    accept(page, "Look")
    sync_api.expect(shown.get_by_role("list", name="Work on models")).to_contain_text("live.csv")
    sync_api.expect(shown).to_contain_text("drifted", timeout=400_000)
    sync_api.expect(shown.get_by_role("list", name="Work on models")).to_have_count(0)
    said = ledger.client(ledger.uri(lab.root)).get_model_version(MODEL, aliases(lab)["champion"]).tags
    assert said["nbledger.drift.verdict"] == "drift"
    clean(page, ".nbl-models")
    picture(page, "drifted")


def test_a_version_is_served_watched_and_stopped(lab: Lab, team: Team, page: Any) -> None:
    open_lab(lab, page)
    open_sidebar(page)
    shown, side = models(page), section(page, "models")
    shown.get_by_role("button", name="Deploy…").click()
    sync_api.expect(dialog(page)).to_contain_text("input example")
    picture(page, "deploy")
    clean(page, ".jp-Dialog")
    accept(page, "Deploy")
    sync_api.expect(shown.get_by_role("list", name="Where it is served")).to_contain_text("answers", timeout=400_000)
    sync_api.expect(side.get_by_role("button", name=MODEL)).to_contain_text("served at")
    (address,) = re.findall(r"http://127[^\s]+:\d+", shown.get_by_role("list", name="Where it is served").inner_text())
    asked = json.dumps({"inputs": [[1.0]]}).encode()
    request = urllib.request.Request(f"{address}/invocations", asked, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert len(json.loads(answer.read())["predictions"]) == 1
    for _ in range(900):  # it is watched for some seconds before that is on record
        if decided(lab)[-1] == "deployed":
            break
        page.wait_for_timeout(100)
    assert decided(lab)[-1] == "deployed"
    clean(page, ".nbl-models")
    picture(page, "served")
    shown.get_by_role("button", name="Stop…").click()
    accept(page, "Stop")
    sync_api.expect(shown.get_by_role("list", name="Where it is served")).to_have_count(0)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/ping", timeout=20)


def test_an_alias_goes_back(lab: Lab, team: Team, page: Any) -> None:
    open_lab(lab, page)
    models(page).get_by_role("button", name="Roll back…").click()
    asked = dialog(page)
    sync_api.expect(asked).to_contain_text("version 1")
    picture(page, "rollback")
    clean(page, ".jp-Dialog")
    accept(page, "Roll back")
    until(page, lab, {"champion": "1"})
    assert decided(lab)[-1] == "rollback"


def test_what_another_person_asked_for_is_approved_or_refused(lab: Lab, team: Team, page: Any) -> None:
    own = team.run("mine", by="ada", accuracy=0.93)
    theirs = team.run("theirs", by="ben", accuracy=0.95)
    ours = team.ask(own, by="ada")
    asked_for = team.ask(theirs, by="ben")
    open_lab(lab, page)
    open_sidebar(page)
    shown = models(page)
    sync_api.expect(section(page, "models").get_by_role("button", name=MODEL)).to_contain_text("2 wait for approval")
    waiting = shown.get_by_role("list", name="What waits for approval")
    mine, other = (
        waiting.get_by_role("listitem").filter(has_text=f"version {one.version} →") for one in (ours, asked_for)
    )
    sync_api.expect(mine.get_by_role("button", name="Approve…")).to_be_disabled()
    sync_api.expect(mine).to_contain_text("another person has to approve it")
    clean(page, ".nbl-models")
    picture(page, "waiting")
    other.get_by_role("button", name="Approve…").click()
    sync_api.expect(dialog(page)).to_contain_text("Ben <ben@example.org>")
    sync_api.expect(dialog(page)).to_contain_text("0.95")
    dialog(page).get_by_role("textbox").fill("seen <b>it</b>")
    picture(page, "approve")
    clean(page, ".jp-Dialog")
    accept(page, "Approve")
    until(page, lab, {"champion": asked_for.version})
    sync_api.expect(waiting.get_by_role("listitem")).to_have_count(1)
    sync_api.expect(shown).to_be_focused()  # the button that had the focus is gone; the keyboard goes on from the page
    assert "approved" in decided(lab)


def test_two_hundred_versions_and_nothing_at_all(lab: Lab, team: Team, page: Any) -> None:
    api = ledger.client(ledger.uri(lab.root))
    (made,) = [one for one in ledger.runs(lab.root) if one.info.run_name == "small"]
    api.create_registered_model("<img src=x onerror=window.harm=1>")
    api.create_registered_model("many")
    for number in range(200):
        api.create_model_version("many", f"runs:/{made.info.run_id}/model", made.info.run_id)
        if number % 20 == 0:
            api.set_model_version_tag("many", str(number + 1), "nbledger.gate.verdict", "passed")
    api.set_registered_model_alias("many", "champion", "3")
    open_lab(lab, page)
    open_sidebar(page, width=260)
    side = section(page, "models")
    sync_api.expect(side.get_by_role("button", name="many")).to_contain_text("champion → 3")
    shown = models(page)
    sync_api.expect(shown).to_contain_text("<img src=x onerror=window.harm=1>")
    rows = shown.get_by_role("table", name="Versions of many").get_by_role("row")
    sync_api.expect(rows).to_have_count(21)
    sync_api.expect(shown).to_contain_text("the newest 50 versions and those in use are shown of many")
    picture(page, "many")
    clean(page, ".nbl-models")
    switch_theme(page, "Dark")
    clean(page, ".nbl-models")
    clean(page, "#nbledger-sidebar")
    picture(page, "dark")
    assert page.evaluate("window.harm") is None
    for model in api.search_registered_models():
        api.delete_registered_model(model.name)
    look_again(page)
    for place in (shown, side):
        sync_api.expect(place).to_contain_text("No model is registered yet. A run whose cell begins with %%mlrun NAME")
    clean(page, ".nbl-models")
    picture(page, "none")
