"""Why a run that starts now could not be brought back, in words."""

from __future__ import annotations

from collections.abc import Sequence

from nbledger.core.records import CodeState, DataState, Reason


def because(code: CodeState, data: DataState, large_file_mb: float) -> tuple[Reason, ...]:
    """The reasons, what weighs most first: data that nothing holds before code, which a run's snapshot keeps anyway.

    Empty if a run now could be brought back from what is committed.
    """
    large = tuple(one.path for one in code.large)
    changed, new = tuple(code.changed), tuple(p for p in code.untracked if p not in large)
    found = [
        _without_git(code),
        _about(
            data.untracked_inputs,
            "data-untracked",
            "was read and nothing versions it",
            "files were read and nothing versions them",
        ),
        _about(data.missing, "data-missing", "is missing", "data sets are missing"),
        _about(data.older, "data-older", "is older than its pointer", "data sets are older than their pointers"),
        _about(data.changed, "data-changed", "is not as it was tracked", "data sets are not as they were tracked"),
        _about(
            large,
            "large",
            f"is above {large_file_mb:g} MB and not tracked",
            f"files are above {large_file_mb:g} MB and not tracked",
        ),
        _changed(changed, new),
    ]
    reasons = tuple(reason for reason in found if reason is not None)
    if reasons and code.operation:
        reasons += (Reason("operation", f"a {code.operation} is under way"),)
    return reasons


def cut_short(paths: Sequence[str]) -> tuple[Reason, ...]:
    """The reason that trackings which were killed leave."""
    found = _about(paths, "data-untracked", "was being tracked when that was cut short", "trackings were cut short")
    return (found,) if found else ()


def _without_git(code: CodeState) -> Reason | None:
    if not code.repository:
        return Reason("git", "there is no Git repository")
    return None if code.commit else Reason("git", "nothing is committed yet")


def _about(paths: Sequence[str], kind: str, one: str, many: str) -> Reason | None:
    if not paths:
        return None
    return Reason(kind, f"{paths[0]} {one}" if len(paths) == 1 else f"{len(paths):,} {many}", tuple(paths))


def _changed(changed: tuple[str, ...], new: tuple[str, ...]) -> Reason | None:
    """Changed and new code is one reason: one checkpoint ends it."""
    if not new:
        return _about(changed, "code", "is changed since the last commit", "files are changed since the last commit")
    if not changed:
        return _about(new, "code", "is not in Git", "files are not in Git")
    files = f"{len(changed):,} file{'s are' if len(changed) > 1 else ' is'} changed"
    return Reason("code", f"{files} and {len(new):,} not in Git", (*changed, *new))
