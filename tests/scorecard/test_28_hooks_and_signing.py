"""Every hook that Git knows lies in `.git/hooks`, then in the folder that `core.hooksPath` names, each writing a canary and
failing; commits and tags must be signed by a gpg that writes the canary and fails; `core.fsmonitor` is such a program
too. A cell is tracked, the run is published, and it is reproduced: a work tree is added, code is executed again.

nbledger makes its commits with Git's plumbing, unsigned and without hooks. The plain way to keep the code of a run is
`git commit`, and `git worktree add` to bring it back.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import commit_all, git, run
from hostile import HOOKS
from kernels import kernel
from ledger import flush, runs
from snap import Snap

REPRODUCE = (sys.executable, "-m", "nbledger.cli", "reproduce")


def script(path: Path, canary: Path) -> Path:
    path.write_text(f"#!/bin/sh\necho {path.name} >> {canary}\nexit 1\n")
    path.chmod(0o755)
    return path


def armed(project: Path, canary: Path) -> Path:
    """Code is committed first; from then on every hook fails, and nothing can be signed. The folder of other hooks."""
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / ".gitignore").write_text("__pycache__/\n")
    (project / "lib.py").write_text("base = 40\n")
    commit_all(project)
    others = project.with_name("hooks")
    for folder in (project / ".git/hooks", others):
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            script(folder / name, canary)
    gpg = script(project.with_name("gpg"), canary)
    for key, value in {
        "commit.gpgSign": "true",
        "tag.gpgSign": "true",
        "gpg.program": str(gpg),
        "user.signingKey": "ABCD1234",
        "core.fsmonitor": str(script(project.with_name("monitor"), canary)),
    }.items():
        git(project, "config", key, value)
    (project / "lib.py").write_text("base = 41\n")
    return others


def test_no_hook_runs(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    canary = tmp_path / "canary"
    others = armed(project, canary)
    before = Snap.take(project)
    canary.unlink(missing_ok=True)  # *Snap* asks Git for its status: the monitor is the user's own
    cell = "from nbledger import log\nfrom lib import base\nlog(answer=base + 1)"
    with kernel(project) as k:
        assert k.run(f"%%mlrun first\n{cell}").status == "ok"
        git(project, "config", "core.hooksPath", str(others))
        assert k.run(f"%%mlrun second\n{cell}").status == "ok"
    assert "is published" in flush(project)
    found = runs(project, flushed=False)
    assert [(run.info.status, run.data.metrics["answer"]) for run in found] == [("FINISHED", 42.0)] * 2
    run(*REPRODUCE, "first", "--restore-only", "--into", tmp_path / "first", cwd=project)
    git(project, "config", "--unset", "core.hooksPath")
    run(*REPRODUCE, "second", *[["--restore-only", "--into", str(tmp_path / "second")], []][count(1, 0)], cwd=project)
    assert not canary.exists(), canary.read_text()
    git(project, "config", "--unset", "core.fsmonitor")
    assert git(project, "show", f"{found[0].data.tags['nbledger.snapshot']}:lib.py") == "base = 41"
    git(project, "config", "core.fsmonitor", str(project.with_name("monitor")))
    after = Snap.take(project)
    for name in ("head", "index", "entries", "refs", "stash", "logs", "status"):  # the settings are changed above
        assert getattr(after, name) == getattr(before, name), f"{name} moved"
    seen(f"{len(HOOKS)} hooks in two places, gpg and monitor silent; both runs FINISHED and restored")


def test_plain_commit(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    canary = tmp_path / "canary"
    armed(project, canary)
    canary.unlink(missing_ok=True)
    done = subprocess.run(
        ["git", "commit", "-qam", "the run"], cwd=project, capture_output=True, text=True, check=False
    )
    subprocess.run(["git", "worktree", "add", "-q", "../back", "HEAD"], cwd=project, capture_output=True, check=False)
    ran = sorted(set(canary.read_text().split())) if canary.exists() else []
    said = f"git commit exits with {done.returncode}" + (", the code is in no commit" if done.returncode else "")
    plain(done.returncode == 0 and not ran, f"{said}; ran: {', '.join(ran)}")
