"""A repository that came as a folder is made hostile: every hook, and canaries in all that Git's configuration executes
(monitor, filters, diff and merge drivers, ssh, credentials, gpg, `ext::` and promisor remotes with a missing object, an
included file, a submodule and a bare repository inside), pickles where `.dvc/config` leads DVC's memory, AWS's
`credential_process`, templates and YAML bombs, a store whose artifacts lie elsewhere, a journal with a pickled model, a
tracking server named by `.nbledger.toml`, and modules called `json.py` and `nbledger.py`. Everything that looks at a project is
asked, in one process and of the keeper that the sidebar starts, under strace: programs that were started are counted, and the
server must hear nothing, least of all the person's token. What executes asks for trust; once that is given, the filters run.
The plain way is `git status`, `git log`, `git diff`, `dvc status` and `mlflow runs list` in the same place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hostile
from conftest import git, isolated_environment, make_repository, short_folder
from hostile import Hostile
from nbledger.core import trust
from nbledger.core.project import find
from nbledger.server.routes import ROUTES
from scorecard.conftest import FULL
from server.jupyter import examples, started

TESTS = Path(__file__).parents[1]
CLI = [sys.executable, "-P", "-m", "nbledger.cli"]
GIT = ("/git", "/git-core/git", "/git-remote", "/python", "/python3", f"/{Path(sys.executable).name}")
SYSTEM = ("/sbin/ldconfig", "/usr/sbin/ldconfig", "/usr/bin/uname", "/bin/uname", "/usr/bin/lscpu")
TOKEN = "tok-7d1f0c"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, list[bytes]]]:
    with hostile.listener() as listening:
        yield listening


@pytest.fixture(scope="module")
def shipped(
    _template: Path, tmp_path_factory: pytest.TempPathFactory, server: tuple[int, list[bytes]]
) -> Iterator[Hostile]:
    """Made once: nothing of it may change by being looked at."""
    place, runtime = tmp_path_factory.mktemp("hostile"), short_folder()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in isolated_environment(tmp_path_factory.mktemp("home"), runtime).items():
            patch.setenv(name, value)
        shutil.copytree(_template, place / "project", symlinks=True)
        yield hostile.make(place / "project", place / "place", server[0])
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def made(shipped: Hostile, server: tuple[int, list[bytes]], isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    shipped.log.unlink(missing_ok=True)
    server[1].clear()
    return shipped


def looked(made: Hostile, how: str) -> tuple[dict[str, str], list[str]]:
    """What each look said, and the programs that were started."""
    trace = made.bin.parent / f"trace-{how}"
    command = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=execve",
        "-e",
        "signal=none",
        "-s",
        "300",
        "-o",
        trace,
    ]
    command += [sys.executable, "-P", TESTS / "looks.py", how, made.root]
    said, errors = made.bin.parent / "said", made.bin.parent / "errors"
    with said.open("w") as out, errors.open("w") as err:  # no pipes: strace may outlive what it traces
        done = subprocess.run(
            [str(word) for word in command], cwd=made.root, stdout=out, stderr=err, check=False, timeout=280
        )
    assert done.returncode == 0, errors.read_text()[-3000:]
    return json.loads(said.read_text()), hostile.executed(trace)


def foreign(programs: list[str]) -> list[str]:
    return [p for p in programs if not (p.endswith(GIT) or "/git-core/" in p or p in SYSTEM)]


@pytest.mark.parametrize("how", ["here", "keeper"] if FULL else ["here"])
def test_looking_executes_nothing(
    made: Hostile, server: tuple[int, list[bytes]], how: str, seen: Callable[[str], None]
) -> None:
    before, outside = (made.root / ".git" / "config").read_bytes(), hostile.tree(made.outside)
    said, programs = looked(made, how)
    assert made.fired == []
    assert foreign(programs) == []
    assert server[1] == [], "the server that the repository names was asked"
    assert not [name for name, text in said.items() if "BROKE" in text], said
    for word in ("filters are off until you trust", "not asked until you trust"):
        assert word in said["notes"]
    assert (made.root / ".git" / "config").read_bytes() == before
    assert hostile.tree(made.outside) == outside
    assert not (made.root / "written").exists()
    seen(
        f"{len(said) - 1} looks {how}: 0 of {len(set(made.names))} canaries, {len(programs)} programs started, all Git or Python"
    )


def test_jupyter_opens_the_folder(
    made: Hostile, server: tuple[int, list[bytes]], isolated: Path, tmp_path: Path, seen: Callable[[str], None]
) -> None:
    """A Jupyter Server whose folder it is: what the sidebar asks when it is opened, the files as the file browser shows them."""
    trace = tmp_path / "trace"
    python = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", str(trace)]
    python += [sys.executable, "-P"]
    token = {"MLFLOW_TRACKING_TOKEN": TOKEN}
    with started(made.root, isolated, python=python, cwd=tmp_path, env=token) as jupyter:
        chosen = [r for r in ROUTES if r.method == "GET"]
        chosen = chosen if FULL else [r for r in chosen if r.call in ("state", "pipeline")]
        kinds = [jupyter.call(route, examples(route)).status for route in chosen]
        kinds += [
            jupyter.ask("GET", f"api/contents/{path}", jupyter.known).status for path in ("", "note.ipynb", "a.py")
        ]
    assert made.fired == []
    assert foreign(hostile.executed(trace)) == []
    assert server[1] == []
    assert kinds[0] == 200
    seen(f"Jupyter Server opens it: {len(kinds)} requests, 0 canaries")


def test_what_executes_asks_first(made: Hostile, server: tuple[int, list[bytes]], seen: Callable[[str], None]) -> None:
    deeds = [
        ["reproduce", "run-local"],
        ["run", "note.ipynb"],
        ["checkpoint", "-m", "x"],
        ["push"],
        ["pull"],
    ]
    deeds = deeds if FULL else deeds[:3]
    for words in deeds:
        done = subprocess.run([*CLI, *words], cwd=made.root, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 3, (words, done)
        assert "trust" in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert made.fired == []
    assert server[1] == []
    seen(f"{len(deeds)} of {len(deeds)} deeds refused before trust")


def test_once_trusted_its_filters_run(project: Path, tmp_path: Path) -> None:
    """So that nbstripout and LFS work; and so that it is known that the canaries do fire."""
    log = tmp_path / "log"
    git(project, "config", "filter.mine.clean", f"echo ran >> {log}; cat")
    (project / ".gitattributes").write_text("*.dat filter=mine\n")
    (project / "a.dat").write_text("1")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "x")
    log.unlink()

    def status() -> str:
        (project / "a.dat").touch()
        return subprocess.run([*CLI, "status"], cwd=project, capture_output=True, text=True, check=True).stdout

    assert "own filters are off until you trust it: 'mine'" in status()
    assert not log.exists()
    trust.trust(find(project))
    assert "filters are off" not in status()
    assert log.exists()


def test_trust_is_the_persons_and_of_this_repository(project: Path, tmp_path: Path) -> None:
    trust.trust(find(project))
    assert trust.trusted(find(project))
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)  # with the mark and all
    assert not trust.trusted(find(copy))
    claims = tmp_path / "claims"
    claims.mkdir()
    (claims / ".git").write_text(f"gitdir: {project}/.git\n")  # a link file that leads to what is trusted
    assert not trust.trusted(find(claims))
    (claims / "fake").mkdir()
    (claims / "fake" / "HEAD").write_text("ref: refs/heads/main\n")
    (claims / "fake" / "commondir").write_text(f"{project}/.git\n")
    (claims / ".git").write_text("gitdir: fake\n")  # and one that claims to be a linked work tree of it
    assert not trust.trusted(find(claims))
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert trust.trusted(find(tmp_path / "linked"))  # a real one shares the trust
    shutil.rmtree(project)
    make_repository(project)
    assert not trust.trusted(find(project))  # another repository in its place
    listed = Path(os.environ["JUPYTER_DATA_DIR"]) / "nbledger" / "trust.json"
    assert listed.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["keeper.log", "keeper.lock", "mlflow.db", "journals", "share.lock"][: None if FULL else 2]
)
def test_links_in_the_ledgers_folder(project: Path, tmp_path: Path, name: str) -> None:
    """A link that came along leads nothing of ours out of the project."""
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (project / ".nbledger").mkdir()
    (project / ".nbledger" / name).symlink_to(mine)
    done = subprocess.run([*CLI, "status"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "is a link" in done.stderr
    assert mine.read_text() == "mine\n"


def test_links_in_dvcs_folder(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    shutil.rmtree(project / ".dvc" / "tmp", ignore_errors=True)
    (project / ".dvc" / "tmp").symlink_to(tmp_path / "mine")
    (project / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo ${x}\n")
    for words in (["status"], ["pipeline"]):
        subprocess.run([*CLI, *words], cwd=project, capture_output=True, text=True, check=False)
    assert list((tmp_path / "mine").iterdir()) == []


def test_plain_tools(made: Hostile, server: tuple[int, list[bytes]], plain: Callable[[bool, str], None]) -> None:
    uri = f"http://127.0.0.1:{server[0]}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    for command in (
        ["git", "status"],
        ["git", "log", "-p", "-n2"],
        ["git", "diff"],
        [sys.executable, "-m", "dvc", "status"],
        [sys.executable, "-m", "mlflow", "runs", "list", "--experiment-id", "1"],
    ):
        with_patience = {"cwd": made.root, "env": environment, "capture_output": True, "check": False, "timeout": 20}
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, **with_patience)
        except subprocess.TimeoutExpired:
            continue
    fired = made.fired
    asked = any(TOKEN.encode() in heard for heard in server[1])
    told = f"{len(fired)} canaries: {', '.join(fired[:12])}" + ("; the token was sent" if asked else "")
    plain(not fired and not asked, told)
