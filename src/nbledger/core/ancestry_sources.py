"""What lineage asks of the store and of runs' records: who read and wrote which bytes, each answer kept while one graph is made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core import cache as dvccache
from nbledger.core import dvcremote, lineage, manifest, mlflow, mlflow_records, mlflow_uses, record, runfacts, trust
from nbledger.core.ancestry_graph import Graph
from nbledger.core.errors import LedgerError, Unreachable
from nbledger.core.lineage import FileRecord, Lineage
from nbledger.core.mlflow_uses import Use, Uses
from nbledger.core.mlflow_uses_server import each
from nbledger.core.modeluse import ModelUse
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.whereabouts import Here

_OLDER, _OLDER_FETCHED = 2_000, 200
"""Records of runs of older versions that are looked into for what they wrote, those of a server; what was found is remembered."""
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The MD5 of nothing: a file of that content ties nobody to anybody."""
_READ, _WROTE = "inputs.json", "outputs.json"


@dataclass(frozen=True)
class Held:
    """A run's record of files. ``known``: whether there is one; without it the dataset inputs of the store stand for it."""

    inputs: tuple[FileRecord, ...]
    unseen: tuple[str, ...] = ()
    known: bool = True


class Sources:
    """One look at the store and the cache. What could not be asked is said in the graph."""

    def __init__(self, project: Project, uses: Uses, graph: Graph) -> None:
        self.project, self.uses, self.graph = project, uses, graph
        self._found: dict[str, RunRow | None] = {}
        self._held: dict[str, Held] = {}
        self._outputs: dict[str, dict[str, str]] = {}
        self._fetched = 0
        self._older: dict[str, frozenset[str]] | None = None
        self._loaders: dict[str, tuple[ModelUse, ...]] | None = None
        self._lists: dict[str, dict[str, str] | None] = {}
        self._folders: dict[str, list[Use]] = {}
        self._here: Here | None = None
        self._client: Any = None

    @property
    def here(self) -> Here | None:
        """What this clone's cache holds; None without DVC."""
        if self._here is None and self.project.dvc_root is not None:
            with contextlib.suppress(LedgerError, OSError):
                self._here = Here(self.project)
        return self._here

    @property
    def api(self) -> Any:
        """A client of the store."""
        if self._client is None:
            self._client = mlflow.client(self.project)
        return self._client

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, runs: Collection[str]) -> dict[str, RunRow]:
        """{id: row} of those of these runs that the store has."""
        fresh = {run for run in runs if run not in self._found}
        if fresh:
            known = self.uses.rows(fresh)
            self._found |= {run: known.get(run) for run in fresh}
        return {run: row for run in runs if (row := self._found[run]) is not None}

    def held(self, row: RunRow) -> Held:
        """What the run's record says of files."""
        self.look_into([row])
        return self._held[row.run_id]

    def look_into(self, rows: Sequence[RunRow]) -> None:
        """Read the records of these runs, so that each is at hand: those of a server a few at a time."""
        fresh = [row for row in rows if row.run_id not in self._held]
        for row, found in zip(fresh, self._records(fresh, _READ), strict=True):
            if found is not None:
                self._held[row.run_id] = Held(found.inputs, found.unseen)
            else:
                loose = tuple(FileRecord(one.path, 0, one.md5, lineage.UNKNOWN) for one in row.inputs)
                self._held[row.run_id] = Held(loose, known=False)

    def _records(self, rows: Sequence[RunRow], name: str) -> list[Lineage | None]:
        """One file of the records of each of these runs; None of those that have none."""
        places = self.uses.places([row.run_id for row in rows])
        api = self.api if rows else None
        return each(lambda row: self._record(api, row, places.get(row.run_id, ""), name), rows)

    def _record(self, api: Any, row: RunRow, place: str, name: str) -> Lineage | None:
        if row.foreign or not place:
            return None
        fetched = self.project.state / "records" / row.run_id / record.FOLDER / name
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OSError):
            try:
                if fetched.is_file():
                    text: bytes | None = fetched.read_bytes()
                else:
                    path, there = f"{record.FOLDER}/{name}", manifest.TAG in row.tags
                    text = mlflow_records.content(self.project, api, place, path, there=there)
                return lineage.from_dict(json.loads(text)) if text is not None else None
            except Unreachable:
                raise
            except LedgerError as err:
                self.graph.lack(f"the record of the run {row.name!r} ({row.run_id[:8]}): {err.message}")
        return None

    def loaders(self) -> dict[str, tuple[ModelUse, ...]]:
        """{id: the models that it loaded} of the runs that loaded any."""
        if self._loaders is None:
            self._loaders = self.uses.loaders()
        return self._loaders

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
            most = _OLDER if self.project.embedded else _OLDER_FETCHED
            silent = self.uses.silent(most + 1)
            self._older = {}
            if silent is None:
                self.graph.note(
                    "what runs of older versions of nbledger wrote was not searched: this server cannot list them"
                )
            elif silent:
                if len(silent) > most:
                    self.graph.note(
                        f"of the runs of older versions of nbledger, what the newest {most:,} wrote was searched"
                    )
                uri = self.project.tracking_uri
                told = runfacts.written_by(self.project, self.api, uri, set(silent[:most]))
                self._older = {run: md5s for run, md5s in told.items() if md5s}
        return self._older

    def wrote(self, rows: Iterable[RunRow]) -> dict[str, dict[str, str]]:
        """{run: {path: md5}} of what these runs wrote: their tag, or where that is missing or cut, their record."""
        listed = list(rows)
        told = self.uses.wrote([row.run_id for row in listed])
        whole = {run: said.files for run, said in told.items() if said is not None and said.whole}
        self._look_into_outputs([row for row in listed if row.run_id not in whole])
        return {row.run_id: whole.get(row.run_id, self._outputs.get(row.run_id, {})) for row in listed}

    def _look_into_outputs(self, rows: Sequence[RunRow]) -> None:
        """Of a server's runs the newest: each is a download."""
        missing = (row for row in rows if row.run_id not in self._outputs and not row.foreign)
        fresh = sorted(missing, key=lambda row: row.start or "")
        room = (_OLDER if self.project.embedded else _OLDER_FETCHED) - self._fetched
        asked, left = fresh[max(len(fresh) - room, 0) :], fresh[: max(len(fresh) - room, 0)]
        self._fetched += len(asked)
        for row, found in zip(asked, self._records(asked, _WROTE), strict=True):
            self._outputs[row.run_id] = {one.path: one.md5 for one in found.outputs if one.md5} if found else {}
        for row in left:
            self._outputs[row.run_id] = {}
        if left:
            self.graph.note(f"what {len(left):,} older runs wrote was not looked into: no tag of theirs says it")

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
