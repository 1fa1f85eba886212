"""The registry from a plain ``git clone`` of a team's project: its server is not asked before one trusts the project, and no
verb answers from this clone's own store as if that were the team's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nbledger.cli import main
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import trust
from nbledger.core.errors import LedgerError, Untrusted
from nbledger.core.project import find
from nbledger.keeper import calls
from servers import free_port

VERBS: dict[str, Sequence[str]] = {
    "approvals": ("approve",),
    "approve": ("approve", "wine"),
    "refuse": ("approve", "wine/1", "--refuse", "-m", "no"),
    "merged": ("approve", "wine", "--merged", "main"),
    "decisions": ("decisions", "wine"),
    "rollback": ("rollback", "wine"),
    "version": ("lineage", "wine@champion"),
    "offline": ("lineage", "better", "--offline"),
    "back": ("lineage", "--back", "data/wine.csv"),
    "promote": ("promote", "better", "--model", "wine", "--if", "accuracy > 0.5"),
    "dry": ("promote", "better", "--model", "wine", "--dry-run"),
}


@pytest.fixture
def server(project: Path) -> str:
    """The address of the server that the settings of the project name; nobody trusts it, nothing answers there."""
    address = f"http://127.0.0.1:{free_port()}"
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{address.replace("//", "//ada:planted@")}"\n')
    return address


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_no_verb_answers_for_a_registry_that_is_not_asked(
    project: Path, server: str, words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(words)) == 3
    said = f"the project's settings name {server}, which is not asked until you trust this project — nbledger trust"
    assert capsys.readouterr().err.strip() == f"nbledger: {said}"
    assert not (project / ".nbledger" / "mlflow.db").exists()


def test_the_keeper_and_the_sidebar_do_not_either(project: Path, server: str) -> None:
    told = calls.project_of(calls.context(find(project)))  # as the keeper sees it
    asked = {"run": "better", "model": "wine"}
    for name, words in (
        ("approvals", {}),
        ("decisions", {"model": "wine"}),
        ("ancestry", {"name": "wine@champion"}),
        ("promote", {**asked, "alias": "champion"}),
        ("alias", {"model": "wine", "alias": "champion", "version": "1"}),
        ("judge", asked),
    ):
        with pytest.raises(Untrusted, match="is not asked until you trust this project"):
            calls.perform(told, name, words)
    shown = calls.perform(told, "production", {})  # a view shows what there is
    assert (shown.waiting, shown.problems) == ((), ())


def test_who_trusts_the_project_has_the_server_asked(project: Path, server: str) -> None:
    trust.trust(find(project))
    with pytest.raises(LedgerError, match="does not answer"):
        run(("decisions", "wine"), Face())


def test_a_store_that_the_person_names_is_asked(
    project: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    answer = run(("approve",), Face())
    assert answer is not None and answer.text == "nothing waits for approval"
