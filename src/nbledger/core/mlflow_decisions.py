"""The record of a registered model: every decision about one of its aliases, in order, as tags of the model itself.

``nbledger.decision.000001`` and so on, each one JSON object, written under the model's lock (``core.mlflow_lock``), so that
the numbers have no gaps and MLflow's plain client reads who decided what, when, and on which figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from nbledger.core import mlflow_registry
from nbledger.core.mlflow import _translated
from nbledger.core.mlflow_lock import Held
from nbledger.core.moments import now as this_moment
from nbledger.core.records import plain
from nbledger.core.values import storable

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "nbledger.decision."
KINDS = ("promote", "refused", "pending", "approved", "expired", "moved", "rollback", "deployed", "returned")
BACK = ("rollback", "returned")
"""The kinds by which an alias goes back to where it was."""

_TAG = re.compile(r"nbledger\.decision\.([0-9]{6})")
_LONGEST = 4_500
"""Characters of one decision: PostgreSQL and SQLite take more, MySQL's column 5,000."""
_SHORTENED = (("reasons", 20), ("figures", 40), ("reasons", 5), ("figures", 10), ("reasons", 1), ("figures", 0))


@dataclass(frozen=True)
class Entry:
    """One decision. ``n`` counts from 1; ``kind`` is one of ``KINDS``; ``at`` is UTC in ISO 8601; ``version`` the model version
    that it is about, ``previous`` the one that the alias pointed at before; ``figures`` those that the condition names;
    ``reasons`` why it was refused (or what was set aside); ``text`` what a person said; ``points``: whether the alias points
    at ``version`` by this decision (False where nothing moved). ``moved``: the alias was found where nobody expected it.
    """

    kind: str
    alias: str
    version: str | None = None
    previous: str | None = None
    run_id: str | None = None
    by: str = ""
    condition: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    text: str = ""
    points: bool = False
    n: int = 0
    at: str = ""


def read(api: MlflowClient, uri: str, model: str) -> tuple[Entry, ...] | None:
    """The decisions about a model in their order; None where there is no such model."""
    known = mlflow_registry.model(api, uri, model)
    return None if known is None else of_tags(known.tags)


def of_tags(tags: Mapping[str, str] | None) -> tuple[Entry, ...]:
    """The decisions among the tags of a registered model. What is no decision of ours is left out."""
    found = ((_TAG.fullmatch(str(key)), str(text)) for key, text in (tags or {}).items())
    entries = (_entry(int(match[1]), text) for match, text in found if match is not None)
    return tuple(sorted((one for one in entries if one is not None), key=lambda one: one.n))


def said(entries: Sequence[Entry], alias: str) -> str | None:
    """The version that an alias points at if all went the way that the decisions say."""
    return next((one.version for one in reversed(entries) if one.points and one.alias == alias), None)


def line(entries: Sequence[Entry], alias: str) -> list[str]:
    """The versions that an alias went through to where it is, the present one last: what was gone back from is not among
    them any more, so that going back again goes further.
    """
    found: list[str] = []
    for one in entries:
        if not one.points or one.alias != alias:
            continue
        if not found and one.previous:
            found.append(one.previous)
        if one.version is None:
            continue
        if one.kind in BACK and one.version in found:
            found = found[: len(found) - found[::-1].index(one.version)]
        elif not found or found[-1] != one.version:
            found.append(one.version)
    return found


def ever(entries: Sequence[Entry], alias: str) -> set[str]:
    """All versions that an alias has pointed at, those that were gone back from too."""
    there = [one for one in entries if one.points and one.alias == alias]
    return {version for one in there for version in (one.version, one.previous) if version}


def last(tags: Mapping[str, str]) -> int:
    """The number of the last decision among the tags of a registered model; 0 where there is none."""
    return max((int(m[1]) for m in (_TAG.fullmatch(str(key)) for key in tags) if m), default=0)


def append(held: Held, entry: Entry, after: int | None = None) -> Entry:
    """Write a decision after the last one (``after``, where that was read under the same lock); as it was written, with its
    number. The model must be registered, and its lock be held: ``Busy`` if it is not any more.
    """
    if after is None:
        known = mlflow_registry.model(held.api, held.uri, held.model)
        after = last(known.tags) if known is not None else 0
    written = replace(entry, n=after + 1, at=entry.at or this_moment())
    held.check()
    with _translated(held.uri):
        writer = mlflow_registry.writer(held.api)
        writer.set_registered_model_tag(held.model, f"{PREFIX}{written.n:06d}", _text(written))
    return written


def _text(entry: Entry) -> str:
    """As JSON, in order of the words of the record; long lists are cut, and say so."""
    told = {"n": entry.n, "at": entry.at} | plain(entry)
    told["text"], told["condition"], told["by"] = entry.text[:1_000], entry.condition[:2_000], entry.by[:200]
    told["reasons"] = [reason[:300] for reason in entry.reasons]
    text = storable(json.dumps(told, ensure_ascii=False))
    for key, most in _SHORTENED:
        if len(text) <= _LONGEST:
            break
        held = told[key]
        if len(held) > most:
            told[key] = held[:most] if isinstance(held, list) else dict(list(held.items())[:most])
            told["cut"] = True
        text = storable(json.dumps(told, ensure_ascii=False))
    return text


def _entry(number: int, text: str) -> Entry | None:
    try:
        told = json.loads(text)
        given: dict[str, Any] = {f.name: told[f.name] for f in fields(Entry) if told.get(f.name) is not None}
        given["figures"] = {str(k): float(v) for k, v in dict(given.get("figures", {})).items()}
        given["points"] = given.get("points") is True
        given["reasons"] = tuple(storable(str(reason)) for reason in given.get("reasons", ()))
        for key in ("kind", "alias"):
            given[key] = storable(str(told[key]))
        for key in ("version", "previous", "run_id", "by", "condition", "text", "at"):
            if key in given:
                given[key] = storable(str(given[key]))
        return Entry(**given | {"n": number})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
