"""What differs around the code: packages, Python, platform, seeds, processors and threads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbledger.core import files, syntax
from nbledger.core.differences import PackageChange, Row
from nbledger.core.environment import Environment, canonical
from nbledger.core.record import Record

IMPORTED, DIRECT, INSTALLED, SYSTEM = "imported", "direct", "installed", "system"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What every kernel has loaded before the first cell: their versions do not move a metric.
_INFRASTRUCTURE = _words(
    "asttokens appnope backcall click colorama comm debugpy decorator exceptiongroup executing ipykernel ipython"
    " ipython-genutils ipython-pygments-lexers ipywidgets jedi jupyter-client jupyter-core jupyterlab-widgets"
    " markdown-it-py matplotlib-inline mdurl mlflow mlflow-skinny mlflow-tracing nbclient nbconvert nbdime nbformat"
    " nbledger nest-asyncio packaging papermill parso pexpect pip platformdirs prompt-toolkit psutil ptyprocess"
    " pure-eval pygments python-dateutil pyyaml pyzmq rich ruamel-yaml setuptools six stack-data tornado traitlets"
    " typing-extensions uv wcwidth wheel widgetsnbextension"
)
# Packages whose import name is not their own (others are found under it).
_IMPORT_NAMES = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "umap": "umap-learn",
    "imblearn": "imbalanced-learn",
    "Bio": "biopython",
    "dateutil": "python-dateutil",
    "lightning_fabric": "lightning",
    "pytorch_lightning": "pytorch-lightning",
    "skopt": "scikit-optimize",
    "statsmodels": "statsmodels",
    "faiss": "faiss-cpu",
    "OpenSSL": "pyopenssl",
    "Crypto": "pycryptodome",
    "git": "gitpython",
    "attr": "attrs",
    "jose": "python-jose",
    "dotenv": "python-dotenv",
    "sentence_transformers": "sentence-transformers",
}
_NUMERIC = _words(
    "numpy scipy scikit-learn torch tensorflow jax jaxlib xgboost lightgbm catboost statsmodels numba cupy polars keras"
    " scikit-image opencv-python pandas numexpr"
)
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)")


def packages(
    sides: Sequence[Record], direct: Iterable[str] = (), *, everything: bool = False
) -> tuple[PackageChange, ...]:
    """Packages, Python and platform that differ (or with ``everything`` all), what the run used first.

    Sides without a recorded environment have None throughout, and make no difference.
    """
    known = [side.environment for side in sides]
    if not any(known):
        return ()
    named = {canonical(name) for name in direct}
    imported = {canonical(name) for side in sides for name in side.imported}
    tables = [_versions(one) if one else None for one in known]
    found = [
        PackageChange(name, values, _role(name, imported, named))
        for name in sorted({name for table in tables if table for name in table})
        if _differ(values := tuple(t.get(name) if t is not None else None for t in tables), tables) or everything
    ]
    system = [
        PackageChange(name, values, SYSTEM)
        for name, read in (("Python", _python), ("platform", _platform))
        if _differ(values := tuple(read(one) if one else None for one in known), tables) or everything
    ]
    ranks = {IMPORTED: 0, DIRECT: 1, INSTALLED: 2}
    return (*system, *sorted(found, key=lambda p: (ranks[p.role], p.name in _INFRASTRUCTURE, p.name)))


def _differ(values: Sequence[str | None], known: Sequence[object]) -> bool:
    return len({v for v, side in zip(values, known, strict=True) if side is not None}) > 1


def _versions(environment: Environment) -> dict[str, str]:
    """{name: version, with the address it was installed from where that is not an index}."""
    found = {}
    for name, version, url, editable in environment.packages:
        pinned = url if url and not editable and not url.startswith("file:") else ""
        found[canonical(name)] = f"{version} {pinned}".strip()
    return found


def _role(name: str, imported: set[str], direct: set[str]) -> str:
    return IMPORTED if name in imported else DIRECT if name in direct else INSTALLED


def _python(environment: Environment) -> str:
    return f"{environment.implementation} {environment.python}"


def _platform(environment: Environment) -> str:
    return environment.platform


def infrastructure(name: str) -> bool:
    """Whether a package only runs the notebook, so that its version does not move a metric."""
    return name in _INFRASTRUCTURE or name.startswith(("jupyter", "ipython", "types-", "pytest"))


def used_by(sources: Iterable[str]) -> set[str]:
    """Normalised names of the distributions that the sources import by name."""
    tops = {top for source in sources for top in syntax.imports(source)}
    return {canonical(_IMPORT_NAMES.get(top, top)) for top in tops}


def numeric(record: Record) -> bool:
    """Whether the run imported something that computes with many threads, or on a card (or that is not known)."""
    return not record.imported or any(canonical(name) in _NUMERIC for name in record.imported)


def hardware(sides: Sequence[Record], *, everything: bool = False) -> tuple[Row, ...]:
    """Processors, threads and cards that differ, or with ``everything`` all."""
    tables = [_machine(side) for side in sides]
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = [Row(name, tuple(table.get(name) for table in tables)) for name in names]
    known = [side.environment for side in sides]
    found = [_loaded(side) for side in sides]
    of_process = [
        Row(name, values)
        for name in dict.fromkeys(name for table in found for name in table)
        if all(values := tuple(table.get(name) for table in found))
    ]
    return tuple(row for row in (*rows, *of_process) if everything or _differ(row.values, known))


def _machine(record: Record) -> dict[str, str]:
    environment = record.environment
    if environment is None:
        return {}
    found = {"processors": str(environment.cpus)}
    found |= environment.threads
    return found | {f"card {number}": fact for number, fact in enumerate(environment.gpu, 1)}


def _loaded(record: Record) -> dict[str, str]:
    """What only the process itself could tell: the processor's model, the threads that loaded libraries use."""
    found: dict[str, str] = {}
    extra = _extra(record)
    if extra.get("cpu"):
        found["processor"] = str(extra["cpu"])
    for pool in extra.get("threads_used") or ():
        found |= _pool(pool)
    return found


def _pool(facts: Any) -> dict[str, str]:
    """What threadpoolctl says of one library: how many threads it uses, and its version."""
    if not isinstance(facts, dict):
        return {}
    name = str(facts.get("internal_api") or facts.get("user_api") or "library")
    found = {}
    if facts.get("num_threads") is not None:
        found[f"threads of {name}"] = str(facts["num_threads"])
    if facts.get("architecture"):
        found[f"kernels of {name}"] = str(facts["architecture"])
    return found


def _extra(record: Record) -> dict[str, Any]:
    """Keys of ``environment.json`` beyond the environment itself."""
    if record.folder is None:
        return {}
    path = record.folder / "environment.json"
    try:
        return _read(str(path), files.signature(path.stat()))
    except (OSError, ValueError):
        return {}


@lru_cache(64)
def _read(path: str, signature: files.Signature) -> dict[str, Any]:
    found = json.loads(Path(path).read_bytes())
    return {k: found.get(k) for k in ("cpu", "threads_used", "direct")} if isinstance(found, dict) else {}


def seeds(sides: Sequence[Record], *, everything: bool = False) -> tuple[Row, ...]:
    """Seeds that were recorded; PYTHONHASHSEED from the environment where the run's own tag does not say it."""
    tables = []
    for side in sides:
        table = {name: str(value) for name, value in side.seeds.items()}
        if side.environment is not None and side.environment.seeds_env is not None:
            table.setdefault("PYTHONHASHSEED", side.environment.seeds_env)
        tables.append(table)
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = [Row(name, tuple(table.get(name) for table in tables)) for name in names]
    return tuple(row for row in rows if everything or len(set(row.values)) > 1)


def direct(root: Path, sides: Sequence[Record] = ()) -> frozenset[str]:
    """Distributions that the project names itself: in ``pyproject.toml``, ``requirements*.txt`` and ``environment.yml``,
    and those the records say.
    """
    recorded = {canonical(str(name)) for side in sides for name in _extra(side).get("direct") or ()}
    named: set[str] = set()
    for path in (root / "pyproject.toml", *sorted(root.glob("requirements*.txt")), root / "environment.yml"):
        try:
            named |= _named(str(path), files.signature(path.stat()))
        except (OSError, ValueError):
            continue
    return frozenset(recorded | named)


@lru_cache(64)
def _named(path: str, signature: files.Signature) -> frozenset[str]:
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if path.endswith(".toml"):
        lines = _of_pyproject(text)
    elif path.endswith(".yml"):
        lines = [line.strip().removeprefix("- ") for line in text.splitlines() if line.strip().startswith("- ")]
    else:
        lines = text.splitlines()
    return frozenset(canonical(match[1]) for line in lines if (match := _REQUIREMENT.match(line)))


def _of_pyproject(text: str) -> list[str]:
    import tomllib

    table = tomllib.loads(text)
    project: Mapping[str, Any] = table.get("project", {})
    found = list(project.get("dependencies", ()))
    for extra in project.get("optional-dependencies", {}).values():
        found += extra
    for group in table.get("dependency-groups", {}).values():
        found += [line for line in group if isinstance(line, str)]
    return [str(line) for line in found]
