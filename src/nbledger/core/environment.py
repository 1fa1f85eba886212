"""The Python environment of this process, read from file names in milliseconds instead of by ``pip freeze``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from nbledger.core.git import scrub_url
from nbledger.core.sieve import import_path

Package = tuple[str, str, str, bool]  # (name, version, direct URL or "", editable)

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "OMP_DYNAMIC",
    "MKL_DYNAMIC",
    "MKL_CBWR",
    "CUBLAS_WORKSPACE_CONFIG",
)
_GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = (*_THREADS, _GPUS)
"""Variables that say how many threads, and which cards, libraries compute with."""
_DIST = re.compile(r"(.+?)-([^-]+)(?:-py\d[\d.]*(?:-[^-]+)?)?\.(dist|egg)-info")
_DRIVER = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class Environment:
    """``digest``: 16 hex digits over what affects results (packages, Python, platform, thread settings).

    ``threads`` holds the thread variables that are set, ``gpu`` one line per fact, ``seeds_env`` PYTHONHASHSEED,
    ``cpus`` how many this process may use, ``conda`` the environment's name.
    """

    digest: str
    python: str
    implementation: str
    platform: str
    packages: tuple[Package, ...]
    threads: dict[str, str] = field(default_factory=dict)
    gpu: tuple[str, ...] = ()
    seeds_env: str | None = None
    cpus: int = 1
    conda: str | None = None


def current() -> Environment:
    """The environment as it is now; the scan of ``sys.path`` is repeated only when a folder on it changed."""
    packages = installed()
    threads = {name: os.environ[name] for name in _THREADS if name in os.environ}
    python, implementation, system = platform.python_version(), sys.implementation.name, _platform()
    digest = _digest(packages, python, implementation, system, threads)
    shown = threads | ({_GPUS: os.environ[_GPUS]} if _GPUS in os.environ else {})
    return Environment(
        digest,
        python,
        implementation,
        system,
        packages,
        shown,
        _gpu(),
        os.environ.get("PYTHONHASHSEED"),
        _cpus(),
        os.path.basename(os.environ.get("CONDA_PREFIX", "").rstrip("/\\")) or None,
    )


def digest_of(environment: Environment) -> str:
    """The digest that these packages, this Python, platform and thread settings have, whatever the record says of it."""
    threads = {name: value for name, value in environment.threads.items() if name in _THREADS}
    return _digest(environment.packages, environment.python, environment.implementation, environment.platform, threads)


def _digest(
    packages: Sequence[Package], python: str, implementation: str, system: str, threads: Mapping[str, str]
) -> str:
    parts = {
        "packages": [_portable(p) for p in packages],
        "python": python,
        "implementation": implementation,
        "platform": system,
        "threads": dict(threads),
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def as_requirements(environment: Environment) -> str:
    """A lock file that pip and uv install: exact versions, direct references where there were some."""
    lines = [f"# Python {environment.python} ({environment.implementation}) on {environment.platform}"]
    if environment.conda:
        lines.append(f"# conda environment: {environment.conda}")
    lines.append(f"# environment digest: {environment.digest}")
    lines.extend(map(_requirement, environment.packages))
    return "\n".join(lines) + "\n"


def to_dict(environment: Environment) -> dict[str, Any]:
    """As what ``json.dumps`` takes."""
    return {f.name: getattr(environment, f.name) for f in fields(environment)}


def from_dict(known_as: dict[str, Any]) -> Environment:
    """The environment that ``to_dict`` described."""
    known = {k: v for k, v in known_as.items() if k in Environment.__dataclass_fields__}
    packages = tuple((str(n), str(v), str(u), bool(e)) for n, v, u, e in known.get("packages", ()))
    return Environment(**{**known, "packages": packages, "gpu": tuple(known.get("gpu", ()))})


def process() -> dict[str, Any]:
    """What of this process itself affects results: how it hashes strings, the processor, the threads libraries use."""
    from nbledger.core.randomness import hashing

    return {"hashing": hashing(), "cpu": _processor(), "threads_used": _threads_used()}


def canonical(name: str) -> str:
    """The normalised form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


Key = tuple[tuple[str, int], ...]
_scanned: tuple[Key, tuple[Package, ...]] | None = None
_pools: tuple[int, Any] = (-1, None)


def installed() -> tuple[Package, ...]:
    """Every distribution on ``sys.path``, sorted by normalised name; the first on the path wins, as in an import."""
    global _scanned
    key = _key()
    if _scanned is None or _scanned[0] != key:
        found: dict[str, Package] = {}
        for folder, _ in key:
            for package in _scan(folder):
                found.setdefault(package[0], package)
        _scanned = (key, tuple(sorted(found.values())))
    return _scanned[1]


def scanned(folder: str) -> Iterator[tuple[str, str, str]]:
    """(name, version, its ``.dist-info`` or ``.egg-info``) of the distributions in one folder."""
    for path in _infos(folder):
        match = _DIST.fullmatch(os.path.basename(path))
        if match:
            yield canonical(match[1]), match[2], path
        elif path.endswith(".egg-info"):
            yield canonical(os.path.basename(path).removesuffix(".egg-info")), _egg_version(path), path


def _key() -> Key:
    """The folders of ``sys.path`` with their modification times (ns)."""
    found = []
    for folder in dict.fromkeys(import_path()):
        with contextlib.suppress(OSError, ValueError):
            found.append((folder or os.getcwd(), os.stat(folder or ".").st_mtime_ns))
    return tuple(found)


def _infos(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith((".dist-info", ".egg-info"))]


def _scan(folder: str) -> Iterator[Package]:
    for path in _infos(folder):
        name = os.path.basename(path)
        match = _DIST.fullmatch(name)
        if name.endswith(".dist-info"):
            if match:
                yield _package(match[1], match[2], path)
        else:
            project, version = (match[1], match[2]) if match else (name.removesuffix(".egg-info"), _egg_version(path))
            # An egg-info folder without a version in its name lies beside its sources: a development install.
            yield (canonical(project), version, "" if match else Path(folder).as_uri(), not match)


def _egg_version(path: str) -> str:
    with contextlib.suppress(OSError):
        info = os.path.join(path, "PKG-INFO") if os.path.isdir(path) else path
        with open(info, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("Version:"):
                    return line.partition(":")[2].strip()
    return ""


def _package(name: str, version: str, info: str) -> Package:
    url, editable = "", False
    with (
        contextlib.suppress(OSError, ValueError, AttributeError),
        open(os.path.join(info, "direct_url.json"), encoding="utf-8") as file,
    ):
        url, editable = _direct(json.load(file), info)
    return canonical(name), version, url, editable


def _direct(record: dict[str, Any], info: str) -> tuple[str, bool]:
    """(URL as pip takes it, editable) of a ``direct_url.json`` (PEP 610), credentials removed."""
    url = scrub_url(str(record.get("url", "")))
    vcs = record.get("vcs_info")
    if vcs:
        url = f"{vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', '')}"
    editable = bool(record.get("dir_info", {}).get("editable"))
    if url.startswith("file:") and not editable and _by_conda(info):
        return "", False  # the address of conda's build machine
    archive = record.get("archive_info") or {}
    hashed = next((f"{k}={v}" for k, v in (archive.get("hashes") or {}).items()), "")
    part = str(record.get("subdirectory") or "")
    fragment = "&".join(p for p in (hashed, f"subdirectory={part}" if part else "") if p)
    return (f"{url}#{fragment}" if fragment else url), editable


def _by_conda(info: str) -> bool:
    with contextlib.suppress(OSError), open(os.path.join(info, "INSTALLER"), encoding="utf-8") as file:
        return file.read().strip() == "conda"
    return False


def _requirement(package: Package) -> str:
    name, version, url, editable = package
    if editable and url.startswith("file:"):
        from urllib.parse import unquote, urlsplit
        from urllib.request import url2pathname  # 60 ms, so only for editable installs

        return f"-e {url2pathname(unquote(urlsplit(url).path))}  # {name} {version}"
    if editable and url:
        return f"-e {url}{'&' if '#' in url else '#'}egg={name}"
    if url:
        return f"{name} @ {url}"
    return f"{name}=={version}" if version else f"# {name}: version unknown"


def _portable(package: Package) -> list[str]:
    """What of a package affects results: not where a checkout happens to lie on this machine."""
    name, version, url, _ = package
    return [name, version, "" if url.startswith("file:") else url]


def _platform() -> str:
    """``linux-x86_64 glibc 2.36``: the C library's mathematics is part of a result."""
    library = ""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    return f"{sysconfig.get_platform()} {library}".strip()


def _cpus() -> int:
    with contextlib.suppress(AttributeError, OSError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _processor() -> str:
    """The processor's model: libraries choose their kernels, and so their rounding, by it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", file.read(4096), flags=re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _threads_used() -> list[dict[str, Any]]:
    """The thread pools of loaded libraries, where threadpoolctl (scikit-learn brings it) or torch can tell."""
    global _pools
    facts: list[dict[str, Any]] = []
    with contextlib.suppress(Exception):
        control = sys.modules.get("threadpoolctl")
        if control is not None:
            if _pools[0] != len(sys.modules):  # looking through the loaded libraries takes milliseconds
                _pools = (len(sys.modules), control.ThreadpoolController())
            pools = [{k: v for k, v in pool.items() if k != "filepath"} for pool in _pools[1].info()]
            facts += sorted(pools, key=lambda pool: [str(v) for v in pool.values()])  # they come as they lie in memory
    with contextlib.suppress(Exception):
        torch = sys.modules.get("torch")
        if torch is not None:
            facts.append({"user_api": "torch", "num_threads": torch.get_num_threads()})
    return facts


def _gpu() -> tuple[str, ...]:
    """Driver and cards as the kernel driver tells them, and what loaded libraries say of themselves."""
    facts: list[str] = []
    with contextlib.suppress(OSError):
        facts.append(" ".join((_DRIVER / "version").read_text().splitlines()[0].split()))
        for card in sorted((_DRIVER / "gpus").glob("*/information")):
            facts.extend(" ".join(line.split()) for line in card.read_text().splitlines() if line.startswith("Model"))
    with contextlib.suppress(Exception):
        torch = sys.modules.get("torch")
        if torch is not None:
            facts.append(f"torch cuda {torch.version.cuda}")
            if torch.cuda.is_initialized():
                facts.extend(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    with contextlib.suppress(Exception):
        cupy = sys.modules.get("cupy")
        if cupy is not None:
            facts.append(f"cupy cuda {cupy.cuda.runtime.runtimeGetVersion()}")
    return tuple(facts)
