"""Where data may go: which addresses ``init --remote`` takes, and which options of a remote may enter Git.

DVC takes an address whose scheme it does not know for a folder, and pushes into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from nbledger.core import secrets
from nbledger.core.errors import Refused, UsageError, nearest


@dataclass(frozen=True)
class Kind:
    """A kind of place: ``title`` in words, the ``extra`` of nbledger (or DVC's ``package``) that brings DVC's plugin for it,
    and the ``modules`` that it consists of.
    """

    scheme: str
    title: str
    extra: str = ""
    package: str = ""
    modules: tuple[str, ...] = ()

    @property
    def install(self) -> str:
        """The command that installs the plugin."""
        return f"pip install 'nbledger[{self.extra}]'" if self.extra else f"pip install {self.package}"


LOCAL = Kind("", "a folder")
KINDS = {
    kind.scheme: kind
    for kind in (
        LOCAL,
        Kind("s3", "S3", extra="s3", modules=("dvc_s3", "s3fs")),
        Kind("gs", "Google Cloud Storage", extra="gs", modules=("dvc_gs", "gcsfs")),
        Kind("azure", "Azure Blob Storage", extra="azure", modules=("dvc_azure", "adlfs")),
        Kind("ssh", "SSH", extra="ssh", modules=("dvc_ssh", "sshfs")),
        Kind("http", "HTTP", modules=("dvc_http", "aiohttp")),
        Kind("https", "HTTPS", modules=("dvc_http", "aiohttp")),
        Kind("webdav", "WebDAV", package="dvc-webdav", modules=("dvc_webdav",)),
        Kind("webdavs", "WebDAV", package="dvc-webdav", modules=("dvc_webdav",)),
        Kind("gdrive", "Google Drive", package="dvc-gdrive", modules=("dvc_gdrive",)),
        Kind("oss", "Alibaba OSS", package="dvc-oss", modules=("dvc_oss",)),
        Kind("hdfs", "HDFS", package="dvc-hdfs", modules=("dvc_hdfs",)),
        Kind("webhdfs", "WebHDFS", package="dvc-webhdfs", modules=("dvc_webhdfs",)),
    )
}
_ASKED = ("s3", "gs", "azure", "ssh", "http", "https", "webdav", "webdavs", "gdrive", "oss", "hdfs", "webhdfs")
_OTHER_NAMES = {
    "gcs": "gs",
    "gsutil": "gs",
    "google": "gs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "wasb": "azure",
    "wasbs": "azure",
    "blob": "azure",
    "sftp": "ssh",
    "scp": "ssh",
    "s3a": "s3",
    "s3n": "s3",
    "minio": "s3",
    "aws": "s3",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ONE_SLASH = re.compile(r"(s3|gs|gcs|azure|ssh|sftp|https?|webdavs?|gdrive|oss|hdfs):/?[^/]", re.IGNORECASE)
_LIKE_SCP = re.compile(r"(?P<who>[\w.-]+@)?(?P<host>[\w-]+(\.[\w-]+)*):(?P<path>[/~].*)")

PERSONAL = frozenset(
    {"cert_path", "configpath", "credentialpath", "key_path", "keyfile", "kerb_ticket", "profile", "proxy_to", "user"}
)
"""Options that differ from person to person: they go into ``.dvc/config.local``."""
_SECRET = frozenset({"sse_customer_key", "sas_token", "connection_string", "oss_key_id"})
_NEVER = frozenset({"url", "bearer_token_command"})


def kind_of(url: str) -> Kind:
    """The kind of place that DVC takes the address for."""
    found = _SCHEME.fullmatch(url)
    if found is None:
        return LOCAL
    return KINDS.get(found[1].lower()) or Kind(found[1].lower(), f"{found[1]}://", package=f"dvc-{found[1].lower()}")


def alike(old: str, new: str) -> bool:
    """Whether the options of a remote are for the other place too: of the same kind, and where the address names the host, on
    the same one. A person's password is for that host alone.
    """
    kind = kind_of(new).scheme
    if kind_of(old).scheme != kind:
        return False
    return kind in _BUCKETS or old.partition("://")[2].partition("/")[0] == new.partition("://")[2].partition("/")[0]


_BUCKETS = ("", "s3", "gs", "azure", "oss", "gdrive")
"""Kinds of places of which an option, or nothing, names the host."""


def checked(url: str, folder: Path | None = None) -> str:
    """The address as DVC is to have it. ``UsageError`` for one that leads nowhere, ``Refused`` for one with a password.

    A folder (``/mnt/team``, ``../store``, ``file:///mnt/team``) is made absolute, from ``folder`` where it is relative; without
    ``folder``, and with ``~`` in front, it stays as it is.
    """
    url = url.strip()
    if not url or not url.isprintable():
        raise UsageError(
            "the remote's address is empty or holds control characters", "give one such as s3://bucket/path"
        )
    refuse_credentials(url)
    shown = secrets.scrub(url)
    if found := _SCHEME.fullmatch(url):
        scheme, rest = found[1].lower(), found[2]
        if scheme in ("file", "local"):
            return _folder(_of_file(rest, shown), folder)
        if scheme == "remote":
            return url
        if scheme not in KINDS:
            near = _OTHER_NAMES.get(scheme)
            known = f"did you mean {near}://?" if near else nearest(scheme, _ASKED).replace("?", "://?")
            raise UsageError(
                f"DVC knows no remote of the kind {scheme}://",
                known or f"there are: a folder, {', '.join(f'{name}://' for name in _ASKED)}",
            )
        if not rest.split("/", 1)[0].split("?", 1)[0]:
            what = {"ssh": "host", "azure": "container"}.get(
                scheme, "bucket" if scheme in ("s3", "gs", "oss") else "host"
            )
            raise UsageError(f"{shown} names no {what}", f"give one such as {scheme}://{what}/path")
        return f"{scheme}://{rest}"
    if _ONE_SLASH.match(url):
        scheme, rest = url.split(":", 1)
        fixed = _OTHER_NAMES.get(scheme.lower(), scheme.lower())
        raise UsageError(f"{shown} is no address", f"did you mean {fixed}://{secrets.scrub(rest.lstrip('/'))}?")
    if (scp := _LIKE_SCP.fullmatch(url)) and not os.path.lexists(os.path.join(folder or ".", url)):
        path = scp["path"] if scp["path"].startswith("/") else f"/{scp['path']}"
        raise UsageError(f"{shown} is no address", f"did you mean ssh://{scp['who'] or ''}{scp['host']}{path}?")
    return _folder(url, folder)


def relative(place: str) -> bool:
    """Whether it is a folder that is named from somewhere."""
    return kind_of(place) is LOCAL and not place.startswith("~") and not os.path.isabs(place)


def from_root(url: str, cwd: Path, root: Path) -> str:
    """What was typed in ``cwd``, to be read from the project's ``root``: a relative folder is another one there."""
    place = checked(url)
    if not relative(place):
        return place
    return os.path.relpath(cwd / place, root)


def refuse_credentials(url: str) -> None:
    """``Refused`` for an address that carries a password or a token: the file that names it enters Git."""
    parts = url.partition("://")[2]
    user, at, _ = re.split(r"[/?#]", parts, maxsplit=1)[0].rpartition("@")
    named = any(secrets.secret_name(key) or key.lower() in ("sig", "sas", "token") for key, _ in _query(url))
    if named or (at and (":" in user or not url.lower().startswith("ssh://"))):
        raise Refused(
            "the remote's URL carries credentials, which would enter Git",
            "use the cloud's own credentials, or `dvc remote modify --local`",
        )


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True) if "://" in url else []
    except ValueError:
        return []


def _of_file(rest: str, shown: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(
            f"{shown} names a host, and DVC reads folders of this machine only", "file:///folder, or ssh://host/folder"
        )
    return f"/{path}"


def _folder(path: str, folder: Path | None) -> str:
    if path.startswith("~"):  # DVC reads it as each person's own
        return path
    return os.path.abspath(folder / path) if folder is not None else path


def options(words: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` of each word. ``Refused`` for what is secret: on a command line it stays in the shell's history, in a
    cell in the notebook.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals or not re.fullmatch(r"[a-z_0-9]+", key):
            raise UsageError(
                f"{secrets.scrub(word)!r} is no option of a remote",
                "KEY=VALUE, such as endpointurl=https://s3.example.org",
            )
        if secret(key):
            raise Refused(
                f"{key} is a secret, which would stay in the shell's history or in the notebook",
                "put it into the environment or your cloud's own files; or write it into .dvc/config.local with an editor",
            )
        if key in _NEVER:
            why = "is what --remote is for" if key == "url" else "names a command that DVC executes"
            raise Refused(
                f"the option {key} {why}", "leave it out; `dvc remote modify --local` sets what you must have"
            )
        if not value.isprintable():
            raise UsageError(f"the value of {key} holds control characters", "write it on one line")
        if key.endswith("url"):
            refuse_credentials(value)
        found[key] = value.strip()
    return found


def secret(option: str) -> bool:
    """Whether this option of a remote is a credential."""
    return option in _SECRET or (not option.startswith("ask_") and secrets.secret_name(option))


def split(values: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(options for everybody, which Git keeps; options of this person)."""
    own = {key: value for key, value in values.items() if key in PERSONAL}
    return {key: value for key, value in values.items() if key not in own}, own


def unknown(values: Iterable[str], known: Iterable[str], kind: Kind) -> UsageError | None:
    """The complaint about an option that DVC does not know for this kind of place."""
    names = sorted(known)
    for key in values:
        if key not in names:
            near = nearest(key, names)
            return UsageError(f"{kind.title} has no option {key}", near or f"there are: {', '.join(names)}")
    return None
