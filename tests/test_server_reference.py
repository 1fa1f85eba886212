"""The server that ``nbledger server`` describes does what it is for: people and their permissions, ``--check``, backups."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nbledger.cli import main
from nbledger.core import servercheck
from reference import Reference, as_is, certificate, proxied, through


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    made = Reference(tmp_path_factory.mktemp("reference"))
    try:
        made.open()
        made.start()
        for who in ("ada", "ben"):
            assert f"added {who}" in made.script("admin.py", "add", who, said=made.password(who) + "\n")
        experiment = made.ask("ada", "POST", "/api/2.0/mlflow/experiments/create", {"name": "wine"})["experiment_id"]
        made.ask("ada", "POST", "/api/2.0/mlflow/registered-models/create", {"name": "wine"})
        recorded(made, "ada", experiment)
        yield made
    finally:
        made.close()


def recorded(made: Reference, who: str, experiment: str) -> str:
    """A run of ``who`` with a metric and an artifact; its id."""
    words = {"experiment_id": experiment, "start_time": 1, "run_name": f"by {who}"}
    run_id = made.ask(who, "POST", "/api/2.0/mlflow/runs/create", words)["run"]["info"]["run_id"]
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 2, "step": 0}
    made.ask(who, "POST", "/api/2.0/mlflow/runs/log-metric", point)
    place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/model.bin"
    made.ask(who, "PUT", place, who.encode() * 1000)
    assert made.ask(who, "GET", place) == who.encode() * 1000
    return str(run_id)


def test_people_of_a_team_work_in_each_others_experiments(reference: Reference) -> None:
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=wine"
    experiment = reference.ask("ben", "GET", path)["experiment"]["experiment_id"]
    run_id = recorded(reference, "ben", experiment)
    version = {"name": "wine", "source": f"mlflow-artifacts:/{experiment}/{run_id}/artifacts", "run_id": run_id}
    made = reference.ask("ben", "POST", "/api/2.0/mlflow/model-versions/create", version)["model_version"]["version"]
    alias = {"name": "wine", "alias": "champion", "version": made}
    reference.ask("ben", "POST", "/api/2.0/mlflow/registered-models/alias", alias)
    with pytest.raises(urllib.error.HTTPError, match="403"):  # but not take what is hers
        reference.ask("ben", "POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": experiment})


def test_people_come_and_go(reference: Reference) -> None:
    assert reference.script("admin.py", "healthy") == "OK\n"
    assert "does not answer" in reference.script("admin.py", "healthy", ok=False, MLFLOW_ADDRESS="http://127.0.0.1:9")
    assert "at least 12" in reference.script("admin.py", "add", "cleo", said="short\n", ok=False)
    assert "shown this once" in reference.script("admin.py", "add", "cleo", "--admin")
    assert reference.script("admin.py", "people").splitlines() == [
        "admin (administrator)",
        "ada",
        "ben",
        "cleo (administrator)",
    ]
    assert "changed" in reference.script("admin.py", "password", "cleo", said=f"{reference.password('cleo')}\n")
    assert reference.ask("cleo", "GET", "/api/2.0/mlflow/users/current")["user"]["username"] == "cleo"
    assert "removed" in reference.script("admin.py", "remove", "cleo")
    assert "cleo" not in reference.script("admin.py", "people")
    assert "404" in reference.script("admin.py", "remove", "cleo", ok=False)
    assert "401" in reference.script("admin.py", "people", ok=False, ADMIN_PASSWORD="wrong-password-here")


def test_the_artifact_store_and_the_database_ask_for_their_passwords(reference: Reference) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{reference.s3_port}/mlflow?list-type=2", timeout=10)
    assert "password" in reference.script("backup.py", "backup", ok=False, PGPASSWORD="wrong")


# ── --check ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def as_person(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def become(who: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", who)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", reference.password(who))

    return become


def checked(url: str, experiment: str = "") -> dict[str, tuple[str, str]]:
    """{what: (severity, text and what to do)}"""
    return {each.what: (each.severity, f"{each.text} — {each.fix}") for each in servercheck.check(url, experiment)}


def state(made: Reference) -> tuple[list[bytes], dict[str, bytes]]:
    """Every row of every table, where the sequences stand, which keys and indexes there are, and every artifact. PostgreSQL
    says an expression another way once it has read it from a dump, so the rest of the definitions is not compared.
    """
    dump = made.postgres.dump("mlflow")
    rows = re.findall(rb"(?ms)^COPY .*?^\\\.$", dump)
    others = re.findall(rb"(?m)^.*(?:setval|ADD CONSTRAINT|CREATE INDEX|CREATE UNIQUE INDEX|CREATE TABLE).*$", dump)
    assert len(rows) > 50
    return rows + others, made.objects()


@pytest.mark.parametrize("who", ["admin", "ada", "ben"])
def test_a_good_server_is_fit_and_nothing_is_left_on_it(
    reference: Reference, as_person: Callable[[str], None], folder: Path, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    as_person(who)
    before = state(reference)
    assert main(["server", "--check", reference.url]) == 0
    told = capsys.readouterr().out
    assert told.endswith("fit for a team\n") and "! " not in told and reference.password(who) not in told
    assert main(["server", "--check", f"{reference.url}/", "--json"]) == 0
    found = {each["what"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    good = {
        "reachable",
        "tls",
        "version",
        "authentication",
        "permission",
        "hosts",
        "origins",
        "clock",
        "database",
        "root",
    }
    assert {what for what, each in found.items() if each["severity"] == "ok"} >= good
    assert ("read back equal and deleted" in found["artifacts"]["text"]) == (who != "ben")
    assert ("writing was not tried" in found["artifacts"]["text"]) == (who == "ben")
    assert found["login"]["severity"] == ("note" if who == "admin" else "ok") and who in found["login"]["text"]
    assert state(reference) == before


def test_the_projects_own_server_and_experiment(
    reference: Reference, as_person: Callable[[str], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_person("ben")
    os.environ["MLFLOW_TRACKING_URI"] = reference.url
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "wine"
    assert main(["server", "--check"]) == 0
    assert "in the experiment wine" in capsys.readouterr().out
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "not yet"
    assert main(["server", "--check"]) == 0
    assert "there is no experiment not yet yet" in capsys.readouterr().out


def test_logins_that_are_missing_wrong_or_in_the_file(reference: Reference, isolated: Path) -> None:
    assert "no login was found" in checked(reference.url)["login"][1]
    (isolated / ".mlflow").mkdir()
    words = f"[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = {reference.password('ada')}\n"
    (isolated / ".mlflow" / "credentials").write_text(words)
    assert "logged in as ada (~/.mlflow/credentials)" in checked(reference.url)["login"][1]
    os.environ["MLFLOW_TRACKING_PASSWORD"] = "wrong-password-here"
    wrong = checked(reference.url)
    assert wrong["login"][0] == "problem" and "not accepted" in wrong["login"][1]
    assert "wrong-password-here" not in str(wrong)
    shown = checked(reference.url.replace("://", f"://ben:{reference.password('ben')}@"))
    assert "logged in as ben (the address itself)" in shown["login"][1]
    assert reference.password("ben") not in str(shown)


def test_what_is_wrong_is_found(reference: Reference, as_person: Callable[[str], None]) -> None:
    as_person("admin")
    own = f"127.0.0.1:{reference.port}"
    login = "Basic " + base64.b64encode(f"admin:{reference.password('admin')}".encode()).decode()

    def header(name: str, value: str | None) -> Callable[[str, str, dict[str, str]], None]:
        def change(method: str, path: str, headers: dict[str, str]) -> None:
            headers.pop(name, None)
            headers.update({name: value} if value else {})

        return change

    def answered(name: str, value: str) -> Callable[[str, int, dict[str, str]], int]:
        return lambda path, status, headers: headers.update({name: value}) or status

    with proxied(reference) as proxy:
        good = checked(proxy.url)
        assert {severity for severity, _ in good.values()} <= {"ok", "note"}, good
        faults: list[tuple[str, str, Any, Any]] = [
            ("authentication", "off", header("Authorization", login), None),
            ("hosts", "any Host", header("Host", own), None),
            ("origins", "may send what changes runs", header("Origin", None), None),
            ("origins", "may read answers", None, answered("Access-Control-Allow-Origin", "*")),
            ("clock", "behind this machine's", None, answered("Date", "Thu, 26 Nov 2020 03:00:00 GMT")),
            (
                "version",
                "tells no version",
                lambda m, p, h: 404 if p == "/version" else None,
                None,
            ),
            ("artifacts", "as too large", lambda m, p, h: 413 if m == "PUT" else None, None),
            ("artifacts", "passes no artifacts on", lambda m, p, h: 503 if m == "PUT" else None, None),
            ("permission", "may not record", lambda m, p, h: 403 if p.endswith("runs/create") else None, None),
            ("reachable", "answers 502", lambda m, p, h: 502, None),
            ("reachable", "sends elsewhere", lambda m, p, h: 301, None),
        ]
        for what, words, before, after in faults:
            proxy.before, proxy.after = before or through, after or as_is
            severity, told = checked(proxy.url)[what]
            assert severity == "problem" and words in told, (what, words, told)
        add = header("Authorization", login)
        proxy.before = lambda method, path, headers: add(method, path, headers) if "runs/search" in path else None
        proxy.after = as_is
        assert "still answers /api/2.0/mlflow/runs/search —" in checked(proxy.url)["authentication"][1]


def test_tls(reference: Reference, as_person: Callable[[str], None], tmp_path: Path) -> None:
    as_person("ada")
    file, context = certificate(tmp_path, (-1, 30.2))
    with proxied(reference, context) as proxy:
        refused = checked(proxy.url)
        assert set(refused) == {"tls"} and "MLFLOW_TRACKING_SERVER_CERT_PATH" in refused["tls"][1]
        os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(file)
        found = checked(proxy.url)
        assert found["tls"][0] == "ok" and "valid for 30 days" in found["tls"][1]
        del os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
        os.environ["MLFLOW_TRACKING_INSECURE_TLS"] = "true"
        found = checked(proxy.url)
        assert found["tls"][0] == "problem" and "was not sent" in found["login"][1] and found["hosts"][0] != "problem"
        del os.environ["MLFLOW_TRACKING_INSECURE_TLS"]
        os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(tmp_path / "nothing")
        assert main(["server", "--check", proxy.url]) == 3
        del os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
        assert "no TLS with" in checked(reference.url.replace("http:", "https:"))["tls"][1]


@pytest.mark.parametrize(
    ("days", "severity", "words"), [((-90, 1.1), "note", "26 hours"), ((-0.2, 0.8), "ok", "19 hours")]
)
def test_a_certificate_that_is_late(
    reference: Reference, tmp_path: Path, days: tuple[float, float], severity: str, words: str
) -> None:
    file, context = certificate(tmp_path, days)
    os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(file)
    with proxied(reference, context) as proxy:
        found = checked(proxy.url)["tls"]
    assert found[0] == severity and f"valid for {words}" in found[1]


def test_a_login_does_not_travel_as_plain_text(reference: Reference, as_person: Callable[[str], None]) -> None:
    as_person("ada")
    heard: list[str] = []
    with proxied(reference) as proxy:
        os.environ["http_proxy"] = proxy.url  # by which another machine's name is as good as any
        proxy.before = lambda method, path, headers: heard.append(str(headers)) or 404
        found = checked("http://mlflow.example.org")
        assert set(found) == {"reachable"} and "answers 404" in found["reachable"][1]
        proxy.before = plain(heard, reference.port)
        found = checked("http://mlflow.example.org")
    assert found["tls"][0] == "problem" and "not sent" in found["login"][1] and found["authentication"][0] == "ok"
    assert len(heard) > 8 and not any("Authorization" in each for each in heard)


def plain(heard: list[str], port: int) -> Callable[[str, str, dict[str, str]], None]:
    def change(method: str, path: str, headers: dict[str, str]) -> None:
        heard.append(str(headers))
        headers["Host"] = f"127.0.0.1:{port}"

    return change


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nOK",
        b"HTTP/1.0 301 Moved\r\nLocation: https://a:b@x/\x1b[2J\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<html>\x1b[31mhello</html>",
        b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\nOK",
    ],
)
def test_what_is_no_mlflow_is_told_in_one_line(folder: Path, answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller = listening.accept()[0]
                    with caller:
                        caller.recv(65536)
                        caller.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        assert main(["server", "--check", f"http://127.0.0.1:{listening.getsockname()[1]}"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-2].startswith("! ") and told.out.endswith("\n1 problem\n") and told.err == ""
    assert "\x1b" not in told.out and "a:b@" not in told.out


# ── backups ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_comes_back_whole(reference: Reference) -> None:
    (reference.place / "backups").mkdir(exist_ok=True)
    assert "no backup" in reference.script("backup.py", "fresh", ok=False)
    (reference.place / "backups" / ".since").touch()  # as `nightly` does: there is a day's time
    assert "no backup" in reference.script("backup.py", "fresh")
    os.utime(reference.place / "backups" / ".since", (0, 0))
    assert "no backup" in reference.script("backup.py", "fresh", ok=False)
    first = reference.script("backup.py", "backup")
    backups = reference.place / "backups"
    (name,) = [path.name for path in backups.glob("*Z")]
    assert name in first and not list(backups.glob(".*.part")) and not list(backups.glob(".object-*"))
    assert "the newest backup is" in reference.script("backup.py", "fresh")
    dump, objects = state(reference)
    assert objects and json.loads((backups / name / "summary.json").read_text())["objects"] == len(objects)

    assert "which would be gone" in reference.script("backup.py", "restore", "latest", ok=False)
    assert "there is no backup '../x'" in reference.script("backup.py", "restore", "../x", "--replace", ok=False)
    bytes_of = sorted((backups / "objects").glob("??/*"))
    kept = bytes_of[0].read_bytes()
    bytes_of[0].write_bytes(b"damaged")
    assert "damaged; nothing was restored" in reference.script("backup.py", "restore", "latest", "--replace", ok=False)
    assert state(reference) == (dump, objects)
    bytes_of[0].write_bytes(kept)

    experiment = reference.ask("ada", "POST", "/api/2.0/mlflow/experiments/create", {"name": "later"})["experiment_id"]
    recorded(reference, "ada", experiment)
    store = reference.store()
    reference.stop()
    for key in list(objects)[:1]:
        store.put_object(Bucket="mlflow", Key=key, Body=b"overwritten")
    for key in list(objects)[1:]:
        store.delete_object(Bucket="mlflow", Key=key)
    assert f"restored {name}" in reference.script("backup.py", "restore", name, "--replace")
    assert state(reference)[0] == dump
    assert {key: value for key, value in reference.objects().items() if key in objects} == objects
    assert not list(backups.glob(".restore-*"))
    reference.start()
    found = reference.ask("ben", "POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})["runs"]
    assert {each["info"]["run_name"] for each in found} >= {"by ada"}  # and the login is one of the restored ones


def test_old_backups_go_and_bytes_that_only_they_had(reference: Reference) -> None:
    backups = reference.place / "backups"
    experiment = reference.ask("ada", "POST", "/api/2.0/mlflow/experiments/create", {"name": "short-lived"})[
        "experiment_id"
    ]
    run_id = recorded(reference, "ada", experiment)
    reference.ask(
        "ada", "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/big", b"only here"
    )
    reference.script("backup.py", "backup")
    before = set((backups / "objects").glob("??/*"))
    mark = {path: path.stat().st_mtime_ns for path in before}
    assert b"only here" in [path.read_bytes() for path in before]
    reference.ask("ada", "DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/big")
    wait_for_next_second()
    (backups / ".2026-01-01T00-00-00Z.part").mkdir()  # as a kill leaves them
    (backups / ".object-killed").write_bytes(b"half")
    with open(backups / ".lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "being made or restored already" in reference.script("backup.py", "backup", ok=False)
    reference.script("backup.py", "backup", BACKUP_KEEP="1")
    assert {path.name for path in backups.iterdir() if path.name.startswith(".")} <= {".lock", ".since"}
    after = set((backups / "objects").glob("??/*"))
    assert len(reference.script("backup.py", "list").splitlines()) == 1
    assert b"only here" not in [path.read_bytes() for path in after] and after < before
    assert {path: path.stat().st_mtime_ns for path in after} == {
        path: mark[path] for path in after
    }  # nothing came again


def wait_for_next_second() -> None:
    """Backups are named by the second."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.05)


def test_a_backup_that_cannot_be_made_leaves_the_others(reference: Reference) -> None:
    backups = reference.place / "backups"
    backups.mkdir(exist_ok=True)
    names = sorted(path.name for path in backups.iterdir())
    told = reference.script("backup.py", "backup", ok=False, AWS_SECRET_ACCESS_KEY="wrong")
    assert told.startswith("failed: the artifacts of s3://mlflow/artifacts/") and told.count("\n") == 1
    assert "database" in reference.script("backup.py", "backup", ok=False, PGDATABASE="nothing")
    assert sorted(path.name for path in backups.iterdir() if path.name != ".lock") == [n for n in names if n != ".lock"]
    assert "BACKUP_AT" in reference.script("backup.py", "nightly", ok=False, BACKUP_AT="noon")
