"""Ten runs, each on another version of a file and of a folder, three of them committed to a branch; then `dvc gc` by hand in
every scope, and with `--not-in-remote`. Where the cache's file system makes no hard links (each `link` is answered by
EPERM), `status` and `doctor` are asked before the `gc`.

nbledger gives the objects that runs need a second name in the same cache, where no scope of `dvc gc` looks; restoring and
`doctor --fix` put DVC's name back after hashing the bytes. Where that cannot be, the loss is told beforehand. The plain way
is `mlflow` runs with the data's hash as a parameter, `dvc add` for each version, and the same commits.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import commit_all, data_remote, dvc, git, run
from kernels import kernel
from ledger import flush

RUNS = 10
COMMITTED = (2, 5, 8)
SCOPES = (("-A",), ("-w",), ("-a",), ("-T",), ("-a", "-T"), ("-w", "--not-in-remote"))


def version(number: int) -> bytes:
    return f"value\n{number}\n".encode() * 500


def held(root: Path, data: bytes) -> Path:
    md5 = hashlib.md5(data).hexdigest()
    return root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def nbledger(root: Path, *words: str, ok: bool = True) -> str:
    return run(sys.executable, "-m", "nbledger.cli", *words, cwd=root, ok=ok)


def recorded(root: Path) -> None:
    (root / "parts").mkdir()
    with kernel(root) as k:
        for number in range(RUNS):
            (root / "data.csv").write_bytes(version(number))
            for part in range(3):
                (root / f"parts/{part}").write_text(f"{number} {part}")
            assert k.run("%track_data data.csv parts --no-commit").status == "ok"
            assert k.run(f"%%mlrun r{number}\nn = len(open('data.csv').read() + open('parts/2').read())").status == "ok"
            if number in COMMITTED:
                commit_all(root, f"version {number}")
    assert "is published" in flush(root)


def test_data_of_recorded_runs_survive(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    data_remote(project, tmp_path / "remote")
    recorded(project)
    whole = count(len(SCOPES), 2)
    for scope in SCOPES[:whole]:
        dvc(project, "gc", "--force", *scope)
        names = sum(held(project, version(number)).exists() for number in range(RUNS))
        assert names < RUNS, "the gc took nothing: this measures nothing"
        nbledger(project, "reproduce", "r0", "--restore-only", "--into", str(tmp_path / f"r0{'-'.join(scope)}"))
        assert (tmp_path / f"r0{'-'.join(scope)}" / "data.csv").read_bytes() == version(0)
        assert (tmp_path / f"r0{'-'.join(scope)}" / "parts/2").read_text() == "0 2"
        nbledger(project, "doctor", "--fix", ok=False)
        for number in range(RUNS):
            assert held(project, version(number)).read_bytes() == version(number)
            for part in range(3):
                assert held(project, f"{number} {part}".encode()).exists()
    said = json.loads(nbledger(project, "status", "--json"))["data"]["kept"]
    assert (said["objects"], said["bare_objects"]) == (RUNS * 5, 0)
    seen(f"{RUNS} of {RUNS} versions are back after each of {whole} scopes")


RECORD = """\
import sys
from pathlib import Path
from nbledger.core.project import find
from nbledger.keeper import publish, recorder
recording = recorder.start(find(Path.cwd()), recorder.Plan(name=sys.argv[1]))
recording.outcome("FINISHED")
recording.end()
left, reasons = publish.flush(find(Path.cwd()))
assert not left, reasons
"""


def test_what_cannot_be_protected_is_told_before(project: Path, seen: Callable[[str], None]) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / "data.csv").write_bytes(version(0))
    dvc(project, "add", "-q", "data.csv")
    refuse = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=link,linkat",
        "-e",
        "inject=link,linkat:error=EPERM",
        "-o",
        "/dev/null",
    ]
    run(*refuse, sys.executable, "-c", RECORD, "loose", cwd=project)
    state = json.loads(nbledger(project, "status", "--json"))
    assert (state["data"]["kept"]["objects"], state["data"]["kept"]["bare_objects"]) == (0, 1)
    for said in (" ".join(state["notes"]), nbledger(project, "status"), nbledger(project, "doctor", ok=False)):
        assert "dvc gc would take 1 data object" in said, said
    (project / "data.csv.dvc").unlink()
    nbledger(project, "gc", "-w", "--yes")  # the safe one takes nothing that a run needs
    assert held(project, version(0)).exists()
    seen("without hard links status and doctor say before what a gc would take")


PLAIN = """\
import sys
from pathlib import Path
import mlflow
from dvc.repo import Repo
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with Repo(".") as repo:
    for number in range(10):
        Path("data.csv").write_bytes(f"value\\n{number}\\n".encode() * 500)
        (stage,) = repo.add("data.csv")
        with mlflow.start_run(run_name=f"r{number}"):
            mlflow.log_param("data.md5", stage.outs[0].hash_info.value)
        if number in (2, 5, 8):
            import subprocess
            subprocess.run(["git", "add", "data.csv.dvc", ".gitignore"], check=True)
            subprocess.run(["git", "commit", "-qm", f"version {number}"], check=True)
"""


def test_plain_gc(project: Path, plain: Callable[[bool, str], None]) -> None:
    run(sys.executable, "-c", PLAIN, cwd=project)
    git(project, "status")
    left, said = [], ""
    for scope in ("-A", "-a", "-w"):
        command = [sys.executable, "-m", "dvc", "gc", "--force", scope]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
        left.append(f"{scope} leaves {sum(held(project, version(n)).exists() for n in range(RUNS))}")
        said += done.stdout + done.stderr
    plain(all(one.endswith(" 10") for one in left), f"of 10 recorded versions {', '.join(left)}; no run is named")
