"""``nbledger run``: notebooks executed by real kernels, read back with plain MLflow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from batches import RUN, answer, none_left, notebook, owned, run
from conftest import git
from kernels import kernel
from ledger import artifact, runs
from nbledger.cli import main
from snap import Snap, check_same

pytestmark = pytest.mark.slow


# ── one notebook ─────────────────────────────────────────────────────────────────────────────────────────────


def test_one_notebook_with_parameters(project: Path) -> None:
    notebook(
        project / "a folder/train it.ipynb",
        ("parameters", "n, rate, name = 1, 0.5, 'a'"),
        "open('made here.txt', 'w').write(str(n))",
        "%%mlrun inner -m double\ndouble = n * 2",
        "print(n, rate, name, api_key)",
    )
    (project / "values.yaml").write_text("n: 4\nrate: 0.25\n")
    before, secret = Snap.take(project), "s3cret'<value>-0123"
    done = run(
        project, "a folder/train it.ipynb", "-p", "n=9", "-p", "nmae=x", "-p", f"api_key={secret}",
        "--params", "values.yaml",
        "--output", "out", "--name", "tried", "-e", "elsewhere",
    )  # fmt: skip
    assert "✓  tried" in done.stdout
    assert "no 'nmae': did you mean name?" in done.stdout
    assert "[0/1] train it: cell 4/5 %%mlrun inner -m double" in done.stderr
    outer, inner = runs(project)
    assert (outer.info.run_name, outer.info.status) == ("tried", "FINISHED")
    assert {k: outer.data.params[k] for k in ("n", "rate", "name")} == {"n": "9", "rate": "0.25", "name": "a"}
    assert outer.data.tags["mlflow.source.name"] == "a folder/train it.ipynb"
    assert "mlflow.parentRunId" not in outer.data.tags and "nbledger.batch" not in outer.data.tags
    assert inner.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert (inner.data.metrics["double"], inner.info.experiment_id) == (18, outer.info.experiment_id)
    assert (project / "a folder/made here.txt").read_text() == "9"
    for name in ("train it.ipynb", "train it.html"):
        kept, written = artifact(project, outer.info.run_id, name).read_bytes(), (project / "out" / name).read_bytes()
        assert b"9 0.25 a ***" in kept and kept == written
    for path in (p for p in project.rglob("*") if p.is_file() and ".git" not in p.parts):
        assert secret[:6].encode() not in path.read_bytes(), path
    book = nbformat.read(project / "out/train it.ipynb", 4)
    assert [cell.execution_count for cell in book.cells] == [1, 2, 3, 4, 5]
    assert git(project, "show", f"{outer.data.tags['nbledger.snapshot']}:a folder/train it.ipynb")
    (project / "a folder/made here.txt").unlink()
    for path in (project / "out").iterdir():
        path.unlink()
    (project / "out").rmdir()
    check_same(before, Snap.take(project))


def test_outside_of_a_project_and_as_json(folder: Path) -> None:
    notebook(folder / "sub/n.ipynb", "print('here')")
    said = answer(folder, "sub/n.ipynb", "--no-html")
    (row,) = said["notebooks"]
    (found,) = runs(folder)  # the ledger is that of the working directory
    assert said["status"] == row["status"] == found.info.status == "FINISHED"
    assert said["run_id"] is None and row["run_id"] == found.info.run_id
    assert set(said) == {
        "batch", "name", "status", "run_id", "notebooks", "notes", "seconds", "swept", "objective", "best"
    }  # fmt: skip
    assert set(row) == {
        "notebook", "name", "status", "error", "seconds", "attempts", "run_id", "output", "params", "kept", "edited",
        "metrics",
    }  # fmt: skip
    assert row["notebook"] == "sub/n.ipynb" and row["seconds"] > 0


def test_the_record_is_that_of_the_exporter(project: Path, tmp_path: Path) -> None:
    """Field by field; of what differs by nature (ids, times, digests of them) only the presence is compared."""
    notebook(
        project / "n.ipynb",
        ("parameters", "n = 1"),
        "import json\nopen('out.txt', 'w').write('x')",
        "%%mlrun inner -m x --tag k=v\nx = len(open('n.ipynb').read()) + n",
    )
    run(project, "n.ipynb", "-p", "n=5")
    words = ["nbconvert", "--log-level=WARN", "--to", "ledger", "--LedgerExporter.parameters=n=5"]
    where = ["--output-dir", str(tmp_path), "n.ipynb"]
    subprocess.run([sys.executable, "-m", *words, *where], cwd=project, check=True, timeout=200)
    first, first_inner, second, second_inner = (_record(project, found) for found in runs(project))
    assert first == second
    assert first_inner == second_inner
    assert {"n.ipynb", "n.html", "nbledger/inputs.json", "nbledger/session.ipynb"} <= first["artifacts"].keys()


# Allowed to differ: ids, times, and what holds them.
_VARIES = (
    "nbledger.journal",
    "nbledger.snapshot",
    "mlflow.parentRunId",
    "nbledger.manifest",
    "mlflow.source.git.commit",
)


def _record(root: Path, found: Any) -> dict[str, Any]:
    tags = {k: "" if k in _VARIES or "digest" in k else v for k, v in found.data.tags.items()}
    listed: dict[str, Any] = {}

    def walk(place: str) -> None:
        from ledger import client, uri

        for each in client(uri(root)).list_artifacts(found.info.run_id, place):
            if each.is_dir:
                walk(each.path)
            else:
                listed[each.path] = _content(artifact(root, found.info.run_id, each.path))

    walk("")
    return {
        "name": found.info.run_name,
        "status": found.info.status,
        "params": found.data.params,
        "metrics": found.data.metrics,
        "inputs": sorted((i.dataset.name, i.dataset.digest) for i in found.inputs.dataset_inputs),
        "tags": tags,
        "artifacts": listed,
    }


def _content(path: Path) -> Any:
    """A notebook's code and outputs; of the ledger's own listings, the keys."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, 4).cells
        return [(c.source, c.execution_count, [o.output_type for o in c.get("outputs", ())]) for c in cells]
    if path.suffix == ".json":
        return sorted(json.loads(path.read_text()))
    return ""


def test_from_a_notebook(project: Path) -> None:
    notebook(project / "n.ipynb", "print('here')")
    with kernel(project) as k:
        assert k.run("%load_ext nbledger").status == "ok"
        done = k.run("%ledger run n.ipynb --trust --no-html")
        assert done.status == "ok" and "✓  n" in done.result, done
    (found,) = runs(project)
    assert (found.info.run_name, found.info.status) == ("n", "FINISHED")


def test_a_kernel_without_nbledger(project: Path, isolated: Path) -> None:
    """It is recorded from outside: code, parameters, the executed notebook, and that the rest is missing."""
    start = (
        "import sys; sys.modules['nbledger'] = None; from ipykernel.kernelapp import launch_new_instance as go; go()"
    )
    spec = {
        "argv": [sys.executable, "-c", start, "-f", "{connection_file}"],
        "display_name": "Bare",
        "language": "python",
    }
    place = isolated / ".local/share/jupyter/kernels/bare"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
    notebook(project / "n.ipynb", ("parameters", "n = 1"), "print('got', n)", "1 / 0")
    run(project, "n.ipynb", "--kernel", "bare", "-p", "n=3", code=1)
    (found,) = runs(project)
    assert (found.info.status, found.data.params) == ("FAILED", {"n": "3"})
    said = artifact(project, found.info.run_id, "nbledger/manifest.json").read_text()
    assert "recorded without what its cells read" in said
    assert found.data.tags["nbledger.snapshot"] and found.data.tags["mlflow.source.name"] == "n.ipynb"
    assert "got 3" in artifact(project, found.info.run_id, "n.ipynb").read_text()


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────


def test_several_of_which_some_fail(project: Path) -> None:
    notebook(project / "a/one.ipynb", "x = 1")
    notebook(project / "b/one.ipynb", "print('got here')", "1 / 0", "print('not here')")
    notebook(project / "dies.ipynb", "print('got here')", "import os; os.kill(os.getpid(), 9)")
    notebook(project / "slow.ipynb", "print('got here')", "import time; time.sleep(100)")
    said = answer(
        project, "a/one.ipynb", "b/one.ipynb", "dies.ipynb", "slow.ipynb", "--jobs", "2", "--timeout", "10", "--output", "o",
        code=1,
    )  # fmt: skip
    found = {row["name"]: row for row in said["notebooks"]}
    assert {name: row["status"] for name, row in found.items()} == {
        "a/one": "FINISHED", "b/one": "FAILED", "dies": "KILLED", "slow": "KILLED"
    }  # fmt: skip
    assert found["b/one"]["error"] == "cell 2: ZeroDivisionError: division by zero"
    assert found["dies"]["error"] == "cell 2: the kernel died"
    assert found["slow"]["error"] == "cell 2 took longer than 10 s"
    recorded = {r.info.run_name: r for r in runs(project)}
    assert {name: r.info.status for name, r in recorded.items() if name != "batch"} == {
        name: row["status"] for name, row in found.items()
    }
    assert recorded["batch"].info.status == "FAILED" and said["run_id"] == recorded["batch"].info.run_id
    for name, ending in (("b/one", "ZeroDivisionError"), ("dies", "DeadKernelError"), ("slow", "TimeoutError")):
        kept = artifact(project, recorded[name].info.run_id, Path(f"{name}.ipynb").name).read_text()
        assert kept == (project / f"o/{name}.ipynb").read_text()
        last = [cell for cell in json.loads(kept)["cells"] if cell["outputs"]][-1]["outputs"]
        assert "got here" in kept and ending in [output.get("ename") for output in last], name
        assert "not here" not in json.dumps([c["outputs"] for c in json.loads(kept)["cells"]])
    none_left(project)
    again = run(project, "--resume", code=1)  # what was cut short runs again, what failed by itself does not
    assert "[2/4] dies: begins" in again.stderr and "one: begins" not in again.stderr
    notebook(project / "b/one.ipynb", "print('mended')")
    mended = answer(project, "--resume", "--timeout", "10", code=1)
    assert [row["status"] for row in mended["notebooks"]][:2] == ["FINISHED", "FINISHED"]
    assert "b/one: edited since it was planned or ran; it runs as it is now" in mended["notes"]


def test_retries_and_a_list_of_parameters(project: Path) -> None:
    source = "import pathlib\np = pathlib.Path(f'tries{k}')\np.write_text(p.read_text() + 'x' if p.exists() else 'x')"
    notebook(project / "n.ipynb", ("parameters", "k, enough = 0, 1"), source, "assert len(p.read_text()) >= enough")
    (project / "list.json").write_text(json.dumps([{"k": 1}, {"k": 2, "enough": 2}, {"k": 3, "enough": 9}]))
    said = answer(project, "n.ipynb", "--params", "list.json", "--retries", "1", "--jobs", "2", "--no-html", code=1)
    rows = [(row["name"], row["status"], row["attempts"]) for row in said["notebooks"]]
    assert rows == [("n-1", "FINISHED", 1), ("n-2", "FINISHED", 2), ("n-3", "FAILED", 2)]
    parent, *children = runs(project)
    statuses = sorted((r.info.run_name, r.data.tags.get("nbledger.attempt", "1"), r.info.status) for r in children)
    assert statuses == [
        ("n-1", "1", "FINISHED"),
        ("n-2", "1", "FAILED"), ("n-2", "2", "FINISHED"),
        ("n-3", "1", "FAILED"), ("n-3", "2", "FAILED"),
    ]  # fmt: skip
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}
    assert parent.data.tags["nbledger.batch"] == said["batch"]
    again = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", "reproduce", parent.info.run_id],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 3 and "reproduce one of these" in again.stderr


def test_control_c_closes_what_runs_and_resume_goes_on(project: Path) -> None:
    for name in ("one", "two", "three"):
        notebook(project / f"{name}.ipynb", "print('got here')", f"open('{name}.begun', 'w').close()", _waits(name))
    process = subprocess.Popen(
        [*RUN, "one.ipynb", "two.ipynb", "three.ipynb", "--jobs", "2", "--no-html"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _appears(project / "one.begun")
        _appears(project / "two.begun")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "2 killed, 1 not run" in printed and "nbledger run --resume" in printed and "Traceback" not in said
    assert not owned(project)
    recorded = {r.info.run_name: r for r in runs(project)}
    assert {name: r.info.status for name, r in recorded.items()} == dict.fromkeys(("batch", "one", "two"), "KILLED")
    assert "got here" in artifact(project, recorded["one"].info.run_id, "one.ipynb").read_text()
    assert artifact(project, recorded["one"].info.run_id, "nbledger/session.ipynb").exists()
    (project / "go").touch()
    run(project, "--resume")
    ended = sorted((r.info.run_name, r.info.status) for r in runs(project))
    assert ended == [
        ("batch", "FINISHED"),
        ("one", "FINISHED"), ("one", "KILLED"),
        ("three", "FINISHED"),
        ("two", "FINISHED"), ("two", "KILLED"),
    ]  # fmt: skip
    assert "3 finished" in run(project, "--resume").stdout  # nothing is left: said, and nothing is run
    assert len(runs(project)) == 6


def test_a_killed_runner_leaves_nothing_computing_and_two_resumes_are_one(project: Path) -> None:
    """Not even a cell that holds the interpreter, or a program that a cell started."""
    holds = "import re, subprocess\nsubprocess.Popen(['sleep', '200'])\nopen('begun', 'w').close()\n"
    holds += "import os\nif not os.path.exists('go'): re.match(r'(a+)+$', 'a' * 64 + 'b')"
    notebook(project / "holds.ipynb", "print('got here')", holds)
    notebook(project / "next.ipynb", "1")
    command = [*RUN, "holds.ipynb", "next.ipynb", "--no-html"]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.DEVNULL)
    _appears(project / "begun")
    assert len(owned(project)) == 2
    busy = run(project, "--resume", code=3)
    assert f"in use by another process (pid {process.pid})" in busy.stderr
    process.kill()
    process.wait()
    none_left(project)
    (project / "go").touch()
    said = answer(project, "--resume")
    assert [row["status"] for row in said["notebooks"]] == ["FINISHED", "FINISHED"]
    ended = sorted((r.info.run_name, r.info.status) for r in runs(project))
    assert ended == [("batch", "FINISHED"), ("holds", "FINISHED"), ("holds", "KILLED"), ("next", "FINISHED")]
    killed = next(r for r in runs(project, flushed=False) if r.info.status == "KILLED")
    assert "got here" in artifact(project, killed.info.run_id, "holds.ipynb").read_text()
    for process in owned(project):  # the second sleep: what a notebook leaves running when it ends is its own affair
        process.kill()


def _waits(name: str) -> str:
    return "import time, os\nfor _ in range(1200):\n    if os.path.exists('go'): break\n    time.sleep(0.1)"


def _appears(path: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


# ── what is refused before anything runs ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "no notebook is named"),
        (("missing.ipynb",), 2, "cannot read"),
        (("n.ipynb", "missing.ipynb"), 2, "missing.ipynb"),
        (("folder",), 2, "folder"),
        (("broken.ipynb",), 2, "is not a notebook"),
        (("list.ipynb",), 2, "is not a notebook"),
        (("bytes.ipynb",), 2, "is not a notebook"),
        (("script.py",), 2, "is not a notebook"),
        (("other.ipynb",), 2, "there is no kernel 'ir-none'"),
        (("n.ipynb", "--kernel", "pyton3"), 2, "did you mean python3"),
        (("n.ipynb", "-p", "rate"), 2, "-p rate sets nothing"),
        (("n.ipynb", "-p", "a b=1"), 2, "sets nothing"),
        (("n.ipynb", "--params", "none.yaml"), 2, "none.yaml"),
        (("n.ipynb", "--params", "script.py"), 2, "holds no table"),
        (("n.ipynb", "--jobs", "0"), 2, "--jobs"),
        (("n.ipynb", "--output", "."), 2, "would take the notebook's place"),
        (("n.ipynb", "--failed"), 2, "--failed goes with --resume"),
        (("--resume",), 2, "there is no batch here"),
        (("--resume", "0123abcd"), 2, "there is no batch"),
        (("n.ipynb", "--resume"), 2, "a batch goes on as it was begun: NB"),
    ],
)
def test_refused(
    project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    notebook(project / "n.ipynb", "open('ran', 'w')")
    notebook(project / "other.ipynb", "1", kernel="ir-none")
    (project / "broken.ipynb").write_text('{"cells": [')
    (project / "list.ipynb").write_text("[1, 2]")
    (project / "bytes.ipynb").write_bytes(b"\xff\xfe\x00")
    (project / "script.py").write_text("print(1)")
    (project / "folder").mkdir()
    assert main(["run", "--trust", *words]) == code
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and not out
    assert not (project / "ran").exists() and not (project / ".nbledger/batches").exists()


def test_a_project_that_is_not_trusted(project: Path) -> None:
    notebook(project / "n.ipynb", "open('ran', 'w')")
    command = [word for word in RUN if word != "--trust"]
    done = subprocess.run([*command, "n.ipynb"], cwd=project, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3 and "not trusted" in done.stderr and "--trust" in done.stderr
    assert not (project / "ran").exists()
