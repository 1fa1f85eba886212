"""Real projects for the tests: real Git, real DVC, real MLflow, and nothing of the person's own configuration."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

import emptystore
import forked
import order

# Variables of the person's shell, editor or CI that would change what the tools under test do.
LEAKY_PREFIXES = ("MLFLOW_", "JUPYTER", "IPYTHON", "DVC_", "GIT_", "NBLEDGER_", "PAPERMILL_", "XDG_")
LEAKY = ("PYTHONDONTWRITEBYTECODE", "PYTHONSTARTUP", "PYTHONPATH", "AWS_PROFILE", "DATABRICKS_HOST", "CI")
for _name in [name for name in os.environ if name.startswith(("MLFLOW_", "DVC_", "GIT_"))]:
    del os.environ[_name]  # fixtures of modules and sessions begin before any test has a home of its own

IDENTITY = """\
[user]
    name = Ada Tester
    email = ada@example.org
[init]
    defaultBranch = main
[commit]
    gpgSign = false
[protocol "file"]
    allow = always
"""


DVC = """
import os, sys
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(os.open({said!r}, os.O_WRONLY), 2)
from dvc.cli import main
sys.exit(main({words!r}))
"""


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, ok: bool = True, timeout: float = 240
) -> str:
    """What ``command`` prints (stripped); unless ``ok`` is false, a failure fails the test with its words."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=timeout
    )
    if ok and done.returncode:
        words = " ".join(str(word) for word in command)
        pytest.fail(f"`{words}` exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout.strip()


def git(root: Path, *words: str) -> str:
    return run("git", *words, cwd=root)


def dvc(root: Path, *words: str) -> str:
    """What ``dvc WORDS`` prints (stripped), in a process that need not import it."""
    with tempfile.NamedTemporaryFile(mode="r", prefix="dvc-said-") as said:
        ended = forked.shared("dvc.cli", "dvc.repo", "dvc.commands").run(DVC.format(said=said.name, words=words), root)
        if ended.code:
            pytest.fail(f"`dvc {' '.join(words)}` exited with {ended.code}:\n{ended.out}\n{said.read()}")
    return ended.out.strip()


def data_remote(root: Path, place: Path) -> None:
    """Make ``place`` the default data remote, as ``dvc remote add -d store`` does in a second more."""
    (root / ".dvc" / "config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {place}\n")


def both_remotes(root: Path, place: Path) -> Path:
    """A bare Git repository and a folder for data, both below ``place``, as the project's committed remotes; the repository."""
    git(place, "init", "-q", "--bare", "bare.git")
    git(root, "remote", "add", "origin", str(place / "bare.git"))
    data_remote(root, place / "store")
    commit_all(root, "remotes")
    return place / "bare.git"


def data_status(root: Path) -> dict[str, object]:
    """What ``dvc status`` says, asked of DVC in this process."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return dict(repo.status())


def commit_all(root: Path, message: str = "work") -> str:
    """Commit the whole work tree; the new commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(root, "rev-parse", "HEAD")


def make_repository(root: Path) -> Path:
    """A Git repository that is also a DVC one, with one commit."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet")
    dvc(root, "init", "--quiet")
    commit_all(root, "Start")
    return root


def isolated_environment(home: Path, runtime: Path) -> dict[str, str]:
    """This process's environment with every configuration, data and cache folder below ``home``, which is that of a person
    who has used nbledger before.

    ``runtime`` holds the sockets, whose paths must stay below 100 characters.
    """
    config = home / ".gitconfig"
    config.write_text(IDENTITY)
    folders = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_DATA_HOME": home / ".local/share",
        "XDG_STATE_HOME": home / ".local/state",
        "IPYTHONDIR": home / ".ipython",
        "JUPYTER_CONFIG_DIR": home / ".jupyter",
        "JUPYTER_DATA_DIR": home / ".local/share/jupyter",
        "JUPYTERLAB_SETTINGS_DIR": home / ".jupyter/lab/user-settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / ".jupyter/lab/workspaces",
        "JUPYTER_RUNTIME_DIR": runtime,
        "DVC_GLOBAL_CONFIG_DIR": home / ".config/dvc",
        "DVC_SYSTEM_CONFIG_DIR": home / ".config/dvc-system",
        "DVC_SITE_CACHE_DIR": home / ".cache/dvc-site",
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    emptystore.put(folders["JUPYTER_DATA_DIR"])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(LEAKY_PREFIXES) and k not in LEAKY}
    return (
        kept
        | {name: str(folder) for name, folder in folders.items()}
        | {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "TZ": "UTC",
        }
    )


def short_folder() -> Path:
    """A new private folder whose path leaves room for a Unix socket's name."""
    base = "/tmp" if os.path.isdir("/tmp") else None
    return Path(tempfile.mkdtemp(prefix="nbl-", dir=base))


def stop_keepers(*runtimes: Path, kill: bool = False) -> None:
    """End every keeper that was started with one of these as Jupyter's runtime folder; with ``kill`` whatever it does, and
    what it has started with it.
    """
    ours: list[psutil.Process] = []
    places = {str(runtime) for runtime in runtimes}
    for process in psutil.process_iter(["cmdline"]):
        if "nbledger.keeper" not in (process.info["cmdline"] or []):
            continue
        try:
            if process.environ().get("JUPYTER_RUNTIME_DIR") not in places:
                continue
            ours += process.children(recursive=True) if kill else ()
            ours.append(process)
            process.kill() if kill else process.terminate()
        except psutil.Error:
            continue
    for process in ours if kill else psutil.wait_procs(ours, timeout=5)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(ours, timeout=5)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of pytest-xdist's workers, which all must have the same order
        order.sort(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return order.LongestFirst(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test has a home of its own; the keepers it started end with it, and so does what it left in the environment
    (``mlflow.set_tracking_uri`` sets a variable, which the kernels of every later test would have).
    """
    before = dict(os.environ)
    home, runtime = tmp_path_factory.mktemp("home"), short_folder()
    wanted = isolated_environment(home, runtime)
    for name in os.environ.keys() - wanted.keys():
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    yield home
    stop_keepers(runtime, kill=True)  # to end by itself costs each a second, most of it waiting
    shutil.rmtree(runtime, ignore_errors=True)
    monkeypatch.undo()
    _forget_stores()
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        os.environ.pop(name, None)


def _forget_stores() -> None:
    """What MLflow and boto3 keep for the whole process of the store that a test set."""
    if tracking := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        tracking._tracking_uri = None
    if boto3 := sys.modules.get("boto3"):
        boto3.DEFAULT_SESSION = None
    if artifacts := sys.modules.get("mlflow.store.artifact.s3_artifact_repo"):
        artifacts._cached_get_s3_client.cache_clear()


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real ``git init`` and ``dvc init`` per session; the projects of the tests are copies."""
    runtime = short_folder()
    env = isolated_environment(tmp_path_factory.mktemp("home"), runtime)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        root = make_repository(tmp_path_factory.mktemp("template") / "project")
    shutil.rmtree(runtime, ignore_errors=True)
    return root


@pytest.fixture
def project(isolated: Path, _template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a fresh Git and DVC repository with one commit, which is also the working directory."""
    root = tmp_path / "project"
    shutil.copytree(_template, root, symlinks=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def folder(isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder outside any repository, which is also the working directory."""
    root = tmp_path / "folder"
    root.mkdir()
    monkeypatch.chdir(root)
    return root
