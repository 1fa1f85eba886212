"""The pipelines of GitLab, each job's whole script as its runner executes it: a tag, a merge request, a schedule. Git over HTTP with
the job's token, DVC, MLflow with its files in S3, SageMaker behind the job's identity (moto), and the endpoints of comments.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fakeforge
from cirunner import Done, gitlab_clone, gitlab_job, gitlab_jobs, run_gitlab
from conftest import commit_all, git, isolated_environment, run, short_folder, stop_keepers
from githttp import GitHttp, githttp
from ledger import client
from localaws import amazon
from nbledger.core import ciworkflow
from team import notebook_of
from test_ci import made
from test_deploy_away import answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = """
tracking_uri = "sqlite:///{place}/runs.db"
experiment = "wine"
[gates.release]
if = "accuracy >= champion.accuracy + 0.005"
first = "accuracy > 0.6"
require = ["clean", "data", "pushed"]
[models.wine]
gate = "release"
"""
PIPELINE = """\
stages:
  evaluate:
    cmd: nbledger run train.ipynb --stage evaluate
    deps: [stages/evaluate.py, data.csv, serving.py]
    outs: [model.json]
    metrics: [{m.json: {cache: false}}]
"""
CELL = """\
import json, mlflow, pandas as pd
threshold = THRESHOLD
wines = pd.read_csv("data.csv")
right = ((wines["x"] > threshold) == (wines["label"] == 1)).mean()
json.dump({"threshold": threshold}, open("model.json", "w"))
json.dump({"accuracy": round(float(right), 4)}, open("m.json", "w"))
mlflow.pyfunc.log_model(
    name="wine",
    python_model="serving.py",
    artifacts={"model": "model.json"},
    input_example=wines[["x", "y"]].head(2),
    pip_requirements=["pandas"],
)
"""
SERVING = """\
import json
import mlflow

class Wine(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.threshold = json.load(open(context.artifacts["model"]))["threshold"]

    def predict(self, context, model_input, params=None):
        return (model_input["x"] > self.threshold).astype(int).to_numpy()

mlflow.models.set_model(Wine())
"""
FIRST, BETTER = 0.8, 0.1
"""Thresholds; the right one is 0."""
REGION = "eu-central-1"


@dataclass
class Machine:
    """A machine of GitLab's runner, whose home knows nobody's name: its clone stays, as with an executor of one's own."""

    git: GitHttp
    forge: fakeforge.Forge
    env: dict[str, str]
    clone: Path
    given: dict[str, str]
    done: dict[str, Done] = field(default_factory=dict)

    def job(self, called: str, commit: str, **pipeline: str) -> Done:
        """Execute the one job that the pipeline of a commit has."""
        token = self.git.logins["gitlab-ci-token"]
        pipeline |= {
            "CI_API_V4_URL": self.forge.api,
            "CI_COMMIT_SHA": commit,
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_TOKEN": token,
            "CI_PIPELINE_ID": str(100 + len(self.done)),
            "CI_PROJECT_ID": "42",
            "CI_PROJECT_PATH": "team/wine",
        }
        show = ("git", "--git-dir", str(self.git.repository), "show")
        entry, text = (run(*show, f"{commit}:{name}", cwd=self.clone.parent) for name in (ciworkflow.ENTRY, FILE))
        assert FILE in entry
        (self.clone.parent / "file.yml").write_text(text)
        (name,) = gitlab_jobs(self.clone.parent / "file.yml", pipeline)
        job = gitlab_job(text, name, pipeline, self.given, self.clone)
        gitlab_clone(job, self.git.url.replace("://", f"://gitlab-ci-token:{token}@"), self.clone, self.env)
        kept = Path(job.variables["PIP_CACHE_DIR"]) / "http-v2/package"
        kept.parent.mkdir(parents=True, exist_ok=True)  # pip is offline here, and keeps nothing by itself
        kept.write_text("what pip has downloaded")
        self.done[called] = run_gitlab(job, self.clone, self.env)
        (self.clone.parent / f"{called}.log").write_text(self.done[called].out)
        return self.done[called]


FILE = ciworkflow.FILES["gitlab"]


def table(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Wines of two labels, which ``x`` tells apart."""
    draw = np.random.default_rng(seed)
    x, y = draw.normal(shift, 1, rows), draw.normal(0, 1, rows)
    return pd.DataFrame({"x": x.round(4), "y": y.round(4), "label": (x > 0).astype(int)})


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, _template: Path) -> Iterator[Machine]:
    place, runtime = tmp_path_factory.mktemp("gitlab"), short_folder()
    people = {"ada": "hers", "gitlab-ci-token": "of-the-job"}
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            equipped() as address,
            githttp(place_of(place, "git"), people) as server,
            fakeforge.forge("gitlab") as forge,
        ):
            forge.accounts["glpat-wine"] = fakeforge.Account("project_42_bot", bot=True)
            env = isolated_environment(place_of(place, "home"), runtime)
            (place / "home/.gitconfig").write_text("[user]\n    useConfigOnly = true\n")
            env |= {"PIP_NO_INDEX": "1", "AWS_ENDPOINT_URL": address}
            given = {
                "GITLAB_TOKEN": "glpat-wine",
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/gitlab",
                "AWS_DEFAULT_REGION": REGION,
                "SAGEMAKER_ROLE": "arn:aws:iam::123456789012:role/serving",
                "SAGEMAKER_BUCKET": "models",
            }
            machine = Machine(server, forge, env, place / "builds" / "wine", given)
            machine.clone.parent.mkdir()
            for name, value in isolated_environment(place_of(place, "ada"), runtime).items():
                patch.setenv(name, value)
            play(machine, set_up(place, _template, server), address)
            yield machine
    finally:
        stop_keepers(runtime)
        shutil.rmtree(runtime, ignore_errors=True)


def place_of(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@contextmanager
def equipped() -> Iterator[str]:
    """S3 with a bucket, ECR with MLflow's image, STS and SageMaker; where."""
    import boto3

    with amazon() as address:
        there = {"endpoint_url": address, **KEYS}
        boto3.client("s3", **there).create_bucket(Bucket="models")
        # what `mlflow sagemaker build-and-push-container` leaves in an account
        boto3.client("ecr", **there | {"region_name": REGION}).create_repository(repositoryName="mlflow-pyfunc")
        yield address


KEYS = {"region_name": "us-east-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


def set_up(place: Path, template: Path, server: GitHttp) -> Path:
    """Ada's project, of which nothing was executed yet, and its pipeline."""
    remote = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {place / 'store'}\n"
    ignored = "__pycache__/\n/model.json\n"
    files = {
        ".dvc/config": remote,
        ".gitignore": ignored,
        "dvc.yaml": PIPELINE,
        "serving.py": SERVING,
        "train.ipynb": book(FIRST),
    }
    settings = SETTINGS.format(place=place)
    variant = {"remote": "none", "pipeline": False, "settings": settings, "files": files}
    root = made(place / "ada/wine", template, variant)
    (root / "eval.ipynb").unlink()
    table(200, 0).to_csv(root / "data.csv", index=False)
    table(200, 1).to_csv(root / "live.csv", index=False)
    run("nbledger", "track", "data.csv", "live.csv", "-m", "The wines", "--push", cwd=root)
    run("nbledger", "code", "train.ipynb", cwd=root)
    said = run("nbledger", "ci", "gitlab", "--runner", "lab", "--deploy", "sagemaker", "--data", "live.csv", cwd=root)
    assert "jobs: review, release, deploy, drift" in said and "SAGEMAKER_ROLE" in said
    git(root, "remote", "add", "origin", f"{server.address('ada')}/ledger.git")
    pushed(root, "The pipeline", "main")
    return root


def book(threshold: float) -> str:
    return json.dumps(notebook_of([CELL.replace("THRESHOLD", str(threshold))], "train.ipynb"))


def pushed(root: Path, message: str, *refs: str) -> str:
    """The commit."""
    commit = commit_all(root, message)
    git(root, "push", "--quiet", "origin", *refs)
    return commit


def play(machine: Machine, root: Path, address: str) -> None:
    tracked(machine).create_experiment("wine", artifact_location="s3://models/runs")
    git(root, "tag", "v1")
    git(root, "push", "--quiet", "origin", "v1")
    answers(address, '{"predictions": [1, 0]}')
    push = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_REF_NAME": "v1", "CI_COMMIT_TAG": "v1"}
    done = machine.job("release", git(root, "rev-parse", "v1^{commit}"), **push)
    assert done.code == 0, done.out  # the others stand on it

    git(root, "switch", "--quiet", "--create", "better")
    (root / "train.ipynb").write_text(book(BETTER))
    run("nbledger", "code", "train.ipynb", cwd=root)
    request = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_REF_NAME": "better",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "better",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }
    machine.job("review", pushed(root, "Nearer to the truth", "better"), **request)
    (root / "README.md").write_text("What it is about.\n")
    machine.job("again", pushed(root, "Say what it is", "better"), **request)

    git(root, "switch", "--quiet", "main")
    schedule = {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_REF_NAME": "main"}
    table(200, 2, shift=1.0).to_csv(root / "live.csv", index=False)
    run("nbledger", "track", "live.csv", "-m", "Next week's wines", "--push", cwd=root)
    machine.job("drift", pushed(root, "Next week", "main"), **schedule)


def tracked(machine: Machine) -> Any:
    """Plain MLflow's client of the runs."""
    return client(f"sqlite:///{machine.clone.parents[1]}/runs.db")


def test_a_tag_is_trained_promoted_and_deployed(played: Machine) -> None:
    (version,) = tracked(played).search_model_versions("name='wine'")
    assert version.tags["nbledger.deployed.verdict"] == "serves"
    assert version.tags["nbledger.deployed.endpoint"] == f"sagemaker:/{REGION}/wine"
    assert (played.clone / ".git/identity").read_text() == "https://sts.amazonaws.com"
    assert (played.clone / ".git/identity").stat().st_mode & 0o077 == 0
    assert git(played.git.repository, "for-each-ref", "refs/nbledger/runs/") != ""
    assert git(played.clone, "status", "--porcelain", "--", ".cache") == ""


def test_a_merge_request_has_one_comment_that_is_kept_up_to_date(played: Machine) -> None:
    for called in ("review", "again"):
        assert played.done[called].code == 0, played.done[called].out
    (comment,) = played.forge.comments
    assert len(played.forge.asked("POST")) == len(played.forge.asked("PUT")) == 1
    first = played.forge.asked("POST")[0].body["body"]
    for body in (first, comment.body):
        assert "accuracy" in body and "better against origin/main" in body, body
    assert "README.md" not in first
    assert comment.body != first


def test_a_schedule_looks_for_drift(played: Machine) -> None:
    done = played.done["drift"]
    assert done.code == 1 and "data brought: live.csv" in done.out and "drift" in done.out, done.out
