"""A run records what MLflow cannot hold: NaN and infinities, a parameter of 7,000 characters, a tag of 9,000, names with
`= [ ] , %`, an empty one, `..`, a line break, 300 characters; and in another run 10,000 parameters under such names. Then
a metric, a parameter's row and a tag are changed in the store.

nbledger logs what MLflow takes, says each change in a notice (thousands in one line), and reads back every value exactly
from its own manifest: `nbledger show --json`, `nbledger compare`. Of later changes `show` says which they are. The plain
way is `mlflow.log_metric`, `log_param` and `log_batch`, read back by `MlflowClient`.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ledger
from kernels import Kernel, kernel

pytestmark = pytest.mark.timeout(1200)  # in full, on a busy machine

NAMES = (
    *("a=b", "a[0", "a]", "a,b", "50%", "", "..", "../up", ".", "/abs", "line\nbreak", "tail\n"),
    *("n" * 300, "n" * 299 + "m", "a_b", "naïve", "a//b"),
)
"""All but `a_b` and `naïve` are illegal in MLflow, and `a_b` is what `a=b` becomes there."""
NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan, "most": 1.7976931348623157e308, "least": 5e-324}
LONG, TAG = "x" * 6_500 + "y" * 500, "t" * 9_000
RECORDING = f"""%%mlrun odd
from nbledger import log
from nbledger.keeper import recorder
run, names = recorder.current(), {NAMES!r}
log(step=0, **{{name: number / 3 for number, name in enumerate(names)}})
log(step=0, **{{name: float(text) for name, text in {[(k, repr(v)) for k, v in NUMBERS.items()]!r}}})
log(loss=0.25, step=1); log(loss=0.125, step=2)
run.log_params({{name: name for name in names}} | {{"long": {LONG!r}}})
run.log_tags({{"big": {TAG!r}}})
"""


def test_every_value_comes_back_exactly(
    project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    with kernel(project) as k:
        assert k.run(RECORDING).status == "ok"
        other = LONG[:-1] + "z"
        cell = "from nbledger.keeper import recorder\nrecorder.current().log_params({'long': " + repr(other) + "})"
        assert k.run("%%mlrun other\n" + cell).status == "ok"
        ledger.flush(project)
        many = ten_thousand_parameters(project, k, count(10_000, 2_000))
    found = shown(project)
    numbers = {name: number / 3 for number, name in enumerate(NAMES)} | NUMBERS | {"loss": 0.125}
    assert {k: float(v) for k, v in found["metrics"].items() if k != "nan"} == {
        k: v for k, v in numbers.items() if k != "nan"
    }
    assert found["metrics"]["nan"] == "nan"
    assert found["params"] == {name: name for name in NAMES} | {"long": LONG}
    assert found["edited"] == []
    store = ledger.run(project, "odd").data
    changed = [name for name in NAMES if name != "naïve"]
    for name in changed:  # one notice a thing, whatever it is the name of
        assert sum(f" {name!r} is called " in notice for notice in found["notices"]) == 1, name
    for words in ("'inf' is inf", "'-inf' is -inf", "'long' has 7000 characters", "'big' has 9000 characters"):
        assert sum(words in notice for notice in found["notices"]) == 1, words
    assert len(found["notices"]) == len(changed) + 4
    assert (len(store.params["long"]), len(store.tags["big"])) == (6000, 8000)
    assert len(store.params) == len(found["params"])
    assert len(store.metrics) == len(found["metrics"])  # no two became one
    told = json.loads(cli(project, "compare", "odd", "other", "--json").stdout)
    assert told["params"]["long"] == [LONG, other]  # equal in the store
    exact = len(numbers) + len(found["params"])
    seen(f"{exact} of {exact} values exact, {len(changed) + 4} notices; {many}")
    changed_later(project)


def changed_later(project: Path) -> None:
    """The store is edited: by MLflow's own calls, and behind its back where it forbids them."""
    import sqlite3

    api, run = ledger.client(ledger.uri(project)), ledger.run(project, "odd")
    api.log_metric(run.info.run_id, "loss", 99.0, step=3)
    api.set_tag(run.info.run_id, "nbledger.dirty", "true")
    with contextlib.closing(sqlite3.connect(project / ".nbledger" / "mlflow.db")) as database, database:
        database.execute("update params set value = 'else' where key = 'naïve'")
    found = shown(project)
    assert (found["metrics"]["loss"], found["params"]["naïve"]) == (0.125, "naïve")
    said = "\n".join(found["edited"])
    assert len(found["edited"]) == 3, said
    for words in ("'loss' was changed from 0.125 to 99.0", "'naïve' was changed", "'nbledger.dirty' was changed"):
        assert words in said
    assert "changed in the store since the run ended" in cli(project, "show", "odd").stdout


def ten_thousand_parameters(project: Path, k: Kernel, many: int) -> str:
    cell = f"recorder.current().log_params({{f'p[{{i}}]': i for i in range({many})}})"
    assert k.run(f"%%mlrun many\nfrom nbledger.keeper import recorder\n{cell}").status == "ok"
    begun = time.monotonic()
    assert "published" in ledger.flush(project)
    took = time.monotonic() - begun
    found = shown(project, "many")
    assert found["params"] == {f"p[{i}]": str(i) for i in range(many)}
    assert len(ledger.run(project, "many").data.params) == many
    (summary,) = [line for line in found["notices"] if line.startswith("and ")]
    assert f"{many - 20:,} of a parameter" in summary
    assert len(found["notices"]) == 21
    return f"{many:,} of {many:,} parameters exact, published in {took:.1f} s, one line for {many - 20:,} notices"


def shown(project: Path, name: str = "odd") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli(project, "show", name, "--json").stdout)
    return found


def cli(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)


def test_plain_mlflow(folder: Path, plain: Callable[[bool, str], None]) -> None:
    import mlflow
    from mlflow.entities import Param

    api = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'plain.db'}")
    run = api.create_run(api.create_experiment("plain", artifact_location=(folder / "a").as_uri())).info.run_id
    api.log_metric(run, "inf", math.inf)
    api.log_param(run, "long", LONG)
    dropped = 0
    for name in NAMES:
        try:
            api.log_batch(run, params=[Param(f"good{len(name)}", "1"), Param(name, name)])
        except mlflow.MlflowException:
            dropped += 1
    begun = time.monotonic()
    for start in range(0, 2_000, 100):
        api.log_batch(run, params=[Param(f"p{i}", str(i)) for i in range(start, start + 100)])
    took = 5 * (time.monotonic() - begun)
    data = api.get_run(run).data
    exact = data.metrics["inf"] == math.inf and data.params["long"] == LONG and not dropped
    said = (
        f"infinity is read back as {data.metrics['inf']:.4g}, {len(data.params['long']):,} of 7,000 characters, without"
    )
    said += f" a word; {dropped} of {len(NAMES)} names refused, each with its whole batch; 10,000 parameters in {took:.0f} s"
    plain(exact, said)
