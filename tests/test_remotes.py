"""Data remotes of every kind, on real servers and emulators: there and back, and what is said when something is missing."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import clouds
from conftest import commit_all, git, run
from nbledger.core import credentials, dvc, dvcremote, pull, push, remoteerrors, remoteurl, trust
from nbledger.core.credentialplaces import Option, looked
from nbledger.core.credentials import Finding
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable, Untrusted, UsageError
from nbledger.core.project import Project, find
from nbledger.core.setup import initialise
from nbledger.core.track import track
from servers import S3, free_port

KINDS = ("folder", "s3", "azure", "gs", "ssh")
FILES = {f"d/{i}.bin": bytes([i]) * 400 for i in range(12)} | {
    "d/Grüße 1.txt": "ä".encode(),
    "big.bin": b"x" * 3_000_000,
}


@dataclass
class Remote:
    """A place and what a person needs for it: ``local`` goes into ``.dvc/config.local``; ``wrong`` are credentials that the
    place refuses, ``nowhere`` the address of a bucket that is not there.
    """

    url: str
    options: list[str] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    wrong_env: dict[str, str] = field(default_factory=dict)
    nowhere: str = ""
    names: Callable[[], list[str]] = list
    secrets: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Remote]]:
    """The servers, each started when it is first asked for."""
    with ExitStack() as stack:
        known: dict[str, Remote] = {}

        def place(kind: str) -> Remote:
            if kind not in known:
                known[kind] = stack.enter_context(_PLACES[kind](tmp_path_factory.mktemp(kind)))
            return known[kind]

        yield place


@contextmanager
def _folder(folder: Path) -> Iterator[Remote]:
    where = folder / "store"
    yield Remote(str(where), names=lambda: [str(p) for p in where.rglob("*")])


@contextmanager
def running(server: S3) -> Iterator[S3]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def _s3(folder: Path) -> Iterator[Remote]:
    with running(S3(folder, "ledger", ["ada"])) as server:
        key, secret = server.keys["ada"]  # who may everything makes buckets by writing into them
        yield Remote(
            "s3://ledger/store",
            [f"endpointurl={server.endpoint}", "region=us-east-1"],
            env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret},
            wrong_env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "not-" + secret},
            names=lambda: list(server.objects()),
            secrets=(secret,),
        )


@contextmanager
def _azure(folder: Path) -> Iterator[Remote]:
    with clouds.azure(folder, "ledger") as account:
        wrong = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50IQ=="
        yield Remote(
            "azure://ledger/store",
            env={"AZURE_STORAGE_CONNECTION_STRING": account.connection},
            wrong_env={"AZURE_STORAGE_CONNECTION_STRING": account.with_key(wrong)},
            nowhere="azure://nowhere/store",
            names=lambda: list(account.blobs()),
            secrets=(account.key,),
        )


@contextmanager
def _gs(folder: Path) -> Iterator[Remote]:
    with clouds.google(folder, "ledger") as endpoint, clouds.answering(400, {"error": "invalid_grant"}) as refuses:
        clouds.service_account(folder / "key.json", f"{refuses}/token")
        yield Remote(
            "gs://ledger/store",
            [f"endpointurl={endpoint}", "allow_anonymous_login=true"],
            wrong={"credentialpath": str(folder / "key.json"), "allow_anonymous_login": "false"},
            nowhere="gs://nowhere/store",
            secrets=(),
        )


@contextmanager
def _ssh(folder: Path) -> Iterator[Remote]:
    with clouds.sftp(folder) as server:
        yield Remote(
            server.url("store"),
            local={"keyfile": str(server.key)},
            wrong={"keyfile": str(folder / "host")},
            names=lambda: [str(p) for p in server.root.rglob("*")],
            secrets=("PRIVATE KEY",),
        )


_PLACES: dict[str, Any] = {"folder": _folder, "s3": _s3, "azure": _azure, "gs": _gs, "ssh": _ssh}


@pytest.fixture(autouse=True)
def _nobody(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credential of this machine, and no question to the services that give clouds' machines one."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"))] + ["SSH_AUTH_SOCK"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # else gcsfs asks Google's gRPC service of which kind the bucket is, which no emulator has
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


def ready(
    root: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch, *, wrong: bool = False, url: str = ""
) -> Project:
    """A project with this default remote and the credentials of one who may use it (or with wrong ones)."""
    for name, value in ((remote.wrong_env or remote.env) if wrong else remote.env).items():
        monkeypatch.setenv(name, value)
    initialise(find(root), remote=url or remote.url, remote_options=remote.options)
    personal(root, (remote.wrong or remote.local) if wrong else remote.local)
    return find(root)


def personal(root: Path, options: dict[str, str]) -> None:
    """Options of the remote in ``.dvc/config.local``, as a person writes them there."""
    if options:
        lines = "".join(f"    {key} = {value}\n" for key, value in options.items())
        (root / ".dvc" / "config.local").write_text(f"['remote \"storage\"']\n{lines}")
        (root / ".dvc" / "config.local").chmod(0o600)


def fill(root: Path) -> None:
    for name, data in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)


def problems(found: list[Finding]) -> list[str]:
    return [f"{f.text} — {f.fix}" for f in found if f.severity == "problem"]


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(
    kind: str,
    project: Path,
    places: Callable[[str], Remote],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    remote = places(kind)
    here = ready(project, remote, monkeypatch)
    assert problems(credentials.check(here)) == []
    fill(project)
    assert all(one.pushed for one in track(here, ["d", "big.bin"], push=True))
    assert dvcremote.not_in_remote(here) == []
    assert problems(credentials.check(here)) == []
    assert any("lets you list, write and read" in f.text for f in credentials.check(here))
    assert not [name for name in remote.names() if "probe" in name]

    git(tmp_path, "clone", "-q", str(project), "clone")
    clone = tmp_path / "clone"
    trust.trust(find(clone))
    personal(clone, remote.local)
    pull.pull(find(clone))
    assert {name: (clone / name).read_bytes() for name in FILES} == FILES
    said = (
        "".join(capfd.readouterr()) + git(project, "log", "--all", "--patch") + (clone / ".dvc" / "config").read_text()
    )
    said += repr(credentials.check(here))
    assert not [secret for secret in remote.secrets if secret in said]


@pytest.mark.parametrize("kind", ["s3", "azure", "gs", "ssh"])
def test_a_credential_that_is_refused(
    kind: str,
    project: Path,
    places: Callable[[str], Remote],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    remote = places(kind)
    here = ready(project, remote, monkeypatch, wrong=True)
    (problem,) = problems(credentials.check(here))
    assert "does not accept the credential" in problem or "did not let you in" in problem
    if kind == "gs":  # of which gcsfs asks for half a minute
        return
    (project / "a.csv").write_text(kind)
    with pytest.raises(LedgerError) as push_failed:
        track(here, ["a.csv"], push=True)
    told = str(push_failed.value)
    assert told.startswith("the data are tracked and committed, but not pushed: ")
    assert "not accept the credential" in told or "did not let you in" in told
    assert "nbledger doctor" in told and "\n" not in told
    bad = [*(remote.wrong_env or {}).values(), *remote.secrets]
    said = told + problem + "".join(capfd.readouterr())
    assert not [secret for secret in bad if secret in said and not secret.startswith("KEYOF")]


@pytest.mark.parametrize(
    ("kind", "named"),
    [("s3", "AWS_ACCESS_KEY_ID"), ("azure", "AZURE_STORAGE_CONNECTION_STRING"), ("ssh", "id_ed25519")],
)
def test_no_credential_at_all(
    kind: str, named: str, project: Path, places: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = places(kind)
    said = initialise(find(project), remote=remote.url, remote_options=remote.options)
    (line,) = [line for line in said if "no credential for" in line]
    assert named in line
    (problem,) = problems(credentials.check(find(project)))
    assert problem.startswith("no credential for") and named in problem
    (project / "a.csv").write_text(kind)
    with pytest.raises(Refused, match=r"no credential for|did not let you in") as told:
        track(find(project), ["a.csv"], push=True)
    assert "\n" not in str(told.value)
    assert git(project, "status", "--porcelain") == ""


def test_google_to_one_who_has_no_right(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "error": {"code": 401, "message": "Anonymous caller does not have storage.objects.list access to the bucket."}
    }
    with clouds.answering(401, words) as endpoint:
        initialise(find(project), remote="gs://ledger/store", remote_options=[f"endpointurl={endpoint}"])
        assert "no credential for Google Cloud Storage was found" in "".join(problems(credentials.check(find(project))))
        (project / "a.csv").write_text("1")
        with pytest.raises(Refused, match="no credential for Google Cloud Storage was found"):
            track(find(project), ["a.csv"], push=True)


@pytest.mark.parametrize("kind", ["azure", "gs"])
def test_a_bucket_that_is_not_there(
    kind: str, project: Path, places: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = places(kind)
    here = ready(project, remote, monkeypatch, url=remote.nowhere)
    what = "container" if kind == "azure" else "bucket"
    (problem,) = problems(credentials.check(here))
    assert problem.startswith(f"the {what} is not there")
    (project / "a.csv").write_text(kind)
    with pytest.raises(Refused, match=f"the {what} is not there"):
        track(here, ["a.csv"], push=True)
    os.unlink(project / "a.csv")
    for path in (project / ".dvc" / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(LedgerError) as told:
        dvc.pull(here, ["a.csv"])
    assert "a.csv" in str(told.value) or what in str(told.value)


def test_a_bucket_that_is_not_there_on_s3(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SeaweedFS makes a missing bucket, or denies it; S3 itself answers this."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEYTHATISONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret-of-s3")
    words = b"<?xml version='1.0'?><Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
    with clouds.answering(404, words) as endpoint:
        said = initialise(find(project), remote="s3://b/x", remote_options=[f"endpointurl={endpoint}", "region=eu-1"])
        (line,) = [line for line in said if line.startswith("! ")]
        assert line.startswith("! the bucket is not there")
        (project / "a.csv").write_text("1")
        with pytest.raises(Refused, match="the bucket is not there"):
            track(find(project), ["a.csv"], push=True)


def test_where_nobody_listens(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEYTHATISONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret-of-s3")
    initialise(find(project), remote="s3://b/x", remote_options=[f"endpointurl=http://127.0.0.1:{free_port()}"])
    (problem,) = problems(credentials.check(find(project)))
    assert problem.startswith("S3 did not answer") and "planted" not in problem


def test_a_certificate_that_nobody_trusts(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEYTHATISONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret-of-s3")

    def lacking(endpoint: str) -> str:
        said = initialise(find(project), remote="s3://b/x", remote_options=[f"endpointurl={endpoint}"])
        (line,) = [line for line in said if line.startswith("! ")]
        return line

    with clouds.answering(200, {}, certificate=clouds.own_certificate(tmp_path)) as endpoint:
        told = lacking(endpoint)
        assert "certificate" in told and "ssl_verify" in told
    with clouds.answering(200, {}) as endpoint:
        assert "does not speak TLS" in lacking(endpoint.replace("http", "https"))


def test_objects_that_a_remote_does_not_take_are_not_said_to_be_missing(
    project: Path, places: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ready(project, places("azure"), monkeypatch)
    (project / "a.csv").write_text("neither lost nor sent")
    md5 = track(here, ["a.csv"])[0].md5
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", places("azure").wrong_env["AZURE_STORAGE_CONNECTION_STRING"])
    with pytest.raises(Refused, match="does not accept the credential"):
        dvcremote.push_objects(here, [md5])
    with pytest.raises(Refused, match="does not accept the credential"):
        dvcremote.fetch_objects(here, ["0" * 32])


def test_data_that_nobody_pushed_are_named(
    project: Path, places: Callable[[str], Remote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ready(project, places("s3"), monkeypatch)
    (project / "forgotten.csv").write_text("on Friday")
    track(here, ["forgotten.csv"])
    git(tmp_path, "clone", "-q", str(project), "clone")
    with pytest.raises(ToolFailed, match=r"neither the cache nor the remote has the data of forgotten\.csv"):
        dvc.pull(find(tmp_path / "clone"), ["forgotten.csv"])


def test_a_plugin_that_is_not_installed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dvc_gs", None)
    said = initialise(find(project), remote="gs://bucket/x")
    assert any("pip install 'nbledger[gs]'" in line for line in said)
    (project / "a.csv").write_text("1")
    with pytest.raises(LedgerError, match="DVC's plugin for Google Cloud Storage is not installed here") as told:
        track(find(project), ["a.csv"], push=True)
    assert told.value.hint == "pip install 'nbledger[gs]'"


def test_options_go_where_they_belong(project: Path) -> None:
    options = ["endpointurl=http://127.0.0.1:9", "region=eu-1", "profile=mine"]
    said = initialise(find(project), remote="s3://b/x", remote_options=options)
    shared, own = ((project / ".dvc" / name).read_text() for name in ("config", "config.local"))
    assert "region = eu-1" in shared and "profile" not in shared and "profile = mine" in own
    assert "config.local" not in git(project, "ls-files")
    assert any("profile mine, which" in line for line in said)
    initialise(find(project), remote="s3://b/x", remote_options=["region=eu-2"])
    again = (project / ".dvc" / "config").read_text()
    assert "endpointurl" in again and "region = eu-2" in again
    personal(project, {"access_key_id": "KEY", "secret_access_key": "planted-password"})
    said = initialise(find(project), remote="s3://other/x")  # the bucket's name was misspelt
    assert "endpointurl = http://127.0.0.1:9" in (project / ".dvc" / "config").read_text()
    assert "as before: endpointurl, region (--remote-option endpointurl=… sets another)" in said
    said = initialise(find(project), remote="gs://other/x")
    assert "endpointurl" not in (project / ".dvc" / "config").read_text()
    assert any(line.startswith("! not kept, as for another place: endpointurl, region — ") for line in said)


def test_a_password_stays_with_the_host_that_it_is_for(project: Path) -> None:
    initialise(find(project), remote="ssh://ada@127.0.0.1:9/x", remote_options=["port=22"])
    personal(project, {"password": "planted-password"})
    own = project / ".dvc" / "config.local"
    initialise(find(project), remote="ssh://ada@127.0.0.1:9/y")
    assert "storage-1" not in own.read_text() and "port" in (project / ".dvc" / "config").read_text()
    initialise(find(project), remote="ssh://ada@localhost:9/y")
    assert "password" not in dvcremote.named(find(project), "storage")[2]
    assert dvcremote.named(find(project), "storage-1")[1] == "ssh://127.0.0.1:9/y"
    assert "planted-password" in own.read_text() and "port" not in (project / ".dvc" / "config").read_text()


def test_options_for_a_place_of_another_kind_are_put_aside(project: Path) -> None:
    """DVC refuses its whole configuration where an option of ``storage`` is none of the new place's."""
    initialise(find(project), remote="ssh://ada@127.0.0.1:9/x", remote_options=["port=22"])
    personal(project, {"keyfile": "/keys/mine", "password": "planted-password"})
    initialise(find(project), remote="azure://c/x", remote_options=["account_name=acc"])
    shared, own = ((project / ".dvc" / name).read_text() for name in ("config", "config.local"))
    assert "port" not in shared and "account_name = acc" in shared
    assert "storage-1" in own and "ssh://ada@127.0.0.1:9/x" in own and "planted-password" in own
    assert stat.S_IMODE((project / ".dvc" / "config.local").stat().st_mode) == 0o600
    assert dvcremote.default_remote(find(project)) == ("storage", "azure://c/x")
    personal(project, {"keyfile": "/keys/mine"})
    (problem,) = problems(credentials.check(find(project)))
    assert problem.startswith("keyfile of .dvc/config.local is no option of Azure Blob Storage")
    before = (project / ".dvc" / "config").read_bytes()
    with pytest.raises(UsageError, match=r"keyfile of \.dvc/config\.local is for another kind of place"):
        initialise(find(project), remote="s3://b/x")
    (project / ".dvc" / "config.local").write_text("[core]\n    nonsense = 1\n")
    with pytest.raises(UsageError, match="DVC refused the remote"):
        initialise(find(project), remote="s3://b/x")
    assert (project / ".dvc" / "config").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ("secret_access_key=planted", Refused, "secret"),
        ("connection_string=planted", Refused, "secret"),
        ("sas_token=planted", Refused, "secret"),
        ("url=s3://other", Refused, "what --remote is for"),
        ("bearer_token_command=touch /tmp/x", Refused, "executes"),
        ("endpointurl=http://me:planted@h", Refused, "would enter Git"),
        ("regoin=eu", UsageError, "did you mean region"),
        ("use_ssl=maybe", UsageError, "expected true or false"),
        ("region", UsageError, "KEY=VALUE"),
        ("region=a\nb", UsageError, "control characters"),
    ],
)
def test_options_that_are_refused(option: str, error: type[LedgerError], words: str, project: Path) -> None:
    before = (project / ".dvc" / "config").read_bytes(), git(project, "rev-parse", "HEAD")
    with pytest.raises(error, match=words) as told:
        initialise(find(project), remote="s3://b/x", remote_options=[option])
    assert "planted" not in str(told.value)
    assert ((project / ".dvc" / "config").read_bytes(), git(project, "rev-parse", "HEAD")) == before


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s33://bucket", "did you mean s3://"),
        ("gcs://bucket", "did you mean gs://"),
        ("abfs://container", "did you mean azure://"),
        ("sftp://host/x", "did you mean ssh://"),
        ("s3:/bucket/x", "did you mean s3://bucket/x"),
        ("s3:bucket", "did you mean s3://bucket"),
        ("ada@host:/data", "did you mean ssh://ada@host/data"),
        ("s3:///x", "names no bucket"),
        ("azure://", "names no container"),
        ("file://host/x", "this machine only"),
        ("  ", "empty"),
        ("s3://b\n[core]", "control characters"),
        ("s3://key:secret@b", "would enter Git"),
        ("https://h/x?sig=planted", "would enter Git"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, words: str, project: Path) -> None:
    before = (project / ".dvc" / "config").read_bytes()
    with pytest.raises(LedgerError) as told:
        initialise(find(project), remote=url)
    assert words in str(told.value) and "planted" not in str(told.value)
    assert (project / ".dvc" / "config").read_bytes() == before


def test_folders_are_named_from_where_one_is(project: Path, tmp_path: Path) -> None:
    (project / "notebooks").mkdir()
    run(sys.executable, "-m", "nbledger.cli", "init", "--remote", "../../store", cwd=project / "notebooks")
    assert dvcremote.default_remote(find(project)) == ("storage", str(tmp_path / "store"))
    assert str(tmp_path) not in (project / ".dvc" / "config").read_text()  # as `dvc remote add` does
    initialise(find(project), remote=f"file://{tmp_path}/other")
    assert dvcremote.default_remote(find(project)) == ("storage", f"{tmp_path}/other")
    assert remoteurl.checked("~/store") == "~/store"


def test_a_folder_that_several_people_use(project: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    share.chmod(0o2775)
    initialise(find(project), remote=str(share))
    (note,) = [f for f in credentials.check(find(project)) if f.severity == "note"]
    assert "open to its group" in note.text and "shared=group" in note.fix
    initialise(find(project), remote=str(share), remote_options=["shared=group"])
    assert not [f for f in credentials.check(find(project)) if f.severity == "note"]
    (project / "a.csv").write_text("1")
    md5 = track(find(project), ["a.csv"], push=True)[0].md5
    assert stat.S_IMODE((share / "files" / "md5" / md5[:2]).stat().st_mode) & stat.S_IWGRP
    assert list(share.glob(".nbledger-probe*")) == []


def test_a_folder_that_cannot_be_written_to(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    initialise(find(project), remote=str(tmp_path / "file" / "store"))
    assert problems(credentials.check(find(project)))
    assert (tmp_path / "file").read_text() == "no folder"


def test_secrets_where_they_should_not_be(project: Path) -> None:
    initialise(find(project), remote="s3://b/x")
    with (project / ".dvc" / "config").open("a") as file:
        file.write("    access_key_id = planted-key-id\n    secret_access_key = planted-secret-key\n")
    local = project / ".dvc" / "config.local"
    local.write_text("['remote \"storage\"']\n    session_token = planted-token\n")
    local.chmod(0o644)
    git(project, "add", "--force", ".dvc/config.local")
    commit_all(project)
    found = credentials.check(find(project), seconds=0.01)
    told = problems(found)
    assert any(t.startswith("secret_access_key of the data remote storage stands in .dvc/config") for t in told)
    assert any(".dvc/config.local, which holds what is yours alone, is in Git" in t for t in told)
    assert any("can be read by others" in f.text for f in found)
    assert "planted" not in repr(found)


def test_a_strangers_remote_is_not_asked(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initialise(find(project), remote="s3://b/x", remote_options=[f"endpointurl=http://127.0.0.1:{free_port()}"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEYTHATISONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret-of-s3")
    git(tmp_path, "clone", "-q", str(project), "clone")
    found = credentials.check(find(tmp_path / "clone"))
    assert problems(found) == []
    assert [f.fix for f in found if f.severity == "note"] == ["nbledger trust"]
    trust.trust(find(tmp_path / "clone"))
    assert problems(credentials.check(find(tmp_path / "clone")))[0].startswith("S3 did not answer")


def test_a_strangers_command_is_not_executed(project: Path, tmp_path: Path) -> None:
    (project / ".dvc" / "config").write_text(
        "[core]\n    remote = w\n['remote \"w\"']\n    url = webdav://127.0.0.1/x\n"
        f"    bearer_token_command = touch {tmp_path}/executed\n"
    )
    (project / "a.csv").write_text("1")
    track(find(project), ["a.csv"])
    commit_all(project)
    git(tmp_path, "clone", "-q", str(project), "clone")
    with pytest.raises(Untrusted, match="bearer_token_command"):
        dvc.pull(find(tmp_path / "clone"), ["a.csv"])
    assert not (tmp_path / "executed").exists()


def test_http_gives_and_takes_nothing(project: Path, tmp_path: Path) -> None:
    initialise(find(project), remote=str(tmp_path / "store"))
    fill(project)
    track(find(project), ["d"], push=True)
    with clouds.served(tmp_path / "store") as address:
        said = initialise(find(project), remote=address)
        assert not [line for line in said if line.startswith("!")]
        git(tmp_path, "clone", "-q", str(project), "clone")
        dvc.pull(find(tmp_path / "clone"), ["d"])
        assert (tmp_path / "clone" / "d" / "3.bin").read_bytes() == FILES["d/3.bin"]
        (project / "small.csv").write_text("1")
        with pytest.raises(Refused, match="takes no data this way"):
            track(find(project), ["small.csv"], push=True)
    assert problems(credentials.check(find(project)))[0].startswith("the data remote did not answer")


def test_init_says_whether_the_tracking_server_lets_one_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def line(uri: str) -> str:
        return initialise(find(project), tracking_uri=uri)[-1]

    before = git(project, "rev-parse", "HEAD")
    for uri, words in (("htp://h", "did you mean http"), ("http://h:port", "no valid port"), ("https://", "address")):
        with pytest.raises(UsageError, match=words):
            initialise(find(project), tracking_uri=uri)
    assert git(project, "rev-parse", "HEAD") == before
    assert "did not answer" in line(f"http://127.0.0.1:{free_port()}")
    with clouds.answering(404, {}) as other:
        assert "is no MLflow server (status 404)" in line(other)
    with clouds.answering(200, {}) as open_to_all:
        assert line(open_to_all) == f"the tracking server {open_to_all} lets you in"
    with clouds.answering(401, {}, health=200) as closed:
        assert "it asks for a login" in line(closed)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "planted-password")
        told = line(closed)
        assert "MLFLOW_TRACKING_PASSWORD is not accepted" in told and "planted" not in told
    assert line("sqlite:///runs.db").startswith("committed")


def test_doctor_says_what_the_remote_lacks(
    project: Path, places: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = places("s3")
    initialise(find(project), remote=remote.url, remote_options=remote.options)
    said = run(sys.executable, "-m", "nbledger.cli", "doctor", cwd=project, ok=False)
    assert (
        "! no credential for S3 was found; looked in: DVC's configuration (access_key_id, secret_access_key); " in said
    )
    for name, value in remote.env.items():
        monkeypatch.setenv(name, value)
    said = run(sys.executable, "-m", "nbledger.cli", "doctor", cwd=project)
    assert "✓ credential for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment" in said
    assert "✓ the data remote storage lets you list, write and read" in said
    assert not [secret for secret in remote.secrets if secret in said]


def test_a_push_over_the_network_goes_on_where_it_was_refused(
    project: Path, places: Callable[[str], Remote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = places("azure")
    here = ready(project, remote, monkeypatch, wrong=True)
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    fill(project)
    track(here, ["d"])
    with pytest.raises(LedgerError, match="does not accept the credential"):
        push.push(here)
    assert git(tmp_path / "bare.git", "for-each-ref") == ""  # no commit points to data that are not there
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", remote.env["AZURE_STORAGE_CONNECTION_STRING"])
    push.push(here)
    assert dvcremote.not_in_remote(here) == []
    assert git(tmp_path / "bare.git", "for-each-ref") != ""


def place_named(scheme: str, url: str, options: dict[str, Option] | None = None) -> str:
    """The place that is used first."""
    return next((place.found for place in looked(scheme, url, options or {}) if place.found), "")


def test_places_in_the_order_in_which_they_count(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, secret = isolated, "planted-secret"
    assert place_named("s3", "s3://b") == ""
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[profile team]\nsso_session = x\n[default]\nregion = eu\n")
    assert place_named("s3", "s3://b") == ""
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert place_named("s3", "s3://b") == "the profile team of ~/.aws/config (sso_session)"
    (home / ".aws" / "credentials").write_text(f"[team]\naws_access_key_id = A\naws_secret_access_key = {secret}\n")
    assert place_named("s3", "s3://b") == "the profile team of ~/.aws/credentials (aws_access_key_id)"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    assert "AWS_SECRET_ACCESS_KEY not" in [place.wrong for place in looked("s3", "s3://b", {})][1]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert place_named("s3", "s3://b").endswith("of the environment")
    both = {name: Option(secret, ".dvc/config.local") for name in ("access_key_id", "secret_access_key")}
    assert place_named("s3", "s3://b", both) == "access_key_id and secret_access_key of .dvc/config.local"
    gone = {"profile": Option("gone", ".dvc/config")}
    assert [p.wrong for p in looked("s3", "s3://b", gone) if p.wrong] == [
        "profile of .dvc/config names the AWS profile gone, which ~/.aws/credentials and ~/.aws/config do not have"
    ]

    assert place_named("gs", "gs://b") == ""
    (home / "key.json").write_text('{"type": "service_account", "private_key": "planted-secret"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "key.json"))
    told = "service account of ~/key.json, named by GOOGLE_APPLICATION_CREDENTIALS of the environment"
    assert place_named("gs", "gs://b") == told
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "gone.json"))
    assert "names ~/gone.json, which is not there" in "".join(p.wrong for p in looked("gs", "gs://b", {}))

    assert place_named("azure", "azure://c") == ""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acc")
    assert place_named("azure", "azure://c") == ""
    (home / ".azure").mkdir()
    (home / ".azure" / "msal_token_cache.json").write_text("{}")
    told = "AZURE_STORAGE_ACCOUNT of the environment, with the login of az (~/.azure/msal_token_cache.json)"
    assert place_named("azure", "azure://c") == told
    monkeypatch.setenv("AZURE_STORAGE_KEY", secret)
    assert place_named("azure", "azure://c").endswith("with AZURE_STORAGE_KEY of the environment")

    assert place_named("ssh", "ssh://h/x") == ""
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text(secret)
    assert place_named("ssh", "ssh://h/x") == "the key ~/.ssh/id_ed25519"
    (home / ".ssh" / "config").write_text(
        "Host other\n  IdentityFile ~/.ssh/no\nHost h\n  IdentityFile ~/.ssh/id_ed25519\n"
    )
    assert place_named("ssh", "ssh://h/x") == "~/.ssh/id_ed25519, named by IdentityFile of ~/.ssh/config"
    for scheme in ("s3", "gs", "azure", "ssh", "http"):
        assert secret not in repr(looked(scheme, f"{scheme}://h/x", both if scheme == "s3" else {}))


def test_what_dvc_logs_is_heard_and_its_loggers_stay_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    import dvc.logger

    logger, below = logging.getLogger("dvc"), logging.getLogger("dvc.of.a.test")
    before = list(logger.handlers), logger.propagate
    assert before[0] and dvc.logger
    below.setLevel(logging.WARNING)  # whatever DVC, used before in this process, has set above it
    with remoteerrors.listening() as outer:
        with remoteerrors.listening() as inner:
            below.error("planted-in-a-log", exc_info=ValueError("why"))
        below.warning("only the outer one hears this")
    assert [str(err) for err in inner.errors] == ["why"] == [str(err) for err in outer.errors]
    assert inner.lines == ["planted-in-a-log"] and len(outer.lines) == 2
    assert (list(logger.handlers), logger.propagate) == before
    assert "planted" not in "".join(capfd.readouterr())


def test_what_the_clouds_say_in_our_words() -> None:
    """Answers that no server here gives: a wrong clock, an expired login, another region."""
    from botocore.exceptions import ClientError, ProfileNotFound, UnauthorizedSSOTokenError
    from google.auth.exceptions import DefaultCredentialsError

    explain = remoteerrors.explain

    def s3_said(code: str, words: str = "so it is") -> str:
        told = OSError(words)
        told.__cause__ = ClientError({"Error": {"Code": code, "Message": words}}, "PutObject")
        return str(explain([told]))

    assert s3_said("RequestTimeTooSkewed").startswith("S3 refused the request: this machine's clock is wrong")
    assert s3_said("ExpiredToken").startswith("the credential for S3 has expired")
    assert s3_said("PermanentRedirect").startswith("the bucket is in another region")
    assert s3_said("AccessDenied").startswith("S3 does not allow it")
    assert s3_said("InvalidAccessKeyId").startswith("S3 does not accept the credential")
    assert s3_said("NoSuchBucket").startswith("the bucket is not there")
    assert s3_said("SlowDown").startswith("S3 did not answer")
    assert "aws sso login" in str(explain([UnauthorizedSSOTokenError()]))
    assert str(explain([ProfileNotFound(profile="team")])).startswith("the AWS profile is not there")
    assert str(explain([DefaultCredentialsError("no")])).startswith("no credential for Google Cloud Storage was found")
    assert isinstance(explain([TimeoutError("slow")]), Unreachable)
    assert explain([ValueError("nothing of the kind")]) is None
