"""The engine that builds images and the client of a cluster, where they are: ``docker`` and ``kubectl`` by their command lines.

Words go to them as a list and files by standard input; no shell ever sees a name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbledger.core.errors import Refused, ToolFailed, UsageError

_BUILDING = 3600.0
_IMAGE = re.compile(r"[a-z0-9]+([._/:-][A-Za-z0-9_.-]+)*(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?", re.ASCII)
_HEALTH = (
    'HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", '
    "\"import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ping', timeout=4)\"]"
)


def image_name(text: str) -> str:
    """``text`` if it can be an image's name; ``UsageError`` if not."""
    if len(text) > 300 or not _IMAGE.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is no name of an image", "e.g. registry.example.org/team/wine:3")
    return text


def copied(dockerfile: Path) -> str:
    """The folder of the build context that a Dockerfile of MLflow's takes the model from."""
    found = re.findall(r"^COPY (\S+) /opt/ml/model$", dockerfile.read_text(), re.MULTILINE)
    if len(found) != 1:
        raise ToolFailed("MLflow wrote a Dockerfile that takes no model from its context")
    return str(found[0])


def pinned(dockerfile: Path, base: str | None) -> str:
    """Give a Dockerfile of MLflow's a health check, and with ``base`` another image to start from; the one that it starts from."""
    lines = dockerfile.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    if len(places) != 1:
        raise ToolFailed("MLflow wrote a Dockerfile that does not start from one image")
    if base:
        lines[places[0]] = f"FROM {image_name(base)}"
    entry = next(number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT "))
    lines.insert(entry, _HEALTH)
    dockerfile.write_text("\n".join(lines) + "\n")
    return lines[places[0]].removeprefix("FROM ").strip()


def docker() -> str:
    """The program. ``Refused`` where there is none."""
    if (found := shutil.which("docker")) is None:
        raise Refused(
            "there is no docker here to build the image with",
            "--output FOLDER writes what is built from, for a machine that has one",
        )
    return found


def build_words(program: str, context: str, image: str, labels: Mapping[str, str]) -> list[str]:
    """How the image is built."""
    said = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    return [program, "build", "--tag", image, *said, context]


def build(context: Path, image: str, labels: Mapping[str, str]) -> str:
    """Build an image; its id."""
    program = docker()
    _run(build_words(program, str(context), image, labels), "docker build", timeout=_BUILDING)
    return _run([program, "image", "inspect", "--format", "{{.Id}}", image], "docker image inspect")


def push(image: str) -> str:
    """Push an image; its name with the digest that the registry gave it."""
    program = docker()
    _run([program, "push", image], "docker push", timeout=_BUILDING)
    told = json.loads(_run([program, "image", "inspect", image], "docker image inspect"))
    name = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
    found = [one for one in told[0].get("RepoDigests", []) if one.partition("@")[0] == name]
    if not found:
        raise ToolFailed(f"docker knows no digest of {image}, although it was pushed")
    return str(found[0])


def kubectl() -> str:
    """The program. ``Refused`` where there is none."""
    if (found := shutil.which("kubectl")) is None:
        raise Refused(
            "there is no kubectl here to apply the manifest with",
            "--output FILE writes it, for `kubectl apply -f FILE` where there is one",
        )
    return found


def apply(manifest: Mapping[str, Any], patience: float) -> str:
    """Apply a manifest and wait until what it describes is ready; the address that it has then."""
    program = kubectl()
    where = ["--namespace", manifest["metadata"]["namespace"]] if "namespace" in manifest["metadata"] else []
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    _run([program, "apply", *where, "--filename", "-"], "kubectl apply", given=json.dumps(manifest))
    ready = [program, "wait", *where, "--for=condition=Ready", f"--timeout={patience:.0f}s", f"{kind}/{name}"]
    _run(ready, "kubectl wait", timeout=patience + 30)
    return _run([program, "get", *where, f"{kind}/{name}", "--output", "jsonpath={.status.url}"], "kubectl get")


def _run(words: list[str], what: str, given: str | None = None, timeout: float = 120.0) -> str:
    """What a program says; ``ToolFailed`` with its last line where it fails."""
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as err:
        raise ToolFailed(f"{what} did not end within {timeout:g} s") from err
    except OSError as err:
        raise ToolFailed(f"{what} cannot be started: {err.strerror}") from err
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ToolFailed(f"{what} failed: {(lines or ['it said nothing'])[-1][:300]}")
    return done.stdout.strip()
