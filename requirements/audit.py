"""Known vulnerabilities of everything that nbledger is built, tested and run with: ``make audit``.

pip-audit asks OSV about each version of constraints.txt, ``npm audit`` the npm registry about each of package-lock.json.
Three outcomes are told apart: clean; vulnerable and not allowed (exit code 1); the service could not be asked, which is
said in one loud line and fails only where ``NBLEDGER_AUDIT=required`` is set, as for a release. What was looked at and is
no danger here stands in audit-allowed.toml, with its reason and the day until which that was judged.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_PATIENCE = 900


class NotAsked(Exception):
    """The service gave no answer, or not about everything."""


@dataclass(frozen=True)
class Found:
    """A vulnerability of a package in use: all its names, and what is said of it."""

    package: str
    version: str
    ids: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Allowed:
    """A vulnerability that was looked at: why it is no danger here, and until when that was judged."""

    id: str
    package: str
    reason: str
    until: dt.date


def allow_list(file: Path) -> list[Allowed]:
    """The entries of audit-allowed.toml; each must say all four things."""
    entries = [Allowed(**entry) for entry in tomllib.loads(file.read_text()).get("allowed", [])]
    for entry in entries:
        if not (entry.id and entry.package and entry.reason.strip() and isinstance(entry.until, dt.date)):
            raise SystemExit(f"{file.name}: {entry.id or 'an entry'} lacks its package, reason or day")
    return entries


def python_found(requirements: Path, osv: str | None) -> list[Found]:
    """What pip-audit finds in pinned ``requirements``."""
    if importlib.util.find_spec("pip_audit") is None:
        raise NotAsked("pip-audit is not installed here (`make audit` installs it)")
    words = ["--requirement", str(requirements), "--no-deps", "--disable-pip", "--progress-spinner=off"]
    words += ["--vulnerability-service=osv", "--timeout=15", "--format=json", "--desc=on", "--aliases=on"]
    words += [f"--osv-url={osv}"] if osv else []
    done = _run([sys.executable, "-m", "pip_audit", *words], HERE)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as err:
        raise NotAsked(f"OSV does not answer ({_last(done.stderr)})") from err
    skipped = [str(one["name"]) for one in packages if "skip_reason" in one]
    if skipped or not packages:
        raise NotAsked(f"OSV was not asked about {', '.join(skipped[:5]) or 'anything'}")
    return [
        Found(one["name"], one["version"], (flaw["id"], *flaw.get("aliases", ())), flaw.get("description") or "")
        for one in packages
        for flaw in one["vulns"]
    ]


def npm_found(folder: Path, registry: str | None) -> list[Found]:
    """What npm's registry says of the lock file in ``folder``, the tools of building and testing included."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotAsked("npm is not installed here (`make audit` installs it)")
    words = ["audit", "--json", "--package-lock-only", "--fetch-retries=0", "--fetch-timeout=30000"]
    done = _run([npm, *words, *([f"--registry={registry}"] if registry else [])], folder)
    try:
        answer = json.loads(done.stdout)
    except ValueError as err:
        raise NotAsked(f"npm says nothing ({_last(done.stderr)})") from err
    if "auditReportVersion" not in answer:
        raise NotAsked(f"npm's registry does not answer ({_last(str(answer.get('message') or done.stderr))})")
    return [
        Found(via["name"], via.get("range", ""), (via["url"].rsplit("/", 1)[-1],), via["title"])
        for one in answer["vulnerabilities"].values()
        for via in one["via"]
        if isinstance(via, dict)
    ]


def judged(what: str, ask: Callable[[], Iterable[Found]], allowed: Sequence[Allowed], today: dt.date) -> bool | None:
    """Say what there is; whether it is clean, None where it could not be asked."""
    try:
        found = list({(one.package, one.ids): one for one in ask()}.values())
    except NotAsked as err:
        _say(f"AUDIT NOT DONE: {what}: {err}")
        return None
    bad = 0
    for one in found:
        entry = next((entry for entry in allowed if entry.package == one.package and entry.id in one.ids), None)
        if entry is not None and entry.until >= today:
            _say(f"{what}: {one.package} {one.version}: {entry.id} is allowed until {entry.until}: {entry.reason}")
            continue
        over = f" (was allowed until {entry.until})" if entry is not None else ""
        _say(f"VULNERABLE: {what}: {one.package} {one.version}: {', '.join(one.ids)}{over}: {one.says[:200]}")
        bad += 1
    if bad:
        _say(f"{what}: raise the version (make lock), or write into audit-allowed.toml why it is no danger here")
    else:
        _say(f"{what}: no known vulnerability" + (" that is not allowed" if found else ""))
    return not bad


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("--requirements", type=Path, default=HERE / "constraints.txt", help="pinned Python packages")
    parser.add_argument(
        "--npm", type=Path, default=HERE.parent / "labextension", help="a folder with package-lock.json"
    )
    parser.add_argument("--allowed", type=Path, default=HERE / "audit-allowed.toml", help="what was looked at already")
    parser.add_argument("--osv", help="the address of OSV's query (default: as pip-audit knows it)")
    parser.add_argument("--registry", help="the npm registry that is asked (default: as npm is configured)")
    options = parser.parse_args(words)
    allowed, today = allow_list(options.allowed), dt.datetime.now(dt.UTC).date()
    outcomes = [
        judged("Python", lambda: python_found(options.requirements, options.osv), allowed, today),
        judged("npm", lambda: npm_found(options.npm, options.registry), allowed, today),
    ]
    if None in outcomes and os.environ.get("NBLEDGER_AUDIT") == "required":
        _say("an audit is required (NBLEDGER_AUDIT=required), and it could not be done")
        return 1
    return 1 if False in outcomes else 0


def _run(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as err:
        raise NotAsked(f"no answer within {_PATIENCE} s") from err


def _last(said: str) -> str:
    """The last line of what a tool said, without addresses: they are this machine's business."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    plain = " ".join(word for word in (lines[-1] if lines else "no word").split() if "://" not in word)
    return plain[:160]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
