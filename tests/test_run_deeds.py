"""What can be done with a run afterwards, on SQLite; each time plain MLflow is asked what it then says."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import ViewType

from nbledger.core import trust
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.core.records import Preview
from nbledger.keeper import deeds_run, journal
from test_run_views import api, ask, made


def alive(root: Path) -> set[str]:
    client = api(root)
    found = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], run_view_type=ViewType.ACTIVE_ONLY
    )
    return {r.info.run_id for r in found}


def preview(root: Path, run: str) -> Preview:
    return deeds_run.preview_delete(find(root), {"run": run})


def test_tags_name_and_note_are_the_users_own(project: Path) -> None:
    client, run = api(project), made(project, "first", tags={"nbledger.order": "clean", "k": "old", "gone": "1"})
    ask(project, "set_tags", run="first", tags={"k": "new", "a/b c.d-e:f é": "<b>", "gone": None, "never": None})
    tags = client.get_run(run).data.tags
    assert (tags["k"], tags["a/b c.d-e:f é"], tags["nbledger.order"]) == ("new", "<b>", "clean")
    assert {"gone", "never"}.isdisjoint(tags)

    refused = ("nbledger.order", "nbledger.mine", "mlflow.source.name", "mlflow.source.git.commit", "mlflow.user")
    for key in refused:
        for value in ("x", None):
            with pytest.raises(Refused, match="stays as it is"):
                ask(project, "set_tags", run=run, tags={"fine": "1", key: value})
    for key, value, said in (
        ("a=b", "1", "no name that MLflow takes"),
        ("", "1", "is empty"),
        ("..", "1", "no name that MLflow takes"),
        ("a//b", "1", "no name that MLflow takes"),
        ("k" * 251, "1", "longer than 250"),
        ("long", "v" * 8001, "longer than 8000|8,001 characters"),
    ):
        with pytest.raises(UsageError, match=said):
            ask(project, "set_tags", run=run, tags={"fine": "1", key: value})
    assert client.get_run(run).data.tags == tags  # all or nothing
    ask(project, "set_tags", run=run, tags={"k" * 250: "v" * 8000})
    assert client.get_run(run).data.tags["k" * 250] == "v" * 8000

    ask(project, "rename", run=run, name="  Größe 2 <b>  ")
    assert client.get_run(run).info.run_name == client.get_run(run).data.tags["mlflow.runName"] == "Größe 2 <b>"
    assert ask(project, "detail", run="Größe 2 <b>")["run"]["run_id"] == run
    for name in ("", " ", "two\nlines", "x" * 251):
        with pytest.raises(UsageError):
            ask(project, "rename", run=run, name=name)
    ask(project, "note", run=run, text="# seen\n\n<script>")
    assert client.get_run(run).data.tags["mlflow.note.content"] == "# seen\n\n<script>"
    assert ask(project, "detail", run=run)["note"] == "# seen\n\n<script>"
    ask(project, "note", run=run, text="")
    assert "mlflow.note.content" not in client.get_run(run).data.tags
    with pytest.raises(UsageError, match="8,001"):
        ask(project, "note", run=run, text="x" * 8001)


def test_a_deleted_run_comes_back_with_the_children_that_went_with_it(project: Path) -> None:
    client, run = api(project), made(project, "sweep")
    children = [made(project, f"child {n}", tags={"mlflow.parentRunId": run}) for n in range(2)]
    grandchild = made(project, "inner", tags={"mlflow.parentRunId": children[0]})
    early = made(project, "early", tags={"mlflow.parentRunId": run})
    other = made(project, "other")
    client.delete_run(early)
    said = preview(project, "sweep")
    assert said.refused is None
    assert said.lines[1] == "so are its 3 children"
    assert alive(project) == {run, *children, grandchild, other}  # a preview does nothing

    gone = ask(project, "delete", run="sweep")
    assert (gone["run_id"], gone["runs"][0], set(gone["runs"])) == (run, run, {run, *children, grandchild})
    assert alive(project) == {other}
    assert client.get_run(children[1]).info.lifecycle_stage == "deleted"
    for call, more in (
        ("set_tags", {"tags": {"a": "b"}}),
        ("rename", {"name": "x"}),
        ("note", {"text": "x"}),
        ("delete", {}),
    ):
        with pytest.raises(Refused, match="is deleted"):
            ask(project, call, run=run, **more)
    assert preview(project, run).refused["kind"] == "Refused"

    back = ask(project, "bring_back", run=run)
    assert set(back["runs"]) == {run, *children, grandchild}
    assert alive(project) == {run, *children, grandchild, other}
    assert client.get_run(early).info.lifecycle_stage == "deleted"  # it had been deleted before
    assert not any(k.startswith("nbledger.deleted") for k in client.get_run(children[0]).data.tags)
    assert ask(project, "bring_back", run=run)["runs"] == [run]  # again: nothing more
    with pytest.raises(UsageError, match="there is no run"):
        ask(project, "delete", run="never")


def test_what_is_being_recorded_is_not_deleted(project: Path) -> None:
    run = made(project, "parent")
    child = made(project, "child", status=None, tags={"mlflow.parentRunId": run})
    for name, said in (
        ("child", r"the run child \(.*\) is going on"),
        ("parent", r"the child run child \(.*\) is going on"),
    ):
        with pytest.raises(Refused, match=said):
            ask(project, "delete", run=name)
        assert preview(project, name).refused["error"]
    assert alive(project) == {run, child}
    ident = journal.new_id()
    (journal.folder(find(project)) / ident).mkdir(parents=True)
    half = made(project, "half", tags={"nbledger.journal": ident})
    with pytest.raises(Refused, match="not published whole"):
        ask(project, "delete", run=half)
    (journal.folder(find(project)) / ident).rmdir()
    assert ask(project, "delete", run=half)["runs"] == [half]
    ask(project, "set_tags", run=child, tags={"k": "v"})  # a run that is going on takes tags
    assert api(project).get_run(child).data.tags["k"] == "v"


def test_looking_makes_no_store_and_one_that_is_away_is_said(project: Path) -> None:
    assert ask(project, "models") == {"models": [], "notes": [], "gates": [], "demands": []}
    for call in ("detail", "notebook", "delete"):
        with pytest.raises(UsageError, match="nothing was recorded"):
            ask(project, call, run="first")
    for kind in ("reproduce", "delete", "promote", "alias"):
        assert ask(project, "preview", kind=kind, run="first", model="m", alias="a")["refused"]
    assert not (project / ".nbledger").exists()
    (project / ".nbledger.toml").write_text('tracking_uri = "http://127.0.0.1:9"\n')
    trust.trust(find(project))
    needed = {
        "set_tags": {"tags": {"a": "b"}},
        "rename": {"name": "n"},
        "note": {"text": "t"},
        "promote": {"model": "m"},
    }
    for call, words in ({"delete": {}, "bring_back": {}} | needed).items():
        with pytest.raises(LedgerError, match="does not answer"):
            ask(project, call, run="x", **words)
