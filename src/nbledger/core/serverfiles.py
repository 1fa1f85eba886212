"""The reference MLflow server as files: for Docker Compose, for Kubernetes, with backups and people.

Nothing is started here. A record beside the files says which options they were made with and what was written, so that the
same call again changes nothing, a newer nbledger replaces what nobody has edited, and what was edited is not replaced unasked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import madefiles, textparts
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.files import write_atomic
from nbledger.core.madefiles import Step
from nbledger.core.secrets import scrub

MLFLOW, PSYCOPG, BOTO = "3.17.2", "2.9.13", "1.43.117"
"""The versions that the tests run with, which a test holds to be so."""

KINDS = ("compose", "kubernetes")
IMAGES = {
    "mlflow": f"mlflow-server:{MLFLOW}",
    "postgres": "postgres:17.11-trixie",
    "seaweedfs": "chrislusf/seaweedfs:4.48",
    "caddy": "caddy:2.11.4",
    "python": "python:3.13.16-slim-trixie",
}
RECORD = ".nbledger-server.json"
_SECRETS = ("POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "MLFLOW_ADMIN_PASSWORD", "MLFLOW_SECRET_KEY")
_THEIRS = ("S3_ACCESS_KEY", "S3_SECRET_KEY")
_IGNORED = (".env", "/copy/")
_SHARED = ("Dockerfile", ".dockerignore", "requirements.txt", "basic_auth.ini", "admin.py", "backup.py", "README.md")
_FILES = {
    "compose": ("compose.yaml",),
    "kubernetes": ("kubernetes.yaml", "kubernetes-restore.yaml"),
}
_RULE = """\
- host: {host}
  http:
    paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: mlflow, port: {{name: http}}}}}}}}
"""
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?/?")


@dataclass(frozen=True)
class Wanted:
    """What the files are for. ``hosts``: names under which the server is reached, the public one first; without one it is
    open to its own machine (or cluster) only. ``images``: other references than ``IMAGES``. ``artifacts``: a bucket of one's
    own (s3://bucket/prefix) in place of SeaweedFS, at ``endpoint`` if that is not AWS.
    """

    kinds: tuple[str, ...] = KINDS
    hosts: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    artifacts: str = ""
    endpoint: str = ""
    namespace: str = "mlflow"


@dataclass(frozen=True)
class Outcome:
    """``url`` is where the server will be reached; ``steps`` one a file."""

    folder: str
    url: str
    kinds: tuple[str, ...]
    steps: tuple[Step, ...]


def write(
    folder: Path, asked: Mapping[str, Any] | None = None, *, force: bool = False, dry_run: bool = False
) -> Outcome:
    """Write the files into ``folder``. ``asked``: fields of ``Wanted``; what is not said is as it was the last time.

    Refuses to replace what was edited since nbledger wrote it, unless ``force``: then the edited one is kept as NAME.orig.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder for the server's files")
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link", f"name the folder that is meant: {os.path.realpath(folder)}")
    record = _record(folder)
    before = _remembered(record)
    wanted = replace(before, **dict(asked or {}))
    wanted = replace(wanted, images={**before.images, **wanted.images})
    _check(wanted)
    files = _rendered(wanted)
    edited = [name for name, text in files.items() if _edited(folder, name, text, record)]
    if edited and not force:
        raise Refused(
            f"not replaced, because {'it was' if len(edited) == 1 else 'they were'} edited: {', '.join(edited)}",
            f"--force writes anew and keeps yours as {edited[0]}.orig; nothing was written",
        )
    steps = [madefiles.step(folder, name, text) for name, text in files.items()]
    ignored, words = _ignore(folder), _environment(folder, wanted)
    steps += [madefiles.step(folder, ".gitignore", ignored), madefiles.step(folder, ".env", words)]
    outcome = Outcome(str(folder), url(wanted), wanted.kinds, tuple(steps))
    if not dry_run:
        _put(folder, wanted, files, edited, ignored, words)
    return outcome


def url(wanted: Wanted) -> str:
    """Where the server will be reached."""
    return f"https://{wanted.hosts[0]}" if wanted.hosts else "http://127.0.0.1:5000"


def command(wanted: Wanted) -> list[str]:
    """The server's own command line, the same under Compose and Kubernetes."""
    hosts = ["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "mlflow:5000"]
    hosts += [each for name in wanted.hosts for each in (name, f"{name}:*")]
    words = ["mlflow", "server", "--app-name", "basic-auth", "--host", "0.0.0.0", "--port", "5000", "--workers", "4"]  # noqa: S104
    words += ["--artifacts-destination", _place(wanted), "--allowed-hosts", ",".join(hosts)]
    if wanted.hosts:
        words += ["--cors-allowed-origins", ",".join(f"https://{name}" for name in wanted.hosts)]
    return words


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────────


def _check(wanted: Wanted) -> None:
    for kind in wanted.kinds:
        if kind not in KINDS:
            raise UsageError(f"there is no {kind!r} to write for", f"there are {' and '.join(KINDS)}")
    for host in wanted.hosts:
        if not _HOST.fullmatch(host) or host == "localhost" or re.fullmatch(r"[\d.]+", host):
            raise UsageError(f"{host!r} is no host name", "such as mlflow.example.org, without scheme and port")
    for name, image in wanted.images.items():
        if name not in IMAGES:
            raise UsageError(f"there is no image {name!r}", nearest(name, IMAGES) or f"there are: {', '.join(IMAGES)}")
        if not _IMAGE.fullmatch(image):
            raise UsageError(f"{image!r} is no image's name", "such as NAME:TAG or NAME@sha256:…")
        if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
            raise UsageError(f"{image!r} is not pinned", "name a version: NAME:TAG or NAME@sha256:…")
    if wanted.artifacts and not _BUCKET.fullmatch(wanted.artifacts):
        raise UsageError(f"{scrub(wanted.artifacts)!r} is no bucket", "such as s3://bucket/folder, without credentials")
    if wanted.endpoint and not _ENDPOINT.fullmatch(wanted.endpoint):
        raise UsageError(
            f"{scrub(wanted.endpoint)!r} is no S3 endpoint", "such as https://s3.example.org, without credentials"
        )
    if wanted.endpoint and not wanted.artifacts:
        raise UsageError("--endpoint goes with --artifacts", "--artifacts s3://bucket/folder")
    if not _LABEL.fullmatch(wanted.namespace):
        raise UsageError(f"{wanted.namespace!r} is no namespace of Kubernetes", "small letters, digits and dashes")


def _record(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / RECORD).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as err:
        raise LedgerError(
            f"{folder / RECORD} cannot be read: {err}", "restore it, or remove it and use --force"
        ) from err
    return found if isinstance(found, dict) else {}


def _remembered(record: Mapping[str, Any]) -> Wanted:
    """The options of the last time, as far as they are ones."""
    found = record.get("options")
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    try:
        known = {name: said[name] for name in asdict(Wanted()) if name in said}
        known = {name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in known.items()}
        wanted = Wanted(**known)
        _check(wanted)
    except (TypeError, AttributeError, UsageError) as err:
        raise LedgerError(
            f"{RECORD} holds options that are none: {err}", "restore it, or remove it and use --force"
        ) from err
    return wanted


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────


def _rendered(wanted: Wanted) -> dict[str, str]:
    """{file: its text}"""
    files = [*_SHARED, ".env.example", *(name for kind in wanted.kinds for name in _FILES[kind])]
    if wanted.hosts and "compose" in wanted.kinds:
        files.append("Caddyfile")
    return {name: _text(name, wanted) for name in files}


def _text(name: str, wanted: Wanted) -> str:
    part = _part(name.removeprefix("."))
    flags = {*wanted.kinds}
    flags |= {"tls", *(("compose-tls",) if "compose" in wanted.kinds else ())} if wanted.hosts else set()
    flags |= {"objects"} if not wanted.artifacts else set()
    flags |= {"endpoint"} if wanted.endpoint or not wanted.artifacts else set()
    job = ["python", "/srv/backup.py", *(["restore", "latest", "--replace"] if "restore" in name else ["backup"])]
    values = {
        **{key.upper(): wanted.images.get(key, default) for key, default in IMAGES.items()},
        "MLFLOW_VERSION": MLFLOW,
        "PSYCOPG_VERSION": PSYCOPG,
        "BOTO_VERSION": BOTO,
        "WHERE": f"artifacts in {wanted.artifacts}" if wanted.artifacts else "SeaweedFS (S3) for the artifacts",
        "ARTIFACTS": _place(wanted),
        "ENDPOINT": wanted.endpoint or "http://objects:8333",
        "OUT": ", outside" if wanted.artifacts else "",
        "OPTIONAL": ", optional: true" if wanted.artifacts else "",
        "COMMAND": json.dumps(command(wanted)),
        "HOST": wanted.hosts[0] if wanted.hosts else "",
        "HOSTS": ", ".join(wanted.hosts),
        "RULES": "\n".join(textparts.indented(_RULE.format(host=host), 4) for host in wanted.hosts),
        "URL": url(wanted),
        "NAMESPACE": wanted.namespace,
        "JOB_COMMAND": json.dumps(job),
    }
    values["BASIC_AUTH"] = textparts.indented(_part("basic_auth.ini"), 4)
    values["JOB"] = textparts.indented(
        textparts.filled(textparts.chosen(_part("kubernetes-job.yaml"), flags), values), 6 if "restore" in name else 10
    )
    return textparts.filled(textparts.chosen(part, flags), values)


def _part(name: str) -> str:
    return textparts.part("serverparts", name)


def _place(wanted: Wanted) -> str:
    return wanted.artifacts.rstrip("/") if wanted.artifacts else "s3://mlflow/artifacts"


def _ignore(folder: Path) -> str:
    """The folder's ``.gitignore`` with the lines that keep passwords out of Git."""
    path = folder / ".gitignore"
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join([*lines, *(line for line in _IGNORED if line not in lines)]) + "\n"


def _environment(folder: Path, wanted: Wanted) -> str:
    """``.env`` with a new secret for each that it does not name; what is there stays as it is, always. The keys of a bucket
    of one's own are left to be filled in.
    """
    path = folder / ".env"
    text = path.read_text() if path.exists() else "# The passwords of this server. Not for Git.\n"
    named = {line.partition("=")[0].strip() for line in text.splitlines()}
    missing = [name for name in _SECRETS if name not in named]
    added = "".join(
        f"{name}={'' if wanted.artifacts and name in _THEIRS else secrets.token_hex(24)}\n" for name in missing
    )
    return text + ("" if text.endswith("\n") or not added else "\n") + added


# ── on the disk ──────────────────────────────────────────────────────────────────────────────────────────


def _edited(folder: Path, name: str, text: str, record: Mapping[str, Any]) -> bool:
    """Whether a file is neither what is to be written nor what was written the last time."""
    there = madefiles.there(folder / name)
    written = record.get("files")
    return (
        there is not None
        and there != text
        and _digest(there) != (written if isinstance(written, dict) else {}).get(name)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _put(
    folder: Path, wanted: Wanted, files: Mapping[str, str], edited: Sequence[str], ignored: str, environment: str
) -> None:
    """Write what differs. ``.gitignore`` comes first, and passwords are readable for their owner only from the start."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in edited:
            os.replace(folder / name, folder / f"{name}.orig")
        for name, text in {".gitignore": ignored, **files}.items():
            if madefiles.there(folder / name) != text:
                write_atomic(folder / name, text)
        if madefiles.there(folder / ".env") != environment:
            _write_private(folder / ".env", environment)
        record = {
            "nbledger-server": 1,
            "options": asdict(wanted),
            "files": {name: _digest(text) for name, text in sorted(files.items())},
        }
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        if madefiles.there(folder / RECORD) != text:
            write_atomic(folder / RECORD, text)
    except OSError as err:
        raise LedgerError(f"{err.strerror}: {err.filename}", "name a folder that can be written") from err


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".env.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
