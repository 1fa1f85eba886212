"""A diff of notebooks that nbdime's views take: patched into the base it gives the other, outputs and ids apart."""

from __future__ import annotations

import json
import random
import time
from typing import Any

from nbdime.diff_utils import to_diffentry_dicts
from nbdime.patching import patch

from nbledger.core import notebookdiff

WORDS = ("a = 1", "b = a + 1", "print(a)", "def f(x):\n    return x\n", "for i in range(3):\n    f(i)", "# hi", "x", "")


def cell(source: str | list[str], ident: str | None = None, kind: str = "code") -> dict[str, Any]:
    made = {"cell_type": kind, "source": source, "metadata": {"tags": [ident]}, "outputs": [1], "execution_count": 3}
    return made | ({"id": ident} if ident else {})


def check(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The operations on the cells, after making sure that they are right."""
    base, diff = notebookdiff.diff({"cells": a}, {"cells": b})
    plain = json.loads(json.dumps([base, diff]))
    wanted, none = notebookdiff.diff({"cells": b}, {"cells": b})
    assert none == []
    assert patch(plain[0], to_diffentry_dicts(plain[1])) == wanted
    return diff[0]["diff"] if diff else []


def test_what_is_patched_is_the_other_notebook() -> None:
    rng = random.Random(1)
    for turn in range(400):
        sides = []
        for _ in range(2):
            ids = [rng.choice([None, "a", "b", "c"]) for _ in range(rng.randint(0, 7))]
            kinds = rng.choice([["code"], ["code", "markdown"]])
            sides.append([cell("\n".join(rng.choices(WORDS, k=rng.randint(0, 4))), i, rng.choice(kinds)) for i in ids])
        if turn % 2:
            sides[1] = [cell(c["source"] + rng.choice(["", "", "\nmore = 1"]), c.get("id")) for c in sides[0]]
            sides[1].insert(rng.randint(0, len(sides[1])), cell("new"))
        check(*sides)


def test_only_sources_are_a_difference_and_what_is_unlike_is_replaced() -> None:
    assert check([cell(["x = 1\n", "y"], "a")], [{"cell_type": "code", "source": "x = 1\ny", "outputs": []}]) == []
    (changed,) = check([cell("x = 1\ny = 2", "a")], [cell("x = 1\ny = 3", "b")])
    assert (changed["op"], changed["key"], changed["diff"][0]["key"]) == ("patch", 0, "source")
    assert [op["op"] for op in check([cell("import pandas", "a")], [cell("while True: go()", "b")])] == [
        "addrange",
        "removerange",
    ]
    assert [op["op"] for op in check([cell("x", "a")], [cell("x", "a", "markdown")])] == ["addrange", "removerange"]


def test_hundreds_of_cells_and_very_long_lines_take_no_minutes() -> None:
    begun = time.process_time()
    old = [cell(f"x{i} = {i}\n" * 20) for i in range(200)]
    check(old, [cell(f"z{i} = {i + 5}\n" * 20) for i in range(201)])
    found = check(old, [cell(c["source"] + "more") for c in old[:100]] + [cell("other")] + old[100:])
    assert len(found) == 101
    check([cell("ab" * 90_000 + "\nx")], [cell("b" * 900_000 + "\ny")])
    check([cell("\n".join(map(str, range(3000))))], [cell("\n".join(map(str, range(1, 9000, 3))))])
    assert time.process_time() - begun < 20  # nbdime alone: 60
