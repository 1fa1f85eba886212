"""Why a target is missed, by row; shown only while it is. From profiles (cProfile, ``-X importtime``, ``strace -c``)."""

from __future__ import annotations

_LOAD = "All of it is importing nbledger's own modules; half of that is the making of their frozen dataclasses."
_AGAIN = (
    "A walk with `stat` over every file is repeated when reading took over 50 ms, the cache's folders are listed to see "
    "that every object is there, and sixteen Git processes of 2–3 ms commit the pointer."
)
_PLAIN_WAS_FASTER = "It costs the kernel what it cost before; the plain calls took a quarter less time in this run."
_WALK = "Nothing watches the files yet: every call walks them with `stat`, which is two thirds of its time; Git is most of the rest."
_STILL = (
    "The target wants no process and no walk, which needs a file watch; today one `git ls-files` compares every file."
)
_EDITED = "Each Git step (list, add, write the tree, commit, name) is a process of 2–3 ms that reads the index anew."
_FRESH = (
    "A fresh interpreter and the notebook's own imports are nine tenths of what a notebook costs, and over half of what it "
    "costs with papermill, which starts a second one for itself: both cores are busy with that. `--reuse` pays them once."
)

REASONS: dict[str, str] = {
    "sweep-loop": _FRESH,
    "sweep-xargs": _FRESH,
    "sweep-64-loop": _FRESH,
    "sweep-64-xargs": _FRESH,
    "load_ext": _LOAD,
    "load_ext-used": f"{_LOAD} The rest reads nbledger's version from its metadata and starts the keeper's process.",
    "tracked-cell": f"{_PLAIN_WAS_FASTER} Half of it is the snapshot's Git processes, a fifth the look at which loaded modules are the project's.",
    "tracked-cell-edited": "The snapshot of a changed tree is six Git processes, over half of the whole.",
    "track-many-keeper": "Creating 10,000 files on a busy disk varies more than anything else here.",
    "track-again": f"{_AGAIN} Starting Python and the command line is a third.",
    "track-again-keeper": f"{_AGAIN} Progress is told over the socket file by file.",
    "status": _WALK,
    "status-changed": f"{_WALK} The folder's list of hashes is then written anew as a whole.",
    "snapshot-1000": _STILL,
    "snapshot-10000": _STILL,
    "snapshot-1000-edited": _EDITED,
    "snapshot-10000-edited": _EDITED,
}
