"""Notebooks split into stages: executed for real in copies of the project, which itself stays as it was until the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from batches import notebook
from conftest import commit_all, dvc, git, make_repository
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import restored, trust
from nbledger.core.errors import LedgerError, Refused, Untrusted, UsageError
from nbledger.core.project import find
from nbledger.keeper import splitting
from trees import files_of

WINE = (
    ("parameters", "lr = 0.5\nunused = 1"),
    "import csv, json, pickle\nimport features",
    "rows = [(int(r['x']), int(r['y'])) for r in csv.DictReader(open('../data.csv'))]",
    "rows[:3]",
    "model = features.fit(rows, lr)\npickle.dump(model, open('model.pkl', 'wb'))",
    "loaded = pickle.load(open('model.pkl', 'rb'))",
    "json.dump({'error': sum(y - loaded for x, y in rows)}, open('metrics.json', 'w'))",
)
MESSY = (
    "%matplotlib inline\nimport json, os, random\nimport matplotlib.pyplot as plt",
    "random.seed(3)",
    "!cp data.csv fetched.csv",
    "os.makedirs('out', exist_ok=True)",
    "def clean(line):\n    return helper(line) * 2",
    "def helper(line):\n    return len(line)",
    "values = [clean(line) for line in open('fetched.csv')]\nvalues",
    "plt.plot(values)\nplt.show()",
    "plt.figure()\nplt.plot(values)\nplt.savefig('out/plot.png')",
    "with open('out/log.txt', 'a') as log:\n    log.write(f'{random.sample(values, 2)}\\n')",
    "json.dump({'n': 0}, open('out/report.json', 'w'))",
    "with open('out/log.txt', 'a') as log:\n    log.write(f'{random.random()}\\n')",
    "json.dump({'n': len(values)}, open('out/report.json', 'w'))",
    "%%bash\nwc -l < out/log.txt > out/count.txt",
)


@pytest.fixture
def work(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "data.csv").write_text("x,y\n" + "".join(f"{x},{x * 7 % 11}\n" for x in range(20)))
    (project / "nb").mkdir()
    (project / "nb" / "features.py").write_text("def fit(rows, lr):\n    return sum(y for x, y in rows) * lr\n")
    monkeypatch.chdir(project)
    trust.trust(find(project))
    return project


def split(*words: str | Path) -> tuple[splitting.Outcome, str, int]:
    answer = run(["split", *map(str, words)], Face())
    assert answer is not None
    return answer.data, answer.text, answer.code


def untouched(root: Path, before: dict[str, Any]) -> None:
    """Nothing in the work tree, no copy, no snapshot."""
    assert files_of(root) == before
    assert restored.registered(find(root)) == []
    assert git(root, "for-each-ref", "refs/nbledger") == ""


def test_stages_through_a_file_are_accepted_and_written_and_dvc_runs_them(work: Path) -> None:
    path = notebook(work / "nb" / "wine.ipynb", *WINE)
    commit_all(work)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    raw = path.read_text()
    found, text, code = split(path, "--yes", "--names", "train,evaluate")
    assert (found.accepted, code) == (True, 0), text
    assert "accepted: all 2 files are, byte for byte, what the notebook itself writes" in text
    assert "cells of no stage\n      4  rows[:3]: only shows" in text
    train, evaluate = found.stages
    assert (train.name, train.cells, train.own) == ("train", (0, 1, 2, 4), (4,))
    assert (train.deps, train.outs, train.values) == (("data.csv", "nb/features.py"), ("nb/model.pkl",), {"lr": 0.5})
    assert (evaluate.cells, evaluate.metrics) == ((1, 2, 5, 6), ("nb/metrics.json",))
    assert set(evaluate.deps) == {"data.csv", "nb/features.py", "nb/model.pkl"}
    assert {one.path: one.stage for one in found.outputs} == {"nb/metrics.json": "evaluate", "nb/model.pkl": "train"}
    assert set(found.written) == {"nb/wine.ipynb", "dvc.yaml", "params.yaml", "nb/.gitignore"}
    assert path.read_text().count("%%stage") == 2
    assert path.read_text().replace("%%stage train\\n", "").replace("%%stage evaluate\\n", "") == raw
    dvc(work, "repro", "-q")
    total = sum(x * 7 % 11 for x in range(20))
    assert json.loads((work / "nb" / "metrics.json").read_text()) == {"error": total - 20 * total * 0.5}
    with pytest.raises(Refused, match="has stages already: train, evaluate"):
        split(path)


def test_what_the_notebook_wrote_when_it_ran_before_is_no_obstacle(work: Path) -> None:
    path = notebook(work / "nb" / "wine.ipynb", *WINE)
    commit_all(work)
    for name in ("model.pkl", "metrics.json"):
        (work / "nb" / name).write_bytes(b"of an earlier execution, in no commit")
    found, text, code = split(path, "--yes", "--names", "train,evaluate")
    assert (found.accepted, code) == (True, 0), text
    assert git(work, "ls-files", "nb/model.pkl", "nb/metrics.json") == ""


def test_a_messy_notebook(work: Path) -> None:
    path = notebook(work / "messy.ipynb", *MESSY)
    before = files_of(work)
    found, text, code = split(path)
    assert (found.accepted, found.written, code) == (True, (), 0), text
    untouched(work, before)
    assert "nothing was written: --yes writes it" in text
    outs = [(part.deps, (*part.outs, *part.metrics)) for part in found.stages]
    assert outs == [
        (("data.csv",), ("fetched.csv",)),
        (("fetched.csv",), ("out/plot.png",)),
        (("fetched.csv",), ("out/log.txt",)),
        (("fetched.csv",), ("out/report.json",)),
        (("out/log.txt",), ("out/count.txt",)),
    ]
    assert set(found.idle) == {3, 7}
    assert "cell 3 (!cp data.csv fetched.csv) uses what cannot be seen into" in text


def test_what_comes_out_otherwise_is_named_and_nothing_is_written(work: Path) -> None:
    alias = ("a = []", "b = a", "b.append(1)", "open('a.txt', 'w').write(str(a))", "open('b.txt', 'w').write('b')")
    path = notebook(work / "alias.ipynb", *alias)
    before = files_of(work)
    found, text, code = split(path, "--yes")
    assert (found.accepted, found.written, code) == (False, (), 1)
    untouched(work, before)
    one, other = found.outputs
    assert (one.path, one.equal, one.unstable, other.equal) == ("a.txt", False, False, True)
    assert f"  a.txt  notebook {one.notebook_md5[:12]}  stage a {one.stage_md5[:12]}" in text  # type: ignore[index]

    path = notebook(work / "chance.ipynb", "import uuid", "open('id.txt', 'w').write(str(uuid.uuid4()))")
    found, text, code = split(path, "--yes")
    assert (found.outputs[0].unstable, code) == (True, 1)
    assert "the notebook itself writes it otherwise each time" in text
    assert "the notebook is not deterministic" in text


def test_what_stands_in_the_way_is_one_line_and_nothing_is_left(work: Path) -> None:
    fine = notebook(work / "fine.ipynb", "open('kept.txt', 'w').write('1')")
    fails = notebook(work / "fails.ipynb", "1", "open('gone.csv')", "2")
    (work / "kept.txt").write_text("0")
    commit_all(work)
    before = files_of(work)
    with pytest.raises(LedgerError, match=r"kept\.txt.* tracked by (Git|SCM)"):
        split(fine, "--yes")
    with pytest.raises(Refused, match=r"the notebook itself fails: cell 2 of 3: FileNotFoundError.*nbledger track"):
        split(fails)
    with pytest.raises(UsageError, match="there is no notebook"):
        split("none.ipynb")
    with pytest.raises(UsageError, match="has a name that is empty"):
        split(fine, "--names", "a,,b")
    other = notebook(work / "r.ipynb", "1")
    book = nbformat.read(other, 4)
    book.metadata.language_info = {"name": "R"}
    nbformat.write(book, other)
    with pytest.raises(Refused, match="a notebook in R: only Python's"):
        split(other)
    other.unlink()
    untouched(work, before)


def test_a_notebook_that_changes_meanwhile_and_a_write_that_fails(work: Path) -> None:
    path = notebook(work / "nb.ipynb", ("parameters", "n = 1"), "open('o.txt', 'w').write(str(n))")
    (work / "params.yaml").write_text("n: 2\n")
    with splitting.opened(find(work), path) as one:
        outcome = one.check(one.propose(["only"]))
        assert outcome.accepted
        assert outcome.notes == (
            "params.yaml has n = 2, and the notebook 1: the stage only takes that of params.yaml",
        )  # fmt: skip
        raw = path.read_bytes()
        path.write_bytes(raw + b"\n")
        with pytest.raises(Refused, match=r"nb\.ipynb was changed meanwhile"):
            one.write(outcome)
        assert path.read_bytes() == raw + b"\n"
        path.write_bytes(raw)
        (work / "dvc.yaml").mkdir()  # it cannot be written
        with pytest.raises((LedgerError, OSError)):
            one.write(outcome)
        assert path.read_bytes() == raw


def test_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = notebook(tmp_path / "plain" / "nb.ipynb", "1")
    monkeypatch.chdir(path.parent)
    with pytest.raises(Untrusted, match="splitting a notebook executes code that came with plain"):
        split(path)
    with pytest.raises(Refused, match="is not both a Git and a DVC repository"):
        split(path, "--trust")
    root = make_repository(tmp_path / "other")
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match="is not in the project"):
        split(path, "--trust")
