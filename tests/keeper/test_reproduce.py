"""Reproducing runs: real kernels record them, real kernels execute them again; faults are caused for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

import ledger
from conftest import commit_all, dvc, git
from kernels import kernel
from nbledger.core import restored
from nbledger.core.errors import ToolFailed
from nbledger.core.project import find
from nbledger.core.restore import NotRestorable, restore
from nbledger.core.verdict import Tolerance
from nbledger.keeper.execute import execute
from nbledger.keeper.reproduce import Reproduction, Wanted, read, reproduce
from snap import Snap, check_same

pytestmark = pytest.mark.slow

CLI = (sys.executable, "-m", "nbledger.cli")


def test_a_dirty_tree_an_unsaved_session_and_a_failed_cell_come_out_identical(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src/lib.py").write_text("def f(x):\n    return x * 2\n")
    commit_all(project)
    (project / "data.csv").write_text("".join(f"{n},{n * n}\n" for n in range(100)))
    (project / "src/lib.py").write_text("def f(x):\n    return x * 3\n")
    path = {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}
    with kernel(project, path) as k:
        ran(k, "%track_data data.csv", "rows = [r.split(',') for r in open('data.csv')]", "import lib")
        assert k.run("undefined_name").status == "error"
        ran(k, "import random\nweights = [random.Random(7).random() for _ in rows]")
        ran(
            k,
            "%%mlrun first -m total --seed 3 -p depth=4\nfrom nbledger import log\n"
            "total = lib.f(sum(int(b) * w for (a, b), w in zip(rows, weights)))\n"
            "for step in range(4): log(loss=random.random(), step=step)\n"
            "log(odd=float('nan'), **{'top=5': 0.5})\n"
            "open('out.txt', 'w').write(repr(total))",
        )
    (project / "src/lib.py").write_text("def f(x):\n    return x * 5\n")
    (project / "data.csv").write_text("gone\n")
    (original,) = ledger.runs(project)
    before = Snap.take(project)
    done = cli(project, "reproduce", "first", "--json", env=path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "identical", answer
    assert set(answer["metrics"]) == {"total", "loss", "odd", "top=5"}
    assert answer["metrics"]["odd"] == {
        "recorded": "nan",
        "reproduced": "nan",
        "equal": True,
        "within": True,
        "why": "",
    }
    assert [(o["path"], o["equal"]) for o in answer["outputs"]] == [("out.txt", True)]
    assert (answer["cells"], answer["missing"], answer["kept"]) == (7, [], False)
    assert "[7/7] %%mlrun first" in done.stderr
    check_same(before, Snap.take(project))
    assert leftovers(project) == []
    first, again = ledger.runs(project)
    assert (again.info.run_id, again.info.run_name) == (answer["new_run_id"], "first")
    assert again.data.tags["nbledger.reproduces"] == original.info.run_id
    assert again.data.tags["nbledger.verdict"] == first.data.tags["nbledger.verdict"] == "identical"
    assert first.data.tags["nbledger.reproduced_by"] == again.info.run_id
    assert again.data.params == {"depth": "4"}
    assert again.data.metrics["total"] == first.data.metrics["total"]
    assert again.data.tags["mlflow.source.git.commit"] == first.data.tags["mlflow.source.git.commit"]
    kept = json.loads(ledger.artifact(project, again.info.run_id, "nbledger/manifest.json").read_text())
    assert len(kept["metrics"]["loss"]) == 4
    shown = json.loads(cli(project, "show", "@last", "--json").stdout)
    assert shown["run_id"] == original.info.run_id  # neither @last nor the name mean the reproduction
    plain = cli(project, "reproduce", "first", "--no-record", env=path)
    assert plain.stdout.startswith("✓ first: identical (4 of 4 metrics bit-equal, 1 of 1 output file the same, 7 cells")
    assert len(ledger.runs(project)) == 2


def test_of_several_executions_the_one_that_differs_is_recorded(project: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    with kernel(project) as k:
        ran(
            k,
            f"%%mlrun counted -m x\nimport os, subprocess\nsubprocess.run('echo >> {count}', shell=True)\n"
            f"x = 1 if os.path.getsize('{count}') < 3 else 2",
        )
    found = again(project, "counted", times=2)
    assert found.verdict == "different"
    assert found.spread["x"].values == (1.0, 2.0)
    (new,) = [run for run in ledger.runs(project) if run.info.run_id == found.new_run_id]
    assert new.data.metrics["x"] == 2
    assert new.data.tags["nbledger.verdict"] == "different"
    restored.remove(find(project), Path(str(found.into)))


def test_a_file_that_the_session_wrote_itself_is_made_again(project: Path) -> None:
    """Nothing versions it and it is another by now: the run's cells write it before they read it."""
    (project / ".gitignore").write_text("made.txt\n")
    commit_all(project)
    with kernel(project) as k:
        ran(
            k,
            "open('made.txt', 'w').write('5')",
            "number = int(open('made.txt').read())",
            "%%mlrun made -m twice\ntwice = number * 2",
            "open('made.txt', 'w').write('77')",
        )
    found = again(project, "made")
    assert found.verdict == "identical", found
    assert [(m.kind, m.needed) for m in found.missing] == [("input", False)]


def test_an_unseeded_run_differs_says_why_and_how_far_it_spreads(project: Path) -> None:
    with kernel(project) as k:
        ran(
            k,
            "import random",
            "%%mlrun loose -m score -m fixed\nscore = random.random()\nfixed = 2.5\n"
            "with open('log.txt', 'a') as file: file.write('ran\\n')",
        )
    found = again(project, "loose", times=3)
    assert found.verdict == "different"
    assert found.kept
    assert Path(str(found.into)).is_dir()
    assert (found.metrics["score"].equal, found.metrics["fixed"].equal) == (False, True)
    assert (found.spread["score"].deterministic, found.spread["fixed"].deterministic) == (False, True)
    assert found.spread["score"].min < found.spread["score"].mean < found.spread["score"].max
    assert len(found.spread["score"].values) == 3
    assert [o.equal for o in found.outputs] == [True]  # appended to once in each execution: it was put back between
    assert found.causes[0].kind == "nondeterminism"
    restored.remove(find(project), Path(str(found.into)))
    assert leftovers(project) == []


def test_numbers_within_a_tolerance_are_said_to_be_so(project: Path) -> None:
    with kernel(project) as k:
        ran(
            k,
            "import random",
            "%%mlrun near -m x\nx = 1 + random.random() * 1e-9\n"
            "open('table.csv', 'w').write(f'name,value\\na,{x!r}\\n')",
        )
    found = again(project, "near", tolerance=Tolerance(rtol=1e-6))
    assert found.verdict == "within-tolerance"
    assert not found.metrics["x"].equal
    assert [(o.equal, o.within) for o in found.outputs] == [(False, True)]
    assert again(project, "near", keep=False).verdict == "different"


def test_a_failing_run_fails_again_and_a_run_without_numbers_is_not_overstated(project: Path) -> None:
    with kernel(project) as k:
        assert k.run("%%mlrun fails\n{}['missing']").status == "error"
        ran(k, "%%mlrun bare\n1 + 1")
    found = again(project, "fails")
    assert found.verdict == "identical", found
    bare = again(project, "bare")
    assert bare.verdict == "identical"
    assert "only that it runs again was verified" in bare.notes[0]


def test_what_was_done_beside_computing_is_skipped_and_the_work_tree_is_not_written(project: Path) -> None:
    target = project / "mine.txt"
    with kernel(project) as k:
        ran(k, "open('data.csv', 'w').write('1')", "%track_data data.csv", "%runs")
        ran(k, f"%%mlrun writes -m x\nx = 1\nopen({str(target)!r}, 'w').write('by the run')")
    target.write_text("by me")
    before = Snap.take(project)
    found = again(project, "writes", keep=False)
    check_same(before, Snap.take(project))
    assert found.verdict == "different"
    assert "nothing is written to the project's own work tree" in " ".join(found.notes)


def test_git_that_cells_start_as_a_program_moves_nothing_of_the_users(project: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(project, "remote", "add", "origin", str(remote))
    branch = git(project, "branch", "--show-current")
    words = (
        ("push", "origin", f"HEAD:refs/heads/{branch}"),
        ("push", str(remote), "HEAD:refs/heads/elsewhere"),
        ("commit", "--allow-empty", "-m", "by the cell"),
        ("branch", "-f", "made"),
        ("tag", "-f", "marked"),
        ("stash", "push", "-u"),
        ("-C", str(project), "add", "new.txt"),
        ("-C", str(project), "commit", "--allow-empty", "-m", "there"),
        ("config", "user.nickname", "x"),
        ("remote", "set-url", "origin", "/nowhere"),
        ("gc", "--prune=now"),
        ("update-ref", "refs/heads/other", "HEAD"),
    )
    by_git = ("push", "commit", "branch", "tag", "update-ref")  # refused by Git itself, whichever program is started
    code = (
        "%%mlrun pushes -m n\nimport os, subprocess, shutil\nopen('new.txt', 'w').write('x')\nn = 0\n"
        f"for words in {words!r}:\n"
        "    for program in ('git', {real!r})[: 2 if words[0] in {refused!r} else 1]:\n"
        "        done = subprocess.run([program, *words], capture_output=True, text=True)\n"
        "        n += done.returncode == 0\n"
        "        if 'NBLEDGER_SCRATCH' in os.environ: print(program, words[:3], done.returncode, done.stderr.strip())\n"
        "subprocess.run('git init -q own && cd own && git commit -q --allow-empty -m own', shell=True, check=True)\n"
    )
    with kernel(project) as k:
        ran(k, code.replace("{real!r}", repr(shutil.which("git"))).replace("{refused!r}", repr(by_git)))
    ledger.flush(project)
    git(project, "remote", "set-url", "origin", str(remote))
    (project / "again.txt").write_text("mine")
    before, there = Snap.take(project), git(remote, "for-each-ref")
    config = (project / ".git/config").read_bytes()
    found = again(project, "pushes", keep=False)
    check_same(before, Snap.take(project))
    assert git(remote, "for-each-ref") == there
    assert (project / ".git/config").read_bytes() == config
    assert found.metrics["n"].reproduced is not None, found
    assert leftovers(project) == []


def test_the_cells_own_mlflow_calls_are_compared_and_recorded(project: Path) -> None:
    with kernel(project) as k:
        ran(
            k,
            "%%mlrun own\nimport mlflow\nmlflow.log_metric('acc', 0.1 + 0.2)\nmlflow.log_param('p', 5)\n"
            "mlflow.log_text('kept', 'note.txt')",
        )
    found = again(project, "own")
    assert found.verdict == "identical", found
    assert found.metrics["acc"].recorded == 0.1 + 0.2
    new = ledger.runs(project)[-1]
    assert (new.info.run_id, new.data.metrics["acc"], new.data.params["p"]) == (found.new_run_id, 0.1 + 0.2, "5")
    assert ledger.artifact(project, new.info.run_id, "note.txt").read_text() == "kept"


def test_a_batch_run_is_reproduced_with_its_parameters_and_its_cells_outputs(project: Path) -> None:
    notebook(
        project / "nb" / "n.ipynb",
        ("parameters", "n = 1"),
        "rows = open('../data.csv').read().split()\nprint(len(rows), n)",
        "",
        "%load_ext nbledger",
        "%%mlrun inner -m total\ntotal = sum(map(int, rows)) * n",
        "import nbledger; nbledger.log(score=n / 3)\nprint('shown')",
    )
    notebook(project / "nb" / "loose.ipynb", "import random\nx = 1", "print(random.random())")
    (project / "data.csv").write_text("1\n2\n3\n")
    assert cli(project, "track", "data.csv").returncode == 0
    commit_all(project)
    for words in (("--LedgerExporter.parameters=n=3", "nb/n.ipynb"), ("nb/loose.ipynb",)):
        command = [sys.executable, "-m", "nbconvert", "--to", "ledger", "--output-dir", str(project.parent), *words]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    found = again(project, "n")
    assert found.verdict == "identical", found
    assert found.metrics["score"].recorded == 1.0
    assert found.compared is not None
    assert (found.compared.metrics, found.compared.texts) == (1, 2)
    assert again(project, "inner").verdict == "identical"
    loose = again(project, "loose", keep=False)
    assert loose.verdict == "different"
    assert any(note.startswith("cell 2 (print(random.random())") for note in loose.notes)
    names = [r.info.run_name for r in ledger.runs(project) if r.data.tags.get("nbledger.reproduces")]
    assert sorted(names) == ["inner", "inner", "loose", "n"]


def test_data_from_the_remote_then_from_nowhere(project: Path) -> None:
    dvc(project, "remote", "add", "-d", "store", str(project.parent / "remote"))
    commit_all(project)
    (project / "data.csv").write_text("1\n2\n")
    with kernel(project) as k:
        ran(k, "%track_data data.csv --push", "rows = open('data.csv').read().split()")
        ran(k, "%%mlrun sums -m total\ntotal = sum(map(int, rows))")
    ledger.flush(project)
    shutil.rmtree(project / ".dvc/cache")
    (project / "data.csv").unlink()
    assert again(project, "sums").verdict == "identical"
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project.parent / "remote")
    done = cli(project, "reproduce", "sums")
    assert done.returncode == 1
    assert done.stdout.startswith("✗ sums: not restorable, 1 thing missing")
    assert "data.csv (" in done.stdout
    assert leftovers(project) == []
    assert ledger.runs(project)[0].data.tags["nbledger.verdict"] == "not-restorable"


def test_ended_by_sigterm_nothing_of_the_project_changed(project: Path) -> None:
    with kernel(project) as k:
        ran(
            k,
            "import os, time",
            "%%mlrun slow -m x\nx = 1\nopen('begun', 'w').close()\n"
            "time.sleep(60 if 'NBLEDGER_SCRATCH' in os.environ else 0)",
        )
    ledger.flush(project)
    (project / "begun").unlink()
    before = Snap.take(project)
    process = subprocess.Popen([*CLI, "reproduce", "slow"], cwd=project, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: list((project / ".nbledger/reproduced").glob("*/begun")))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        process.kill()
    assert leftovers(project) == []
    check_same(before, Snap.take(project))
    assert len(ledger.runs(project)) == 1


def test_a_disk_that_fills_leaves_nothing(project: Path, tmp_path: Path) -> None:
    (project / "big.bin").write_bytes(os.urandom(4 << 20))
    with kernel(project) as k:
        ran(
            k, "%track_data big.bin", "size = len(open('big.bin', 'rb').read())", "%%mlrun big -m size\nsize = size + 0"
        )
    ledger.flush(project)
    small = tmp_path / "small"
    small.mkdir()
    before = Snap.take(project)
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    script = (
        f"mount -t tmpfs -o size=2m tmpfs {small} && cd {project} && {' '.join(CLI)} reproduce big --into {small}/x;"
        f"echo code $? $(ls -A {small})"
    )
    done = subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "code 3", done
    assert "is full" in done.stderr
    assert leftovers(project) == []
    check_same(before, Snap.take(project))


def test_two_at_once(project: Path) -> None:
    with kernel(project) as k:
        ran(k, "%%mlrun both -m x\nx = 1.5")
    ledger.flush(project)
    begun = [
        subprocess.Popen([*CLI, "reproduce", "both", "--json"], cwd=project, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in begun]
    assert [a["verdict"] for a in answers] == ["identical", "identical"]
    assert len({a["new_run_id"] for a in answers}) == 2
    assert leftovers(project) == []


def test_the_magic_shows_the_verdict_and_an_interrupt_ends_it(project: Path) -> None:
    with kernel(project) as k:
        ran(k, "import os, time")
        ran(k, "%%mlrun quick -m x\nx = 1.5")
        ran(
            k,
            "%%mlrun slow -m y\ny = 1\nopen('begun', 'w').close()\ntime.sleep(60 * ('NBLEDGER_SCRATCH' in os.environ))",
        )
        (project / "begun").unlink()
        shown = ran(k, "%reproduce quick")
        assert shown.result.startswith("✓ quick: identical (1 of 1 metric bit-equal")
        assert "identical" in shown.html[-1]
        assert k.run("%reproduce nothing-like-it").ename == "UsageError"
        before = Snap.take(project)
        sent = k.send("%ledger reproduce slow")
        wait_for(lambda: list((project / ".nbledger/reproduced").glob("*/begun")))
        k.interrupt()
        assert k.collect(sent).ename == "KeyboardInterrupt"
    check_same(before, Snap.take(project))
    assert leftovers(project) == []


def test_a_run_over_several_cells_with_children_from_a_folder_below(project: Path) -> None:
    below = project / "work" / "deep"
    below.mkdir(parents=True)
    (below / "in.txt").write_text("5")
    commit_all(project)
    with kernel(below) as k:
        ran(k, "%%mlrun before -m x\nx = 1", "import os\nos.chdir('..')", "%mlrun start whole --seed 4")
        ran(k, "%%mlrun part -m y\ny = int(open('deep/in.txt').read())", "import random; z = random.random()")
        ran(k, "from nbledger import log; log(sum=x + y + z)", "%mlrun stop -m z")
    found = again(project, "whole")
    assert found.verdict == "identical", found
    assert set(found.metrics) == {"sum", "z"}
    assert again(project, "part").verdict == "identical"


def test_a_cell_that_takes_too_long_and_a_python_without_a_kernel(project: Path, tmp_path: Path) -> None:
    with kernel(project) as k:
        ran(k, "import os, time", "%%mlrun slow -m x\nx = 1\ntime.sleep(60 * ('NBLEDGER_SCRATCH' in os.environ))")
    found = again(project, "slow", timeout=1, keep=False)
    assert found.verdict == "different"
    assert "KILLED when executed again" in found.notes[0]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    with pytest.raises(ToolFailed, match="no kernel could be started"):
        execute(
            find(project), project, [], cwd=".", seeds={}, scratch=tmp_path / "s", python=tmp_path / "bare/bin/python"
        )


def test_files_too_large_to_hash_at_once_are_compared_too(project: Path) -> None:
    (project / ".nbledger.toml").write_text("hash_max_mb = 0\n")
    (project / "data.csv").write_text("1\n")
    commit_all(project)
    with kernel(project) as k:
        ran(k, "%%mlrun large\ntext = open('data.csv').read()\nopen('out.txt', 'w').write(text * 5)")
    found = again(project, "large")
    assert found.verdict == "identical", found
    assert [(o.path, o.equal) for o in found.outputs] == [("out.txt", True)]
    new = json.loads(ledger.artifact(project, str(found.new_run_id), "nbledger/inputs.json").read_text())
    assert [(i["path"], i["state"], bool(i["md5"])) for i in new["inputs"]] == [("data.csv", "git", True)]


def test_with_git_alone_and_without_it(folder: Path) -> None:
    with kernel(folder) as k:
        ran(k, "%%mlrun bare -m x\nx = 1")
        found = again(folder, "bare")
        assert (found.verdict, [m.kind for m in found.missing]) == ("not-restorable", ["code"])
        git(folder, "init", "-q")
        (folder / "in.txt").write_text("3")
        ran(k, *["%%mlrun simple -m y\ny = int(open('in.txt').read())"] * 2)
    found = again(folder, "simple")
    assert found.verdict == "identical"
    which = f"simple is the run {found.run_id[:12]} of Ada Tester <ada@example.org>, "
    assert found.notes[0].startswith(which) and "; an older run has this name too (simple~1 " in found.notes[0]
    assert not any("this name" in note for note in again(folder, found.run_id).notes)
    # a colleague's run, of which nothing was pushed
    record = read(find(folder), "simple")
    theirs = replace(record.row, snapshot="1" * 40, run_id="2" * 32, user="Ben <ben@example.org>", host="vm")
    with pytest.raises(NotRestorable) as lacking:
        restore(find(folder), replace(record, row=theirs))
    assert lacking.value.missing[0].hint == "Ben <ben@example.org> (on vm) has to nbledger push, then try again"


def test_a_folder_that_lacked_a_file_lacks_it_again(project: Path) -> None:
    (project / "d").mkdir()
    for number in range(4):
        (project / f"d/{number}.txt").write_text(f"{number + 1}\n")
    cell = "import glob\ntotal = sum(float(open(path).read()) for path in glob.glob('d/*.txt'))"
    with kernel(project) as k:
        ran(k, "%track_data d")
        ran(k, f"%%mlrun whole -m total\n{cell}")
        (project / "d/2.txt").unlink()
        said = ran(k, f"%%mlrun without -m total\n{cell}")
    assert "read d without d/2.txt: %track_data d" in said.shown
    states = {run.info.run_name: run.data.tags["nbledger.data.state"] for run in ledger.runs(project)}
    assert states == {"whole": "clean", "without": "changed"}
    dvc(project, "checkout", "--quiet", "d")
    for name in ("whole", "without"):
        assert again(project, name).verdict == "identical", name


# ── what the stories are told with ───────────────────────────────────────────────────────────────────────


def ran(k: Any, *sources: str) -> Any:
    """Run cells that must not fail; the last one."""
    for source in sources:
        cell = k.run(source)
        assert cell.status == "ok", cell.traceback
    return cell


def again(root: Path, name: str, **wanted: Any) -> Reproduction:
    ledger.flush(root)
    return reproduce(find(root), name, Wanted(**wanted))


def cli(root: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **(env or {})},
    )


def notebook(path: Path, *sources: str | tuple[str, str]) -> None:
    path.parent.mkdir(exist_ok=True)
    pairs: Sequence[tuple[str, str]] = [s if isinstance(s, tuple) else ("", s) for s in sources]
    cells = [nbformat.v4.new_code_cell(code, metadata={"tags": [tag]} if tag else {}) for tag, code in pairs]
    kernelspec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernelspec), path)


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def leftovers(root: Path) -> list[str]:
    """Restored work trees, Git's notes of them, registrations, scratch ledgers."""
    found = [*(root / ".nbledger/reproduced").glob("*"), *(root / ".nbledger/reproductions").glob("*")]
    found += (root / ".git/worktrees").glob("*")
    return [f"{path} {git(root, 'worktree', 'list')}" for path in found]
