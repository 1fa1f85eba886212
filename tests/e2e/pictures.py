"""Pictures of the browser held against those that the README shows."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image, ImageChops

KEPT = Path(__file__).parents[2] / "docs" / "pictures"
CELL = 8
"""Pixels of a side of the squares whose mean colours are compared: fonts and a digit more or less weigh little."""
FAR, MANY = 20, 0.02
"""A square is another one from this difference of a colour (of 255) on; a picture from this share of squares on."""


def difference(one: Path, other: Path) -> float:
    """The share of squares in which two pictures differ; 1.0 where they are not of one size."""
    with Image.open(one) as a, Image.open(other) as b:
        if a.size != b.size:
            return 1.0
        small = (a.width // CELL, a.height // CELL)
        first, second = (picture.convert("RGB").resize(small, Image.Resampling.BOX) for picture in (a, b))
    colours = ImageChops.difference(first, second).tobytes()
    apart = [max(colours[at : at + 3]) > FAR for at in range(0, len(colours), 3)]
    return sum(apart) / len(apart)


def looks_as_kept(taken: Path) -> bool:
    """Whether a picture is still the one of that name in docs/pictures, as far as a person would see; always while new
    ones are taken (``make pictures``).
    """
    return bool(os.environ.get("NEW_PICTURES")) or difference(taken, KEPT / taken.name) <= MANY
