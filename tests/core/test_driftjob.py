"""What the processes that compare data need."""

from __future__ import annotations

import sys

import pytest

from nbledger.core import driftjob
from nbledger.core.errors import ToolFailed


def test_what_to_install_is_said_before_anything_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    driftjob.require()
    monkeypatch.setitem(sys.modules, "evidently", None)  # what the import system takes for a package that is not there
    with pytest.raises(ToolFailed, match="not installed here") as raised:
        driftjob.require()
    assert raised.value.hint == "pip install 'nbledger[drift]'"
