"""Starting kernels where others do so, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nbledger.core import kernels
from nbledger.core.errors import ToolFailed

# A Python that finds its ports taken so often, as a kernel does that another process was faster than.
_LATE = """\
#!/bin/sh
n=$(ls "{place}" | grep -c tried)
touch "{place}/tried$n"
[ "$n" -lt {times} ] && echo "zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:1')" >&2 && exit 1
exec {python} "$@"
"""

# A Python whose first kernel finds one of its ports taken by another process.
_TAKEN = """\
#!{python}
import json, os, socket, sys
if not os.path.exists("{place}/tried"):
    open("{place}/tried", "w").close()
    with open(sys.argv[sys.argv.index("-f") + 1]) as file:
        port = json.load(file)["{port}"]
    other = socket.create_server(("127.0.0.1", port))
    os.set_inheritable(other.fileno(), True)
os.execv("{python}", ["{python}", *sys.argv[1:]])
"""


def late(place: Path, times: int) -> Path:
    script = place / "python"
    script.write_text(_LATE.format(place=place, times=times, python=sys.executable))
    script.chmod(0o755)
    return script


def test_a_kernel_whose_ports_were_taken_is_started_again(isolated: Path, tmp_path: Path) -> None:
    book = kernels.notebook([("print('here')", False)])
    with kernels.started(book, tmp_path, os.environ, python=late(tmp_path, 2)) as running:
        running.execute(0)
    assert book.cells[0].outputs[0]["text"] == "here\n"


def test_but_not_for_ever_and_what_it_said_is_told(isolated: Path, tmp_path: Path) -> None:
    book = kernels.notebook([("1", False)])
    with (
        pytest.raises(ToolFailed, match="Address already in use"),
        kernels.started(book, tmp_path, os.environ, python=late(tmp_path, 99)),
    ):
        pass


@pytest.mark.parametrize("port", ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"])
def test_whichever_port_was_taken(isolated: Path, tmp_path: Path, port: str) -> None:
    """ipykernel neither ends nor answers where it cannot publish."""
    script = tmp_path / "python"
    script.write_text(_TAKEN.format(place=tmp_path, port=port, python=sys.executable))
    script.chmod(0o755)
    book = kernels.notebook([("print('here')", False)])
    with kernels.started(book, tmp_path, os.environ, python=script) as running:
        running.execute(0)
    assert book.cells[0].outputs[0]["text"] == "here\n"
