"""What a branch changes, told to its reviewers: from real runs, commits and data; printed, written, and posted."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
from pathlib import Path

import pytest

from conftest import commit_all, data_remote, dvc, git
from fakeforge import Account, forge
from kernels import kernel
from nbledger.commands import tree
from nbledger.commands.answer import Answer, Face
from nbledger.commands.report import Reported
from nbledger.core import forge as places
from nbledger.core import report_runs, report_sides, trust
from nbledger.core.errors import LedgerError, Refused, ToolFailed, UsageError
from nbledger.core.project import find
from nbledger.core.records import plain
from nbledger.core.report import Commit
from recordedruns import file, recorded
from team import notebook_of
from test_models import api, log_model
from test_run_views import ask, made

CELLS = (
    "import csv\nfrom nbledger import log",
    "rows = list(csv.DictReader(open('data/wine.csv')))",
    "scale = {scale}",
    """%%mlrun forest -p scale -m accuracy
for step in range(20):
    log(loss=scale / (1 + step), step=step)
accuracy = 0.5 + 0.4 * scale / len(rows)""",
)
HOSTILE = "## @ada </details><script>alert(1)</script> `x` | #12"


def ledger(*words: str) -> Answer:
    answer = tree.run(list(words), Face())
    assert answer is not None
    return answer


def table(rows: int, shift: float = 0.0) -> str:
    return "id,alcohol\n" + "".join(f"{i},{11 + i / 10 + shift:.2f}\n" for i in range(rows))


def trained(root: Path, scale: int) -> None:
    with kernel(root) as k:
        for source in CELLS:
            cell = k.run(source.replace("{scale}", str(scale)))
            assert cell.status == "ok", cell.traceback


def book(root: Path, *cells: str, text: str = "") -> None:
    found = notebook_of(cells, "train.ipynb")
    if text:
        found["cells"].append({"cell_type": "markdown", "id": "said", "metadata": {}, "source": text})
    (root / "train.ipynb").write_text(json.dumps(found))


def started(root: Path) -> None:
    """The state that the branch sets out from, with a run, and the branch's first commit."""
    (root / "data").mkdir()
    (root / "data" / "wine.csv").write_text(table(40))
    (root / "requirements.txt").write_text("numpy==2.1.0\npandas>=2\n")
    (root / ".nbledger.toml").write_text(
        '[gates.release]\nif = "accuracy >= champion.accuracy + 0.1"\nfirst = "accuracy > 0.6 and loss < 1"\n'
        '[models.wine]\ngate = "release"\n'
    )
    book(root, *(c.replace("{scale}", "4") for c in CELLS))
    ledger("track", "data/wine.csv")
    commit_all(root, "Start")
    trained(root, 4)
    git(root, "switch", "--quiet", "-c", "better")
    shutil.copyfile(root / "data" / "wine.csv", root / "fresh")
    os.replace(root / "fresh", root / "data" / "wine.csv")
    (root / "data" / "wine.csv").write_text(table(32, 0.5))
    ledger("track", "data/wine.csv", "-m", "Fewer wines")


def test_a_branch_for_its_reviewers(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started(project)
    book(project, *(c.replace("{scale}", "8") for c in CELLS), text=HOSTILE)
    (project / "requirements.txt").write_text("numpy==2.2.0\npandas>=2\nscipy==1.15\n")
    head = commit_all(project, "Scale it <b>up</b>")
    trained(project, 8)
    trust.trust(find(project))
    (run,) = [r for r in ask(project, "runs") if r["commit"] == head]
    log_model(project, run["run_id"], "wine")

    answer = ledger("report", "--json")
    assert isinstance(answer.data, Reported)
    found = plain(answer.data.report)
    assert (found["base"]["name"], found["head"]["name"], found["commits"]) == ("main", "better", 2)
    assert found["notes"] == []
    (pair,) = found["pairs"]
    assert pair["values"]["accuracy"] == [0.54, 0.6]
    assert (pair["base"]["behind"], pair["head"]["behind"], pair["head"]["dirty"]) == (0, 0, False)
    assert {cause["kind"] for cause in pair["comparison"]["causes"][:2]} == {"data", "parameter"}
    (data,) = found["data"]
    assert (data["path"], data["table"]["rows"], data["whole"]) == ("data/wine.csv", [40, 32], True)
    (pins,) = found["pins"]
    assert [(r["name"], r["values"]) for r in pins["packages"]] == [
        ("numpy", ["==2.1.0", "==2.2.0"]),
        ("scipy", [None, "==1.15"]),
    ]
    (changed,) = found["notebooks"]
    assert [(c["kind"], c["state"], c["number"]) for c in changed["cells"]] == [
        ("code", "changed", 3),
        ("markdown", "added", 5),
    ]
    assert changed["cells"][0]["diff"][-2:] == ["-scale = 4", "+scale = 8"]
    (gate,) = found["gates"]
    assert (gate["model"], gate["gate"], gate["passed"]) == ("wine", "release", False)
    assert any("accuracy" in reason for reason in gate["reasons"])
    assert gate["held"] == ""

    text = ledger("report").text
    assert text.startswith("## better against main\n")
    for part in (
        "Gate",
        "Metrics",
        "Curves",
        "Why, most likely first",
        "Data",
        "Declared environment",
        "Cells",
        "Runs",
    ):
        assert f"\n### {part}\n" in text
    assert re.search(r"\| accuracy \| 0\.54 \| 0\.6 \| \+0\.06 \| \+11\.1 % \| ▲ better", text)
    assert "the two sides did not read the same data" in text.split("### Metrics\n")[1].split("### ")[0]
    assert "(forest: data/wine.csv)" in text
    assert "40 → 32 rows" in text
    top, gate_part = text.split("### Gate\n\n")
    assert re.search(r"- ❌ forest \*\*does not pass\*\* the gate release of wine: accuracy > 0", top)
    assert "- ❌ forest **does not pass** the gate release of wine, which demands accuracy" in gate_part
    assert re.search(r"\| forest \| loss \| main \| [▁▂▃▄▅▆▇█]{20} \| 20 values", text)
    assert "ada@example" not in text

    ledger("report", "--markdown", str(tmp_path / "r.md"), "--html", str(tmp_path / "r.html"))
    assert (tmp_path / "r.md").read_text().rstrip() == text
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;/details&gt;&lt;script&gt;alert(1)" in page
    assert page.count("<polyline") == 2
    assert not re.search(r"(?:src|href)=[\"']?(?!data:)", page)  # there is no server whose pages it could link

    posted_and_updated(project, monkeypatch, text)


def posted_and_updated(project: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with forge("github") as server:
        server.accounts["sesame"] = Account("bot")
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", "team/wine")
        monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
        with pytest.raises(Refused, match="no token for GitHub"):
            ledger("report", "--post")
        monkeypatch.setenv("GITHUB_TOKEN", "sesame")
        said = ledger("report", "--post")
        assert said.text.splitlines()[0] == "posted as a comment on the pull request #7 of team/wine"
        (comment,) = server.comments
        assert comment.body.partition("\n")[2].rstrip() == text
        assert ledger("report", "--post").text.startswith(
            "the comment on the pull request #7 of team/wine says the same"
        )
        git(project, "commit", "--quiet", "--allow-empty", "--message", "Nothing")
        again = ledger("report", "--post", "--json")
        assert isinstance(again.data, Reported)
        assert again.data.posted is not None
        assert (again.data.posted.action, again.data.posted.id) == ("updated", comment.id)
        (comment,) = server.comments
        assert "3 commits" in comment.body
        assert "sesame" not in f"{said}{again}"


def test_the_champion_is_not_held_against_itself(project: Path) -> None:
    book(project, "x = 1")
    (project / ".nbledger.toml").write_text(
        '[gates.release]\nif = "accuracy >= champion.accuracy + 0.1"\nfirst = "accuracy > 0.5"\n'
        '[models.wine]\ngate = "release"\n'
    )
    head = commit_all(project, "Head")
    run = plainly(project, "fit", head)
    api(project).log_metric(run, "accuracy", 0.75)
    model = log_model(project, run, "wine")
    api(project).create_registered_model("wine")
    version = api(project).create_model_version("wine", str(project.parent / model), run)
    api(project).set_registered_model_alias("wine", "champion", version.version)
    trust.trust(find(project))
    (gate,) = ask(project, "report")["gates"]
    assert (gate["held"], gate["passed"], gate["clauses"], gate["reasons"]) == ("1", True, [], [])
    text = ledger("report").text
    assert text.count("- ✅ fit **is** champion of wine (version 1)\n") == 2
    assert "demands" not in text

    worse = plainly(project, "fit", head)  # the newest of the name: it is asked about
    api(project).log_metric(worse, "accuracy", 0.25)
    log_model(project, worse, "wine")
    text = ledger("report").text
    assert "- ❌ fit **does not pass** the gate release of wine: accuracy >= champion" in text
    assert "- ❌ fit **does not pass** the gate release of wine, which demands accuracy >= champion" in text


# ── which commits ────────────────────────────────────────────────────────────────────────────────────────


def test_which_commits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = git(project, "rev-parse", "HEAD")
    with pytest.raises(Refused, match="is in main already, and has no parent here"):
        report_sides.sides(find(project))
    second = commit_all(project, "Second")
    base, head = report_sides.sides(find(project))
    assert (base.commit, base.name, head.commit, head.name) == (first, f"{second[:8]}^", second, "main")
    git(project, "switch", "--quiet", "-c", "topic")
    third = commit_all(project, "Third")
    git(project, "switch", "--quiet", "main")
    fourth = commit_all(project, "Fourth")
    git(project, "switch", "--quiet", "topic")
    base, head = report_sides.sides(find(project))
    assert (base.commit, base.name, head.commit, head.name) == (second, "main", third, "topic")
    assert (base.subject, head.subject) == ("Second", "Third")
    base, head = report_sides.sides(find(project), base=first[:10], head="main")
    assert (base.commit, head.commit) == (first, fourth)
    git(project, "switch", "--quiet", "--detach", "main")
    git(project, "merge", "--quiet", "--no-edit", "topic")  # what GitHub checks out for a pull request
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    monkeypatch.setenv("GITHUB_HEAD_REF", "topic")
    base, head = report_sides.sides(find(project))
    assert (base.commit, head.name) == (fourth, "topic")
    monkeypatch.setenv("GITHUB_BASE_REF", "release; touch x")
    with pytest.raises(Refused, match="is not in this clone"):
        report_sides.sides(find(project))
    monkeypatch.delenv("GITHUB_BASE_REF")
    for base_name, said in (
        ("nothing", "there is no commit"),
        ("--all", "there is no commit"),
        ("HEAD", "has HEAD already"),
    ):
        with pytest.raises(UsageError, match=said):
            report_sides.sides(find(project), base=base_name)


def test_a_shallow_clone_says_what_it_lacks(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_all(project, "Second")
    git(project, "switch", "--quiet", "-c", "topic")
    commit_all(project, "Third")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    with pytest.raises(Refused, match="is not in this clone") as refused:
        report_sides.sides(find(tmp_path / "shallow"))
    assert "fetch-depth: 0" in refused.value.hint
    git(tmp_path / "shallow", "fetch", "--quiet", "--depth", "1", "origin", "main:refs/remotes/origin/main")
    with pytest.raises(Refused, match="left origin/main is not known") as refused:
        report_sides.sides(find(tmp_path / "shallow"), base="origin/main")
    assert "fetch-depth: 0" in refused.value.hint
    monkeypatch.delenv("GITHUB_BASE_REF")  # on a laptop: what is printed brings all that a report needs
    with pytest.raises(UsageError, match="no commit 'mian'") as misspelt:
        report_sides.sides(find(tmp_path / "shallow"), base="mian")
    assert "git branch --all" in misspelt.value.hint
    with pytest.raises(Refused, match="left origin/main is not known") as refused:
        report_sides.sides(find(tmp_path / "shallow"), base="main")
    command = refused.value.hint.partition(": ")[2]
    assert command.startswith("git fetch --unshallow")
    git(tmp_path / "shallow", *shlex.split(command)[1:], "--quiet")
    base, head = report_sides.sides(find(tmp_path / "shallow"), base="main")
    assert (base.name, base.subject, head.subject) == ("origin/main", "Second", "Third")


def test_changes_that_no_commit_has_are_said_to_be_in_none(project: Path) -> None:
    book(project, "x = 1")
    commit_all(project, "Second")
    book(project, "x = 2")
    with pytest.raises(UsageError, match=r"from main is in no commit yet \(train.ipynb\)") as refused:
        report_sides.sides(find(project), base="main")
    assert "git commit" in refused.value.hint


# ── which runs ───────────────────────────────────────────────────────────────────────────────────────────


def plainly(root: Path, name: str, commit: str, dirty: str = "false", **tags: str) -> str:
    """A run that says where its code is."""
    known = {"mlflow.source.git.commit": commit, "nbledger.dirty": dirty, "mlflow.source.name": "train.ipynb"}
    return made(root, name, tags=known | {key.replace("__", "."): value for key, value in tags.items()})


def chosen(root: Path, base: str, head: str) -> tuple[dict[str, tuple[str, int]], ...]:
    found = report_runs.choose(find(root), Commit("base", base), Commit("head", head))
    return tuple({key[1]: (s.row.run_id, s.behind) for key, s in side.items()} for side in (found.base, found.head))


def test_which_runs_stand_for_a_commit(project: Path) -> None:
    book(project, "x = 1")
    (project / "dvc.yaml").write_text("stages:\n  s:\n    cmd: x\n    metrics:\n    - m.json:\n        cache: false\n")
    (project / "m.json").write_text("{}")
    base = commit_all(project, "Base")
    book(project, "x = 2")
    middle = commit_all(project, "Middle")
    changed = notebook_of(["x = 2"], "train.ipynb")
    changed["cells"][0] |= {"execution_count": 7, "outputs": [{"output_type": "stream", "name": "stdout", "text": "2"}]}
    (project / "train.ipynb").write_text(json.dumps(changed))
    (project / "m.json").write_text('{"a": 1}')
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    left = commit_all(project, "What running left behind")
    (project / "lib.py").write_text("x = 3\n")
    head = commit_all(project, "Head")
    assert chosen(project, base, head) == ({}, {})
    early = plainly(project, "early", base)
    plainly(project, "early", head)
    inside = plainly(project, "inside", middle)
    plainly(project, "dirty", head, dirty="true")  # its code is the head's all the same: that is its snapshot
    lost = plainly(project, "lost", "d" * 40, dirty="true")
    plainly(project, "trial", head, mlflow__parentRunId="0" * 32)
    plainly(project, "again", head, nbledger__reproduces=early)
    made(project, "broken", status="FAILED", tags={"mlflow.source.git.commit": head})
    old = plainly(project, "twice", head)
    new = plainly(project, "twice", head)
    older, newer = chosen(project, base, head)
    assert older == {"early": (early, 0)}
    assert newer["inside"] == (inside, 2)
    assert newer["early"][1] == 0
    assert newer["twice"] == (new, 0)
    assert set(newer) == {"early", "inside", "dirty", "twice"}
    assert new != old
    # the same code as the commit's, though another commit noted it: outputs, metrics and dvc.lock apart
    assert chosen(project, base, left)[1]["inside"] == (inside, 0)
    plainly(project, "inside", head)
    assert chosen(project, middle, head)[0]["inside"] == (inside, 0)
    assert lost not in {run for side in chosen(project, base, head) for run, _ in side.values()}


def test_the_cells_of_a_notebook_that_ran_as_a_whole_stand_for_it(project: Path) -> None:
    book(project, "x = 1")
    base = commit_all(project, "Base")
    book(project, "x = 2")
    head = commit_all(project, "Head")

    def within(parent: str, name: str, commit: str, *, measured: bool = True, **tags: str) -> str:
        run = plainly(project, name, commit, **{"mlflow__parentRunId": parent, **tags})
        if measured:
            api(project).log_metric(run, "accuracy", 0.9)
        return run

    before = within(plainly(project, "local", base), "churn", base)
    whole = plainly(project, "release v1", head)
    after = within(whole, "churn", head)
    within(whole, "prepare", head, measured=False)
    within(whole, "other", head, mlflow__source__name="other.ipynb")
    within(whole, "broken", head, nbledger__reproduces=before)
    assert chosen(project, base, head) == ({"churn": (before, 0)}, {"churn": (after, 0)})
    # one that has figures itself stands for itself; of a stage the stage's name stays
    own = plainly(project, "own", head)
    api(project).log_metric(own, "loss", 0.1)
    within(own, "trial", head)
    within(plainly(project, "5", head, nbledger__stage="train", mlflow__parentRunId="0" * 32), "fit", head)
    stage = within(plainly(project, "6", head, nbledger__stage="train"), "fit", head)
    newer = chosen(project, base, head)[1]
    assert newer == {"churn": (after, 0), "own": (own, 0), "train": (stage, 0)}


def test_a_run_of_changes_stands_for_the_commit_that_they_became_after_a_merge_too(project: Path) -> None:
    book(project, "x = 1")
    first = commit_all(project, "First")
    git(project, "switch", "--quiet", "--create", "better")
    book(project, "x = 2")
    better = commit_all(project, "Better")
    snapshot = git(project, "commit-tree", f"{better}^{{tree}}", "-p", first, "-m", "nbledger snapshot")
    run = plainly(project, "fit", snapshot, dirty="true")
    lost = git(project, "commit-tree", f"{first}^{{tree}}", "-p", better, "-m", "nbledger snapshot")
    plainly(project, "fit", lost, dirty="true")  # newer, and no commit has it
    git(project, "switch", "--quiet", "-")
    (project / "other.txt").write_text("of main")
    base = commit_all(project, "Other")
    git(project, "merge", "--quiet", "--no-ff", "-m", "Merge", "better")
    head = git(project, "rev-parse", "HEAD")
    assert chosen(project, base, head) == ({}, {"fit": (run, 1)})


def test_runs_that_ci_calls_after_the_request(project: Path) -> None:
    book(project, "x = 1")
    base = commit_all(project, "Base")
    book(project, "x = 2")
    head = commit_all(project, "Head")
    plainly(project, "pull request 1", git(project, "rev-parse", f"{base}~1"))
    old = plainly(project, "pull request 2", base)
    other = made(project, "other", tags={"mlflow.source.git.commit": base, "nbledger.dirty": "false"})
    new = plainly(project, "pull request 3", head)
    assert chosen(project, base, head) == ({"pull request 3": (old, 0)}, {"pull request 3": (new, 0)})
    found = ask(project, "report")
    assert [(p["name"], p["base"]["title"], p["head"]["title"]) for p in found["pairs"]] == [
        ("pull request 3", "pull request 2", "pull request 3")
    ]
    assert "run on the base and not on the head: other" in found["notes"]
    assert other


def test_runs_of_an_experiment_that_another_clone_is_called_by(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in CI with a server by ``MLFLOW_TRACKING_URI``: the clone's folder has another name than the laptop's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    book(project, "x = 1")
    base = commit_all(project, "Base")
    book(project, "x = 2")
    head = commit_all(project, "Head")
    assert chosen(project, base, head) == ({}, {})
    old, new = plainly(project, "fit", base), plainly(project, "fit", head)  # in the experiment "plain"
    assert chosen(project, base, head) == ({"fit": (old, 0)}, {"fit": (new, 0)})
    found = report_runs.choose(find(project), Commit("base", base), Commit("head", head))
    assert found.elsewhere == "plain"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "plain")  # the project's own
    found = report_runs.choose(find(project), Commit("base", base), Commit("head", head))
    assert (found.elsewhere, found.head[("train.ipynb", "fit")].row.run_id) == ("", new)


def test_what_an_earlier_stage_made_keeps_its_rank_and_names_that_stage(project: Path) -> None:
    """The strongest cause stands first, whoever made the file; the runs with causes of their own come first all the same."""
    book(project, "x = 1")
    (project / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: x\n    deps: [wine.csv]\n    outs: [model.pkl]\n"
        "  evaluate:\n    cmd: x\n    deps: [model.pkl]\n    metrics: [m.json]\n"
    )
    commits = [commit_all(project, "Base")]
    book(project, "x = 2")
    commits.append(commit_all(project, "Head"))
    for side, commit in enumerate(commits):
        for stage, path in (("train", "wine.csv"), ("evaluate", "model.pkl")):
            tags = {"mlflow.source.git.commit": commit, "nbledger.dirty": "false", "nbledger.stage": stage}
            run = recorded(project, api(project), side, stage, (file(path, f"{path} {side}"),), tags=tags)
            api(project).log_metric(run, "accuracy", side / 2)
        api(project).log_param(run, "folds", str(side))
    pairs = ask(project, "report")["pairs"]
    assert [pair["name"] for pair in pairs] == ["train", "evaluate"]
    told = [[cause["what"] for cause in pair["comparison"]["causes"]] for pair in pairs]
    assert told[0][0] == "wine.csv differs"
    assert told[1][0] == "what an earlier stage made differs: model.pkl (see train)"
    assert len(told[1]) > 1
    weights = [cause["weight"] for cause in pairs[1]["comparison"]["causes"]]
    assert weights == sorted(weights, reverse=True)
    why = ledger("report").text.split("### Why, most likely first\n")[1]
    assert "(see train)" in why.split("**evaluate**")[1].splitlines()[2]


def test_metrics_of_dvc_where_nothing_was_run(project: Path) -> None:
    stages = "stages:\n  train:\n    cmd: make {0}\n    deps:\n    - a.txt\n    metrics:\n    - m.json:\n        cache: false\n"
    lock = (
        "schema: '2.0'\nstages:\n  train:\n    cmd: make {0}\n    deps:\n    - path: a.txt\n      hash: md5\n"
        "      md5: {1}\n    params:\n      params.yaml:\n        lr: {2}\n"
    )
    for name, accuracy, extra in (("one", 0.5, ""), ("two", 0.75, ', "text": "new", "deep": {"f1": 0.25}')):
        (project / "dvc.yaml").write_text(stages.format(name) + ("  more:\n    cmd: echo\n" if name == "two" else ""))
        (project / "dvc.lock").write_text(lock.format(name, name[0] * 32, accuracy))
        (project / "m.json").write_text(f'{{"accuracy": {accuracy}{extra}}}')
        (project / "a.txt").write_text(name)
        (project / "params.yaml").write_text(f"lr: {accuracy}\nsame: 1\ndeep:\n  trees: [1, {len(extra)}]\n")
        (project / ".nbledger.toml").write_text(
            '[gates.release]\nif = "accuracy > 0.5"\n[models.wine]\ngate = "release"\n'
        )
        commit_all(project, name)
    found = ask(project, "report")
    assert found["pairs"] == []
    # what might be taken for told is said not to be: the figures may be older than the change, and nobody was asked
    assert [lack.partition(":")[0] for lack in found["lacks"]] == [
        "no run of the experiment project has this code",
        "the gate release of wine is not told",
    ]
    assert {row["name"]: tuple(row["texts"]) for row in found["params"]} == {
        "lr": ("0.5", "0.75"),
        "deep.trees": ("[1, 0]", "[1, 37]"),
    }
    rows = {row["name"]: (row["values"], row["texts"]) for row in found["metrics"]}
    assert rows == {
        "accuracy": ([0.5, 0.75], [None, None]),
        "text": ([None, None], [None, "new"]),
        "deep.f1": ([None, 0.25], [None, None]),
    }
    stages_found = {stage["name"]: (stage["state"], stage["what"]) for stage in found["stages"]}
    assert stages_found["more"] == ("added", ["cmd: echo"])
    state, what = stages_found["train"]
    assert state == "changed"
    assert "cmd: make one → make two" in what
    assert "read a.txt: changed" in what
    assert "lr: 0.5 → 0.75" in what
    assert found["mermaid"].startswith("flowchart TD")
    text = ledger("report").text
    assert "- ⚠️ the gate release of wine is not told" in text
    assert r"| params.yaml | lr | 0\.5 | 0\.75 |" in text
    assert "| accuracy | 0.5 | 0.75 | +0.25 | +50 % | ▲ better" in text
    assert "```mermaid\nflowchart TD" in text
    with pytest.raises(LedgerError, match="repository"):
        ledger("report", "--post", "github", "--markdown", "report.md")
    assert "⚠️ the gate release" in (project / "report.md").read_text()  # what one still wants when posting fails


def test_a_store_that_is_away_and_broken_files_are_notes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (project / "dvc.yaml").write_text("stages: [")
    book(project, "x = 1")
    (project / "half.ipynb").write_text('{"cells": [')
    commit_all(project, "Broken")
    (project / "x.txt").write_text("not committed")
    git(project, "add", "x.txt")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = ask(project, "report")
    notes = "\n".join(found["notes"])
    assert "what was run cannot be told" in notes
    assert "dvc.yaml of" in notes
    assert "1 file differs from the commit here" in notes
    books = {b["path"]: (b["state"], b["note"], len(b["cells"])) for b in found["notebooks"]}
    assert books == {"half.ipynb": ("added", "it is no notebook of format 4", 0), "train.ipynb": ("added", "", 1)}


def test_data_that_are_not_here_are_brought_to_be_compared(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_remote(project, tmp_path / "remote")
    for rows in (30, 20):
        (project / "wine.csv").unlink(missing_ok=True)
        (project / "wine.csv").write_text(table(rows))
        ledger("track", "wine.csv", "--push")
        commit_all(project, f"{rows} rows")
    git(tmp_path, "clone", "--quiet", str(project), "fresh")
    monkeypatch.chdir(tmp_path / "fresh")
    words = ("report", "--base", "HEAD~2", "--json")
    (change,) = ledger(*words).data.report.data
    assert not change.whole
    assert "not at hand" in change.note
    (change,) = ledger(*words, "--fetch").data.report.data
    assert change.whole
    assert change.table is not None
    assert (change.table.rows, change.table.removed) == ((30, 20), 10)
    assert dvc(tmp_path / "fresh", "status", "--json")  # nothing of the work tree was made


def test_columns_and_tables_that_only_one_side_has(project: Path) -> None:
    plans = ("basic", "basic", "basic", "pro")
    (project / "wine.csv").write_text("id,plan\n" + "".join(f"{i},{plans[i % 4]}\n" for i in range(40)))
    commit_all(project, "Base")
    plans = ("basic", "pro", "pro", "pro")
    rows = (f"{i},{plans[i % 4]},{i / 2},{'yes' if i % 4 else 'no'}\n" for i in range(40))
    (project / "wine.csv").write_text("id,plan,price,paid\n" + "".join(rows))
    (project / "more.csv").write_text("a,b\n1,2\n3,4\n")
    commit_all(project, "Head")
    more, wine = sorted(ask(project, "report")["data"], key=lambda change: change["path"])
    assert (more["path"], more["state"], more["note"]) == ("more.csv", "added", "2 rows, 2 columns: a, b")
    assert {c["name"]: c["what"] for c in wine["table"]["columns"]} == {
        "price": "0 to 19.5, median 9.75",
        "paid": "yes 75 %, no 25 %",
        "plan": "basic 75 % → 25 %, pro 25 % → 75 %",
    }
    text = ledger("report").text
    assert re.search(r"\*\*wine.csv\*\*: changed, [\d.]+ k?B → [\d.]+ k?B, 40 rows; ", text)
    assert "| plan | moved: basic 75 % → 25 %, pro 25 % → 75 % |" in text
    assert "| price | added: 0 to 19.5, median 9.75 |" in text


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_words(project: Path) -> None:
    commit_all(project)
    for words, said in (
        (("--post", "bitbucket"), "bitbucket"),
        (("--post", "github"), "which repository of GitHub"),
        (("--number", "3"), "say where to post"),
        (("--post", "--key", "a b"), "no name for a report"),
        (("--post",), "GitHub or GitLab is not known"),
        (("--base", "nowhere"), "there is no commit"),
        (("--via", "curl"), "curl"),
    ):
        with pytest.raises((UsageError, Refused), match=said):
            ledger("report", *words)


RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$SEEN/words"
for last; do :; done
cat "$last" > "$SEEN/body"
test -n "$FAILS" && { echo "error: token $REPO_TOKEN is no good" >&2; exit 1; }
echo https://git.example.org/comment/1
"""


def test_by_way_of_cml(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CML itself asks the platform; here a program in its place says what it was given."""
    commit_all(project, "Second")
    with pytest.raises(Refused, match="cml is not installed"):
        ledger("report", "--post", "--via", "cml")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "cml").write_text(RECORDER)
    (tools / "cml").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", str(tmp_path))
    monkeypatch.setenv("REPO_TOKEN", "sesame-open-wide")
    answer = ledger("report", "--post", "--via", "cml", "--number", "7", "--key", "train")
    assert answer.text.splitlines() == [
        "the comment on the pull request is updated",
        "  https://git.example.org/comment/1",
    ]
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:5] == ["comment", "update", "--publish=false", "--target=pr/7", "--watermark-title=nbledger-train"]
    assert (tmp_path / "body").read_text().startswith("## main against ")
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(ToolFailed, match="cml comment update failed: error: token … is no good"):
        ledger("report", "--post", "--via", "cml")
    assert places.KINDS == ("github", "gitlab")


def test_the_store_of_a_server_is_linked_without_its_login() -> None:
    row = report_runs.RunRow("1" * 32, "a", "FINISHED", "e", None, None, None, None, None, None, experiment_id="4")
    assert report_runs.url_of("https://ada:secret@ml.example.org/", row) == (
        f"https://ml.example.org/#/experiments/4/runs/{'1' * 32}"
    )
    assert report_runs.url_of("sqlite:///x.db", row) == ""
