"""Who holds something: a process, known by more than its number, so that what the dead left can be told from work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def owner() -> dict[str, Any]:
    """Who writes: process id with its start time (a recycled id is another process), host with boot id, and the process
    namespace (a container's) in which the id means something.
    """
    return {"pid": os.getpid(), "created": process_started(os.getpid()), "host": host(), "namespace": _namespace()}


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def host() -> str:
    """This machine, this boot: process ids of another say nothing."""
    import socket

    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def process_started(pid: int) -> float | None:
    """When process ``pid`` started (seconds since the epoch, or clock ticks on Linux); None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        state, *fields = stat.rpartition(b")")[2].split()
        return None if state in (b"Z", b"X") else float(fields[18])
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def alive(who: dict[str, Any], held: Callable[[], bool | None] = lambda: None) -> bool:
    """False only when the owner ran on this machine in this boot and is certainly gone, or the machine rebooted.

    In another process namespace ids say nothing: then ``held`` tells whether somebody still holds what only the owner
    does; where that is not known (None), the namespace is taken for one that ended, as a container's that was started anew.
    """
    here, there = host(), str(who.get("host", ""))
    if there != here:
        return there.partition("/")[0] != here.partition("/")[0]
    if who.get("namespace", _namespace()) != _namespace():
        return bool(held())
    return process_started(int(who.get("pid", 0))) == who.get("created")
