"""A case as it stands in its file: the base, what is changed before which run, and the cause to be named first."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASES, BASES = HERE / "cases", HERE / "bases"
KINDS = ("data", "code", "parameter", "environment", "seed", "order", "hardware", "nondeterminism")
Change = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """One true cause. ``kind``: any of these is right; ``names``: words that its sentence must hold, in any case."""

    kind: tuple[str, ...]
    names: tuple[str, ...] = ()

    def met_by(self, kind: str, what: str) -> bool:
        return kind in self.kind and all(name.lower() in what.lower() for name in self.names)


@dataclass(frozen=True)
class Side:
    """How one of the two runs is made.

    ``run``: ids of the cells to execute, in order (default: all). ``track``: what is given to DVC first (default: the
    base's). ``environment``: a file of requirements in ``environments/`` that stands over the bench's own packages.
    ``cpus``: how many processors the kernel may use (0: all). ``commit``: whether all is committed before the run.
    """

    change: tuple[Change, ...] = ()
    run: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    track: tuple[str, ...] | None = None
    commit: bool = False
    cpus: int = 0


@dataclass(frozen=True)
class Case:
    """``alone``: run A is made for this case only, in its own folder, not shared with the other cases of the base.
    ``one_kernel``: run B comes after run A in the same kernel; its ``run`` names what is executed after run A.
    """

    name: str
    title: str
    base: str
    expect: tuple[Expected, ...] = ()
    a: Side = Side()
    b: Side = Side()
    alone: bool = False
    one_kernel: bool = False
    held_out: bool = False

    @property
    def control(self) -> bool:
        """Nothing that matters was changed: the metrics must be equal, and nothing may be blamed."""
        return not self.expect


@dataclass(frozen=True)
class Base:
    """A small project with one notebook. ``metric`` is what must move; ``track`` what its author gave to DVC;
    ``serve`` a folder that a web server on this machine hands out while a run lasts; ``make`` a program that makes its
    files."""

    name: str
    metric: str
    track: tuple[str, ...] = ()
    serve: str = ""
    make: str = ""

    @property
    def folder(self) -> Path:
        return BASES / self.name


def every() -> list[Case]:
    """All cases, by base and name, so that those which share run A follow each other."""
    found = [load(path) for path in sorted(CASES.glob("*.toml"))]
    return sorted(found, key=lambda case: (case.base, case.a != Side(), case.name))


def load(path: Path) -> Case:
    """A case file; a word that means nothing is an error."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    sides = {side: _side(path, raw.pop(side, {})) for side in ("a", "b")}
    expect = tuple(_expected(path, one) for one in raw.pop("expect", []))
    return _made(Case, path, {**raw, **sides, "expect": expect, "name": path.stem})


def base(name: str) -> Base:
    path = BASES / name / "base.toml"
    return _made(Base, path, {**tomllib.loads(path.read_text(encoding="utf-8")), "name": name})


def _expected(path: Path, raw: Mapping[str, Any]) -> Expected:
    kind = raw.get("kind", "")
    kinds = (kind,) if isinstance(kind, str) else tuple(kind)
    wrong = set(kinds) - set(KINDS)
    if wrong or not kinds:
        raise ValueError(f"{path}: no kind of cause: {', '.join(wrong)}; there are {', '.join(KINDS)}")
    return _made(Expected, path, {**raw, "kind": kinds})


def _side(path: Path, raw: dict[str, Any]) -> Side:
    return _made(Side, path, {**raw, "env": {k: str(v) for k, v in raw.get("env", {}).items()}})


def _made(kind: Any, path: Path, raw: Mapping[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := set(raw) - known:
        raise ValueError(f"{path}: unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return kind(**{k: tuple(v) if isinstance(v, Sequence) and not isinstance(v, str) else v for k, v in raw.items()})
