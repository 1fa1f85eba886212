"""Lineage as it is told of many kinds of runs, and that a database here and a server tell the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all
from nbledger.commands import lineage_text
from nbledger.core import mlflow, mlflow_uses, trust, wrote
from nbledger.core.ancestry_chart import flowchart
from nbledger.core.ancestry_graph import Ancestry
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.lineage import FileRecord
from nbledger.core.project import find
from nbledger.keeper.calls import perform
from recordedruns import file, md5, recorded
from servers import Server, mlflow_server, postgres
from test_run_views import api

HOSTILE = "a'b\"c`$(touch x)|<script>\n%_[31m.csv"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, mlflow_server(folder, store) as started:
        yield started


@pytest.fixture(params=["here", "server"])
def store(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an embedded store, or of a server on PostgreSQL in an experiment of its own."""
    trust.trust(find(project))
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server").uri)
        (project / ".nbledger.toml").write_text(f'experiment = "{request.node.name}"\n')
        return mlflow.client(find(project))
    return api(project)


def ancestry(root: Path, name: str, **words: Any) -> Ancestry:
    found: Ancestry = perform(find(root), "ancestry", {"name": name, **words})
    return found


def back(root: Path, path: str, content: str = "", **words: Any) -> Ancestry:
    more = {"md5": md5(content)} if content else {}
    found: Ancestry = perform(find(root), "descendants", {"path": path, **more, **words})
    return found


def edges(found: Ancestry) -> set[tuple[str, str, str]]:
    called = {node.id: node.label for node in found.nodes}
    return {(called[e["from"]], e["how"], called[e["to"]]) for e in found.edges if e["how"] != "ran"}


def runs(found: Ancestry) -> list[str]:
    return sorted(node.label for node in found.nodes if node.kind == "run")


def test_who_wrote_what_a_run_read(project: Path, store: Any) -> None:
    first = file("d/a.csv", "one")
    recorded(project, store, 1, "early", writes=(first,))
    recorded(project, store, 2, "late", writes=(first, file("d/b.csv", "two")))
    recorded(project, store, 3, "copy", writes=(file("d/copy.csv", "one"),))
    recorded(project, store, 4, "again", reads=(first,), writes=(first, file("e.csv", "e")))
    recorded(project, store, 5, "reader", reads=(file("d/a.csv", "one"), file("x.csv", "two"), file("y.csv", "y")))
    recorded(project, store, 7, "later", writes=(file("y.csv", "y"),))
    recorded(project, store, 8, "nothing", writes=(file("z.csv", ""),))
    recorded(project, store, 9, "empty", reads=(file("z.csv", ""),))
    found = ancestry(project, "reader")
    assert edges(found) == {
        ("d/a.csv", "read", "reader"),
        ("x.csv", "read", "reader"),
        ("y.csv", "read", "reader"),
        # the last that wrote it under this name; what was written later, or read by the writer itself, is another matter
        ("again", "wrote (as did 2 other runs)", "d/a.csv"),
        ("late", "wrote the same bytes as d/b.csv", "x.csv"),
        ("d/a.csv", "read", "again"),
        ("late", "wrote (as did 1 other run)", "d/a.csv"),
    }
    text = lineage_text.lineage(ancestry(project, "reader"))
    assert "by again (as did 2 other runs)" in text
    assert "the same bytes as d/b.csv by late" in text
    assert edges(ancestry(project, "empty")) == {("z.csv", "read", "empty")}
    assert ancestry(project, "reader", depth=0).notes == (
        "the graph ends here, 1 run away, at the depth that was asked for: there is more",
    )

    found = back(project, "d/a.csv")
    assert runs(found) == ["again", "reader"]
    assert ("e.csv", "read", "reader") not in edges(found)
    # these bytes, under any name
    found = back(project, "d/b.csv", "two")
    assert edges(found) == {("d/b.csv", "read the same bytes as x.csv", "reader")}
    with pytest.raises(UsageError, match=r"no recorded run read d/b\.csv — did you mean d/a\.csv"):
        back(project, "d/b.csv")


def test_what_only_compared_a_file_is_counted_and_models_come_first(project: Path, store: Any) -> None:
    data, only = file("night/a.csv", "last year"), file("night/live.csv", "tonight")
    recorded(project, store, 1, "train", reads=(data,), writes=(file("night/m.txt", "its model"),))
    night = {"nbledger.drift.verdict": "no drift"}
    for number in (2, 3, 4):
        recorded(project, store, number, "drift wine", reads=(data, only, file("night/m.txt", "its model")), tags=night)
    recorded(project, store, 5, "drift wine", reads=(file("night/a.csv", "last month"),), tags=night)
    made = recorded(project, store, 6, "score", reads=(file("night/m.txt", "its model"),))
    name = f"wine{md5(str(project))[:8]}"
    store.create_registered_model(name)
    store.create_model_version(name, f"runs:/{made}/model", made)
    found = back(project, "night/a.csv")
    assert runs(found) == ["score", "train"]
    assert [node.label for node in found.nodes][:3] == ["night/a.csv", f"{name}/1", "train"]
    assert len(found.roots) == 1
    assert found.notes == ("4 runs only compared it (nbledger drift): not listed",)
    assert (
        runs(back(project, "night/live.csv")) == ["drift wine"] * 3
    )  # nobody else read it: they are what there is to tell


def test_circles_of_equal_bytes_and_long_chains_end(project: Path, store: Any) -> None:
    a, b = file("a", "A"), file("b", "B")
    recorded(project, store, 1, "one", reads=(b,), writes=(a,))
    recorded(project, store, 1, "two", reads=(a,), writes=(b,))
    found = ancestry(project, "two")
    assert edges(found) == {
        ("a", "read", "two"),
        ("one", "wrote", "a"),
        ("b", "read", "one"),
        ("two", "wrote", "b"),
    }
    assert "(see above)" in lineage_text.tree(found)
    assert runs(back(project, "a")) == ["one", "two"]
    if not find(project).embedded:  # thirty runs take a server long
        return
    for number in range(24):
        reads = (file(f"f{number}", f"{number}"),) if number else ()
        recorded(
            project, store, 10 + number, f"r{number}", reads, (file(f"f{number + 1}", f"{number + 1}"),), record=False
        )
    assert len(runs(ancestry(project, "r23", depth=40))) == 24
    found = ancestry(project, "r23")
    assert len(runs(found)) == 22 and "the graph ends here" in found.notes[-1]  # one more is named than is followed
    assert len(runs(back(project, "f1", depth=40))) == 23


def test_what_is_not_known_is_named(project: Path, store: Any) -> None:
    commit = commit_all(project)
    gone = {"mlflow.source.git.commit": "f" * 40, "mlflow.parentRunId": "0" * 32}
    moved = FileRecord("moved.csv", 3, None, "changed-since-read")
    recorded(project, store, 1, "vague", reads=(moved, file("lost.csv", "lost")), tags=gone)
    recorded(
        project,
        store,
        2,
        "bare",
        reads=(file("lost.csv", "lost"),),
        record=False,
        tags={"mlflow.source.git.commit": commit},
    )
    experiment = store.get_experiment_by_name(find(project).experiment).experiment_id
    plain = store.create_run(experiment, run_name="plain").info.run_id
    from mlflow.entities import Dataset, DatasetInput

    store.log_inputs(plain, datasets=[DatasetInput(Dataset("theirs", "1a2b3c4d", "local", "{}"))])
    store.set_terminated(plain)

    said = ancestry(project, "vague").missing
    assert any("moved.csv, as the run 'vague' read it: it changed while it was read" in one for one in said)
    assert any("the run 00000000, which holds 'vague': it is not in the store" in one for one in said)
    assert any("the commit ffffffff is not in this clone" in one for one in said)
    assert any(one.startswith(f"lost.csv ({md5('lost')[:8]}): its bytes are not in this clone") for one in said)
    said = ancestry(project, "bare").missing
    assert any("has no record of its files: only its dataset inputs are known" in one for one in said)
    assert not any("the commit" in one for one in said)
    found = ancestry(project, "plain")
    assert any("'plain'" in one and "was not recorded by nbledger" in one for one in found.missing)
    assert any("MLflow's digest '1a2b3c4d' is not that of its bytes" in one for one in found.missing)
    assert any("no commit was noted" in one for one in found.missing)
    if find(project).embedded:  # a server asks whether the run is there
        store.create_registered_model("wine")
        store.create_model_version("wine", "file:///nowhere", "e" * 32)
        found = ancestry(project, "wine/1")
        assert found.missing == ("the run of wine/1: the run eeeeeeee is not in the store any more",)


def test_tracked_folders_and_their_lists(project: Path, store: Any) -> None:
    (project / "pics").mkdir()
    for name in "ab":
        (project / "pics" / name).write_text(name)
    from nbledger.core.track import track

    digest = track(find(project), ["pics"])[0].md5
    recorded(project, store, 1, "painter", writes=(file("pics/a", "a"),))
    inside = file("pics/a", "a", dataset="pics", digest=digest)
    other = file("pics/b", "b", dataset="pics", digest=digest)
    recorded(project, store, 2, "viewer", reads=(inside, other), writes=(file("seen", "s"),))
    recorded(project, store, 3, "other", reads=(other,))
    recorded(project, store, 4, "unsure", reads=(other,), record=False)
    found = ancestry(project, "viewer")
    assert ("painter", "wrote 1 file of", "pics") in edges(found)
    found = back(project, "pics/a")
    assert edges(found) == {
        ("pics/a", "read", "viewer"),
        ("pics/a", "read pics, which has it", "unsure"),
        ("viewer", "wrote", "seen"),
    }
    assert found.notes == ("1 run read other files of the folder, and not this one",)
    # what a run wrote is followed into the folder that others read
    recorded(project, store, 0, "source", reads=(file("raw", "raw"),), writes=(file("pics/a", "a"),))
    assert runs(back(project, "raw")) == ["other", "source", "unsure", "viewer"]
    # a folder whose list is nowhere
    unknown = file("gone/x", "x", dataset="gone", digest=f"{md5('gone')}.dir")
    recorded(project, store, 5, "blind", reads=(unknown,), record=False)
    with pytest.raises(LedgerError, match="is not known: which files the folder gone") as err:
        back(project, "gone/x")
    assert err.value.exit_code == 3


def test_runs_of_older_versions_and_tags_that_were_cut(project: Path, store: Any) -> None:
    many = tuple(file(f"many/{number:03}.csv", f"{number}") for number in range(200))
    recorded(project, store, 1, "old", writes=(file("a.csv", "a"),), tagged=False)
    recorded(project, store, 2, "many", reads=(file("b.csv", "b"),), writes=many)
    recorded(project, store, 3, "reader", reads=(file("a.csv", "a"), many[199]))
    found = ancestry(project, "reader")
    assert (("old", "wrote", "a.csv") in edges(found), found.notes) == (True, ())
    # going on from a run, its record says what its tag had no room for
    assert ("many/199.csv", "read", "reader") in edges(back(project, "b.csv"))


def test_hostile_names_stay_text(project: Path, store: Any) -> None:
    name = "@x | <b>\u202e"
    recorded(project, store, 1, "writer", writes=(file(HOSTILE, "h"), file("--help", "o")))
    recorded(project, store, 2, name, reads=(file(HOSTILE, "h"), file("--help", "o")), writes=(file("../up", "u"),))
    found = back(project, HOSTILE)
    assert [node.path for node in found.nodes if node.id in found.roots] == [HOSTILE]
    assert runs(back(project, "--help")) == [name]
    whole = ancestry(project, found.nodes[1].run_id)
    assert ("writer", "wrote", HOSTILE) in edges(whole)
    for text in (lineage_text.lineage(whole), lineage_text.tree(whole), lineage_text.tree(found)):
        assert not any(char in text for char in "\x1b\u202e") and "\n%_" not in text
    for one in ("a:b/3", "../x/1", "models:/a:b/1"):  # names that MLflow gives to no model
        with pytest.raises(UsageError):
            ancestry(project, one)
    chart = flowchart(whole)
    assert not any(char in chart for char in "<'`$\x1b\u202e")
    assert all(line.count('"') in (0, 2) for line in chart.splitlines())


def test_the_tag_of_what_was_written() -> None:
    some = [file(f"out/ü{number}", f"{number}") for number in range(3)]
    assert wrote.read(wrote.text(some)) == wrote.Wrote({one.path: one.md5 or "" for one in some})
    assert wrote.text([FileRecord("unhashed", 1, None, "untracked")]) == "{}"
    cut = wrote.read(text := wrote.text([file(f"{'deep/' * 20}{number}", f"{number}") for number in range(500)]))
    assert cut is not None and not cut.whole and 20 < len(cut.files) < 60 and len(text) <= 4_000 and text.isascii()
    assert int(json.loads(text)[""]) == 500 - len(cut.files)
    assert [wrote.read(bad) for bad in (None, "", "[1]", "{", "3", '"x"', "[" * 100_000)] == [None] * 7


def test_names_are_related_by_folders_alone() -> None:
    assert [mlflow_uses.related("a/b", other) for other in ("a/b", "a", "a/b/c", "a/bc", "b")] == [
        True,
        True,
        True,
        False,
        False,
    ]
