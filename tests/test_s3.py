"""Data on a real S3 server: `track --push`, and what plain DVC brings back in a fresh clone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import dvc, git, run
from nbledger.core import prepush, pull, push
from nbledger.core.errors import LedgerError
from nbledger.core.project import find
from nbledger.core.setup import foreseen, initialise
from nbledger.core.track import track
from nbledger.core.useversion import use
from servers import S3, s3


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory):
    with s3(tmp_path_factory.mktemp("s3"), "ledger") as where:
        yield where


def nbledger(root: Path, *words: str, ok: bool = True) -> str:
    return run(sys.executable, "-m", "nbledger.cli", *words, cwd=root, ok=ok)


def credentials(root: Path, bucket: dict[str, str]) -> None:
    for key, value in (
        ("endpointurl", bucket["endpoint"]),
        ("access_key_id", bucket["key"]),
        ("secret_access_key", bucket["secret"]),
    ):
        dvc(root, "remote", "modify", "--local", "storage", key, value)


def test_push_and_plain_dvc_pull(project: Path, bucket: dict[str, str], tmp_path: Path) -> None:
    nbledger(project, "init", "--remote", "s3://ledger/store")
    credentials(project, bucket)
    (project / "images").mkdir()
    contents = {f"images/{i}.bin": bytes([i]) * 1000 for i in range(20)} | {"big.bin": b"x" * 3_000_000}
    for name, data in contents.items():
        (project / name).write_bytes(data)
    said = nbledger(project, "track", "images", "big.bin", "--push", "-m", "data")
    assert said.count("pushed") == 2
    clone = tmp_path / "clone"
    git(project, "clone", "-q", str(project), str(clone))
    credentials(clone, bucket)
    dvc(clone, "pull", "-q")
    assert {name: (clone / name).read_bytes() for name in contents} == contents
    assert dvc(clone, "status") == "Data and pipelines are up to date."


def test_push_and_pull_with_a_run_of_an_older_version(
    project: Path, bucket: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    initialise(find(project), remote="s3://ledger/shared")
    credentials(project, bucket)
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    (project / "d").mkdir()
    (project / "d" / "a").write_text("read by a run")
    old = track(find(project), ["d"])[0].commit or ""
    git(project, "update-ref", "refs/nbledger/runs/" + "a" * 32, old)
    (project / "d" / "a").write_text("the present")
    track(find(project), ["d"])
    assert push.plan(find(project)).data == ("d",)
    assert push.push(find(project)).data == 4  # the file and the list of files of both versions
    assert push.plan(find(project)).data == ()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "clone")
    credentials(clone, bucket)
    assert pull.pull(find(clone)).data == ("d",)
    assert (clone / "d" / "a").read_text() == "the present"
    use(find(clone), "d", old)
    assert (clone / "d" / "a").read_text() == "read by a run"
    assert bucket["secret"] not in "".join(capfd.readouterr())


def test_a_folder_of_which_only_the_list_is_there(project: Path, bucket: S3) -> None:
    """As a push leaves it that was killed: DVC takes the folder for pushed. The hook tells, `track --push` mends it."""
    initialise(find(project), remote="s3://ledger/partial")
    credentials(project, bucket)
    (project / "images").mkdir()
    for i in range(5):
        (project / "images" / f"{i}.txt").write_text(f"image {i}")
    track(find(project), ["images"], push=True)
    pushed = [prepush.Update("refs/heads/main", git(project, "rev-parse", "HEAD"), "0" * 40)]
    assert prepush.check(find(project), "origin", pushed).found == ()
    before = bucket.objects("partial/")
    for name in [name for name in before if not name.endswith(".dir")][:2]:
        bucket.client().delete_object(Bucket="ledger", Key=name)
    dvc(project, "push", "-q")
    told = prepush.told(find(project), prepush.check(find(project), "origin", pushed))
    assert "  images: 2 of 5 files; named by main" in told
    track(find(project), ["images"], push=True)
    assert bucket.objects("partial/") == before
    assert prepush.check(find(project), "origin", pushed).found == ()


def test_a_push_that_fails_says_so_and_keeps_the_tracking(project: Path) -> None:
    nbledger(project, "init", "--remote", "s3://ledger/store")
    credentials(project, {"endpoint": "http://127.0.0.1:9", "key": "a", "secret": "b"})
    (project / "a.csv").write_text("1")
    nbledger(project, "track", "a.csv", "--push", ok=False)
    assert git(project, "status", "--porcelain") == ""
    assert (project / "a.csv.dvc").exists()


def test_credentials_in_the_remote_url_are_refused(project: Path) -> None:
    before = git(project, "rev-parse", "HEAD")
    nbledger(project, "init", "--remote", "https://user:secret@example.org/store", ok=False)
    assert git(project, "rev-parse", "HEAD") == before
    assert "secret" not in (project / ".dvc" / "config").read_text()
    wrong: tuple[dict[str, str], ...] = (
        {"remote": "ssh://me:secret@h/x"},
        {"remote": "s3://k:s@b"},
        {"tracking_uri": "http://me:s@h"},
    )
    for words in wrong:
        for act in (foreseen, initialise):
            with pytest.raises(LedgerError, match="which would enter Git"):
                act(find(project), **words)
    assert "data go to ssh://h/x (.dvc/config)" in foreseen(find(project), "ssh://git@h/x")
