"""Verbs that execute notebooks run in a process of their own: this kernel is busy with the cell that asks for them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from nbledger.core.errors import LedgerError, UsageError, from_dict
from nbledger.keeper.calls import built
from nbledger_magics import display

if TYPE_CHECKING:
    from nbledger_magics.session import Session

T = TypeVar("T")
_STEP = re.compile(r"\[(\d+)/(\d+)\] (.*)")
_PATIENCE = 20.0
"""Seconds that an interrupted verb has to take away what is half-made."""


def run(session: Session, words: list[str]) -> Any:
    """``nbledger WORDS --json`` with its progress shown below the cell; what it answers. Its error is raised here, and
    an interrupt of the cell ends it.
    """
    command = [sys.executable, "-P", "-m", "nbledger.cli", *words, *([] if "--json" in words else ["--json"])]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={k: v for k, v in os.environ.items() if not k.startswith("NBLEDGER_")},
        start_new_session=True,
    )
    printed: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda stream: printed.append(stream.read()), args=(process.stdout,), daemon=True)
    reader.start()
    try:
        said = _followed(session, process)
        process.wait()
    except BaseException:
        _end(process)
        raise
    reader.join(_PATIENCE)
    return _answer(process.returncode, "".join(printed), said)


def asked(session: Session, words: list[str], kind: type[T]) -> T | None:
    """The record that a verb answers with; None where its help, or with ``--json`` its text, is printed instead."""
    answer = run(session, words)
    if isinstance(answer, str):
        print(answer)
        return None
    if "--json" in words:
        print(json.dumps(answer, ensure_ascii=False))
        return None
    found: T = built(kind, answer)
    return found


def _followed(session: Session, process: subprocess.Popen[str]) -> list[str]:
    """Show the steps that the process tells of; its other lines."""
    said: list[str] = []
    assert process.stderr is not None
    with display.progress(session) as progress:
        for line in process.stderr:
            step = _STEP.match(line)
            if step:
                progress(int(step[1]), int(step[2]), step[3])
            elif line.startswith("{"):
                said.append(line)
            else:
                progress(0, 1, line.strip())
                said.append(line)
    return said


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answer(code: int, printed: str, said: list[str]) -> Any:
    if code in (0, 1) and printed.strip():
        with contextlib.suppress(ValueError):
            return json.loads(printed)
        return printed  # --help
    for line in reversed(said):
        with contextlib.suppress(ValueError, TypeError):
            fields = json.loads(line)
            raise (
                UsageError(fields["error"], fields["hint"])
                if fields["code"] == UsageError.exit_code
                else from_dict(fields)
            )
    last = said[-1].strip() if said else "no word"
    raise LedgerError(f"the verb ended with exit code {code}: {last[:300]}")
