"""In which order pytest-xdist's workers take the files of tests: first those that take long, so that at the end nobody waits
for a worker that has just begun one of them.

A file is one piece of work: its modules' servers, browsers and projects are started once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

SECONDS = {
    "tests/e2e/test_models.py": 300,
    "tests/test_production_loop.py": 230,
    "tests/test_ci_gitlab.py": 200,
    "tests/test_team_faults.py": 180,
    "tests/test_team_week.py": 160,
    "tests/test_real_notebooks.py": 160,
    "tests/e2e/test_notebook.py": 150,
    "tests/test_batch.py": 150,
    "tests/test_secret_scan.py": 130,
    "tests/e2e/test_detail.py": 120,
    "tests/test_example_pipeline.py": 110,
    "tests/e2e/test_state.py": 110,
    "tests/test_causes.py": 100,
    "tests/test_ci_deploys.py": 100,
    "tests/e2e/test_four_ways.py": 90,
    "tests/test_sweep.py": 90,
    "tests/test_cluster.py": 85,
    "tests/keeper/test_reproduce.py": 80,
    "tests/test_repro.py": 75,
    "tests/test_run.py": 75,
    "tests/keeper/test_prove.py": 75,
    "tests/e2e/test_compare.py": 70,
    "tests/e2e/test_journey.py": 65,
    "tests/test_warm.py": 65,
    "tests/e2e/test_runs.py": 60,
    "tests/keeper/test_publish_kills.py": 50,
    "tests/e2e/test_why.py": 45,
    "tests/scorecard/test_07_outage.py": 45,
    "tests/scorecard/test_36_paths.py": 45,
    "tests/scorecard/test_39_hostile_repository.py": 45,
    "tests/test_deploy.py": 45,
    "tests/test_split.py": 45,
    "tests/test_stage.py": 40,
    "tests/keeper/test_frontdoor.py": 40,
    "tests/magics/test_own_mlflow.py": 40,
    "tests/test_server_reference.py": 40,
    "tests/keeper/test_server_away.py": 35,
    "tests/scorecard/test_38_markup.py": 30,
    "tests/test_bench.py": 30,
    "tests/e2e/test_lab.py": 25,
    "tests/scorecard/test_12_both_die.py": 20,
    "tests/keeper/test_stagename.py": 20,
}
"""What files took in a run of everything on two cores, where that is much more than others of as many tests take."""

TOGETHER = {"tests/test_team_load.py": "tests/test_team_faults.py"}
"""{file: that in whose worker it runs}: the two share an office, which takes half a minute to open."""


def sort(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; a file that is not listed takes a second for each of its tests."""
    tests = Counter(item.nodeid.split("::")[0] for item in items)
    items.sort(key=lambda item: -SECONDS.get(file := item.nodeid.split("::")[0], tests[file]))


class LongestFirst(LoadFileScheduling):
    """pytest-xdist's own distribution by file (``--dist loadfile``), but for the order, and for what goes together."""

    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False  # by numbers of tests: what takes minutes has few of them
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER.get(file, file)
