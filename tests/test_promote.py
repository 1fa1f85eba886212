"""promote by named gates and evidence beyond metrics, rollback, decisions: on real runs with sealed manifests."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

import promotions
from conftest import commit_all, data_remote, git
from nbledger.commands import promote as promote_text
from nbledger.commands import rollback as rollback_text
from nbledger.core import mlflow_decisions, mlflow_lock, modeldigest
from nbledger.core.errors import Refused, UsageError
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.project import find
from nbledger.core.setup import initialise
from nbledger.keeper import calls, client, endpoint, moving, promote, reproductions
from promotions import aliases, decisions, kinds, recorded, rollback

IF = "accuracy >= champion.accuracy + 0.005"
GATES = f"""
[gates.release]
if = "{IF}"
first = "accuracy > 0.8"
[gates.strict]
if = "loss < 1"
require = ["clean", "data"]
[models.wine]
gate = "release"
"""


def test_what_an_alias_demands_is_always_asked_and_added_to(project: Path) -> None:
    promotions.settings(project, GATES)
    runs = {
        name: recorded(project, name, {"accuracy": value, "loss": 0.5}) for name, value in (("a", 0.9), ("b", 0.903))
    }
    first = promotions.promote(project, runs["a"], None)
    assert (first.passed, first.condition, first.gates) == (True, "accuracy > 0.8", ("release",))
    weaker = promotions.promote(project, runs["b"], "accuracy > 0.1")
    assert (kinds(weaker), weaker.condition) == (["condition"], f"{IF} and accuracy > 0.1")
    assert weaker.denials[0].text == f"{IF}: 0.903 against 0.905"
    assert promotions.promote(project, runs["b"], None).denials == weaker.denials
    both = promotions.promote(project, runs["b"], None, gate="strict")
    assert (both.gates, both.require) == (("release", "strict"), ("clean", "data"))
    assert kinds(both) == ["condition", "data"]  # it read nothing that is known
    assert promotions.promote(
        project, runs["b"], "accuracy > 0.1", alias="other"
    ).passed  # of which nothing is demanded
    # nor does the sidebar move it without the gate, or take it away
    for call, words in (
        ("promote", {"run": runs["b"], "model": "wine", "alias": "champion"}),
        ("alias", {"model": "wine", "alias": "champion", "version": "2"}),
        ("alias", {"model": "wine", "alias": "champion", "version": None}),
    ):
        with pytest.raises(Refused, match="champion of wine demands the gate release"):
            calls.perform(find(), call, words)
    with pytest.raises(Refused, match="never pointed at version 2, and it demands the gate release"):
        rollback(project, to="2")
    assert aliases(project) == {"champion": "1", "other": "2"}
    text = promote_text.text(both)
    assert "✗ b is not promoted to wine@champion" in text
    assert "(gate release, strict)" in text
    for words, said in (
        ({"gate": "relase"}, "no gate 'relase' — did you mean release"),
        ({"condition": None, "model": "beer"}, "there is no condition"),
        ({"condition": None, "first": "accuracy > 1"}, "--first counts in place of --if"),
        ({"alias": "previous"}, "nbledger's own"),
        ({"model": "nbledger.lock.x", "condition": "accuracy > 0"}, "the name of a lock"),
    ):
        with pytest.raises(UsageError, match=said):
            promotions.promote(project, runs["b"], **{"condition": None, **words})


def test_a_dry_run_changes_nothing(project: Path) -> None:
    run = recorded(project, "a", {"accuracy": 0.9})
    api = promotions.api(project)
    before = dict(api.get_run(run).data.tags)
    said = promotions.promote(project, run, "accuracy > 0.8", dry=True)
    assert (said.passed, said.dry, said.version, said.n) == (True, True, None, 0)
    assert promote_text.text(said).startswith("✓ a would be promoted to wine@champion")
    denied = promotions.promote(project, run, "accuracy > 0.95", dry=True)
    assert promote_text.text(denied).startswith("✗ a would not be promoted to wine@champion")
    assert (
        promote.judged(find(), {"run": run, "model": "wine", "condition": "accuracy > 0.95"}).denials == denied.denials
    )
    assert api.search_registered_models() == []
    assert dict(api.get_run(run).data.tags) == before
    # nor is there a registered model because something was refused
    assert (
        promotions.promote(project, run, "accuracy > 0.95").notes[0].startswith("there is no registered model wine yet")
    )
    assert api.search_registered_models() == []


def test_evidence_beyond_metrics(project: Path, tmp_path: Path) -> None:
    (project / "loose.csv").write_text("a,b\n" + "1,2\n" * 3)
    git(project, "add", "loose.csv")
    commit_all(project)
    (project / "data.csv").write_text('a,b\n"1\n",2\n' + "1,2\n" * 9)
    calls.perform(find(), "track", {"paths": ["data.csv"], "cwd": str(project)})
    run = recorded(project, "a", {"accuracy": 0.9}, reads=["data.csv", "loose.csv"])

    def lacks(name: str = run, **words: Any) -> list[str]:
        return [d.text for d in promotions.promote(project, name, "accuracy > 0.8", dry=True, **words).denials]

    assert lacks(require=["clean", "data", "environment"], min_rows=13) == []
    assert lacks(min_rows=14) == ["the run's data have 13 rows together, and 14 are required"]
    (project / "data.csv").unlink()
    assert lacks(min_rows=13) == []  # counted from the cache

    assert lacks(require=["pushed"]) == [
        "there is no Git remote that has the run's commit",
        f"data.csv ({md5_of(project)}): there is no data remote",
    ]
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(project, "remote", "add", "origin", str(tmp_path / "there.git"))
    data_remote(project, tmp_path / "data")
    assert "has the run's commit" in lacks(require=["pushed"])[0]
    assert "not in the data remote" in lacks(require=["pushed"])[1]
    commit_all(project)
    calls.perform(find(), "push", {})
    assert lacks(require=["pushed"]) == []

    assert lacks(require=["verified"]) == [f"no reproduction of the run is recorded: nbledger reproduce {run[:8]}"]
    sealed = promotions.api(project).get_run(run).data.tags["nbledger.manifest"]

    def reproduced(verdict: str, of: str = sealed) -> str:
        tags = {"nbledger.reproduces": run, "nbledger.verdict": verdict, reproductions.OF_MANIFEST: of}
        return recorded(project, "a", {"accuracy": 0.9}, tags=tags, model=None)

    reproduced("identical", "0" * 64)  # of another manifest
    assert "as it is now" in lacks(require=["verified"])[0]
    good = reproduced("within-tolerance")
    assert lacks(require=["verified"]) == []
    promotions.api(project).set_tag(run, "nbledger.verdict", "identical")
    worse = reproduced("different")
    assert lacks(require=["verified"]) == [f"the newest reproduction of the run, {worse[:8]}, says different"]
    promotions.api(project).set_tag(worse, "nbledger.verdict", "identical")  # what anybody may write changes nothing
    assert "says different" in lacks(require=["verified"])[0]
    assert good != worse

    bare = recorded(project, "bare", {"accuracy": 0.9}, imported={"numpy": "0"})
    assert lacks(bare, require=["data"]) == ["the run is not known to have read any data"]
    place = Path(promotions.api(project).get_run(bare).info.artifact_uri.removeprefix("file://")) / "nbledger"
    told = json.loads((place / "environment.json").read_text())
    (place / "environment.json").write_text(json.dumps({**told, "packages": []}))
    assert "is not the one that the run recorded" in lacks(bare, require=["environment"])[0]
    (place / "inputs.json").write_text(json.dumps({"inputs": [{**INPUT}], "modules": [], "unseen": []}))
    assert "which its manifest does not" in lacks(bare, require=["data"])[0]


INPUT = {"path": "made-up.csv", "size": 1, "md5": "0" * 32, "state": "git"}


def md5_of(root: Path) -> str:
    import yaml

    return str(yaml.safe_load((root / "data.csv.dvc").read_text())["outs"][0]["md5"])[:10]


def test_what_a_gate_requires_cannot_be_set_aside(project: Path) -> None:
    (project / "loose.csv").write_text("a\n1\n")
    (project / ".gitignore").write_text("loose.csv\n")
    commit_all(project)
    (project / "lib.py").write_text("x = 1\n")
    run = recorded(project, "a", {"accuracy": 0.9}, reads=["loose.csv"])
    allowed = ["dirty", "data", "order"]
    assert promotions.promote(project, run, "accuracy > 0.8", allow=allowed, dry=True).passed
    denied = promotions.promote(
        project, run, "accuracy > 0.8", allow=allowed, require=["clean", "data", "pushed"], dry=True
    )
    assert set(kinds(denied)) == {"dirty", "data", "pushed"}
    assert "the run's code differed from the last commit by lib.py" in [d.text for d in denied.denials]
    assert "(--allow" not in promote_text.text(denied)
    alone = promotions.promote(project, run, "accuracy > 0.8", dry=True)
    assert "differed from the last commit by lib.py (--allow dirty)" in promote_text.text(alone)
    assert any("nothing versions loose.csv" in d.text for d in denied.denials)


def test_back_and_further_back_and_no_further(project: Path) -> None:
    runs = [recorded(project, f"run{n}", {"accuracy": 0.9}) for n in range(3)]
    for number, run in enumerate(runs, 1):
        done = promotions.promote(project, run, "accuracy > 0.8")
        assert (done.version, done.n) == (str(number), number)
    assert aliases(project) == {"champion": "3", "previous": "2"}
    back = rollback(project, text="it \x1b[31mfails")
    assert (back.version, back.previous, back.before, back.n, back.run_id) == ("2", "3", "1", 4, runs[1])
    assert aliases(project) == {"champion": "2", "previous": "1"}
    assert rollback(project).version == "1"
    assert aliases(project) == {"champion": "1"}
    with pytest.raises(Refused, match="nothing that champion of wine could go back to"):
        rollback(project)
    with pytest.raises(Refused, match="points at version 1 already"):
        rollback(project, to="1")
    with pytest.raises(UsageError, match="has no version '9'"):
        rollback(project, to="9")
    with pytest.raises(Refused, match="other of wine points at no version") as raised:
        rollback(project, alias="other")
    # without the option, what is proposed would move the champion
    assert raised.value.hint == "nbledger promote RUN --model wine --alias other points it at one"
    with pytest.raises(UsageError, match="no registered model 'wime' — did you mean wine"):
        rollback(project, "wime")
    with pytest.raises(UsageError, match="no registered model 'wime' — did you mean wine"):
        decisions(project, "wime")
    with open(project / ".nbledger.toml", "a") as settings:
        settings.write('[gates.g]\nif = "accuracy > 0.8"\n[models.wine]\ngate = "g"\n')
    assert rollback(project, to="3").version == "3"  # forward again, by name: it has pointed there
    assert aliases(project) == {"champion": "3", "previous": "1"}
    promotions.api(project).delete_model_version("wine", "1")
    with pytest.raises(Refused, match="version 1, where it pointed before, is deleted"):
        rollback(project)
    found = decisions(project)
    assert [(one.n, one.kind, one.version) for one in found.decisions] == [
        (1, "promote", "1"),
        (2, "promote", "2"),
        (3, "promote", "3"),
        (4, "rollback", "2"),
        (5, "rollback", "1"),
        (6, "rollback", "3"),
    ]
    text = rollback_text.listed(found)
    assert "\x1b" not in text
    assert "   4" in text
    assert "rollback  champion: version 3 → 2" in text
    assert text.endswith("champion is version 3")
    assert rollback_text.rolled_back(back).splitlines()[-1] == "  before that: version 1"
    note = "version 3 goes on serving here until: nbledger deploy wine"
    assert f"  ({note})" in rollback_text.rolled_back(dataclasses.replace(back, notes=(note,)))


def test_proposed_promotions_move_the_alias_that_was_meant(project: Path) -> None:
    assert moving.option("champion") == ""
    promotions.settings(project, '[gates.g]\nif = "accuracy > 0.8"\n[models.wine.aliases]\nstaging = "g"\n')
    runs = [recorded(project, f"run{number}", {"accuracy": 0.9}) for number in range(2)]
    assert promotions.promote(project, runs[0], None, alias="staging").version == "1"
    assert promotions.promote(project, runs[1]).version == "2"
    with pytest.raises(Refused, match="staging of wine never pointed at version 2") as raised:
        rollback(project, to="2", alias="staging")
    assert raised.value.hint == "nbledger promote RUN --model wine --alias staging asks the gate"


def test_the_files_of_a_version_are_those_that_were_promoted(project: Path) -> None:
    run = recorded(project, "a", {"accuracy": 0.9})
    done = promotions.promote(project, run, "accuracy > 0.8")
    version = promotions.api(project).get_model_version("wine", "1")
    assert version.tags[modeldigest.TAG] == done.digest
    logged = promotions.api(project).get_logged_model(version.source.removeprefix("models:/"))
    place = Path(logged.artifact_location.removeprefix("file://"))
    (place / "model.pkl").write_bytes(b"another")
    denied = promotions.promote(project, run, "accuracy > 0.8")
    assert kinds(denied) == ["model"]
    assert "the files of version 1 are not those that were promoted" in denied.denials[0].text
    (place / "MLmodel").unlink()
    assert "its MLmodel is missing" in promotions.promote(project, run, "accuracy > 0.8").denials[0].text


HOSTILE = (
    "$(touch owned)",
    "a;touch owned",
    "--help `touch owned`",
    "' or 1=1 --",
    "new\nline",
    "\u202egnp.exe",
    "x" * 240,
    "<script>%(owned)s {owned}",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_names(project: Path, name: str) -> None:
    """Model, run, tag, gate and message: each is text in the record, and nothing else."""
    promotions.settings(project, f'[gates.{json.dumps(name)}]\nif = "accuracy > 0.8"\n')
    run = recorded(project, name, {"accuracy": 0.9, name: 1.0}, tags={"note": name})
    quote = "`" if '"' in name else '"'
    condition = f"{quote}{name}{quote} > 0" if "\n" not in name and "`" not in name else "accuracy > 0"
    done = promotions.promote(project, run, condition, name, gate=name)
    assert (done.passed, done.model, done.version) == (True, name, "1"), done
    again = recorded(project, "again", {"accuracy": 0.9})
    assert promotions.promote(project, again, "accuracy > 0", name).passed
    assert rollback(project, name, text=name).version == "1"
    found = decisions(project, name)
    assert [(one.n, one.kind) for one in found.decisions] == [(1, "promote"), (2, "promote"), (3, "rollback")]
    assert found.decisions[-1].text == name
    assert aliases(project, name) == {"champion": "1"}
    for text in (promote_text.text(done), rollback_text.listed(found)):
        assert all(line.isprintable() for line in text.splitlines())
    assert sorted(path.name for path in project.parent.rglob("*owned*")) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "a:b", "", " ", "x" * 5000])
def test_what_mlflow_takes_for_no_name_is_refused(project: Path, name: str) -> None:
    run = recorded(project, "a", {"accuracy": 0.9})
    with pytest.raises((UsageError, Refused)):
        promotions.promote(project, run, "accuracy > 0.8", name or " ")
    for alias in ("latest", "v1", "a b", "a;b", "$(touch owned)", "../x", "a\nb"):
        with pytest.raises(UsageError):
            promotions.promote(project, run, "accuracy > 0.8", alias=alias)
    assert promotions.api(project).search_registered_models() == []


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_record_holds_whatever_is_told_and_stays_in_order(project: Path) -> None:
    api, uri = promotions.api(project), find().tracking_uri
    api.create_registered_model("wine")
    with mlflow_lock.held(api, uri, "wine") as held:
        long = Entry("refused", "champion", by="é\0\ud800", reasons=("x" * 9_000,) * 40, condition="y" * 9_000)
        for entry in (long, Entry("refused", "champion", figures={str(n): float("nan") for n in range(900)})):
            assert mlflow_decisions.append(held, entry).n
    tags = dict(api.get_registered_model("wine").tags)
    assert [len(text) < 5_000 for text in tags.values()] == [True, True]
    first, second = mlflow_decisions.of_tags(tags)
    assert (first.n, first.by, len(first.reasons)) == (1, "é\\x00\\ud800", 5)
    assert str(second.figures["0"]) == "nan"
    odd = {"nbledger.decision.000003": "no JSON", "nbledger.decision.000004": "[]", "nbledger.decision.5": "{}"}
    odd["nbledger.decision.000006"] = '{"kind": "promote", "alias": 7, "figures": {"a": "b"}}'
    assert [one.n for one in mlflow_decisions.of_tags(tags | odd)] == [1, 2]
    assert mlflow_decisions.of_tags(None) == ()


def test_where_an_alias_went() -> None:
    def entry(kind: str, version: str | None, previous: str | None = None, alias: str = "champion") -> Entry:
        return Entry(kind, alias, version=version, previous=previous, points=True)

    went = [entry("promote", "2", "1"), entry("promote", "3"), entry("promote", "9", alias="other")]
    assert mlflow_decisions.line(went, "champion") == ["1", "2", "3"]
    assert mlflow_decisions.line([*went, entry("rollback", "2")], "champion") == ["1", "2"]
    assert mlflow_decisions.line([*went, entry("rollback", "1"), entry("promote", "4")], "champion") == ["1", "4"]
    assert mlflow_decisions.line([*went, entry("moved", None), entry("promote", "3")], "champion") == ["1", "2", "3"]
    assert mlflow_decisions.line([*went, entry("rollback", "7")], "champion") == ["1", "2", "3", "7"]
    assert mlflow_decisions.line([*went, Entry("refused", "champion", version="8")], "champion") == ["1", "2", "3"]
    assert mlflow_decisions.said([*went, entry("moved", None)], "champion") is None


def test_nothing_moves_for_somebody_who_has_gone(project: Path) -> None:
    run, here = recorded(project, "a", {"accuracy": 0.9}), find(project)
    assert client.ready(here)
    client.call(here, "flush", start=True)
    known = endpoint.load(here)
    assert known is not None
    words = {"run": run, "model": "wine", "condition": "accuracy > 0.8"}
    with endpoint.connect(known, 5) as connection:  # and Ctrl-C
        connection.sendall(client.request(known, here, "promote_if", words))
    client.call(here, "stop")  # it ends when what was asked of it is done
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(known.pid).wait(120)
    assert promotions.api(project).search_registered_models() == []
    assert client.call(here, "promote_if", words).passed


def test_a_store_that_is_left_behind_is_named(project: Path) -> None:
    said = "stays in .nbledger/mlflow.db"
    assert not any(said in line for line in initialise(find(project), tracking_uri="sqlite:///first.db"))
    (project / ".nbledger.toml").unlink()
    run = recorded(project, "a", {"accuracy": 0.9})
    promotions.promote(project, run, "accuracy > 0.8")
    there = initialise(find(project), tracking_uri="sqlite:///other.db")
    (line,) = [line for line in there if said in line]
    assert "MLFLOW_TRACKING_URI=sqlite:///.nbledger/mlflow.db nbledger runs" in line
    assert calls.perform(find(project), "runs", {}) == []
