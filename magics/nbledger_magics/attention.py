"""Whether a person looks at what this kernel shows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbledger_magics.session import Session


def attended(session: Session) -> bool:
    """False under nbconvert, papermill or a batch run."""
    if os.environ.get("NBLEDGER_BATCH"):
        return False
    return bool(os.environ.get("JPY_SESSION_NAME") or "__vsc_ipynb_file__" in session.shell.user_ns)
