"""What ``drift`` answers: the verdict, what it stands on, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbledger.core.drift import Column, Finding
from nbledger.core.gate_language import Clause

DRIFT, NONE, UNKNOWN = "drift", "no drift", "not known"
"""Verdicts; not known: nothing has drifted as far as can be told, and whether a demanded condition holds cannot."""
TAG = "nbledger.drift."
"""Begin of the tags of the run and of the model version: verdict, at, run_id, data."""


@dataclass(frozen=True)
class Side:
    """One of the two tables: the path (of a file, or of the folder of several), the full hash where one is known; ``rows`` in
    all, ``compared`` of them. ``how``: what the reference is to the model: trained on, read by its run, or held against.
    """

    path: str
    md5: str = ""
    rows: int = 0
    compared: int = 0
    how: str = ""


@dataclass(frozen=True)
class Loop:
    """What ``--on-drift repro`` did: on ``branch``, from ``base``, ``commit`` being its last. ``path`` is where the new data
    went, ``how`` replace or append; ``status`` that of the pipeline; ``metrics``: {name: [before, after]}; ``next``: what a
    person may do now, a command each.
    """

    branch: str
    base: str
    commit: str
    path: str
    how: str
    status: str
    run_id: str | None = None
    stages: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drift:
    """``run_id`` is the run that holds the report, ``trained`` that of the model. ``share`` of the tested columns drifted;
    ``performance``: {figure: [on the reference, on the new data]}, ``clauses`` those of ``condition`` with their figures.
    ``predicted``: what the predictions are: the model's own, a column, or empty where there are none.
    """

    drifted: bool
    verdict: str
    model: str
    version: str
    trained: str
    reference: Side
    data: Side
    alias: str = ""
    reasons: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    findings: tuple[Finding, ...] = ()
    share: float = 0.0
    performance: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    condition: str = ""
    clauses: tuple[Clause, ...] = ()
    predicted: str = ""
    run_id: str | None = None
    at: str = ""
    by: str = ""
    artifacts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    loop: Loop | None = None
