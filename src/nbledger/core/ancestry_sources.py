"""What lineage asks of the store and of runs' records: who read and wrote which bytes, each answer kept while one graph is made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import cache as dvccache
from nbledger.core import dvcremote, lineage, mlflow, mlflow_uses, record, runfacts, trust
from nbledger.core.ancestry_graph import Graph
from nbledger.core.errors import LedgerError, Unreachable
from nbledger.core.lineage import FileRecord, Lineage
from nbledger.core.mlflow_uses import Use, Uses
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.whereabouts import Here

_OLDER, _OLDER_FETCHED = 2_000, 200
"""Records of runs of older versions that are looked into for what they wrote, those of a server; what was found is remembered."""
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The MD5 of nothing: a file of that content ties nobody to anybody."""


@dataclass(frozen=True)
class Held:
    """A run's record of files. ``known``: whether there is one; without it the dataset inputs of the store stand for it."""

    inputs: tuple[FileRecord, ...]
    outputs: tuple[FileRecord, ...]
    unseen: tuple[str, ...] = ()
    known: bool = True


class Sources:
    """One look at the store and the cache. What could not be asked is said in the graph."""

    def __init__(self, project: Project, uses: Uses, graph: Graph) -> None:
        self.project, self.uses, self.graph = project, uses, graph
        self._held: dict[str, Held] = {}
        self._older: dict[str, frozenset[str]] | None = None
        self._lists: dict[str, dict[str, str] | None] = {}
        self._folders: dict[str, list[Use]] = {}
        self._here: Here | None = None

    @property
    def here(self) -> Here | None:
        """What this clone's cache holds; None without DVC."""
        if self._here is None and self.project.dvc_root is not None:
            with contextlib.suppress(LedgerError, OSError):
                self._here = Here(self.project)
        return self._here

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────

    def held(self, row: RunRow) -> Held:
        """What the run's record says of files."""
        if row.run_id not in self._held:
            self._held[row.run_id] = self._load(row)
        return self._held[row.run_id]

    def _load(self, row: RunRow) -> Held:
        found: Lineage | None = None
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OSError):
            try:
                folder = record.folder_of(self.project, row) if not row.foreign else None
                found = _read(folder) if folder is not None else None
            except Unreachable:
                raise
            except LedgerError as err:
                self.graph.lack(f"the record of the run {row.name!r} ({row.run_id[:8]}): {err.message}")
        if found is not None:
            return Held(found.inputs, found.outputs, found.unseen)
        loose = tuple(FileRecord(one.path, 0, one.md5, lineage.UNKNOWN) for one in row.inputs)
        return Held(loose, (), known=False)

    def writers(self, md5s: Collection[str]) -> list[Use]:
        """The runs that wrote files with these hashes."""
        wanted = {md5 for md5 in md5s if md5 and md5 != _EMPTY}
        if not wanted:
            return []
        found = self.uses.writers(wanted)
        for run, known in self._of_older_versions().items():
            found += [Use(run, "", md5) for md5 in known & wanted]
        return found

    def _of_older_versions(self) -> dict[str, frozenset[str]]:
        if self._older is None:
            silent = self.uses.silent()
            self._older = {}
            most = _OLDER if self.project.embedded else _OLDER_FETCHED
            if silent is None:
                self.graph.note(
                    "what runs of older versions of nbledger wrote was not searched: this server cannot list them"
                )
            elif silent:
                if len(silent) > most:
                    self.graph.note(
                        f"of {len(silent):,} runs of older versions, what the newest {most:,} wrote was searched"
                    )
                api, uri = mlflow.client(self.project), self.project.tracking_uri
                told = runfacts.written_by(self.project, api, uri, set(silent[:most]))
                self._older = {run: md5s for run, md5s in told.items() if md5s}
        return self._older

    def wrote(self, rows: Iterable[RunRow]) -> dict[str, dict[str, str]]:
        """{run: {path: md5}} of what these runs wrote: their tag, or where that is missing or cut, their record."""
        listed = list(rows)
        told = self.uses.wrote([row.run_id for row in listed])
        found = {}
        for row in listed:
            said = told.get(row.run_id)
            if said is not None and said.whole:
                found[row.run_id] = said.files
            else:
                found[row.run_id] = {one.path: one.md5 for one in self.held(row).outputs if one.md5}
        return found

    def folders(self, paths: Iterable[str]) -> list[Use]:
        """The runs that read a tracked folder in which one of these paths lies."""
        above = {
            "/".join(parts[:count]) for parts in (path.split("/") for path in paths) for count in range(1, len(parts))
        }
        fresh = above - self._folders.keys()
        for name in fresh:
            self._folders[name] = []
        for use in self.uses.by_name(fresh) if fresh else ():
            if use.md5.endswith(".dir"):
                self._folders[use.path].append(use)
        return [use for name in above for use in self._folders[name]]

    # ── folders ──────────────────────────────────────────────────────────────────────────────────────────

    def lists(self, md5s: Collection[str]) -> dict[str, dict[str, str]]:
        """{hash of a tracked folder: {path in it: md5}} of those whose list is in the cache, or (of a trusted project) the remote."""
        asked = [md5 for md5 in md5s if md5 not in self._lists]
        for md5 in asked:
            self._lists[md5] = self._list(md5)
        absent = [md5 for md5 in asked if self._lists[md5] is None]
        if absent and self.project.dvc_root is not None and trust.trusted(self.project):
            with contextlib.suppress(LedgerError, OSError, ValueError):
                if dvcremote.default_remote(self.project) is not None:
                    for md5, text in dvcremote.read_lists(self.project, absent).items():
                        self._lists[md5] = dvccache.manifest_of(text)
        return {md5: known for md5 in md5s if (known := self._lists.get(md5)) is not None}

    def _list(self, md5: str) -> dict[str, str] | None:
        from nbledger.core import contents

        place = contents.cached(self.project, md5)
        if place is not None:
            return dvccache.read_manifest(place)
        if self.here is None:  # what is kept for runs, by a name that is told by hash
            return None
        from nbledger.core.needs import Need

        return {name: one for one, name in self.here.files(Need("", "", md5, "")).items()} or None


@contextlib.contextmanager
def opened(project: Project, graph: Graph) -> Iterator[Sources]:
    """One look at the project's store."""
    uses = mlflow_uses.opened(project)
    try:
        yield Sources(project, uses, graph)
    finally:
        uses.close()


def _read(folder: Path) -> Lineage | None:
    fields: dict[str, Any] = {}
    for name in ("inputs.json", "outputs.json"):
        if (folder / name).is_file():
            fields |= json.loads((folder / name).read_bytes())
    return lineage.from_dict(fields) if fields else None
