"""Why a target is missed, by row; shown only while it is."""

from __future__ import annotations

REASONS: dict[str, str] = {}
