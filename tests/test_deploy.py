"""``nbledger deploy`` on this machine: real models served by ``mlflow models serve``, from the check of their files to the record."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import client, uri
from nbledger import cli
from nbledger.commands import deploy as face
from nbledger.core import deploy as deploys
from nbledger.core import mlflow_decisions, modeldigest, trust
from nbledger.core.deploy import Deployed, Deployment
from nbledger.core.errors import Refused, ToolFailed, Untrusted, UsageError
from nbledger.core.project import find
from nbledger.keeper import calls, frontstate
from requestload import Load
from servedmodels import artifacts, registered, saved

ASKED = '{"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0], [4.0]]}}'

WINE = "wine's `touch x`; $(touch x) \x1b[31m ü"
SHOWN = "wine's `touch x`; $(touch x) \ufffd[31m ü"


@pytest.fixture
def trusted(project: Path) -> Iterator[Path]:
    """A trusted project; what it serves ends with the test."""
    trust.trust(find(project))
    yield project
    for one in listed(project):
        calls.perform(find(project), "undeploy", {"model": one.model})


def deploy(root: Path, name: str = "wine", **words: Any) -> Deployed:
    found = calls.perform(find(root), "deploy", {"name": name, "watch": 1} | words)
    assert isinstance(found, Deployed)
    return found


def listed(root: Path) -> list[Deployment]:
    return list(calls.perform(find(root), "deployments", {}))


def predictions(port: int) -> Any:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", ASKED.encode())
    asked.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.headers["X-Model-Version"], json.load(answer)["predictions"]


def tried(done: Deployed) -> Any:
    """What the model answers to the line that is shown for a shell, which curl would send."""
    (line,) = [line for line in face.text(done).splitlines() if line.startswith("  try it: ")]
    curl, address, _, header, _, body = shlex.split(line.removeprefix("  try it: "))
    assert curl == "curl"
    data = Path(body[1:]).read_bytes() if body.startswith("@") else body.encode()
    asked = urllib.request.Request(address, data, dict([header.split(": ")]))
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)["predictions"]


def decisions(root: Path, model: str = "wine") -> list[tuple[str, str | None, str | None]]:
    found = mlflow_decisions.read(client(uri(root)), uri(root), model) or ()
    return [(one.kind, one.version, one.previous) for one in found]


def test_versions_are_served_by_mlflow_without_a_failed_request(trusted: Path, tmp_path: Path) -> None:
    before = sorted(trusted.iterdir())
    registered(trusted, WINE, saved(tmp_path / "one", 2.0, expected=[2.0, 4.0]))
    first = deploy(trusted, WINE, watch=0)
    assert (first.ok, first.serving, first.previous) == (True, "1", None)
    port = int(str(first.endpoint).rpartition(":")[2])
    assert predictions(port) == ("1", pytest.approx([2.0, 4.0, 8.0]))
    assert tried(first) == pytest.approx([2.0, 4.0])
    factor = {"1": 2.0, "2": 3.0}

    def right(by: str, told: Any) -> bool:
        return by in factor and told == pytest.approx([factor[by], 2 * factor[by], 4 * factor[by]])

    with Load(port, [ASKED], right) as load:
        registered(trusted, WINE, saved(tmp_path / "two", 3.0))
        second = deploy(trusted, WINE, watch=3)
        assert (second.ok, second.serving, second.previous, second.endpoint) == (True, "2", "1", first.endpoint)
        registered(trusted, WINE, saved(tmp_path / "three", 0, "raises"))
        third = deploy(trusted, WINE)
        assert (third.ok, third.step, third.serving) == (False, "smoke", "2")
    assert load.failed == []
    assert load.answered["2"] > 0
    assert "it answers its own input example with 400: ValueError: no such wine" in face.text(third)
    assert "version 2 goes on serving" in face.text(third)
    assert all("\x1b" not in text for text in (face.text(second), face.text(third), face.list_text(listed(trusted))))
    assert predictions(port)[0] == "2"
    assert decisions(trusted, WINE) == [("deployed", "1", None), ("deployed", "2", "1"), ("returned", "3", "2")]
    tags = client(uri(trusted)).get_model_version(WINE, "3").tags
    assert tags["nbledger.deployed.verdict"].startswith("returned: it answers")
    (one,) = listed(trusted)
    assert (one.version, one.health, one.port, one.coming) == ("2", "ok", port, None)
    assert one.last.startswith("version 3 was taken back")
    assert len(list((frontstate.folder_of(find(trusted), WINE) / "models").iterdir())) == 1
    again = deploy(trusted, f"{WINE}/2")
    assert again.step == "nothing"
    assert tried(again) == pytest.approx([3.0, 6.0])
    with pytest.raises(UsageError, match="is served at"):
        deploy(trusted, WINE, port=port + 1)
    words = [sys.executable, "-m", "nbledger.cli", "deploy", WINE, "--stop"]
    done = subprocess.run(words, cwd=trusted, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"✓ {SHOWN} is not served at {first.endpoint} any more\n"
    assert listed(trusted) == []
    assert {one.name for one in set(trusted.iterdir()) - set(before)} <= {".nbledger", "mlruns"}  # no ``x``
    with pytest.raises(OSError, match="refused"):
        predictions(port)


def test_files_that_were_changed_are_never_loaded(trusted: Path, tmp_path: Path) -> None:
    version = registered(trusted, "wine", saved(tmp_path / "one", 2.0))
    place = artifacts(trusted, "wine", version)
    pwned = tmp_path / "pwned"
    (place / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(pwned))
    with pytest.raises(Refused, match="were changed since it was promoted"):
        deploy(trusted)
    found = modeldigest.digest(place)
    with pytest.raises(Refused, match=f"not as {found[:12]}"):
        deploy(trusted, sha256=found)
    (place / "link").symlink_to("/etc/passwd")
    with pytest.raises((Refused, ToolFailed)):
        deploy(trusted)
    assert not pwned.exists()
    assert listed(trusted) == []
    assert not frontstate.folder_of(find(trusted), "wine").exists()


def test_what_cannot_be_served_is_said_before_anything_is_copied(project: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "one", 2.0)
    registered(project, "wine", folder)
    registered(project, "beer", folder, digest=False)
    with pytest.raises(Untrusted):
        deploy(project)
    trust.trust(find(project))
    for name, said in (("wine@nobody", "has no alias nobody"), ("wine/9", "has no version 9"), ("ale", "no registered model"),
                       ("wine/x", "no number")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            deploy(project, name)
    with pytest.raises(Refused, match="has no recorded digest"):
        deploy(project, "beer")
    assert deploy(project, "beer", sha256=modeldigest.digest(folder), dry=True).ok
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match=f"port {other.getsockname()[1]} is in use here"):
            deploy(project, port=other.getsockname()[1])
    dry = deploy(project, dry=True, port=5001)
    text = face.text(dry)
    assert "mlflow models serve --model-uri model --host 127.0.0.1 --port PORT" in text
    assert f"go on only if their digest is {modeldigest.digest(folder)}" in text
    assert "http://127.0.0.1:5001" in text
    assert not (project / ".nbledger" / "serving").exists()
    assert decisions(project) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--canary", "10"), "--canary means nothing for --to local — it is for --to kserve"),
        (("--canary", "0", "--to", "docker"), "--canary means nothing for --to docker"),
        (("--port", "80", "--to", "kserve"), "--port means nothing for --to kserve — it is for --to local"),
        (("--base-image", "x"), "--base-image means nothing for --to local"),
        (("--push", "--to", "sagemaker", "--region", "x"), "--push means nothing for --to sagemaker"),
    ],
)
def test_an_option_of_another_target_is_refused(
    project: Path,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks for a tenth of the requests must not get all of them."""
    monkeypatch.chdir(project)
    assert cli.main(["deploy", "wine", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("wine", ("wine", "champion", None)),
        ("wine@candidate", ("wine", "candidate", None)),
        ("a@b@previous", ("a@b", "previous", None)),
        ("wine/12", ("wine", None, "12")),
        ("models:/wine@champion", ("wine", "champion", None)),
        (" $(touch x);a b ", ("$(touch x);a b", "champion", None)),
    ],
)
def test_names(name: str, meant: tuple[str, str | None, str | None]) -> None:
    assert deploys.parse(name) == meant
