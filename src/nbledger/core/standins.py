"""The present state and commits as sides of a comparison: what they would run, on which data, as far as that is known."""

from __future__ import annotations

import ast
import hashlib
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from nbledger.core import cells, contents, defuse, dvcfiles, environment, files, git, lineage, runs, sides, syntax
from nbledger.core.cells import DiskCell
from nbledger.core.datadiff import CODE_SUFFIXES
from nbledger.core.environment import Environment
from nbledger.core.errors import LedgerError, Unreachable, UsageError
from nbledger.core.lineage import FileRecord
from nbledger.core.project import Project
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.core.sides import COMMIT, PRESENT, Side

NOW = "."
_MODULES = 200
_NO_DATA = (".gitignore", ".dvcignore", ".gitattributes", "dvc.lock", "dvc.yaml", "config")


def find(project: Project, names: Sequence[str], here: Environment | None = None) -> list[Side]:
    """The sides that the names mean: a run where there is one of that name, else a commit; ``.`` is the present state."""
    rows = {name: _run(project, name) for name in names if name != NOW}
    chosen = [row for row in rows.values() if isinstance(row, RunRow)]
    named = dict(zip((row.run_id for row in chosen), sides.titles(chosen), strict=True))
    known = {row.run_id: sides.of_run(project, row, named[row.run_id]) for row in chosen}
    partner = next((side for side in known.values() if not side.note and side.record.cells), None)
    if partner is not None:
        known = {run: _alongside(side, partner) if side.note else side for run, side in known.items()}
    partner = partner or next(iter(known.values()), None)
    commits = [row for row in rows.values() if isinstance(row, str)]
    now = present(project, partner, here) if NOW in names else None
    found = []
    for name in names:
        row = rows.get(name)
        if row is None and now is not None:
            found.append(now)
        elif isinstance(row, RunRow):
            found.append(known[row.run_id])
        else:
            found.append(of_commit(project, name, str(row), partner or now, commits))
    return found


def _alongside(side: Side, partner: Side) -> Side:
    """A notebook that stands for what a run executed, as far down as the partner's own cell stands in it."""
    if not side.record.cells:
        return side
    code, chosen = _would_run(side.record.cells, partner)
    return replace(side, record=replace(side.record, cells=code, needed=chosen), needed=chosen)


def _run(project: Project, name: str) -> RunRow | str:
    """The run of that name, or the id of the commit."""
    try:
        return runs.find(project, name)
    except (UsageError, Unreachable):
        commit = git.commit_named(project.git, name) if project.git is not None else None
        if commit is None:
            raise
        return commit


def _row(notebook: str | None, commit: str | None = None) -> RunRow:
    return RunRow("", "", "", "", None, None, notebook, commit, None, None)


# ── the present state ────────────────────────────────────────────────────────────────────────────────────


def present(project: Project, partner: Side | None, here: Environment | None) -> Side:
    """The work tree as it is: the cells of the partner's notebook up to the run's own, the files they read, and the
    environment ``here`` (default: this process's).
    """
    notebook = _notebook(project, partner)
    disk = cells.read_notebook(project.root / notebook) if notebook else None
    code, chosen = _would_run(disk or [], partner)
    now = here or environment.current()
    found = Record(
        _row(notebook),
        cells=code,
        needed=chosen,
        inputs=_hashed(project, _would_read(project, partner, [code[i] for i in chosen])),
        modules=partner.record.modules if partner else _modules(project, notebook, code),
        environment=now,
        imported=_versions(now, partner),
    )
    return Side("now", PRESENT, found, None, knows=False, needed=chosen)


def _notebook(project: Project, partner: Side | None) -> str | None:
    own = partner.record.row.notebook if partner else None
    if own and (project.root / own).is_file():
        return own
    if project.git is None:
        listed = [p.name for p in project.root.glob("*.ipynb")]
    else:
        listed = git.listed(project.git, "*.ipynb")
    dated = [(files_time(project.root / p), p) for p in listed if not git.is_checkpoint(p)]
    return max(dated)[1] if dated else None


def files_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _would_run(
    disk: Sequence[DiskCell | ExecutedCell], partner: Side | None
) -> tuple[tuple[ExecutedCell, ...], tuple[int, ...]]:
    """(the notebook's cells down to the one that made the run, those that it depends on)."""
    code = [ExecutedCell(c.source, c.cell_id) for c in disk if c.source.strip()]
    if partner is None or not partner.record.cells or partner.record.batch:
        return tuple(code), tuple(range(len(code)))
    last = _same_cell(code, partner.record.cells[-1])
    until = tuple(code[: last + 1]) if last is not None else tuple(code)
    return until, sides.slice_of(until)


def _same_cell(code: Sequence[ExecutedCell], wanted: ExecutedCell) -> int | None:
    """The place of the cell that ``wanted`` was an execution of: by id, by source, else by the name it gives its run."""
    tests = (
        lambda c: c.cell_id is not None and c.cell_id == wanted.cell_id,
        lambda c: syntax.shape(c.source).exact == syntax.shape(wanted.source).exact,
        lambda c: _header(c.source) != "" and _header(c.source) == _header(wanted.source),
        lambda c: _header(c.source) != "",
    )
    for test in tests:
        places = [i for i, cell in enumerate(code) if test(cell)]
        if places:
            return places[-1]
    return None


def _header(source: str) -> str:
    """The words of a tracked cell's first line up to its options: ``%%mlrun forest``."""
    header = source[: len(source) - len(syntax.body(source))].strip()
    return header.split(" -")[0]


def _would_read(project: Project, partner: Side | None, code: Sequence[ExecutedCell]) -> list[str]:
    """What the partner read, less what its code named and this code does not, and files that this code names."""
    theirs = partner.record.inputs if partner else ()
    said_then = " ".join(partner.record.cells[i].source for i in partner.needed) if partner else ""
    said_now = " ".join(cell.source for cell in code)
    kept = [r.path for r in theirs if not (said_now and _named(r.path, said_then) and not _named(r.path, said_now))]
    base = project.root / (partner.record.cwd if partner else ".")
    named = [path for text in _texts(code) if (path := _existing(project, base, text)) is not None]
    return list(dict.fromkeys([*kept, *named]))


def _named(path: str, source: str) -> bool:
    return posixpath.basename(path) in source


def _texts(code: Iterable[ExecutedCell]) -> Iterable[str]:
    for cell in code:
        tree = defuse.tree_of(cell.source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 500:
                yield node.value


def _existing(project: Project, base: Path, text: str) -> str | None:
    if "." not in text or "\0" in text or "\n" in text:
        return None
    full = Path(os.path.normpath(base / text))
    try:
        return project.relative(full) if full.is_file() else None
    except OSError:
        return None


def _hashed(project: Project, paths: Iterable[str]) -> tuple[FileRecord, ...]:
    waiting = []
    for path in paths:
        try:
            found = os.stat(project.root / path)
        except OSError:
            continue
        state = lineage.EXTERNAL if os.path.isabs(path) else lineage.UNTRACKED
        signature = files.signature(found)
        waiting.append(FileRecord(path, found.st_size, None, state, pending=True, signature=signature))
    return lineage.finish(project, waiting)


def _modules(project: Project, notebook: str | None, code: Sequence[ExecutedCell]) -> tuple[str, ...]:
    """Files of the project that the code imports by name, from beside the notebook or from the root."""
    folders = dict.fromkeys((posixpath.dirname(notebook or ""), ""))
    found: dict[str, None] = {}
    for name in sorted({name for cell in code for name in syntax.imports(cell.source)}):
        for folder in folders:
            place = project.root / folder / name
            files_of = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
            for path in files_of[:_MODULES]:
                if path.is_file() and (inner := project.relative(path)) is not None:
                    found[inner] = None
    return tuple(found)


def _versions(now: Environment, partner: Side | None) -> Mapping[str, str]:
    """What the partner imported, in the versions that are installed now."""
    versions = {name: version for name, version, _, _ in now.packages}
    return {name: versions[name] for name in (partner.record.imported if partner else ()) if name in versions}


# ── commits ──────────────────────────────────────────────────────────────────────────────────────────────


def of_commit(project: Project, name: str, commit: str, partner: Side | None, commits: Sequence[str]) -> Side:
    """A commit: the partner's notebook, inputs and modules as it has them; without a partner every notebook, module and
    data pointer that is not the same in all the ``commits``.
    """
    assert project.git is not None
    tree = _tree(project.git, commit)
    title = name[:10] if git.is_hex(name) else name
    if partner is None:
        differing = _differing(project.git, commits)
        books = [p for p in tree if p.endswith(".ipynb") and p in differing]
        found = Record(
            _row(books[0] if len(books) == 1 else None, commit),
            cells=_cells_of(project.git, commit, books),
            inputs=(
                *_pointed(project.git, commit, tree),
                *_blobs(project.git, commit, [p for p in tree if p in differing]),
            ),
            modules=tuple([p for p in tree if p.endswith(".py") and p in differing][:_MODULES]),
        )
        found = replace(found, needed=tuple(range(len(found.cells))))
        return Side(title, COMMIT, found, commit, knows=False, needed=found.needed)
    book = partner.record.row.notebook
    disk = _disk_cells(project.git, commit, book) if book in tree else ()
    code, chosen = _would_run(disk, partner)
    found = Record(
        _row(book, commit),
        cells=code,
        needed=chosen,
        inputs=tuple(_as_in(project, commit, tree, partner.record.inputs)),
        modules=tuple(p for p in partner.record.modules if p in tree),
    )
    return Side(title, COMMIT, found, commit, knows=False, needed=chosen)


@lru_cache(16)
def _tree(repo: git.GitRepo, commit: str) -> Mapping[str, str]:
    """{path: blob id} of everything in a commit."""
    return git.whole_tree(repo, commit)


def _differing(repo: git.GitRepo, commits: Sequence[str]) -> set[str]:
    trees = [_tree(repo, commit) for commit in commits]
    return {path for tree in trees for path in tree if len({other.get(path) for other in trees}) > 1}


def _disk_cells(repo: git.GitRepo, commit: str, path: str | None) -> tuple[DiskCell, ...]:
    found = git.objects_at(repo, commit, [path]).get(path) if path else None
    return (cells.parse_notebook(found[2]) or ()) if found else ()


def _cells_of(repo: git.GitRepo, commit: str, books: Sequence[str]) -> tuple[ExecutedCell, ...]:
    disk = [cell for book in books for cell in _disk_cells(repo, commit, book)]
    return tuple(ExecutedCell(c.source, c.cell_id) for c in disk if c.source.strip())


def _pointed(repo: git.GitRepo, commit: str, tree: Mapping[str, str]) -> list[FileRecord]:
    """What the commit's DVC files point at: one record a tracked output, a folder's under its own name and a slash."""
    pointers = [p for p in tree if p.endswith(".dvc") or posixpath.basename(p) == "dvc.lock"]
    found = []
    for path, (_, _, raw) in git.objects_at(repo, commit, pointers).items():
        for row in _rows(path, raw):
            whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), row.path))
            shown = whole + "/" if row.md5.endswith(".dir") else whole
            if "://" not in row.path and row.md5:
                found.append(FileRecord(shown, row.size, row.md5, lineage.DVC, path, row.md5, whole))
    return found


def _blobs(repo: git.GitRepo, commit: str, paths: Sequence[str]) -> list[FileRecord]:
    """Files that Git itself holds and that are no code, as data."""
    data = [p for p in paths if not p.endswith((*CODE_SUFFIXES, ".dvc")) and posixpath.basename(p) not in _NO_DATA]
    found = git.objects_at(repo, commit, data[:_MODULES])
    return [
        FileRecord(path, len(raw), hashlib.md5(raw, usedforsecurity=False).hexdigest(), lineage.GIT)
        for path, (_, _, raw) in found.items()
    ]


def _rows(path: str, raw: bytes) -> list[dvcfiles.Row]:
    try:
        return dvcfiles.rows_of(raw.decode("utf-8"), lock=posixpath.basename(path) == "dvc.lock")
    except (dvcfiles.Damaged, UnicodeDecodeError, LedgerError):
        return []


def _as_in(project: Project, commit: str, tree: Mapping[str, str], theirs: Sequence[FileRecord]) -> list[FileRecord]:
    """The partner's inputs as the commit has them: by its pointers, else by its blobs."""
    assert project.git is not None
    pointed = {r.dataset: r for r in _pointed(project.git, commit, tree)}
    found = []
    for record in theirs:
        whole = pointed.get(record.dataset or record.path)
        if whole is not None and whole.md5 is not None:
            found.append(_within(project, record, whole))
        elif record.path in tree:
            raw = git.objects_at(project.git, commit, [record.path])[record.path][2]
            digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
            found.append(replace(record, md5=digest, size=len(raw), state=lineage.GIT, pointer=None, digest=None))
        elif os.path.isabs(record.path) or record.state == lineage.UNTRACKED:
            found.append(record)  # nothing is known of it there: it makes no difference
    return found


def _within(project: Project, record: FileRecord, whole: FileRecord) -> FileRecord:
    """The file as the tracked output ``whole`` has it; its hash is None where a folder's list of files is not at hand."""
    md5, size = whole.md5, whole.size
    if whole.path.endswith("/"):
        entries = contents.folder(project, whole.md5 or "")
        md5 = entries.get(record.path.removeprefix(whole.path)) or (record.md5 if record.digest == whole.md5 else None)
        size = record.size
    return replace(record, md5=md5, size=size, digest=whole.md5, pointer=whole.pointer)
