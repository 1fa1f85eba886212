"""Environments made anew from a record: real uv and pip, real packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbledger.core import environment as environments
from nbledger.core import rebuild as rebuilding
from nbledger.core.installers import Pip, nearest_version
from nbledger.core.project import find
from nbledger.core.rebuild import against_this, rebuild
from nbledger.core.record import ExecutedCell
from nbledger.keeper.execute import execute

HEAD = f"# Python {sys.version.split()[0]} ({sys.implementation.name}) on here\n"


@pytest.mark.slow
def test_an_environment_with_a_kernel_and_what_cannot_be_had_is_named(project: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "module_of_mine.py").write_text("value = 3\n")
    lines = [
        "six==1.16.0",
        "idna==3.6.999",
        f"-e {mine}  # of-mine 1.0",
        f"-e {tmp_path / 'gone'}  # left-behind 2.0",
        f"wheel-of-mine @ file://{tmp_path}/gone.whl",
        "this-package-never-was-served==1.0",
    ]
    text = HEAD + "\n".join(lines) + "\n"
    (tmp_path / "environment.txt").write_text(text)
    made = rebuild(tmp_path / "environment.txt", tmp_path / "made")
    named = {m.what: m for m in made.missing}
    assert set(named) == {"idna 3.6.999", "left-behind 2.0", "wheel-of-mine", "this-package-never-was-served 1.0"}
    assert named["idna 3.6.999"].hint == "the nearest that can be had is 3.6"
    assert named["this-package-never-was-served 1.0"].hint == "no version of it can be had"
    there = find(project)
    cells = [
        ExecutedCell("import six, module_of_mine"),
        ExecutedCell(
            "%%mlrun x -m version -m value\nversion = 1.16\n"
            "assert six.__version__ == '1.16.0'\nvalue = module_of_mine.value"
        ),
    ]
    done = execute(there, project, cells, cwd=".", seeds={}, scratch=tmp_path / "scratch", python=made.python)
    assert (done.status, done.error) == ("FINISHED", "")
    assert done.metrics["value"][-1].value == 3
    known = rebuilding._known(tmp_path / "made", text)
    assert known is not None
    assert known.missing == made.missing


@pytest.mark.slow
def test_without_uv_venv_and_pip_do_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "uv", lambda: None)
    monkeypatch.setattr(rebuilding, "_KERNEL", ())
    text = HEAD + "six==1.16.0\n"
    made = rebuild(text, tmp_path / "made")
    command = [made.python, "-c", "import six, nbledger; print(six.__version__)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "1.16.0"
    (missing,) = Pip(tmp_path / "made").install(["six==1.16.0", "idna==3.6.999"])
    assert (missing.what, missing.hint) == ("idna 3.6.999", "the nearest that can be had is 3.6")
    monkeypatch.setattr(Pip, "_venv", lambda *_: 1 / 0)
    assert rebuild(text, tmp_path / "made") == made  # it is whole: used again
    with pytest.raises(ZeroDivisionError):
        rebuild(text, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_python_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_KERNEL", ())
    made = rebuild("# Python 3.4.1 (cpython) on here\n", tmp_path / "made")
    (missing,) = made.missing
    assert (missing.kind, missing.what, missing.needed) == ("python", "Python 3.4.1", True)
    assert made.python.exists()


def test_this_environment_against_a_record_names_what_was_imported_first() -> None:
    now = environments.current()
    packages = [("aaa-gone", "1.0", "", False), ("zzz-gone", "2.0", "", False)]
    packages += [(n, "0.0.1" if n == "click" else v, u, e) for n, v, u, e in now.packages]
    other = environments.Environment("d", "3.1.4", now.implementation, now.platform, tuple(packages))
    found = against_this(other, {"click": "0.0.1", "zzz-gone": "2.0"})
    assert [m.what for m in found.missing] == ["zzz-gone 2.0"]
    (line,) = found.lines
    assert line.startswith("3 packages differ from the record, 2 of them imported by the run: Python 3.1.4 → ")
    assert line.index("click 0.0.1 → ") < line.index("zzz-gone 2.0 → not installed") < line.index("aaa-gone 1.0 →")
    same = against_this(now, {})
    assert (same.lines, same.missing) == ((), ())


@pytest.mark.parametrize(
    ("version", "served", "nearest"),
    [
        ("1.4.2", ["1.4.1", "1.4.5", "1.5.0"], "1.4.1"),
        ("1.4.2", ["1.4.0", "1.4.4"], "1.4.4"),
        ("2.0", ["1.26.4", "2.1.0"], "2.1.0"),
        ("3.0", ["2.9", "4.1"], "4.1"),
        ("1.0", [], ""),
    ],
)
def test_the_nearest_version(version: str, served: list[str], nearest: str) -> None:
    assert nearest_version(version, served) == nearest
