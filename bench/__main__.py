"""``python -m bench [--quick] [--only NAME]``: measure, print the table, write docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import (
    cases_batch,
    cases_browser,
    cases_compare,
    cases_data,
    cases_kernel,
    cases_restore,
    cases_server,
    cases_sidebar,
    cases_store,
    report,
)
from bench.measure import Row
from bench.world import World, isolated

ROOT = Path(__file__).resolve().parent.parent
CASES: dict[str, Callable[[World], list[Row]]] = {
    "load_ext": cases_kernel.load_ext,
    "first_line": cases_kernel.first_line,
    "tracked_cell": cases_kernel.tracked_cell,
    "log": cases_kernel.log,
    "track_large": cases_data.track_large,
    "track_many": cases_data.track_many,
    "status": cases_data.status,
    "snapshot": cases_data.snapshots,
    "runs": cases_store.runs,
    "sidebar": cases_sidebar.sidebar,
    "compare": cases_compare.compare,
    "restore": cases_restore.restore_data,
    "sweep": cases_batch.sweep,
    "sweep_64": cases_batch.sweep_64,
    "server": cases_server.extension,
    "browser": cases_browser.browser,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and two pairs: to see that it runs")
    parser.add_argument("--only", action="append", choices=CASES, help="this case (again for more)")
    parser.add_argument("--pairs", type=int, help="pairs a case (default 10; half of it where a pair is long)")
    parser.add_argument("--scratch", type=Path, default=ROOT / ".bench", help="where to work (default: .bench)")
    parser.add_argument(
        "--out", type=Path, help="the page to write (default: docs/performance.md for a whole, full run)"
    )
    parser.add_argument("--raw", type=Path, help="also write every time that was taken, as JSON")
    parser.add_argument("--render", type=Path, metavar="RAW", help="measure nothing: write the page from such a file")
    options = parser.parse_args()
    whole = not (options.quick or options.only or options.pairs)
    out = options.out or (ROOT / "docs" / "performance.md" if whole else None)
    if options.render:
        kept = json.loads(options.render.read_text())
        rows = [Row(**{**row, "ours": tuple(row["ours"]), "plain": tuple(row["plain"])}) for row in kept["rows"]]
        about, load = kept["about"], kept["load"]
    else:
        rows, about, load = _measured(options)
        if options.raw:
            options.raw.write_text(json.dumps({"about": about, "load": load, "rows": [asdict(row) for row in rows]}))
    print(report.table(rows))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report.page(rows, about, load))
    return 0


def _measured(options: argparse.Namespace) -> tuple[list[Row], list[str], str]:
    pairs = options.pairs or (2 if options.quick else 10)
    rows: list[Row] = []
    before = os.getloadavg()[0]
    with isolated(options.scratch) as folder:
        about = report.facts(folder)
        world = World(folder, options.quick, pairs, max(2, pairs // 2) if pairs > 1 else 1)
        for name in options.only or CASES:
            print(f"bench: {name}", file=sys.stderr, flush=True)
            found = CASES[name](world)
            rows += found
            print(report.table(found), file=sys.stderr, flush=True)
    return rows, about, f"load average before the run {before:.1f} (of other work on the machine)"


if __name__ == "__main__":
    sys.exit(main())
