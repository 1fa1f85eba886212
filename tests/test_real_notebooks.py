"""Notebooks that others wrote, recorded on one machine and brought back on another that has only the remotes.

``tests/notebooks/notebooks.toml`` lists them. They are recorded in one project; then the project is wiped, with its DVC
cache and its home, and every run is reproduced from a fresh clone: Git gives the code, the DVC remote the data, the
tracking store the record, and the record the environment, since the second machine has none of the notebooks' packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import isolated_environment, short_folder, stop_keepers
from conftest import run as run_command
from ledger import client
from notebooks.shelf import Book, books, fetched, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BOOKS = books()
VERDICTS = ("identical", "within-tolerance", "different", "not-restorable")
PAGE = Path(__file__).parents[1] / "docs" / "reproduced-notebooks.md"
RECORDER = Path(__file__).parent / "notebooks" / "record_session.py"


@dataclass(frozen=True)
class Machine:
    """A person's computer: a home of its own, an interpreter with the notebooks' packages, a copy of the project."""

    root: Path
    python: Path
    env: dict[str, str]

    def run(self, *words: str | Path, timeout: float = 240) -> str:
        return run_command(*words, cwd=self.root, env=self.env, timeout=timeout)

    def git(self, *words: str) -> str:
        return self.run("git", *words)

    def dvc(self, *words: str) -> str:
        return self.run(self.python, "-m", "dvc", *words)

    def nbledger(self, *words: str) -> str:
        return self.run(self.python, "-m", "nbledger.cli", *words)


def machine(folder: Path, interpreter: Path, runtime: Path) -> Machine:
    home = folder / "home"
    home.mkdir(parents=True)
    # Downloads stay where they are: what is wiped is the project, not the network's cache.
    downloads = run_command(
        "uv", "cache", "dir", cwd=folder, env=dict(os.environ) | {"PATH": _path(Path(sys.executable))}
    )
    env = isolated_environment(home, runtime) | {"PYTHONPATH": str(Path(__file__).parent), "UV_CACHE_DIR": downloads}
    return Machine(folder / "project", interpreter, env | {"PATH": _path(interpreter)})


def _path(interpreter: Path) -> str:
    return os.pathsep.join((str(interpreter.parent), os.environ["PATH"]))


@dataclass(frozen=True)
class Clone:
    """The project on the second machine, and {book's id: run id} of what was recorded on the first."""

    machine: Machine
    runs: dict[str, str]


@pytest.fixture(scope="module")
def clone(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Everything recorded on one machine that is gone, and cloned on another."""
    runtime = short_folder()
    try:
        yield recorded_and_wiped(tmp_path_factory.mktemp("shared"), pytestconfig.cache.mkdir("notebooks"), runtime)
    finally:
        stop_keepers(runtime)
        shutil.rmtree(runtime, ignore_errors=True)


def recorded_and_wiped(base: Path, shelf: Path, runtime: Path) -> Clone:
    sources = {book.id: fetched(book, shelf) for book in BOOKS}
    first = machine(base / "first", python(shelf), runtime)
    _set_up(first, base)
    for book in BOOKS:
        _put(book, sources[book.id], first)
    _commit_and_push(first)
    _record(first)
    rows = {row["notebook"]: row for row in json.loads(first.nbledger("runs", "--json", "-n", "1000"))}
    assert set(rows) == {book.place for book in BOOKS}
    assert {row["status"] for row in rows.values()} == {"FINISHED"}
    first.git("push", "--quiet", "origin", "main", "refs/nbledger/*:refs/nbledger/*")
    stop_keepers(runtime)
    shutil.rmtree(base / "first")

    second = machine(base / "second", Path(sys.executable), runtime)
    run_command("git", "clone", "--quiet", base / "origin.git", second.root, cwd=base, env=second.env)
    second.git("fetch", "--quiet", "origin", "refs/nbledger/*:refs/nbledger/*")
    assert not (second.root / ".dvc" / "cache").exists()
    second.nbledger("init")  # makes nothing, and wakes the keeper, as opening the project would
    return Clone(second, {book.id: rows[book.place]["run_id"] for book in BOOKS})


def _set_up(first: Machine, base: Path) -> None:
    """A project whose code, data and runs go to three shared places."""
    first.root.mkdir()
    store, artifacts = f"sqlite:///{base / 'tracking' / 'mlflow.db'}", base / "tracking" / "artifacts"
    artifacts.mkdir(parents=True)
    client(store).create_experiment(first.root.name, artifact_location=artifacts.as_uri())
    run_command("git", "init", "--quiet", "--bare", base / "origin.git", cwd=base, env=first.env)
    first.nbledger("init", "--remote", str(base / "data"), "--tracking-uri", store)
    first.git("remote", "add", "origin", str(base / "origin.git"))


def _put(book: Book, source: Path, first: Machine) -> None:
    folder = first.root / book.folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in book.files:
        shutil.copy(source / path, folder)
    if book.beside:
        first.nbledger("track", *(f"{book.folder}/{name}" for name in book.beside), "-m", f"The data of {book.name}")


def _commit_and_push(first: Machine) -> None:
    first.git("add", "--all")
    first.git("commit", "--quiet", "-m", "Notebooks")
    first.git("push", "--quiet", "origin", "main")
    first.dvc("push", "--quiet")


def _record(first: Machine) -> None:
    """The batch notebooks in one call of nbconvert, each of the others in a kernel of its own."""
    batch = [book.place for book in BOOKS if book.how == "batch"]
    convert = (first.python, "-m", "nbconvert", "--log-level=WARN", "--to", "ledger")
    first.run(*convert, "--output-dir", first.root.parent / "executed", *batch, timeout=800)
    for book in BOOKS:
        if book.how == "session":
            first.run(first.python, RECORDER, first.root / book.place, book.id, *book.metrics)


def reproduced(clone: Clone, book: Book, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of ``nbledger reproduce``."""
    here = clone.machine
    done = subprocess.run(
        [here.python, "-m", "nbledger.cli", "reproduce", clone.runs[book.id], "--json", *options],
        cwd=here.root, env=here.env, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.stdout.startswith("{"), f"exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.returncode, json.loads(done.stdout)


def test_the_table_holds_a_dozen_notebooks_and_a_reason_for_every_other_verdict() -> None:
    assert len(BOOKS) >= 12
    assert len({book.place for book in BOOKS}) == len(BOOKS)
    assert {book.verdict for book in BOOKS} <= set(VERDICTS)
    assert not [book.id for book in BOOKS if book.verdict != "identical" and not book.why]
    assert not [book.id for book in BOOKS if bool(book.why) != bool(book.evidence)]


def test_the_page_says_what_the_table_says() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    assert lines == [
        f"| {book.package} {book.version} | `{book.path}` | {book.how} | {book.verdict} | {book.why} |"
        for book in BOOKS
    ]


def test_without_its_packages_a_run_is_not_restorable_and_they_are_named(clone: Clone) -> None:
    book = next(book for book in BOOKS if book.package == "lmfit")
    code, answer = reproduced(clone, book)
    assert (code, answer["verdict"]) == (1, "not-restorable"), answer
    assert f"{book.package} {book.version}" in {missing["what"] for missing in answer["missing"]}


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.id)
def test_reproduced_from_the_remotes_alone(clone: Clone, book: Book) -> None:
    code, answer = reproduced(clone, book, "--env", "rebuild")
    told = json.dumps(answer, indent=1, ensure_ascii=False)
    assert answer["verdict"] == book.verdict, told
    assert code == (0 if book.verdict in ("identical", "within-tolerance") else 1)
    assert re.search(book.evidence, told), told
    compared = answer["compared"]
    assert compared["metrics"] + compared["files"] + compared["texts"] > 0 or book.why, told
    assert clone.machine.git("status", "--porcelain") == ""
