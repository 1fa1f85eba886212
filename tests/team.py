"""A team at its servers: people with homes, identities and credentials of their own, one Git server, one bucket, one MLflow
server with PostgreSQL behind it and logins before it.

``office()`` starts the servers and gives the people; ``Office.set_up()`` makes the project as Ada would, and a clone for
everybody else.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import isolated_environment, run, short_folder, stop_keepers
from forked import shared
from githttp import GitHttp
from kernels import Kernel, kernel
from servers import S3, Postgres, Server, token

CLI = (sys.executable, "-m", "nbledger.cli")
BUCKET = "ledger"
ADMIN = "keeper-of-logins"

_INSIDE = """
import os, sys
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(os.open({said!r}, os.O_WRONLY), 2)
from {module} import main
sys.exit(main({words!r}))
"""

_IDENTITY = """\
[user]
    name = {name}
    email = {email}
[init]
    defaultBranch = main
[commit]
    gpgSign = false
[credential]
    helper = store
[protocol "file"]
    allow = always
"""


@dataclass
class Person:
    """Somebody of the team: ``root`` is the project's folder in ``home``, ``env`` the whole environment of what they start.

    ``secrets`` {what for: password} are those that they alone know: for Git's server (in Git's credential store), for S3
    (``AWS_*``) and for MLflow's server (``MLFLOW_TRACKING_*``).
    """

    name: str
    email: str
    home: Path
    root: Path
    env: dict[str, str] = field(repr=False)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    typed: list[str] = field(default_factory=list, repr=False)
    """Every command so far, as it would stand in a terminal."""

    @property
    def runtime(self) -> Path:
        """Jupyter's runtime folder, with the keepers' sockets."""
        return Path(self.env["JUPYTER_RUNTIME_DIR"])

    def git(self, *words: str, ok: bool = True) -> str:
        """What ``git WORDS`` prints (stripped); where it may fail (``ok`` false), what it says to standard error as well."""
        self.typed.append(" ".join(("git", *words)))
        if ok:
            return run("git", *words, cwd=self.root, env=self.env)
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
        return str(subprocess.run(["git", *words], cwd=self.root, env=self.env, check=False, **said).stdout).strip()

    def dvc(self, *words: str, ok: bool = True) -> str:
        self.typed.append(" ".join(("dvc", *words)))
        return self._inside("dvc.cli", words, ok, ("dvc.cli", "dvc.repo", "dvc.commands"))

    def ledger(self, *words: str, ok: bool = True, cwd: Path | None = None) -> str:
        """What ``nbledger WORDS`` prints (stripped); where it may fail (``ok`` false), what it says to standard error as well.

        The process is a fork of one in which MLflow is imported already; ``start`` has a real one.
        """
        self.typed.append(" ".join(("nbledger", *words)))
        return self._inside("nbledger.cli", words, ok, (), cwd)

    def _inside(
        self, module: str, words: Sequence[str], ok: bool, warm: tuple[str, ...], cwd: Path | None = None
    ) -> str:
        with tempfile.NamedTemporaryFile(mode="r", prefix="said-") as said:
            code = _INSIDE.format(said=said.name, module=module, words=list(words))
            ended = shared(*warm).run(code, cwd or self.root, self.env)
            complaint = said.read()
        if ok and ended.code:
            pytest.fail(
                f"{self.name}: `{module} {' '.join(words)}` exited with {ended.code}:\n{ended.out}\n{complaint}"
            )
        return ended.out.strip() if ok else f"{ended.out}\n{complaint}".strip()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """``nbledger WORDS`` as a process of its own, which is not waited for."""
        self.typed.append(" ".join(("nbledger", *words)))
        return subprocess.Popen(
            [*CLI, *words],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def write(self, cells: Sequence[str], name: str = "work.ipynb") -> Path:
        """A notebook of these code cells; a cell that stays at its place keeps its id."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook_of(cells, name), indent=1) + "\n")
        return path

    def notebook(self, cells: Sequence[str], name: str = "work.ipynb", *words: str, ok: bool = True) -> str:
        """Write the notebook and execute it with ``nbledger run``, as a run of its own; what that prints."""
        self.write(cells, name)
        return self.ledger("run", name, *words, ok=ok)

    def execute(self, cells: Sequence[str], name: str = "work.ipynb") -> str:
        """Write the notebook and execute it in place with plain nbconvert: what its cells track are its runs."""
        path = self.write(cells, name)
        words = ("nbconvert", "--to", "notebook", "--execute", "--inplace", str(path))
        return run(sys.executable, "-m", "jupyter", *words, cwd=self.root, env=self.env)

    @contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """A kernel in the project, with the extension loaded."""
        with kernel(self.root, self.env) as started:
            yield started

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Nothing outside this machine answers them: all their connections end at a proxy that is not there. The keeper ends
        with the network, as when a laptop is closed and taken along.
        """
        before = dict(self.env)
        stop_keepers(self.runtime)
        nowhere = "http://127.0.0.1:9"
        self.env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere)
        self.env |= {"no_proxy": "", "NO_PROXY": ""}
        try:
            yield
        finally:
            stop_keepers(self.runtime)
            self.env.clear()
            self.env |= before

    def on(self, day: str, hour: int = 12) -> None:
        """Commit at that time (UTC) from now on. ``day``: 2026-11-23."""
        moment = f"{day}T{hour:02}:00:00+0000"
        self.env |= {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}


@dataclass
class Office:
    """The servers and the people."""

    git: GitHttp
    s3: S3
    database: Postgres
    mlflow: Server
    people: tuple[Person, ...]

    @property
    def remote(self) -> tuple[str, ...]:
        """What ``nbledger init`` is told of where the team's data go."""
        return "--remote", f"s3://{BUCKET}/data", "--remote-option", f"endpointurl={self.s3.endpoint}"

    def person(self, name: str) -> Person:
        return next(one for one in self.people if one.name == name)

    def set_up(self, settings: str = "") -> None:
        """The first person makes the project and pushes it; the others clone it with plain Git, and trust it.

        ``settings``: more lines of ``.nbledger.toml``.
        """
        first, *others = self.people
        first.root.mkdir(parents=True)
        first.ledger("init", *self.remote, "--tracking-uri", self.mlflow.uri)
        with open(first.root / ".nbledger.toml", "a") as toml:
            toml.write(settings)
        first.git("commit", "--quiet", "--all", "--allow-empty", "--message", "Set up the project")
        first.git("remote", "add", "origin", self.git.url)
        first.ledger("push")
        for person in others:
            self.clone(person)

    def on(self, day: str) -> None:
        """Everybody's machine was off overnight; they commit on that day from now on, an hour after the one before them."""
        stop_keepers(*(person.runtime for person in self.people))
        for hour, person in enumerate(self.people, start=9):
            person.on(day, hour)

    def clone(self, person: Person, name: str = "project") -> Path:
        """A clone in the person's home, which they trust."""
        place = person.home / name
        run("git", "clone", "--quiet", self.git.url, place, cwd=person.home, env=person.env)
        person.ledger("trust", cwd=place)
        return place


@contextmanager
def office(folder: Path, people: Sequence[str] = ("Ada", "Ben", "Cleo"), auth: bool = True) -> Iterator[Office]:
    """The servers, started side by side, and the people; all end with it, the people's keepers included.

    With ``auth`` false MLflow's server asks nobody for a login.
    """
    with contextlib.ExitStack() as stack:
        places = {name: _place(folder, name) for name in ("git", "s3", "pg", "mlflow")}
        logins = {name.lower(): token() for name in people}
        bucket = S3(places["s3"], BUCKET, [name.lower() for name in people])
        stack.callback(bucket.stop)
        git = GitHttp(places["git"], logins)
        stack.callback(git.stop)
        git.start()
        tracking: list[tuple[Postgres, Server]] = []

        def start_tracking() -> None:
            database = Postgres(places["pg"])
            stack.callback(database.close)
            server = Server(
                places["mlflow"],
                database,
                f"s3://{BUCKET}/mlflow",
                (ADMIN, token()) if auth else None,
                accounts=database.database("accounts") if auth else None,
                env=bucket.environment(),
            )
            stack.callback(server.stop)
            tracking.append((database, server))
            server.start()

        _together(bucket.start, start_tracking, shared)
        ((database, server),) = tracking
        team = tuple(_person(folder, name, git, bucket, server, stack) for name in people)
        stack.callback(stop_keepers, *(person.runtime for person in team))
        yield Office(git, bucket, database, server, team)


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    return place


def _person(folder: Path, name: str, git: GitHttp, bucket: S3, server: Server, stack: contextlib.ExitStack) -> Person:
    login, home, runtime = name.lower(), folder / "homes" / name.lower(), short_folder()
    home.mkdir(parents=True)
    stack.callback(shutil.rmtree, runtime, ignore_errors=True)
    env = isolated_environment(home, runtime)
    env = {key: value for key, value in env.items() if not key.startswith("AWS_")}
    email = f"{login}@example.org"
    (home / ".gitconfig").write_text(_IDENTITY.format(name=name, email=email))
    (home / ".git-credentials").write_text(f"{git.address(login)}\n")
    (home / ".git-credentials").chmod(0o600)
    key, secret = bucket.keys[login]
    env |= {
        "USER": login,
        "LOGNAME": login,
        "GIT_TERMINAL_PROMPT": "0",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    secrets = {"git": git.logins[login], "s3": secret}
    if server.auth is not None:
        secrets["mlflow"] = token()
        server.add_user(login, secrets["mlflow"])
        env |= {"MLFLOW_TRACKING_USERNAME": login, "MLFLOW_TRACKING_PASSWORD": secrets["mlflow"]}
    return Person(name, email, home, home / "project", env, secrets)


def _together(*deeds: Callable[[], Any]) -> None:
    """Do these at the same time; the first failure is raised once all have ended."""
    failed: list[BaseException] = []

    def attempt(deed: Callable[[], Any]) -> None:
        try:
            deed()
        except BaseException as err:
            failed.append(err)

    threads = [threading.Thread(target=attempt, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def at_once(*commands: tuple[Person, Sequence[str]]) -> list[str]:
    """``nbledger WORDS`` of each of these people, all at the same moment; what each prints. One that fails fails the test."""
    warm = shared()
    with tempfile.TemporaryDirectory(prefix="said-") as folder:
        pids = []
        for number, (person, words) in enumerate(commands):
            person.typed.append(" ".join(("nbledger", *words)))
            said = Path(folder, str(number))
            said.touch()
            code = _INSIDE.format(said=str(said), module="nbledger.cli", words=list(words))
            pids.append(warm.fork(code, person.root, person.env))
        ended = warm.go(*pids)
        for number, (one, (person, words)) in enumerate(zip(ended, commands, strict=True)):
            if one.code:
                complaint = Path(folder, str(number)).read_text()
                pytest.fail(f"{person.name}: `{' '.join(words)}` exited with {one.code}:\n{one.out}\n{complaint}")
    return [one.out.strip() for one in ended]


def notebook_of(cells: Sequence[str], name: str = "work.ipynb") -> dict[str, Any]:
    """A notebook of these code cells; one that begins with ``# parameters`` is tagged so."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{number}").hex[:8],
                "metadata": {"tags": ["parameters"]} if source.startswith("# parameters") else {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
