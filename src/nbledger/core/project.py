"""Where am I: the project's root, its Git and DVC repositories, its tracking store and its settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nbledger.core import dvcexp, elsewhere, git, trust
from nbledger.core.errors import LedgerError, Refused, Untrusted, UsageError, nearest

STATE = ".nbledger"
SCRATCH = "NBLEDGER_SCRATCH"
"""Variable that names the folder in which a re-execution keeps its ledger, apart from the project's own."""

SKIPPED = "is skipped while a run is executed again"
"""What a cell prints then in place of work that is not repeated."""


@dataclass(frozen=True)
class Settings:
    """``[tool.nbledger]`` of ``pyproject.toml``, or ``.nbledger.toml`` (which wins key by key).

    ``snapshot_max_mb``: untracked files above this size are named, not captured, by a run's snapshot.
    ``hash_max_mb``: files read by a cell are hashed at its end up to this total; beyond, in the background.
    ``large_file_mb``: a file above this size is not committed to Git without being asked about.
    ``snapshot_secrets``: untracked files that a snapshot holds although their names are those of keys and passwords.
    ``pre_push_hook``: ``join`` sets up the hook that refuses a push of commits whose data nobody else could get.
    ``gates``: tables by name of what a promotion demands, ``models``: tables by registered model (``core.gates`` reads
    both); ``drift``: thresholds.
    """

    tracking_uri: str | None = None
    experiment: str | None = None
    snapshot_max_mb: float = 10.0
    hash_max_mb: float = 64.0
    large_file_mb: float = 10.0
    keeper: bool = True
    keeper_idle_minutes: float = 15.0
    ignore_inputs: tuple[str, ...] = ()
    snapshot_secrets: tuple[str, ...] = ()
    pre_push_hook: bool = False
    gates: Mapping[str, Any] = field(default_factory=dict, hash=False)
    models: Mapping[str, Any] = field(default_factory=dict, hash=False)
    drift: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Project:
    """``root`` is what paths are relative to; ``home`` the main work tree, where the store is shared by linked ones.
    ``named_uri`` is the store that the project's own files name.
    """

    root: Path
    home: Path
    git: git.GitRepo | None
    dvc_root: Path | None
    settings: Settings = field(default_factory=Settings)
    scratch: Path | None = None
    named_uri: str | None = None

    @property
    def state(self) -> Path:
        """The ledger's own folder, which ignores itself in Git; ``scratch`` while a run is executed again."""
        return self.scratch or self.home / STATE

    @property
    def tracking_uri(self) -> str:
        """Explicit setting, else ``MLFLOW_TRACKING_URI``, else the embedded SQLite store. A server (or a file) that the
        project's own files name is asked only where the project is trusted: the person's token would go there.
        """
        named = None if self.stranger_uri else self.settings.tracking_uri
        uri = None if self.scratch else named or os.environ.get("MLFLOW_TRACKING_URI")
        return uri or self.embedded_uri

    @property
    def stranger_uri(self) -> str | None:
        """The store that the project's own files name and that is not asked, because the project is not trusted."""
        uri = self.settings.tracking_uri
        if self.scratch or not uri or uri != self.named_uri or uri == os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        return None if trust.trusted(self) else uri

    def require_registry(self) -> None:
        """``Untrusted`` where the embedded store would answer for the one that the project's own files name: what others
        registered and decided is not in it. So too in the keeper, which is told of the store that is asked instead.
        """
        uri = self.named_uri
        if self.scratch or not uri or uri == self.embedded_uri or not self.embedded or trust.trusted(self):
            return
        raise Untrusted(
            f"the project's settings name {git.scrub_url(uri)}, which is not asked until you trust this project",
            "nbledger trust",
        )

    @property
    def embedded(self) -> bool:
        return self.tracking_uri == self.embedded_uri

    @property
    def unmarked(self) -> bool:
        """Whether nothing says that this is a project: no repository, no settings, no ledger, and no server is named."""
        marked = self.scratch or self.git or self.dvc_root or not self.embedded
        return not (marked or self.state.exists() or _settled(self.root))

    @property
    def embedded_uri(self) -> str:
        """The SQLite store in the ledger's own folder."""
        return store_uri(self.state / "mlflow.db")

    @property
    def experiment(self) -> str:
        return (
            self.settings.experiment
            or os.environ.get("MLFLOW_EXPERIMENT_NAME")
            or self.home.name.strip(". ")
            or "Default"
        )

    @property
    def key(self) -> str:
        """A short digest of the ledger's folder: names the keeper's socket. A folder made anew is another one."""
        try:
            made = self.state.stat().st_ino
        except OSError:
            made = 0
        return hashlib.sha256(os.fsencode(self.home) + b"/%d" % made).hexdigest()[:16]

    def relative(self, path: Path) -> str | None:
        """``path`` relative to the root with ``/``; None outside."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return None

    def ensure_state(self) -> Path:
        """Make the ledger's folder, private to the user and ignored by Git from the first moment."""
        if not self.home.is_dir():  # whoever goes on with a project that was deleted must not bring its folder back
            raise LedgerError(f"{self.home} is not there any more", "open another folder")
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = self.state / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as err:
            raise LedgerError(
                f"cannot write to {self.state}: {err.strerror}", "make the folder writable, or free some disk space"
            ) from err
        return self.state

    def ensure_scratch(self) -> Path:
        """The folder in it for what is put together and taken away again."""
        place = self.ensure_state() / "tmp"
        place.mkdir(exist_ok=True)
        return place


def store_uri(database: Path) -> str:
    """The URI of a SQLite store as MLflow (SQLAlchemy) reads it: there ``%`` begins an escape, ``?`` ends the name."""
    return "sqlite:///" + str(database).replace("%", "%25").replace("?", "%3F")


def find(start: Path | None = None) -> Project:
    """The project that holds ``start`` (default: the working directory).

    Its root is the Git work tree; without Git the nearest folder with a settings file or ``.dvc``; else ``start``.
    ``Refused`` where links in the ledger's folder lead out of a project that is not trusted.
    """
    project = find_anyhow(start)
    if project.scratch is None and (link := _link_within(project.state)) and not trust.trusted(project):
        raise Refused(
            f"{link} is a link, and nbledger would write to where it leads",
            "remove it, or `nbledger trust` if you made it",
        )
    return project


def _link_within(state: Path) -> str | None:
    """A link among what the ledger writes to."""
    if state.is_symlink():
        return str(state)
    try:
        with os.scandir(state) as entries:
            for entry in entries:
                if entry.is_symlink():
                    return entry.path
                if entry.name in _WRITTEN and entry.is_dir():
                    with os.scandir(entry.path) as inner:
                        if link := next((e.path for e in inner if e.is_symlink()), None):
                            return link
    except OSError:
        pass
    return None


_WRITTEN = ("batches", "commits", "journals", "table", "tmp")


def find_anyhow(start: Path | None = None) -> Project:
    """As ``find``, whatever the ledger's folder holds."""
    here = Path(os.path.abspath(start or Path.cwd()))
    if not here.is_dir():
        here = here.parent
    here = Path(os.path.realpath(here))
    repo = git.discover(here)
    root = repo.root if repo else _marked_folder(here)
    dvc_root = next((f for f in _upward(here, root) if (f / ".dvc" / "config").is_file()), None)
    settings, scratch = _settings(here, root), os.environ.get(SCRATCH)
    if scratch:
        settings = replace(settings, keeper=False)
    uri = settings.tracking_uri
    if (told := elsewhere.told()) is not None and not scratch:
        settings = replace(settings, keeper=False, tracking_uri=told.uri, experiment=told.experiment)
    return Project(root, _home(root, repo), repo, dvc_root, settings, Path(scratch) if scratch else None, uri)


def _upward(here: Path, root: Path) -> list[Path]:
    return [f for f in (here, *here.parents) if f == root or root in f.parents]


def _marked_folder(here: Path) -> Path:
    marks = (".nbledger.toml", STATE, ".dvc/config")
    stop = Path.home()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in marks) or _pyproject_table(folder) is not None:
            return folder
        if folder == stop:
            break
    return here


def _settled(folder: Path) -> bool:
    return (folder / ".nbledger.toml").exists() or _pyproject_table(folder) is not None


def _home(root: Path, repo: git.GitRepo | None) -> Path:
    around = dvcexp.outer(root)
    if around is not None:
        main = git.discover(around)
        return _home(main.root if main else around, main)
    linked = repo is not None and repo.git_dir != repo.common_dir
    if linked and repo is not None and repo.common_dir.name == ".git":
        return repo.common_dir.parent
    return root


def _pyproject_table(folder: Path) -> dict[str, Any] | None:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    table = _toml(path).get("tool", {}).get("nbledger")
    return table if isinstance(table, dict) else None


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UsageError(f"{path} is not valid TOML: {err}", "mend that line") from err
    except OSError as err:
        raise LedgerError(f"cannot read {path}: {err.strerror}") from err


def _settings(here: Path, root: Path) -> Settings:
    values: dict[str, Any] = {}
    around = dvcexp.outer(root)
    for folder in (*((around,) if around else ()), *reversed(_upward(here, root))):
        _over(values, _validated(_pyproject_table(folder) or {}, folder / "pyproject.toml"))
        own = folder / ".nbledger.toml"
        if own.is_file():
            _over(values, _validated(_toml(own), own))
    return Settings(**values)


def _over(values: dict[str, Any], nearer: dict[str, Any]) -> None:
    """What a nearer file says wins key by key, in a table entry by entry."""
    for name, value in nearer.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value


_NAMED = ("gates", "models")
_KINDS = {"bool": "true or false", "float": "a number ≥ 0", "tuple": "a list of strings", "Mapping": "a table"}


def _validated(table: dict[str, Any], source: Path) -> dict[str, Any]:
    kinds = {f.name: str(f.type) for f in fields(Settings)}
    out: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in kinds:
            raise UsageError(
                f"{source}: unknown setting {key!r}", nearest(name, kinds) or f"known: {', '.join(sorted(kinds))}"
            )
        kind = kinds[name]
        if kind == "bool":
            good = isinstance(value, bool)
        elif kind == "float":
            good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        elif kind.startswith("tuple"):
            good = isinstance(value, list) and all(isinstance(v, str) for v in value)
        elif kind.startswith("Mapping"):
            good = isinstance(value, dict) and (name not in _NAMED or all(isinstance(v, dict) for v in value.values()))
        else:
            good = isinstance(value, str) and bool(value.strip())
        if not good:
            wanted = _KINDS.get(kind.partition("[")[0], "a non-empty string")
            wanted = f"tables by name: [{name}.NAME]" if name in _NAMED else wanted
            raise UsageError(f"{source}: {key} = {value!r} is not {wanted}", "mend that line")
        out[name] = tuple(value) if isinstance(value, list) else value
    return out
