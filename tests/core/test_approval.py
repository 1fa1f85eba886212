"""Who counts as another person, and what the tags of a waiting version say, read back from whatever stands there."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbledger.core import approval
from nbledger.core.approval import Asking, Given, Identity, Party, Pending

NOW = dt.datetime(2026, 11, 26, 6, 40, tzinfo=dt.UTC)
ADA = Identity("Ada Lovelace <Ada@Example.org>", "ada", checked=True)


def waiting(**more: Any) -> Pending:
    asking = Asking(
        model="wine",
        version="3",
        alias="champion",
        previous="1",
        run_id="ab" * 16,
        run_name="forest",
        manifest="cd" * 32,
        condition="accuracy > 0.8",
        figures={"accuracy": 0.91, "champion.accuracy": 0.9},
        needed=2,
    )
    found = approval.asked(asking, ADA, [Party("Cleo <cleo@x.org>", "made the run", ("cleo@x.org",))], NOW)
    return replace(found, **more)


@pytest.mark.parametrize(
    ("mine", "why"),
    [
        (Identity("Ben <ben@example.org>", "ben", checked=True), ""),
        (Identity("Ben <ben@example.org>", "root"), ""),
        (Identity("", "ben", checked=True), ""),
        # Ada, however she calls herself
        (ADA, "asked for"),
        (Identity("Ben <ben@example.org>", "ada", checked=True), "asked for"),
        (Identity("Ben <ben@example.org>", "ADA"), "asked for"),
        (Identity("Ben <ada@EXAMPLE.org>", "ben", checked=True), "asked for"),
        (Identity("ada  lovelace <al@home.example>", "ben", checked=True), "asked for"),
        (Identity("A. L. <17+ada@users.noreply.github.com>", "root"), "asked for"),
        (Identity("A. L. <17-ada@users.noreply.gitlab.com>", "root"), "asked for"),
        (Identity("A. L. <17-ada@users.noreply.github.com>", "root"), ""),  # there that is a login
        (Identity("C <CLEO@x.org>", "c", checked=True), "made the run"),
        # nobody that can be told from others
        (Identity("", "root"), "not known who you are"),
        (Identity("", "runner"), "not known who you are"),
        (Identity("", ""), "not known who you are"),
        (Identity("root <>", "unknown"), "not known who you are"),
    ],
)
def test_who_may_approve(mine: Identity, why: str) -> None:
    said = approval.why_not(waiting(), mine.keys)
    assert why in said
    assert bool(why) == bool(said)


def test_what_images_give_to_everybody_makes_nobody_the_same() -> None:
    one, other = Identity("Jovyan <a@x.org>", "jovyan"), Identity("Jovyan <b@x.org>", "jovyan")
    assert not set(one.keys) & set(other.keys)
    assert Identity("", "jovyan", checked=True).keys == ("jovyan",)  # a login that the server knows is one
    tags = {"nbledger.author": "Ada <ada@x.org>", "mlflow.user": "root"}
    assert approval.made_by(tags) == ("Ada <ada@x.org>", ("ada", "ada@x.org"))
    assert approval.made_by({"mlflow.user": "root"}) == ("root", ())
    assert approval.made_by({}) == ("", ())


def test_two_approvals_of_one_person_are_one() -> None:
    found = approval.with_approval(waiting(), Given("Ben <ben@example.org>", "…", ("ben", "ben@example.org")))
    assert not found.enough
    again = Identity("Benjamin <ben@example.org>", "bb", checked=True)
    assert approval.given_by(found, again.keys) is not None
    assert approval.given_by(found, ("dora", "dora@example.org")) is None
    assert approval.with_approval(found, Given("Dora", "…", ("dora",))).enough


def test_it_expires() -> None:
    found = waiting()
    assert found.expires == "2026-12-03T06:40:00.000Z"
    assert not approval.over(found, NOW + dt.timedelta(days=6.9))
    assert approval.over(found, NOW + dt.timedelta(days=7))
    assert approval.over(replace(found, expires="whenever"), NOW)  # what cannot be read is over
    assert approval.before(NOW - dt.timedelta(minutes=2), found.at)
    assert not approval.before(NOW - dt.timedelta(seconds=30), found.at)  # clocks differ


def tags_of(found: Pending) -> dict[str, str]:
    return {approval.TAGS + key: text for key, text in approval.to_tags(found).items()}


def test_the_tags_say_it_all() -> None:
    given = Given("Ben", "…", ("ben",), "merge", "fine\n```", "ab" * 20, "origin/main")
    found = approval.with_approval(waiting(previous=None), given)
    found = replace(found, state=approval.APPROVED, settled="approved by Ben")
    tags = tags_of(found)
    assert all(isinstance(text, str) and text for text in tags.values())
    assert approval.from_tags("wine", "3", tags) == found
    assert approval.same(found, replace(found, at="later", approved=(), state=approval.PENDING))
    assert not approval.same(found, replace(found, manifest="other"))
    many = Asking("m", "1", "a", None, "r", "n" * 1000, "m", "c" * 2500, {f"{n}" * 200: 0.5 for n in range(99)}, 1)
    long = Identity("\udc80\0 " * 3000 + "<e@x.org>", "e" * 3000, checked=True)
    crowd = [Party(long.text, "wrote the run's code", long.keys)] * 60
    written = approval.with_approval(
        approval.asked(many, long, crowd, NOW), Given(long.text, "…", long.keys, text="ü" * 9000)
    )
    tags = tags_of(written)
    assert max(map(len, tags.values())) < 5000
    for text in tags.values():
        text.encode()  # no lone surrogate, which PostgreSQL refuses
    back = approval.from_tags("m", "1", tags)
    assert back is not None
    assert len(back.parties) == 61
    del tags[approval.TAGS + "party.007"]
    assert approval.from_tags("m", "1", tags) is None  # whose name was taken away could approve


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [approval.TAGS + key for key in ("state", "asked", "given.001", "given.002", "party.001", "settled", "x")]
        ),
        st.one_of(
            st.text(max_size=50),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=9)),
                lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner)),
                max_leaves=9,
            ).map(json.dumps),
        ),
        max_size=6,
    )
)
def test_tags_that_anybody_wrote_are_read_or_are_nothing(tags: dict[str, str]) -> None:
    whole = tags_of(approval.with_approval(waiting(), Given("Ben", "…", ("ben",))))
    for found in (approval.from_tags("m", "1", tags), approval.from_tags("m", "1", whole | tags)):
        assert found is None or (isinstance(found, Pending) and found.needed >= 1)
