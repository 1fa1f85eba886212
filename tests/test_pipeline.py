"""The pipeline as a graph, against what ``dvc status`` says; nothing is executed by looking."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat

from batches import notebook
from conftest import commit_all, dvc
from nbledger.commands.answer import Face
from nbledger.commands.pipeline_text import pipeline as pipeline_text
from nbledger.commands.tree import run
from nbledger.core import dvcstages, stagecells
from nbledger.core.mermaid import flowchart, label
from nbledger.core.pipeline import Node, Pipeline, pipeline
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


TEXT = """\
2 dvc.yaml files: 6 stages, 3 stale, 3 may run after them
1  stale    prepare              raw.csv → clean.csv
            the dependency raw.csv changed
2  stale    train@a              clean.csv (by prepare) → out/a, a.json
            the parameter params.yaml:rate changed
            the parameter other.yaml:z changed
   stale    train@b              clean.csv (by prepare) → out/b, b.json
            the parameter params.yaml:rate changed
            the parameter other.yaml:z changed
   may run  sub/dvc.yaml:grid@1  clean.csv (by prepare) → sub/g1
            it reads clean.csv, which prepare makes anew
   may run  sub/dvc.yaml:grid@2  clean.csv (by prepare) → sub/g2
            it reads clean.csv, which prepare makes anew
3  may run  report               out (by train@a, train@b) → report.txt
            it reads out, which train@b makes anew"""
MERMAID = """\
flowchart TD
    d0[("raw.csv")]:::data
    s0["prepare"]:::stale
    s1["train#64;a"]:::stale
    s2["train#64;b"]:::stale
    s3["report"]:::mayrun
    s4["sub/dvc.yaml:grid#64;1"]:::mayrun
    s5["sub/dvc.yaml:grid#64;2"]:::mayrun
    d0 --> s0
    s0 -- "clean.csv" --> s1
    s0 -- "clean.csv" --> s2
    s1 -- "out" --> s3
    s2 -- "out" --> s3
    s0 -- "clean.csv" --> s4
    s0 -- "clean.csv" --> s5
    classDef stale fill:#fde2c8,stroke:#b45309,color:#451a03
    classDef mayrun stroke:#b45309,stroke-dasharray:4 3
    classDef data fill:none,stroke-opacity:0.5"""


def stale(found: Pipeline) -> dict[str, tuple[str, ...]]:
    return {node.id: node.why for node in found.nodes if node.kind == "stage" and node.stale}


def text(*words: str) -> str:
    answer = run(["pipeline", *words], Face())
    assert answer is not None
    return answer.text


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
    (project / "sub" / "g1").write_text("1")
    (project / "dvc.yaml").write_text(MAIN)
    (project / "report.txt").write_text("r")
    after = {node.id: node.why for node in pipeline(find(project)).nodes if node.may_run}
    assert after == {
        "sub/dvc.yaml:grid@1": ("it reads clean.csv, which prepare makes anew",),
        "sub/dvc.yaml:grid@2": ("it reads clean.csv, which prepare makes anew",),
        "report": ("it reads out, which train@b makes anew",),
    }
    assert text() == TEXT
    assert text("--mermaid") == MERMAID
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


def test_a_stage_is_stale_when_its_notebooks_code_changes_and_not_when_its_outputs_do(project: Path) -> None:
    path = notebook(
        project / "nb.ipynb", "%%stage one\na = 1", "%%stage one\nopen('a', 'w').write(str(a))", "%%stage two\n2"
    )
    (project / "dvc.yaml").write_text(CODE)
    (project / "stages").mkdir()
    (project / "a").write_text("1")

    def write_code() -> None:
        book = nbformat.read(path, 4)
        for name in ("one", "two"):
            (project / "stages" / f"{name}.py").write_text(stagecells.code(book, name))

    def edit(before: str, after: str) -> None:
        path.write_text(path.read_text().replace(before, after))

    def quick() -> list[str]:
        return dvcstages.stale(find(project), ["dvc.yaml"])

    write_code()
    assert set(quick()) == {"code-nb", "one", "two"}
    dvc(project, "commit", "-q", "-f")
    assert (stale(pipeline(find(project))), quick()) == ({}, [])
    book = nbformat.read(path, 4)
    book.cells[0].outputs = [nbformat.v4.new_output("stream", text="shown")]
    book.cells[1].id = "another"
    nbformat.write(book, path)
    assert (stale(pipeline(find(project))), quick()) == ({}, [])
    one = next(node for node in pipeline(find(project)).nodes if node.id == "one")
    assert (one.notebook, one.cell) == ("nb.ipynb", book.cells[0].id)

    edit("a = 1", "a = 2")
    code, why = ("stages/one.py is not the code of nb.ipynb as it is now",), "the code of nb.ipynb changed"
    assert stale(pipeline(find(project))) == {"code-nb": code, "one": (f"{why}: cell “a = 2”",)}
    assert quick() == ["code-nb", "one"]
    write_code()  # as the first stage of `dvc repro` does
    assert stale(pipeline(find(project))) == {"one": (why,)}
    assert quick() == ["one"]
    edit("a = 2", "a = 1")
    assert list(stale(pipeline(find(project)))) == ["code-nb"]  # the stage itself would be skipped

    edit("%%stage one", "%%stage gone")
    found = pipeline(find(project))
    assert "no cell begins with `%%stage one`" in found.problems[0]
    path.unlink()
    assert "nb.ipynb: the notebook cannot be read: No such file" in pipeline(find(project)).problems[0]
    os.mkfifo(path)
    assert "nb.ipynb: the notebook is not a file" in pipeline(find(project)).problems
    (project / "dvc.yaml").write_text(CODE.replace("nb.ipynb", "../nb.ipynb"))
    assert "../nb.ipynb: the notebook lies outside of the project" in pipeline(find(project)).problems


CODE = """\
stages:
  code-nb:
    cmd: nbledger code nb.ipynb
    always_changed: true
    outs:
    - stages/one.py: {cache: false}
    - stages/two.py: {cache: false}
  one:
    cmd: nbledger run nb.ipynb --stage one
    deps: [stages/one.py]
    outs: [a]
  two:
    cmd: nbledger run nb.ipynb --stage two
    deps: [stages/two.py]
"""


def test_a_circle_a_hundred_stages_and_names_that_mermaid_would_read_otherwise() -> None:
    data = [Node(f"data:{n}", "data", f"{n}") for n in range(101)]
    chain = [Node(f"s{n}", "stage", f"s{n}", deps=(f"{n}",), outs=(f"{n + 1}",)) for n in range(100)]
    edges = [{"from": f"data:{n}", "to": f"s{n}"} for n in range(100)]
    edges += [{"from": f"s{n}", "to": f"data:{n + 1}"} for n in range(100)]
    long = Pipeline(("dvc.yaml",), (*data, *reversed(chain)), tuple(edges))
    lines = pipeline_text(long).splitlines()
    assert len(lines) == 101
    assert lines[1:3] == ["  1  fresh    s0   0 → 1", "  2  fresh    s1   1 (by s0) → 2"]
    assert lines[-1] == "100  fresh    s99  99 (by s98) → 100"
    assert len(flowchart(long).splitlines()) == 1 + 1 + 100 + 1 + 99 + 3

    circle = Pipeline(("dvc.yaml",), long.nodes, (*long.edges, {"from": "s99", "to": "data:0"}), ("it is a circle",))
    assert pipeline_text(circle).splitlines()[-1] == "problem: it is a circle"
    assert label('a "quoted" <b> `x` é #1; end|') == "a #34;quoted#34; #60;b#62; #96;x#96; #233; #35;1#59; end#124;"
