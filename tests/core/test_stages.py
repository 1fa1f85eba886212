"""Which cells a stage is, what its code's file holds, what dvc.yaml declares and takes; what is proposed from what was seen."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from dvc.repo import Repo

from conftest import commit_all, git
from nbledger.core import dvcwrite, moduleuse, proposal, stagecode, stages
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.core.proposal import Given
from nbledger.core.record import ExecutedCell
from nbledger.core.stages import Plan

CELLS = (
    "%load_ext nbledger",
    "import json\nfrom features import scaled",
    ("parameters", "lr = 0.1\ndepth, unused = 3, 4"),
    "%matplotlib inline",
    "helper = 1",
    "%%stage train -d data.csv\nrows = open('data.csv').read()\nmodel = scaled(lr) * depth",
    "print(helper)",
    "%%stage train\nopen('model.txt', 'w').write(str(model))\n%track_data model.txt\nif lr:\n    %runs",
    "%%stage evaluate -M metrics.json\njson.dump({'acc': float(open('model.txt').read())}, open('metrics.json', 'w'))  ",
)


def book(*cells: str | tuple[str, str]) -> Any:
    made = nbformat.v4.new_notebook()
    for cell in cells:
        tag, source = cell if isinstance(cell, tuple) else ("", cell)
        new = nbformat.v4.new_code_cell(source)
        new.metadata.update({"tags": [tag]} if tag else {})
        made.cells.append(new)
    return made


# ── which cells ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_is_its_cells_and_what_they_need() -> None:
    notebook = book(*CELLS)
    train, evaluate = stages.slice_of(notebook, "train"), stages.slice_of(notebook, "evaluate")
    assert (train.indexes, train.own, dict(train.borrowed)) == ((1, 2, 3, 5, 7), (5, 7), {})
    assert (evaluate.indexes, evaluate.own) == ((1, 3, 8), (8,))
    assert stages.names(notebook) == ["train", "evaluate"]
    assert stages.left_out(notebook, train) == ["%track_data model.txt", "%runs"]


def test_what_another_stage_computes_is_taken_along_and_said() -> None:
    notebook = book("%%stage a\nx = 1", "y = x", "%%stage b\nprint(y)")
    found = stages.slice_of(notebook, "b")
    assert (found.indexes, dict(found.borrowed)) == ((0, 1, 2), {"a": (0,)})


def test_a_notebook_without_stages_is_one_whole_stage() -> None:
    notebook = book("x = 1", "%ledger status", "# only a remark", "print(1)")
    assert stages.slice_of(notebook, "all").indexes == (0, 3)
    with pytest.raises(UsageError, match=r"no cell begins with `%%stage trian` — did you mean train\?"):
        stages.slice_of(book(*CELLS), "trian")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("%%stage train", "train"),
        ("\n%%stage -d 'a b' train -o c\nx", "train"),
        ("%%stage --deps=x train", "train"),
        ("%%stage -d train", None),
        ("%%stages train", None),
        ("x = 1\n%%stage train", None),
        ("%%stage 'open", "'open"),
    ],
)
def test_the_name_on_the_line(source: str, name: str | None) -> None:
    assert stages.stage_of(source) == name


# ── the file of its code ──────────────────────────────────────────────────────────────────────────────────────


def test_code_is_blind_to_all_but_what_the_stage_executes() -> None:
    notebook = book(*CELLS)
    code = {name: stages.code(notebook, name) for name in ("train", "evaluate")}
    assert code["train"].startswith("# The code of the stage train,")
    assert "%%stage" not in code["train"] and "%track_data" not in code["train"]
    assert "if lr:\n    pass\n" in code["train"], "what is skipped leaves a block that can be read"
    compile(code["train"].replace("%matplotlib inline", ""), "train.py", "exec")
    other = copy.deepcopy(notebook)
    other.cells.insert(0, nbformat.v4.new_markdown_cell("# A title"))
    for number, cell in enumerate(other.cells):
        cell.id, cell.metadata["collapsed"] = f"new-{number}", True
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = number, [nbformat.v4.new_output("stream", text="x")]
            cell.source = cell.source.replace("helper = 1", "helper = 2").replace("-d data.csv", "-d other.csv  ")
    assert {name: stages.code(other, name) for name in code} == code
    other.cells[3].source = other.cells[3].source.replace("0.1", "0.2")
    assert stages.code(other, "train") != code["train"] and stages.code(other, "evaluate") == code["evaluate"]
    other.cells[-1].source += "\n1"
    assert stages.code(other, "evaluate") != code["evaluate"]


# ── what dvc.yaml declares ────────────────────────────────────────────────────────────────────────────────────

DECLARED = """\
stages:
  train:
    cmd: nbledger run ../nb/a b.ipynb --stage train
    wdir: sub
    deps: [data.csv, ../features.py]
    params:
    - lr
    - other.yaml:
      - a.b
      - c
    - whole.json:
    outs:
    - model.pkl:
        persist: true
    metrics:
    - m.json: {cache: false}
    frozen: true
  quoted:
    cmd: nbledger run 'nb/a b.ipynb' --stage quoted
  plain:
    cmd: [cp a b, echo]
"""


def test_what_dvc_yaml_declares(project: Path) -> None:
    (project / "dvc.yaml").write_text(DECLARED.replace("../nb/a b.ipynb", "'../nb/a b.ipynb'"))
    (project / "deep").mkdir()
    (project / "deep/dvc.yaml").write_text("stages: {inner: {cmd: cp x y, deps: [x], outs: [y]}}\n")
    found = stages.stages(find(project))
    assert sorted(found) == ["deep/dvc.yaml:inner", "plain", "quoted", "train"]
    train = found["train"]
    assert train.deps == ("sub/data.csv", "features.py") and train.outs == ("sub/model.pkl",)
    assert train.metrics == ("sub/m.json",) and train.frozen and train.notebook == "nb/a b.ipynb"
    assert train.params == (
        ("sub/params.yaml", "lr"), ("sub/other.yaml", "a.b"), ("sub/other.yaml", "c"), ("sub/whole.json", ""),
    )  # fmt: skip
    assert (found["plain"].cmd, found["plain"].notebook) == ("cp a b\necho", None)
    assert found["deep/dvc.yaml:inner"].outs == ("deep/y",)
    assert [each.name for each in stages.notebook_stages(find(project), "nb/a b.ipynb")] == ["train", "quoted"]
    with pytest.raises(UsageError, match="did you mean train"):
        stages.stage(find(project), "trian")


def test_values_of_parameters_are_typed_as_dvc_types_them(project: Path) -> None:
    (project / "params.yaml").write_text("lr: 1e-3\non: yes\ntrain: {depth: 3, sizes: [1, 2]}\n")
    (project / "p.py").write_text("epochs = 5\nclass Net:\n    width: int = 8\nimport os\nx = os.getpid()\n")
    (project / "p.toml").write_text("[a]\nb = 1.5\n")
    keys = (
        ("params.yaml", "lr"), ("params.yaml", "on"), ("params.yaml", "train.depth"), ("params.yaml", "train.sizes.1"),
        ("p.py", "epochs"), ("p.py", "Net.width"), ("p.toml", ""),
    )  # fmt: skip
    one = stages.Stage("s", "", "dvc.yaml", params=keys)
    found = stages.parameters(find(project), one)
    assert found == {
        "lr": 0.001, "on": "yes", "train.depth": 3, "train.sizes.1": 2, "epochs": 5, "Net.width": 8, "a": {"b": 1.5},
    }  # fmt: skip
    for file, key, why in (
        ("params.yaml", "lrr", "params.yaml has no 'lrr', which the stage s takes"),
        ("none.yaml", "x", "none.yaml, the file of parameters: No such file"),
    ):
        with pytest.raises(UsageError, match=why):
            stages.parameters(find(project), stages.Stage("s", "", "dvc.yaml", params=((file, key),)))


# ── what is written ───────────────────────────────────────────────────────────────────────────────────────────


def point(root: Path, name: str, md5: str) -> None:
    """A pointer as ``dvc add`` writes it."""
    (root / f"{name}.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 1\n  hash: md5\n  path: {name}\n")


@pytest.fixture
def pipeline(project: Path) -> Path:
    """A project with a notebook of stages and a ``dvc.yaml`` that a person wrote."""
    nbformat.write(book(*CELLS), project / "nb.ipynb")
    (project / "raw").write_text("1")
    (project / "kept").write_text("in Git")
    (project / "tracked").write_text("by a pointer")
    point(project, "tracked", "a" * 32)
    (project / "dvc.yaml").write_text(
        "# mine\nstages:\n  # first\n  prep:\n    cmd: cp raw clean\n    deps:\n    - raw   # from the lab\n    outs:\n    - clean\n"
    )
    commit_all(project)
    return project


def state(root: Path) -> dict[str, bytes]:
    names = ("dvc.yaml", ".gitignore", "params.yaml", "dvc.lock")
    return {name: (root / name).read_bytes() for name in names if (root / name).exists()}


def test_stages_are_written_as_dvc_reads_them_and_comments_stay(pipeline: Path) -> None:
    here = find(pipeline)
    (pipeline / "params.yaml").write_text("# tuned\nlr: 0.5   # rate\n")
    train = Plan("train", "nb.ipynb", ("clean",), ("model.txt",), params=("lr", "net.depth"), values={"net.depth": 3})
    evaluate = Plan("evaluate", "nb.ipynb", ("model.txt",), metrics=("metrics.json",))
    assert dvcwrite.add(here, [train, evaluate]) == (".gitignore", "params.yaml", "dvc.yaml")
    text = (pipeline / "dvc.yaml").read_text()
    assert text.startswith("# mine\nstages:\n  # first\n  prep:\n") and "- raw   # from the lab\n" in text
    assert (pipeline / "params.yaml").read_text() == "# tuned\nlr: 0.5   # rate\nnet:\n  depth: 3\n"
    assert "/model.txt" in (pipeline / ".gitignore").read_text().splitlines()
    with Repo(str(pipeline)) as repo:
        assert [each.addressing for each in repo.stage.collect("dvc.yaml")] == ["prep", "code-nb", "train", "evaluate"]
        repo.check_graph(())
    assert stages.stage(here, "train").notebook == "nb.ipynb"
    assert dvcwrite.add(here, [train, evaluate], force=True) == (), "what is there already is not written again"
    (pipeline / "dvc.yaml").write_text(
        text.replace("    - model.txt\n", "    - model.txt:      # big\n        persist: true\n", 1)
        .replace("  train:\n", "  train:\n    desc: mine\n").replace("--stage train\n", "--stage train --timeout 60\n")
    )  # fmt: skip
    more = Plan("train", "nb.ipynb", ("clean", "raw"), ("model.txt",), params=("lr", "net.depth"))
    assert dvcwrite.add(here, [more], force=True) == ("dvc.yaml",)
    text = (pipeline / "dvc.yaml").read_text()
    assert (
        "--timeout 60" in text
        and "# big" in text
        and "persist: true" in text
        and "desc: mine" in text
        and "from the lab" in text
    )
    assert stages.stage(here, "train").deps == ("clean", "stages/train.py", "raw")
    # the same name for another notebook: the file of its code is written by that one's stage from then on
    (pipeline / "deep").mkdir()
    nbformat.write(book("print(1)"), pipeline / "deep/nb.ipynb")
    moved = Plan("train", "deep/nb.ipynb", ("clean",), ("model.txt",))
    dvcwrite.add(here, [moved], force=True)
    declared = stages.stages(here)
    assert text.count("persist: true") == 3, "DVC deletes no code before it has it written"
    assert declared["code-nb"].outs == ("stages/evaluate.py",) and declared["code-deep-nb"].outs == ("stages/train.py",)
    assert declared["train"].notebook == "deep/nb.ipynb" and declared["train"].params == ()


REFUSED = [
    (Plan("prep", "nb.ipynb"), UsageError, "there is a stage prep already — --force replaces it"),
    (Plan("x", "nb.ipynb", ("clean",), ("raw",)), Refused, "raw|same item"),
    (Plan("x", "nb.ipynb", ("raw",), ("clean",)), Refused, "output 'clean' is already specified in stage prep"),
    (Plan("x", "nb.ipynb", (), ("tracked",)), Refused, "output 'tracked' is already specified in stage tracked.dvc"),
    (Plan("x", "nb.ipynb", (), ("kept",)), Refused, "the output kept is already tracked by Git"),
    (Plan("x", "nb.ipynb", ("a",), ("a",)), Refused, "'a' is specified as an output and as a dependency"),
    (Plan("x", "nb.ipynb", ("../outside",)), Refused, "a dependency outside the repository: ../outside"),
    (Plan("x", "nb.ipynb", ("/etc/hosts",)), Refused, "a dependency outside the repository: /etc/hosts"),
    (Plan("x", "nb.ipynb", (), ("../out",)), Refused, r"cached output\(s\) outside of DVC project"),
    (Plan("x", "nb.ipynb", ("nb.ipynb",)), Refused, "the stage's own notebook, which changes whenever it is executed"),
    (Plan("x.y", "nb.ipynb"), UsageError, "stage name cannot contain punctuation"),
    (Plan("x", "gone.ipynb"), UsageError, "there is no notebook gone.ipynb"),
    (Plan("x", "nb.ipynb", params=("lr",)), UsageError, "params.yaml has no 'lr'"),
    (Plan("x", "nb.ipynb", params=("other.yaml:lr",)), UsageError, "other.yaml, the file of parameters"),
    (Plan("x", "nb.ipynb", (), ("dvc.yaml",)), Refused, "DVC file 'dvc.yaml' cannot be an output"),
    (Plan("x", "nb.ipynb", ("${a}",)), Refused, "would be a template"),
    (Plan("mine", "nb.ipynb"), Refused, "stages/mine.py is not a file that nbledger wrote"),
]


def test_what_dvc_would_not_have_is_refused_in_one_line_and_nothing_changes(pipeline: Path) -> None:
    here = find(pipeline)
    (pipeline / "stages").mkdir()
    (pipeline / "stages/mine.py").write_text("print('mine')\n")
    before = state(pipeline)
    good = Plan("good", "nb.ipynb", ("clean",), ("made",))
    for plan, kind, words in REFUSED:
        with pytest.raises(kind, match=words) as caught:
            dvcwrite.add(here, [good, plan])
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300, caught.value
        assert state(pipeline) == before, plan
    with pytest.raises(Refused, match=r"same item.* in stages: .*a.*b|same item.* in stages: .*b.*a"):
        dvcwrite.add(here, [Plan("a", "nb.ipynb", ("1",), ("2",)), Plan("b", "nb.ipynb", ("2",), ("1",))])
    with pytest.raises(Refused, match="output 'o' is specified in"):
        dvcwrite.add(here, [Plan("a", "nb.ipynb", (), ("o",)), Plan("b", "nb.ipynb", (), ("o",))])
    assert state(pipeline) == before and "mine" in git(pipeline, "status", "--short", "-uall")


def test_a_file_that_cannot_be_written_leaves_the_others_as_they_were(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(pipeline)
    real = os.replace

    def refuse(source: str | Path, target: str | Path) -> None:
        if str(target).endswith("dvc.yaml"):
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    plan = Plan("train", "nb.ipynb", ("clean",), ("made",), params=("lr",), values={"lr": 1})
    with pytest.raises(LedgerError, match="No space left"):
        dvcwrite.add(find(pipeline), [plan])
    assert state(pipeline) == before and not (pipeline / "params.yaml").exists()


def test_code_writes_what_differs_and_nothing_else(pipeline: Path) -> None:
    here = find(pipeline)
    with pytest.raises(UsageError, match=r"no stage of dvc.yaml runs nb.ipynb — nbledger stage nb.ipynb makes one"):
        stagecode.write(here, pipeline / "nb.ipynb")
    dvcwrite.add(here, [Plan("train", "nb.ipynb"), Plan("evaluate", "nb.ipynb")])
    first = stagecode.write(here, pipeline / "nb.ipynb")
    assert [(each.stage, each.written) for each in first] == [("train", True), ("evaluate", True)]
    assert (pipeline / "stages/train.py").read_text() == stages.code(book(*CELLS), "train")
    old = os.stat(pipeline / "stages/train.py").st_mtime_ns
    assert not any(each.written for each in stagecode.write(here, pipeline / "nb.ipynb"))
    assert os.stat(pipeline / "stages/train.py").st_mtime_ns == old
    (pipeline / "stages/train.py").write_text("theirs\n")
    with pytest.raises(Refused, match=r"stages/train\.py is not a file that nbledger wrote"):
        stagecode.write(here, pipeline / "nb.ipynb")
    (pipeline / "stages/train.py").unlink()
    nbformat.write(book(*CELLS[:-1], "'changed'", CELLS[5] + "\n1"), pipeline / "nb.ipynb")
    with pytest.raises(
        Refused, match=r"nb\.ipynb has no stage evaluate any more, and dvc\.yaml has it — bring its cell back"
    ):
        stagecode.write(here, pipeline / "nb.ipynb")
    assert not (pipeline / "stages/train.py").exists(), "nothing is written where a name is wrong"
    (pipeline / "broken.ipynb").write_text("{")
    with pytest.raises(UsageError, match=r"broken.ipynb is not a notebook"):
        stagecode.write(here, pipeline / "broken.ipynb")


# ── what is proposed ──────────────────────────────────────────────────────────────────────────────────────────


def executed(
    cells: Sequence[str | tuple[str, str]], **facts: tuple[Sequence[str], Sequence[str]]
) -> list[ExecutedCell]:
    """The cells as they ran; ``facts``: {"c5": (reads, writes)}."""
    made = []
    for number, cell in enumerate(cells):
        reads, writes = facts.get(f"c{number}", ((), ()))
        source = cell[1] if isinstance(cell, tuple) else cell
        made.append(ExecutedCell(source, f"id{number}", reads=tuple(reads), writes=tuple(writes)))
    return made


def proposed(root: Path, name: str, ran: Sequence[ExecutedCell], given: Given | None = None) -> proposal.Proposal:
    modules = ["features.py", "unneeded.py", "lib/inner.py"]
    return proposal.propose(find(root), "nb.ipynb", book(*CELLS), name, ran, modules, given or Given())


def whys(found: proposal.Proposal) -> dict[str, str]:
    return {f"{line.kind} {line.value}": line.why for line in found.lines}


def test_a_proposal_is_what_was_seen_and_each_line_says_why(pipeline: Path) -> None:
    (pipeline / "features.py").write_text("from lib.inner import x\n")
    (pipeline / "lib").mkdir()
    (pipeline / "lib/inner.py").write_text("x = 1\n")
    (pipeline / "params.yaml").write_text("model: {lr: 0.7}\n")
    for name in ("data.csv", "model.txt", "plot.png", "changing.db"):
        (pipeline / name).write_text("1")
    (pipeline / "metrics.json").write_text(json.dumps({"acc": 1, "by": {"class": 0.5}}))
    (pipeline / "labels.json").write_text(json.dumps({"acc": "high"}))
    ran = executed(
        CELLS,
        c5=(("data.csv", "/elsewhere/big.csv", "nb.ipynb", "params.yaml", "dvc.yaml"), ("between.txt",)),
        c7=(
            ("between.txt", "changing.db"),
            ("model.txt", "plot.png", "metrics.json", "labels.json", "kept", "tracked", "clean", "changing.db"),
        ),
        c8=(("model.txt",), ("metrics.json",)),
    )
    found = proposed(pipeline, "train", ran)
    assert whys(found) == {
        "deps data.csv": "read",
        "deps features.py": "imported",
        "deps lib/inner.py": "imported",
        "params model.lr": "of the cell tagged parameters; 0.7 in params.yaml, not 0.1",
        "params depth": "of the cell tagged parameters; new in params.yaml: 3",
        "outs between.txt": "written",
        "outs model.txt": "written",
        "outs labels.json": "written",
        "metrics metrics.json": "written: numbers by name",
        "plots plot.png": "written: an image",
    }
    assert dict(found.left_out) == {
        "/elsewhere/big.csv": "outside of the project",
        "changing.db": "read and then changed by the same cell: no stage can depend on its own output",
        "clean": "an output of the stage prep",
        "dvc.yaml": "of DVC",
        "kept": "tracked by Git: git rm --cached kept, or -M or --plots, which may stay in Git",
        "nb.ipynb": "the notebook itself: its code is in stages/",
        "params.yaml": "parameters are named one by one: -p",
        "tracked": "tracked by tracked.dvc: dvc remove tracked.dvc first",
    }
    assert found.observed and "skipped in a stage: %track_data model.txt, %runs" in found.remarks
    # what the person says counts, and is not said twice
    given = Given(deps=("extra",), outs=("metrics.json",), params=("lr",))
    said = whys(proposed(pipeline, "train", ran, given))
    assert (said["deps extra"], said["outs metrics.json"]) == ("given", "given") and "metrics metrics.json" not in said
    assert said["params lr"] == "given; new in params.yaml: 0.1" and "params depth" not in said
    only = proposed(pipeline, "train", ran, Given(deps=("data.csv",), only=True))
    assert list(whys(only)) == ["deps data.csv"]


def test_a_folder_of_many_files_is_one_dependency(pipeline: Path) -> None:
    (pipeline / "many").mkdir()
    (pipeline / "images").mkdir()
    for number in range(9):
        (pipeline / f"many/{number}.txt").write_text(str(number))
        (pipeline / f"images/{number}.bin").write_text(str(number))
    point(pipeline, "images", "b" * 32 + ".dir")
    reads = (*(f"many/{number}.txt" for number in range(9)), "images/3.bin")
    found = proposed(pipeline, "train", executed(CELLS, c5=(reads, ())))
    assert [value for value in found.plan.deps if value != "features.py"] == ["many", "images"]


def test_a_stage_that_is_there_is_compared_and_what_was_not_seen_stays(pipeline: Path) -> None:
    here = find(pipeline)
    (pipeline / "data.csv").write_text("1")
    plan = Plan("train", "nb.ipynb", ("data.csv", "unseen.bin", "features.py"), ("model.txt", "old.txt"))
    dvcwrite.add(here, [plan])
    ran = executed(CELLS, c5=(("data.csv",), ()), c7=((), ("model.txt",)))
    found = proposed(pipeline, "train", ran, Given(only=False))
    assert whys(found)["deps unseen.bin"] == "in dvc.yaml, not seen" and dict(found.left_out)["old.txt"]
    assert found.exists and set(found.changes) == {
        "- outs: old.txt", "+ params: lr", "+ params: depth",
        "+ params.yaml: lr", "+ params.yaml: depth",
    }  # fmt: skip
    dvcwrite.add(here, [found.plan], force=True)
    again = proposed(pipeline, "train", ran)
    assert again.changes == () and not again.changed
    never = proposed(pipeline, "evaluate", [])
    assert whys(never) == {"deps features.py": "imported"} and any(
        "--run executes it first" in remark for remark in never.remarks
    )
    edited = [cell for cell in ran if "%%stage train\n" not in cell.source]
    unseen = proposed(pipeline, "train", edited)
    assert not unseen.observed and any("not run as it is now" in remark for remark in unseen.remarks)
    assert "model.txt" in unseen.plan.outs, "an output of a cell that was not seen to run stays"


def test_which_modules_a_cell_needs(tmp_path: Path) -> None:
    for name, text in {
        "a.py": "import b",
        "b.py": "",
        "pkg/__init__.py": "",
        "pkg/one.py": "from . import two\nfrom .deep.three import x",
        "pkg/two.py": "",
        "pkg/deep/three.py": "x = 1",
        "src/lib/four.py": "def f():\n    import a",
        "other.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    modules = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.py"))]

    def used(source: str) -> list[str]:
        return moduleuse.used(tmp_path, modules, [source])

    assert used("import numpy, os.path") == []
    assert used("%time\nimport a as z") == ["a.py", "b.py"]
    assert used("from pkg.one import y") == ["pkg/__init__.py", "pkg/deep/three.py", "pkg/one.py", "pkg/two.py"]
    assert used("from lib.four import f") == ["a.py", "b.py", "src/lib/four.py"]
    assert used("import importlib\nimportlib.import_module('other')") == ["other.py"]
    assert used("import importlib\nimportlib.import_module(name)") == modules
