"""``track``: data under DVC, its pointers under Git, in one pass over the bytes.

The order is what makes it safe to be killed anywhere: a note of what is to be done, bytes into the cache and on the
disk, then the pointer, then the ignore line, then the commit. The user's file is only ever read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from nbledger.core import cache, dvc, dvcfiles, files, git, halfplaced, hashes, takenback, underway, undo
from nbledger.core.cache import Content
from nbledger.core.errors import Busy, LedgerError, ToolFailed
from nbledger.core.project import Project
from nbledger.core.records import Tracked
from nbledger.core.targets import Target, plan
from nbledger.core.wording import some

Progress = Callable[[int, int, str], None]
_YES = re.compile(r"true|yes|on|[+-]?0*[1-9][0-9]*[kmg]?", re.IGNORECASE)
_PACE = 0.05  # seconds between two calls of it
_TRIES = 20  # where others write to the same place


@dataclass(frozen=True)
class _Done:
    """A target whose bytes and pointer are written; ``line`` is its line in ``ignore_file`` (None: not needed)."""

    target: Target
    content: Content
    written: bool
    ignore_file: str
    line: str | None
    was_in_git: tuple[str, ...]
    notes: tuple[str, ...]


def track(
    project: Project,
    paths: Sequence[str],
    message: str | None = None,
    *,
    push: bool = False,
    commit: bool = True,
    follow_symlinks: bool = False,
    take_back: bool = False,
    cwd: Path | None = None,
    progress: Progress | None = None,
) -> list[Tracked]:
    """Version ``paths`` (files, folders or globs, relative to ``cwd``) with DVC and commit the pointers, only those.

    ``progress(done, total, path)`` counts bytes, a few times a second. Raises before anything is written when a path cannot be tracked;
    ``Busy`` when Git's index or DVC's repository is locked; ``Refused`` where somebody's change would be undone because its
    data were never brought here, also what a merge under way has joined (not with ``take_back``); with ``push``, a failed push
    is raised after all else is done.
    """
    dvc.require_root(project)
    repo = project.git
    if repo is not None:
        git.refuse_if_locked(repo)
    under_way = git.operation(repo) if repo is not None else ""
    committing = commit and repo is not None and under_way in ("", "bisect")
    try:
        with ThreadPoolExecutor(1, "nbledger-git") as beside, dvc.lock(project):
            asked = beside.submit(_ready, repo) if commit and repo is not None else None
            try:
                targets = plan(project, paths, cwd or project.root, follow_symlinks)
            finally:
                sign = asked is not None and asked.result()
            dvc.refuse_if_running(project, [target.path for target in targets])
            store = dvc.store(project)
            underway.clear(project, store, dvc.require_root(project) / ".dvc" / "tmp")
            with underway.noted(project, [target.rel for target in targets]):
                done = _write(project, targets, store, progress, committing, beside, asking=not take_back)
                made = _Commit(None, frozenset())
                if committing:
                    made = _committed(project, done, message, sign)
    except OSError as err:
        raise LedgerError(
            f"cannot write {err.filename or 'to the project'}: {err.strerror or err}",
            "make room or mend the permissions, then try again",
        ) from err
    if push:
        _pushed(project, done, made.commit)
    waiting = (f"a {under_way} is under way: the pointer is written, not committed",) if commit and under_way else ()
    return [_result(one, made, push, waiting if not committing else ()) for one in done]


def _ready(repo: git.GitRepo) -> bool:
    """Raise when a commit would fail for want of an identity; whether the user wants commits signed."""
    listed = git.call(
        repo, "config", "-z", "--get-regexp", r"^(user\.(name|email)|committer\..*|commit\.gpgsign)$", check=False
    ).stdout.decode("utf-8", "replace")
    settings = {
        key: value if equals else "true"
        for key, equals, value in (entry.partition("\n") for entry in listed.split("\0") if entry)
    }
    plain = all(re.search(r"\w", settings.get(key, "")) for key in ("user.name", "user.email"))
    if (
        not plain
        or any(key.startswith("committer.") for key in settings)
        or "GIT_COMMITTER_NAME" in os.environ
        or "GIT_COMMITTER_EMAIL" in os.environ
    ):
        git.require_identity(repo)
    git.head(repo)  # its tree is remembered
    return _YES.fullmatch(settings.get("commit.gpgsign", "")) is not None


def _result(one: _Done, made: _Commit, pushed: bool, notes: tuple[str, ...]) -> Tracked:
    changed = one.written or one.target.pointer in made.pointers
    content = one.content
    return Tracked(
        one.target.rel,
        content.md5,
        content.size,
        content.nfiles,
        changed,
        made.commit if changed else None,
        pushed,
        one.target.notes + one.notes + notes,
    )


def _write(
    project: Project,
    targets: Sequence[Target],
    store: cache.Store,
    progress: Progress | None,
    committing: bool,
    beside: ThreadPoolExecutor,
    *,
    asking: bool,
) -> list[_Done]:
    """Bytes first, for all targets, and on the disk; then pointers; then ignore lines."""
    if asking:  # before its bytes are stored: what the cache has, DVC replaces
        halfplaced.refuse(project, [target.rel for target in targets])
        _refuse_taking_back(project, targets)
    known = beside.submit(_in_git, project, targets)
    contents = _store(project, targets, store, progress)
    cache.settle(store)
    in_git = known.result()
    written = [_write_pointer(project, target, content) for target, content in zip(targets, contents, strict=True)]
    done = []
    for target, content, new in zip(targets, contents, written, strict=True):
        ignore_file = f"{os.path.dirname(target.rel)}/.gitignore".lstrip("/")
        line = _ignore(project, target, ignore_file)
        done.append(
            _Done(
                target,
                content,
                new,
                ignore_file,
                line,
                in_git[target.rel],
                _git_notes(target, in_git[target.rel], committing),
            )
        )
    fresh = [target.rel for target in targets if not target.ignored]
    if project.git is not None and fresh:
        seen = git.ignored(project.git, fresh)
        done = [one if one.target.ignored or one.target.rel in seen else _unignored(one) for one in done]
    return done


def _refuse_taking_back(project: Project, targets: Sequence[Target]) -> None:
    """Only what Git brought from elsewhere is read before it is stored, which then need not be read again."""
    found = [
        takenback.behind(
            project, target.rel, target.pointer, partial(_hash, project, target), partial(_files, project, target)
        )
        for target in targets
        if target.text is not None
    ]
    if behind := [one for one in found if one is not None]:
        raise takenback.refusal(behind)


def _hash(project: Project, target: Target) -> str | None:
    """What it is now; None where its pointer says so already."""
    with hashes.opened(project) as known:
        if target.scan is None:
            md5 = cache.hash_file(target.path, known).md5
        else:
            md5 = cache.hash_folder(target.path, known, target.ignore, seen=target.scan).md5
    return None if md5 in (target.text or "") else md5


def _files(project: Project, target: Target) -> dict[str, str]:
    with hashes.opened(project) as known:
        return cache.folder_hashes(target.path, known, target.ignore)


def _unignored(one: _Done) -> _Done:
    note = f"Git does not ignore {one.target.rel}: another pattern overrides {one.ignore_file}"
    return _Done(one.target, one.content, one.written, one.ignore_file, one.line, one.was_in_git, (*one.notes, note))


def _store(project: Project, targets: Sequence[Target], store: cache.Store, progress: Progress | None) -> list[Content]:
    total = sum(target.size for target in targets) if progress is not None else 0
    seen = 0
    told = (-1, 0.0)
    contents = []
    with hashes.opened(project) as known:
        for target in targets:
            report: cache.Report | None = None
            if progress is not None:

                def report(count: int, rel: str = target.rel, tell: Progress = progress) -> None:
                    nonlocal seen, told
                    seen += count
                    if (now := time.monotonic()) - told[1] >= _PACE:
                        told = (seen, now)
                        tell(seen, total, rel)

            if target.scan is None:
                contents.append(cache.hash_file(target.path, known, store, report))
            else:
                contents.append(cache.hash_folder(target.path, known, target.ignore, store, report, target.scan))
            if progress is not None and told[0] != seen:
                told = (seen, time.monotonic())
                progress(seen, total, target.rel)
    return contents


def _in_git(project: Project, targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """{target: its files that Git tracks now}."""
    if project.git is None:
        return {target.rel: () for target in targets}
    known = git.tracked(project.git, [target.rel for target in targets])
    return {
        target.rel: tuple(sorted(k for k in known if k == target.rel or k.startswith(f"{target.rel}/")))
        for target in targets
    }


def _git_notes(target: Target, in_git: tuple[str, ...], committing: bool) -> tuple[str, ...]:
    if not in_git:
        return ()
    what = target.rel if in_git == (target.rel,) else f"{len(in_git)} files of {target.rel}"
    if committing:
        return (f"Git tracked {what}: from this commit on DVC does (earlier commits keep the bytes)",)
    return (f"Git still tracks {what}: git rm -r --cached {target.rel} when you commit",)


def _write_pointer(project: Project, target: Target, content: Content) -> bool:
    """Write the ``.dvc`` file; False when it says so already."""
    path = project.root / target.pointer
    if target.text is None:
        return _replace(project, path, dvcfiles.render_pointer(target.name, content))
    for _ in range(_TRIES):
        before = files.signature(os.stat(path))
        now = path.read_bytes()  # not the text of before: it may name several outputs, and be edited by hand
        data = dvcfiles.revise_pointer(now.decode(), target.index, target.name, content)
        if data == now:
            return False
        if _replace(project, path, data, before):
            return True
    raise Busy(f"{target.pointer} keeps changing", "try again when nobody writes to it")


def _replace(project: Project, path: Path, data: bytes, expected: files.Signature | None = None) -> bool:
    """Write by way of DVC's own scratch folder, so that a killed process leaves nothing in the work tree; beside ``path``
    where that is another file system, under a name that the next one takes again. False where ``path`` is not as
    ``expected`` any more: somebody edited it meanwhile.
    """
    scratch = dvc.require_root(project) / ".dvc" / "tmp" / "nbledger-track.tmp"
    if os.stat(scratch.parent).st_dev != os.stat(path.parent).st_dev:
        scratch = path.with_name(
            f".nbledger-{hashlib.md5(os.fsencode(path.name), usedforsecurity=False).hexdigest()}.tmp"
        )
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(scratch, path.stat().st_mode & 0o7777)
        if expected is not None and files.signature(os.stat(path)) != expected:
            return False
        os.replace(scratch, path)
        return True
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _ignore(project: Project, target: Target, ignore_file: str) -> str | None:
    """Make Git ignore the data; the line that does so, None when another pattern does or there is no Git."""
    if project.git is None:
        return None
    line = dvcfiles.ignore_line(os.path.basename(target.rel))
    path = project.root / ignore_file
    for _ in range(_TRIES):
        before = files.signature(os.stat(path)) if path.is_file() else None
        text = path.read_bytes() if before else b""
        if _has_line(text, line):
            return line
        if target.ignored:
            return None
        if _replace(project, path, _with_lines(text, [line]), before):
            return line
    raise Busy(f"{ignore_file} keeps changing", "try again when nobody writes to it")


def _has_line(text: bytes, line: str) -> bool:
    return line.encode() in (have.rstrip(b"\r") for have in text.split(b"\n"))


def _with_lines(text: bytes, lines: Sequence[str]) -> bytes:
    for line in lines:
        if not _has_line(text, line):
            text += (b"" if not text or text.endswith(b"\n") else b"\n") + line.encode() + b"\n"
    return text


@dataclass(frozen=True)
class _Commit:
    """``pointers`` are those that differ from the commit before."""

    commit: str | None
    pointers: frozenset[str]


def _committed(project: Project, done: Sequence[_Done], message: str | None, sign: bool) -> _Commit:
    try:
        made = _commit(project, done, message, sign)
    except LedgerError as err:
        raise type(err)(f"the data are tracked, but not committed: {err.message}", err.hint) from err
    return made


def _commit(project: Project, done: Sequence[_Done], message: str | None, sign: bool) -> _Commit:
    """A commit of the pointers and ignore lines on top of HEAD, whatever is staged; then the index for them only."""
    repo = project.git
    assert repo is not None
    pointers = _blobs(repo, sorted({one.target.pointer for one in done}))
    lines: dict[str, list[str]] = {}
    for one in done:
        if one.line is not None:
            lines.setdefault(one.ignore_file, []).append(one.line)
    gone = [one.target.rel for one in done]
    lined = _Lined(repo, lines)
    said = _message(done, message)
    made = _advance(repo, pointers, lined, gone, said, sign, lambda commit: undo.remember(project, commit, said))
    _settle_index(repo, pointers, lined, [path for one in done for path in one.was_in_git])
    return made


def _message(done: Sequence[_Done], message: str | None) -> str:
    if message and message.strip():
        return message
    names = [one.target.rel for one in done]
    return f"Track {some(names, 3)}"


def _blobs(repo: git.GitRepo, pointers: Sequence[str]) -> dict[str, str]:
    listed = "".join(f"{pointer}\n" for pointer in pointers).encode()  # the root's own name may hold a line break
    ids = git.call(repo, "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listed).stdout.decode().split()
    return dict(zip(pointers, ids, strict=True))


class _Lined:
    """Ignore files with their lines in them. ``texts`` are blobs read before."""

    def __init__(self, repo: git.GitRepo, lines: dict[str, list[str]]) -> None:
        self.lines = lines
        self.texts: dict[str, bytes] = {}
        self._repo = repo
        self._made: dict[tuple[str | None, str], str] = {}

    def blobs(self, have: dict[str, str]) -> dict[str, str]:
        """{ignore file: a blob like the one in ``have`` (none: empty) that has the lines; itself if it has them}."""
        return {path: self._blob(have.get(path), path) for path in self.lines}

    def _blob(self, blob: str | None, path: str) -> str:
        if (blob, path) not in self._made:
            text = self.texts[blob] if blob in self.texts else (git.read_blob(self._repo, blob) or b"") if blob else b""
            lined = _with_lines(text, self.lines[path])
            made = blob if blob is not None and lined == text else git.blob(self._repo, lined)
            self._made[blob, path] = self._made[made, path] = made
        return self._made[blob, path]


def _advance(
    repo: git.GitRepo,
    pointers: dict[str, str],
    lined: _Lined,
    gone: Sequence[str],
    message: str,
    sign: bool,
    remember: Callable[[str], None],
) -> _Commit:
    """Move HEAD to a commit with these changes; again on the new HEAD if somebody else moves it meanwhile. A commit is
    remembered before it is anybody's: a process killed in between costs no offer to undo.
    """
    ours = [*pointers, *lined.lines]
    folders = {str(above) for path in (*ours, *gone) for above in PurePosixPath(path).parents}
    for attempt in range(_TRIES):
        head = git.head(repo)
        before: dict[str, str] = {}
        trees: dict[str, bytes] = {}
        if head.commit:
            found = git.objects_at(repo, head.commit, [*ours, *("" if f == "." else f for f in folders)])
            before = {path: found[path][0] for path in ours if path in found}
            trees = {name: raw for name, kind, raw in found.values() if kind == "tree"}
            lined.texts |= {name: raw for name, kind, raw in found.values() if kind == "blob"}
        changes: dict[str, str | None] = dict.fromkeys(gone)
        changes |= lined.blobs(before)
        tree = git.edit_tree(repo, head.tree, {**changes, **pointers}, trees)
        if tree is None or tree == head.tree:
            return _Commit(None, frozenset())
        commit = git.commit_tree(repo, tree, [head.commit] if head.commit else [], message, sign=sign)
        remember(commit)
        try:
            subject = message.strip().splitlines()[0]
            git.update_ref(repo, "HEAD", commit, head.commit or "0" * len(commit), f"commit: {subject}")
        except (Busy, ToolFailed):
            now = git.head(repo).commit
            if attempt > 3 and now == head.commit:
                raise
            if now != commit:  # else Git was killed when all was done
                time.sleep(0.02 * attempt)
                continue
        return _Commit(commit, frozenset(path for path, blob in pointers.items() if before.get(path) != blob))
    raise Busy("HEAD keeps moving", "try again when the other Git process is done")


def _settle_index(repo: git.GitRepo, pointers: dict[str, str], lined: _Lined, gone: Sequence[str]) -> None:
    """Bring the user's index up to the commit, for our paths only; what is staged elsewhere stays staged."""
    have = git.index_blobs(repo, [*pointers, *lined.lines])
    changes: dict[str, str | None] = dict.fromkeys(gone)
    changes |= lined.blobs(have)
    changes.update(pointers)
    changes = {path: blob for path, blob in changes.items() if blob is None or have.get(path) != blob}
    if changes:
        git.update_index(repo, changes)


def _pushed(project: Project, done: Sequence[_Done], commit: str | None) -> None:
    from nbledger.core import whereabouts

    try:
        whereabouts.push_tracked(project, {one.target.rel: one.target.pointer for one in done})
    except LedgerError as err:
        state = "tracked and committed" if commit else "tracked"
        raise type(err)(f"the data are {state}, but not pushed: {err.message}", err.hint) from err
