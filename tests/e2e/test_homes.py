"""The front end wherever it may live: under a hub's prefix, under a strict content security policy, in Notebook 7."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright import sync_api

from conftest import commit_all, make_repository
from e2e.browser import SIDEBAR, Lab, open_lab, open_sidebar, outside_requests, problems_of, section, write_notebook
from e2e.conftest import Home

# As strict as JupyterLab itself bears: its settings compile their schemas, its editors write their styles.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
STRICT = f"--ServerApp.tornado_settings={{'headers': {{'Content-Security-Policy': \"{POLICY}\"}}}}"
HUB = Home(base_url="/user/ada/", options=(STRICT, "--ServerApp.allow_unauthenticated_access=False"))
NOTEBOOK = Home(application="notebook", base_url="/user/ada/lab/")
NOTEBOOKS_OWN = "Cannot read properties of undefined (reading 'schema')"
"""What Notebook 7.6 throws while it starts, with nbledger or without it."""


@pytest.fixture(scope="module", params=[pytest.param(HUB, id="hub"), pytest.param(NOTEBOOK, id="notebook")])
def home(request: pytest.FixtureRequest) -> Home:
    return request.param


def test_the_sidebar_shows_the_state_and_hears_of_changes(lab: Lab, page: Any, home: Home) -> None:
    make_repository(lab.root)
    write_notebook(lab.root / "analysis.ipynb", ["1 + 1"])
    commit_all(lab.root)
    (lab.root / "train.py").write_text("1\n")
    problems, elsewhere = problems_of(page), outside_requests(page, lab)
    violations = _violations(page)

    if home is NOTEBOOK:
        _open_in_notebook(lab, page)
    else:
        open_lab(lab, page, "analysis.ipynb")
        assert page.request.get(lab.address_of("")).headers["content-security-policy"] == POLICY
        open_sidebar(page)

    state = section(page, "state")
    sync_api.expect(state).to_contain_text("main")
    sync_api.expect(page.locator(f"#{SIDEBAR}")).to_contain_text("train.py is not in Git")
    (lab.root / "train.py").unlink()
    sync_api.expect(page.locator(f"#{SIDEBAR}")).not_to_contain_text("train.py")

    assert not [said for said in problems if home is not NOTEBOOK or said != NOTEBOOKS_OWN]
    assert not [one for one in page.evaluate(violations) if "inline" not in one]
    assert not elsewhere


def _open_in_notebook(lab: Lab, page: Any) -> None:
    page.goto(f"{lab.url}/notebooks/analysis.ipynb?token={lab.token}")
    page.locator(".jp-Notebook").wait_for()
    page.get_by_role("menuitem", name="View", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^nbledger$")).hover()
    page.locator('.lm-Menu-item[data-command="nbledger:show-sidebar"]').click()
    page.locator(f"#{SIDEBAR}").wait_for()


def _violations(page: Any) -> str:
    """What tells, asked of the page, which policy was broken by what."""
    page.add_init_script(
        "window.broken = []; document.addEventListener('securitypolicyviolation',"
        " e => window.broken.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}`))"
    )
    return "() => window.broken"
