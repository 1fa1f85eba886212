"""``make causes``: the whole bench, or the cases whose names hold a word, and its report. Exit code 1 below the gate."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

from causes import GATE, pool, table
from causes.case import every


def _say(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")
    stream.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="causes", description="Why do two runs differ? Pairs with a known cause.")
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder and leave it there")
    parser.add_argument("-v", "--verbose", action="store_true", help="every case with all its causes")
    options = parser.parse_args()
    cases = [c for c in every() if not options.words or any(word in c.name for word in options.words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="causes-") as scratch:
        folder = options.keep.absolute() if options.keep else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with pool.running(cases, folder, options.jobs) as under_way:
            outcomes = []
            for name, future in under_way.items():
                one = future.result()
                outcomes.append(one)
                _say(f"{'right' if one.right else 'WRONG'}  {one.seconds:5.1f} s  {name}", sys.stderr)
                if options.verbose:
                    _say(f"    {one.before!r} → {one.after!r}", sys.stderr)
                    for cause in one.causes:
                        _say(f"    {cause.kind} {cause.weight:.3f}: {cause.what} — {cause.evidence}", sys.stderr)
    _say(table.report(outcomes), sys.stdout)
    _say(f"\n{len(outcomes)} pairs in {time.monotonic() - started:.0f} s", sys.stdout)
    return 0 if all(table.score(found).share >= GATE for found in table.groups(outcomes).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
