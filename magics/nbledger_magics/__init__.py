"""The IPython face: ``%track_data``, ``%%mlrun``, ``%mlrun``, ``%runs`` and ``%ledger``."""

from __future__ import annotations

from typing import Any

_ATTRIBUTE = "_nbledger_session"


def load(shell: Any) -> None:
    """Register the magics on ``shell``; a second call does nothing."""
    if getattr(shell, _ATTRIBUTE, None) is not None:
        return
    from nbledger_magics.session import Session

    session = Session(shell)
    setattr(shell, _ATTRIBUTE, session)
    session.register()


def unload(shell: Any) -> None:
    """Take the magics and hooks off ``shell`` again."""
    session = getattr(shell, _ATTRIBUTE, None)
    if session is not None:
        session.unregister()
        setattr(shell, _ATTRIBUTE, None)
