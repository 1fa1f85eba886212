"""Which data objects commits stand on: what the ``.dvc`` and ``dvc.lock`` files in them name."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbledger.core import dvc, dvcfiles, git, gitlog, kept, versions
from nbledger.core.dvcfiles import Damaged, Row
from nbledger.core.project import Project


@dataclass
class Objects:
    """{hash: its row} of the objects that may be pushed to the default remote; ``lost`` names those of ``.dvc`` files
    whose bytes are not in the cache.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def md5s(self, *, legacy: bool) -> list[str]:
        return sorted(row.md5 for row in self.rows.values() if row.legacy is legacy)


def of_commits(project: Project, commits: Sequence[str]) -> Objects:
    """The objects that these commits name, as far as the cache has them."""
    found = Objects()
    if project.git is None or project.dvc_root is None or not commits:
        return found
    at_hand = versions.Cached(project)
    for name, text in _pointers(project, project.git, commits):
        for row in _rows(name, text):
            if row.md5 and row.md5 not in found.rows and not at_hand.has(row):  # a `dvc gc` may have taken its name
                at_hand = versions.Cached(project) if kept.bring_back(project, [row.md5])[0] else at_hand
            if row.md5 and row.md5 not in found.rows and at_hand.has(row):
                found.rows[row.md5] = row
            elif row.md5 and row.md5 not in found.rows and name.endswith(".dvc"):
                found.lost.append(f"{posixpath.join(posixpath.dirname(name), row.path)} ({row.md5[:10]})")
    found.lost = sorted(set(found.lost))
    return found


def _pointers(project: Project, repo: git.GitRepo, commits: Sequence[str]) -> list[tuple[str, str]]:
    """(path, text) of every pointer in these commits, each content once."""
    prefix = dvc.require_root(project).relative_to(project.root).as_posix()
    inside = "" if prefix == "." else f"{prefix}/"
    wanted: dict[str, str] = {}
    for tree in sorted(set(gitlog.trees(repo, commits).values())):
        for path, blob in git.whole_tree(repo, tree).items():
            name = posixpath.basename(path)
            if path.startswith(inside) and (name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")):
                wanted.setdefault(blob, path)
    texts = gitlog.contents(repo, list(wanted))
    return [(path, os.fsdecode(text)) for path, text in zip(wanted.values(), texts, strict=True) if text is not None]


def _rows(name: str, text: str) -> list[Row]:
    """The outputs that go to the default remote: imports, ``push: false`` and those with a remote of their own do not."""
    try:
        if name.endswith("dvc.lock"):
            return dvcfiles.rows_of(text, lock=True)
        data: Any = dvcfiles.load_yaml(text) or {}
        if any(isinstance(dep, dict) and "repo" in dep for dep in data.get("deps") or []):
            return []
        outs = data.get("outs") or []
        rows = dvcfiles.rows_of(text)
        return [row for row, out in zip(rows, outs, strict=True) if row.cached and _pushed(out)]
    except (Damaged, AttributeError, TypeError, ValueError):
        return []


def _pushed(out: dict[str, Any]) -> bool:
    return str(out.get("push", "true")).lower() != "false" and "remote" not in out
