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


def is_sealed(line: bytes) -> bool:
    """Whether a line (without its newline) bears a checksum, right or wrong."""
    return line.endswith(_END) and line[-_TAIL:].startswith(_MARK)


def opened(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is not what was written."""
    line = line.rstrip(b"\n")
    checked = is_sealed(line)
    if checked:
        line, crc = line[:-_TAIL], line[-_TAIL:][len(_MARK) : -len(_END)]
        if crc != b"%08x" % crc32(line):
            return None
        line += b"}"
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
