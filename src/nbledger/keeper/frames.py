"""JSON lines with a checksum of their own: what a crash or a failing disk made of one is told from what was written.

A sealed line stays JSON and can be searched: ``{"t":"metric",…,"crc":"1a2b3c4d"}``, the CRC-32 of all bytes before
``,"crc"``. Lines of versions that wrote no checksum are read as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_MARK, _END = b',"crc":"', b'"}'
_TAIL = len(_MARK) + 8 + len(_END)


def seal(body: bytes) -> bytes:
    """The line of a JSON object, newline included; ``body`` is its text without the closing brace."""
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def sealed(fields: Mapping[str, Any], **options: Any) -> bytes:
    """The line of an object that has at least one field."""
    return seal(json.dumps(fields, separators=(",", ":"), **options)[:-1].encode())


def opened(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is not what was written."""
    line = line.rstrip(b"\n")
    tail = line[-_TAIL:]
    if (tail.startswith(_MARK) and tail.endswith(_END)) or _nearly(tail):
        body = line[:-_TAIL]
        if tail != b"%b%08x%b" % (_MARK, crc32(body), _END):
            return None
        line = body + b"}"
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _nearly(tail: bytes) -> bool:
    """Whether it is the end of a sealed line of which one byte was damaged."""
    frame, held = _MARK + _END, tail[: len(_MARK)] + tail[-len(_END) :]
    return len(held) == len(frame) and sum(a != b for a, b in zip(held, frame, strict=True)) <= 1
