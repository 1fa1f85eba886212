"""What Git itself calls where ``init --filters`` set it up: the filter of notebooks, their text in a diff, merge drivers.

``python -P -m nbledger.commands.gitdrivers VERB …`` stands in ``.git/config`` (``core/gitfilters.py`` writes it). ``-P``: Git
starts it in the repository's root, from which nothing may be imported. The filter is one process for all files of a Git
command (gitattributes(5), "Long Running Filter Process"), and this module imports next to nothing, since ``git status``
waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from nbledger.core import notebookclean

_MOST = 65516  # bytes of one packet
_FLUSH = b"0000"


def main(argv: Sequence[str] | None = None) -> int:
    """Do what Git asks for; its exit code, which Git takes as the verdict of a merge."""
    verb, *words = sys.argv[1:] if argv is None else argv
    if verb == "filter":
        return serve(sys.stdin.buffer, sys.stdout.buffer)
    if verb == "show":
        from nbledger.core import notebookshown

        with open(words[0], "rb") as file:
            sys.stdout.buffer.write(notebookshown.shown(file.read()))
        return 0
    if verb in ("merge-notebook", "merge-data"):
        base, ours, theirs, size, path = words
        return _merged(verb, base, ours, theirs, path, int(size) if size.isdigit() else 7)
    _say(f"there is no driver {verb!r}")
    return 2


def _merged(verb: str, base: str, ours: str, theirs: str, path: str, size: int) -> int:
    """Join three files into ``ours``; 1 for a conflict, whatever goes wrong."""
    try:
        from nbledger.core import mergedriver

        merge = mergedriver.notebook if verb == "merge-notebook" else mergedriver.data
        merged = merge(base, ours, theirs, path, size)
    except Exception as err:
        said = " ".join(f"{type(err).__name__}: {err}".split())[:300]
        _say(f"{path} could not be merged ({said}). It is left as ours has it; git show :3:{path} is theirs")
        return 1
    for line in merged.lines:
        _say(line)
    return 1 if merged.conflict else 0


def serve(asked: BinaryIO, answer: BinaryIO) -> int:
    """Speak version 2 of Git's filter protocol until Git closes it: notebooks in, cleaned notebooks out; those that go into
    the work tree stay as they are. (dulwich, which DVC asks, ends no line, and complains of a filter that does one way only.)
    """
    if [line.rstrip(b"\n") for line in _packets(asked)] != [b"git-filter-client", b"version=2"]:
        _say("Git and this filter do not speak the same protocol")
        return 1
    _send(answer, b"git-filter-server\n", b"version=2\n")
    list(_packets(asked))  # what Git can do
    _send(answer, b"capability=clean\n", b"capability=smudge\n")
    while header := dict(_pairs(asked)):
        content = b"".join(_packets(asked))
        if header.get("command") == "clean":
            content = _cleaned(content, header.get("pathname") or "a notebook")
        _send(answer, b"status=success\n")
        _send(answer, *(content[at : at + _MOST] for at in range(0, len(content), _MOST)))
        _send(answer)  # the status stays
    return 0


def _cleaned(content: bytes, path: str) -> bytes:
    """The notebook as Git keeps it. What is none is kept as it is: no commit fails for want of a tidy notebook."""
    try:
        return notebookclean.cleaned(content)
    except Exception as err:  # NoNotebook; or what nobody foresaw, for which Git's whole command would die
        _say(f"{path} is kept by Git as it is, with all it holds: {str(err) or type(err).__name__}")
        return content


def _pairs(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    for packet in _packets(stream):
        key, _, value = packet.decode("utf-8", "surrogateescape").rstrip("\n").partition("=")
        yield key, value


def _packets(stream: BinaryIO) -> Iterator[bytes]:
    """The packets up to the next flush packet, or to the end of what Git sends."""
    while length := stream.read(4):
        size = int(length, 16)
        if size == 0:
            return
        yield stream.read(size - 4)


def _send(stream: BinaryIO, *packets: bytes) -> None:
    stream.writelines(b"%04x" % (len(packet) + 4) + packet for packet in packets)
    stream.write(_FLUSH)
    stream.flush()


def _say(line: str) -> None:
    text = line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    sys.stderr.write(f"nbledger: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
