"""The tracked cell runs again in the same kernel: its parameters are its own, not those of the run before."""

from __future__ import annotations

from pathlib import Path

from kernels import kernel
from ledger import run


def test_a_parameter_that_the_cell_sets_is_what_it_set(project: Path) -> None:
    with kernel(project) as k:
        for name, rate in (("first", 0.3), ("second", 0.15)):
            cell = k.run(f"%%mlrun {name} -p rate -m loss\nrate = {rate}\nloss = rate * 2")
            assert cell.status == "ok", cell
        assert k.run("%%mlrun third -p rate -m rate\nrate = rate / 2").status == "ok"
    assert run(project, "first").data.params == {"rate": "0.3"}
    assert run(project, "second").data.params == {"rate": "0.15"}
    third = run(project, "third").data
    assert third.params == {"rate": "0.15"}, "it went in with what the cell before had set"
    assert third.metrics == {"rate": 0.075}
