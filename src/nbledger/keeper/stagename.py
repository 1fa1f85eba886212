"""``@stage:NAME`` as the name of a run: the one that made what ``dvc.lock`` has of a stage now, whoever executed it.

So that what follows ``nbledger repro`` in a script means its result: also where everything was up to date, and whatever others
record meanwhile.
"""

from __future__ import annotations

from nbledger.core import mlflow, stages
from nbledger.core import runs as store_runs
from nbledger.core.errors import Refused
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.keeper import stagerun

PREFIX = "@stage:"


def run(project: Project, name: str) -> RunRow:
    """The newest finished run of what ``dvc.lock`` has of ``name`` (``@stage:train``)."""
    called = name.removeprefix(PREFIX)
    stage = stages.stage(project, called)
    held = stagerun.locked(project, stage)
    if held is None:
        raise Refused(f"the stage {called} was never executed here: dvc.lock has nothing of it", "nbledger repro first")
    wanted = stagerun.digest(stage, held[0])
    asked = f"tags.`{stagerun.DIGEST_TAG}` = '{wanted}' and attributes.status = 'FINISHED'"
    found = store_runs.listed(project, asked, limit=50)
    own = [row for row in found if store_runs.REPRODUCES not in row.tags]
    if (
        not own and not project.embedded
    ):  # the digest is of this very state, whatever the folder of the clone was called
        own = [row for row in store_runs.anywhere(project, asked, 50) if store_runs.REPRODUCES not in row.tags]
    if not own:
        where = "" if project.embedded else f" ({mlflow.display_uri(project.tracking_uri)}, all experiments)"
        raise Refused(
            f"no run of this ledger{where} made what dvc.lock has of the stage {called}",
            f"nbledger repro --force --single-item {called} makes one",
        )
    return own[0]
