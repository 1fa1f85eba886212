"""JupyterLab in a real browser: what a person types, sees and finds recorded."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

from conftest import git, run
from e2e.browser import Lab, cell, open_notebook, recorded_runs, run_all, run_cell, type_into, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_tracked_cell_typed_in_jupyterlab_is_recorded_with_the_notebook_as_on_screen(lab: Lab, page: Any) -> None:
    write_notebook(lab.root / "train.ipynb", ["%load_ext nbledger", "%ledger init", ""])
    open_notebook(lab, page, "train.ipynb")

    run_cell(page, 0)
    run_cell(page, 1)
    type_into(
        page, 2, "%%mlrun forest -p n_estimators=5 -m accuracy\naccuracy = 0.875  # typed and never saved by hand"
    )
    assert "never saved by hand" not in (lab.root / "train.ipynb").read_text()
    run_cell(page, 2)

    shown = cell(page, 2).locator(".jp-OutputArea")
    sync_api.expect(shown).to_contain_text("forest")
    assert "Traceback" not in shown.inner_text()

    run(sys.executable, "-m", "nbledger.cli", "flush", cwd=lab.root, env=lab.env)
    (recorded,) = recorded_runs(lab)
    assert recorded["status"] == "FINISHED"
    assert recorded["params"]["n_estimators"] == "5"
    assert recorded["metrics"]["accuracy"] == 0.875

    snapshot = git(lab.root, "for-each-ref", "--format=%(objectname)", f"refs/nbledger/runs/{recorded['run_id']}")
    assert "typed and never saved by hand" in git(lab.root, "show", f"{snapshot}:train.ipynb")


def test_run_all_still_stops_at_the_first_error_before_a_tracked_cell(lab: Lab, page: Any) -> None:
    write_notebook(
        lab.root / "stops.ipynb", ["first = 1", "1 / 0", "%%mlrun never\nreached = True", "print('nor this')"]
    )
    open_notebook(lab, page, "stops.ipynb")
    type_into(page, 0, "  # unsaved")

    run_all(page)

    sync_api.expect(cell(page, 1).locator(".jp-OutputArea")).to_contain_text("ZeroDivisionError")
    sync_api.expect(cell(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:")
    sync_api.expect(cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    sync_api.expect(cell(page, 3).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    assert "# unsaved" in (lab.root / "stops.ipynb").read_text(), "the batch holds a tracked cell: saved before it"


def test_with_the_setting_off_the_notebook_is_not_saved(lab: Lab, page: Any) -> None:
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "nbledger" / "save-before-run.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"saveBeforeTrackedRun": False}))
    write_notebook(lab.root / "off.ipynb", ["print('quick')"])
    try:
        open_notebook(lab, page, "off.ipynb")
        type_into(page, 0, "\nif False:\n%mlrun start never")
        run_cell(page, 0)
        time.sleep(1)
        assert "mlrun" not in (lab.root / "off.ipynb").read_text()
    finally:
        settings.unlink()
