"""Gates with a name: what the settings demand of a promotion, and what several gates together demand.

``[gates.NAME]`` says what must hold, ``[models.MODEL]`` which gate an alias of a model demands. Who asks for a promotion can
add to what a gate demands, and take nothing away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core import gate_language
from nbledger.core.approval import EXPIRES_DAYS, MOST_APPROVALS
from nbledger.core.errors import UsageError, nearest
from nbledger.core.gate_language import CHAMPION, Condition
from nbledger.core.project import Settings

VERIFIED, CLEAN, DATA, PUSHED, ENVIRONMENT = "verified", "clean", "data", "pushed", "environment"
REQUIREMENTS = (VERIFIED, CLEAN, DATA, PUSHED, ENVIRONMENT)
"""What a gate can require beside metrics."""

_WORDS = ("if", "first", "require", "min_rows", "approvals", "expires_days")
_MODEL = ("gate", "aliases")
MOST_ROWS, MOST_DAYS = 1 << 53, 3650.0


@dataclass(frozen=True)
class Gate:
    """What a promotion has to meet. ``condition`` and ``first`` (in its place while the alias points at nothing) are in the
    language of ``core.gate_language``; ``require`` are of ``REQUIREMENTS``; ``min_rows`` of the data inputs together;
    ``approvals``: by how many other people, within ``expires_days``. ``name`` is empty for what a command line asks.
    """

    name: str = ""
    condition: str | None = None
    first: str | None = None
    require: tuple[str, ...] = ()
    min_rows: int = 0
    approvals: int = 0
    expires_days: float | None = None


@dataclass(frozen=True)
class Demand:
    """Several gates as one. ``condition`` is what must hold, of all of them; ``standing`` the same while the alias points at a
    version, whatever it points at now.
    """

    gates: tuple[str, ...]
    condition: Condition
    standing: Condition
    require: tuple[str, ...]
    min_rows: int
    approvals: int
    expires_days: float


def named(settings: Settings) -> dict[str, Gate]:
    """{name: gate} of the settings; ``UsageError`` says what is wrong in one."""
    return {str(name): _gate(str(name), table) for name, table in settings.gates.items()}


def demanded(settings: Settings, model: str, alias: str) -> Gate | None:
    """The gate that an alias of a model demands; None where it demands none. What is wrong in any gate is said: a name that is
    misspelt there would be taken for a model without a gate.
    """
    named(settings)
    table = settings.models.get(model)
    if table is None:
        return None
    where = f"[models.{model}]"
    for key in table:
        if key not in _MODEL:
            raise UsageError(f"{where}: unknown word {str(key)[:40]!r}", nearest(str(key), _MODEL) or "gate, aliases")
    aliases = table.get("aliases", {})
    if not isinstance(aliases, Mapping):
        raise UsageError(f"{where}: aliases is no table", 'e.g. aliases = {staging = "light"}')
    name = aliases.get(alias, table.get("gate") if alias == CHAMPION else None)
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageError(f"{where}: {name!r} is not a gate's name", 'e.g. gate = "release"')
    return of_name(settings, name, f"which {where} demands")


def of_name(settings: Settings, name: str, why: str = "") -> Gate:
    """The gate of that name; ``UsageError`` where the settings have none."""
    table = settings.gates.get(name)
    if table is None:
        known = [str(one) for one in settings.gates]
        there = (
            f"there are: {', '.join(known[:10])}" if known else f"a table [gates.{name}] in .nbledger.toml makes one"
        )
        hint = nearest(name, known) or there
        raise UsageError(f"there is no gate {name!r}{f', {why}' if why else ''}", hint)
    return _gate(name, table)


def together(gates: Sequence[Gate], *, empty: bool) -> Demand:
    """What several gates demand, all of it; ``empty``: the alias points at nothing, so that ``first`` counts where there
    is one. ``UsageError`` where no gate has a condition.
    """
    conditions = [gate_language.parse(g.condition) for g in gates if g.condition is not None]
    if not conditions:
        raise UsageError(
            "there is no condition",
            '--if "accuracy > 0.8"; beside a champion --if "accuracy >= champion.accuracy + 0.005" --first "accuracy > 0.8"',
        )
    firsts = [gate_language.parse(g.first) if g.first is not None else None for g in gates if g.condition is not None]
    if any(first is not None and first.names(CHAMPION) for first in firsts):
        raise UsageError("--first is for a model without a champion, so it cannot name it", "compare with a number")
    chosen = [first or c if empty else c for c, first in zip(conditions, firsts, strict=True)]
    return Demand(
        tuple(dict.fromkeys(g.name for g in gates if g.name)),
        gate_language.joined(chosen),
        gate_language.joined(conditions),
        tuple(word for word in REQUIREMENTS if any(word in g.require for g in gates)),
        max(g.min_rows for g in gates),
        max(g.approvals for g in gates),
        min((g.expires_days for g in gates if g.expires_days is not None), default=EXPIRES_DAYS),
    )


def _gate(name: str, table: Mapping[str, Any]) -> Gate:
    where = f"[gates.{name}]"
    for key in table:
        if str(key).replace("-", "_") not in _WORDS:
            raise UsageError(f"{where}: unknown word {str(key)[:40]!r}", nearest(str(key), _WORDS) or ", ".join(_WORDS))
    told = {str(key).replace("-", "_"): value for key, value in table.items()}
    for key in ("if", "first"):
        if key in told and not isinstance(told[key], str):
            raise UsageError(f"{where}: {key} is no text", f'{key} = "accuracy > 0.8"')
        if key in told:
            _understood(where, key, told[key])
    require = told.get("require", [])
    if not isinstance(require, list) or not all(isinstance(word, str) for word in require):
        raise UsageError(f"{where}: require is no list of words", f"of: {', '.join(REQUIREMENTS)}")
    if told.get("if") is None and told.get("first") is not None:
        raise UsageError(f"{where}: first without if", "first counts in place of if while the alias points at nothing")
    days = _number(where, told, "expires_days", MOST_DAYS)
    return Gate(
        name,
        told.get("if"),
        told.get("first"),
        requirements(require, where),
        int(_number(where, told, "min_rows", MOST_ROWS) or 0),
        int(_number(where, told, "approvals", MOST_APPROVALS) or 0),
        days,
    )


def requirements(words: Sequence[str], where: str = "") -> tuple[str, ...]:
    """The words of a requirement, each once; ``UsageError`` for one that is none."""
    for word in words:
        if word not in REQUIREMENTS:
            hint = nearest(word, REQUIREMENTS) or f"there are: {', '.join(REQUIREMENTS)}"
            raise UsageError(f"{f'{where}: ' if where else ''}{word[:40]!r} cannot be required", hint)
    return tuple(dict.fromkeys(words))


def _understood(where: str, key: str, text: str) -> None:
    try:
        gate_language.parse(text)
    except UsageError as err:
        raise UsageError(f"{where}: {key}: {err.message}", err.hint) from err


def _number(where: str, told: Mapping[str, Any], key: str, most: float) -> float | None:
    found = told.get(key)
    if found is None:
        return None
    whole = key != "expires_days"
    kind = int if whole else int | float
    if isinstance(found, bool) or not isinstance(found, kind) or not math.isfinite(found) or not 0 <= found <= most:
        raise UsageError(f"{where}: {key} = {str(found)[:40]} is not a {'whole ' if whole else ''}number from 0 on")
    if key == "expires_days" and found == 0:
        raise UsageError(f"{where}: {key} = 0 would give nobody time to approve")
    return found
