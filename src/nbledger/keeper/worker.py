"""``python -m nbledger.keeper.worker``: one call in a process of its own, so that it can be ended like any program.

Standard input holds the request (``{"context", "call", "args"}``) and stays open: its end means that the keeper is gone,
and so is the work. Standard output has the keeper's own lines: ``{"progress"}``, then ``{"result"}`` or ``{"error"}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from nbledger.core.errors import LedgerError
from nbledger.keeper import calls


def main() -> int:
    """Do the call; 0 also where it failed in a way that the answer tells."""
    request = json.loads(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    threading.Thread(target=_until_the_keeper_ends, daemon=True).start()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)

    def tell(line: dict[str, Any]) -> None:
        answers.write(json.dumps(line).encode() + b"\n")
        answers.flush()

    try:
        project = calls.project_of(request["context"])
        result = calls.perform(
            project,
            str(request["call"]),
            request["args"],
            lambda done, total, text: tell({"progress": [done, total, text]}),
        )
        tell({"result": calls.encode(result)})
    except KeyboardInterrupt:
        return 130
    except LedgerError as err:
        tell({"error": err.as_dict()})
    except Exception as err:
        words = " ".join(f"{type(err).__name__}: {err}".split())
        tell({"error": LedgerError(f"this should not have happened: {words[:300]}").as_dict()})
    return 0


def _until_the_keeper_ends() -> None:
    while os.read(0, 4096):  # not by the buffered reader, which may not be waiting when the interpreter ends
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGINT)  # what it runs (git, hooks) as well
    else:
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
