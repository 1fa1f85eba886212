"""The benchmark runs and gives rows; what the clock said is nobody's assertion."""

import json
import sys
from pathlib import Path

import pytest

from conftest import run

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the benchmark is not part of the sdist")


def test_quick_cases_give_rows_and_a_page(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.json", tmp_path / "page.md"
    printed = run(
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--only",
        "snapshot",
        "--only",
        "load_ext",
        "--scratch",
        tmp_path,
        "--raw",
        raw,
        "--out",
        out,
        cwd=ROOT,
    )
    rows = json.loads(raw.read_text())["rows"]
    assert [row["key"] for row in rows] == [
        "snapshot-40",
        "snapshot-40-edited",
        "snapshot-80",
        "snapshot-80-edited",
        "load_ext",
        "load_ext-used",
    ]
    assert all(len(row["ours"]) == len(row["plain"]) >= 2 and min(row["plain"]) > 0 for row in rows)
    page = out.read_text()
    assert printed in page
    assert "## How it is measured" in page
    assert "## Missed targets, and why" in page
    assert str(tmp_path) not in page


def test_a_page_comes_from_kept_times_alone(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.json", tmp_path / "page.md"
    row = {
        "key": "k",
        "case": "ours",
        "beside": "theirs",
        "ours": [1.0, 2.0, 9.0],
        "plain": [10.0, 10.0, 10.0],
        "target": 0.1,
    }
    raw.write_text(json.dumps({"about": ["a machine"], "load": "idle", "rows": [row]}))
    printed = run(sys.executable, "-m", "bench", "--render", raw, "--out", out, cwd=ROOT)
    assert "0.200 (0.100–0.900)" in printed
    assert "**missed**" in printed
    assert "0 of 1 targets met" in out.read_text()


def test_an_unknown_case_is_refused(tmp_path: Path) -> None:
    said = run(sys.executable, "-m", "bench", "--only", "nonsense", cwd=ROOT, ok=False)
    assert "tracked_cell" not in said  # the names are in the message on standard error, nothing on standard output
