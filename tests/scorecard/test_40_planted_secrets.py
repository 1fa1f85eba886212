"""Secrets are planted where a run could pick them up: in addresses of remotes and of the tracking server, variables of the
environment and of conda, pip's index and the addresses that packages were installed from, DVC's configuration, parameters
(of cells and of a batch), tags, messages of exceptions, `.env` and files of keys beside the notebook, `.git/config`. Runs are
recorded in a real kernel; then every file of the ledger, every object of Git, the store, logs, manifests, journals that wait,
artifacts and all answers as JSON are searched for each of them. What a person types into a cell, or prints, is theirs and
stays. A model whose pickle runs a program is listed, compared, shown and judged by a gate: it must not run. The plain way is
an MLflow run with `git` tags, `pip freeze` as an artifact and parameters as they are.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import ledger
from conftest import commit_all, git
from kernels import kernel
from nbledger.core import secrets, trust
from nbledger.core.project import find
from scorecard.conftest import FULL
from servers import free_port

CLI = [sys.executable, "-m", "nbledger.cli"]
NAMES = (
    "remote-user",
    "remote-token",
    "remote-signature",
    "tracking-password",
    "env-tracking",
    "env-aws",
    "conda-variable",
    "pip-index",
    "direct-user",
    "direct-query",
    "dvc-url",
    "dvc-option",
    "parameter",
    "batch-parameter",
    "tag",
    "exception-named",
    "exception-value",
    "dotenv",
    "key-file",
    "credentials-file",
    "git-header",
)
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "id": "p",
            "metadata": {"tags": ["parameters"]},
            "source": "db_password = ''\nlr = 0.1",
            "outputs": [],
            "execution_count": None,
        },
        {
            "cell_type": "code",
            "id": "c",
            "metadata": {},
            "source": "%load_ext nbledger\nsize = len(db_password)",
            "outputs": [],
            "execution_count": None,
        },
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def planted(name: str) -> str:
    """A secret that is found by its bytes."""
    return f"S3cr3t{zlib.crc32(name.encode()):08x}q{len(name)}"


S = {name: planted(name) for name in NAMES}


@pytest.fixture
def place(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with all of them planted."""
    site, conda = tmp_path / "site", tmp_path / "conda"
    for name, url in (
        ("direct_a", f"https://me:{S['direct-user']}@127.0.0.1:9/a-1.0.tar.gz"),
        ("direct_b", f"https://127.0.0.1:9/b-1.0.tar.gz?token={S['direct-query']}"),
    ):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "direct_url.json").write_text(json.dumps({"url": url, "archive_info": {}}))
    (conda / "conda-meta").mkdir(parents=True)
    (conda / "conda-meta" / "state").write_text(json.dumps({"env_vars": {"HUB_TOKEN": S["conda-variable"]}}))
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = https://me:{S['pip-index']}@127.0.0.1:9/simple\n")
    for name, value in {
        "PYTHONPATH": str(site),
        "CONDA_PREFIX": str(conda),
        "HUB_TOKEN": S["conda-variable"],
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_EXTRA_INDEX_URL": f"https://me:{S['pip-index']}@127.0.0.1:9/simple",
        "MLFLOW_TRACKING_PASSWORD": S["env-tracking"],
        "AWS_SECRET_ACCESS_KEY": S["env-aws"],
        "API_KEY": S["parameter"],
        "DEPLOY": S["tag"],
        "WAREHOUSE": S["exception-named"],
        "WAREHOUSE_PASSWORD": S["exception-value"],
    }.items():
        monkeypatch.setenv(name, value)
    (project / ".env").write_text(f"TOKEN={S['dotenv']}\n")
    (project / "id_rsa").write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{S['key-file']}\n")
    (project / "sub").mkdir()
    (project / "sub" / "credentials.json").write_text(json.dumps({"key": S["credentials-file"]}))
    (project / "a.py").write_text("1\n")
    (project / ".dvc" / "config").write_text("[core]\n    remote = web\n")
    git(project, "add", "a.py", ".dvc/config")
    git(project, "commit", "-qm", "x")
    (project / ".dvc" / "config.local").write_text(
        f"['remote \"web\"']\n    url = https://me:{S['dvc-url']}@127.0.0.1:9/x\n    password = {S['dvc-option']}\n"
    )
    git(project, "config", "http.extraHeader", f"AUTHORIZATION: basic {S['git-header']}")
    git(project, "remote", "add", "origin", f"https://me:{S['remote-user']}@127.0.0.1:9/x.git")
    (project / "batch.ipynb").write_text(json.dumps(NOTEBOOK))
    return project


def spoken(root: Path, *words: str) -> str:
    done = subprocess.run([*CLI, *words], cwd=root, capture_output=True, text=True, check=False, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def found_in(texts: Mapping[str, bytes]) -> list[str]:
    """``secret: where`` of what was found."""
    return [f"{name}: {where}" for name, value in S.items() for where, data in texts.items() if value.encode() in data]


def of_git(root: Path) -> dict[str, bytes]:
    """Every object of Git, reachable or not."""
    out = subprocess.run(
        ["git", "cat-file", "--batch", "--batch-all-objects"], cwd=root, capture_output=True, check=True
    ).stdout
    return {"git objects": out}


def of_ledger(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in (root / ".nbledger").rglob("*") if p.is_file()}


CELLS = {
    "named": "import os\nfrom nbledger.keeper import recorder\napi_key = os.environ['API_KEY']\nmax_tokens, tokenizer, pad_token = 512, 'bert', '[PAD]'\ntoken_accuracy = 0.5",
    "one": "%%mlrun one -p api_key -p max_tokens -p tokenizer -p pad_token -m token_accuracy\nrecorder.current().log_tags({'deploy_token': os.environ['DEPLOY'], 'note': 'plain'})",
    "two": "%%mlrun two\nraise RuntimeError('login failed: password=' + os.environ['WAREHOUSE'] + ' for ' + os.environ['WAREHOUSE_PASSWORD'])",
    "three": "%%mlrun three\nx = 1",
}


def test_nothing_of_them_is_recorded(place: Path, seen: Callable[[str], None]) -> None:
    shown: dict[str, bytes] = {}
    with kernel(place) as k:
        k.run(CELLS["named"])
        one = k.run(CELLS["one"])
        assert one.status == "ok"
        assert "api_key" in one.shown, "a notice names what was hidden"
        git(place, "remote", "set-url", "origin", f"https://127.0.0.1:9/x.git?token={S['remote-token']}")
        two = k.run(CELLS["two"])
        assert two.ename == "RuntimeError"
        git(place, "remote", "set-url", "origin", f"https://127.0.0.1:9/x?X-Amz-Signature={S['remote-signature']}")
        three = k.run(CELLS["three"])
        shown |= {"summary one": one.shown.encode(), "summary three": three.shown.encode()}
        for magic in ("%runs", "%ledger status", "%compare_runs one three", "%ledger show one"):
            answer = k.run(magic)
            shown[magic] = (answer.shown + "".join(answer.html)).encode()
    if FULL:
        batch = ["run", "batch.ipynb", "-p", f"db_password={S['batch-parameter']}", "-p", "lr=0.2"]
        shown["batch"] = spoken(place, *batch).encode()
    shown["flush"] = spoken(place, "flush").encode()
    for words in (
        ["status"],
        ["runs"],
        ["show", "one"],
        ["show", "two"],
        ["compare", "one", "two"],
        ["doctor"],
        ["pipeline"],
    )[:: 1 if FULL else 3]:
        shown[" ".join(words)] = spoken(place, *words, "--json").encode() + spoken(place, *words).encode()
    assert not FULL or " finished" in shown["batch"].decode()
    shown["markdown"] = spoken(place, "compare", "one", "two", "--markdown").encode()
    found = found_in(of_git(place) | of_ledger(place) | shown)
    assert found == []

    (run,) = [r for r in ledger.runs(place) if r.info.run_name == "one"]
    assert run.data.params == {
        "api_key": secrets.HIDDEN,
        "max_tokens": "512",
        "tokenizer": "bert",
        "pad_token": "[PAD]",
    }
    assert run.data.metrics["token_accuracy"] == 0.5
    assert run.data.tags["deploy_token"] == secrets.HIDDEN
    assert run.data.tags["note"] == "plain"
    listed = git(place, "ls-tree", "-r", "--name-only", f"refs/nbledger/runs/{run.info.run_id}").split()
    assert "a.py" in listed and not {".env", "id_rsa", "sub/credentials.json"} & set(listed)
    seen(
        f"0 of {len(NAMES) - 1 - (not FULL)} secrets found in {len(of_ledger(place))} files, Git's objects and {len(shown)} answers"
    )


def test_a_server_with_a_password_that_is_away(
    project: Path, monkeypatch: pytest.MonkeyPatch, seen: Callable[[str], None]
) -> None:
    """The run waits in its journal, which names the server without the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{S['tracking-password']}@127.0.0.1:{free_port()}")
    commit_all(project)
    with kernel(project) as k:
        assert k.run("%%mlrun waits\nx = 1").status == "ok"
    shown = {
        " ".join(words): spoken(project, *words).encode() for words in (["status", "--json"], ["doctor"], ["flush"])
    }
    files = of_ledger(project)
    assert any("journals" in name for name in files)
    assert found_in(files | of_git(project) | shown) == []
    seen(f"the tracking server's password in 0 of {len(files)} files")


def test_how_a_file_is_allowed(project: Path) -> None:
    (project / ".nbledger.toml").write_text('snapshot_secrets = ["test.pem"]\n')
    (project / "test.pem").write_text("a certificate for tests\n")
    (project / "other.pem").write_text("no\n")
    with kernel(project) as k:
        done = k.run("%%mlrun keys\nx = 1")
    assert (
        "the snapshot does not hold other.pem (a secret by its name: the setting snapshot_secrets allows it)"
        in done.shown
    )
    (ref,) = git(project, "for-each-ref", "--format=%(refname)", "refs/nbledger/runs").split()
    listed = git(project, "ls-tree", "-r", "--name-only", ref).split()
    assert "test.pem" in listed
    assert "other.pem" not in listed


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("https://me:pw1@host/x.git", "https://host/x.git"),
        ("https://tok@host/x?a=1&access_token=t1&b=2#f", "https://host/x?a=1&access_token=***&b=2#f"),
        ("https://h/x?X-Amz-Credential=c&X-Amz-Signature=s", "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("--password hunter2 --lr 0.1", "--password *** --lr 0.1"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
        ('{"client_secret": "x1", "n": 3}', '{"client_secret": "***", "n": 3}'),
        ("max_tokens=512 pad_token=[PAD] token_accuracy=0.9", "max_tokens=512 pad_token=[PAD] token_accuracy=0.9"),
        ("KeyError: 'password'", "KeyError: 'password'"),
        ("the token is bad", "the token is bad"),
        ("sort_key=a key: value", "sort_key=a key: value"),
    ],
)
def test_what_is_scrubbed(text: str, scrubbed: str) -> None:
    assert secrets.scrub(text) == scrubbed


def test_names() -> None:
    secret = "password dbPassword PGPASSWORD token hf_token apiKey OPENAI_API_KEY client_secret AWS_SECRET_ACCESS_KEY aws_access_key_id"
    plain = "max_tokens tokenizer token_accuracy pad_token eos_token n_tokens key sort_key PWD secretary password_length n_pass author"
    assert [name for name in secret.split() if not secrets.secret_name(name)] == []
    assert [name for name in plain.split() if secrets.secret_name(name)] == []
    assert not secrets.secret("stop_token", "5")
    assert not secrets.secret("token", "5")


class _Canary:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.place}",)


@pytest.fixture
def poisoned(project: Path, tmp_path: Path) -> Path:
    """A store with two runs whose model is a pickle that runs a program; its canary."""
    from nbledger.core import mlflow

    commit_all(project)
    trust.trust(find(project))
    canary, model = tmp_path / "canary", tmp_path / "model"
    model.mkdir()
    (model / "model.pkl").write_bytes(pickle.dumps(_Canary(canary)))
    (model / "python_model.pkl").write_bytes(pickle.dumps(_Canary(canary)))
    flavors = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    python_version: 3.11.7\n"
    (model / "MLmodel").write_text(
        f"artifact_path: model\n{flavors}  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n"
    )
    api: Any = mlflow.client(find(project))
    api.create_registered_model("champion")
    for number in (1, 2):
        experiment = api.create_experiment(f"e{number}")
        run = api.create_run(experiment, run_name=f"bad{number}")
        api.log_metric(run.info.run_id, "accuracy", 0.1 * number)
        history = [{"run_id": run.info.run_id, "artifact_path": "model", "flavors": {"sklearn": {}}}]
        api.set_tag(run.info.run_id, "mlflow.log-model.history", json.dumps(history))
        api.log_artifacts(run.info.run_id, str(model), "model")
        api.set_terminated(run.info.run_id)
        api.create_model_version("champion", f"{run.info.artifact_uri}/model", run.info.run_id)
    return canary


def test_a_pickle_is_not_opened(project: Path, poisoned: Path, seen: Callable[[str], None]) -> None:
    from nbledger.core.errors import LedgerError
    from nbledger.keeper import calls

    asked: list[tuple[str, dict[str, Any]]] = [
        *((name, {"run": "bad1"}) for name in ("show", "record", "detail", "notebook")),
        ("compare", {"names": ["bad1", "bad2"], "everything": True}),
        ("markdown", {"names": ["bad1", "bad2"]}),
        ("compare_notebooks", {"a": "bad1", "b": "bad2"}),
        ("runs", {}),
        ("table", {"limit": 10}),
        ("models", {}),
        (
            "promote_if",
            {"run": "bad2", "model": "champion", "condition": "metrics.accuracy > 0.1", "alias": "champion"},
        ),
        ("promote", {"run": "bad2", "model": "champion", "alias": "challenger"}),
    ]
    refused = 0
    for name, words in asked:
        try:
            calls.perform(find(project), name, words)
        except LedgerError:
            refused += 1
    assert not poisoned.exists()
    seen(f"a model's pickle: {len(asked)} questions ({refused} refused), 0 canaries")


def test_plain_tools(place: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    script = f"""
import os, subprocess, sys, mlflow
mlflow.set_tracking_uri("file://{tmp_path}/mlruns")
with mlflow.start_run():
    mlflow.log_params({{"api_key": os.environ["API_KEY"], "max_tokens": 512}})
    mlflow.set_tag("deploy_token", os.environ["DEPLOY"])
    mlflow.log_text(subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True).stdout, "pip.txt")
    mlflow.set_tag("mlflow.source.git.repoURL", subprocess.run(["git", "remote", "get-url", "origin"], capture_output=True, text=True).stdout)
"""
    (place / "train.py").write_text(script)
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    git(place, "add", "--all")  # as a careful user keeps the state of a run
    git(place, "commit", "-qm", "run")
    files = {str(p): p.read_bytes() for p in (tmp_path / "mlruns").rglob("*") if p.is_file()}
    found = sorted({line.partition(":")[0] for line in found_in(files | of_git(place))})
    assert files, done.stderr
    plain(not found, f"{len(found)} of {len(NAMES)} secrets recorded: {', '.join(found)}")
