"""What Git must not do for cells that are executed again: move the person's branches, talk to a remote, rewrite settings.

The restored work tree shares objects, refs and settings with the person's own repository, and a cell may start Git as a
program. Its environment therefore names hooks that refuse every change of a shared ref, and allows no transport; a
``git`` that comes first on the path refuses what no hook is asked about (settings, remotes, garbage collection, writing
in the person's own work tree). A commit on the restored tree's own HEAD is allowed: it moves nothing of theirs.

It is no prison: a program with an environment of its own making, or a library that writes ``.git`` by itself, gets past.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from nbledger.core import git
from nbledger.core.project import SKIPPED

_REFS = """\
#!/bin/sh
# of: a change of refs in the restored work tree's own repository; of others it is none of our business
[ "$1" = prepared ] || exit 0
[ "$(git rev-parse --path-format=absolute --git-common-dir)" = {common} ] || exit 0
if [ "$(git rev-parse --absolute-git-dir)" = {own} ]; then
    while read -r _ _ ref; do
        case $ref in
            refs/worktree/* | refs/bisect/* | refs/rewritten/*) ;;
            refs/*) refused=$ref ;;
        esac
    done
    [ -n "$refused" ] || exit 0
fi
echo "nbledger: a change of ${{refused:-HEAD}} {skipped}" >&2
exit 1
"""
_PUSH = """\
#!/bin/sh
echo "nbledger: git push {skipped}" >&2
exit 1
"""
_FIRST = """\
#!/bin/sh
exec {python} -IS {script} "$@"
"""
_SCRIPT = '''\
"""`git` of cells that are executed again: see nbledger.keeper.gitfence."""
import os, subprocess, sys

GIT, COMMON, OWN, SKIPPED = {git!r}, {common!r}, {own!r}, {skipped!r}
VALUES = {{"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--super-prefix"}}
READING = {{
    "annotate", "archive", "blame", "branch", "cat-file", "check-attr", "check-ignore", "cherry", "count-objects",
    "describe", "diff", "diff-files", "diff-index", "diff-tree", "for-each-ref", "format-patch", "fsck", "grep", "help",
    "log", "ls-files", "ls-tree", "merge-base", "name-rev", "range-diff", "rev-list", "rev-parse", "shortlog", "show",
    "show-branch", "show-ref", "status", "symbolic-ref", "tag", "var", "verify-commit", "verify-pack", "version",
    "whatchanged", "--version", "--help", "config", "remote", "worktree", "stash", "reflog",
}}
SHARED = {{"gc", "prune", "repack", "pack-refs", "maintenance", "submodule", "multi-pack-index", "commit-graph", "replace",
          "filter-branch", "prune-packed", "unpack-objects", "update-server-info", "push", "fetch", "pull", "send-email"}}
PARTS = {{  # verbs that read or write, depending on the words after them
    "config": lambda w: any(x in w for x in ("--get", "--get-all", "--get-regexp", "--get-urlmatch", "--list", "-l",
                                             "get", "list")) or len([x for x in w if not x.startswith("-")]) == 1,
    "remote": lambda w: not w or w[0] in ("-v", "--verbose", "show", "get-url"),
    "worktree": lambda w: w[:1] == ["list"],
    "stash": lambda w: w[:1] in (["list"], ["show"]),
    "reflog": lambda w: w[:1] not in (["expire"], ["delete"]),
}}


def parted(words):
    """(options of git itself, the verb and its words)"""
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] not in ("--version", "--help"):
        place += 2 if words[place] in VALUES else 1
    return words[:place], words[place:]


def refused(options, rest):
    verb, words = (rest[0], rest[1:]) if rest else ("", [])
    if verb in PARTS and PARTS[verb](words):
        return False
    if verb == "config" and ("--global" in words or "--system" in words):
        return True
    asked = [GIT, *options, "rev-parse", "--path-format=absolute", "--git-common-dir", "--absolute-git-dir"]
    told = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    if len(told) != 2 or os.path.realpath(told[0]) != COMMON:
        return False
    if verb in PARTS or verb in SHARED:
        return True
    return os.path.realpath(told[1]) != OWN and verb not in READING


if __name__ == "__main__":
    options, rest = parted(sys.argv[1:])
    if refused(options, rest):
        print("nbledger: git", " ".join(rest), SKIPPED, file=sys.stderr)
        sys.exit(1)
    os.execv(GIT, [GIT, *sys.argv[1:]])
'''


def environment(place: Path, folder: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Write hooks and the ``git`` into ``folder``; the variables that put them in force for the work tree ``place``, on top
    of the ``known`` ones. Nothing where ``place`` is in no repository.
    """
    repo = git.discover(place)
    if repo is None:
        return {}
    hooks, programs = folder / "hooks", folder / "bin"
    for made in (hooks, programs):
        made.mkdir(parents=True, exist_ok=True)
    common, own = (os.path.realpath(path) for path in (repo.common_dir, repo.git_dir))
    refs = _REFS.format(common=_quoted(common), own=_quoted(own), skipped=SKIPPED)
    script = programs / "git.py"
    script.write_text(_SCRIPT.format(git=git.executable(), common=common, own=own, skipped=SKIPPED))
    _program(hooks / "reference-transaction", refs)
    _program(hooks / "pre-push", _PUSH.format(skipped=SKIPPED))
    _program(programs / "git", _FIRST.format(python=_quoted(sys.executable), script=_quoted(str(script))))
    count = int(known.get("GIT_CONFIG_COUNT") or 0)
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "core.hooksPath",
        f"GIT_CONFIG_VALUE_{count}": str(hooks),
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "PATH": os.pathsep.join([str(programs), known.get("PATH", os.defpath)]),
    }


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _quoted(word: str) -> str:
    """A word for the shell."""
    return "'" + word.replace("'", "'\\''") + "'"
