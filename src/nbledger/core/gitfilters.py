"""What Git does for notebooks here: outputs left out of commits, notebooks and data pointers merged by what they mean.

``.gitattributes`` (committed, for everyone) names the drivers, ``.git/config`` (of this clone) says what they are. Git
treats a driver that is named and not defined as none: a clone without them works as without this. Git executes what stands
in ``.git/config``; the commands there begin with the full path of this Python, and do what plain Git does where it is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nbledger.core import git, gitlog, inside, notebookclean, notebookshown, undo
from nbledger.core.errors import Busy, Refused, ToolFailed
from nbledger.core.files import write_atomic
from nbledger.core.project import Project
from nbledger.core.wording import counted, some

NAME = "nbledger"
DATA = "nbledger-data"
FILE = ".gitattributes"
LINES = (
    "# nbledger init --filters: notebooks without outputs and merged by cell, versions of data merged by file",
    f"*.ipynb filter={NAME} diff={NAME} merge={NAME}",
    f"*.dvc merge={DATA}",
    f"dvc.lock merge={DATA}",
    ".gitignore merge=union",  # Git's own: of two people who track a file each, both lines
)
_MODULE = "nbledger.commands.gitdrivers"
_GONE = (
    "the Python of Git's filter for notebooks is gone: nbledger init --filters sets it up anew, --no-filters removes it"
)
_CANNOT = r"0016git-filter-server\n000eversion=2\n00000000"
_BEFORE = (
    f".git/info/attributes (nbstripout --uninstall empties it) or a {FILE} further down comes first: take it out there"
)
_PYTHON = re.compile(r"f\(\) \{ test -x (?P<python>.+?) \|\| ")
_TRIES = 5
_MOST = 4_000_000  # bytes of a file that is looked at


@dataclass(frozen=True)
class Trouble:
    """What is not as it should be with the filters of this clone, and what to do."""

    text: str
    fix: str
    mendable: bool = True


def install(project: Project, *, tidy: bool = True) -> list[str]:
    """Set the filter and the merge drivers up in this clone; what was done, one line a step. A second call does nothing.

    ``.gitattributes`` gets its lines and is committed, together (``tidy``) with the notebooks that HEAD has, without their
    outputs; what the person changed or staged stays as it is. ``Refused`` without a Git repository, or where
    ``.gitattributes`` is a link.
    """
    repo = git.required(project.git)
    done = []
    if _configure(repo, _wanted()):
        done.append("Git leaves outputs of notebooks out, and merges notebooks by cell, data by file (.git/config)")
    before = _read(repo)
    if (after := _with_lines(before)) != before:
        write_atomic(repo.root / FILE, after)
        done.append(f"{FILE} says so to everyone's Git")
    done += _commit(project, repo, _with_lines, "Keep notebooks without their outputs", clean=tidy)
    others = _elsewhere(repo)
    if others:
        done.append(f"{_named(others)} another filter than nbledger's: {_BEFORE}")
    return done


def remove(project: Project) -> list[str]:
    """Undo ``install``; what was done, one line a step. Notebooks stay as they are, in the work tree and in commits."""
    repo = git.required(project.git)
    done = []
    present = _config(repo)
    ours = [key for key in _wanted() if key in present]
    for key in ours:
        git.call(repo, "config", "--local", "--unset-all", key)
    if ours:
        done.append("Git treats notebooks and data pointers as any file again (.git/config)")
    before = _read(repo)
    if (after := _without_lines(before)) != before:
        if after:
            write_atomic(repo.root / FILE, after)
        else:
            (repo.root / FILE).unlink()
        done.append(f"{FILE} has nbledger's lines no more")
    done += _commit(project, repo, _without_lines, "Keep notebooks with their outputs", clean=False)
    return done


def asked(project: Project) -> bool:
    """Whether the project's own ``.gitattributes`` names the filter: whoever clones it is to set it up. One small file is read."""
    text = inside.read(project.git.root / FILE, _MOST) if project.git is not None else None
    return text is not None and LINES[1].encode() in text.splitlines()


def installed(project: Project) -> bool:
    """Whether this clone has the filter, in ``.git/config``. One small file is read."""
    text = inside.read(project.git.common_dir / "config", _MOST) if project.git is not None else None
    return text is not None and f'[filter "{NAME}"]'.encode() in text


def how_to_join(project: Project) -> str:
    """What joins two branches that have both gone on, as a hint."""
    if installed(project):
        return "git pull --rebase (or git merge) joins them, notebooks by cell and data by file"
    return (
        "git pull --rebase (or git merge) joins them (nbledger init --filters first: notebooks by cell, data by file)"
    )


def troubles(project: Project) -> list[Trouble]:
    """What is wrong with the filters here; nothing where nobody asked for them."""
    repo = project.git
    if repo is None:
        return []
    wanted, there = asked(project), installed(project)
    if wanted and not there:
        return [
            Trouble("this project keeps notebooks without outputs, and this clone does not", "nbledger init --filters")
        ]
    if not there:
        return []
    found = []
    config = _config(repo)
    fresh = _wanted()
    match = _PYTHON.match(config.get(f"filter.{NAME}.process", ""))
    python = shlex.split(match["python"])[0] if match else ""
    if not match or set(config) < set(fresh) or any(_bare(config[key]) != _bare(fresh[key]) for key in fresh):
        found.append(
            Trouble("Git's drivers for notebooks are not as this version sets them up", "nbledger init --filters")
        )
    elif not os.access(python, os.X_OK):
        found.append(
            Trouble(f"Git's filter for notebooks stands on {python}, which is gone", "nbledger init --filters")
        )
    if not wanted:
        found.append(
            Trouble(f"this clone has the filter for notebooks, and {FILE} does not name it", "nbledger init --filters")
        )
    elif others := _elsewhere(repo):
        found.append(Trouble(f"{_named(others)} another filter than nbledger's", _BEFORE, mendable=False))
    return found


def command(verb: str, fallback: str, words: str = "") -> str:
    """A line for ``.git/config``: this Python with the driver, or ``fallback`` where that Python is gone. ``-P`` keeps the
    repository, in which Git starts it, out of what is imported.
    """
    python = shlex.quote(sys.executable or "python3")
    return f'f() {{ test -x {python} || {fallback}; exec {python} -P -m {_MODULE} {verb} "$@"; }}; f{words}'


def _wanted() -> dict[str, str]:
    """{key: value} for ``.git/config``. Internal merges of several merge bases take the oldest version of a file."""
    # Git dies where a filter hangs up: this one says in Git's protocol that it can do nothing.
    gone = f'{{ echo "nbledger: {_GONE}" >&2; printf "{_CANNOT}"; exec cat >/dev/null; }}'
    plain = 'exec git merge-file --marker-size="$4" "$2" "$1" "$3"'
    words = " %O %A %B %L %P"

    def literal(text: str) -> str:
        return text.replace("%", "%%")  # Git puts names of files in place of %

    return {
        f"filter.{NAME}.process": command("filter", gone),
        f"diff.{NAME}.textconv": command("show", 'exec cat "$@"'),
        f"diff.{NAME}.xfuncname": f"^{notebookshown.HEADING}.*$",
        f"merge.{NAME}.name": "notebooks by cell (nbledger)",
        f"merge.{NAME}.driver": literal(command("merge-notebook", plain)) + words,
        f"merge.{NAME}.recursive": "binary",
        f"merge.{DATA}.name": "versions of data by file (nbledger)",
        f"merge.{DATA}.driver": literal(command("merge-data", plain)) + words,
        f"merge.{DATA}.recursive": "binary",
    }


def _bare(value: str) -> str:
    """A command without the Python in it: any Python that has nbledger will do."""
    match = _PYTHON.match(value)
    return value.replace(match["python"], "") if match else value


def _config(repo: git.GitRepo) -> dict[str, str]:
    """Our keys in ``.git/config``, with their values."""
    out = git.call(
        repo, "config", "--local", "-z", "--get-regexp", rf"^(filter|diff|merge)\.{NAME}", check=False
    ).stdout
    entries = (entry.partition("\n") for entry in out.decode("utf-8", "surrogateescape").split("\0") if entry)
    wanted = _wanted()
    return {key: value for key, _, value in entries if key in wanted}


def _configure(repo: git.GitRepo, wanted: dict[str, str]) -> bool:
    """Set what is not so yet; whether there was anything. The filter comes last: until then nothing of it counts."""
    present = _config(repo)
    changed = [key for key in reversed(wanted) if present.get(key) != wanted[key]]
    for key in changed:
        git.call(repo, "config", "--local", "--replace-all", key, wanted[key])
    return bool(changed)


def _read(repo: git.GitRepo) -> bytes:
    path = repo.root / FILE
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Refused(f"{FILE} is a link or the like, which Git does not follow", "put a file in its place")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _with_lines(text: bytes) -> bytes:
    have = text.splitlines()
    lines = [line.encode() for line in LINES]
    if all(line in have for line in lines[1:]):
        return text
    text = _without_lines(text)
    end = b"\r\n" if b"\r\n" in text else b"\n"
    return text + (end if text and not text.endswith(b"\n") else b"") + b"".join(line + end for line in lines)


def _without_lines(text: bytes) -> bytes:
    ours = {line.encode() for line in LINES}
    return b"".join(line for line in text.splitlines(keepends=True) if line.rstrip(b"\r\n") not in ours)


def _named(paths: Sequence[str]) -> str:
    return f"{some(paths, 3)} {'has' if len(paths) == 1 else 'have'}"


def _elsewhere(repo: git.GitRepo) -> list[str]:
    """Notebooks in Git's index (or any notebook, where there is none) for which another filter counts."""
    listed = git.call(repo, "ls-files", "-z", "--", "*.ipynb", env={"GIT_LITERAL_PATHSPECS": "0"}).stdout
    return [path for path, filtered in _filtered(repo, listed or b"notebook.ipynb\0") if not filtered]


def _filtered(repo: git.GitRepo, listed: bytes) -> list[tuple[str, bool]]:
    """(path, whether our filter counts for it)"""
    out = git.call(repo, "check-attr", "-z", "--stdin", "filter", stdin=listed).stdout.split(b"\0")
    return [(os.fsdecode(path), value == NAME.encode()) for path, value in zip(out[0::3], out[2::3], strict=False)]


# ── the commit ───────────────────────────────────────────────────────────────────────────────────────────────
def _commit(
    project: Project, repo: git.GitRepo, edit: Callable[[bytes], bytes], message: str, *, clean: bool
) -> list[str]:
    """Commit ``.gitattributes``, edited as HEAD has it, and with ``clean`` HEAD's notebooks cleaned; then the same in the
    index. The work tree and what is staged beside it stay. What was done, in words.
    """
    for attempt in range(_TRIES):
        head = git.head(repo)
        before = git.read_blob(repo, f"HEAD:{FILE}") if head.commit else None
        after = edit(before or b"")
        books = _cleaned(repo, _notebooks(repo, head.commit)) if clean and head.commit else {}
        if after == (before or b"") and not books:
            return []
        if under_way := git.operation(repo):
            return [f"not committed, as a {under_way} is under way: git add {FILE}, when it is done"]
        git.refuse_if_locked(repo)
        git.require_identity(repo)
        changes: dict[str, str | None] = dict(books)
        changes[FILE] = git.blob(repo, after) if after else None
        tree = git.edit_tree(repo, head.tree, changes)
        if tree is None:
            return []  # nothing is left: there was nothing else
        sign = git.text(repo, "config", "--type=bool", "--get", "commit.gpgSign", check=False) == "true"
        commit = git.commit_tree(repo, tree, [head.commit] if head.commit else [], f"{message}\n", sign=sign)
        undo.remember(project, commit, message)
        try:
            git.update_ref(repo, "HEAD", commit, head.commit or "0" * len(commit), f"commit: {message}")
        except (Busy, ToolFailed):
            if attempt == _TRIES - 1 or git.head(repo).commit == head.commit:
                raise
            continue
        _settle_index(repo, edit, clean=clean)
        what = f"{FILE} and {counted(len(books), 'notebook')} without outputs" if books else FILE
        return [f"committed {what} as {commit[:10]}; what is in the work tree stays as it is"]
    return []


def _notebooks(repo: git.GitRepo, commit: str) -> dict[str, str]:
    """{path: blob id} of the plain files in a commit to which our filter applies."""
    out = git.call(repo, "ls-tree", "-r", "-z", "--full-tree", git.full_id(commit)).stdout
    parts = (entry.partition(b"\t") for entry in out.split(b"\0") if entry.startswith(b"100644"))
    found = {name: facts.split(b" ")[2].decode() for facts, _, name in parts if name.endswith(b".ipynb")}
    listed = b"".join(name + b"\0" for name in found)
    return {path: found[os.fsencode(path)] for path, ours in (_filtered(repo, listed) if listed else ()) if ours}


def _cleaned(repo: git.GitRepo, notebooks: dict[str, str]) -> dict[str, str]:
    """{path: blob id of the notebook as Git keeps it} of those that differ from that."""
    found = {}
    for (path, old), data in zip(notebooks.items(), gitlog.contents(repo, list(notebooks.values())), strict=True):
        with contextlib.suppress(notebookclean.NoNotebook):
            if data is not None and (clean := notebookclean.cleaned(data)) != data:
                new = git.blob(repo, clean)
                if new != old:
                    found[path] = new
    return found


def _settle_index(repo: git.GitRepo, edit: Callable[[bytes], bytes], *, clean: bool) -> None:
    """The same changes to what is in the index, staged changes of these files included; then let Git look at the files."""
    listed = git.call(
        repo, "ls-files", "-z", "--stage", "--", FILE, "*.ipynb", env={"GIT_LITERAL_PATHSPECS": "0"}
    ).stdout
    staged: dict[str, str] = {}
    for entry in filter(None, listed.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        mode, blob_id, stage = facts.decode().split(" ")
        if mode == "100644" and stage == "0":
            staged[os.fsdecode(name)] = blob_id
    old = staged.pop(FILE, None)
    text = (git.read_blob(repo, old) or b"") if old else b""
    after = edit(text)
    changes: dict[str, str | None] = {}
    if after != text or (old is None and after):
        changes[FILE] = git.blob(repo, after) if after else None
    if clean:
        ours = {path for path, ours in (_filtered(repo, b"".join(os.fsencode(p) + b"\0" for p in staged))) if ours}
        changes |= _cleaned(repo, {path: blob_id for path, blob_id in staged.items() if path in ours})
    if changes:
        git.update_index(repo, changes)
        git.call(repo, "update-index", "-q", "--refresh", check=False)
