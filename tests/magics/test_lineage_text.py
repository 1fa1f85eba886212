"""A lineage as text: in a notebook, where a form of it was asked for, and in words on a terminal."""

from __future__ import annotations

import re

from nbledger.commands import lineage_text
from nbledger.commands.answer import Answer
from nbledger.core.ancestry_graph import Ancestry, Node
from nbledger_magics.display import Shown

FOUND = Ancestry(
    "m/1",
    roots=("model:m/1",),
    nodes=(
        Node("model:m/1", "model", "m/1", name="m", version="1"),
        *(Node(f"run:{n}", "run", "train", 1, run_id=f"{n}" * 8) for n in (1, 2)),
        *(Node(f"stage:{n}", "stage", "train", 1, source="dvc.yaml", cmd="python train.py") for n in (1, 2)),
        Node("run:3", "run", "pipeline", 1, run_id="33333333"),
        *(Node(f"data:{n}", "data", f"{n}.csv", 1, path=f"{n}.csv") for n in (1, 2)),
    ),
    edges=(
        {"from": "run:1", "to": "model:m/1", "how": "logged"},
        {"from": "stage:1", "to": "run:1", "how": "declared"},
        {"from": "stage:2", "to": "run:2", "how": "declared"},
        {"from": "run:3", "to": "run:1", "how": "held"},
        {"from": "run:1", "to": "data:1", "how": "wrote 2 files of (as did 3 other runs)"},
        {"from": "run:2", "to": "data:2", "how": "wrote"},
    ),
)


def test_a_notebook_shows_the_text_that_was_asked_for() -> None:
    tree = lineage_text.tree(FOUND) + "\n  <script>"
    view = Shown(Answer(FOUND, tree, plain=True))._repr_html_()
    assert "<pre>m/1 comes from" in view
    assert "\n  &lt;script&gt;</pre>" in view
    assert "<svg" not in view
    assert "<svg" in Shown(Answer(FOUND, tree))._repr_html_()


def test_the_words_of_a_table_and_a_tree() -> None:
    table = lineage_text.lineage(FOUND).splitlines()
    assert [line.split("train  ", 1)[1].strip() for line in table if " stage " in line] == [
        "dvc.yaml, of 11111111, python train.py",
        "dvc.yaml, of 22222222, python train.py",
    ]
    assert any("2 files by train 11111111 (as did 3 other runs)" in line for line in table)
    assert any(line.endswith("by train 22222222") for line in table)
    assert "run pipeline · 33333333 (of which it is a part)" in lineage_text.tree(FOUND)


def test_no_line_of_the_drawing_goes_behind_a_box() -> None:
    made = [Node("m", "model", "wine/3", name="wine", version="3")]
    edges: list[tuple[str, str]] = []
    for age in range(3):  # what was read and written at once, and far later
        made += [
            Node(f"train {age}", "run", "train", run_id=f"{age}" * 8),
            Node(f"code {age}", "code", "3f2a1b"),
            Node(f"file {age}", "data", "wine.csv"),
            Node(f"model {age}", "data", "model.pkl"),
        ]
        edges += [(f"{kind} {age}", f"train {age}") for kind in ("code", "file")]
        edges += [(f"train {age}", f"model {age}"), (f"file {age}", "m"), (f"code {age}", "m"), (f"model {age}", "m")]
        edges += [(f"model {age - 1}", f"train {age}")] if age else []
    found = Ancestry(
        "m", roots=("m",), nodes=tuple(made), edges=tuple({"from": a, "to": b, "how": ""} for a, b in edges)
    )
    view = Shown(Answer(found, ""))._repr_html_()
    number = r"([\d.]+)"
    box = re.compile(rf'<rect x="{number}" y="{number}" width="{number}" height="{number}"')
    boxes = [tuple(map(float, found)) for found in box.findall(view)]
    lines = re.findall(r'<path d="(.*?)"', view)
    level = [
        (float(start), float(y), float(end))
        for line in lines
        for start, y, end in re.findall(rf"{number} {number}H{number}", line)
    ]
    assert (len(boxes), len(lines)) == (len(made), len(edges))
    assert len(level) > len(made)
    for start, y, end in level:
        assert not [x for x, top, wide, high in boxes if x < end and start < x + wide and top - 3 < y < top + high + 3]
    places = {tuple(box[:2]) for box in boxes}
    assert len(places) == len(boxes)
