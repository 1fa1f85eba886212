"""What the build makes: a wheel that holds everything, and that installs where there is no Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conftest import run

ROOT = Path(__file__).parents[1]
LABEXTENSION = "share/jupyter/labextensions/nbledger"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds, with the front end built and without ``node_modules``."""
    copy = tmp_path_factory.mktemp("source") / "nbledger"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "node_modules", "__pycache__", ".demo*", "dist", ".*_cache", ".hypothesis", "screenshots"
    )
    shutil.copytree(ROOT, copy, ignore=left_out, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """The wheel, made the long way: the source distribution first, and the wheel from it, without Node."""
    (sdist,) = build(source, "sdist").glob("*.tar.gz")
    unpacked = source.parent / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    assert not (tree / "labextension" / "node_modules").exists()
    (made,) = build(tree, "wheel", env=without_node(source.parent / "bin")).glob("*.whl")
    return made


def build(tree: Path, what: str, env: dict[str, str] | None = None) -> Path:
    out = tree.parent / f"out-{what}"
    words = ("-m", "build", "--installer", "uv", f"--{what}", "--outdir", out, tree)
    run(sys.executable, *words, cwd=tree, env=env)
    return out


def without_node(folder: Path) -> dict[str, str]:
    """An environment whose PATH has git and the tools of a build, and no Node."""
    folder.mkdir(exist_ok=True)
    for tool in ("git", "uv", "sh", "env"):
        if (found := shutil.which(tool)) and not (folder / tool).exists():
            (folder / tool).symlink_to(found)
    env = os.environ | {"PATH": str(folder)}
    assert shutil.which("node", path=env["PATH"]) is None
    return env


def test_the_wheel_holds_both_packages_and_the_front_end(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = [name.split(".data/data/")[1] for name in names if ".data/data/" in name]
    assert "nbledger/core/project.py" in names
    assert "nbledger_magics/__init__.py" in names
    parts = [path.name for path in (ROOT / "src/nbledger/core/serverparts").iterdir() if path.is_file()]
    assert parts and {f"nbledger/core/serverparts/{part}" for part in parts} <= set(names)
    assert f"{LABEXTENSION}/install.json" in data
    assert f"{LABEXTENSION}/package.json" in data
    assert any(name.startswith(f"{LABEXTENSION}/static/remoteEntry.") for name in data)
    for schema in (ROOT / "labextension" / "schema").glob("*.json"):
        assert f"{LABEXTENSION}/schemas/nbledger/{schema.name}" in data
    assert not [name for name in data if "/node_modules/" in name or name.endswith((".ts", ".tsx"))]
    assert not [name for name in names if name.startswith(("nbledger/labextension", "labextension", "tests"))]


def test_the_wheel_bears_the_licences_of_what_is_in_its_bundle(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (report,) = (n for n in archive.namelist() if n.endswith(f"{LABEXTENSION}/static/third-party-licenses.json"))
    packages = {one["name"]: one for one in json.loads(archive.read(report))["packages"]}
    # nbdime ships no text, and d3-array's modules are joined with others: the builder's own list lacks both.
    assert {"nbdime", "d3-array", "d3-scale", "@tanstack/virtual-core", "react"} <= set(packages)
    without = [name for name, one in packages.items() if len(one["extractedText"]) < 400]
    assert [packages[name]["licenseId"] for name in without] in ([], ["Public Domain"])


def test_the_wheel_enables_the_server_extension_and_describes_what_it_answers(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    (config,) = (name for name in names if name.endswith("etc/jupyter/jupyter_server_config.d/nbledger.json"))
    enabled = json.loads(archive.read(config))["ServerApp"]["jpserver_extensions"]
    assert enabled == {"nbledger.server": True}
    assert {"nbledger/server/openapi.yaml", "nbledger/server/events/changed.v1.yaml"} <= set(names)


def test_the_wheel_announces_its_entry_points_and_its_version(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
    words = archive.read(entry_points).decode()
    assert "nbledger = nbledger.cli:main" in words
    assert "ledger = nbledger.nbconvert:LedgerExporter" in words
    version = json.loads((ROOT / "labextension" / "package.json").read_text())["version"]
    assert wheel.name.startswith(f"nbledger-{version}-")


def test_the_wheel_installs_without_node(wheel: Path, tmp_path: Path) -> None:
    env = without_node(tmp_path / "bin")
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    words = ("-m", "uv", "pip", "install", "--quiet", "--no-deps", "--python", python, wheel)
    run(sys.executable, *words, cwd=tmp_path, env=env)
    assert (tmp_path / "venv" / LABEXTENSION / "install.json").is_file()
    assert (tmp_path / "venv" / "bin" / "nbledger").is_file()
    assert (tmp_path / "venv" / "etc/jupyter/jupyter_server_config.d/nbledger.json").is_file()
    run(python, "-c", "import nbledger, nbledger_magics, nbledger.server", cwd=tmp_path, env=env)


def test_a_build_without_the_front_end_and_without_node_fails_and_says_why(source: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(source, bare)
    shutil.rmtree(bare / "src" / "nbledger" / "labextension", ignore_errors=True)
    env = without_node(tmp_path / "bin")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--wheel", str(bare)],
        env=env, cwd=bare, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no Node.js >= 20.19" in done.stdout + done.stderr
    assert not list(bare.glob("dist/*.whl"))
