"""What ``--sweep`` understands, what it makes of it, and what it refuses: pure."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nbledger.core import batch, sweep
from nbledger.core.errors import UsageError
from nbledger.core.search import Past, Study
from nbledger.core.sweep import Search, axis_of, grid, sample
from nbledger.keeper.searching import judged


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.1,0.01", (0.1, 0.01)),
        ("n=3..6", (3, 4, 5, 6)),
        ("n=0..10..5", (0, 5, 10)),
        ("n=0..9..5", (0, 5)),
        ("n=-2..1", (-2, -1, 0, 1)),
        ("n=5..1..-2", (5, 3, 1)),
        ("n=7", (7,)),
        ("n=3..3", (3,)),
        ("x=0.1..0.5..0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("x=1..2..0.25", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("x=1e-3..3e-3..1e-3", (0.001, 0.002, 0.003)),
        ("n=1,2,8..10", (1, 2, 8, 9, 10)),
        ("w=relu, tanh", ("relu", "tanh")),
        ("w=true,False,None,null", None),
        ("w=True,null,x", (True, None, "x")),
        ("w='a,b',c", ("a,b", "c")),
        ('w="a,b",c,"1"', ("a,b", "c", "1")),
        ('w="",x', ("", "x")),
        ("w=it's,that's", ("it's", "that's")),
        ("path=../a.csv,../b..c.csv", ("../a.csv", "../b..c.csv")),
        ("m=[[1,2],[3]]", ([1, 2], [3])),
        ("m=[1,2],[3]", ([1, 2], [3])),
        ('m={"a": 1, "b": 2},{}', ({"a": 1, "b": 2}, {})),
        ('w=["a, b", 1]', ("a, b", 1)),
        ("w=1,1.0,true", (1, 1.0, True)),
        ("w=a=b,c=d", ("a=b", "c=d")),
        ("größe=1", (1,)),
        ("w=NaN,inf", ("NaN", "inf")),
    ],
)
def test_values(text: str, values: tuple[Any, ...] | None) -> None:
    if values is None:
        with pytest.raises(UsageError, match="null stands twice"):
            axis_of(text)
        return
    found = axis_of(text).values
    assert found == values
    assert list(map(type, found or ())) == list(map(type, values))


@pytest.mark.parametrize(
    ("text", "low", "high", "log"),
    [("lr=1e-4..1e-1:log", 1e-4, 0.1, True), ("x=0..1.0", 0.0, 1.0, False), ("n=1..1000:log", 1, 1000, True)],
)
def test_ranges_without_steps(text: str, low: float, high: float, *, log: bool) -> None:
    axis = axis_of(text)
    assert (axis.values, axis.low, axis.high, axis.log) == (None, low, high, log)
    assert axis.whole == isinstance(low, int)
    with pytest.raises(UsageError, match=r"is no list of values.*STEP, or --sample N, or --search"):
        grid([axis])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["lr"], "sweeps nothing"),
        (["=1"], "sweeps nothing"),
        (["a b=1"], "sweeps nothing"),
        (["class=1"], "sweeps nothing"),
        (["lr="], "a value is empty"),
        (["lr=1,,2"], "a value is empty"),
        (["lr=1,"], "a value is empty"),
        (["lr=[]"], "has no values"),
        (["lr=1,2,1"], "lr: 1 stands twice"),
        (["lr=0.1,0.10"], "0.1 stands twice"),
        (["n=1..3,2"], "2 stands twice"),
        (["lr=1", "lr=2"], "lr stands twice"),
        (["n=10..3"], "write 3..10"),
        (["n=3..10..-1"], "the other sign"),
        (["n=3..10..0"], "no steps of 0"),
        (["n=1..1000000"], "has 1000000 values"),
        (["x=0..1..1e-9"], "has 1000000001 values"),
        (["x=0..1e-3:log"], "above 0"),
        (["x=1.0..0.5"], "nothing lies"),
        (["x=1e999..1e1000"], "nothing lies"),
        (["x=1..2..0.1:log"], "steps and :log"),
        (["x=0.1..0.5,7"], "has no steps"),
        (["x=1e999"], "too large"),
        (["w='a,b"], "a quote is not closed"),
        (["w=[1,"], "a bracket is not closed"),
        (["api_key=abcdef123,xyz"], "would keep secrets"),
        (["a=1..1000", "b=1..1000"], "has 1000000 points"),
    ],
)
def test_refused(said: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        grid(sweep.axes(said))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_has_every_point_once() -> None:
    points = grid(sweep.axes(["lr=0.1,0.01", "depth=3..5"]))
    assert points[:4] == [
        {"lr": 0.1, "depth": 3}, {"lr": 0.1, "depth": 4}, {"lr": 0.1, "depth": 5}, {"lr": 0.01, "depth": 3}
    ]  # fmt: skip
    assert len({json.dumps(p) for p in points}) == len(points) == 6
    with pytest.raises(UsageError, match="120000 points"):
        grid(sweep.axes(["a=1..200", "b=1..300"]), times=2)


def test_a_sample_is_the_same_for_a_seed_and_has_no_point_twice() -> None:
    axes = sweep.axes(["lr=0.1,0.01,0.001", "depth=3..10"])
    first = sample(axes, 20, 7)
    assert first == sample(axes, 20, 7) != sample(axes, 20, 8)
    assert len({json.dumps(p) for p in first}) == 20
    whole = sample(axes, 24, 1)
    assert sorted(map(str, whole)) == sorted(map(str, grid(axes)))
    with pytest.raises(UsageError, match="the grid has 24 points"):
        sample(axes, 25, 1)
    huge = sweep.axes([f"{name}=1..1000" for name in "abcdefg"])
    assert len({json.dumps(p) for p in sample(huge, 100, 1)}) == 100


def test_a_sample_of_ranges() -> None:
    axes = sweep.axes(["lr=1e-4..1e-1:log", "x=-1..1.5", "n=1..1000:log", "w=a,b"])
    points = sample(axes, 400, 3)
    assert points == sample(axes, 400, 3)
    logs = [math.log10(p["lr"]) for p in points]
    assert all(-4 <= v <= -1 for v in logs)
    assert sum(v < -2.5 for v in logs) == pytest.approx(
        200, abs=50
    )  # as many below the middle of the logarithm as above
    assert all(-1 <= p["x"] <= 1.5 and 1 <= p["n"] <= 1000 and isinstance(p["n"], int) for p in points)
    assert sum(p["n"] < 32 for p in points) == pytest.approx(200, abs=60)
    assert all(len(repr(p["lr"])) <= 12 for p in points)  # no digits that nobody asked for
    with pytest.raises(UsageError, match="there are about 2 points"):
        sample([axis_of("n=1..2:log")], 3, 1)


def test_labels_and_files_tell_the_points() -> None:
    tables = grid(sweep.axes(["lr=0.1,1e-05", "w='a/b',\"..\""]))
    tasks = batch.plan([("sub/train.ipynb", "d")], [{"fixed": 1, **t} for t in tables], "", "out", ("lr", "w"))
    assert [t.label for t in tasks] == [
        "train lr=0.1 w=a/b", "train lr=0.1 w=..", "train lr=1e-05 w=a/b", "train lr=1e-05 w=.."
    ]  # fmt: skip
    assert [t.output for t in tasks][:2] == ["out/train_lr=0.1_w=a_b.ipynb", "out/train_lr=0.1_w=.ipynb"]


def test_labels_of_a_stage_bear_its_name() -> None:
    tables = grid(sweep.axes(["lr=1,2"]))
    first, _ = batch.plan([("n.ipynb", "d")], tables, "train.v2", "out", ("lr",), "train.v2")
    assert (first.name, first.output, first.stage) == ("train.v2 lr=1", "out/train.v2_lr=1.ipynb", "train.v2")
    (one,) = batch.plan([("n.ipynb", "d")], [{}], "train.v2", "out", (), "train.v2")
    assert (one.name, one.output) == ("train.v2", "out/n.ipynb")


def test_labels_are_cut_and_told_apart() -> None:
    tables = [{"text": "x" * 400 + end, "n": n} for n, end in enumerate("ab")]
    tasks = batch.plan([("t.ipynb", "d")], tables, "", "out", ("text",))
    assert [t.label[-3:] for t in tasks] == ["…-1", "…-2"]
    assert all(len(t.label) < 100 for t in tasks)
    assert len({t.output for t in tasks}) == 2
    mixed = batch.plan([("t.ipynb", "d")], [{"w": "A"}, {"w": "a"}], "", "out", ("w",))
    assert len({str(t.output).lower() for t in mixed}) == 2  # some disks do not tell case


def test_a_chosen_point_is_read_from_the_journal() -> None:
    events: list[dict[str, Any]] = [
        {"t": "batch", "id": "b", "name": "n", "at": 1, "options": {"search": {"method": "optuna", "later": 1}}},
        {
            "t": "task",
            "number": 0,
            "notebook": "t.ipynb",
            "digest": "d",
            "name": "t-1",
            "label": "t-1",
            "params": {"k": 1},
        },
        {"t": "planned", "tasks": 1},
        {"t": "chosen", "number": 0, "params": {"lr": 0.5}, "label": "t-1 lr=0.5", "output": None},
        {"t": "begun", "number": 0, "journal": "j", "digest": "d"},
        {"t": "ended", "number": 0, "journal": "j", "status": "PRUNED", "metrics": {"loss": "nan", "acc": 0.5}},
    ]
    found = batch.folded(events)
    assert found is not None
    assert found.tasks[0].params == {"k": 1, "lr": 0.5}
    assert (found.tasks[0].name, found.unfinished) == ("t-1 lr=0.5", ())
    assert found.last_metrics(0)["acc"] == 0.5
    assert math.isnan(found.last_metrics(0)["loss"])
    assert batch.decide(found, {"t.ipynb": "d"}, retries=0, failed=True).todo == ()
    assert sweep.search_of(found.options.search) == Search(method="optuna")


def test_what_the_parent_says_of_a_sweep() -> None:
    search = Search(("lr=1e-4..1e-1:log",), ("lr",), "optuna", "loss", maximize=False, trials=9, seed=3, prune="median")
    assert search.tags() == {
        "nbledger.sweep": "lr=1e-4..1e-1:log",
        "nbledger.objective": "minimize loss",
        "nbledger.search": "optuna, 9 trials",
        "nbledger.seed": "3",
        "nbledger.pruner": "median",
    }
    assert search.better(0.1, 0.2)


# ── Optuna, real ─────────────────────────────────────────────────────────────────────────────────────────────

SPACE = ("lr=1e-4..1e-1:log", "depth=3..10", "f=0.1..0.5..0.1", "m=[1],[2,3]", "w=a,b")


def study(path: Path, **words: Any) -> Study:
    names = tuple(text.partition("=")[0] for text in SPACE)
    return Study(path, Search(SPACE, names, "optuna", "acc", trials=8, seed=1, **words), "b")


def trials(path: Path) -> list[Any]:
    """As Optuna's own tools read the file."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return optuna.load_study(study_name="b", storage=JournalStorage(JournalFileBackend(str(path)))).trials


def test_a_search_stays_within_its_space_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    first, second = study(tmp_path / "one"), study(tmp_path / "two")
    points = [first.ask(f"j{n}") for n in range(15)]
    assert points == [second.ask(f"j{n}") for n in range(15)]
    for point in points:
        assert 1e-4 <= point["lr"] <= 0.1 and 3 <= point["depth"] <= 10
        assert point["f"] in (0.1, 0.2, 0.3, 0.4, 0.5) and point["m"] in ([1], [2, 3]) and point["w"] in ("a", "b")


def test_a_search_among_few_points_tries_each_once(tmp_path: Path) -> None:
    said = ("a=1,2,3", "b=0.1..0.3..0.1", "m=[1],[2]")
    search = Search(said, ("a", "b", "m"), "optuna", "acc", trials=18, seed=1)
    going = Study(tmp_path / "o", search, "b")
    points = []
    for n in range(18):
        points.append(going.ask(f"j{n}"))
        going.end(Past(f"j{n}", points[-1], points[-1]["a"] + points[-1]["b"]))  # the best is where it would stay
    assert sorted(map(str, points)) == sorted(map(str, grid(sweep.axes(said))))
    told = [t.user_attrs.get("nbledger.journal") for t in trials(tmp_path / "o") if t.state.name == "COMPLETE"]
    assert told == [f"j{n}" for n in range(18)]


def test_a_study_that_was_cut_off_agrees_with_the_batch_again(tmp_path: Path) -> None:
    path = tmp_path / "optuna.jsonl"
    before = study(path)
    points = {name: before.ask(name) for name in ("done", "noted", "cut", "stopped")}
    before.end(Past("done", points["done"], 0.5))
    with open(path, "ab") as file:
        file.write(b'{"op_code":4,"trial')  # a line that a kill tore
    again = study(path)
    lost = Past("lost", points["cut"], 0.7)
    again.settle([Past("noted", points["noted"], 0.9), Past("stopped", {}, None, pruned=True), lost])
    told = {t.user_attrs["nbledger.journal"]: (t.state.name, t.value) for t in trials(path)}
    assert told == {
        "done": ("COMPLETE", 0.5),
        "noted": ("COMPLETE", 0.9),
        "cut": ("FAIL", None),
        "stopped": ("PRUNED", None),
        "lost": ("COMPLETE", 0.7),
    }
    assert again.ask("cut-2", points["cut"]) == points["cut"]
    fresh = again.ask("fresh")
    assert fresh not in points.values()  # a search that goes on does not begin anew
    again.end(Past("cut-2", points["cut"], 0.4))
    again.end(Past("fresh", fresh, math.nan))
    assert [t.state.name for t in trials(path)][-2:] == ["COMPLETE", "FAIL"]


def test_of_a_long_series_the_same_few_points_are_judged() -> None:
    points = [n for n in range(4096) if judged(n)]
    assert points[:32] == list(range(32))
    assert [sum(low <= n < 2 * low for n in points) for low in (32, 64, 1024, 2048)] == [16] * 4


def test_a_hopeless_series_is_told_from_a_good_one(tmp_path: Path) -> None:
    going = study(tmp_path / "o", prune="median")
    for name in ("a", "b"):
        params = going.ask(name)
        assert not any(going.report(name, step, 0.5 + step / 10) for step in range(4))
        going.end(Past(name, params, 0.9))
    going.ask("good")
    going.ask("bad")
    assert not going.report("good", 0, 0.6)
    assert going.report("bad", 0, 0.1)
