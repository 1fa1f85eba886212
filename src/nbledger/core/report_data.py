"""What became of a project's data between two commits: what DVC tracks, and the tables that Git itself holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nbledger.core import contents, datadiff, git, insides, lineage, report_runs, standins, tablediff
from nbledger.core.differences import DataChange
from nbledger.core.lineage import FileRecord
from nbledger.core.needs import Need
from nbledger.core.project import Project
from nbledger.core.report import Commit
from nbledger.core.sides import Side

_SHAPES = 8
"""Tables of one side that are looked into; the rest is only named."""
_MOST_EACH, _MOST_ALL = 200_000_000, 1_000_000_000
"""Bytes of a file, and of all files, that are brought here to be compared."""


def sides(project: Project, base: Commit, head: Commit) -> tuple[Side, Side]:
    """Both commits with their data. What stages make is none: it follows from the rest, and the pipeline tells of it."""
    assert project.git is not None
    commits = [base.commit, head.commit]
    made = {path for commit in commits for path in report_runs.made(project.git, commit)}
    left, right = (standins.of_commit(project, side.name, side.commit, None, commits) for side in (base, head))
    known = {record.path for side in (left, right) for record in side.record.inputs if record.state == lineage.DVC}
    return _with_data(project.git, left, known, made), _with_data(project.git, right, known, made)


def _with_data(repo: git.GitRepo, side: Side, pointed: set[str], made: set[str]) -> Side:
    tree = git.whole_tree(repo, side.commit or "")
    kept = []
    for record in side.record.inputs:
        if record.state == lineage.DVC:
            if record.path not in tree and not (record.pointer or "").endswith("dvc.lock"):
                kept.append(record)
        elif record.path not in pointed and record.path not in made and tablediff.suffix_of(record.path):
            kept.append(record)
    return replace(side, record=replace(side.record, inputs=tuple(kept), cells=(), needed=()), needed=())


def changes(project: Project, left: Side, right: Side) -> list[DataChange]:
    """What differs, tables by rows and columns where both contents are at hand."""
    one, two = datadiff.inputs(left.record), datadiff.inputs(right.record)
    found = datadiff.together(datadiff.changes(left, right), one, two)
    return _shaped(project, left, right, insides.look(project, left, right, found))


def _shaped(project: Project, left: Side, right: Side, changes: Sequence[DataChange]) -> list[DataChange]:
    """Tables that only one side has, with their rows and columns where the contents are at hand."""
    found = []
    looked = 0
    for change in changes:
        side, md5 = (right, change.values[-1]) if change.state == "added" else (left, change.values[0])
        suffix = tablediff.suffix_of(change.path)
        words = ""
        if change.state in ("added", "removed") and suffix and md5 and looked < _SHAPES:
            looked += 1
            held = contents.find(project, change.path, md5, side.commit)
            words = tablediff.shape(held, suffix) if held is not None else ""
        found.append(replace(change, note="; ".join(filter(None, (change.note, words)))) if words else change)
    return found


def lacking(left: Side, right: Side, found: Sequence[DataChange]) -> list[Need]:
    """The versions that would have to be here for the rest to be compared, as far as they are tables of a bearable size."""
    one, two = datadiff.inputs(left.record), datadiff.inputs(right.record)
    wanted: list[Need] = []
    room = _MOST_ALL
    for change in found:
        pair = one.get(change.path), two.get(change.other or change.path)
        if change.whole or None in pair or not tablediff.suffix_of(change.path):
            continue
        needs = [_need(record) for record in pair if record is not None and record.state == lineage.DVC and record.md5]
        size = sum(need.size for need in needs)
        if size <= room and all(0 < need.size <= _MOST_EACH for need in needs):
            room -= size
            wanted += needs
    return wanted


def _need(record: FileRecord) -> Need:
    return Need(record.path, record.pointer or "", record.md5 or "", "the report", record.size or 0)
