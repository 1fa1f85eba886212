"""The one door to CML (continuous machine learning): its ``cml comment update`` posts a report, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from nbledger.core import secrets
from nbledger.core.errors import Refused, ToolFailed

MARK_MOST = 400
"""Characters that CML adds to what it posts."""
_TIMEOUT = 300.0
_TOKENS = ("REPO_TOKEN", "repo_token", "GITHUB_TOKEN", "GITLAB_TOKEN", "BITBUCKET_TOKEN", "CI_JOB_TOKEN")


def post(folder: Path, body: str, key: str, number: int | None = None) -> str:
    """Make or update the comment of the report ``key`` (letters, digits, dots and dashes) on a pull request (without a number:
    the one that CML finds); the address that CML prints. ``folder`` is in the Git repository.

    CML is told to publish nothing: it would send every local file that the text links to a server of its makers.
    """
    tool = shutil.which("cml")
    if tool is None:
        raise Refused("cml is not installed", "npm install --global @dvcorg/cml, or leave --via cml out")
    with tempfile.TemporaryDirectory(prefix="nbledger-") as scratch:
        file = Path(scratch) / "report.md"
        file.write_text(body, encoding="utf-8")
        target = f"pr/{number}" if number is not None else "pr"
        words = ["comment", "update", "--publish=false", f"--target={target}", f"--watermark-title=nbledger-{key}"]
        try:
            done = subprocess.run(
                [tool, *words, str(file)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as err:
            raise ToolFailed(f"cml did not end within {_TIMEOUT:.0f} s", "check the network") from err
        except OSError as err:
            raise ToolFailed(f"cml could not be started: {err.strerror}") from err
    said = [_clean(out.decode("utf-8", "replace")) for out in (done.stdout, done.stderr)]
    if done.returncode != 0:
        last = next((lines[-1] for lines in (said[1], said[0]) if lines), f"exit code {done.returncode}")
        raise ToolFailed(f"cml comment update failed: {last}", "cml takes its token from REPO_TOKEN")
    return said[0][-1] if said[0] else ""


def _clean(text: str) -> list[str]:
    """The lines of what it says, without the tokens that it was given."""
    for name in _TOKENS:
        value = os.environ.get(name, "").strip()
        text = text.replace(value, "…") if value else text
    return [secrets.scrub(line.strip())[:300] for line in text.splitlines() if line.strip()]
