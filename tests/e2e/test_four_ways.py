"""One notebook executed by nbconvert, papermill, ``nbledger run``, ``nbconvert --to ledger`` and JupyterLab: the records of its
tracked cells are compared field by field. The only differences are those that docs/batch.md lists.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")

from playwright import sync_api

from conftest import commit_all, make_repository, run
from e2e.browser import Lab, ask, cell, open_notebook, render_every_cell, run_all
from e2e.conftest import chromium
from sameruns import Fields, differences, records

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS: list[str | tuple[str, str]] = [
    "%load_ext nbledger\nimport csv, json, random\nfrom pathlib import Path\nfrom nbledger import log",
    ("parameters", "rate, rounds = 0.5, 5"),
    "%track_data data.csv -m 'The data'",
    "rows = list(csv.reader(Path('data.csv').open()))[1:]\nprint(len(rows), 'rows')",
    """%%mlrun curve -p depth=3 -m total -a table --tag stage=draft --seed 7 --model model
from sklearn.dummy import DummyRegressor
X, y = [[float(a)] for a, _ in rows], [float(b) for _, b in rows]
model = DummyRegressor(constant=sum(y) / len(y), strategy="constant").fit(X, y)
total = sum(y)
for step in range(rounds):
    log(loss=rate**step + random.random() / 10, step=step)
table = {"rows": len(rows)}
Path("out.json").write_text(json.dumps(table))""",
    """%%mlrun second -p rate -m mean -a out.json
mean = sum(float(row[1]) for row in csv.reader(open("extra.csv"))) / json.loads(Path("out.json").read_text())["rows"]
mean""",
]
WAYS = ("nbconvert", "papermill", "run", "ledger", "lab")
PLACE = Path(__file__).parents[2] / "docs" / "batch.md"


def project(root: Path) -> Path:
    """A project with data, code and the notebook, all committed but the data, which the notebook tracks itself."""
    make_repository(root)
    (root / "data.csv").write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(20)))
    (root / "extra.csv").write_text("1,2\n3,4\n")
    (root / ".gitignore").write_text("/data.csv\n/out.json\n.ipynb_checkpoints\n")
    made = []
    for number, source in enumerate(CELLS):
        tag, code = source if isinstance(source, tuple) else ("", source)
        made.append(nbformat.v4.new_code_cell(code, metadata={"tags": [tag]} if tag else {}, id=f"cell-{number}"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), root / "four.ipynb")
    commit_all(root, "A notebook")
    return root


@pytest.fixture(scope="module")
def recorded(lab: Lab, python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Fields]]:
    """What each way recorded, in a copy of one project of its own."""
    base, out = tmp_path_factory.mktemp("ways"), str(tmp_path_factory.mktemp("out"))
    first = project(base / "first")
    roots = {way: lab.root / way / "project" for way in WAYS}
    for root in roots.values():
        shutil.copytree(first, root, symlinks=True)
    convert = (python, "-m", "nbconvert", "--log-level=WARN", "--output-dir", out)
    commands: dict[str, tuple[str | Path, ...]] = {
        "nbconvert": (*convert, "--to", "notebook", "--execute", "four.ipynb"),
        "papermill": (python, "-m", "papermill", "--no-progress-bar", "four.ipynb", f"{out}/papermill.ipynb"),
        "run": (python, "-m", "nbledger.cli", "run", "--trust", "four.ipynb"),
        "ledger": (*convert, "--to", "ledger", "--output", "ledger.ipynb", "four.ipynb"),
    }

    def execute(way: str) -> None:
        run(*commands[way], cwd=roots[way], env=lab.env)
        run(python, "-m", "nbledger.cli", "flush", cwd=roots[way], env=lab.env)

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(execute, way) for way in commands]
        in_jupyterlab(lab, "lab/project/four.ipynb")
        for one in waiting:
            one.result()
    ask(lab, "nbledger", "flush", cwd=roots["lab"])
    return {way: records(root) for way, root in roots.items()}


def in_jupyterlab(lab: Lab, notebook: str) -> None:
    """Open the notebook, choose *Run All Cells*, wait for the last one."""
    render_every_cell(lab)
    with chromium() as page:
        open_notebook(lab, page, notebook)
        run_all(page)
        for index in range(len(CELLS)):
            prompt = cell(page, index).locator(".jp-InputPrompt")
            sync_api.expect(prompt).to_have_text(f"[{index + 1}]:", timeout=240_000)
        sync_api.expect(cell(page, len(CELLS) - 1).locator(".jp-OutputArea .nbledger")).to_contain_text("finished")


PROGRESS = ("artifact nbledger/environment.json: imported.ipywidgets", "lab")
"""A verb that takes more than a moment shows a bar there, which is a widget: it depends on how busy the machine is."""


def allowed() -> dict[tuple[str, str], str]:
    """{(field, way): why} of the table in docs/batch.md."""
    section = PLACE.read_text().split("## The same by other means", 1)[1]
    found = {}
    for field, ways, why in re.findall(r"^\| `([^|]+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE):
        found |= {(field, way.strip(" `")): why for way in ways.split(",")}
    return found


def test_all_ways_leave_the_same_record_but_for_what_is_listed(recorded: dict[str, dict[str, Fields]]) -> None:
    plain = recorded["nbconvert"]
    assert list(plain) == ["curve", "second"]
    assert {"param rate", "param depth", "metric loss", "metric total", "input data.csv", "model model", "tag stage",
            "artifact table.json: rows", "artifact nbledger/environment.txt"} <= plain["curve"].keys()  # fmt: skip
    assert plain["curve"]["metric loss"][4][0] == 4 and len(plain["curve"]) > 80
    assert plain["second"]["artifact nbledger/inputs.json: inputs"]
    found = {
        (field, way): values
        for way in WAYS[1:]
        for name in plain
        for field, values in differences(plain[name], recorded[way][name]).items()
    }
    found.pop(PROGRESS, None)
    assert {key: values for key, values in found.items() if key not in allowed()} == {}
    assert allowed().keys() - found.keys() == set(), "listed, but the same"


def test_the_exporter_is_equivalent_to_run(recorded: dict[str, dict[str, Fields]]) -> None:
    """Both record the whole notebook as the parent of its tracked cells."""
    ran, exported = recorded["run"], recorded["ledger"]
    assert list(ran) == list(exported) == ["four", "curve", "second"]
    for name in ran:
        assert differences(ran[name], exported[name]) == {}
    assert {"artifact four.html", "artifact four.ipynb: cells", "param rate"} <= ran["four"].keys()
    for way in ("nbconvert", "papermill", "lab"):
        assert list(recorded[way]) == ["curve", "second"]


def test_the_notebook_is_named_by_its_path(recorded: dict[str, dict[str, Fields]]) -> None:
    names = {recorded[way][name]["tag mlflow.source.name"] for way in WAYS for name in recorded[way]}
    assert names == {"four.ipynb"}


def test_nothing_is_left_beside_the_notebook(lab: Lab, recorded: dict[str, dict[str, Fields]]) -> None:
    for way in WAYS:
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=lab.root / way / "project", capture_output=True, text=True, check=True
        ).stdout.split("\n")
        assert {line[3:] for line in changed if line} <= ({"four.ipynb"} if way == "lab" else set()), way
