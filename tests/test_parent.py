"""``runs --parent``: the runs inside a run, from the store's tables and from a server; what is looked at, said and drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import ledger
from magics.test_display import HOSTILE, elements
from nbledger.commands import sweep_text, tree
from nbledger.commands.answer import Answer, Face
from nbledger.core import children, mlflow, runs, scales, sweepview, trust
from nbledger.core.children import Family
from nbledger.core.errors import UsageError
from nbledger.core.project import find
from nbledger.core.records import RunRow
from nbledger_magics.display import Shown
from servers import mlflow_server

TAGS = {
    "style", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "b", "pre",
    "svg", "title", "circle", "path", "line", "polyline", "rect", "text",
}  # fmt: skip
LR = ("0.0001", "0.001", "0.01", "0.1", "1.0")


def row(number: int, status: str = "FINISHED", **fields: Any) -> RunRow:
    start = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    name = fields.pop("name", f"run-{number}")
    return RunRow(f"{number:08x}" * 4, name, status, "wine", start, start, None, None, None, None, **fields)


def accuracy(lr: str, depth: int = 6) -> float:
    return 0.9 - 0.05 * (math.log10(float(lr)) + 2) ** 2 - 0.01 * abs(depth - 6)


def looked(rows: list[RunRow], metric: str = "", sort: str = "", limit: int = 50, **tags: str) -> sweepview.Sweep:
    parent = RunRow("f" * 32, "tuning", "FINISHED", "wine", None, None, None, None, None, None, tags=tags)
    return sweepview.looked(Family(parent, tuple(rows)), metric, sort, limit)


def grid(depths: range = range(3, 11)) -> list[RunRow]:
    points = [(lr, depth) for lr in LR for depth in depths]
    return [
        row(i, params={"lr": lr, "depth": str(d), "same": "1"}, metrics={"accuracy": accuracy(lr, d), "seconds": 1.0})
        for i, (lr, d) in enumerate(points)
    ]


def markup(found: sweepview.Sweep) -> str:
    return Shown(Answer(found, sweep_text.sweep(found)))._repr_html_()


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────────────


def test_the_best_run_stands_first_and_what_does_not_vary_is_left_out() -> None:
    found = looked(grid())
    assert (found.metric, found.params, found.shape) == ("accuracy", ("lr", "depth"), "map")
    assert found.best is found.runs[0] and found.best.params == {"lr": "0.01", "depth": "6", "same": "1"}
    heads = [c.head for c in sweep_text.columns(found)]
    assert heads[:5] == ["run", "lr", "depth", "accuracy", "seconds"]
    first = sweep_text.sweep(found).splitlines()[0]
    assert first == "tuning (ffffffff): 40 runs, finished; best accuracy 0.9 in 00000013 (lr=0.01, depth=6)"


@pytest.mark.parametrize(
    ("sort", "first"),
    [("lr", "10"), ("+lr", "0.0001"), ("params.lr", "10"), ("+accuracy", "10"), ("accuracy", "0.01"), ("start", "10")],
)
def test_sorted_by_a_metric_or_a_parameter_as_numbers(sort: str, first: str) -> None:
    values = ("2", "0.0001", "0.01", "0.1", "10")
    rows = [row(i, params={"lr": lr}, metrics={"accuracy": accuracy(lr)}) for i, lr in enumerate(values)]
    assert looked(rows, sort=sort).runs[0].params["lr"] == first


def test_the_sweep_says_which_way_is_better_and_of_which_metric() -> None:
    rows = [row(i, params={"n": str(i)}, metrics={"accuracy": i / 9, "cost": 9.0 - i}) for i in range(9)]
    assert looked(rows).best is not None and looked(rows).runs[0].params["n"] == "8"
    least = looked(rows, **{sweepview.OBJECTIVE: "minimize accuracy"})
    assert least.runs[0].params["n"] == "0" and least.best is least.runs[0]
    unsaid = looked(rows, "cost")
    assert unsaid.best is None and "which way cost is better is not known" in sweep_text.sweep(unsaid)
    assert looked(rows, "cost", "+cost").runs[0] is looked(rows, "cost", "+cost").best


def test_only_a_run_that_finished_with_a_number_has_a_place() -> None:
    rows = [row(i, params={"n": str(i)}, metrics={"loss": float(i)}) for i in range(1, 7)]
    rows += [
        row(7, "FAILED", params={"n": "7"}, metrics={"loss": 0.0}),
        row(8, "KILLED", params={"n": "8"}, metrics={"loss": 0.0}, tags={"nbledger.pruned": "3"}),
        row(9, params={"n": "9"}, metrics={"loss": math.nan}),
        row(10, params={"n": "10"}, metrics={"loss": -math.inf}),
        row(11, params={"n": "11"}),
    ]
    found = looked(rows)
    assert found.best is not None and found.best.params["n"] == "1"
    assert sum(found.losses().values()) == 5
    note = next(line for line in sweep_text.sweep(found).splitlines() if line.startswith("without a value"))
    assert {"1 failed", "1 pruned", "1 loss is nan", "1 loss is -inf", "1 no loss"} == set(
        note.split(": ")[1].split(", ")
    )
    shown = markup(found)
    assert shown.count('class="lost"') == 5 and shown.count('class="dot"') == 6 and shown.count('class="best"') == 1


def test_what_there_is_not_is_said_with_what_there_is() -> None:
    rows = grid(range(5, 7))
    with pytest.raises(UsageError, match="a metric 'acuracy'") as told:
        looked(rows, "acuracy")
    assert "accuracy" in told.value.hint
    with pytest.raises(UsageError, match="metric or parameter 'dept'"):
        looked(rows, sort="dept")
    assert sweep_text.sweep(looked([])) == "no run is inside tuning (ffffffff)"
    inside = looked([], **{"mlflow.parentRunId": "ab" * 16})
    assert sweep_text.sweep(inside).endswith("it is itself inside abababab: --parent abababab")
    assert "no run is inside" in markup(inside)


# ── scales ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_values_spread_over_decades_stand_on_a_logarithmic_axis_at_even_distances() -> None:
    axis = scales.axis("lr", LR)
    assert axis.log and axis.places == pytest.approx((0, 0.25, 0.5, 0.75, 1))
    assert [label for _, label in axis.ticks] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert not scales.axis("n", [str(n) for n in range(1, 101)]).log
    assert not scales.axis("n", ["-1", "0", "1000"]).log
    assert scales.axis("n", ["16", "32", "64", "128", "256", "512"]).log


def test_names_and_numbers_on_one_axis_are_categories_numbers_first() -> None:
    axis = scales.axis("max_depth", ["None", "10", "2", None, "1e1"])
    assert axis.bands == ("2", "10", "None", "—") and axis.band == (2, 1, 0, 3, 1)
    many = scales.axis("x", [*map(str, range(50)), "None"])
    assert many.places[-1] == 1.0 and max(many.places[:-1]) < 0.9 and many.ticks[-1] == (1.0, "None")
    names = scales.axis("m", [f"model {n % 40}" for n in range(100)])
    assert len(names.bands) == 20 and names.bands[-1] == "others"


def test_a_few_values_far_from_all_others_do_not_flatten_them_unless_they_are_the_best() -> None:
    values = [n / 10 for n in range(1, 20)]
    assert scales.scale([*values, 1e9], better=-1).high < 2
    assert scales.scale([*values, 1e9], better=1).high == 1e9
    assert scales.scale([*values, 1e9, -1e9]).beyond(-1e9)
    assert scales.scale([1e-6, 1e-4, 1e-3, 1e-2, 10.0], better=-1).log
    for odd in ([5.0], [5.0, 5.0], [-1.7e308, 1.7e308], [0.0, 5e-324]):
        found = scales.scale(odd)
        assert all(0 <= found.place(v) <= 1 for v in odd) and found.ticks()


def test_the_parameter_that_a_metric_depends_on_is_drawn_first() -> None:
    rows = [
        row(
            i,
            params={"noise": str(i * 7919 % 97), "seed": str(i % 5), "lr": LR[i % 4]},
            metrics={"accuracy": accuracy(LR[i % 4])},
        )
        for i in range(60)
    ]
    assert looked(rows).telling[0] == "lr"


# ── drawn and printed ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_hostile_name_is_inert_and_clipped_everywhere(name: str, count: int) -> None:
    keys = [f"{name}{'x' * i}" for i in range(count)]

    def params(i: int) -> dict[str, str]:
        return {k: f"{name}{i * (n + 1) % 5}" for n, k in enumerate(keys)}

    rows = [row(i, name=name, params=params(i), metrics={name: float(i), "b": 1.0}) for i in range(12)]
    found = looked(rows, name, name)
    shown, plain = markup(found), sweep_text.sweep(found)
    assert {tag for tag, _ in elements(shown)} <= TAGS
    assert not [k for _, given in elements(shown) for k in given if k.startswith("on") or k in ("src", "href", "id")]
    for text in (shown, plain):
        assert "\u202e" not in text and "\x1b" not in text
    assert len(shown) < 80_000 and max(map(len, plain.splitlines())) < 600


def test_nothing_is_drawn_of_one_value_and_a_plain_strip_where_nothing_varies() -> None:
    assert "<svg" not in markup(looked([row(1, metrics={"loss": 1.0})]))
    assert looked([row(i, metrics={"loss": 1.0 / (i + 1)}) for i in range(5)]).shape == "order"
    assert "<svg" not in markup(looked([row(1, "FAILED"), row(2, "FAILED")]))


@pytest.mark.parametrize("count", [1000, 10_000])
def test_many_runs_stay_small(count: int) -> None:
    def params(i: int) -> dict[str, str]:
        return {
            "lr": f"{10 ** -(i * 0.618 % 4):.6f}",
            "depth": f"{i % 9}",
            "dropout": f"{i * 0.414 % 1:.3f}",
            "opt": "ab"[i % 2],
        }

    found = looked([row(i, params=params(i), metrics={"loss": i * 0.733 % 1}) for i in range(count)])
    assert found.shape == "panels" and markup(found).count("<svg") == 4
    assert len(markup(found)) < 250_000
    assert markup(found).count("<tr") == 51 and f"the first 50 of {count:,} runs" in sweep_text.sweep(found)
    assert len(sweep_text.sweep(found).splitlines()) < 110


def test_bars_tell_the_median_by_each_value() -> None:
    lines = sweep_text.sweep(looked(grid(), limit=3)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == ["lr"])
    body = {line.split()[0]: line.count("█") for line in lines[at + 2 : at + 7]}
    assert max(body, key=lambda k: body[k]) == "0.01" and body["0.0001"] == body["1"] < body["0.001"]


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────


def nested(where: str, experiment: str) -> str:
    """By plain MLflow: a sweep of four notebooks, each with a tracked cell that measures; and a run that is alone."""
    api = ledger.client(where)
    found = api.get_experiment_by_name(experiment)
    place = found.experiment_id if found else api.create_experiment(experiment)

    def run(name: str, parent: str = "", status: str = "FINISHED", **metrics: float) -> str:
        made = api.create_run(place, run_name=name, tags={"mlflow.parentRunId": parent} if parent else {}).info.run_id
        for key, value in metrics.items():
            api.log_metric(made, key, value)
        api.set_terminated(made, status)
        return str(made)

    older = run("older")
    run("child of older", older, loss=1.0)
    parent = run("tuning")
    for number in range(4):
        child = run(f"train-{number}", parent, "FAILED" if number == 3 else "FINISHED", seconds=1.0)
        api.log_param(child, "n", number)
        if number != 3:
            cell = run("cell", child, accuracy=number / 10)
            run("within the cell", cell, f1=1.0)
    run("alone")
    return parent


def asked(*words: str) -> Answer:
    """What ``nbledger runs`` answers, in this process."""
    found = tree.run(["runs", *words], Face())
    assert found is not None and found.code == 0
    return found


def test_children_from_the_stores_tables(project: Path) -> None:
    here = find(project)
    mlflow.ensure_embedded(here)
    parent = nested(ledger.uri(project), here.experiment)
    _same_family(here, parent)
    rows = asked("--parent", "tuning", "--json").data
    assert [r.params["n"] for r in rows] == ["2", "1", "0", "3"]
    assert rows[0].metrics == {"seconds": 1.0, "accuracy": 0.2}
    shown = asked("--parent", parent[:8], "--metric", "seconds").text
    assert "4 runs, 3 finished, 1 failed" in shown and "by seconds" in shown
    assert len(asked("--parent", "alone").text.splitlines()) == 1
    assert asked("--parent", "tuning", "no-such").text == f"no run inside tuning ({parent[:8]}) matches"
    for words, said in (
        (("--parent", "tunin"), "there is no run 'tunin'"),
        (("--parent", "tuning", "--metric", "acc"), "none of these runs has a metric 'acc'"),
        (("--metric", "accuracy"), "--metric goes with --parent"),
    ):
        with pytest.raises(UsageError, match=said):
            asked(*words)


@pytest.mark.slow
def test_children_of_a_server(project: Path, tmp_path: Path) -> None:
    """The same by MLflow's own search, which is all that a server offers."""
    with mlflow_server(tmp_path, f"sqlite:///{tmp_path / 'shared.db'}") as server:
        (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "shared"\n')
        trust.trust(find(project))  # else a server that the project names is not asked
        _same_family(find(project), nested(server.uri, "shared"))


def _same_family(here: Any, parent: str) -> None:
    for name in (parent, parent[:10], "tuning", "@last"):
        family = children.of(here, name)
        assert family.parent.run_id == parent and not family.filtered
        assert [r.name for r in family.runs] == [f"train-{n}" for n in range(4)], name
        assert [r.metrics.get("accuracy") for r in family.runs] == [0.0, 0.1, 0.2, None]
        assert all("f1" not in r.metrics for r in family.runs), "of the cells, not of what is inside them"
    assert children.of(here, "@last~1").parent.name == "older"
    with pytest.raises(UsageError, match="no run @last~2 that holds others: 2 runs hold others"):
        children.of(here, "@last~2")
    assert [r.name for r in children.of(here, "tuning", "params.n = '2'").runs] == ["train-2"]
    assert [r.name for r in children.of(here, "tuning", "train-1").runs] == ["train-1"]
    sidebar = runs.matching(here, f"tags.mlflow.parentRunId = '{parent}'", 100)  # as its filter asks
    assert sorted(sidebar) == sorted(r.run_id for r in children.of(here, "tuning").runs)
    assert children.of(here, "tuning", experiment="other").runs == () and children.of(here, "alone").runs == ()
