"""``make scorecard``: all forty cases (or those named), ours and the plain tools', as a table; exit code 0 if all hold.

A run of all cases also writes docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import pytest

from scorecard import page
from scorecard.cards import CARDS
from scorecard.page import Result

HERE = Path(__file__).parent


class Collector:
    """Takes the tests' reports, from whichever worker: {card: result}."""

    def __init__(self) -> None:
        self.results = {number: Result(number) for number in CARDS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = Path(report.location[0]).name
        if name.startswith("test_") and name[5:7].isdigit() and int(name[5:7]) in self.results:
            self.results[int(name[5:7])].take(report)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scorecard", description=__doc__)
    parser.add_argument("cases", nargs="*", type=int, help="only these numbers")
    parser.add_argument("--quick", action="store_true", help="the counts of `make test`, without the plain tools")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--out", type=Path, help="the page to write (default: docs/reliability.md for all, in full)")
    options = parser.parse_args()
    if unknown := set(options.cases) - CARDS.keys():
        parser.error(f"there is no case {min(unknown)}")
    if not options.quick:
        os.environ["NBLEDGER_SCORECARD"] = "full"
    wanted = options.cases or sorted(CARDS)
    files = [str(file) for number in wanted for file in HERE.glob(f"test_{number:02}_*.py")]
    collector, started = Collector(), time.monotonic()
    if files:
        pytest.main(["-q", "--no-header", "-n", str(options.jobs), "--dist", "worksteal", *files], plugins=[collector])
    results = [collector.results[number] for number in wanted]
    minutes = (time.monotonic() - started) / 60
    sys.stdout.write(page.table(results) + f"\n\n{page.score(results)}, {minutes:.1f} min\n")
    out = options.out or (HERE.parents[1] / "docs" / "reliability.md" if not (options.cases or options.quick) else None)
    if out:
        out.write_text(page.page(results, minutes))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
