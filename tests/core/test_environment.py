import json
import re
import subprocess
import sys
import urllib.request  # noqa: F401  (before sys.path is emptied)
from pathlib import Path

import pytest

from nbledger.core import environment, modules
from nbledger.core.environment import as_requirements, current, from_dict, to_dict


def _dist(folder: Path, name: str, direct: dict | None = None, installer: str = "pip") -> None:
    info = folder / f"{name}.dist-info"
    info.mkdir()
    (info / "INSTALLER").write_text(installer + "\n")
    if direct is not None:
        (info / "direct_url.json").write_text(json.dumps(direct))


@pytest.fixture
def site(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_same_packages_as_pip():
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wanted = {(environment.canonical(p["name"]), p["version"]) for p in json.loads(listed)}
    assert {(n, v) for n, v, _, _ in current().packages} >= wanted


def test_direct_urls_without_credentials(site: Path):
    _dist(site, "plain_pkg-1.0")
    _dist(site, "vcs-2.0", {"url": "https://user:tok3n@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    _dist(site, "edit-3.0", {"url": "file:///home/a%20b/edit", "dir_info": {"editable": True}})
    _dist(site, "conda_built-4.0", {"url": "file:///croot/x"}, installer="conda")
    (site / "old.egg-info").mkdir()
    (site / "old.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 0.1\n")
    (site / "deb-5.0-py3.11.egg-info").write_text("")
    (site / "broken-1.dist-info").mkdir()
    (site / "broken-1.dist-info" / "direct_url.json").write_text("{")
    lock = as_requirements(current())
    assert "tok3n" not in lock
    assert "\nplain-pkg==1.0\n" in lock
    assert "\nvcs @ git+https://host/r.git@abc\n" in lock
    assert "\n-e /home/a b/edit  #" in lock
    assert "\nconda-built==4.0\n" in lock
    assert "\ndeb==5.0\n" in lock
    assert f"\n-e {site}  # old 0.1\n" in lock
    assert "\nbroken==1\n" in lock


def test_digest_follows_what_affects_results(site: Path, monkeypatch):
    first = current()
    assert re.fullmatch(r"[0-9a-f]{16}", first.digest)
    assert current().digest == first.digest
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert current().digest == first.digest
    assert "hush" not in json.dumps(to_dict(current()))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    second = current()
    assert second.digest != first.digest
    assert second.threads == {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "0"}
    _dist(site, "new-1.0")
    assert current().digest != second.digest


def test_an_editable_checkout_elsewhere_is_the_same_environment(site: Path):
    _dist(site, "edit-3.0", {"url": "file:///home/a/edit", "dir_info": {"editable": True}})
    first = current().digest
    (site / "edit-3.0.dist-info" / "direct_url.json").write_text(
        json.dumps({"url": "file:///home/b/edit", "dir_info": {"editable": True}})
    )
    environment._scanned = None
    assert current().digest == first


def test_round_trip_and_imported():
    found = current()
    assert from_dict(json.loads(json.dumps(to_dict(found)))) == found
    assert "pytest" in modules.distributions(modules.loaded(), sys.path)


def test_importing_it_is_light():
    code = "import sys, nbledger.core.environment; print({'urllib.request', 'importlib.metadata', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
