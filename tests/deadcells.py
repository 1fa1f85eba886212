"""What cases 1 and 2 share: cells in a kernel whose tracking server is dead, tracked, untracked, and with MLflow's own calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from deadserver import use
from kernels import Cell, Kernel, kernel

BODY = """from nbledger import log
for i in range(20):
    log(loss=i / 7, step=i)
v = sum(i * i for i in range(1000))
v"""
RESULT = "332833500"
OWN = "import mlflow\ntry:\n    mlflow.log_metric('own', 1)\nexcept Exception as err:\n    print(type(err).__name__)\n6 * 7"
LIMIT, CUT = (2.0 if os.environ.get("NBLEDGER_SCORECARD") == "full" else 10.0), 20.0


def timed(k: Kernel, code: str, timeout: float = 90) -> tuple[float, Cell]:
    begun = time.monotonic()
    cell = k.run(code, timeout)
    return time.monotonic() - begun, cell


def ours(project: Path, uri: str, times: int) -> str:
    """The first tracked cell of a fresh kernel, and ``times`` more, each beside the same cell untracked."""
    use(project, uri)
    added = []
    with kernel(project) as k:
        k.run("from nbledger import log\nlog(outside=1)")
        for number in range(times + 1):
            tracked, cell = timed(k, f"%%mlrun cell{number} -p n=3 -m v\n{BODY}")
            untracked, plain = timed(k, BODY)
            assert (cell.status, cell.result, cell.stderr) == (
                "ok",
                plain.result,
                plain.stderr,
            ) and plain.result == RESULT
            assert cell.displays[-1].startswith(f"✓ cell{number} FINISHED")
            added.append(tracked - untracked)
    assert max(added) <= LIMIT, added
    return f"results right; the first tracked cell of a kernel took {added[0]:.2f} s more, the slowest of {times} others {max(added[1:]):.2f} s"


def own_calls(project: Path, uri: str) -> str:
    """A cell that calls `mlflow` itself: the same outcome as untracked, and hardly later."""
    use(project, uri)
    retries = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    with kernel(project, retries) as k:
        k.run("import mlflow")
        untracked, plain = timed(k, OWN)
        tracked, cell = timed(k, f"%%mlrun own\n{OWN}")
        assert (cell.status, cell.result, cell.stdout) == ("ok", plain.result, plain.stdout), cell
        assert tracked - untracked <= LIMIT, (tracked, untracked)
    return f"with the cell's own mlflow calls {tracked - untracked:+.2f} s"


def plainly(project: Path, uri: str, plain: Callable[[bool, str], None]) -> None:
    """The same cell with `mlflow` calls, MLflow's own settings for retries."""
    code = f"""mlflow.set_tracking_uri({uri!r})
with mlflow.start_run():
    for i in range(20):
        mlflow.log_metric('loss', i / 7, step=i)
    v = sum(i * i for i in range(1000))
v"""
    with kernel(project, load=False) as k:
        k.run("import mlflow")
        try:
            took, cell = timed(k, code, CUT)
        except TimeoutError:
            plain(False, f"the cell was still blocked after {CUT:.0f} s, before its first line of work")
            return
        plain(cell.result == RESULT and took <= LIMIT, f"{cell.ename or cell.result} after {took:.1f} s")
