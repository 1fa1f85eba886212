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
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper import doctor
from nbledger.keeper.calls import perform

COMMITTED = (2, 5, 8)
SCOPES = (("-A",), ("-w",), ("-a",), ("-T",), ("-a", "-T"), ("-w", "--not-in-remote"))


def version(number: int) -> bytes:
    return f"value\n{number}\n".encode() * 500


def held(root: Path, data: bytes) -> Path:
    md5 = hashlib.md5(data).hexdigest()
    return root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def nbledger(root: Path, *words: str) -> str:
    return run(sys.executable, "-m", "nbledger.cli", *words, cwd=root)


def recorded(root: Path, many: int) -> None:
    (root / "parts").mkdir()
    with kernel(root) as k:
        for number in range(many):
            (root / "data.csv").write_bytes(version(number))
            for part in range(3):
                (root / f"parts/{part}").write_text(f"{number} {part}")
            assert k.run("%track_data data.csv parts --no-commit").status == "ok"
            cell = f"%%mlrun r{number}\nn = len(open('data.csv').read() + open('parts/2').read())"
            assert k.run(cell).status == "ok"
            if number in COMMITTED:
                commit_all(root, f"version {number}")
    assert "is published" in flush(root)


def test_data_of_recorded_runs_survive(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    many, scopes = count(10, 4), SCOPES[: count(len(SCOPES), 2)]
    data_remote(project, tmp_path / "remote")
    recorded(project, many)
    for scope in scopes:
        dvc(project, "gc", "--force", *scope)
        assert sum(held(project, version(number)).exists() for number in range(many)) < many, "it took nothing"
        if scope == SCOPES[0]:  # from where the gc left it
            into = tmp_path / "r0"
            nbledger(project, "reproduce", "r0", "--restore-only", "--into", str(into))
            assert ((into / "data.csv").read_bytes(), (into / "parts/2").read_text()) == (version(0), "0 2")
        doctor.examine(find(project), fix=True)
        for number in range(many):
            assert held(project, version(number)).read_bytes() == version(number)
            assert all(held(project, f"{number} {part}".encode()).exists() for part in range(3))
    said = json.loads(nbledger(project, "status", "--json"))["data"]["kept"]
    assert (said["objects"], said["bare_objects"]) == (many * 5, 0)
    seen(f"{many} of {many} versions are back after each of {len(scopes)} scopes")


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
    track(find(project), ["data.csv"], None)
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
    findings = [f.text for f in doctor.examine(find(project)) if f.severity == "problem"]
    for said in (state["notes"], findings):
        assert any("dvc gc would take 1 data object" in line and "hard links" in line for line in said), said
    (project / "data.csv.dvc").unlink()
    git(project, "rm", "-q", "--cached", "data.csv.dvc")
    perform(find(project), "gc", {"scopes": ["workspace"], "dry_run": False})  # the safe one takes nothing of a run's
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
        left.append(f"{scope} leaves {sum(held(project, version(n)).exists() for n in range(10))}")
        said += done.stdout + done.stderr
    plain(all(one.endswith(" 10") for one in left), f"of 10 recorded versions {', '.join(left)}; no run is named")
