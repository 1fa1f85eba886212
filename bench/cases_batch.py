"""A sweep over a notebook, beside papermill in a shell loop and under ``xargs -P 2``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Row, Side, in_turns, timed
from bench.world import World, stop_keepers

_NAME = "fit.ipynb"
_CELLS = (
    """import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score""",
    "seed = 0\ntrees = 10",
    "frame = pd.read_csv('wine.csv')\nframe.describe()",
    """model = RandomForestClassifier(n_estimators=trees, random_state=seed)
scores = cross_val_score(model, frame.drop(columns='kind'), frame['kind'], cv=3)
scores""",
    "accuracy = float(np.mean(scores))\nprint(f'accuracy {accuracy:.3f} with seed {seed}')",
)
"""A small notebook as people sweep them: pandas and scikit-learn, 178 rows, half a second of work after its imports."""


def _project(world: World) -> Path:
    from sklearn.datasets import load_wine

    root = world.project()
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {"tags": ["parameters"]} if source.startswith("seed") else {},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(_CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (root / _NAME).write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    (root / "out").mkdir()
    with (root / ".gitignore").open("a") as ignored:
        ignored.write("out/\n")
    table = load_wine(as_frame=True).frame.rename(columns={"target": "kind"})
    table.to_csv(root / "wine.csv", index=False)
    timed(["git", "add", "-A"], ["git", "commit", "-qm", "A notebook to sweep"], cwd=root)
    return root


def sweep(world: World) -> list[Row]:
    """So few notebooks that it can be done several times."""
    return _sweep(world, world.size(16, 3), 1 if world.quick else 3, "sweep")


def sweep_64(world: World) -> list[Row]:
    """The sweep that the target speaks of, once."""
    return _sweep(world, world.size(64, 4), 1, "sweep-64")


def _sweep(world: World, count: int, rounds: int, key: str) -> list[Row]:
    mine, theirs = _project(world), _project(world)

    def ours(*how: str) -> Side:
        def measure() -> float:
            words = ["nbledger", "run", "--trust", _NAME, "--sweep", f"seed=1..{count}", "--jobs", "2", *how]
            took = timed(words, cwd=mine)
            stop_keepers()  # the next time it starts without one, and papermill has the machine for itself
            return took

        return measure

    def by_papermill(script: str) -> Side:
        return lambda: timed(["sh", "-ec", script], cwd=theirs)

    loop = by_papermill(f"for i in $(seq {count}); do papermill {_NAME} out/$i.ipynb -p seed $i; done")
    xargs = by_papermill(f"seq {count} | xargs -P 2 -I{{}} papermill {_NAME} out/{{}}.ipynb -p seed {{}}")
    timed(["nbledger", "run", "--trust", _NAME], cwd=mine)  # the store, once; compiled bytecode for both sides
    stop_keepers()
    fresh, reuse, one, two = in_turns(rounds, ours("--fresh"), ours("--reuse"), loop, xargs)
    case = f"`nbledger run NB --sweep seed=1..{count} --jobs 2`, recorded and published, with HTML"
    sides: Sequence[tuple[str, str, tuple[float, ...]]] = (
        ("", f"{case}, a fresh kernel each", fresh),
        ("-reuse", f"the same {count} with `--reuse`", reuse),
    )
    return [
        Row(f"{key}{kind}-{beside}", what, f"papermill {words}, nothing recorded", times, plain, target)
        for kind, what, times in sides
        for beside, words, plain, target in (
            ("loop", "in a shell loop", one, 0.2),
            ("xargs", "under `xargs -P 2`", two, 0.3),
        )
    ]
