"""What a killed runner left of a batch: how the attempts ended whose end it could not note."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime

from nbledger.core.batch import DONE, FAILED, FINISHED, KILLED, PRUNED, PRUNED_TAG
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.sweep import Search, search_of
from nbledger.keeper import batches, client, clusters, guard, measured
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher
from nbledger.keeper.batches import Book

_METRICS = 30
"""Metrics of a notebook that its batch keeps."""


def settle(project: Project, book: Book) -> None:
    """Find out how the attempts ended whose end the killed runner could not note, and note it."""
    found = batches.read(project, book.id)
    for number, attempts in (found.attempts if found else {}).items():
        for attempt in attempts:
            if attempt.status is not None:
                continue
            guard.end_left(attempt.owner)
            if found and found.options.on:
                status, seconds = clusters.outcome(project, found, number, attempt.journal)
            else:
                status, seconds = _outcome(project, attempt.journal)
            metrics = {}
            if status in DONE:
                with contextlib.suppress(LedgerError, OSError):
                    metrics = measured.found(project, attempt.journal)
            book.write(
                "ended",
                number=number,
                journal=attempt.journal,
                status=status or KILLED,
                error={FINISHED: "", PRUNED: "", FAILED: "a cell failed; its run says which"}.get(
                    status or "", "the runner was killed"
                ),
                seconds=seconds,
                cut=status not in (*DONE, FAILED),
                metrics=few(metrics, search_of(found.options.search) if found else None),
            )
    for journal, _ in found.parents if found else ():
        path = journals.folder(project) / journal
        if path.is_dir() and publisher.orphaned(path):
            publisher.close_orphan(path)


def _outcome(project: Project, journal: str) -> tuple[str | None, float]:
    """How a run ended whose runner is gone, and after how long: by its journal, or where that is published, by the store. None
    if it never began.
    """
    path = journals.folder(project) / journal
    if path.is_dir() and publisher.orphaned(path):
        publisher.close_orphan(path)
    events = journals.read(path).events
    end = next((e for e in events if e["t"] == "end"), None)
    if end is not None:
        pruned = end["status"] == KILLED and any(PRUNED_TAG in e["tags"] for e in events if e["t"] == "tags")
        return PRUNED if pruned else str(end["status"]), (
            int(end.get("ended") or end["at"]) - int(events[0]["at"])
        ) / 1000
    if path.is_dir():
        return None, 0.0
    rows = client.call(project, "runs", {"text": f"tags.`nbledger.journal` = '{journal}'", "limit": 1}, start=True)
    if not rows:
        return None, 0.0
    began, ended = (datetime.fromisoformat(at) if at else None for at in (rows[0].start, rows[0].end))
    status = PRUNED if rows[0].status == KILLED and PRUNED_TAG in rows[0].tags else rows[0].status
    return status, (ended - began).total_seconds() if began and ended else 0.0


def few(metrics: Mapping[str, float], search: Search | None) -> dict[str, float | str]:
    """Those of the metrics that the batch keeps: the one that it is about, and the first of the others."""
    first = [search.metric] if search is not None and search.metric in metrics else []
    return {key: plain(metrics[key]) for key in list(dict.fromkeys([*first, *metrics]))[:_METRICS]}


def plain(value: float) -> float | str:
    """A number as JSON can hold it."""
    return value if value - value == 0.0 else str(value)


def was_begun(project: Project, journal: str) -> bool:
    """Whether the run of a journal was begun, as far as this machine knows."""
    path = journals.folder(project) / journal
    return journals.first(path) is not None or publisher.run_id_of(project, journal) is not None
