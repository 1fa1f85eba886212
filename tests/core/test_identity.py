import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbledger.core.cells import Cell
from nbledger.core.identity import find_notebook

ASK = """
import os, pathlib, json
from nbledger.core import identity
from nbledger.core.cells import Cell
sources = [s for s in In if s]
found = identity.find_notebook(globals(), os.environ, [Cell(s, None, 0.0, None) for s in sources], pathlib.Path.cwd())
pathlib.Path(os.environ["ANSWER"]).write_text(str(found))
"""


def notebook(path: Path, *sources: str) -> Path:
    body = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": s}
        for i, s in enumerate(sources)
    ]
    spec = {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
    path.write_text(json.dumps({"cells": body, "metadata": spec, "nbformat": 4, "nbformat_minor": 5}))
    return path


def executed(*sources: str) -> list[Cell]:
    return [Cell(s, None, float(i), i + 1) for i, s in enumerate(sources)]


def ask(tmp_path: Path, *command: str, cwd: Path, session: str = "") -> list[str]:
    """What the kernel that ``command`` starts says its notebook is."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "NBLEDGER"))}
    env |= {"ANSWER": str(tmp_path / "answer"), "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    if session:
        env["JPY_SESSION_NAME"] = session
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "answer").read_text()


PYTHON = sys.executable
BIN = Path(PYTHON).parent


@pytest.mark.slow
def test_real_runners(tmp_path):
    folder = tmp_path / "nb"
    folder.mkdir()
    asks = notebook(folder / "asks.ipynb", "a = 1", ASK)
    other = notebook(folder / "other.ipynb", "b = 1")
    shutil.copy(asks, folder / "twin.ipynb")  # the same code: only the command line can tell
    answer = str(asks)
    nbconvert = (PYTHON, "-m", "nbconvert", "--execute", "--to", "notebook", "--output", "out")
    assert ask(tmp_path, *nbconvert, "nb/asks.ipynb", cwd=tmp_path) == answer
    assert ask(tmp_path, *nbconvert, "asks.ipynb", cwd=folder, session=str(other)) == answer
    assert (
        ask(tmp_path, PYTHON, "-m", "papermill", "nb/asks.ipynb", "nb/done.ipynb", "-p", "p", "1", cwd=tmp_path)
        == answer
    )
    if (BIN / "jupyter-execute").exists():
        assert ask(tmp_path, str(BIN / "jupyter-execute"), "nb/asks.ipynb", cwd=tmp_path) == answer


@pytest.mark.slow
def test_several_notebooks_on_one_command_line_and_the_api(tmp_path):
    asks = notebook(tmp_path / "asks.ipynb", "a = 1", ASK)
    other = notebook(tmp_path / "other.ipynb", "b = 1")
    command = (PYTHON, "-m", "nbconvert", "--execute", "--to", "notebook", "--output-dir", "out", other.name, asks.name)
    assert ask(tmp_path, *command, cwd=tmp_path) == str(asks)
    api = "import nbclient, nbformat, glob; nbclient.execute(nbformat.read(glob.glob('as*')[0], 4))"
    assert ask(tmp_path, PYTHON, "-c", api, cwd=tmp_path) == str(asks)


def test_variables_of_front_ends(tmp_path):
    path = notebook(tmp_path / "a b.ipynb", "x = 1")
    assert find_notebook({}, {"NBLEDGER_NOTEBOOK": str(path)}, [], tmp_path) == path
    assert find_notebook({"__vsc_ipynb_file__": str(path)}, {}, [], tmp_path) == path
    assert find_notebook({}, {"JPY_SESSION_NAME": "a b.ipynb"}, [], tmp_path) == path
    assert find_notebook({"PAPERMILL_INPUT_PATH": str(path)}, {}, [], tmp_path) == path
    assert (
        find_notebook({"__vsc_ipynb_file__": 3}, {"JPY_SESSION_NAME": "console 1"}, executed("y = 1"), tmp_path) is None
    )


def test_a_renamed_notebook_is_known_by_its_code(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    path = notebook(folder / "new.ipynb", "x = 1", "ä = 2", "z")
    notebook(folder / "else.ipynb", "q = 1")
    environ = {"JPY_SESSION_NAME": str(folder / "old.ipynb")}
    assert find_notebook({}, environ, executed("x = 1", "ä = 2"), tmp_path) == path
    assert find_notebook({}, environ, executed("ä = 2", "x = 1"), tmp_path) == path


def test_twins_are_ambiguous(tmp_path):
    first = notebook(tmp_path / "a.ipynb", "x = 1", "y = 1")
    notebook(tmp_path / "b.ipynb", "x = 1", "q = 1", "y = 1")
    (tmp_path / "broken.ipynb").write_text("x = 1 {")
    assert find_notebook({}, {}, executed("x = 1"), tmp_path) is None
    assert find_notebook({}, {}, executed("x = 1", "y = 1"), tmp_path) == first
