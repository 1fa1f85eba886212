"""The audit of dependencies tells three outcomes apart, asked of a service on this machine that answers as the real ones."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"
FLAW = {
    "id": "PYSEC-0000-1",
    "aliases": ["CVE-0000-1", "GHSA-aaaa-bbbb-cccc"],
    "summary": "An example of a flaw",
    "affected": [{"package": {"name": "beta", "ecosystem": "PyPI"}, "ranges": []}],
}
ADVISORY = {
    "id": 1,
    "url": "https://advisories.example/GHSA-dddd-eeee-ffff",
    "title": "Another example of a flaw",
    "severity": "high",
    "vulnerable_versions": "<2.0.0",
    "cwe": [],
    "cvss": {"score": 0, "vectorString": None},
}


@contextmanager
def service(*, flawed: bool = False, status: int = 200) -> Iterator[str]:
    """Stands in for OSV and for npm's registry; its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            said: Any = {}
            if self.path == "/v1/query" and flawed and json.loads(asked)["package"]["name"] == "beta":
                said = {"vulns": [FLAW]}
            elif self.path.endswith("/advisories/bulk") and flawed:
                said = {"gamma": [ADVISORY]}
            self._say(said, status)

        def do_GET(self) -> None:  # what npm knows of a package
            versions = {"1.0.0": {"name": "gamma", "version": "1.0.0", "dist": {}}}
            self._say({"name": "gamma", "versions": versions, "dist-tags": {"latest": "1.0.0"}}, 200)

        def _say(self, said: Any, how: int) -> None:
            body = json.dumps(said).encode()
            self.send_response(how)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def place(folder: Path) -> Path:
    (folder / "pinned.txt").write_text("alpha==1.0\nbeta==2.0 ; python_version > '3'\n")
    lock = {
        "name": "x",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "x", "version": "1.0.0", "dependencies": {"gamma": "1.0.0"}},
            "node_modules/gamma": {"version": "1.0.0"},
        },
    }
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "package.json").write_text(
        json.dumps({k: lock["packages"][""][k] for k in ("name", "version", "dependencies")})
    )  # type: ignore[index]
    (folder / "allowed.toml").write_text("")
    return folder


def audit(place: Path, address: str) -> tuple[int, str]:
    words = [
        "--requirements", place / "pinned.txt", "--npm", place, "--allowed", place / "allowed.toml",
        "--osv", f"{address}/v1/query", "--registry", address,
    ]  # fmt: skip
    done = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_clean(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBLEDGER_AUDIT", "required")
    with service() as address:
        assert audit(place, address) == (0, "Python: no known vulnerability\nnpm: no known vulnerability\n")


def test_vulnerable_and_then_allowed_until_a_day(place: Path) -> None:
    with service(flawed=True) as address:
        code, said = audit(place, address)
        assert code == 1
        assert "VULNERABLE: Python: beta 2.0: PYSEC-0000-1, " in said
        assert "VULNERABLE: npm: gamma <2.0.0: GHSA-dddd-eeee-ffff: Another example" in said

        def allow(until: dt.date) -> None:
            entries = [("CVE-0000-1", "beta"), ("GHSA-dddd-eeee-ffff", "gamma")]
            (place / "allowed.toml").write_text(
                "".join(
                    f'[[allowed]]\nid = "{i}"\npackage = "{p}"\nreason = "never called"\nuntil = {until}\n'
                    for i, p in entries
                )
            )

        until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
        allow(until)
        code, said = audit(place, address)
        assert code == 0
        assert f"beta 2.0: CVE-0000-1 is allowed until {until}: never called" in said
        assert "npm: no known vulnerability that is not allowed" in said
        allow(until - dt.timedelta(days=3))
        code, said = audit(place, address)
        assert code == 1
        assert "was allowed until" in said


def test_a_service_that_refuses_or_is_not_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(status=405) as address:
        code, said = audit(place, address)
    assert code == 0
    assert said.count("AUDIT NOT DONE: ") == len(said.splitlines()) == 2
    monkeypatch.setenv("NBLEDGER_AUDIT", "required")
    code, said = audit(place, "http://127.0.0.1:9")
    assert code == 1
    assert said.count("AUDIT NOT DONE: ") == 2
    assert "could not be done" in said


def test_an_entry_without_a_reason_is_none(place: Path) -> None:
    (place / "allowed.toml").write_text('[[allowed]]\nid = "X"\npackage = "y"\nreason = " "\nuntil = 2030-01-01\n')
    done = subprocess.run([sys.executable, SCRIPT, "--allowed", place / "allowed.toml"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "lacks its package, reason or day" in done.stderr


def test_our_own_list_can_be_read() -> None:
    program = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import audit; audit.allow_list(audit.HERE / 'audit-allowed.toml')"
    subprocess.run([sys.executable, "-c", program, SCRIPT.parent], check=True)
