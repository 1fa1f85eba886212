"""Where models come from and what came of data: recorded by a real kernel, real DVC and Git, asked for by the verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, data_remote, dvc, git
from kernels import kernel
from ledger import flush
from nbledger.commands.answer import Answer, Face
from nbledger.commands.tree import run as verb
from nbledger.core import dvcremote, trust
from nbledger.core.errors import UsageError
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper.calls import encode
from test_models import log_model
from test_repro import repro
from test_run_views import api, ask

PREPARE = """%%mlrun prepare
text = open('data/raw.csv').read()
open('data/clean.csv', 'w').write(text.replace('\\n\\n', '\\n'))
"""
TRAIN = """%%mlrun train
seen = [open(p).read() for p in ('data/clean.csv', 'pics/a.txt', 'pics/sub/b.txt')]
open('model.txt', 'w').write(str(sum(map(len, seen))))
"""
SCORE = """%%mlrun score
open('report.txt', 'w').write('score ' + open('model.txt').read())
"""


def asking(*words: str) -> Answer:
    answer = verb(["lineage", *words], Face())
    assert answer is not None and answer.code == 0
    return answer


def asked(*words: str) -> Any:
    """What the verb prints with ``--json``."""
    return json.loads(json.dumps(encode(asking(*words, "--json").data)))


def labels(found: Any, kind: str) -> list[str]:
    return sorted(node["label"] for node in found["nodes"] if node["kind"] == kind)


def node(found: Any, label: str) -> Any:
    (one,) = [node for node in found["nodes"] if node["label"] == label]
    return one


def edges(found: Any) -> set[tuple[str, str, str]]:
    """(from, how, to)"""
    called = {node["id"]: node["label"] for node in found["nodes"]}
    return {(called[e["from"]], e["how"], called[e["to"]]) for e in found["edges"]}


def in_a_kernel(root: Path, *sources: str) -> str:
    """Cells of a kernel of their own: what earlier ones of the same kernel read counts for later ones too."""
    with kernel(root) as k:
        for source in sources:
            cell = k.run(source)
            assert cell.status == "ok", cell.traceback
    return cell.shown


def journey(root: Path) -> None:
    """raw.csv → prepare → clean.csv → train → wine/1 and model.txt → score → report.txt"""
    trust.trust(find(root))
    (root / "data").mkdir()
    (root / "data" / "raw.csv").write_text("a,1\n\nb,2\n")
    for name in ("a", "sub/b", "c"):
        place = root / "pics" / f"{name}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"picture {name}")
    track(find(root), ["data/raw.csv", "pics"])
    commit_all(root)
    in_a_kernel(root, "import nbledger", PREPARE)
    track(find(root), ["data/clean.csv"])
    in_a_kernel(root, "import nbledger", TRAIN)
    shown = in_a_kernel(root, "import nbledger", SCORE, "%ledger lineage score --offline")
    assert "score comes from" in shown
    flush(root)
    train = asked("train", "--offline")["roots"][0].removeprefix("run:")
    log_model(root, train, "clf")
    ask(root, "promote", run="train", model="wine", alias="champion")


def test_a_model_back_to_the_first_data_and_a_file_on_to_the_models(project: Path, tmp_path: Path) -> None:
    data_remote(project, tmp_path / "store")
    journey(project)
    found = asked("wine@champion")
    assert (
        found == {**asked("wine/1"), "asked": "wine@champion"} == {**asked("models:/wine/1"), "asked": "wine@champion"}
    )
    commits = {label: run for label, how, run in edges(found) if how == "ran"}
    assert edges(found) - {(c, "ran", r) for c, r in commits.items()} == {
        ("train", "logged", "wine/1"),
        ("data/clean.csv", "read", "train"),
        ("pics", "read", "train"),
        ("prepare", "wrote", "data/clean.csv"),
        ("data/raw.csv", "read", "prepare"),
    }
    assert sorted(commits.values()) == ["prepare", "train"]
    assert (node(found, "wine/1")["aliases"], found["missing"]) == (["champion"], [])
    stored = {one.info.run_name: one for one in api(project).search_runs(["1", "2", "0"])}
    for name in ("prepare", "train"):
        one = node(found, name)
        assert one["run_id"] == stored[name].info.run_id
        code = stored[name].data.tags["mlflow.source.git.commit"]
        assert commits[code[:8]] == name
        assert git(project, "cat-file", "-t", code) == "commit"
    clean, pics = node(found, "data/clean.csv"), node(found, "pics")
    assert f"md5: {clean['md5']}" in (project / "data" / "clean.csv.dvc").read_text()
    assert f"md5: {pics['md5']}" in (project / "pics.dvc").read_text()
    assert (clean["state"], clean["where"], pics["where"]) == ("dvc", ["cache"], ["cache"])
    assert [one["step"] for one in found["nodes"] if one["kind"] == "run"] == [1, 2]

    # where the bytes are: in the remote whole, in the cache in part, nowhere
    dvc(project, "push", "-q")
    assert node(asked("train"), "pics")["where"] == ["cache", "remote"]
    for lost in (pics["md5"], clean["md5"]):
        shutil.rmtree(project / ".dvc" / "cache" / "nbledger", ignore_errors=True)
        (project / ".dvc" / "cache" / "files" / "md5" / lost[:2] / lost[2:]).unlink()
    found = asked("train")
    assert (node(found, "pics")["where"], found["missing"]) == (["remote"], [])
    found = asked("train", "--offline")
    assert (node(found, "pics")["where"], node(found, "data/clean.csv")["where"]) == ([], ["work tree"])
    assert any(
        line.startswith(f"pics ({pics['md5'][:8]}): its bytes are not in this clone") for line in found["missing"]
    )
    assert "MISSING: its bytes" in asking("train", "--graph", "--offline").text
    dvc(project, "pull", "-q", "pics")
    picture = next((project / "pics").rglob("c.txt"))
    inside = dict(line for line in _list(project, pics["md5"]).items())
    (project / ".dvc" / "cache" / "files" / "md5" / inside["c.txt"][:2] / inside["c.txt"][2:]).unlink()
    assert node(asked("train"), "pics")["where"] == ["cache (2 of 3 files)", "remote"]
    assert picture.exists()
    (tmp_path / "store" / "files" / "md5" / inside["c.txt"][:2] / inside["c.txt"][2:]).unlink()
    assert node(asked("train"), "pics")["where"] == ["cache (2 of 3 files)", "remote (2 of 3 files)"]

    # on from a file
    found = asked("--back", "data/raw.csv")
    assert (labels(found, "run"), labels(found, "model")) == (["prepare", "score", "train"], ["wine/1"])
    assert {edge for edge in edges(found) if edge[1] != "ran"} == {
        ("data/raw.csv", "read", "prepare"),
        ("prepare", "wrote", "data/clean.csv"),
        ("data/clean.csv", "read", "train"),
        ("train", "logged", "wine/1"),
        ("train", "wrote", "model.txt"),
        ("model.txt", "read", "score"),
        ("score", "wrote", "report.txt"),
    }
    raw = node(found, "data/raw.csv")["md5"]
    for name in (f"data/raw.csv@{raw}", f"data/raw.csv@{raw[:8]}"):
        assert edges(asked("--back", name)) == edges(found)
    assert asking("--back", "data/raw.csv", "--depth", "1").text.startswith("data/raw.csv was seen by 1 run\n")
    # a file of a tracked folder: of those who read the folder, the ones that read this file
    found = asked("--back", "pics/a.txt")
    assert (labels(found, "run"), labels(found, "model")) == (["score", "train"], ["wine/1"])
    assert node(found, "pics/a.txt")["md5"] == inside["a.txt"]
    assert ("pics/a.txt", "read", "train") in edges(found)
    with pytest.raises(UsageError, match=r"no recorded run read pics/c\.txt"):
        asked("--back", "pics/c.txt")
    assert labels(asked("--back", "pics"), "model") == ["wine/1"]
    with pytest.raises(UsageError, match="with the MD5 abcdef12"):
        asked("--back", "data/raw.csv@abcdef12")

    # the plain forms
    text = asking("wine@champion").text.splitlines()
    assert text[0] == "wine/1 (champion) comes from 2 runs, 2 commits and 3 data versions"
    assert asking("wine@champion", "--graph").text.splitlines()[1] == "model wine/1 (champion)"
    assert asking("wine@champion").plain is False
    assert asking("wine@champion", "--graph").plain is True  # a notebook shows the text that was asked for
    chart = asking("wine@champion", "--mermaid").text
    assert chart.startswith('flowchart TD\n    n0(["wine/1 (champion)"])')
    assert asked("wine") == {**asked("wine@champion"), "asked": "wine"}  # no run is called so
    api(project).create_registered_model("beer")
    # what is wrong with a name
    for words, said in (
        (["wine@chmpion"], "no alias 'chmpion' — did you mean champion"),
        (["wine/7"], "has no version 7"),
        (["models:/bier/1"], "no registered model 'bier'"),
        (["beer"], "without a champion: which version of it? — e.g. beer/1"),
        (["beer/1"], "has no version 1 — nbledger decisions beer lists them"),
        (["--back", "data/raw.csv@abc"], "an MD5 may be cut to 6 digits, and not to 3"),
        (["nothing"], "there is no run 'nothing'"),
        ([], "needs a name"),
        (["train", "--back", "x"], "about a file"),
        (["train", "--json", "--graph"], "take one of them"),
    ):
        with pytest.raises(UsageError) as err:
            asking(*words)
        assert said in str(err.value), str(err.value)

    # runs that are gone
    api(project).delete_run(node(asked("train"), "prepare")["run_id"])
    found = asked("wine/1")
    assert labels(found, "run") == ["train"]
    api(project).delete_run(node(found, "train")["run_id"])
    found = asked("wine/1")
    assert (labels(found, "run"), found["missing"][0][:19]) == (["train"], "the run of wine/1 (")


def _list(root: Path, digest: str) -> dict[str, str]:
    path = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    return {one["relpath"]: one["md5"] for one in json.loads(path.read_text())}


PIPELINE = """\
stages:
  prepare:
    cmd: sh -c 'sort raw.csv > clean.csv'
    deps: [raw.csv]
    outs: [clean.csv]
  train:
    wdir: sub
    cmd: sh -c 'wc -c < ../clean.csv > model.txt'
    deps: [../clean.csv]
    outs: [model.txt]
"""


def test_stages_of_a_pipeline_with_and_without_a_run(project: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere.csv"
    source.write_text("b\na\n")
    dvc(project, "import-url", "-q", str(source), "raw.csv")
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "sub").mkdir()
    commit_all(project)
    dvc(project, "repro", "-q", "prepare")  # not by nbledger
    commit_all(project)
    trust.trust(find(project))
    repro(project)
    commit_all(project)
    found = asked("train", "--offline")
    assert {edge for edge in edges(found) if edge[1] != "ran"} == {
        ("repro", "held", "train"),
        ("train", "declared", "train"),
        ("clean.csv", "read", "train"),
        ("prepare", "made", "clean.csv"),
        ("raw.csv", "read", "prepare"),
    }
    assert found["missing"] == ["clean.csv is made by the stage prepare, of which no run is recorded"]
    prepare = node(found, "prepare")
    assert (prepare["kind"], prepare["cmd"], prepare["source"]) == (
        "stage",
        "sh -c 'sort raw.csv > clean.csv'",
        "dvc.yaml",
    )
    assert labels(found, "stage") == ["prepare", "train"]
    assert any("what dvc.yaml declares stands for" in note for note in found["notes"])
    assert asking("--back", "clean.csv").text.startswith("clean.csv was seen by 1 run")
    # the same by nbledger: now a run is known, and where the data came from
    (project / "clean.csv").unlink()
    git(project, "rm", "-q", "--cached", "dvc.lock")
    (project / "dvc.lock").unlink()
    shutil.rmtree(project / ".dvc" / "cache" / "runs", ignore_errors=True)
    repro(project, "--force")
    found = asked("train", "--offline")
    assert {edge for edge in edges(found) if edge[1] in ("wrote", "made")} == {("prepare", "wrote", "clean.csv")}
    assert node(found, "raw.csv")["source"] == str(source)
    assert dvcremote.default_remote(find(project)) is None
    assert "(there is no data remote)" in asking("train").text
