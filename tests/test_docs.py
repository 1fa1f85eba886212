"""The documentation says what there is, all of it, and nothing else: read from the code, compared with the pages."""

from __future__ import annotations

import ast
import inspect
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from nbledger.commands.tree import ledger
from nbledger.core.project import Settings
from nbledger.nbconvert import LedgerExporter
from nbledger_magics import header, stage, verbs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COMMON = {"--json", "--help"}
VERBS = {name for name, command in ledger.commands.items() if not command.hidden}  # what Git calls is no verb
# The files that write tags of runs.
RECORDERS = (
    "src/nbledger/keeper/publish.py",
    "src/nbledger/keeper/recorder.py",
    "src/nbledger/keeper/reproductions.py",
    "src/nbledger/core/batch.py",
    "src/nbledger/core/stagecells.py",
    "src/nbledger/core/sweep.py",
    "src/nbledger/keeper/batch.py",
    "src/nbledger/keeper/promote.py",
    "src/nbledger/keeper/repro.py",
    "src/nbledger/keeper/stagerun.py",
    "src/nbledger/core/dvcexp.py",
    "src/nbledger/core/stagecells.py",
    "src/nbledger/core/wrote.py",
    "src/nbledger/core/people.py",
    "src/nbledger/core/mlflow.py",
    "src/nbledger/core/mlflow_active.py",
    "src/nbledger/core/mlflow_model.py",
    "src/nbledger/core/runs.py",
    "magics/nbledger_magics/collect.py",
    "magics/nbledger_magics/tracked_cell.py",
)
NAMED_TAGS = (
    "AUTHOR",
    "JOURNAL_TAG",
    "TAG",
    "DIGEST_TAG",
    "COMMAND_TAG",
    "REPRO_TAG",
    "EXPERIMENT_TAG",
    "BASELINE_TAG",
    "MODEL_TAG",
    "BATCH_TAG",
    "ATTEMPT_TAG",
    "PRUNED_TAG",
    "TASK_TAG",
    "TAG",
    "SUPERSEDED_TAG",
    "REPRODUCES",
    "VERDICT",
    "REPRODUCED_BY",
)


def sections(page: str) -> dict[str, str]:
    """{first code word of a heading, or the heading: the text below it}"""
    parts = re.split(r"^#{2,3} (.+)$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of Markdown tables whose first cell is code."""
    lines = [line for line in text.splitlines() if line.startswith(("| `", "| *"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named(text: str) -> set[str]:
    """What stands as code in the first column."""
    return {word for row in rows(text) for word in re.findall(r"`([^`]+)`", row[0])}


def test_every_setting_with_its_type_and_default() -> None:
    text = (DOCS / "settings.md").read_text().split("## Environment variables")[0]
    documented = {row[0].strip("`"): (row[1], row[2].strip("`")) for row in rows(text)}
    kinds = {"bool": "true or false", "float": "number", "tuple[str, ...]": "list of strings", "str | None": "string"}
    kinds["Mapping[str, Any]"] = "table"
    shown: dict[Any, str] = {None: "none", MISSING: "none", True: "true", False: "false", (): "[]"}
    actual = {
        f.name: (kinds[str(f.type)], str(f.default) if isinstance(f.default, float) else shown[f.default])
        for f in fields(Settings)
    }
    assert documented == actual


def test_every_environment_variable() -> None:
    pattern = re.compile(r"""["'](NBLEDGER_[A-Z_]+)["']""")
    sources = [p for folder in ("src/nbledger", "magics") for p in (ROOT / folder).rglob("*.py")]
    used = {name for path in sources for name in pattern.findall(path.read_text()) if not name.endswith("_")}
    documented = named((DOCS / "settings.md").read_text().split("## Environment variables")[1])
    assert {name for name in documented if name.startswith("NBLEDGER_")} == used


def test_every_verb_has_its_section_and_stands_in_the_readme() -> None:
    pages, readme = sections("magics.md"), (ROOT / "README.md").read_text()
    magics = {"%%mlrun", "%%stage", "%mlrun", "log()"}
    others = {"Options of every verb", "jupyter nbconvert --to ledger"}
    assert set(pages) == VERBS | magics | others
    # `nbledger VERB` in the table of the README, and no others
    assert set(re.findall(r"`nbledger (\w+)`", readme)) == VERBS
    assert all(f"`%{name}" in readme for name in verbs._LINES)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_option_of_a_verb(name: str) -> None:
    command = ledger.commands[name]
    actual = {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    assert named(sections("magics.md")[name]) == actual - COMMON


def test_every_option_of_every_verb() -> None:
    actual = {o for p in ledger.params for o in p.opts} | COMMON | {"-h"}
    assert named(sections("magics.md")["Options of every verb"]) == actual


def test_every_option_of_a_tracked_cell() -> None:
    actual = {o for action in header.parser()._actions for o in action.option_strings}
    table = sections("magics.md")["%%mlrun"]
    first_column = {word for row in rows(table) for word in re.findall(r"`(--?[\w-]+)`", row[0])}
    assert first_column == actual
    stop = set(re.findall(r'"(--?[a-z]+)"', inspect.getsource(verbs._stop_options)))
    assert {w for row in rows(sections("magics.md")["%mlrun"]) for w in re.findall(r"`(--?[a-z]+)`", row[0])} == stop


def test_every_option_of_a_stage_cell() -> None:
    actual = {o for action in stage._parser("")._actions for o in action.option_strings}
    assert named(sections("magics.md")["%%stage"]) == actual


def test_every_option_of_the_exporter() -> None:
    own = {f"--LedgerExporter.{name}" for name in LedgerExporter.class_own_traits(config=True)}
    inherited = set(LedgerExporter.__mro__[1].class_traits(config=True))
    documented = named(sections("magics.md")["jupyter nbconvert --to ledger"])
    assert {name for name in own if name.split(".")[1] not in inherited} == documented


def test_every_recorded_tag() -> None:
    recorded = {tag for path in RECORDERS for tag in tags_of(ROOT / path)}
    assert named(sections("how-it-works.md")["Tags"]) == recorded


def test_every_artifact_of_the_ledger() -> None:
    source = "".join((ROOT / path).read_text() for path in RECORDERS)
    written = set(re.findall(r'folder / "([a-z]+\.[a-z]+)"', source)) | {"manifest.json"}
    documented = {n for n in named(sections("how-it-works.md")["Artifacts"]) if n.startswith("nbledger/")}
    assert documented == {f"nbledger/{name}" for name in written} | {
        "nbledger/unlogged/",
        "nbledger/gate/",
        "nbledger/batch.json",
        "nbledger/repro.json",
    }


def test_every_link_and_picture_is_there() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"", text):
            path = next(filter(None, target))
            if "://" not in path:
                assert (page.parent / path).exists(), f"{page.name}: {path}"


def tags_of(path: Path) -> set[str]:
    """String constants that are keys of dictionaries, subscripts, or one of ``NAMED_TAGS``, and look like a tag."""
    keys: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            keys += node.keys
        elif isinstance(node, ast.Subscript):
            keys.append(node.slice)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in NAMED_TAGS:
            keys.append(node.value)
    words = {k.value for k in keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
    return {word for word in words if re.fullmatch(r"(nbledger|mlflow)\.[\w.]+", word)}


def test_every_setting_of_the_sidebar() -> None:
    schemas = [json.loads(path.read_text()) for path in (ROOT / "labextension" / "schema").glob("*.json")]
    properties = [p for schema in schemas for p in schema["properties"].values()]
    shown = {True: "on", False: "off"}
    actual = {p["title"]: shown[p["default"]] if p["type"] == "boolean" else str(p["default"]) for p in properties}
    documented = {row[0].strip("*"): row[1] for row in rows(sections("sidebar.md")["Settings"])}
    assert documented == actual
