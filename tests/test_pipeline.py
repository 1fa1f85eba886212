"""The pipeline as a graph, against what ``dvc status`` says; nothing is executed by looking."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import commit_all, dvc
from nbledger.core.pipeline import Pipeline, pipeline
from nbledger.core.project import find
from nbledger.core.track import track

MAIN = """\
vars:
  - where: out
stages:
  prepare:
    cmd: python -c "open('clean.csv','w').write(open('raw.csv').read())"
    deps: [raw.csv]
    outs: [clean.csv]
  train:
    foreach: [a, b]
    do:
      cmd: python -c "import pathlib; pathlib.Path('${where}/${item}').parent.mkdir(exist_ok=True); open('${where}/${item}','w').write('${item}'); open('${item}.json','w').write('1')"
      deps: [clean.csv]
      params: [rate, {other.yaml: null}]
      outs: ["${where}/${item}"]
      metrics:
        - ${item}.json:
            cache: false
  report:
    cmd: python -c "open('report.txt','w').write('r')"
    deps: [out]
    outs: [report.txt]
"""
SUB = """\
stages:
  grid:
    matrix:
      x: [1, 2]
    cmd: python -c "open('g${item.x}','w').write('${item.x}')"
    deps: [../clean.csv]
    outs: ["g${item.x}"]
"""


def stale(found: Pipeline) -> dict[str, tuple[str, ...]]:
    return {node.id: node.why for node in found.nodes if node.kind == "stage" and node.stale}


def plain(root: Path) -> set[str]:
    return {name for name in json.loads(dvc(root, "status", "--json")) if not name.endswith(".dvc")}


def test_stages_data_and_why(project: Path) -> None:
    assert pipeline(find(project)) == Pipeline()
    (project / "raw.csv").write_text("1\n")
    track(find(project), ["raw.csv"])
    (project / "dvc.yaml").write_text(MAIN)
    (project / "params.yaml").write_text("rate: 1\n")
    (project / "other.yaml").write_text("z: 1\n")
    (project / "sub").mkdir()
    (project / "sub" / "dvc.yaml").write_text(SUB)
    found = pipeline(find(project))
    assert found.problems == ()
    assert found.files == ("dvc.yaml", "sub/dvc.yaml")
    stages = {node.id: node for node in found.nodes if node.kind == "stage"}
    assert set(stages) == {"prepare", "train@a", "train@b", "report", "sub/dvc.yaml:grid@1", "sub/dvc.yaml:grid@2"}
    assert set(stale(found).values()) == {("never run",)}
    one = stages["train@a"]
    assert (one.deps, one.outs, one.metrics) == (("clean.csv",), ("out/a", "a.json"), ("a.json",))
    assert set(one.params) == {"params.yaml:rate", "other.yaml"}
    assert "'out/a'" in one.cmd
    edges = {(edge["from"], edge["to"]) for edge in found.edges}
    assert edges >= {
        ("data:raw.csv", "prepare"),
        ("prepare", "data:clean.csv"),
        ("data:clean.csv", "sub/dvc.yaml:grid@2"),
        ("data:out/a", "data:out"),
        ("data:out", "report"),
    }
    assert not (project / "clean.csv").exists()

    dvc(project, "repro", "-q", "--all-pipelines")
    commit_all(project)
    assert stale(pipeline(find(project))) == {}
    (project / "raw.csv").write_text("2\n")
    (project / "params.yaml").write_text("rate: 2\n")
    (project / "other.yaml").write_text("z: 2\n")
    (project / "report.txt").unlink()
    (project / "sub" / "g1").write_text("changed")
    (project / "dvc.yaml").write_text(MAIN.replace("write('r')", "write('R')"))
    changed = pipeline(find(project))
    assert stale(changed) == {
        "prepare": ("the dependency raw.csv changed",),
        "train@a": ("the parameter params.yaml:rate changed", "the parameter other.yaml:z changed"),
        "train@b": ("the parameter params.yaml:rate changed", "the parameter other.yaml:z changed"),
        "report": ("the command changed", "the output report.txt is missing"),
        "sub/dvc.yaml:grid@1": ("the output sub/g1 changed",),
    }
    assert set(stale(changed)) == plain(project)
    raw = next(node for node in changed.nodes if node.id == "data:raw.csv")
    assert (raw.kind, raw.file, raw.why) == ("data", "raw.csv.dvc", ("changed since it was tracked",))


def test_what_is_broken_is_told_and_nothing_runs(project: Path) -> None:
    bait = f"__import__('pathlib').Path({str(project / 'EXECUTED')!r}).touch()\nx = 1\n"
    (project / "values.py").write_text(bait)
    (project / "dvc.yaml").write_text(
        "vars: [values.py]\nstages:\n  good:\n    cmd: echo $(touch EXECUTED) ${x}\n    outs: [same]\n"
        "  bad:\n    cmd: echo ${nowhere}\n  twice:\n    cmd: echo\n    outs: [same]\n"
    )
    for name, text in (("broken", "stages: [\n"), ("odd", "stages:\n  s: 3\n"), ("empty", "")):
        (project / name).mkdir()
        (project / name / "dvc.yaml").write_text(text)
    found = pipeline(find(project))
    assert {node.id for node in found.nodes if node.kind == "stage"} == {"good", "twice"}
    told = "\n".join(found.problems)
    for words in ("broken/dvc.yaml: ", "odd/dvc.yaml: ", "dvc.yaml: bad: ", "nowhere", "output 'same' is specified"):
        assert words in told
    assert not (project / "EXECUTED").exists()
