"""A whole notebook as one run of a kernel that a front end drives: it ends by itself, as its cells did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from kernels import Cell, Kernel, kernel
from ledger import runs

BEGIN = "from nbledger_magics import whole as _w; _j = _w.begin(get_ipython()._nbledger_session, {!r}, {!r}, {!r})"
Book = list[tuple[str, str]]


def run_all(k: Kernel, name: str, book: Book, allowed: tuple[str, ...] = ()) -> list[Cell]:
    """The cells as JupyterLab sends them: all at once, after a silent beginning."""
    assert k.run(BEGIN.format(name, book[-1][0], allowed), silent=True, store_history=False).status == "ok"
    sent = [send(k, source, {"cellId": cell}, cell not in allowed) for cell, source in book]
    return [k.collect(message) for message in sent]


def send(k: Kernel, source: str, metadata: dict[str, Any], stop_on_error: bool) -> str:
    content = {
        "code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
        "stop_on_error": stop_on_error,
    }  # fmt: skip
    message = k.client.session.msg("execute_request", content, metadata=metadata)
    k.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def test_a_notebook_ends_with_its_last_cell_or_the_first_that_fails(project: Path) -> None:
    with kernel(project) as k:
        run_notebooks(k)
        interrupt_notebook(k)
    for name in ("counted", "failing"):  # neither was the first notebook of this kernel
        done = subprocess.run([sys.executable, "-m", "nbledger.cli", "reproduce", name], capture_output=True, text=True)
        assert done.returncode == 0 and f"✓ {name}: identical" in done.stdout, done
    found = {r.info.run_name: r for r in runs(project) if "nbledger.reproduces" not in r.data.tags}
    assert {name: r.info.status for name, r in found.items()} == {
        "good": "FINISHED", "inner": "FINISHED", "failing": "FAILED", "spans": "FINISHED", "span": "FINISHED",
        "allowed": "FINISHED", "cut": "KILLED", "next": "FINISHED", "slow": "KILLED",
        "before": "FINISHED", "counted": "FINISHED",
    }  # fmt: skip
    parent = {name: r.data.tags.get("mlflow.parentRunId") for name, r in found.items()}
    assert parent["inner"] == found["good"].info.run_id and parent["span"] == found["spans"].info.run_id
    assert found["allowed"].data.metrics == {"reached": 1.0} and found["span"].data.metrics == {"z": 3.0}


def run_notebooks(k: Kernel) -> None:
    counting = [("a", "x = 1"), ("b", "from nbledger import log\nlog(seen=x)")]
    run_all(k, "before", counting)
    run_all(k, "counted", counting)
    good = [("a", "x = 20"), ("b", "%%mlrun inner -m x\nx += 1"), ("c", "x * 2")]
    cells = run_all(k, "good", good)
    assert cells[-1].result == "42" and not cells[0].displays and not cells[-1].displays
    first = cells[-1].count

    failing = [("a", "y = 1"), ("b", "1 / 0"), ("c", "y = 2")]
    cells = run_all(k, "failing", failing)
    assert [c.status for c in cells] == ["ok", "error", "aborted"]
    assert k.run("y").count == first + 3, "the helper's own calls count for nothing"

    spans = [("a", "%mlrun start span"), ("b", "from nbledger import log\nlog(z=3)"), ("c", "%mlrun stop")]
    run_all(k, "spans", spans)

    allowed = [("a", "1 / 0"), ("b", "from nbledger import log\nlog(reached=1)")]
    assert [c.status for c in run_all(k, "allowed", allowed, ("a",))] == ["error", "ok"]

    cut = BEGIN.format("cut", "never", ())
    k.run(cut, silent=True)
    k.run(BEGIN.format("next", "never", ()), silent=True)
    k.run("_w.end(get_ipython()._nbledger_session, 'another', 'FINISHED')", silent=True)
    k.run("_w.end(get_ipython()._nbledger_session, _j, 'FINISHED')", silent=True)


def interrupt_notebook(k: Kernel) -> None:
    slow = [("a", "import time\nprint('on', flush=True)\ntime.sleep(60)"), ("b", "late = True")]
    k.run(BEGIN.format("slow", "b", ()), silent=True)
    sent = [send(k, source, {"cellId": cell}, True) for cell, source in slow]
    while k.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    k.interrupt()
    assert k.collect(sent[0]).ename == "KeyboardInterrupt"
    assert k.run("'late' in dir()").result == "False"
