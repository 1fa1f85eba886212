"""A small process that outlives the runner of notebooks by a moment, and ends the kernels that it leaves behind.

A kernel looks once a second whether its parent has gone, and ends then: unless a cell holds the interpreter, or the parent
went while the kernel was starting below a process that adopts orphans. What its cells started goes on in any case. So the
runner keeps a pipe to this process open; when it closes without a word, the runner was killed, and every process is ended
whose environment names it as its owner.

``python -m nbledger.keeper.guard OWNER``
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from nbledger.core.owners import alive, owner

OWNER = "NBLEDGER_OWNER"
"""Variable in the environment of a kernel that says who executes a notebook in it."""
_DONE = b"done\n"
_ROUNDS, _PAUSE = 20, 0.1


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """While the block runs, kernels of this process do not outlive it."""
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "nbledger.keeper.guard", json.dumps(owner())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={
            key: value for key, value in os.environ.items() if key != OWNER
        },  # its own end is no other runner's affair
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            guard.stdin.write(_DONE)
            guard.stdin.close()
        guard.wait()


def end_left(who: Mapping[str, Any]) -> int:
    """End every process that belongs to an owner who is gone; how many there were. Nothing while the owner lives."""
    if not who or alive(dict(who)):
        return 0
    import psutil

    wanted, ended = json.dumps(dict(who)), 0
    for _ in range(_ROUNDS):  # one may be starting another
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(OWNER) == wanted:
                    process.kill()
                    found.append(process)
        if not found:
            break
        ended += len(found)
        psutil.wait_procs(found, timeout=_PAUSE)
    return ended


def main() -> int:
    """Wait for the runner's word, or its end."""
    who = json.loads(sys.argv[1])
    if sys.stdin.buffer.read() != _DONE:
        for _ in range(_ROUNDS):
            if not alive(who):
                break
            time.sleep(_PAUSE)
        end_left(who)
    return 0


if __name__ == "__main__":
    sys.exit(main())
