"""Two runs beside each other."""

from __future__ import annotations

from bench.measure import Row, in_turns, row
from bench.world import World, kernel, stop_keepers, wait_until_published, warm_keeper
from nbledger.core.project import find
from nbledger.core.runs import listed

_PREPARE = """
import random
rows = int({rows})
with open("data.csv", "w") as file:
    file.write("x,y\\n")
    for number in range(rows):
        file.write(f"{{number}},{{random.Random(number).random()}}\\n")
"""
_TRACKED = """%%mlrun sum -p scale={scale} -m total
with open("data.csv") as file:
    total = {scale} * sum(float(line.split(",")[1]) for line in list(file)[1:])
"""


def compare(world: World) -> list[Row]:
    """Two runs of one notebook that differ in a parameter and the cell that holds it, over data that DVC has."""
    root = world.project(world.size(1000, 60))
    with kernel(root) as ours, kernel(root) as plain:
        ours.run("%load_ext nbledger")
        ours.run(_PREPARE.format(rows=world.size(20_000, 100)))
        ours.run("%track_data data.csv")
        for scale in (1, 2):
            ours.run(_TRACKED.format(scale=scale))
        warm_keeper(root)
        wait_until_published(root)
        project = find(root)
        first, second = (run.run_id for run in listed(project)[:2])
        plain.run(f"import mlflow; mlflow.set_tracking_uri({project.tracking_uri!r})")

        def together() -> float:
            return ours.run(f"%compare_runs {first} {second}").seconds

        def apart() -> float:
            return plain.run(f"mlflow.get_run({first!r}), mlflow.get_run({second!r})").seconds

        in_turns(2, together, apart)
        times = in_turns(world.pairs, together, apart)
    stop_keepers()
    return [
        row(
            "compare",
            "`%compare_runs A B`, what differs and why, shown, warm keeper",
            "the two `mlflow.get_run` calls alone, in a warm kernel",
            times,
            1.5,
        )
    ]
