"""Files that nbledger writes and a person may edit: what is there, and what a call does to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nbledger.core.errors import LedgerError


@dataclass(frozen=True)
class Step:
    """What happens to one file: ``written``, ``replaced``, ``same``, or ``kept`` (somebody's own, and left as it is)."""

    file: str
    deed: str


def there(path: Path) -> str | None:
    """The text of a file; None where there is none. Of one that is not text, something that nbledger never writes."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except ValueError:
        return "not UTF-8"
    except OSError as err:
        raise LedgerError(f"{path}: {err.strerror}", "make that readable, or take it away") from err


def step(folder: Path, file: str, text: str) -> Step:
    """What writing ``text`` into ``file`` of ``folder`` does."""
    before = there(folder / file)
    return Step(file, "written" if before is None else "same" if before == text else "replaced")
