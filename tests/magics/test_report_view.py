"""``%ledger report`` in a notebook: the report in the notebook's theme, and as text."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import commit_all
from kernels import kernel
from team import notebook_of


def test_the_report_stands_in_the_notebook(project: Path) -> None:
    (project / "work.ipynb").write_text(json.dumps(notebook_of(["x = 1 # <b>bold</b>"])))
    commit_all(project, "A notebook")
    with kernel(project) as k:
        cell = k.run("%ledger report --html page.html")
        assert cell.status == "ok", cell.traceback
    (html,) = cell.html
    assert "written to page.html" in html
    assert 'class="nbledger-report"' in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<h1>" not in html
    assert (project / "page.html").read_text().startswith("<!DOCTYPE html>")
