"""The state that the sidebar shows: true in every corner of Git and DVC, and why a run could not be brought back."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, dvc, git
from nbledger.core import dvcremote, reads, trust
from nbledger.core.checkpoint import checkpoint
from nbledger.core.errors import Unreachable
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper import calls, changes, overview, pushed


@pytest.fixture(autouse=True)
def _without_a_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "_asked", {})


def state(root: Path, **args: Any) -> dict[str, Any]:
    """What a browser gets."""
    found: dict[str, Any] = json.loads(calls.text(calls.perform(find(root), "state", args)))
    assert found["clean"] == (not found["because"])
    return found


def because(root: Path) -> list[tuple[str, str]]:
    return [(reason["kind"], reason["text"]) for reason in state(root)["because"]]


def test_from_an_empty_folder_to_a_clean_project(folder: Path) -> None:
    found = state(folder)
    assert because(folder) == [("git", "there is no Git repository")]
    assert (found["code"]["repository"], found["data"]["repository"], found["code"]["branch"]) == (False, False, None)
    assert found["notes"] == ["no Git repository: run %ledger init", "no DVC repository: run %ledger init"]
    assert not (folder / ".nbledger").exists()  # looking makes nothing
    git(folder, "init", "-q")
    found = state(folder)
    assert because(folder) == [("git", "nothing is committed yet")]
    assert (found["code"]["branch"], found["code"]["commit"], found["code"]["repository"]) == ("main", None, True)
    dvc(folder, "init", "-q")
    commit_all(folder)
    found = state(folder)
    assert found["clean"] and found["because"] == [] and found["data"]["repository"]
    assert found["data"]["remote"] is None and found["code"]["upstream"] is None


def test_each_reason_in_the_order_of_its_weight(project: Path) -> None:
    (project / ".nbledger.toml").write_text("large_file_mb = 0.001\n")
    for name in ("a", "b", "c"):
        (project / f"{name}.csv").write_text(name)
    (project / "code.py").write_text("1")
    here = find(project)
    track(here, ["a.csv", "b.csv", "c.csv"])
    commit_all(project)
    assert state(project)["clean"]
    tracked = [(one["path"], one["state"], one["folder"], one["size"]) for one in state(project)["data"]["tracked"]]
    assert tracked == [("a.csv", "clean", False, 1), ("b.csv", "clean", False, 1), ("c.csv", "clean", False, 1)]
    (project / "a.csv").write_text("changed")
    (project / "b.csv").unlink()
    (project / "loose.csv").write_text("1")
    reads.remember(here, ["loose.csv"])
    (project / "code.py").write_text("2")
    (project / "new").mkdir()
    (project / "new" / "big.bin").write_bytes(b"x" * 2000)
    assert because(project) == [
        ("data-untracked", "loose.csv was read and nothing versions it"),
        ("data-missing", "b.csv is missing"),
        ("data-changed", "a.csv is not as it was tracked"),
        ("large", "new/big.bin is above 0.001 MB and not tracked"),
        ("code", "1 file is changed and 2 not in Git"),
    ]
    found = state(project)
    assert found["code"]["large"] == [{"path": "new/big.bin", "size": 2000}]
    assert [(one["path"], one["state"]) for one in found["data"]["tracked"]] == [
        *(("a.csv", "changed"), ("b.csv", "missing"), ("c.csv", "clean")),
    ]
    assert found["data"]["tracked_count"] == 3
    git(project, "add", "new/big.bin")  # staged, but in no commit
    assert state(project)["code"]["large"] == [{"path": "new/big.bin", "size": 2000}]
    git(project, "commit", "-qm", "big")
    assert state(project)["code"]["large"] == []
    (project / ".gitignore").write_text("*.bin\n")
    (project / "new" / "other.bin").write_bytes(b"x" * 2000)
    assert state(project)["code"]["large"] == []


def test_every_corner_of_git(project: Path, tmp_path: Path) -> None:
    (project / "code.py").write_text("1\n")
    first = commit_all(project)
    git(project, "checkout", "-q", "--detach")
    assert (state(project)["code"]["branch"], state(project)["code"]["commit"]) == (None, first)
    git(project, "checkout", "-q", "main")
    (project / ".git" / "index.lock").touch()
    assert state(project)["clean"]
    (project / ".git" / "index.lock").unlink()
    git(project, "init", "-q", "--bare", str(tmp_path / "far"))
    git(project, "remote", "add", "origin", str(tmp_path / "far"))
    git(project, "push", "-q", "-u", "origin", "main")
    code = state(project)["code"]
    assert (code["upstream"], code["ahead"], code["behind"], code["undo"]) == ("origin/main", 0, 0, None)
    (project / "note.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    made = checkpoint(find(project), "A note\n\nwith more")
    code = state(project)["code"]
    assert (code["ahead"], code["undo"]) == (1, {"commit": made.commit, "message": "A note"})
    git(project, "checkout", "-qb", "side", first)
    (project / "code.py").write_text("2\n")
    commit_all(project)
    assert state(project)["code"]["upstream"] is None
    git(project, "checkout", "-qb", "other", first)
    (project / "code.py").write_text("3\n")
    commit_all(project)
    with pytest.raises(BaseException, match="CONFLICT"):
        git(project, "merge", "side")
    found = state(project)
    assert found["code"]["operation"] == "merge"
    assert [reason["kind"] for reason in found["because"]] == ["code", "operation"]


def test_looking_runs_nothing_of_the_repositorys(project: Path) -> None:
    trap = project / "trap"
    script = project / "hook.sh"
    script.write_text(f"#!/bin/sh\ntouch '{trap}'\n")
    script.chmod(0o755)
    hooks = project / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman"):
        (hooks / name).symlink_to(script)
    git(project, "config", "core.hooksPath", str(hooks))
    git(project, "config", "core.fsmonitor", str(script))
    (project / "code.py").write_text("1")
    state(project)
    assert not trap.exists()
    git(project, "status")
    assert trap.exists()  # plain Git does


def test_where_the_project_lies_for_the_server(project: Path) -> None:
    sub = project / "sub" / "dir"
    sub.mkdir(parents=True)

    def place(served: Path | None) -> tuple[str | None, str]:
        found = state(project, **({"served": str(served)} if served else {}))
        return found["base"], found["prefix"]

    assert place(project) == ("", "")
    assert place(project.parent) == ("project", "")
    assert place(sub) == (None, "sub/dir")
    assert place(Path("/usr")) == (None, "") == place(None)
    link = project.parent / "link"
    link.symlink_to(project.parent)
    assert place(link) == ("project", "")


def test_what_the_remote_lacks_is_asked_beside_and_known_for_these_versions(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "a.csv").write_text("1")
    track(find(project), ["a.csv"])
    dvc(project, "remote", "add", "-d", "far", str(tmp_path / "far"))
    data = state(project)["data"]
    assert data["remote"] == {"name": "far", "url": str(tmp_path / "far")}
    assert (data["pushed_known"], data["not_pushed"]) == (False, [])  # nobody watches: nobody waits for a network
    here = find(project)
    trust.trust(here)

    def known() -> dict[str, Any]:
        """The state once the remote has answered; while it has not, the state does not wait."""
        while not (found := state(project)["data"])["pushed_known"]:
            ready.wait(30)
        return found

    ready = threading.Event()
    with changes.subscribed(here) as told:
        monkeypatch.setattr(told, "ring", ready.set)
        assert known()["not_pushed"] == ["a.csv"]
        (project / "a.csv").write_text("2")
        track(here, ["a.csv"])
        assert state(project)["data"]["pushed_known"] is False  # another version
        assert known()["not_pushed"] == ["a.csv"]
        dvc(project, "push", "-q")
        pushed.forget(here)
        assert known()["not_pushed"] == []

        def fail(_: object) -> list[str]:
            raise Unreachable("dvc data status: the remote did not answer", "check the network")

        monkeypatch.setattr(dvcremote, "not_in_remote", fail)
        pushed.forget(here)
        ready.clear()
        state(project)
        assert ready.wait(30)
        found = state(project)
        assert not found["data"]["pushed_known"]
        assert [n for n in found["notes"] if "what the data remote lacks is not known" in n]


def test_who_asks_at_once_shares_a_look_that_begins_later(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    began, go_on = threading.Event(), threading.Event()
    look = overview.status

    def slow(*args: Any) -> Any:
        looks.append(1)
        found = look(*args)
        began.set()
        go_on.wait(30)
        return found

    monkeypatch.setattr(overview, "status", slow)
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(state(project)["code"]["untracked"])) for _ in range(9)]
    threads[0].start()
    assert began.wait(30)
    (project / "late.py").write_text("")  # after the first look: the others must see it
    for thread in threads[1:]:
        thread.start()
    while len(looks) < 1 or sum(thread.is_alive() for thread in threads) < 9:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers[0] == [] and answers[1:] == [["late.py"]] * 8
    assert len(looks) < 9


def test_status_says_its_first_reason(project: Path) -> None:
    from nbledger.commands import text

    (project / "new.py").write_text("")
    first = text.status(overview.status(find(project))).splitlines()[0]
    assert first == f"{os.getcwd()}: not clean: new.py is not in Git"
