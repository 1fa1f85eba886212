"""What a cell names is recorded faithfully, or what could not be is said plainly."""

from __future__ import annotations

import json
import math
from pathlib import Path

from kernels import kernel
from ledger import artifact, client, run, uri
from nbledger.commands import detail
from nbledger.core.project import find
from nbledger.keeper import calls


def test_metrics_of_every_kind(project: Path) -> None:
    code = """%%mlrun kinds -m number -m scalar -m nested -m series -m array -m frame -m flag -m text
import numpy as np, pandas as pd
number, scalar, flag = 3, np.float32(0.5), True
nested = {"a": {"b": 1.5}, "c": np.int64(2)}
series, array = [3.0, 2.0, 1.0], np.array([1.0, 4.0])
frame = pd.Series({"x": 1.0, "y": 2.0})
text = "precision recall"
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok", cell
    found = run(project, "kinds")
    assert found.data.metrics == {
        "number": 3.0,
        "scalar": 0.5,
        "flag": 1.0,
        "nested.a.b": 1.5,
        "nested.c": 2.0,
        "series": 1.0,
        "array": 4.0,
        "frame.x": 1.0,
        "frame.y": 2.0,
    }
    history = client(uri(project)).get_metric_history(found.info.run_id, "series")
    assert sorted((m.step, m.value) for m in history) == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert artifact(project, found.info.run_id, "text.txt").read_text() == "precision recall"


def test_nan_infinity_illegal_names_and_long_values(project: Path) -> None:
    code = """%%mlrun odd -p long -p "a=b[0]%,=c" -m nan -m inf -m bad
nan, inf, long = float("nan"), float("-inf"), "x" * 7000
bad = {"acc=1": 1.0, "acc[1": 2.0, "worse": "text", "../up": 3.0}
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok", cell
        assert "bad.worse not recorded" in cell.displays[-1]
    found = run(project, "odd")
    metrics, tags = found.data.metrics, found.data.tags
    assert math.isnan(metrics["nan"])
    assert (metrics["bad.acc_1"], metrics["bad.acc_1_2"]) == (1.0, 2.0)
    assert len(found.data.params["long"]) == 6000
    assert "infinities" in tags["nbledger.notices"] and "6000" in tags["nbledger.notices"]
    exact = json.loads(artifact(project, found.info.run_id, "nbledger/manifest.json").read_text())
    assert exact["params"]["long"] == "x" * 7000
    assert exact["metrics"]["inf"][0][0] == "-inf" and exact["metrics"]["bad.acc=1"][0][0] == 1.0


def test_parameter_forms_and_mismatch(project: Path) -> None:
    with kernel(project) as k:
        k.run("lr = 0.1\ndepth = 3")
        cell = k.run("%%mlrun p -p lr -p depth=4 -p free=text -p late\nlate = [1, 2]; depth")
        assert "depth=4 was recorded, but the variable depth was 3" in cell.displays[-1]
    assert run(project, "p").data.params == {"lr": "0.1", "depth": "4", "free": "text", "late": "[1, 2]"}


def test_missing_metric_is_said_with_the_nearest_name(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun m -m acuracy\naccuracy = 1.0")
        assert cell.status == "ok" and "did you mean accuracy?" in cell.displays[-1], cell


def test_log_counts_steps_and_outside_a_run_says_so_once(project: Path) -> None:
    with kernel(project) as k:
        k.run("from nbledger import log")
        assert "no run is open" in k.run("log(a=1)").stderr
        assert k.run("log(a=1)").stderr == ""
        k.run("%%mlrun steps\nfor v in (3, 2, 1):\n    log(loss=v)\nlog(loss=0, step=10)\nlog(word='text')")
    found = run(project, "steps")
    history = client(uri(project)).get_metric_history(found.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(0, 3), (1, 2), (2, 1), (10, 0)]


def test_artifacts_by_path_and_by_variable(project: Path) -> None:
    code = """%%mlrun art -a notes.md -a figure -a table -a config -a folder -a absent
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot as plt, pandas as pd, os
open("notes.md", "w").write("# notes")
figure, ax = plt.subplots(); ax.plot([1, 2]); plt.close(figure)
table, config = pd.DataFrame({"a": [1]}), {"k": 1}
os.makedirs("folder"); open("folder/x.txt", "w").write("x")
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok" and "absent" in cell.displays[-1], cell
    run_id = run(project, "art").info.run_id
    assert artifact(project, run_id, "notes.md").read_text() == "# notes"
    assert artifact(project, run_id, "figure.png").read_bytes().startswith(b"\x89PNG")
    assert artifact(project, run_id, "table.csv").read_text().startswith(",a")
    assert json.loads(artifact(project, run_id, "config.json").read_text()) == {"k": 1}
    assert artifact(project, run_id, "folder/x.txt").read_text() == "x"


def test_model_with_signature_loads_with_plain_mlflow(project: Path) -> None:
    code = """%%mlrun fitted --model clf -m score
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
X, y = load_wine(return_X_y=True, as_frame=True)
clf = LogisticRegression(max_iter=5000).fit(X, y)
score = clf.score(X, y)
"""
    with kernel(project) as k:
        assert k.run(code).status == "ok"
        assert k.run("import sys; 'mlflow' in sys.modules").result == "False"
    found = run(project, "fitted")
    assert "nbledger.notices" not in found.data.tags, found.data.tags
    import mlflow

    mlflow.set_tracking_uri(uri(project))
    (output,) = found.outputs.model_outputs
    model = mlflow.sklearn.load_model(f"models:/{output.model_id}")
    info = mlflow.models.get_model_info(f"models:/{output.model_id}")
    assert type(model).__name__ == "LogisticRegression"
    assert info.signature is not None and "alcohol" in str(info.signature.inputs)


def test_a_seed_makes_two_cells_equal(project: Path) -> None:
    with kernel(project) as k:
        body = "import random, numpy as np\nrandom.random(), np.random.rand()"
        first, second = (k.run(f"%%mlrun s{i} --seed 7\n{body}").result for i in (1, 2))
        assert first == second
    assert json.loads(run(project, "s1").data.tags["nbledger.seeds"])["seed"] == 7


def test_a_failed_cell_does_not_record_what_an_older_cell_had_set(project: Path) -> None:
    with kernel(project) as k:
        k.run("y, losses, untouched = 3, [0.9], [1.0]")
        failed = k.run("%%mlrun c -m y -m losses -m untouched -m fresh\nfresh = 5\nlosses.append(0.4)\n1 / 0\ny = 4")
        assert failed.ename == "ZeroDivisionError"
        assert k.run("%%mlrun d -m y\n1 + 1").status == "ok"
    found = run(project, "c")
    assert found.info.status == "FAILED"
    assert found.data.metrics == {"losses": 0.4, "fresh": 5.0}
    assert run(project, "d").data.metrics == {"y": 3.0}, "a cell that ends well records what it names"
    said = detail.run(calls.perform(find(project), "show", {"run": "c"}))
    assert "error        ZeroDivisionError: division by zero" in said
