"""What became of the pipeline between two commits: the stages that ``dvc.yaml`` declares, and what ``dvc.lock`` says ran."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbledger.core import dvcfiles, gitlog
from nbledger.core.errors import LedgerError
from nbledger.core.git import GitRepo
from nbledger.core.report import StageChange

_MOST = 500
_WORDS = 12
_FILES = ("dvc.yaml", "dvc.lock")
Stages = Mapping[str, Mapping[str, Any]]


def changes(repo: GitRepo, base: str, head: str) -> tuple[list[StageChange], list[str]]:
    """(stages that were added, removed, declared otherwise or run anew, what could not be read)."""
    changed = [p for p in gitlog.changed_paths(repo, base, head) if posixpath.basename(p) in _FILES]
    folders = sorted({posixpath.dirname(path) for path in changed})
    found: list[StageChange] = []
    notes: list[str] = []
    for folder in folders:
        declared, locked = ([_at(repo, c, posixpath.join(folder, n), notes) for c in (base, head)] for n in _FILES)
        found += _stages(posixpath.join(folder, "dvc.yaml"), declared, locked)
    return found[:_MOST], notes


def _at(repo: GitRepo, commit: str, path: str, notes: list[str]) -> Stages:
    """``stages`` of a file as a commit has it; values are strings, as they are written."""
    (data,) = gitlog.blobs(repo, [(commit, path)])
    if data is None:
        return {}
    try:
        stages = dvcfiles.load_yaml(data.decode("utf-8"))["stages"]
        return {str(name): stage for name, stage in stages.items() if isinstance(stage, dict)}
    except (dvcfiles.Damaged, LedgerError, ValueError, KeyError, TypeError, AttributeError) as err:
        what = str(err) if isinstance(err, dvcfiles.Damaged | LedgerError) else "no stages"
        notes.append(f"{path} of {commit[:8]} cannot be read: {what}")
        return {}


def _stages(file: str, declared: Sequence[Stages], locked: Sequence[Stages]) -> Iterator[StageChange]:
    names = dict.fromkeys((*declared[1], *declared[0]))
    own = {name.partition("@")[0] for name in (*declared[0], *declared[1])}
    lock_only = [n for n in dict.fromkeys((*locked[1], *locked[0])) if n not in names and n.partition("@")[0] in own]
    for name in (*names, *lock_only):
        was, now = declared[0].get(name), declared[1].get(name)
        ran = _ran(locked[0].get(name), locked[1].get(name))
        if name in names and (was is None or now is None):
            cmd = _text((now or was or {}).get("cmd"))
            yield StageChange(name, file, "added" if was is None else "removed", (f"cmd: {cmd}",) if cmd else ())
        elif was != now:
            yield StageChange(name, file, "changed", _short([*_declared(was or {}, now or {}), *ran]))
        elif ran:
            yield StageChange(name, file, "run", _short(ran))


def _declared(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for key in dict.fromkeys((*was, *now)):
        old, new = was.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old or [], list) and isinstance(new or [], list):
            left, right = ([_entry(one) for one in side or []] for side in (old, new))
            told = [f"+{one}" for one in right if one not in left] + [f"-{one}" for one in left if one not in right]
            found.append(f"{key}: {', '.join(told) or 'options or order'}")
        else:
            found.append(f"{key}: {_text(old) or '—'} → {_text(new) or '—'}")
    return found


def _entry(entry: object) -> str:
    return str(next(iter(entry))) if isinstance(entry, dict) and entry else str(entry)


def _text(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value) if value is not None else ""


def _ran(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """What differs in a stage's entry of ``dvc.lock``, by path or key."""
    if was is None or now is None:
        return [] if was is now else ["run for the first time" if was is None else "not run any more"]
    found = [f"cmd: {_text(was.get('cmd'))} → {_text(now.get('cmd'))}"] if was.get("cmd") != now.get("cmd") else []
    for key, word in (("deps", "read"), ("outs", "made")):
        old, new = (_hashes(side.get(key)) for side in (was, now))
        found += [
            f"{word} {path}: {_became(old, new, path)}" for path in {**old, **new} if old.get(path) != new.get(path)
        ]
    before, after = (_params(side.get("params")) for side in (was, now))
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            found.append(f"{name}: {before.get(name, '—')} → {after.get(name, '—')}")
    return found


def _became(old: Mapping[str, str], new: Mapping[str, str], path: str) -> str:
    return "new" if path not in old else "gone" if path not in new else "changed"


def _hashes(rows: object) -> dict[str, str]:
    listed = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row.get("path")): str(row.get("md5") or row.get("etag") or "") for row in listed}


def _params(files: object) -> dict[str, str]:
    tables = files.items() if isinstance(files, dict) else ()
    return {
        (str(key) if file == "params.yaml" else f"{file}:{key}"): str(value)
        for file, table in tables
        if isinstance(table, dict)
        for key, value in table.items()
    }


def _short(words: Sequence[str]) -> tuple[str, ...]:
    more = len(words) - _WORDS
    return (*words[:_WORDS], f"and {more} more") if more > 0 else tuple(words)
