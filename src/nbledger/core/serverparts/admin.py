"""What is done to a running MLflow server: its bucket, its health, its people.

    python admin.py prepare | healthy | people | add NAME [--admin] | password NAME | remove NAME

A password is asked for; where nobody can be asked it is read from standard input, and an empty one is made up and shown once.
The administrator's login is MLFLOW_AUTH_ADMIN_USERNAME and _PASSWORD, or, once that was changed, ADMIN_PASSWORD.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from typing import Any

ADDRESS = os.environ.get("MLFLOW_ADDRESS", "http://127.0.0.1:5000")
SHORTEST = 12


class Failed(Exception):
    """Said in one line."""


def main(words: list[str]) -> int:
    verb, rest = (words[0] if words else ""), words[1:]
    names = [word for word in rest if word != "--admin"]
    try:
        if verb == "prepare" and not rest:
            say(prepare())
        elif verb == "healthy" and not rest:
            say(asked("GET", "/health", login=False).decode())
        elif verb == "people" and not rest:
            say(people())
        elif verb in ("add", "password", "remove") and len(names) == 1:
            say(changed(verb, names[0], admin="--admin" in rest))
        else:
            say("usage: admin.py prepare | healthy | people | add NAME [--admin] | password NAME | remove NAME")
            return 2
    except Failed as err:
        say(f"failed: {err}")
        return 1
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def prepare(patience: float = 60.0) -> str:
    """Make the bucket of ARTIFACTS if it is not there; wait ``patience`` seconds for the store."""
    import boto3  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    bucket = os.environ["ARTIFACTS"].removeprefix("s3://").partition("/")[0]
    store = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
    until = time.monotonic() + patience
    tried = False
    while True:
        try:
            store.head_bucket(Bucket=bucket)
            return f"made the bucket {bucket}" if tried else f"the bucket {bucket} is there"
        except ClientError as err:
            status, wrong = err.response["ResponseMetadata"]["HTTPStatusCode"], str(err)
            if status == 404:
                wrong, tried = made(store, bucket), True
                if not wrong:
                    return f"made the bucket {bucket}"
            elif status < 500:
                raise Failed(f"the bucket {bucket}: {err}") from err
        except BotoCoreError as err:
            wrong = str(err)
        if time.monotonic() > until:
            raise Failed(f"the artifact store: {wrong}")
        time.sleep(1)


def made(store: Any, bucket: str) -> str:
    """Make it; what is wrong where a store that has just started may yet do it, empty where it is done."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        store.create_bucket(Bucket=bucket)
    except ClientError as err:
        status = err.response["ResponseMetadata"]["HTTPStatusCode"]
        if status < 500 and status != 409:  # 409: by an attempt whose answer was lost, and which was sent again
            raise Failed(f"the bucket {bucket} is not there and cannot be made: {err}") from err
        return str(err)
    except BotoCoreError as err:
        return str(err)
    return ""


def people() -> str:
    users = json.loads(asked("GET", "/api/2.0/mlflow/users/list"))["users"]
    return "\n".join(f"{user['username']}{' (administrator)' if user['is_admin'] else ''}" for user in users)


def changed(verb: str, name: str, *, admin: bool) -> str:
    if verb == "remove":
        asked("DELETE", "/api/2.0/mlflow/users/delete", {"username": name})
        return f"removed {name}"
    word, shown = password(name)
    if verb == "add":
        asked("POST", "/api/2.0/mlflow/users/create", {"username": name, "password": word})
        if admin:
            asked("PATCH", "/api/2.0/mlflow/users/update-admin", {"username": name, "is_admin": True})
        return f"added {name}{' as administrator' if admin else ''}{shown}"
    asked("PATCH", "/api/2.0/mlflow/users/update-password", {"username": name, "password": word})
    return f"changed the password of {name}{shown}"


def password(name: str) -> tuple[str, str]:
    """(the password, how it is told if it was made up)"""
    word = (
        getpass.getpass(f"password of {name} (empty: one is made up): ") if sys.stdin.isatty() else sys.stdin.readline()
    )
    word = word.rstrip("\n")
    if not word:
        word = secrets.token_urlsafe(18)
        return word, f"; the password, shown this once: {word}"
    if len(word) < SHORTEST:
        raise Failed(f"a password has at least {SHORTEST} characters")
    return word, ""


def asked(method: str, path: str, what: dict[str, Any] | None = None, *, login: bool = True) -> bytes:
    request = urllib.request.Request(ADDRESS + path, method=method)  # noqa: S310 - the administrator's own
    if what is not None:
        request.data = json.dumps(what).encode()
        request.add_header("Content-Type", "application/json")
    if login:
        name = os.environ.get("MLFLOW_AUTH_ADMIN_USERNAME", "admin")
        word = os.environ.get("ADMIN_PASSWORD") or os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode())
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=30) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as err:
        said = err.read().decode(errors="replace")
        try:
            said = json.loads(said)["message"]
        except (ValueError, KeyError, TypeError):
            said = said.partition("\n")[0][:200]
        raise Failed(f"{err.code}: {said}") from err
    except OSError as err:
        raise Failed(f"{ADDRESS} does not answer: {err}") from err


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
