"""A repository that came as a folder or an archive, in which everything that Git, DVC, MLflow, Python and nbledger could be made
to execute is a canary: a program that writes its name to a list.

``python hostile.py dvc ROOT`` and ``python hostile.py mlflow ROOT HOST`` plant what needs those packages, in a process each.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOOKS = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "post-index-change",
]
MODULES = [
    "json",
    "mlflow",
    "nbledger",
    "dvc",
    "sitecustomize",
    "usercustomize",
    "tomllib",
    "git",
    "pandas",
    "click",
    "tornado",
]
JOURNAL = "e" * 32
RUN = "a" * 32
ELSEWHERE = "b" * 32


class Bomb:
    """Whoever unpickles it writes its name."""

    def __init__(self, log: Path, name: str) -> None:
        self.log, self.name = log, name

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"echo {self.name} >> {self.log}",)


@dataclass
class Hostile:
    """The repository at ``root``; canaries that were executed stand in ``log``, one name a line."""

    root: Path
    bin: Path
    log: Path
    outside: Path
    names: list[str] = field(default_factory=list)

    def canary(self, name: str) -> Path:
        """A program of that name."""
        path = self.bin / name.replace("/", "_")
        path.write_text(f"#!/bin/sh\necho {name} >> {self.log}\nexec cat\n")
        path.chmod(0o755)
        self.names.append(name)
        return path

    def pickle(self, name: str) -> bytes:
        self.names.append(name)
        return pickle.dumps(Bomb(self.log, name))

    @property
    def fired(self) -> list[str]:
        return sorted(set(self.log.read_text().split())) if self.log.exists() else []


def git(root: Path, *words: str) -> str:
    """A call in which nothing of the repository runs."""
    quiet = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false"]
    done = subprocess.run(["git", *quiet, *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make(root: Path, place: Path, port: int) -> Hostile:
    """Make the Git and DVC repository ``root`` hostile. ``place`` is where canaries and their list are, outside of it;
    ``port`` that of a server that nobody may ask.
    """
    made = Hostile(root, place / "bin", place / "fired", place / "outside")
    made.bin.mkdir(parents=True)
    made.outside.mkdir()
    (made.outside / "mine.txt").write_text("mine\n")
    _history(made)
    _dvc(made, port)
    _mlflow(made, port)
    _python(made)
    _git(made, port)
    return made


def _history(made: Hostile) -> None:
    root = made.root
    (root / "a.py").write_text("print(1)\n")
    (root / "note.ipynb").write_text(_notebook(made))
    (root / "data.dat").write_text("1\n")
    (root / ".gitattributes").write_text(
        "*.dat filter=evil diff=evil merge=evil\n*.py diff=evil filter=a=b\n*.ipynb filter=proc\n"
    )
    (root / "big.csv").write_text("1,2\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    # a commit that claims to be signed: log.showSignature would have gpg.program judge it
    raw = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=root, capture_output=True, check=True).stdout
    head, _, message = raw.partition(b"\n\n")
    signed = head + b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n\n" + message
    made_id = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=root, input=signed, capture_output=True, check=True
    ).stdout
    git(root, "update-ref", "HEAD", made_id.decode().strip())
    (root / "a.py").write_text("print(2)\n")
    (root / "data.dat").write_text("2\n")
    (root / "new.dat").write_text("new\n")


def _notebook(made: Hostile) -> str:
    shout = f"import os; os.system('echo notebook >> {made.log}')"
    made.names.append("notebook")
    cell = {
        "cell_type": "code",
        "id": "c1",
        "metadata": {"trusted": True},
        "source": shout,
        "outputs": [],
        "execution_count": 1,
    }
    return json.dumps(
        {
            "cells": [cell],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def _git(made: Hostile, port: int) -> None:
    root, c = made.root, made.canary
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        shutil.copy(c(f"hook-{name}"), hooks / name)
    other = root / "hooks2"
    other.mkdir()
    for name in HOOKS:
        shutil.copy(c(f"hooksPath-{name}"), other / name)
    config = f"""
[core]
    hooksPath = hooks2
    fsmonitor = {c("core.fsmonitor")}
    sshCommand = {c("core.sshCommand")}
    pager = {c("core.pager")}
    editor = {c("core.editor")}
    askPass = {c("core.askPass")}
    gitProxy = {c("core.gitProxy")}
    alternateRefsCommand = {c("core.alternateRefsCommand")}
    attributesFile = .evilattributes
[sequence]
    editor = {c("sequence.editor")}
[pager]
    status = {c("pager.status")}
    log = {c("pager.log")}
[alias]
    status = !{c("alias.status")}
    ls-files = !{c("alias.ls-files")}
[diff]
    external = {c("diff.external")}
[diff "evil"]
    textconv = {c("diff.textconv")}
    command = {c("diff.command")}
[filter "evil"]
    clean = {c("filter.clean")}
    smudge = {c("filter.smudge")}
    required = true
[filter "a=b"]
    clean = {c("filter.equals-sign")}
[filter "proc"]
    process = {c("filter.process")}
    required = true
[merge "evil"]
    driver = {c("merge.driver")}
[gpg]
    program = {c("gpg.program")}
[gpg "ssh"]
    program = {c("gpg.ssh.program")}
[log]
    showSignature = true
[commit]
    gpgSign = true
[credential]
    helper = {c("credential.helper")}
[protocol "ext"]
    allow = always
[remote "origin"]
    url = ssh://git@127.0.0.1:{port}/x.git
    fetch = +refs/heads/*:refs/remotes/origin/*
    uploadpack = {c("remote.uploadpack")}
    receivepack = {c("remote.receivepack")}
    promisor = true
    partialclonefilter = blob:none
[remote "ext"]
    url = ext::{c("ext-url")} %S
    promisor = true
[remote "local"]
    url = ./bare.git
    uploadpack = {c("local.uploadpack")}
    promisor = true
[remote "--upload-pack={c("remote-name")}"]
    url = ./bare.git
[branch "main"]
    remote = origin
    merge = refs/heads/main
[extensions]
    worktreeConfig = true
[include]
    path = ../included
[submodule]
    recurse = true
"""
    (root / "included").write_text(f'[filter "included"]\n    clean = {c("include.path")}\n    required = true\n')
    (root / ".evilattributes").write_text("*.py filter=included\n")
    (root / ".git" / "config.worktree").write_text(f'[filter "tree"]\n    clean = {c("config.worktree")}\n')
    _submodule(made)
    _bare(made)
    with open(root / ".git" / "config", "a") as file:
        file.write(config)
    # an object of HEAD that is missing: reading it would fetch it
    blob = git(root, "rev-parse", "HEAD:big.csv")
    (root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    os.utime(root / "a.py")


def _submodule(made: Hostile) -> None:
    inner = made.root / "sub"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "x.dat").write_text("1\n")
    (inner / ".gitattributes").write_text("*.dat filter=inner\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "x")
    head = git(inner, "rev-parse", "HEAD")
    with open(inner / ".git" / "config", "a") as file:
        file.write(f"[core]\n    fsmonitor = {made.canary('submodule.fsmonitor')}\n")
        file.write(f'[filter "inner"]\n    clean = {made.canary("submodule.filter")}\n    required = true\n')
    (inner / "x.dat").write_text("2\n")
    git(made.root, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    (made.root / ".gitmodules").write_text(
        f'[submodule "sub"]\n    path = sub\n    url = ./sub\n    ignore = none\n    update = !{made.canary("submodule.update")}\n'
    )


def _bare(made: Hostile) -> None:
    """A bare repository embedded in the tree."""
    bare = made.root / "bare.git"
    git(made.root, "init", "-q", "--bare", "bare.git")
    with open(bare / "config", "a") as file:
        file.write(f"[core]\n    fsmonitor = {made.canary('bare.fsmonitor')}\n    worktree = ..\n")
        file.write(f"[uploadpack]\n    packObjectsHook = {made.canary('bare.packObjectsHook')}\n")
    for name in ("update", "post-receive", "pre-receive"):
        shutil.copy(made.canary(f"bare-hook-{name}"), bare / "hooks" / name)


def _python(made: Hostile) -> None:
    for name in MODULES:
        made.names.append(f"module-{name}")
        text = f"import os\nos.system('echo module-{name} >> {made.log}')\n"
        (made.root / f"{name}.py").write_text(text)
    made.names.append("params.py")
    (made.root / "params.py").write_text(f"import os\nlr = 1\nos.system('echo params.py >> {made.log}')\n")


def _dvc(made: Hostile, port: int) -> None:
    root = made.root
    subprocess.run([sys.executable, "-P", __file__, "dvc", str(root), str(made.log)], check=True, timeout=250)
    made.names += ["dvc-links-pickle", "dvc-hashes-pickle", "dvc-index-pickle", "dvc-tmp-pickle"]
    aws = made.canary("aws.credential_process")
    (root / "aws").write_text(f"[default]\ncredential_process = {aws}\n[profile evil]\ncredential_process = {aws}\n")
    (root / ".dvc" / "config").write_text(
        f"[core]\n    remote = evil\n    site_cache_dir = {root}/.dvc/site\n    analytics = false\n    autostage = true\n"
        f"    hardlink_lock = true\n[cache]\n    dir = {root}/evilcache\n    type = symlink\n"
        f"['remote \"evil\"']\n    url = s3://bucket/x\n    endpointurl = http://127.0.0.1:{port}\n    configpath = ../aws\n"
        "    profile = evil\n"
        f"['remote \"web\"']\n    url = ssh://127.0.0.1:{port}/x\n    ask_password = true\n    keyfile = ../key\n"
    )
    (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = false\n")
    cmd = made.canary("dvc.yaml-cmd")
    (root / "dvc.yaml").write_text(
        f"vars:\n  - params.py\n  - names: [x, y]\nstages:\n  each:\n    foreach: ${{names}}\n    do:\n      cmd: {cmd} ${{item}}\n"
        f"      deps: [a.py]\n      params: [params.py:lr]\n      outs: ['out-${{item}}.txt']\n  always:\n    cmd: {cmd}\n"
        "    always_changed: true\nplots:\n  - big.csv:\n      template: evil.json\n"
    )
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    (root / "bomb.dvc").write_text(f"{bomb}outs: *a11\n")
    (root / "deep.dvc").write_text("outs: " + "[" * 20_000 + "]" * 20_000 + "\n")
    (root / "params.yaml").write_text(bomb + "lr: *a11\n")
    (root / "imported.dvc").write_text(
        "deps:\n- path: x\n  repo:\n    url: ext::sh -c 'echo dvc-import >> "
        + str(made.log)
        + "'\n    rev_lock: "
        + "1" * 40
        + "\nouts:\n- md5: "
        + "2" * 32
        + "\n  size: 3\n  path: imported.csv\n"
    )
    made.names += ["dvc-import"]
    (root / "shown.csv.dvc").write_text(f"outs:\n- md5: {'3' * 32}\n  size: 3\n  path: shown.csv\n")
    (root / "shown.csv").write_text("1\n")


def _mlflow(made: Hostile, port: int) -> None:
    root = made.root
    (root / ".nbledger.toml").write_text(f'tracking_uri = "http://127.0.0.1:{port}"\n')
    subprocess.run([sys.executable, "-P", __file__, "mlflow", str(root), str(port)], check=True, timeout=250)
    journal = root / ".nbledger" / "journals" / JOURNAL
    (journal / "blobs" / "1").mkdir(parents=True)
    (journal / "blobs" / "1" / "model.pkl").write_bytes(made.pickle("journal-model-pickle"))
    (journal / "model.pkl").write_bytes(made.pickle("journal-model-pickle-2"))
    owner = {"pid": 1, "created": 1.0, "host": socket.gethostname(), "boot": ""}
    events = [
        {
            "t": "start",
            "at": 1,
            "schema": 2,
            "id": JOURNAL,
            "name": "shipped",
            "experiment": "x",
            "uri": f"http://127.0.0.1:{port}",
            "owner": owner,
            "notebook": "note.ipynb",
            "source": "",
            "parent": None,
            "user": "x",
            "root": str(root),
        },
        {"t": "params", "at": 2, "params": {"a": "1"}},
        {"t": "artifact", "at": 3, "blob": "../../../../outside/mine.txt", "place": ""},
        {"t": "model", "at": 3, "blob": "blobs/1/model.pkl", "name": "m", "requirements": None, "paths": [str(root)]},
        {"t": "end", "at": 4, "status": "FINISHED", "error": "", "ended": 4},
    ]
    (journal / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def plant_dvc(root: Path, log: Path) -> None:
    """Fill the memory that ``core.site_cache_dir`` leads to with pickles."""
    from dvc.repo import Repo

    with Repo(str(root), config={"core": {"site_cache_dir": str(root / ".dvc" / "site")}}) as repo:
        repo.state.links[str(root / "shown.csv")] = "x"
        place = Path(repo.site_cache_dir)
    for folder in ("links", "hashes/local"):
        for database in place.glob(f"{folder}/cache.db"):
            _poison(database, log, f"dvc-{folder.split('/')[0]}-pickle")
    for name in ("rwlock", "exps/celery/broker", "index"):
        target = root / ".dvc" / "tmp" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(IsADirectoryError):
            target.write_bytes(pickle.dumps(Bomb(log, "dvc-tmp-pickle")))


def _poison(database: Path, log: Path, name: str) -> None:
    import sqlite3

    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Bomb(log, name)),))


def plant_mlflow(root: Path, port: int) -> None:
    """A store whose runs keep their artifacts elsewhere: on this machine, and at a server."""
    import mlflow

    from nbledger.core import mlflow as door
    from nbledger.core.project import find

    project = find(root)
    door.ensure_embedded(project)
    api = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/.nbledger/mlflow.db")
    places = {
        "local": "file:///etc",
        "served": f"mlflow-artifacts://127.0.0.1:{port}/x",
        "web": f"http://127.0.0.1:{port}/x",
    }
    for name, place in places.items():
        experiment = api.create_experiment(name, artifact_location=place)
        run = api.create_run(experiment, run_name=f"run-{name}", tags={"nbledger.snapshot": f"--output={root}/written"})
        api.log_metric(run.info.run_id, "accuracy", 0.5)
        api.set_tag(run.info.run_id, "mlflow.source.git.commit", "ext::sh -c true")
        api.set_terminated(run.info.run_id)


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server that nobody may ask: its port, and the first bytes of every connection."""
    heard: list[bytes] = []
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(16)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.settimeout(2)
                with connection, suppress(OSError):
                    heard.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.close()


def executed(trace: Path) -> list[str]:
    """Programs that were started, by strace's account of ``execve``."""
    lines = trace.read_text(errors="replace").splitlines()
    begun = [
        line
        for line in lines
        if 'execve("' in line and not line.rstrip().endswith("= -1 ENOENT (No such file or directory)")
    ]
    return [line.partition('execve("')[2].partition('"')[0] for line in begun]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder, to be compared."""
    return {
        str(path.relative_to(folder)): (stat.S_IFMT(path.lstat().st_mode), path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


if __name__ == "__main__":
    if sys.argv[1] == "dvc":
        plant_dvc(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        plant_mlflow(Path(sys.argv[2]), int(sys.argv[3]))
