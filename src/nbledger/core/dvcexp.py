"""DVC's experiments: what ``dvc exp run`` tells the stages that it runs, and the folder in which it runs them beside the
project (``--temp``, ``--queue``). That folder is a repository of its own, and goes when the experiment has ended: what is
recorded there belongs to the project around it.
"""

from __future__ import annotations

import os
from pathlib import Path

EXPERIMENT_TAG = "nbledger.dvc.exp"
"""Tag of a run: the DVC experiment in which it was made."""
BASELINE_TAG = "nbledger.dvc.baseline"
"""Tag of a run: the commit that its DVC experiment started from."""
_FOLDERS = (".dvc", "tmp", "exps")


def tags() -> dict[str, str]:
    """What a run of this process is to say of the experiment that it belongs to; nothing outside of experiments."""
    known = {EXPERIMENT_TAG: os.environ.get("DVC_EXP_NAME"), BASELINE_TAG: os.environ.get("DVC_EXP_BASELINE_REV")}
    return {tag: value for tag, value in known.items() if value}


def outer(root: Path) -> Path | None:
    """The DVC repository around ``root``, if DVC runs an experiment there."""
    for depth in (1, 2):  # a queue's are beside the folder for the others
        if len(root.parents) > depth + 2 and root.parts[-3 - depth : -depth] == _FOLDERS:
            around = root.parents[depth + 2]
            return around if (around / ".dvc" / "config").is_file() else None
    return None
