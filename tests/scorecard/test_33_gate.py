"""Runs with models are promoted by a condition, `accuracy >= champion.accuracy + 0.005`, on evidence that is no good: NaN and
±infinity, a missing metric, a metric, parameter, tag and status edited after the run was FINISHED (by MLflow's own calls
and in the database), a manifest that was altered, sealed anew or removed, a dirty tree, unversioned data, cells out of order,
no model, a failed run, no champion, an edited champion. Then random conditions, and a model that is a pickle canary.

`nbledger promote` denies each with its reason and figures, exit code 1, registers nothing, moves no alias and records the
decision. The plain tools have no gate: a careful user checks the metric by `MlflowClient` and sets the alias.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import nbformat
import pytest

import ledger
from conftest import commit_all
from kernels import Kernel, kernel
from nbledger.core import gate_language
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import find
from nbledger.keeper import calls
from nbledger.keeper.promote import Decision
from promotions import published

pytestmark = pytest.mark.timeout(1200)  # in full, on a busy machine

IF = "accuracy >= champion.accuracy + 0.005"


class Ledger:
    """A project with its runs, each with a logged model, and what MLflow says of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.api = root, ledger.client(ledger.uri(root))

    def model(self, run: str, data: bytes) -> None:
        """A logged model of MLflow 3 whose file is ``data``."""
        found = self.api.get_run(run)
        made = self.api.create_logged_model(found.info.experiment_id, name="clf", source_run_id=run)
        folder = self.root.parent / made.model_id
        folder.mkdir()
        text = "flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}}\n"
        (folder / "MLmodel").write_text(text)
        (folder / "model.pkl").write_bytes(data)
        self.api.log_model_artifacts(made.model_id, str(folder))
        self.api.finalize_logged_model(made.model_id, "READY")

    def promote(self, run: str, condition: str = IF, **more: Any) -> Decision:
        asked = {"run": run, "model": "wine", "condition": condition, **more}
        decision: Decision = calls.perform(find(self.root), "promote_if", asked)
        return decision

    def registered(self) -> tuple[list[str], dict[str, str]]:
        """(versions, aliases) of the model, but for ``previous``, which follows the champion."""
        found = self.api.search_registered_models()
        versions = [str(v.version) for v in self.api.search_model_versions("name = 'wine'")]
        return sorted(versions), {k: str(v) for m in found for k, v in m.aliases.items() if k != "previous"}

    def decisions(self, run: str) -> list[dict[str, Any]]:
        folder = ledger.artifact(self.root, run, "nbledger/gate")
        return [json.loads(path.read_text()) for path in sorted(folder.iterdir())]

    def manifest(self, run: str) -> Path:
        return Path(self.api.get_run(run).info.artifact_uri.removeprefix("file://")) / "nbledger" / "manifest.json"

    def sql(self, text: str, *values: Any) -> None:
        with contextlib.closing(sqlite3.connect(self.root / ".nbledger" / "mlflow.db")) as database, database:
            assert database.execute(text, values).rowcount == 1


def record(k: Kernel, name: str, code: str, options: str = "") -> None:
    cell = k.run(f"%%mlrun {name} -p depth=3 {options}\nfrom nbledger import log\n{code}\nlog(accuracy=accuracy)")
    assert cell.status == "ok" or "1/0" in code, cell


@pytest.fixture
def there(project: Path) -> Ledger:
    (project / ".gitignore").write_text("loose.csv\n")
    book = project / "nb.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), book)
    with kernel(project, {"NBLEDGER_NOTEBOOK": str(book)}) as k:
        k.run("x = 1")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 2")]), book)
        commit_all(project)
        record(k, "jumbled", "accuracy = x")
    with kernel(project) as k:
        for name, value in (("champion", "0.9"), ("better", "0.905"), ("worse", "0.9049"), ("bare", "0.99")):
            record(k, name, f"accuracy = {value}")
        for text in ("nan", "inf", "-inf"):
            record(k, f"is{text}", f"accuracy = float({text!r})")
        record(k, "failed", "accuracy = 0.99; log(accuracy=accuracy); 1/0")
        for number in range(9):
            record(k, f"edited{number}", "accuracy = 0.89")
        (project / "loose.csv").write_text("1\n")
        record(k, "loose", "accuracy = 0.99; open('loose.csv').read()")
        (project / "lib.py").write_text("x = 1\n")
        record(k, "dirty", "accuracy = 0.99")
    published(find(project))
    return Ledger(project)


def test_no_good_evidence_is_denied(there: Ledger, seen: Callable[[str], None]) -> None:
    runs = {run.info.run_name: run.info.run_id for run in ledger.runs(there.root)}
    canary = there.root.parent / "canary"
    for name, run in runs.items():  # models that nobody loads
        if name != "bare":
            there.model(run, b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    assert [d.kind for d in there.promote("champion").denials] == ["champion"]  # nothing to be compared with
    assert there.registered() == ([], {})
    assert there.promote("champion", first="accuracy > 0.8").version == "1"
    assert there.registered() == (["1"], {"champion": "1"})
    api, denied = there.api, 0
    log, tag = api.log_metric, api.set_tag
    seal = {n: api.get_run(runs[n]).data.tags["nbledger.manifest"] for n in ("edited7", "edited8")}
    log(runs["edited0"], "accuracy", 0.99, step=1)
    log(runs["edited1"], "f1", 0.99)
    tag(runs["edited2"], "nbledger.data.state", "clean ")
    there.sql("update params set value = '4' where run_uuid = ? and key = 'depth'", runs["edited3"])
    there.sql("update metrics set value = 0.99 where run_uuid = ? and key = 'accuracy'", runs["edited4"])
    there.sql("update latest_metrics set value = 0.99 where run_uuid = ? and key = 'accuracy'", runs["edited4"])
    there.manifest(runs["edited5"]).unlink()
    api.delete_tag(runs["edited6"], "nbledger.manifest")
    for name in ("edited7", "edited8"):  # the manifest agrees with the edited store; of one it is also sealed anew
        log(runs[name], "accuracy", 0.99, step=0, timestamp=0)
        path = there.manifest(runs[name])
        path.write_text(path.read_text().replace("0.89", "0.99"))
        assert seal[name] != hashlib.sha256(path.read_bytes()).hexdigest()
    tag(runs["edited8"], "nbledger.manifest", hashlib.sha256(there.manifest(runs["edited8"]).read_bytes()).hexdigest())
    api.set_terminated(runs["failed"], "FINISHED")
    cases: dict[str, tuple[str, str]] = {
        "worse": ("condition", f"{IF}: 0.9049 against 0.905"),
        "bare": ("model", "logged no model"),
        "isnan": ("metric", "accuracy is nan"),
        "isinf": ("metric", "accuracy is inf"),
        "is-inf": ("metric", "accuracy is -inf"),
        "failed": ("edited", "FINISHED in the store, its manifest says FAILED"),
        "edited0": ("edited", "'accuracy' was changed from 0.89 to 0.99"),
        "edited1": ("edited", "'f1' was added"),
        "edited2": ("edited", "'nbledger.data.state' was changed from"),
        "edited3": ("edited", "'depth' was changed from '3' to '4'"),
        "edited4": ("edited", "'accuracy' was changed from 0.89 to 0.99"),
        "edited5": ("manifest", "no readable nbledger/manifest.json"),
        "edited6": ("manifest", "without a seal"),
        "edited7": ("manifest", f"sealed as {seal['edited7'][:12]}"),
        "edited8": ("manifest", f"sealed as {seal['edited8'][:12]}"),
        "loose": ("data", "untracked: loose.csv"),
        "dirty": ("dirty", "differed from the last commit by "),
        "jumbled": ("order", "the run's cells are edited-since (--allow order)"),
    }
    for name, (kind, words) in cases.items():
        found = there.promote(runs[name])
        reasons = [d for d in found.denials if d.kind == kind and words in d.text]
        assert not found.passed and reasons, (name, found)
        assert found.figures or name == "edited5", name
        (kept,) = there.decisions(runs[name])
        assert (kept["passed"], len(kept["denials"])) == (False, len(found.denials))
        assert "refused: " in api.get_run(runs[name]).data.tags["nbledger.gate"]
        denied += 1
    missing = there.promote("better", "f1 > 0.5 or accuracy > 0.5")
    assert [d.text for d in missing.denials] == ["the run has no metric 'f1'"]
    assert [d.kind for d in there.promote("better", "accuracy > baseline.accuracy").denials] == ["baseline"]
    assert [d.kind for d in there.promote("better", "1 / (accuracy - accuracy) > 1").denials] == ["condition"]
    denied += 4
    log(runs["champion"], "accuracy", 0.1, step=1)  # a champion that is easy to beat
    assert "the champion's run was edited" in there.promote("better").denials[0].text
    there.sql("delete from metrics where run_uuid = ? and step = 1", runs["champion"])
    there.sql("update latest_metrics set value = 0.9, step = 0 where run_uuid = ?", runs["champion"])
    assert there.registered() == (["1"], {"champion": "1"})
    assert there.promote("dirty", allow=["dirty"]).passed  # said in so many words
    assert there.promote("better", "accuracy >= baseline.accuracy + 0.005", baseline="champion").passed
    assert there.registered() == (["1", "2", "3"], {"champion": "3"})
    tags = api.get_model_version("wine", "3").tags
    assert tags["nbledger.gate.verdict"] == "passed"
    assert tags["nbledger.gate.figures"] == "accuracy 0.905, baseline.accuracy 0.9"
    assert there.promote("jumbled", "accuracy > 0", allow=["order"], alias="challenger").passed
    newest = calls.perform(find(there.root), "models", {}).models[0].versions[0]
    assert (newest.gate["verdict"], newest.gate["allowed"]) == ("passed", "order")
    command_line(there)
    assert not canary.exists()
    seen(
        f"{denied + 1} of {denied + 1} denied with reason and figures, 4 of 4 good ones promoted, the pickle canary silent"
    )


def command_line(there: Ledger) -> None:
    import subprocess

    words = [sys.executable, "-m", "nbledger.cli", "promote", "worse", "--model", "wine", "--if", IF]
    done = subprocess.run(words, cwd=there.root, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("✗ worse is not promoted to wine@champion\n")
    assert f"  {IF}: 0.9049 against 0.91" in done.stdout  # the champion is the better one by now
    wrong = subprocess.run([*words[:-1], "accuracy ="], cwd=there.root, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "== compares" in wrong.stderr


def test_random_conditions(count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    """Whatever is written, it is understood or refused; nothing is opened, imported or slow."""
    chance, opened = random.Random(33), []
    watching = [True]
    sys.addaudithook(lambda event, args: opened.append((event, args)) if watching[0] and event in _EVENTS else None)
    pieces = (
        *("accuracy", "champion.f1", "baseline.'val/loss'", '"a b"', "1", "0.005", "1e308", "1e-299", ".5", "9" * 60),
        *("+", "-", "*", "/", "(", ")", "<", "<=", ">", ">=", "==", "!=", "and", "or", "not", "(", ")"),
        *("=", "**", "%", "[", "]", "{", "}", ".", ",", ";", ":", "\\", "'", '"', "`", "\0", "\n", "é", "lambda"),
        *("import os", "__import__('os').system('true')", "open('/etc/passwd')", "x.__class__", "exec", "while 1:"),
    )
    slowest, understood, many = 0.0, 0, count(20_000, 1_500)
    values = (1.7976931348623157e308, 5e-324, 0.1, -3.0, 0.0, 1e16)
    gc.collect()
    gc.disable()  # what other tests left is not what a condition costs
    try:
        for number in range(many):
            text = (
                " ".join(chance.choice(pieces) for _ in range(chance.choice((1, 3, 5, 9, 40, 400))))
                if number % 2
                else f"{_sum(chance, chance.randint(0, 6))} {chance.choice(('<', '>=', '=='))} {_sum(chance, 3)}"
            )
            begun = time.thread_time()
            with contextlib.suppress(UsageError, gate_language.Undefined):
                condition = gate_language.parse(text)
                gate_language.judge(condition, {metric: chance.choice(values) for metric in condition.metrics})
                understood += 1
            slowest = max(slowest, time.thread_time() - begun)
    finally:
        gc.enable()
        watching[0] = False
    assert opened == []
    assert understood > many / 20
    assert slowest < 0.010
    for deep in ("(" * 2_000, "-" * 1_999 + "a", "not " * 450 + "a < 1", "a + " * 450 + "a < 1", "a" * 3_000 + " < 1"):
        with pytest.raises(UsageError):
            gate_language.parse(deep)
    seen(f"{many:,} random conditions: none opens or imports anything, slowest {1000 * slowest:.1f} ms")


_EVENTS = ("open", "import", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect")


def _sum(chance: random.Random, depth: int) -> str:
    if depth == 0:
        return chance.choice(("a", "champion.a", "1.7e308", "1e-299", "0.3333333333333333333", "b"))
    return f"({_sum(chance, depth - 1)} {chance.choice('+-*/')} {_sum(chance, depth - 1)})"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a >= b + 0.005", True),  # 0.905 and 0.9: in binary arithmetic it would depend on rounding
        ("not a < b and (a > 1 or 2 * b - 1 == 0.8)", True),
        ("0 < b < a < 1", True),
        ("0 < a < b", False),
        ("a - b > .005", False),
        ("-a < -b", True),
        ("a / b != 1 or b > 1", True),
    ],
)
def test_conditions_mean_what_they_say(text: str, holds: bool) -> None:
    values = {("run", "a"): 0.905, ("run", "b"): 0.9}
    assert gate_language.judge(gate_language.parse(text), values)[0] is holds
    assert Fraction("0.905") == Fraction("0.9") + Fraction("0.005")


def test_plain_mlflow(folder: Path, plain: Callable[[bool, str], None]) -> None:
    """What a careful user does: read both metrics by ``MlflowClient``, compare, set the alias."""
    import mlflow

    api = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'plain.db'}")
    experiment = api.create_experiment("plain", artifact_location=(folder / "a").as_uri())
    api.create_registered_model("wine")

    def made(accuracy: float) -> str:
        run = api.create_run(experiment)
        api.log_metric(run.info.run_id, "accuracy", accuracy)
        api.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    champion, edited, infinite, failed = made(0.9), made(0.8), made(math.inf), made(0.99)
    api.log_metric(edited, "accuracy", 0.99, step=1)
    api.set_terminated(failed, "FAILED")
    passed = 0
    for run in (edited, infinite, failed):
        if api.get_run(run).data.metrics["accuracy"] >= api.get_run(champion).data.metrics["accuracy"] + 0.005:
            version = api.create_model_version("wine", (folder / "a").as_uri(), run)
            with contextlib.suppress(LedgerError):
                api.set_registered_model_alias("wine", "champion", version.version)
            passed += api.get_model_version_by_alias("wine", "champion").run_id == run
    plain(passed == 0, f"{passed} of 3 (edited after FINISHED, infinite, FAILED) became champion: nothing denies it")
