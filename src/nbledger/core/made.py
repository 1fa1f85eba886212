"""What a pipeline itself writes into Git's work tree: ``dvc.lock``, metrics, plots, and the files of its notebooks' code. Their
change is no change of code.

The first stage of ``nbledger repro`` writes ``dvc.lock`` before the second begins; without this the second would be the run of
code that differs from the last commit, in a clean clone too. Of a notebook that was edited and committed, ``nbledger code`` in
that pipeline writes ``stages/NAME.py`` anew.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbledger.core import git, gitlog
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_CODE = (".py", ".ipynb", ".sh", ".r", ".jl", ".sql")
_STAGES = "stages"
"""The folder of the code of a pipeline's notebooks (``stages.FOLDER``, which costs an import)."""


def only(project: Project, repo: git.GitRepo, old: str | None, new: str) -> bool:
    """Whether the trees ``old`` and ``new`` differ in nothing but what the stages of ``dvc.yaml``, which is the same in both,
    write. What cannot be told is no.
    """
    if old is None or project.dvc_root is None:
        return False
    known = _last.get(project.root)
    if known is not None and known[:2] == (old, new):
        return known[2]
    try:
        changed = gitlog.changed_paths(repo, old, new)
        found = bool(changed) and not any(map(_is_code, changed)) and not _others(project, repo, new, changed)
    except _UNTOLD:
        return False
    _last[project.root] = old, new, found
    return found


_UNTOLD = (LedgerError, OSError, ValueError, KeyError, TypeError, AttributeError)
_last: dict[Path, tuple[str, str, bool]] = {}
"""{project: the trees that were compared last, and the answer}: the next run's are the same, until a file changes."""


def _is_code(path: str) -> bool:
    """Whether the path alone tells that no stage writes it: a pipeline itself, or code that is no stage's (see ``_declared``)."""
    folder, name = posixpath.split(path.lower())
    if name in ("dvc.yaml", "dvc.yml"):
        return True
    return name.endswith(_CODE) and not (name.endswith(".py") and posixpath.basename(folder) == _STAGES)


def others(project: Project, repo: git.GitRepo, tree: str, paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` (of the tree ``tree``) that no stage writes; all of them where that cannot be told."""
    try:
        return _others(project, repo, tree, paths)
    except _UNTOLD:
        return set(paths)


def _others(project: Project, repo: git.GitRepo, tree: str, paths: Iterable[str]) -> set[str]:
    rest = {path for path in paths if posixpath.basename(path) != "dvc.lock"}
    if project.dvc_root is None:
        return set(paths)
    rest -= _declared(project) if rest else set()
    return rest - _code(project, repo, tree, rest) if rest else rest


def _declared(project: Project) -> set[str]:
    """The metrics and plots of all stages, from the project's root."""
    from nbledger.core import stages  # a project without a pipeline needs none of it

    found = {path for stage in stages.stages(project).values() for path in (*stage.metrics, *stage.plots)}
    return {path for path in found if not path.lower().endswith(_CODE)}


def _code(project: Project, repo: git.GitRepo, tree: str, paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` that ``nbledger code`` writes in the pipeline, and that hold in ``tree`` what it makes of the notebook
    there, byte for byte: all else in such a file was written by somebody else.
    """
    from nbledger.core import stagecode, stages

    written = {path: notebook for path, notebook in _of_code(project) if path in paths}
    made: set[str] = set()
    for path, notebook in written.items():
        data, held = gitlog.blobs(repo, [(tree, notebook), (tree, path)])
        if data is None or held is None:
            continue
        name = posixpath.basename(path).removesuffix(".py")
        if stages.code(stagecode.parsed(data, Path(notebook)), name).encode() == held:
            made.add(path)
    return made


def code_files(project: Project) -> set[str]:
    """The files that ``nbledger code`` writes in the pipeline, from the project's root; none where it cannot be read."""
    try:
        return {path for path, _ in _of_code(project)} if project.dvc_root is not None else set()
    except _UNTOLD:
        return set()


def _of_code(project: Project) -> Iterator[tuple[str, str]]:
    """(the file of a stage's code, its notebook) of what stages ``nbledger code NB`` declare, from the project's root."""
    from nbledger.core import stages

    for stage in stages.stages(project).values():
        try:
            words = shlex.split(stage.cmd)
        except ValueError:  # another stage's, which only a shell can read
            continue
        if len(words) == 3 and posixpath.basename(words[0]) == "nbledger" and words[1] == "code":
            notebook = posixpath.normpath(posixpath.join(stage.wdir, words[2]))
            for path in stage.outs:
                name = posixpath.basename(path).removesuffix(".py")
                if path == stages.code_path(project, name):
                    yield path, notebook
