"""Where new data may go, and what is said of a pipeline that was brought up to date with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbledger.commands import drift_text
from nbledger.core import driftbranch
from nbledger.core.driftrecord import Loop
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track

PIPELINE = """\
stages:
  clean:
    cmd: "true"
    deps: [data/wine.csv, parts/a.csv, whole]
    outs: [made.csv]
  fit:
    cmd: "true"
    deps: [made.csv, fit.py]
"""


@pytest.fixture
def read(project: Path) -> Path:
    """A pipeline that reads some of what is tracked: a file, the folder that holds a file, a file of a folder."""
    for name in ("data/wine.csv", "live/wine.csv", "live/shifted.csv", "parts/a.csv", "parts/b.csv", "whole/b.csv"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(f"x,label\n1,{name}\n")
    track(find(project), ["data/wine.csv", "live/wine.csv", "live/shifted.csv", "parts", "whole/b.csv"], "data")
    (project / "dvc.yaml").write_text(PIPELINE)
    return project


def test_new_data_go_only_where_a_stage_reads_them(read: Path) -> None:
    here = find(read)
    assert driftbranch.target(here, "data/wine.csv").path == "data/wine.csv"
    assert driftbranch.target(here, "parts/a.csv").path == "parts"  # the output that holds what is read
    assert driftbranch.target(here, "whole/b.csv").path == "whole/b.csv"  # in a folder that is read
    begins = "what the pipeline begins with: --as data/wine.csv or --as whole/b.csv"
    for name, said in (
        ("made.csv", "made.csv is made by the stage clean: the pipeline would make it again"),
        ("live/wine.csv", "no stage reads live/wine.csv: nothing would be trained on the new data"),
    ):
        with pytest.raises(Refused) as refused:
            driftbranch.target(here, name)
        assert refused.value.message == said
        assert refused.value.hint.startswith(begins)
        assert "live" not in refused.value.hint

    (read / "dvc.yaml").write_text("stages:\n  fit:\n    cmd: 'true'\n    deps: [fit.py]\n")
    with pytest.raises(Refused, match=r"no stage reads data/wine\.csv.* — .*begins with nothing that DVC tracks"):
        driftbranch.target(here, "data/wine.csv")


@pytest.mark.parametrize(
    ("status", "stages", "said"),
    [
        ("FINISHED", {"clean": "skipped", "fit": "ran"}, "trained again on the branch drift/wine-1: finished"),
        ("FAILED", {"clean": "skipped", "fit": "failed"}, "trained again on the branch drift/wine-1: failed"),
        ("FAILED", {}, "not trained; the new data are on the branch drift/wine-1: failed"),
        (
            "FINISHED",
            {"clean": "skipped", "fit": "skipped"},
            "nothing was trained: every stage was up to date; the new data are on the branch drift/wine-1",
        ),
        (
            "FINISHED",
            {"clean": "skipped", "fit": "pulled"},
            "nothing was trained: what the stages make of these data was there; the new data are on the branch drift/wine-1",
        ),
    ],
)
def test_what_was_not_trained_is_not_said_to_be(status: str, stages: dict[str, str], said: str) -> None:
    done = Loop("drift/wine-1", "a" * 40, "b" * 40, "data/wine.csv", "replace", status, None, stages, {}, (), ())
    assert drift_text.loop(done)[1] == said
