"""Backups of an MLflow server: its database by pg_dump, its artifacts from S3, and the way back.

    python backup.py backup | nightly | fresh | list | restore NAME [--replace]

A backup is a folder of /backups named by its time (UTC): ``database.dump`` (pg_dump's custom format), ``objects.json`` (which
artifacts there were, with their SHA-256) and ``summary.json``. The bytes of artifacts stand once in ``/backups/objects``, named
by their SHA-256, so a night costs what is new. The database comes first: what it names is there when the artifacts are read.

Needs pg_dump, pg_restore, psql and boto3. Settings: PG* (libpq's own), ARTIFACTS (s3://bucket/prefix), AWS_* and
MLFLOW_S3_ENDPOINT_URL, BACKUP_FOLDER (/backups), BACKUP_KEEP (14 backups), BACKUP_AT (02:30 UTC).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("BACKUP_FOLDER", "/backups"))
KEEP = max(1, int(os.environ.get("BACKUP_KEEP", "14")))
AT = os.environ.get("BACKUP_AT", "02:30")
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
SINCE = ".since"
STALE = dt.timedelta(hours=26)
CHUNK = 1 << 20


class Failed(Exception):
    """Said in one line."""


def main(words: list[str]) -> int:
    verb, rest = (words[0] if words else ""), words[1:]
    replace = "--replace" in rest
    names = [word for word in rest if word != "--replace"]
    try:
        if verb == "restore" and len(names) == 1:
            say(restore(names[0], replace=replace))
        elif rest or verb not in ("backup", "nightly", "fresh", "list"):
            say("usage: backup.py backup | nightly | fresh | list | restore NAME|latest [--replace]")
            return 2
        elif verb == "backup":
            say(backup())
        elif verb == "list":
            say("\n".join(described(name) for name in backups()) or "there is no backup yet")
        elif verb == "fresh":
            say(fresh())
        else:
            nightly()
    except Failed as err:
        say(f"failed: {err}")
        return 1
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# ── making one ───────────────────────────────────────────────────────────────────────────────────────────


def backup() -> str:
    """Make one, remove those beyond ``KEEP``; what was made, in words."""
    with alone():
        for leftover in FOLDER.glob(".*.part"):
            shutil.rmtree(leftover, ignore_errors=True)
        while (name := dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")) in backups():
            time.sleep(0.1)  # the last one was made in this very second
        draft = FOLDER / f".{name}.part"
        try:
            draft.mkdir(mode=0o700)
            run("pg_dump", "--format=custom", "--no-owner", f"--file={draft / 'database.dump'}")
            listed = run("pg_restore", "--list", str(draft / "database.dump"))
            if "TABLE DATA" not in listed:
                raise Failed("the database holds no tables yet")
            objects = copied(latest_objects())
            write(draft / "objects.json", objects)
            size = sum(int(each["size"]) for each in objects.values())
            database = (draft / "database.dump").stat().st_size
            write(draft / "summary.json", {"objects": len(objects), "bytes": size, "database": database})
            os.replace(draft, FOLDER / name)
        except OSError as err:
            raise Failed(f"{err.strerror}: {err.filename}") from err
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        prune()
        return described(name)


def copied(known: dict[str, Any]) -> dict[str, Any]:
    """{key: what it is} of all artifacts; bytes that no earlier backup brought are brought now."""
    store, bucket, prefix = artifacts()
    found: dict[str, Any] = {}
    try:
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                key, relative = entry["Key"], entry["Key"].removeprefix(prefix)
                if key.endswith("/") and not entry["Size"]:
                    continue
                mark = {"etag": entry["ETag"], "size": entry["Size"], "modified": entry["LastModified"].isoformat()}
                before = known.get(relative, {})
                if {**before, **mark} == before and place(before["sha256"]).exists():
                    found[relative] = before
                elif digest := brought(store, bucket, key):
                    found[relative] = {**mark, "sha256": digest}
    except (store.exceptions.ClientError, *unreachable()) as err:
        raise Failed(f"the artifacts of s3://{bucket}/{prefix}: {' '.join(str(err).split())}") from err
    return found


def brought(store: Any, bucket: str, key: str) -> str | None:
    """Bring one object; its SHA-256, or None where it was deleted since it was listed."""
    digest = hashlib.sha256()
    handle, draft = tempfile.mkstemp(dir=FOLDER, prefix=".object-")
    try:
        with os.fdopen(handle, "wb") as file:
            try:
                body = store.get_object(Bucket=bucket, Key=key)["Body"]
            except store.exceptions.NoSuchKey:
                return None
            for block in body.iter_chunks(CHUNK):
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        target = place(digest.hexdigest())
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(draft, target)
        return digest.hexdigest()
    finally:
        Path(draft).unlink(missing_ok=True)


def prune() -> None:
    """Remove backups beyond the newest ``KEEP``, then bytes that no backup names."""
    for name in backups()[:-KEEP]:
        shutil.rmtree(FOLDER / name)
    needed = {str(each["sha256"]) for name in backups() for each in read(FOLDER / name / "objects.json").values()}
    for path in (FOLDER / "objects").glob("??/*"):
        if path.parent.name + path.name not in needed:
            path.unlink()
    for draft in FOLDER.glob(".object-*"):
        draft.unlink()


def nightly() -> None:
    """Make one every day at ``AT``; after a failure again within the hour."""
    wait(dt.datetime.now(dt.UTC))
    with alone():
        (FOLDER / SINCE).touch()
    say(f"a backup every day at {AT} UTC, the newest {KEEP} are kept in {FOLDER}")
    while True:
        time.sleep(wait(dt.datetime.now(dt.UTC)))
        while True:
            try:
                say(backup())
                break
            except Failed as err:
                say(f"failed, and tried again in an hour: {err}")
                time.sleep(3600)


def wait(now: dt.datetime) -> float:
    """Seconds until the next ``AT``."""
    try:
        hour, minute = (int(part) for part in AT.split(":"))
        then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    except ValueError as err:
        raise Failed(f"BACKUP_AT is {AT!r}, not a time such as 02:30") from err
    return (then - now if then > now else then - now + dt.timedelta(days=1)).total_seconds()


def fresh() -> str:
    """Fail where neither the newest backup nor the start of ``nightly`` is less than a day and two hours ago."""
    names, since = backups(), FOLDER / SINCE
    times = [dt.datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=dt.UTC) for name in names[-1:]]
    times += [dt.datetime.fromtimestamp(since.stat().st_mtime, dt.UTC)] if since.exists() else []
    newest = f"the newest backup is {names[-1]}" if names else "there is no backup yet"
    if not times or dt.datetime.now(dt.UTC) - max(times) > STALE:
        raise Failed(newest)
    return newest


# ── the way back ─────────────────────────────────────────────────────────────────────────────────────────


def restore(name: str, *, replace: bool) -> str:
    """Bring database and artifacts back as they were. What is recorded already is only replaced if ``replace`` is said."""
    with alone():
        names = backups()
        if name == "latest" and names:
            name = names[-1]
        if name not in names:
            raise Failed(f"there is no backup {name!r}; there are: {', '.join(names) or 'none'}")
        objects = read(FOLDER / name / "objects.json")
        for relative, each in objects.items():
            if hashed(place(each["sha256"])) != each["sha256"]:
                raise Failed(f"the bytes of {relative} are missing from the backup or damaged; nothing was restored")
        has_runs = run("psql", "-AtXc", "select to_regclass('public.runs') is not null").strip() == "t"
        runs = int(run("psql", "-AtXc", "select count(*) from runs").strip()) if has_runs else 0
        if runs and not replace:
            raise Failed(f"the database holds {runs} runs, which would be gone: --replace if that is meant")
        uploaded = sent(objects)
        _database(FOLDER / name / "database.dump")
        return f"restored {name}: the database and {len(objects)} artifacts, {uploaded} of them sent"


def sent(objects: dict[str, Any]) -> int:
    """Put back the artifacts that are missing or differ; how many."""
    store, bucket, prefix = artifacts()
    count = 0
    try:
        for relative, each in objects.items():
            key, source = prefix + relative, place(each["sha256"])
            with contextlib.suppress(store.exceptions.ClientError):
                if store.head_object(Bucket=bucket, Key=key)["ETag"] == each["etag"]:
                    continue
            store.upload_file(str(source), bucket, key)
            count += 1
    except (store.exceptions.ClientError, *unreachable()) as err:
        raise Failed(f"the artifacts of s3://{bucket}/{prefix}: {' '.join(str(err).split())}") from err
    return count


def _database(dump: Path) -> None:
    """All of it or nothing: the old tables go and the new ones come in one transaction."""
    handle, script = tempfile.mkstemp(dir=FOLDER, prefix=".restore-", suffix=".sql")
    os.close(handle)
    try:
        run("pg_restore", "--no-owner", f"--file={script}", str(dump))
        empty = "set lock_timeout = '30s'; drop schema if exists public cascade; create schema public;"
        run("psql", "-qX1", "-v", "ON_ERROR_STOP=1", "-c", empty, "-f", script)
    except Failed as err:
        raise Failed(f"the database is as it was, is MLflow stopped? {err}") from err
    finally:
        Path(script).unlink()


# ── what both need ───────────────────────────────────────────────────────────────────────────────────────


def artifacts() -> tuple[Any, str, str]:
    """(client, bucket, prefix with its slash)"""
    import boto3  # type: ignore[import-untyped]

    bucket, _, prefix = os.environ["ARTIFACTS"].removeprefix("s3://").partition("/")
    store = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
    return store, bucket, prefix.rstrip("/") + "/" if prefix else ""


def unreachable() -> tuple[type[Exception], ...]:
    from boto3.exceptions import S3UploadFailedError  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    return BotoCoreError, S3UploadFailedError


def backups() -> list[str]:
    """Names, oldest first."""
    return sorted(path.name for path in FOLDER.glob("*Z") if NAME.fullmatch(path.name))


def latest_objects() -> dict[str, Any]:
    names = backups()
    return read(FOLDER / names[-1] / "objects.json") if names else {}


def described(name: str) -> str:
    summary = read(FOLDER / name / "summary.json")
    sizes = f"{summary['database'] / 1e6:.1f} MB of database, {summary['objects']} artifacts of {summary['bytes'] / 1e6:.1f} MB"
    return f"{name}: {sizes}"


def place(digest: str) -> Path:
    return FOLDER / "objects" / digest[:2] / digest[2:]


def hashed(path: Path) -> str:
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest() if path.exists() else ""


def read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise Failed(f"{path} cannot be read: {err}") from err
    return found


def write(path: Path, what: dict[str, Any]) -> None:
    with open(path, "w") as file:
        json.dump(what, file, indent=0, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def run(*words: str) -> str:
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise Failed(f"{words[0]} is not installed") from err
    if done.returncode:
        raise Failed(f"{words[0]}: {' '.join(done.stderr.split())[:500]}")
    return done.stdout


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One at a time; the system lets go when the process ends."""
    try:
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(FOLDER / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as err:
        raise Failed(f"{err.strerror}: {err.filename}") from err
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as err:
        raise Failed("a backup is being made or restored already") from err
    finally:
        os.close(handle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
