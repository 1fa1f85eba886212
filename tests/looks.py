"""Everything that looks at a project, asked one after the other: ``python -P looks.py here|keeper ROOT``; JSON {look: error or ""}.

``here``: in this process, without a keeper; ``keeper``: of a keeper that is started for it, as the sidebar asks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_RUNS = ("run-local", "run-served", "run-web")
LOOKS: list[tuple[str, dict[str, Any]]] = [
    ("status", {}),
    ("state", {}),
    ("runs", {}),
    ("runs", {"text": "metrics.accuracy > 0.1", "sort": "accuracy"}),
    *(("show", {"run": run}) for run in _RUNS),
    *(("record", {"run": run}) for run in _RUNS),
    ("table", {"limit": 100}),
    ("table_changes", {"since": 0}),
    ("search", {"text": "run"}),
    ("series", {"run": ["run-local"], "key": ["accuracy"], "points": 100}),
    *(("detail", {"run": run}) for run in _RUNS),
    *(("notebook", {"run": run}) for run in _RUNS),
    ("compare", {"names": ["run-local", "run-web"]}),
    ("compare", {"names": ["run-local", "."]}),
    ("compare", {"names": ["HEAD", "."]}),
    ("compare_notebooks", {"a": "run-local", "b": "run-web"}),
    ("markdown", {"names": ["run-local", "run-served"]}),
    *(("diff", {"file": name}) for name in ("a.py", "note.ipynb", "data.dat", "big.csv", "shown.csv", "sub/x.dat")),
    *(("versions", {"file": name}) for name in ("a.py", "note.ipynb", "data.dat", "big.csv", "shown.csv")),
    ("pipeline", {}),
    ("models", {}),
    ("jobs", {}),
    ("flush", {}),
    *(
        (
            "preview",
            {"kind": kind, "paths": ["a.py"], "file": "a.py", "run": "run-local", "message": "m", "commit": "1" * 40},
        )
        for kind in ("track", "checkpoint", "undo", "use_version", "push", "pull", "reproduce", "delete", "init", "gc")
    ),
]


def look(root: Path, how: str) -> dict[str, str]:
    from nbledger.core.errors import LedgerError
    from nbledger.core.project import find
    from nbledger.keeper import calls, client

    said: dict[str, str] = {}
    for number, (name, words) in enumerate(LOOKS):
        try:
            project = find(root)
            if how == "keeper":
                found = client.call(project, name, words, start=True, timeout=120)
            else:
                found = calls.perform(project, name, words)
            said[f"{number} {name}"] = ""
            if name == "status":
                said["notes"] = "\n".join(calls.encode(found)["notes"])
        except LedgerError as err:
            said[f"{number} {name}"] = f"{type(err).__name__}: {err}"
        except Exception as err:  # what the call made of a hostile place; that nothing was executed is what counts
            said[f"{number} {name}"] = f"BROKE {type(err).__name__}: {err}"
    if how == "keeper":
        client.stop(find(root))
    else:
        from nbledger.keeper.doctor import examine

        said["doctor"] = "; ".join(str(finding.text) for finding in examine(find(root), fix=False))
    return said


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(Path(sys.argv[2]), sys.argv[1])))
