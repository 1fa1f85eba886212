"""The record of a model's decisions on a terminal: what each column is, and what a person said."""

from __future__ import annotations

from nbledger.commands.rollback import listed
from nbledger.core.mlflow_decisions import Entry
from nbledger.keeper.rollback import Decisions

AT = "2026-11-26T11:33:18.346Z"


def entry(n: int, kind: str, text: str, **more: object) -> Entry:
    return Entry(kind, "champion", "2", n=n, at=AT, by="Ada", text=text, **more)  # type: ignore[arg-type]


def test_what_is_said_and_what_is_not() -> None:
    found = Decisions(
        "wine",
        (
            entry(1, "promote", "gate release", condition="accuracy > 0.8"),
            entry(2, "refused", "gate release", condition="accuracy > 0.8", reasons=tuple("abcdef")),
            entry(3, "refused", "not on a Friday"),
            entry(4, "pending", "waits for 1 until 2026-12-03T11:33:18.346Z"),
            entry(5, "approved", "1 of 1: fine"),
            entry(6, "expired", "", reasons=("it expired at 2026-12-03T11:33:18.346Z",)),
            entry(7, "approved", "1 of 2, by a review of #5"),
        ),
        {"champion": "2"},
    )
    lines = listed(found).splitlines()
    assert lines[0].split() == ["#", "when", "(UTC)", "decision", "alias:", "version,", "run", "by"]
    assert lines[1].startswith("   1  2026-11-26 11:33:18  promote   champion: version 2  Ada")
    said = [line.strip() for line in lines[1:] if line.startswith("      ")]
    assert said == [
        "gate release",
        *"abcde",
        "and 1 more reason",
        "gate release",
        "“not on a Friday”",
        "waits for 1 until 2026-12-03 11:33 UTC",
        "1 of 1: “fine”",
        "it expired at 2026-12-03 11:33 UTC",
        "1 of 2, by a review of #5",
    ]
    assert listed(Decisions("wine", (), {})).splitlines() == [
        "nothing has been decided about it",
        "no alias points at a version",
    ]
