"""Who made a run: people are told apart by Git's identity, or else by the login that MLflow noted."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from conftest import git
from nbledger.core import people, whoami
from nbledger.core.errors import UsageError
from nbledger.core.people import Whose
from nbledger.core.project import find

ADA, BEN = "Ada Lovelace <Ada@Example.org>", "Ben Bitdiddle <ben@example.org>"


@pytest.mark.parametrize(
    ("user", "key", "name"),
    [
        (ADA, "ada@example.org", "Ada Lovelace"),
        ("<ada@example.org>", "ada@example.org", "ada@example.org"),
        ("Ada <>", "ada", "Ada"),
        ("Root", "root", "Root"),
        ("a <b> c", "a <b> c", "a <b> c"),
        (None, "", "unknown"),
    ],
)
def test_a_person_is_an_address_or_a_login(user: str | None, key: str, name: str) -> None:
    assert (people.key(user), people.name(user)) == (key, name)


def test_people_of_the_same_name_are_told_apart() -> None:
    users = ["Kim <kim@a.org>", "Kim <kim@b.org>", "KIM <kim@a.org>", ADA, None]
    assert people.labels(users) == {
        "kim@a.org": "Kim <kim@a.org>",
        "kim@b.org": "Kim <kim@b.org>",
        "ada@example.org": "Ada Lovelace",
        "": "unknown",
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("ada", {ADA}),
        ("LOVELACE ada", {ADA}),
        ("ben@example.org", {BEN}),
        (BEN, {BEN}),
        ("root", {"root"}),
        ("lace", set()),
        ("example.org", set()),
        (" ", set()),
    ],
)
def test_somebody_is_named_by_words_of_the_name_or_by_all_of_the_address(wanted: str, found: set[str]) -> None:
    whose = Whose(name=wanted)
    assert {user for user in (ADA, BEN, "root", None) if whose.holds(user)} == found


def test_a_name_that_is_nobodys_is_answered_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no run is of 'bem'") as refused:
        people.refuse_unknown("bem", [ADA, BEN, None])
    assert "Ben Bitdiddle" in refused.value.hint
    people.refuse_unknown("ben", [ADA, BEN])


def test_the_tags_of_a_run_say_who_made_it() -> None:
    assert people.of({people.AUTHOR: ADA, people.LOGIN: "root"}) == ADA
    assert people.of({people.LOGIN: "root"}) == "root"
    assert people.of({people.LOGIN: "unknown"}, "unknown") is None  # what MLflow writes where it does not know
    assert people.of({}, "grace") == "grace"


# ── this person ──────────────────────────────────────────────────────────────────────────────────────────


def test_git_names_the_person_and_is_asked_again_when_its_settings_change(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = find(project)
    assert whoami.author(here) == "Ada Tester <ada@example.org>"
    git(project, "config", "user.email", "ada@work.example")
    assert whoami.author(here) == "Ada Tester <ada@work.example>"
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    assert whoami.author(here) == "Somebody Else <ada@work.example>"
    (project / ".git/config").write_text("[user]\n\tname = <broken\n[")
    assert whoami.author(here) is None


def test_git_is_not_made_to_guess(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    assert whoami.author(find(folder)) is None
    assert whoami.me(find(folder)).user == getpass.getuser()


def test_the_login_is_what_mlflow_itself_would_note(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking.context.default_context import DefaultRunContext

    def noted() -> str:
        return str(DefaultRunContext().tags()["mlflow.user"])

    assert whoami.login() == noted() == getpass.getuser()
    (isolated / ".mlflow").mkdir()
    (isolated / ".mlflow/credentials").write_text("[mlflow]\nmlflow_tracking_username = grace\n")
    assert whoami.login() == noted() == "grace"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert whoami.login() == noted() == "ada"
    (isolated / ".mlflow/credentials").write_bytes(b"\xff[")
    assert whoami.login() == "ada"
    for token in ("0d2f6c1e9b8a47d3a1b2c3d4", "ghp_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", token)
        assert whoami.login() == getpass.getuser()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada.lovelace@engines.example.org")
    assert whoami.login() == "ada.lovelace@engines.example.org"


def test_a_login_of_everybody_is_nobodys_where_git_knows_better(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = find(project)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "jovyan")
    assert whoami.me(here).keys == ("ada@example.org",)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "Ada")
    assert whoami.me(here).keys == ("ada@example.org", "ada")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "jovyan")
    assert whoami.me(here).keys == ("jovyan",)


MAILMAP = """\
# <ada@example.org> <not@example.org>
Ada Lovelace <Ada@Example.org> <ada@old.example> trailing
<ada@example.org>\t<Countess@example.org>
<ada@example.org> Ada <shared@example.org>
Ada Lovelace <ada@example.org>
<ben@example.org> <ben@old.example>
"""


def test_the_mailmap_joins_the_addresses_of_a_person(project: Path) -> None:
    (project / ".mailmap").write_text(MAILMAP)
    hers = {"ada@example.org", "ada@old.example", "countess@example.org"}
    for address in ("ada@example.org", "countess@example.org"):
        git(project, "config", "user.email", address)
        mine = whoami.me(find(project)).keys
        assert mine[0] == address and set(mine) - {getpass.getuser()} == hers
        assert {one for one in mine[1:] if "@" in one} == hers - {address}
    by_git = {one: git(project, "check-mailmap", f"Somebody <{one}>").lower() for one in (*hers, "not@example.org")}
    assert {one for one, said in by_git.items() if "<ada@example.org>" in said} == hers
    assert people.addresses("shared@example.org", MAILMAP) == {"shared@example.org"}

    (project / "elsewhere").write_text(MAILMAP)
    (project / ".mailmap").unlink()
    (project / ".mailmap").symlink_to("elsewhere")  # which Git does not follow
    assert people.key(git(project, "check-mailmap", "A <ada@old.example>")) == "ada@old.example"
    assert {one for one in whoami.me(find(project)).keys if "@" in one} == {"countess@example.org"}


@pytest.mark.parametrize(
    "wanted",
    ["ada", "lovelace", "ada@example.org", "ada@old.example", "countess@example.org", "A. King <Countess@Example.org>"],
)
def test_all_that_somebody_is_called_means_the_person(wanted: str) -> None:
    hers = {ADA, "ada@old.example", "AL <ada@old.example>", "Countess of Lovelace <countess@example.org>"}
    everybody = (*hers, BEN, "root", None)
    assert {user for user in everybody if Whose(name=wanted, mailmap=MAILMAP).holds(user)} == hers
    assert {user for user in everybody if Whose(name=wanted).holds(user)} < hers


SHARED = """\
Ada Lovelace <ada@example.org> ADA King <Lab@example.org>
Ben Bitdiddle <ben@example.org>  Ben  <lab@example.org>
The Lab <team@example.org> <lab@example.org>
"""


@pytest.mark.parametrize("called", ["Ada King", "ada king", "Ben", "Cleo"])
def test_a_line_for_commits_under_a_name(project: Path, called: str) -> None:
    """Of an address that several commit by, each line is of whom it names: as Git has it."""
    (project / ".mailmap").write_text(SHARED)
    user = f"{called} <lab@example.org>"
    by_git = git(project, "check-mailmap", user)
    assert people.proper(user, SHARED) == by_git
    asked = {"ada@example.org": "Ada", "ben@example.org": "Ben", "team@example.org": "The Lab"}
    for address, name in asked.items():
        whose = [Whose(name=wanted, mailmap=SHARED) for wanted in (address, name.lower())]
        whose.append(Whose(keys=(address,), mailmap=SHARED))
        assert [one.holds(user) for one in whose] == [
            address in by_git,
            address in by_git or name == called,
            address in by_git,
        ]

    git(project, "config", "user.name", called)
    git(project, "config", "user.email", "lab@example.org")
    mine = {one for one in whoami.me(find(project)).keys if "@" in one}
    assert mine == {"lab@example.org", people.key(by_git)}
    assert people.addresses("ada@example.org", SHARED) == {"ada@example.org"}, "others commit by the other one too"


def test_a_user_as_the_mailmap_has_them() -> None:
    assert people.proper("AL <ada@old.example>", MAILMAP) == "Ada Lovelace <Ada@Example.org>"
    assert people.proper("Ada King <countess@example.org>", MAILMAP) == "Ada Lovelace <ada@example.org>"
    assert people.proper("Benny <ben@old.example>", MAILMAP) == "Benny <ben@example.org>"
    assert people.proper("root", MAILMAP) == "root"
