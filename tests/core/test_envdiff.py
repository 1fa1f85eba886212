"""What differs around the code: packages by how much they bear on the run, machines, seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbledger.core import envdiff
from nbledger.core.environment import Environment
from nbledger.core.record import Record
from nbledger.core.records import RunRow

ROW = RunRow("", "", "FINISHED", "", None, None, None, None, None, None)


def record(packages: dict[str, Any] | None = None, **fields: Any) -> Record:
    own = {k: fields.pop(k) for k in list(fields) if k in Environment.__dataclass_fields__}
    listed = tuple((n, *(v if isinstance(v, tuple) else (v, "", False))) for n, v in (packages or {}).items())
    given = {"digest": "", "python": "3.11.7", "implementation": "cpython", "platform": "linux", "packages": listed}
    return Record(ROW, environment=Environment(**(given | own)), **fields)


def test_packages_that_the_run_used_come_first() -> None:
    a = record({"numpy": "1", "scikit-learn": "1", "black": "1", "Typer": "1", "ipykernel": "6", "same": "1"})
    b = record(
        {"numpy": "2", "scikit-learn": "2", "black": "2", "typer": "2", "ipykernel": "7", "same": "1", "new": "1"},
        imported={"numpy": "2", "scikit-learn": "2", "ipykernel": "7"},
        python="3.12.0",
    )
    found = envdiff.packages([a, b], ["typer"])
    assert [(p.name, p.role) for p in found] == [
        ("Python", "system"), ("numpy", "imported"), ("scikit-learn", "imported"), ("ipykernel", "imported"),
        ("typer", "direct"), ("black", "installed"), ("new", "installed"),
    ]  # fmt: skip
    assert found[-1].values == (None, "1")
    assert len(envdiff.packages([a, b], everything=True)) == len(found) + 2


def test_where_a_package_came_from_is_part_of_its_version_but_not_where_a_checkout_lies() -> None:
    git = ("1.0", "git+https://example.org/p@abc", False)
    found = envdiff.packages([record({"p": "1.0"}), record({"p": git})])
    assert found[0].values == ("1.0", "1.0 git+https://example.org/p@abc")
    here, there = (("1.0", f"file:///{place}/p", True) for place in ("a", "b"))
    assert envdiff.packages([record({"p": here}), record({"p": there})]) == ()


def test_an_environment_that_was_not_recorded_makes_no_difference() -> None:
    assert envdiff.packages([record({"p": "1"}), Record(ROW)]) == ()
    assert envdiff.hardware([record(cpus=2), Record(ROW)]) == ()
    assert [r.values for r in envdiff.hardware([record(cpus=2), Record(ROW), record(cpus=4)])] == [("2", None, "4")]


def test_machines(tmp_path: Path) -> None:
    def machine(name: str, cpu: str, used_by_blas: int, **fields: Any) -> Record:
        folder = tmp_path / name
        folder.mkdir()
        used = [{"internal_api": "openblas", "num_threads": used_by_blas}]
        (folder / "environment.json").write_text(json.dumps({"cpu": cpu, "threads_used": used}))
        return record(folder=folder, **fields)

    a = machine("a", "EPYC", 2, cpus=2, threads={"OMP_NUM_THREADS": "2"})
    b = machine("b", "Xeon", 1, cpus=8, gpu=("Tesla",))
    found = {row.name: row.values for row in envdiff.hardware([a, b])}
    assert found == {
        "processors": ("2", "8"), "OMP_NUM_THREADS": ("2", None), "card 1": (None, "Tesla"),
        "processor": ("EPYC", "Xeon"), "threads of openblas": ("2", "1"),
    }  # fmt: skip
    plain = {row.name for row in envdiff.hardware([a, record(cpus=2, threads={"OMP_NUM_THREADS": "2"})])}
    assert plain == set()


def test_seeds() -> None:
    a, b = record(seeds={"seed": 1}), record(seeds={"seed": 2}, seeds_env="0")
    assert {row.name: row.values for row in envdiff.seeds([a, b])} == {
        "seed": ("1", "2"),
        "PYTHONHASHSEED": (None, "0"),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["Scikit_Learn>=1", "pandas[parquet]"]\n[dependency-groups]\nx = ["typer"]\n'),
        ("requirements-dev.txt", "# tools\nscikit-learn==1.2\npandas ; python_version > '3'\n-r other.txt\ntyper\n"),
        ("environment.yml", "dependencies:\n  - scikit-learn=1.2\n  - pandas\n  - typer\n"),
    ],
)  # fmt: skip
def test_what_the_project_names_itself(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert envdiff.direct(tmp_path) == {"scikit-learn", "pandas", "typer"}
    (tmp_path / name).write_bytes(b"\xff not [ text")
    assert "pandas" not in envdiff.direct(tmp_path)


def test_what_code_imports_by_the_name_it_is_installed_under() -> None:
    sources = [
        "import numpy.linalg as la\nfrom sklearn.svm import SVC",
        "%%mlrun x\nimport PIL.Image, yaml",
        "from . import own",
    ]
    assert envdiff.used_by(sources) == {"numpy", "scikit-learn", "pillow", "pyyaml"}
