"""A tracked cell is traced in a real kernel: every function of nbledger that runs for it, before, during and after,
is found so. Then each of them in turn is made to raise whenever it is called, once a `RuntimeError` and once
`OSError(ENOSPC)`, and the cell is run again; the same with a cell that ends in `1/0`. Its result, output,
exception and names are compared with those of the same cell untracked. Left out are the functions that Python or
IPython call themselves (the hooks, `log`).

What fails is said with the run; afterwards no run is open. The plain way: each call of a cell that logs by `mlflow`
raises in turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from kernels import Cell, Kernel, kernel
from kills import spread
from ledgerfiles import ends
from servers import free_port

BODY = """import json
from nbledger import log
text = open('in.txt').read()
print('said')
log(loss=0.5)
with open('out.txt', 'w') as file:
    file.write(text)
v = {'n': len(text)}
v['n'] + 1"""
FAILING = "w = 1\nprint('said')\n1/0"
HEADER = "%%mlrun kept -p n=3 -m v -a in.txt --tag a=b --seed 3\n"
OURS = 'class="nbledger"'
PLAINLY = re.compile(r"\x1b\[[0-9;]*m")


def outcome(k: Kernel, code: str, fault: str = "") -> tuple[object, ...]:
    """What the user has of a cell: the line nbledger says on standard error and its summary left out."""
    k.run(f"for name in ('v', 'w', 'text', 'file', 'name'): globals().pop(name, None)\n{fault}")
    cell = k.run(code)
    said = "".join(line for line in cell.stderr.splitlines(True) if not line.startswith("nbledger: "))
    shown = [
        text
        for text, markup in zip(cell.displays, cell.html[len(cell.html) - len(cell.displays) :], strict=True)
        if OURS not in markup and "kept" not in text.split("\n")[0]
    ]
    names = k.run("sabotage.mended()\nprint(json.dumps(sabotage.names(get_ipython())))").stdout
    return cell.status, cell.result, cell.stdout, said, shown, cell.ename, last_line(cell), names


def last_line(cell: Cell) -> str:
    """Where the traceback ends; the numbers of lines differ by the first line."""
    text = PLAINLY.sub("", cell.traceback)
    return re.sub(r"\d+", "", "\n".join(line for line in text.splitlines() if line.startswith("---->")))


def prepared(project: Path, k: Kernel) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "http://127.0.0.1:{free_port()}"\n')
    (project / "in.txt").write_text("some text\n")
    k.run(f"import sys, json\nsys.path.append({str(Path(__file__).parents[1])!r})\nimport sabotage")
    k.run("from nbledger import log\nlog(outside=1)")  # which is said once
    k.run(HEADER + BODY)


def test_each_of_its_functions(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    with kernel(project) as k:
        prepared(project, k)
        caused, wrong, known = 0, [], set[str]()
        for body in (BODY, FAILING):
            plain = outcome(k, body)
            k.run("sabotage.trace()")
            k.run(HEADER + body)
            found = json.loads(k.run("print(json.dumps(sabotage.traced()))").stdout)
            assert len(found) > 100, found
            fresh = [number for number, name in enumerate(found) if name not in known]
            for number in spread(fresh, count(len(fresh), 8)):
                for kind in ("Exception", "ENOSPC"):
                    tracked = outcome(k, HEADER + body, f"sabotage.broken({number}, {kind!r})")
                    caused += 1
                    if tracked != plain:
                        wrong.append((found[number], kind, tracked, plain))
            known |= set(found)
        assert k.run(HEADER + BODY).displays[-1].startswith("✓ kept FINISHED")
        open_runs = [run for run, end in ends(project).items() if end is None]
    assert not wrong, "\n".join(map(str, wrong[:20])) + f"\n{len(wrong)} of {caused}"
    assert not open_runs
    seen(f"{caused} of {caused} faults in {len(known)} functions: the cell is as it was untracked; no run left open")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    code = """import mlflow
with mlflow.start_run():
    mlflow.log_param('n', 3)
    mlflow.log_metric('loss', 0.5)
    mlflow.set_tag('a', 'b')
    mlflow.log_artifact('in.txt')
6 * 7"""
    fails = """from unittest import mock
def fails(*args, **words): raise OSError(28, 'No space left on device')
patch = mock.patch.object(mlflow, {name!r}, fails); patch.start()"""
    (project / "in.txt").write_text("some text")
    names = ("start_run", "log_param", "log_metric", "set_tag", "log_artifact")
    with kernel(project, load=False) as k:
        assert k.run(code).result == "42"
        outcomes = []
        for name in names:
            k.run(fails.format(name=name))
            outcomes.append(k.run(code).result)
            k.run("patch.stop()")
    plain(outcomes == ["42"] * len(names), f"{outcomes.count('')} of {len(names)} calls that fail end the cell")
