"""People at one project for the tests of approval: runs with models, and the environment in which each of them types."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import git, run
from forked import Ended, shared
from nbledger.core import approval, mlflow, mlflow_lock, mlflow_registry
from nbledger.core.approval import Asking, Pending
from nbledger.core.manifest import TAG
from nbledger.core.project import find
from nbledger.keeper import approving, calls, recorder
from nbledger.keeper.recorder import Plan
from promotions import published
from servers import Server, token

CLEAN = {"nbledger.order": "clean", "nbledger.data.state": "none"}
_CODE = "import sys; from nbledger.cli import main; sys.exit(main({words!r}))"


@dataclass
class Team:
    """Everybody types in the same clone: ``root``. ``server``: with logins, if there is one."""

    root: Path
    server: Server | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    def login(self, name: str) -> None:
        """Give somebody a login of the server."""
        if self.server is not None and name not in self.passwords:
            self.passwords[name] = token()
            self.server.add_user(name, self.passwords[name])

    def variables(self, name: str) -> dict[str, str]:
        """Who is at work: Git's identity, the system's login and that of the server."""
        said = {"GIT_AUTHOR_NAME": name.title(), "GIT_AUTHOR_EMAIL": f"{name}@example.org", "LOGNAME": name}
        if self.server is not None:
            self.login(name)
            said |= {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": self.passwords[name]}
        return said

    @contextlib.contextmanager
    def being(self, name: str, **more: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for key, text in (self.variables(name) | more).items():
                patch.setenv(key, text)
            yield

    def run(self, name: str, by: str = "ada", **metrics: float) -> str:
        """A finished run of theirs with a logged model; its id."""
        with self.being(by):
            project = find(self.root)
            recording = recorder.start(project, Plan(name=name, tags=CLEAN))
            recording.log(0, metrics or {"accuracy": 0.9})
            recording.outcome("FINISHED")
            recording.end()
            published(project)
            api = mlflow.client(project)
            run = str(calls.perform(project, "show", {"run": name}).run_id)
            made = api.create_logged_model(api.get_run(run).info.experiment_id, name="clf", source_run_id=run)
            folder = self.root.parent / made.model_id
            folder.mkdir()
            (folder / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn}}\n")
            api.log_model_artifacts(made.model_id, str(folder))
            api.finalize_logged_model(made.model_id, "READY")
            return run

    def ask(self, run: str, by: str = "ada", model: str = "wine", needed: int = 1, **more: Any) -> Pending:
        """What a promotion does once its gate has passed."""
        with self.being(by):
            project = find(self.root)
            api, uri = mlflow.client(project), project.tracking_uri
            found = api.get_run(run)
            (logged,) = mlflow_registry.logged_by(api, uri, found)
            with mlflow_lock.held(api, uri, model) as held:
                number = mlflow_registry.version_made_of(api, uri, model, run, logged)
                number = number or mlflow_registry.register(api, uri, model, logged, run)
                known = {str(k): str(v) for k, v in api.get_registered_model(model).aliases.items()}
                asking = Asking(
                    model=model,
                    version=number,
                    previous=known.get(more.get("alias", "champion")),
                    run_id=run,
                    run_name=str(found.info.run_name),
                    manifest=found.data.tags[TAG],
                    condition="accuracy > 0.8",
                    figures={"accuracy": found.data.metrics["accuracy"]},
                    needed=needed,
                    **{"alias": "champion"} | more,
                )
                return approving.ask_for(project, held, asking)

    def approve(self, name: str, version: str = "", model: str = "wine", **more: Any) -> approving.Approval:
        words = {"model": model, **({"version": version} if version else {}), **more}
        with self.being(name):
            done: approving.Approval = calls.perform(find(self.root), "approve", words)
            return done

    def waiting(self, name: str) -> list[Pending]:
        with self.being(name):
            found: list[Pending] = calls.perform(find(self.root), "approvals", {})
            return found

    def typed(self, *commands: tuple[str, Sequence[str]]) -> list[Ended]:
        """``nbledger WORDS`` of each of these people, all let go in the same moment."""
        warm = shared()
        pids = [
            warm.fork(_CODE.format(words=list(words)), self.root, dict(os.environ) | self.variables(name))
            for name, words in commands
        ]
        return warm.go(*pids)

    def publish(self, branch: str = "main") -> None:
        """Push to the team's remote, a bare repository beside the project, as a branch of it."""
        remote = self.root.parent / "remote.git"
        if not remote.exists():
            run("git", "init", "--quiet", "--bare", "--initial-branch=main", remote, cwd=self.root.parent)
            git(self.root, "remote", "add", "origin", str(remote))
        git(self.root, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")

    def merge(self, branch: str, by: str, how: str = "merge", **more: str) -> str:
        """What a forge does when somebody presses the button: a merge into main, on the remote alone, a squash, or a rebase;
        its (last) commit.
        """
        place = self.root.parent / "forge"
        remote = self.root.parent / "remote.git"
        run("git", "clone", "--quiet", remote, place, cwd=self.root.parent)
        who = self.variables(by) | {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"} | more
        env, theirs = dict(os.environ) | who, f"origin/{branch}"
        if how == "squash":
            run("git", "merge", "--quiet", "--squash", theirs, cwd=place, env=env)
            run("git", "commit", "--quiet", "--message", f"{branch} (#7)", cwd=place, env=env)
        elif how == "rebase":  # a forge makes new commits, also where none is in between
            run("git", "cherry-pick", f"..{theirs}", cwd=place, env=env)
        else:
            run("git", "merge", "--quiet", "--no-ff", "--no-edit", theirs, cwd=place, env=env)
        run("git", "push", "--quiet", "origin", "HEAD:main", cwd=place)
        merged = run("git", "rev-parse", "HEAD", cwd=place)
        shutil.rmtree(place)
        return merged

    @property
    def api(self) -> Any:
        """Plain MLflow's client."""
        return mlflow.client(find(self.root))

    def aliases(self, model: str = "wine") -> dict[str, str]:
        return {str(k): str(v) for k, v in self.api.get_registered_model(model).aliases.items()}

    def decisions(self, model: str = "wine") -> list[dict[str, Any]]:
        """The record as MLflow's plain client reads it."""
        tags = self.api.get_registered_model(model).tags
        found = [json.loads(tags[key]) for key in sorted(tags) if key.startswith("nbledger.decision.")]
        assert [one["n"] for one in found] == list(range(1, len(found) + 1))
        return found

    def manifest(self, run: str) -> Path:
        return Path(self.api.get_run(run).info.artifact_uri.removeprefix("file://")) / "nbledger" / "manifest.json"

    def state(self, version: str, model: str = "wine") -> str:
        return str(self.api.get_model_version(model, version).tags[approval.TAGS + "state"])
