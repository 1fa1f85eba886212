"""A run is named by id, prefix, name or @last; a wrong name is answered with the nearest ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from kernels import kernel
from ledger import run


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_runs_are_named_in_every_way(project: Path) -> None:
    with kernel(project) as k:
        for name in ("forest", "forest", "ridge"):
            k.run(f"%%mlrun {name} -p depth=3 -m v\nv = 0.5")
        assert "parameters" in k.run("%mlrun show ridge").shown
        wrong = k.run("%mlrun show rigde")
        assert wrong.status == "error" and "did you mean ridge?" in wrong.traceback
    found = run(project, "ridge")
    by_id = nbledger(project, "show", found.info.run_id, "--json")
    assert json.loads(by_id.stdout)["params"] == {"depth": "3"}
    for name in (found.info.run_id[:10], "ridge", "@last", "@last~0"):
        assert json.loads(nbledger(project, "show", name, "--json").stdout)["run_id"] == found.info.run_id
    ambiguous = nbledger(project, "show", "forest")
    assert ambiguous.returncode == 2 and "means 2 runs" in ambiguous.stderr
    unknown = nbledger(project, "show", "@last~9")
    assert unknown.returncode == 2 and "3 runs are recorded" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1
