"""Where the credentials of a data remote may be, in the order in which DVC and the clouds' libraries look there.

Names, files and sections are told, never a value. Nothing is imported and nobody is asked: files and variables are looked at.
"""

from __future__ import annotations

import configparser
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Option:
    """A remote's option: its value, and the file of DVC's that says so."""

    value: str
    file: str


Options = Mapping[str, Option]


@dataclass(frozen=True)
class Place:
    """Somewhere a credential may be: ``found`` says what is there (nothing: it is not), ``wrong`` what is amiss with it."""

    name: str
    found: str = ""
    wrong: str = ""


def looked(scheme: str, url: str, options: Options) -> list[Place]:
    """The places for this kind of remote, first come first served; empty where none is needed or nothing is known of it."""
    look = _LOOKS.get(scheme)
    return list(look(url, options)) if look else []


def _option(options: Options, *names: str) -> Place:
    """These options together; half of them is amiss."""
    have = [name for name in names if name in options and options[name].value]
    file = options[have[0]].file if have else ""
    if len(have) == len(names):
        return Place("DVC's configuration", f"{' and '.join(names)} of {file}")
    lacking = [name for name in names if name not in have]
    wrong = f"{have[0]} is in {file}, {' and '.join(lacking)} nowhere" if have else ""
    return Place(f"DVC's configuration ({', '.join(names)})", "", wrong)


def _variables(*names: str) -> Place:
    have = [name for name in names if os.environ.get(name)]
    if len(have) == len(names):
        return Place("the environment", f"{' and '.join(names)} of the environment")
    lacking = [name for name in names if name not in have]
    return Place(
        f"the environment ({', '.join(names)})",
        "",
        f"{have[0]} is set in the environment, {' and '.join(lacking)} not" if have else "",
    )


def _file(path: str | Path, what: str = "") -> Place:
    """A file that holds a credential if it is there."""
    shown = tilde(path)
    there = os.path.isfile(os.path.expanduser(path))
    return Place(shown, what or shown) if there else Place(shown)


def _named_file(path: str, who: str) -> Place:
    """A file that somebody named: not being there is amiss."""
    if os.path.isfile(os.path.expanduser(path)):
        return Place(tilde(path), f"{tilde(path)}, named by {who}")
    return Place(tilde(path), "", f"{who} names {tilde(path)}, which is not there")


def tilde(path: str | Path) -> str:
    """The path as people write it."""
    text, home = str(path), str(Path.home())
    return f"~{text[len(home) :]}" if text.startswith(f"{home}{os.sep}") else text


def _anonymous(options: Options) -> Iterator[Place]:
    option = options.get("allow_anonymous_login")
    if option is not None and _true(option.value):
        yield Place("DVC's configuration", f"none, as allow_anonymous_login of {option.file} says")


def _true(value: str) -> bool:
    return value.lower() in ("true", "1", "yes", "on")


def _machine(*signs: tuple[str, str]) -> bool:
    """Whether this machine says it is one of that cloud's, which give credentials to what runs on them."""
    for file, sign in signs:
        try:
            text = Path("/sys/class/dmi/id", file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if sign in text:
            return True
    return False


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────────────
def _s3(url: str, options: Options) -> Iterator[Place]:
    yield from _anonymous(options)
    yield _option(options, "access_key_id", "secret_access_key")
    profile = options.get("profile")
    if profile is None:
        yield _variables("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    name, who = "default", ""
    if profile is not None:
        name, who = profile.value, f"profile of {profile.file}"
    elif chosen := next((v for v in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if os.environ.get(v)), ""):
        name, who = os.environ[chosen], f"{chosen} of the environment"
    yield from _s3_files(options, name, who)
    yield _variables("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    for variable in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        if os.environ.get(variable):
            yield Place("the environment", f"the role of this container ({variable})")
    here = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true" and _machine(
        ("sys_vendor", "Amazon EC2"), ("product_version", "amazon"), ("bios_version", "amazon")
    )
    yield Place("the role of this machine (EC2)", "the role of this machine (EC2), if it has one" if here else "")


_S3_KEYS = (
    "aws_access_key_id",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "role_arn",
    "web_identity_token_file",
)


def _s3_files(options: Options, name: str, who: str) -> Iterator[Place]:
    """The profile ``name`` in AWS's two files; ``who`` chose it."""
    files = []
    for option, variable, usual in (
        ("credentialpath", "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ("configpath", "AWS_CONFIG_FILE", "~/.aws/config"),
    ):
        # DVC sets the variable to what the option says, unless it is set
        if os.environ.get(variable):
            path, chooser = os.environ[variable], f"{variable} of the environment"
        elif option in options:
            path, chooser = options[option].value, f"{option} of {options[option].file}"
        else:
            path, chooser = usual, ""
        if chooser and not os.path.isfile(os.path.expanduser(path)):
            yield _named_file(path, chooser)
            continue
        sections = _sections(path)
        for section in (name, f"profile {name}"):
            keys = [key for key in _S3_KEYS if key in sections.get(section, {})]
            if keys:
                yield Place(tilde(path), f"the profile {name} of {tilde(os.path.expanduser(path))} ({keys[0]})")
                return
        files.append(tilde(os.path.expanduser(path)))
    told = " and ".join(files) or "AWS's files"
    wrong = f"{who} names the AWS profile {name}, which {told} do not have" if who else ""
    yield Place(f"the profile {name} of {told}", "", wrong)


def _sections(path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(Path(os.path.expanduser(path)).read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    return {name: dict(parser.items(name)) for name in parser.sections()}


# ── Google Cloud Storage ─────────────────────────────────────────────────────────────────────────────────
def _gs(url: str, options: Options) -> Iterator[Place]:
    yield from _anonymous(options)
    if "credentialpath" in options:
        yield _key_file(options["credentialpath"].value, f"credentialpath of {options['credentialpath'].file}")
    else:
        yield Place("DVC's configuration (credentialpath)")
    if path := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        yield _key_file(path, "GOOGLE_APPLICATION_CREDENTIALS of the environment")
    else:
        yield Place("the environment (GOOGLE_APPLICATION_CREDENTIALS)")
    folder = os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    login = os.path.join(folder, "application_default_credentials.json")
    yield _file(login, f"your login with gcloud ({tilde(os.path.expanduser(login))})")
    yield _file("~/.gcs_tokens", "the login that gcsfs keeps in ~/.gcs_tokens")
    here = os.environ.get("NO_GCE_CHECK") != "true" and _machine(("product_name", "Google"))
    account = "the service account of this machine (Google Cloud)"
    yield Place(account, account if here else "")


def _key_file(path: str, who: str) -> Place:
    """A file of Google's that somebody named: it must be there, and be JSON with a ``type``."""
    place = _named_file(path, who)
    if not place.found:
        return place
    try:
        kind = json.loads(Path(os.path.expanduser(path)).read_text(encoding="utf-8"))["type"]
    except (OSError, ValueError, KeyError, TypeError):
        return Place(place.name, "", f"{who} names {tilde(path)}, which is no key file of Google's")
    return Place(place.name, f"{str(kind)[:40].replace('_', ' ')} of {place.found}")


# ── Azure Blob Storage ───────────────────────────────────────────────────────────────────────────────────
def _azure(url: str, options: Options) -> Iterator[Place]:
    """A connection string, or the account's name with a key, a SAS token, a service principal or a login."""
    az = os.environ.get("AZURE_CONFIG_DIR") or "~/.azure"
    config = os.path.join(az, "config")
    storage, shown = _sections(config).get("storage", {}), tilde(os.path.expanduser(config))
    yield _option(options, "connection_string")
    yield _variables("AZURE_STORAGE_CONNECTION_STRING")
    if storage.get("connection_string"):
        yield Place(shown, f"connection_string of {shown}")
    account = next(
        (
            told
            for value, told in (
                (
                    options.get("account_name"),
                    f"account_name of {options['account_name'].file}" if "account_name" in options else "",
                ),
                (os.environ.get("AZURE_STORAGE_ACCOUNT"), "AZURE_STORAGE_ACCOUNT of the environment"),
                (storage.get("account"), f"account of {shown}"),
            )
            if value
        ),
        "",
    )
    if not account:
        yield Place(f"an account's name (account_name, AZURE_STORAGE_ACCOUNT, {shown}) with a key or a login")
        return
    for keys in (("account_key",), ("sas_token",), ("tenant_id", "client_id", "client_secret")):
        place = _option(options, *keys)
        yield Place(place.name, f"{account}, with {place.found}" if place.found else "", place.wrong)
    for variable, key in (("AZURE_STORAGE_KEY", "key"), ("AZURE_STORAGE_SAS_TOKEN", "sas_token")):
        if os.environ.get(variable):
            yield Place("the environment", f"{account}, with {variable} of the environment")
        if storage.get(key):
            yield Place(shown, f"{account}, with {key} of {shown}")
    yield from (Place(place.name, f"{account}, {place.found}") for place in _anonymous(options))
    yield from (Place(p.name, f"{account}, with {p.found}" if p.found else "", p.wrong) for p in _azure_logins(az))


def _azure_logins(az: str) -> Iterator[Place]:
    """What Azure's default chain tries when there is no key."""
    yield _variables("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")
    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        yield Place("the environment", "the workload's identity (AZURE_FEDERATED_TOKEN_FILE)")
    managed = any(os.environ.get(name) for name in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")) or _machine(
        ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")
    )
    yield Place("the identity of this machine (Azure)", "the identity of this machine (Azure)" if managed else "")
    caches = ("msal_token_cache.json", "msal_token_cache.bin", "accessTokens.json")
    cache = next((name for name in caches if os.path.isfile(os.path.expanduser(os.path.join(az, name)))), "")
    shown = tilde(os.path.expanduser(az))
    yield Place(f"the login of az ({shown})", f"the login of az ({shown}/{cache})" if cache else "")


# ── SSH and HTTP ─────────────────────────────────────────────────────────────────────────────────────────
_SSH_KEYS = ("id_ed25519_sk", "id_ecdsa_sk", "id_ed448", "id_ed25519", "id_ecdsa", "id_rsa", "id_dsa")


def _ssh(url: str, options: Options) -> Iterator[Place]:
    if "keyfile" in options:
        yield _named_file(options["keyfile"].value, f"keyfile of {options['keyfile'].file}")
    if options.get("password", Option("", "")).value:
        yield Place("DVC's configuration", f"password of {options['password'].file}")
    for name in ("ask_password", "gss_auth"):
        if name in options and _true(options[name].value):
            words = "a password that is asked for" if name == "ask_password" else "a Kerberos ticket"
            yield Place("DVC's configuration", f"{words} ({name} of {options[name].file})")
    yield Place("DVC's configuration (keyfile, password)")
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    yield Place("an SSH agent (SSH_AUTH_SOCK)", "the SSH agent (SSH_AUTH_SOCK)" if _socket(agent) else "")
    config = "~/.ssh/config"
    if path := _identity(config, urlsplit(url).hostname or ""):
        yield _named_file(path, f"IdentityFile of {config}")
    for name in _SSH_KEYS:
        if os.path.isfile(os.path.expanduser(f"~/.ssh/{name}")):
            yield Place("~/.ssh", f"the key ~/.ssh/{name}")
    yield Place("keys in ~/.ssh (id_ed25519, id_rsa, …)")


def _identity(config: str, host: str) -> str:
    """The first ``IdentityFile`` that the file gives for exactly this host or for all; patterns are left to SSH."""
    try:
        lines = Path(os.path.expanduser(config)).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    meant = True
    for line in lines:
        key, _, value = line.strip().replace("=", " ", 1).partition(" ")
        if key.lower() == "host":
            meant = bool({host, "*"} & set(value.split()))
        elif key.lower() == "match":
            meant = False
        elif key.lower() == "identityfile" and meant:
            return value.strip().strip('"')
    return ""


def _socket(path: str) -> bool:
    try:
        return bool(path) and stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _http(url: str, options: Options) -> Iterator[Place]:
    """HTTP needs a credential only where an option says so."""
    method = options.get("auth")
    if method is None:
        yield Place("DVC's configuration", "none, as no auth is set")
    elif method.value.lower() == "custom":
        yield _option(options, "custom_auth_header", "password")
    else:
        yield _option(options, "user", "password")


_LOOKS: dict[str, Callable[[str, Options], Iterator[Place]]] = {
    "s3": _s3,
    "gs": _gs,
    "azure": _azure,
    "ssh": _ssh,
    "http": _http,
    "https": _http,
}
