"""The forty cases: number, part, and the criterion by which a case counts."""

from __future__ import annotations

from dataclasses import dataclass

GATES = (3, 8, 14, 19, 21)
"""Cases that weigh most: each fails in the plain stack."""


@dataclass(frozen=True)
class Card:
    """One case. ``fault`` is what is done, ``criterion`` what must then hold."""

    number: int
    part: str
    fault: str
    criterion: str


_CELL, _STATUS, _MANY, _DATA, _GIT, _BACK, _SAFE = (
    "The cell",
    "The run's status",
    "Many at once",
    "Data",
    "Git",
    "Reproduce and promote",
    "Security",
)

CARDS = {
    card.number: card
    for card in (
        Card(1, _CELL, "The tracking server refuses connections", "the cell's result is right, tracking costs ≤ 2 s"),
        Card(
            2,
            _CELL,
            "The tracking server accepts and never answers",
            "the cell's result is right, tracking costs ≤ 2 s",
        ),
        Card(3, _CELL, "`1/0` with the server dead", "`ZeroDivisionError`; the traceback ends in the user's line"),
        Card(4, _CELL, "Interrupt with the server dead", "`KeyboardInterrupt` within 2 s"),
        Card(5, _CELL, "Each call of the recorder raises, in turn", "result and namespace of an untracked cell"),
        Card(6, _CELL, "Read-only or full disk under the ledger", "the cell succeeds, with one warning"),
        Card(7, _CELL, "An outage, then recovery", "everything recorded arrives: none lost, none doubled"),
        Card(8, _STATUS, "SIGKILL of the kernel, 20 times", "a final status that is not `FINISHED`, within 30 s"),
        Card(9, _STATUS, "SIGTERM, hard restart, out of memory", "a final status that is not `FINISHED`, within 30 s"),
        Card(10, _STATUS, "SIGINT", "`KILLED`"),
        Card(11, _STATUS, "The user's own active run before `%%mlrun`", "untouched; no value crosses over"),
        Card(12, _STATUS, "Kernel and keeper both die", "the next start closes the run"),
        Card(13, _STATUS, "A recycled process id, or a kernel that lives", "never closed wrongly (0 of 100)"),
        Card(14, _MANY, "8 processes, no database yet, 20 times", "8 of 8 runs; the database can still be upgraded"),
        Card(15, _MANY, "8 processes × 200 metrics", "all rows; a call takes ≤ 100 ms at the 99th percentile"),
        Card(16, _MANY, "Two trackings of one path at once", "both succeed, or one names the holder within 10 s"),
        Card(17, _MANY, "`index.lock` held by another", "a clear refusal, nothing moved; run again, it completes"),
        Card(
            18,
            _MANY,
            "A batch of 50 notebooks, its runner SIGKILLed at 10 moments",
            "each notebook resumed or marked; outputs kept",
        ),
        Card(
            19,
            _DATA,
            "SIGKILL at every mutating system call of tracking",
            "the original bytes are there; the next run converges",
        ),
        Card(
            20,
            _DATA,
            "The disk is full at each write of tracking",
            "the same; no empty `.dvc`, no leftovers after recovery",
        ),
        Card(
            21,
            _DATA,
            "A file written to while it is tracked, 50 times",
            "refused or exact; never a hash that is not the bytes'",
        ),
        Card(22, _DATA, "A flipped bit in the cache", "restoring refuses, names the path and both hashes"),
        Card(23, _DATA, "30 hostile file names", "exact round trip or a clear refusal; never unignored data in Git"),
        Card(
            24, _DATA, "Symbolic links to outside, and `..`", "refused unless confirmed; no outside bytes in the cache"
        ),
        Card(25, _DATA, "Killed before the pointer exists", "status reports it; no file ignored but untracked"),
        Card(26, _DATA, "Plain `dvc gc -w / -a / -A` after 10 runs", "recorded data kept, or the loss told beforehand"),
        Card(
            27,
            _GIT,
            "A run on a dirty tree, detached, mid-merge, mid-rebase, empty, submodule",
            "nothing moved; the exact code recoverable",
        ),
        Card(
            28,
            _GIT,
            "A failing pre-commit hook, required signing, a `post-checkout` hook",
            "the run succeeds, no hook runs",
        ),
        Card(29, _GIT, "`git gc --prune=now`, the branch deleted", "the runs' commits are still readable"),
        Card(30, _GIT, "A reproduction killed 20 times", "nothing moved in the main tree; nothing left after `doctor`"),
        Card(31, _BACK, "100 random runs", "restored code and data have the recorded hashes"),
        Card(32, _BACK, "Commit, object, package, kernel deleted in turn", "an exact list; exit code not zero"),
        Card(33, _BACK, "A gate with NaN, ±inf, missing, edited or dirty evidence", "each denied, with its reason"),
        Card(
            34,
            _BACK,
            "Infinity, a 7,000-character parameter, 10,000 parameters, illegal keys",
            "read back exactly from the manifest; a notice for each change",
        ),
        Card(
            35,
            _SAFE,
            "Every route without token, without XSRF token, with an authorizer that denies",
            "403, under both access settings",
        ),
        Card(
            36,
            _SAFE,
            "Paths: `..`, absolute, sibling prefix, symbolic link, NUL",
            "nothing outside of the root is read or written",
        ),
        Card(
            37,
            _SAFE,
            "Run ids, tags, refs and URLs that are options or transports",
            "rejected; the canaries are absent",
        ),
        Card(38, _SAFE, "Markup and command links in names, tags, diffs, outputs", "inert text in a real browser"),
        Card(
            39,
            _SAFE,
            "A hostile repository: hooks, filters, fsmonitor, `cache.dir`",
            "looking fires no canary; reproducing asks for trust first",
        ),
        Card(
            40, _SAFE, "20 planted secrets; a pickle canary", "none found in what is recorded; the canary never fires"
        ),
    )
}
