"""``nbledger deploy --to docker|kserve|sagemaker``: what is written, what is refused, and what goes to the tools."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import kserveschema
from ledger import client, uri
from localaws import amazon
from nbledger.commands import deploy as face
from nbledger.core import containers, kserve, mlflow_decisions, mlflow_sagemaker, modeldigest
from nbledger.core.deploy import Deployed
from nbledger.core.errors import Refused, ToolFailed, UsageError
from nbledger.core.project import find
from nbledger.keeper import calls
from servedmodels import artifacts, registered, saved

PIN = "a" * 64
HOSTILE = ["$(touch x)", "a;b", "../x", "new\nline", "x" * 500, "`id`", "ü", "-rf", "A B", "wine'", 'wine"']


@pytest.fixture
def wine(project: Path, tmp_path: Path) -> str:
    return registered(project, "wine", saved(tmp_path / "wine", 2.0))


def deploy(root: Path, to: str, **words: Any) -> Deployed:
    found = calls.perform(find(root), "deploy", {"name": "wine", "to": to} | words)
    assert isinstance(found, Deployed)
    return found


def stand_in(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A program ``name`` that writes down its words, as one cannot have a Docker engine or a cluster here; where they stand."""
    told = folder / f"{name}.jsonl"
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        f"open({str(told)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\nwords = sys.argv[1:]\n{script}"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return told


# ── docker ───────────────────────────────────────────────────────────────────────────────────────────────


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, words) of a Dockerfile, in order."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = [re.fullmatch(r"([A-Z]+) (.+)", line) for line in lines]
    assert all(found), lines
    return [(one[1], one[2]) for one in found if one]


def test_the_build_context_holds_what_was_checked(
    project: Path, wine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"python:3.11-slim@sha256:{PIN}"
    done = deploy(project, "docker", output="context", base_image=base)
    context = project / "context"
    assert (done.ok, done.files, done.notes) == (True, (str(context),), ())
    told = instructions(context / "Dockerfile")
    assert told[0] == ("FROM", base)
    assert [one for one, _ in told].count("FROM") == 1
    source, place = dict(told)["COPY"].split()
    assert place == "/opt/ml/model"
    assert modeldigest.digest(context / source) == done.digest
    assert [name for name, _ in told][-2:] == ["HEALTHCHECK", "ENTRYPOINT"]
    health = json.loads(dict(told)["HEALTHCHECK"].partition("CMD ")[2])
    compile(health[2], "health", "exec")
    assert json.loads(dict(told)["ENTRYPOINT"])[:2] == ["python", "-c"]
    assert "=" in dict(told)["ENV"]
    with pytest.raises(Refused, match="is not empty"):
        deploy(project, "docker", output="context")
    assert mlflow_decisions.read(client(uri(project)), uri(project), "wine") == ()  # nothing serves by it


def test_an_image_is_built_and_pushed_by_docker_where_there_is_one(
    project: Path, wine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(Refused, match="no docker here"):
            deploy(project, "docker")
    digests = json.dumps([{"RepoDigests": [f"r.example/wine@sha256:{PIN}"]}])
    script = f"print('sha256:abc' if '--format' in words else {digests!r} if words[0] == 'image' else '')\n"
    told = stand_in(tmp_path, "docker", monkeypatch, script)
    done = deploy(project, "docker", image="r.example/wine:7", push=True)
    assert done.endpoint == f"r.example/wine@sha256:{PIN}"
    assert "--base-image pins it" in done.notes[0]
    words = [json.loads(line) for line in told.read_text().splitlines()]
    assert [one[0] for one in words] == ["build", "image", "push", "image"]
    assert words[0][:3] == ["build", "--tag", "r.example/wine:7"]
    assert f"nbledger.model.digest={done.digest}" in words[0]
    assert "nbledger.model=wine" in words[0]
    stand_in(tmp_path, "docker", monkeypatch, "sys.exit('no space left on device')\n")
    with pytest.raises(ToolFailed, match="docker build failed: no space left on device"):
        containers.build(tmp_path, "wine:1", {})
    entries = mlflow_decisions.read(client(uri(project)), uri(project), "wine") or ()
    assert [(one.kind, one.text) for one in entries] == [("deployed", f"docker {done.endpoint}")]


@pytest.mark.parametrize("name", ["a b", "$(touch x)", "--rm", "A", "x;y", "a\nb", "é", "x" * 301])
def test_a_name_that_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        containers.image_name(name)


# ── kserve ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["wine", *HOSTILE])
@pytest.mark.parametrize("way", ["storage", "image"])
def test_every_manifest_is_one_that_kserve_and_kubernetes_take(model: str, way: str) -> None:
    given = {"storage": "s3://models/wine/1"} if way == "storage" else {"image": f"r.example/wine@sha256:{PIN}"}
    wanted = kserve.Wanted(
        model, "3", PIN, "b" * 32, canary=10, namespace="team-a", cpu="500m", memory="1.5Gi", **given
    )
    found = kserve.manifest(wanted)
    kserveschema.check(found)
    assert yaml.safe_load(kserve.text(found)) == found
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", found["metadata"]["name"])
    assert found["metadata"]["annotations"]["nbledger/model"] == model
    predictor = found["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 10
    if way == "storage":
        assert predictor["model"]["storageUri"] == "s3://models/wine/1"
        assert predictor["model"]["protocolVersion"] == "v2"
    else:
        assert predictor["containers"][0]["image"].endswith(f"@sha256:{PIN}")


def test_the_check_of_manifests_finds_what_is_wrong() -> None:
    for spoil in (
        lambda m: m["spec"]["predictor"].update(canaryTrafficPercent="ten"),
        lambda m: m["spec"]["predictor"].update(canary=10),
        lambda m: m["spec"]["predictor"]["model"].pop("modelFormat"),
        lambda m: m["spec"]["predictor"]["model"]["readinessProbe"].update(httpGet={"path": "/"}),
        lambda m: m["spec"].pop("predictor"),
    ):
        found = kserve.manifest(kserve.Wanted("wine", "3", PIN, None, storage="s3://a/b"))
        spoil(found)
        with pytest.raises(Exception, match=r"\w"):
            kserveschema.check(found)


def test_different_models_have_different_services() -> None:
    names = ["Wine", "wine", "WINE", "wi-ne", "wi ne", "wi_ne", "", "ü", "ö", "9", "x" * 60, "x" * 61]
    assert len({kserve.name_of(name) for name in names}) == len(names)
    assert len({mlflow_sagemaker.name_of(name) for name in names}) == len(names)
    for name in [*names, *HOSTILE]:
        assert re.fullmatch(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}", mlflow_sagemaker.name_of(name))


def test_a_manifest_is_written_or_applied(
    project: Path, wine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="where no cluster can fetch them"):
        deploy(project, "kserve")
    with pytest.raises(UsageError, match="is not pinned by a digest"):
        deploy(project, "kserve", image="r.example/wine:3")
    with pytest.raises(UsageError, match="KServe cannot fetch"):
        deploy(project, "kserve", storage_uri="file:///etc")
    dry = deploy(project, "kserve", storage_uri="s3://models/wine", canary=5, dry=True)
    assert "canaryTrafficPercent: 5" in face.text(dry)
    assert not (project / "isvc.yaml").exists()
    done = deploy(project, "kserve", storage_uri="s3://models/wine", canary=5, output="isvc.yaml")
    assert yaml.safe_load((project / "isvc.yaml").read_text()) == done.manifest == dry.manifest
    kserveschema.check(done.manifest)
    assert "checks no digest" in done.notes[0]

    told = stand_in(tmp_path, "kubectl", monkeypatch, "print('http://wine.example' if words[0] == 'get' else '')\n")
    done = deploy(project, "kserve", image=f"r.example/wine@sha256:{PIN}", namespace="team-a", probe=60)
    assert (done.ok, done.endpoint, done.notes) == (True, "http://wine.example", ())
    words = [json.loads(line) for line in told.read_text().splitlines()]
    assert words[0] == ["apply", "--namespace", "team-a", "--filename", "-"]
    assert words[1][-2:] == ["--timeout=60s", "inferenceservice/wine"]
    stand_in(tmp_path, "kubectl", monkeypatch, "sys.exit('timed out waiting' if words[0] == 'wait' else 0)\n")
    assert not deploy(project, "kserve", image=f"r.example/wine@sha256:{PIN}").ok
    entries = mlflow_decisions.read(client(uri(project)), uri(project), "wine") or ()
    assert [one.kind for one in entries] == ["deployed", "returned"]
    assert entries[1].reasons == ("kubectl wait failed: timed out waiting",)


# ── sagemaker ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto's server, with the one call of SageMaker that it lacks, and a clock that makes MLflow's pauses short."""
    from moto.sagemaker.models import sagemaker_backends
    from moto.sagemaker.responses import SageMakerResponse

    def update_endpoint(self: Any) -> str:
        backend = sagemaker_backends[self.current_account][self.region]
        backend.endpoints[self._get_param("EndpointName")].endpoint_config_name = self._get_param("EndpointConfigName")
        return json.dumps({"EndpointArn": "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/wine"})

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    fast = SimpleNamespace(time=lambda: time.time() * 100, sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr("mlflow.sagemaker.time", fast)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with amazon() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield address


def answers(aws: str, *bodies: str) -> None:
    """What the endpoint is to answer to each input example that it has not seen yet."""
    told = {"region": "eu-central-1", "results": [{"Body": body, "ContentType": "application/json"} for body in bodies]}
    asked = urllib.request.Request(f"{aws}/moto-api/static/sagemaker/endpoint-results", json.dumps(told).encode())
    asked.add_header("Content-Type", "application/json")
    urllib.request.urlopen(asked, timeout=60).close()


def test_an_endpoint_of_sagemaker_serves_the_new_version_or_what_it_served(
    project: Path, tmp_path: Path, aws: str
) -> None:
    import boto3

    api = boto3.client("sagemaker", region_name="eu-central-1")
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="models")
    words = {
        "region": "eu-central-1",
        "bucket": "models",
        "image": "1.dkr.ecr.eu-central-1.amazonaws.com/mlflow-pyfunc:3",
        "role": "arn:aws:iam::123456789012:role/serving",
    }
    registered(project, "wine", saved(tmp_path / "one", 2.0, expected=[2.0, 4.0]))
    dry = deploy(project, "sagemaker", dry=True, **words)
    assert "mlflow-pyfunc:3" in face.text(dry)
    assert api.list_endpoints()["Endpoints"] == []

    answers(aws, '{"predictions": [2.0, 4.0]}', '{"predictions": []}')
    first = deploy(project, "sagemaker", **words)
    assert (first.ok, first.endpoint) == (True, "sagemaker:/eu-central-1/wine")
    config = api.describe_endpoint(EndpointName="wine")["EndpointConfigName"]
    (variant,) = api.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    model = api.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"].startswith("s3://models/")
    tags = api.list_tags(ResourceArn=model["ModelArn"])["Tags"]
    assert {"Key": "nbledger.digest", "Value": first.digest} in tags

    registered(project, "wine", saved(tmp_path / "two", 0, "raises"))
    second = deploy(project, "sagemaker", **words)
    assert (second.ok, second.step, second.text) == (False, "smoke", "it answers without a prediction")
    assert api.describe_endpoint(EndpointName="wine")["EndpointConfigName"] == config
    assert [one["EndpointConfigName"] for one in api.list_endpoint_configs()["EndpointConfigs"]] == [config]
    entries = mlflow_decisions.read(client(uri(project)), uri(project), "wine") or ()
    assert [(one.kind, one.version) for one in entries] == [("deployed", "1"), ("returned", "2")]


def test_files_that_were_changed_go_nowhere(project: Path, wine: str, aws: str) -> None:
    (artifacts(project, "wine", wine) / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    for to, words in (
        ("docker", {"output": "context"}),
        ("kserve", {"storage_uri": "s3://models/wine", "output": "isvc.yaml"}),
        ("sagemaker", {"region": "eu-central-1"}),
    ):
        with pytest.raises(Refused, match="were changed since it was promoted"):
            deploy(project, to, **words)
    assert not (project / "context").exists()
    assert not (project / "isvc.yaml").exists()
    assert list((find(project).state / "tmp").iterdir()) == []
