"""``python -m nbledger.server.alone``: one call of the keeper's in a process of its own, for projects without one.

A request comes in as a line, and the keeper's lines go out. What the work itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from nbledger.core.errors import LedgerError, UsageError
from nbledger.keeper import calls


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    out.write(json.dumps(_reply(request)).encode() + b"\n")
    return 0


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    try:
        if request["call"] not in calls.TABLE:
            raise UsageError(f"there is no call {request['call']!r}")
        project = calls.project_of(request["context"])
        return {"result": calls.encode(calls.perform(project, request["call"], request["args"]))}
    except LedgerError as err:
        return {"error": err.as_dict()}
    except Exception as err:
        return {"error": LedgerError(f"{type(err).__name__}: {err}").as_dict()}


if __name__ == "__main__":
    sys.exit(main())
