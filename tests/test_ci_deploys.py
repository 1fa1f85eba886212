"""The jobs that deploy, of both forges' files, as far as they can be executed without a forge, a cloud, a cluster or an engine: SageMaker
by moto's server, KServe by kubectl itself and a server that keeps what it is told, docker by a program that writes down its words.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import kubeapi
from cirunner import Done, Event, gitlab_job, run_github, run_gitlab
from conftest import isolated_environment, short_folder, stop_keepers
from ledger import client
from nbledger.core import ciworkflow, modeldigest
from nbledger.core.project import find
from servedmodels import registered, saved
from test_ci import GATED, made
from test_ci_gitlab import KEYS, equipped
from test_deploy_away import PIN, answers, stand_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REGION = "eu-central-1"
VARIABLES = {
    "AWS_DEFAULT_REGION": REGION,
    "SAGEMAKER_ROLE": "arn:aws:iam::123456789012:role/serving",
    "SAGEMAKER_BUCKET": "models",
}
DISPATCHED = {
    "event_name": "workflow_dispatch",
    "event.inputs.job": "deploy",
    "repository": "Team/wine",
    "actor": "ada",
}


@dataclass
class Site:
    """A project whose model has a champion, its files in S3."""

    root: Path
    amazon: str
    env: dict[str, str]

    def text(self, forge: str, target: str) -> str:
        """The file that ``nbledger ci`` writes for a machine of one's own."""
        asked = {"deploy": target, "runner": "lab"}
        return ciworkflow.write(find(self.root), forge, asked, dry_run=True).text

    def github(self, target: str, given: dict[str, str] | None = None, **env: str) -> list[Done]:
        """The steps of the job that is started by hand."""
        path = self.root.parent / "workflow.yml"
        path.write_text(self.text("github", target))
        event = Event(DISPATCHED, {"github.token": "of-the-job", **(given or {})})
        return run_github(path, "deploy", event, self.root, {**self.env, **env})

    def gitlab(self, target: str, **given: str) -> Done:
        registry = {
            "CI_REGISTRY": "registry.example.org",
            "CI_REGISTRY_IMAGE": "registry.example.org/team/wine",
            "CI_REGISTRY_USER": "gitlab-ci-token",
            "CI_REGISTRY_PASSWORD": "of-the-job",
        }
        pipeline = {"CI_PIPELINE_SOURCE": "web", **registry}
        job = gitlab_job(self.text("gitlab", target), "nbledger-deploy", pipeline, given, self.root)
        return run_gitlab(job, self.root, self.env)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _template: Path) -> Iterator[Site]:
    place, runtime = tmp_path_factory.mktemp("site"), short_folder()
    (place / "home").mkdir()
    try:
        with pytest.MonkeyPatch.context() as patch, equipped() as address:
            env = isolated_environment(place / "home", runtime)
            env |= {key.upper(): value for key, value in KEYS.items() if key != "region_name"}
            env |= {"AWS_ENDPOINT_URL": address, "PIP_NO_INDEX": "1"}
            for name, value in env.items():
                patch.setenv(name, value)
            where = f"sqlite:///{place}/runs.db"
            patch.setenv("MLFLOW_TRACKING_URI", where)  # MLflow sets it as well, and would leave it to other modules
            settings = f'tracking_uri = "{where}"\n{GATED}'
            root = made(place / "wine", _template, {"remote": "none", "settings": settings})
            client(where).create_experiment("models", artifact_location="s3://models/runs")
            registered(root, "wine", saved(place / "model", 2.0), where=where)
            yield Site(root, address, env)
    finally:
        stop_keepers(runtime)
        shutil.rmtree(runtime, ignore_errors=True)


def endpoints(site: Site, region: str = REGION) -> list[str]:
    import boto3

    api = boto3.client("sagemaker", endpoint_url=site.amazon, **KEYS | {"region_name": region})
    return [one["EndpointName"] for one in api.list_endpoints()["Endpoints"]]


def test_a_model_that_does_not_answer_at_sagemaker_is_red(site: Site) -> None:
    given = {f"vars.{name}": value for name, value in VARIABLES.items()}
    here = {"AWS_DEFAULT_REGION": REGION}  # as the action that logs in says it
    *_, done = site.github("sagemaker", {**given, "vars.SAGEMAKER_BUCKET": ""}, **here)
    assert done.code and done.out.strip().endswith("SAGEMAKER_BUCKET: parameter null or not set")
    answers(site.amazon, '{"predictions": []}')
    *_, done = site.github("sagemaker", given, **here)
    assert (done.name, done.code) == ("Deploy", 1) and "answers without a prediction" in done.out, done.out
    assert endpoints(site) == []


def test_kserve_without_kubectl_is_red(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = path_without(tmp_path / "bin", "kubectl")
    monkeypatch.setitem(site.env, "PATH", without)
    done = site.gitlab("kserve", KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert done.code == 3 and "nbledger: there is no kubectl here to apply the manifest with" in done.out, done.out


if shutil.which("kubectl"):  # elsewhere there is nothing that could speak to a cluster

    def test_kubectl_itself_applies_what_kserve_takes(site: Site) -> None:
        with kubeapi.cluster() as cluster:
            done = site.github("kserve", {"secrets.KUBECONFIG": cluster.kubeconfig})[-1]
            assert (done.name, done.code) == ("Deploy", 0) and "http://wine.example.org" in done.out, done.out
            kept = cluster.kept.pop("wine")
            digest = modeldigest.digest(site.root.parent / "model")
            assert kept["metadata"]["annotations"]["nbledger/model-digest"] == f"sha256:{digest}"
            cluster.refuses = "this model is not for this cluster"
            done = site.github("kserve", {"secrets.KUBECONFIG": cluster.kubeconfig})[-1]
            assert done.code == 1 and "this model is not for this cluster" in done.out, done.out


def test_docker_pushes_to_the_forges_registry_or_the_job_is_red(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = path_without(tmp_path / "bin2", "docker")
    given = {"vars.IMAGE_REGISTRY": "registry.example.org/team/wine", "secrets.REGISTRY_TOKEN": "of-the-job"}
    *_, done = site.github("docker", given, PATH=without)
    assert (done.name, done.code) == ("Log in at the registry", 127) and "docker: command not found" in done.out

    image = "registry.example.org/team/wine/wine"
    digests = json.dumps([{"RepoDigests": [f"{image}@sha256:{PIN}"]}])
    script = f"print('sha256:abc' if '--format' in words else {digests!r} if words[0] == 'image' else '')\n"
    told = stand_in(tmp_path, "docker", monkeypatch, script)
    monkeypatch.setitem(site.env, "PATH", os.environ["PATH"])
    done = site.gitlab("docker")
    assert done.code == 0 and f"{image}@sha256:{PIN}" in done.out, done.out
    words = [json.loads(line) for line in told.read_text().splitlines()]
    assert words[0] == ["login", "registry.example.org", "--username", "gitlab-ci-token", "--password-stdin"]
    assert words[1][:3] == ["build", "--tag", f"{image}:1"]
    assert words[3] == ["push", f"{image}:1"]

    stand_in(tmp_path, "docker", monkeypatch, "sys.exit('no engine' if words[0] == 'build' else 0)\n")
    told.unlink()
    *_, done = site.github("docker", given | {"vars.IMAGE_REGISTRY": ""}, PATH=os.environ["PATH"])
    assert done.code and "IMAGE_REGISTRY: parameter null or not set" in done.out, done.out
    *_, done = site.github("docker", given, PATH=os.environ["PATH"])
    assert json.loads(told.read_text().splitlines()[-2])[:2] == ["login", "registry.example.org"]
    assert done.code == 1 and "docker build failed: no engine" in done.out, done.out


def path_without(folder: Path, *names: str) -> str:
    """A ``PATH`` with all that this one has but ``names``."""
    folder.mkdir()
    first, *others = os.environ["PATH"].split(os.pathsep)
    for place in others:
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in names and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return f"{first}{os.pathsep}{folder}"
