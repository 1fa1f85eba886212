"""Promise 1: a tracked cell's value, output, exception and names are what they would have been untracked."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernels import kernel
from ledger import run, runs

CELLS = {
    "value": "x = 20\nx * 2 + 2",
    "nothing": "y = 1",
    "semicolon": "40 + 2;",
    "printed": "print('a')\nimport sys\nprint('b', file=sys.stderr)\n'last'",
    "await": "import asyncio\nawait asyncio.sleep(0.01, 'slept')",
    "magic": "%precision 3\n1/3",
    "shell": "!echo shelled",
    "display": "from IPython.display import HTML\nHTML('<b>bold</b>')",
    "blank first": "\n\nz = 3\nz",
    "comment": "# only a comment",
    "function": "def f(a):\n    return a + 1\nf(2)",
}


@pytest.mark.parametrize("body", CELLS.values(), ids=CELLS.keys())
def test_value_and_output_are_those_of_the_plain_cell(project: Path, body: str) -> None:
    with kernel(project) as k:
        plain, tracked = k.run(body), k.run(f"%%mlrun same\n{body}")
        assert (tracked.result, tracked.stdout, tracked.status) == (plain.result, plain.stdout, plain.status)
        assert tracked.stderr == plain.stderr
        assert tracked.displays[-1].startswith("✓ same FINISHED")
        if plain.result:
            assert k.run("print(repr(_))").stdout == k.run("print(repr(_))").stdout
            assert k.run(f"Out[{tracked.count}] is not None").result == "True"


def test_underscore_and_history_hold_the_tracked_cell(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun one\n6 * 7")
        assert k.run("_").result == "42"
        assert k.run(f"Out[{cell.count}], _{cell.count}").result == "(42, 42)"
        assert "%%mlrun one" in k.run(f"print(In[{cell.count}])").stdout


def test_syntax_error_is_the_users_own(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun typo\nfor")
        assert cell.ename == "SyntaxError"
    assert run(project, "typo").info.status == "FAILED"


@pytest.mark.parametrize("order", ["%%mlrun timed\n%%time\n1 + 1", "%%time\n%%mlrun timed\nq = 1 + 1"])
def test_other_cell_magics_nest_both_ways(project: Path, order: str) -> None:
    with kernel(project) as k:
        cell = k.run(order)
        assert cell.status == "ok" and "Wall time" in cell.stdout, cell
    assert run(project, "timed").info.status == "FINISHED"


def test_capture_inside_keeps_what_it_captures(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun quiet\n%%capture got\nprint('hidden')")
        assert cell.stdout == ""
        assert k.run("got.stdout").result == "'hidden\\n'"


def test_misspelt_option_does_not_run_the_cell(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun forest --metrik acc\nran = True")
        assert cell.status == "error" and "did you mean --metric" in cell.traceback, cell
        assert len([line for line in cell.traceback.splitlines() if line.strip()]) == 1
        assert k.run("'ran' in dir()").result == "False"
        assert runs(project) == [] if (project / ".nbledger/mlflow.db").exists() else True


def test_unwritable_ledger_warns_once_and_the_cell_runs(project: Path) -> None:
    (project / ".nbledger").write_text("in the way")
    with kernel(project) as k:
        first, second = k.run("%%mlrun a\n1 + 1"), k.run("%%mlrun b\n2 + 2")
        assert (first.result, second.result) == ("2", "4")
        assert len(first.stderr.splitlines()) == 1 and second.stderr == ""
