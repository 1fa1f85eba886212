"""The digest of a model's files: what changes it, what does not, and that plain ``sha256sum`` gives the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from conftest import run
from nbledger.core import modeldigest
from nbledger.core.errors import Refused

PLAIN = (
    "find . -type f ! -path ./registered_model_meta -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "code" / "deep").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "model.pkl").write_bytes(bytes(range(256)) * 9000)
    (folder / "code" / "deep" / "a b.py").write_text("x = 1\n")
    (folder / "code-x").write_text("between code and code/deep where names are sorted as text\n")
    return folder


def test_sha256sum_gives_the_same(model: Path) -> None:
    (model / "new\nline").write_text("1")
    (model / "back\\slash").write_text("2")
    (model / "é").write_text("3")
    (model / os.fsdecode(b"\xff")).write_text("4")
    assert run("bash", "-c", PLAIN, cwd=model).split()[0] == modeldigest.digest(model)


def test_only_bytes_and_names_count(model: Path, tmp_path: Path) -> None:
    before = modeldigest.digest(model)
    os.utime(model / "MLmodel", (1, 1))
    (model / "MLmodel").chmod(0o700)
    (model / "empty").mkdir()
    (model / "registered_model_meta").write_text("model_name: what MLflow adds to what it downloads\n")
    assert modeldigest.digest(model) == before
    (model / "model.pkl").write_bytes(bytes(range(256)) * 8999 + bytes(255) + b"x")
    changed = modeldigest.digest(model)
    assert changed != before
    (model / "code" / "registered_model_meta").write_text("not at the top, so it is the model's own\n")
    assert modeldigest.digest(model) != changed


def test_two_files_are_not_taken_for_one_with_a_long_name(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    sha = hashlib.sha256(b"").hexdigest()
    (one / "a").touch()
    (one / "b").touch()
    (two / f"a\n{sha}  b").touch()
    assert modeldigest.digest(one) != modeldigest.digest(two)


@pytest.mark.parametrize("kind", ["link", "folder link", "dangling", "pipe"])
def test_what_is_no_file_is_refused(model: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").write_text("not the model's")
    if kind == "pipe":
        os.mkfifo(model / "x")
    else:
        (model / "x").symlink_to({"link": tmp_path / "outside", "folder link": tmp_path, "dangling": "no"}[kind])
    with pytest.raises(Refused, match="neither a file nor a folder"):
        modeldigest.digest(model)
