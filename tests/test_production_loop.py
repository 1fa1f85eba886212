"""From a tag to a served model and back again, as docs/production.md tells it: the example's pipeline, three people, one of them
a CI machine, real servers. Whatever CI does is a script of the generated workflow, executed in a clean clone.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fakeforge
from cirunner import Done, Event, github_jobs, run_github
from conftest import run
from requestload import Load
from team import Office, Person, office

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

EXAMPLE = Path(__file__).parents[1] / "examples" / "pipeline"
WORKFLOW = ".github/workflows/nbledger.yml"
SETTINGS = """
[gates.release]
if = "accuracy >= champion.accuracy + 0.005"
first = "accuracy > 0.8"
require = ["clean", "data", "pushed"]
min_rows = 50

[models.wine]
gate = "release"
"""
FIRST, BETTER, WORSE, BEST = "1e-04", "2e-05", "1e-03", "1e-05"
"""Smoothings; their accuracies on the example's data are 0.8194, 0.9444, 0.7361 and 0.9722."""
GIVEN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""What the forge gives to a job, and the job to a step, by the names of secrets."""


@dataclass
class Machine:
    """The CI machine: its clone is made by the first job and kept, as a runner of one's own keeps it."""

    here: Office
    robot: Person
    done: dict[str, list[Done]] = field(default_factory=dict)

    def job(self, name: str, called: str, ref: str, github: dict[str, str], **env: str) -> list[Done]:
        """Check ``ref`` out and execute the scripts of the job that the event starts on GitHub, which must be ``name``."""
        clone = self._checked_out(ref)
        given = {f"secrets.{key}": self.robot.env[key] for key in GIVEN} | {"github.token": "of-the-job"}
        event = Event({"repository": "team/wine", **github}, given)
        assert github_jobs(clone / WORKFLOW, event) == [name]
        bare = {key: value for key, value in self.robot.env.items() if key not in GIVEN}
        bare |= {"PIP_NO_INDEX": "1", "GITHUB_STEP_SUMMARY": str(self.robot.home / "summary.md")}
        self.done[called] = run_github(clone / WORKFLOW, name, event, clone, bare | env)
        return self.done[called]

    def _checked_out(self, ref: str) -> Path:
        """As a runner of one's own does it: nothing of the job before is left but what Git ignores."""
        clone = self.robot.home / "runner" / "wine"
        if not clone.exists():
            clone.parent.mkdir()
            run("git", "clone", "--quiet", self.here.git.url, clone, cwd=self.robot.home, env=self.robot.env)
        run("git", "fetch", "--quiet", "--tags", "origin", cwd=clone, env=self.robot.env)
        run("git", "checkout", "--quiet", "--force", "--detach", ref, cwd=clone, env=self.robot.env)
        run("git", "clean", "-ffd", "--quiet", cwd=clone, env=self.robot.env)
        return clone

    def release(self, tag: str) -> list[Done]:
        """What the workflow does with a tag."""
        return self.job("release", tag, tag, {"event_name": "push", "ref_type": "tag", "ref_name": tag})

    def drift(self, called: str) -> list[Done]:
        return self.job("drift", called, "origin/main", {"event_name": "schedule"})

    def ledger(self, *words: str, ok: bool = True) -> str:
        """A verb by hand on that machine."""
        return self.robot.ledger(*words, ok=ok, cwd=self.robot.home / "runner" / "wine")


@dataclass
class Played:
    """What was seen on the way."""

    here: Office
    machine: Machine
    port: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    load: Load | None = None
    comment: str = ""
    rolled: str = ""


def set_up(ada: Person, here: Office) -> None:
    """The example as Ada's project: nothing of it is executed yet."""
    for name in ("wine.ipynb", "serving.py", "data/wine.csv"):
        (ada.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / name, ada.root / name)
    (ada.root / ".gitignore").write_text("__pycache__/\n")
    ada.ledger("init", *here.remote, "--tracking-uri", here.mlflow.uri)
    with open(ada.root / ".nbledger.toml", "a") as toml:
        toml.write(SETTINGS)
    live(ada, shifted=False)
    ada.ledger("track", "data/wine.csv", "live/wine.csv", "-m", "The wines, and those of this week")
    ada.ledger("stage", "wine.ipynb", "--yes")
    ada.ledger("code", "wine.ipynb")
    smoothing(ada, FIRST)
    words = ("--deploy", "local", "--runner", "lab", "--data", "live/wine.csv")
    said = ada.ledger("ci", "github", *words)
    assert "jobs: review, release, deploy, drift" in said and "AWS_SECRET_ACCESS_KEY" in said
    ada.git("add", "--all")
    ada.git("commit", "--quiet", "-m", "The pipeline, its gate and its workflow")
    ada.git("remote", "add", "origin", here.git.url)
    ada.ledger("push")


def live(ada: Person, *, shifted: bool) -> None:
    """This week's wines: drawn from the same as the model has seen, or a little stronger and darker."""
    wines = pd.read_csv(EXAMPLE / "data/wine.csv").sample(150, replace=True, random_state=7)
    if shifted:
        wines["alcohol"] += 1.5
        wines["color_intensity"] *= 1.8
    (ada.root / "live").mkdir(exist_ok=True)
    wines.to_csv(ada.root / "live/wine.csv", index=False)


def smoothing(person: Person, value: str) -> None:
    path = person.root / "params.yaml"
    lines = [f"  smoothing: {value}" if "smoothing:" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def tagged(person: Person, tag: str, message: str = "") -> None:
    """Commit what changed, if anything did, and push it with a tag."""
    if message:
        person.git("add", "--all")
        person.git("commit", "--quiet", "-m", message)
    person.ledger("push")
    person.git("tag", tag)
    person.git("push", "--quiet", "origin", tag)


def ask(port: int, rows: pd.DataFrame) -> tuple[str, list[int]]:
    """(the version that answers, its predictions)"""
    words = json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", words)
    asked.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return str(answer.headers["X-Model-Version"]), json.load(answer)["predictions"]


def computed(smooth: float, rows: pd.DataFrame) -> list[int]:
    """What a model trained so has to say, by scikit-learn alone."""
    from sklearn.model_selection import train_test_split
    from sklearn.naive_bayes import GaussianNB

    wine = pd.read_csv(EXAMPLE / "data/wine.csv")
    seen, _ = train_test_split(wine, test_size=0.4, random_state=0, stratify=wine["target"])
    fitted = GaussianNB(var_smoothing=smooth).fit(seen[rows.columns].to_numpy(), seen["target"])
    return [int(each) for each in fitted.predict(rows.to_numpy())]


ROWS = pd.read_csv(EXAMPLE / "data/wine.csv").drop(columns="target").iloc[::9]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with office(tmp_path_factory.mktemp("loop"), ("Ada", "Ben", "Robot")) as here:
        ada, ben, robot = here.people
        machine = Machine(here, robot)
        found = Played(here, machine)
        ada.root.mkdir()
        set_up(ada, here)
        try:
            play(found, ada, ben)
            yield found
        finally:
            if (robot.home / "runner" / "wine").exists():
                machine.ledger("deploy", "wine", "--stop", ok=False)


def play(found: Played, ada: Person, ben: Person) -> None:
    here, machine = found.here, found.machine
    # The first release: CI trains it, the gate's first condition lets it pass, it is served.
    tagged(ada, "v1")
    good(machine.release("v1"))
    (served,) = json.loads(machine.ledger("deploy", "--list", "--json"))
    found.port = int(served["port"])
    found.answers["v1"] = ask(found.port, ROWS)

    # Ada has a better one, on a branch. CI reports it on the pull request; Ben merges it and tags.
    ada.git("switch", "--quiet", "--create", "better")
    smoothing(ada, BETTER)
    ada.git("commit", "--quiet", "--all", "-m", "Less smoothing")
    ada.ledger("repro")
    ada.ledger("checkpoint", "-m", "The better model", "metrics.json", "confusion.csv")
    ada.ledger("push")
    with fakeforge.forge("github") as forge:
        forge.accounts["of-the-job"] = fakeforge.Account("github-actions[bot]", bot=True, told=False)
        pull = {
            "event_name": "pull_request",
            "event.pull_request.head.repo.full_name": "team/wine",
            "event.pull_request.number": "7",
            "base_ref": "main",
            "head_ref": "better",
            "ref": "refs/pull/7/merge",
        }
        good(machine.job("review", "review", "origin/better", pull, GITHUB_API_URL=forge.url))
        (comment,) = forge.comments
        found.comment = comment.body
    here.clone(ben)
    ben.ledger("pull")
    ben.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/better")
    tagged(ben, "v2")
    rows = ROWS.iloc[:1]
    words = [json.dumps({"dataframe_split": each.to_dict(orient="split", index=False)}) for each in (ROWS, rows)]
    known = {"1": computed(float(FIRST), ROWS), "2": computed(float(BETTER), ROWS)}
    with Load(found.port, words, lambda by, told: told == known.get(by, [])[: len(told)], 0.1) as load:
        found.load = load
        good(machine.release("v2"))
        found.answers["v2"] = ask(found.port, ROWS)

        # An equal one is refused by the margin, a worse one too.
        tagged(ben, "v3")
        assert failed(machine.release("v3")) == "Promote"
        smoothing(ben, WORSE)
        tagged(ben, "v4", "More smoothing")
        assert failed(machine.release("v4")) == "Promote"

        # The best of all breaks where it is served: it needs a variable that only the notebook sets.
        smoothing(ben, BEST)
        edit(
            ben.root / "serving.py",
            "        model = self.model\n",
            '        os.environ["WINE"]\n        model = self.model\n',
        )
        edit(ben.root / "serving.py", "import json\n", "import json\nimport os\n")
        edit(
            ben.root / "wine.ipynb",
            '"import mlflow\\n"',
            '"import mlflow\\n",\n    "import os\\n",\n    "os.environ[\'WINE\'] = \'red\'\\n"',
        )
        ben.ledger("code", "wine.ipynb")
        tagged(ben, "v5", "The best model")
        assert failed(machine.release("v5")) == "Deploy"
        found.answers["v5"] = ask(found.port, ROWS)
        found.rolled = machine.ledger("rollback", "wine", "-m", "It does not serve")
        good(
            machine.job(
                "deploy", "deploy", "origin/main", {"event_name": "workflow_dispatch", "event.inputs.job": "deploy"}
            )
        )
        found.answers["after"] = ask(found.port, ROWS)

    # This week's wines are like those that the champion was trained on; next week's are not.
    machine.drift("same")
    ben.ledger("pull", "live/wine.csv")
    live(ben, shifted=True)
    ben.ledger("track", "live/wine.csv", "-m", "Next week's wines")
    ben.ledger("push")
    machine.drift("shifted")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def good(steps: list[Done]) -> None:
    for step in steps:
        assert step.code == 0, f"{step.name}: {step.code}\n{step.out}"


def failed(steps: list[Done]) -> str:
    """The step that failed, which says no (exit code 1)."""
    (bad,) = [step for step in steps if step.code]
    assert bad.code == 1, bad.out
    return bad.name


def test_the_first_model_is_promoted_and_served(played: Played) -> None:
    version, told = played.answers["v1"]
    assert (version, told) == ("1", computed(float(FIRST), ROWS))


def test_the_pull_request_is_told_what_it_changes(played: Played) -> None:
    assert "accuracy" in played.comment and "0.8194" in played.comment and "0.9444" in played.comment
    assert "smoothing" in played.comment


def test_the_better_one_takes_its_place_and_predicts_right(played: Played) -> None:
    version, told = played.answers["v2"]
    assert (version, told) == ("2", computed(float(BETTER), ROWS))
    assert told != played.answers["v1"][1]  # or it could be any of both


def test_equal_and_worse_are_refused_with_their_figures(played: Played) -> None:
    said = {tag: next(step.out for step in played.machine.done[tag] if step.code) for tag in ("v3", "v4")}
    assert "0.9444 against 0.9494" in said["v3"], said["v3"]
    assert "0.7361 against 0.9494" in said["v4"], said["v4"]


def test_the_broken_one_never_answered_and_no_request_failed(played: Played) -> None:
    assert played.load is not None
    assert played.load.failed == []
    assert set(played.load.answered) == {"1", "2"} and min(played.load.answered.values()) > 0
    assert played.answers["v5"] == played.answers["v2"] == played.answers["after"]
    assert "version 2" in played.rolled


def test_every_decision_is_on_record_in_order(played: Played) -> None:
    ada = played.here.person("Ada")
    found = json.loads(ada.ledger("decisions", "wine", "--json"))
    kinds = [(one["kind"], one["version"]) for one in found["decisions"]]
    assert [kind for kind, _ in kinds] == [
        "promote",
        "deployed",
        "promote",
        "deployed",
        "refused",
        "refused",
        "promote",
        "returned",
        "rollback",
    ]
    assert [one["n"] for one in found["decisions"]] == list(range(1, len(kinds) + 1))
    assert found["aliases"]["champion"] == "2"


def test_shifted_data_are_found_and_unshifted_are_not(played: Played) -> None:
    good(played.machine.done["same"])
    (bad,) = [step for step in played.machine.done["shifted"] if step.code]
    assert bad.code == 1 and "alcohol" in bad.out and "color_intensity" in bad.out


def test_where_the_champion_comes_from(played: Played) -> None:
    ada = played.here.person("Ada")
    said = ada.ledger("lineage", "wine@champion")
    assert "data/wine.csv" in said and "evaluate" in said
