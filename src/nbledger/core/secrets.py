"""What must not be recorded: credentials in addresses and messages, values whose name says that they are secret, files of keys.

Names decide for values (``password``, ``hf_token``, ``AWS_SECRET_ACCESS_KEY``), and they are read as people mean them:
``max_tokens``, ``pad_token`` and ``token_accuracy`` are no secrets.
"""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from nbledger.core.wording import some

HIDDEN = "***"
"""What is recorded in the place of a secret."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ALWAYS = {"password", "passwd", "passphrase", "pwd", "passwort", "secret", "credential", "credentials", "apikey"}
_ALWAYS |= {"authorization", "cookie", "signature"}
_KEYS = {"api", "access", "secret", "private", "account", "encryption", "signing", "ssh", "storage", "master", "auth"}
_PLAIN_TOKEN = re.compile(
    "pad|eos|bos|unk|sep|cls|mask|special|image|audio|video|stop|start|end|next|prev|previous|per|max|min|num|n|first|last|new|"
    "added|single|begin|prefix|suffix|vocab|word|sub|target|source|input|output|decoder|encoder|sentence|class|text|padding|"
    "every|each|total|avg|mean|context|prompt|completion|mixed|dist|forced|suppress|language|task|time"
)
_QUERY = {"sig", "token", "key", "code", "auth", "sas"}
_SIGNED = re.compile(r"x-(amz|goog)-(signature|credential|security-token)|awsaccesskeyid|googleaccessid", re.IGNORECASE)

_USER = re.compile(r"(?<=://)[^/\s?#'\"]+@")
_NAME = r"[A-Za-z_][\w.-]*"
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s&#;,'\"()]+)"
_ASKED = re.compile(rf"(?P<before>[?&;])(?P<name>{_NAME})(?P<is>=)(?P<value>[^\s&#;'\"]+)")
_OPTION = re.compile(rf"(?<![\w./-])(?P<before>--?)(?P<name>{_NAME})(?P<is>\s+)(?P<value>{_VALUE})")
_PAIR = re.compile(
    r"(?P<before>)(?<![\w?&;])(?P<name>[\w.-]*(?:pass|pwd|token|secret|key|credential|cookie|authorization|signature|auth|string)"
    rf"[\w.-]*)(?P<is>['\"]?\s*[=:]\s*)(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|xox[abprs]-[\w-]{10,}|"
    r"sk-[\w-]{20,}|(AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|pypi-[\w-]{50,}|dapi[0-9a-f]{32}|"
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_HINT = re.compile(
    r"[=@]|--|key|token|pass|secret|bearer|basic|gh[pousr]_|glpat|hf_|xox|sk-|AKIA|ASIA|AIza|pypi-|dapi|eyJ|PRIVATE|:",
    re.IGNORECASE,
)

_FILES = (
    *(
        ".env",
        ".env.*",
        "*.env",
        ".netrc",
        "_netrc",
        ".pypirc",
        ".pgpass",
        ".htpasswd",
        ".git-credentials",
        ".databrickscfg",
    ),
    *(
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
    ),
    *("credentials", "credentials.json", "credentials.y*ml", "client_secret*.json", "service_account*.json"),
    *(
        "service-account*.json",
        "secrets.json",
        "secrets.toml",
        "secrets.y*ml",
        "kaggle.json",
        "token.json",
        "tokens.json",
    ),
)
_HARMLESS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub", "public.pem", "*.crt.pem", "cacert.pem")


@lru_cache(maxsize=4096)
def secret_name(key: str) -> bool:
    """Whether a value of this name is a secret by what people call theirs."""
    words = [word.lower() for word in _WORDS.findall(key)]
    words = [word for word in words if not word.isdigit()]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "pwd":
        return len(words) > 1  # PWD alone is a folder
    if last in _ALWAYS or last.endswith(("password", "passwd", "passphrase", "apikey")):
        return True
    if last == "token":
        return _PLAIN_TOKEN.fullmatch(before) is None
    if last in ("key", "pass"):
        return (
            before in _KEYS if last == "key" else bool(before) and before not in ("single", "forward", "backward", "n")
        )
    if last == "id":
        return words[-3:-1] == ["access", "key"]
    return (last == "string" and before in ("connection", "conn")) or (last == "auth" and before in ("basic", "http"))


def secret(key: str, value: Any = "") -> bool:
    """Whether this value is not to be recorded under this name: numbers and flags called ``…token`` are no secrets."""
    if not secret_name(key):
        return False
    text = str(value).strip()
    if not text or text.lower() in ("none", "null", "true", "false", HIDDEN):
        return False
    return not (re.fullmatch(r"[-+]?\d+(\.\d+)?", text) and _WORDS.findall(key)[-1].lower() == "token")


def hide(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The values with those hidden that are secrets by their name, and their names; addresses among the rest are scrubbed."""
    hidden = [key for key, value in values.items() if secret(key, value)]
    found = {key: HIDDEN if key in hidden else scrub(value) for key, value in values.items()}
    return found, hidden


def notice(kind: str, names: Sequence[str]) -> str:
    """What the user reads of what was hidden."""
    return f"not recorded, a secret by its name: the value of {kind} {some(names)}"


def scrub(text: str) -> str:
    """``text`` (an address, a message, a command) without credentials."""
    if _HINT.search(text):
        if "PRIVATE KEY" in text:
            text = _PEM.sub(HIDDEN, text)
        text = _BEARER.sub(lambda found: f"{found[1]} {HIDDEN}", _KNOWN.sub(HIDDEN, _USER.sub("", text)))
        text = _ASKED.sub(_query, text)
        text = _PAIR.sub(_pair, _OPTION.sub(_pair, text))
    for value in _own():
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def _query(found: re.Match[str]) -> str:
    name = found["name"]
    hidden = secret_name(name) or name.lower() in _QUERY or _SIGNED.fullmatch(name)
    return f"{found['before']}{name}={HIDDEN}" if hidden else found[0]


def _pair(found: re.Match[str]) -> str:
    value = found["value"].strip("'\"")
    if not secret(found["name"], value) or value.startswith(HIDDEN) or value.lower() in ("bearer", "basic"):
        return found[0]
    quote = found["value"][0] if found["value"][0] in "'\"" else ""
    return f"{found['before']}{found['name']}{found['is']}{quote}{HIDDEN}{quote}"


def without_login(uri: str) -> str:
    """A store's address as it may be written down: without its password or token."""
    rest = uri.partition("://")[2]
    user, at, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    bare = "?" in rest or (at and (":" in user or uri.startswith("http")))
    return scrub(uri) if bare else uri


STORE_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def store_login() -> dict[str, str]:
    """The variables in which MLflow looks for a login to its server, as far as this process has them."""
    return {name: os.environ[name] for name in STORE_LOGIN if os.environ.get(name)}


def take_store_login(told: object) -> None:
    """Have the login that another process of this person has; one that has none takes away none."""
    given = told if isinstance(told, dict) else {}
    found = {name: given[name] for name in STORE_LOGIN if isinstance(given.get(name), str) and given[name]}
    if found and found != store_login():
        os.environ.update(found)
        for name in set(STORE_LOGIN) - set(found):
            os.environ.pop(name, None)


_known: tuple[float, tuple[str, ...]] = (-1.0, ())


def _own() -> tuple[str, ...]:
    """The values of this process's secret variables, looked up once a second."""
    global _known
    if (now := time.monotonic()) - _known[0] > 1.0 or _known[0] < 0:
        found = {
            v for k, v in os.environ.items() if len(v) > 7 and not v.isalpha() and not v.isdigit() and secret(k, v)
        }
        _known = now, tuple(sorted(found, key=len, reverse=True))
    return _known[1]


def secret_file(path: str, allowed: Sequence[str] = ()) -> bool:
    """Whether a file is one of keys or passwords by its well-known name; ``allowed``: names or paths (globs) that are not."""
    name = posixpath.basename(path)
    if any(fnmatchcase(name, pattern) or fnmatchcase(path, pattern) for pattern in allowed):
        return False
    low = name.lower()
    return any(fnmatchcase(low, each) for each in _FILES) and not any(fnmatchcase(low, each) for each in _HARMLESS)
