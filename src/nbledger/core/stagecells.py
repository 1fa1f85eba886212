"""Which cells of a notebook a stage is: those that begin with ``%%stage NAME`` and what these need, or the whole notebook.

``code`` is that as text, for a file on which the stage depends: DVC compares whole files, and a notebook's file changes
whenever it is executed.
"""

from __future__ import annotations

import ast
import copy
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from nbledger.core import cells, defuse
from nbledger.core.errors import UsageError, nearest

MAGIC = "%%stage"
TAG = "nbledger.stage"
"""Tag of a run: the stage whose code it executed."""
RUNNING = "NBLEDGER_STAGE"
"""Variable of a kernel that executes a stage: its name. ``%%stage`` lines do nothing there, and nbledger's own line magics
are skipped: under ``dvc repro`` none may move Git or DVC.
"""
KINDS = {
    "-d": "deps",
    "--deps": "deps",
    "-o": "outs",
    "--outs": "outs",
    "-M": "metrics",
    "--metrics": "metrics",
    "-p": "params",
    "--params": "params",
    "--plots": "plots",
}
"""What each option of a `%%stage` line declares."""
_OWN = re.compile(r"^(\s*)((?:[A-Za-z_][\w, ]*=\s*)?)%(?:ledger|track_data|runs|compare_runs|reproduce|mlrun)\b")
_SETTING = re.compile(
    r"^\s*(?:%(?:env|set_env|cd|pushd|popd|(?:re)?load_ext(?!\s+nbledger\b)|autoreload|config|matplotlib|alias)\b|from __future__ )",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Slice:
    """What a stage executes of its notebook: ``indexes`` of its cells, in order; ``own`` are those that bear the stage's
    name, ``borrowed`` those of other stages, {stage: indexes}.
    """

    indexes: tuple[int, ...]
    own: tuple[int, ...]
    borrowed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@lru_cache(4096)
def stage_of(source: str) -> str | None:
    """The stage that a cell bears the name of; None for a cell that does not begin with ``%%stage NAME``."""
    words = header(source)
    if words is None:
        return None
    try:
        rest = shlex.split(words)
    except ValueError:
        rest = words.split()
    skip = False
    for word in rest:
        if skip:
            skip = False
        elif word in KINDS:
            skip = True
        elif not word.startswith("-"):
            return word
    return None


def header(source: str) -> str | None:
    """What follows ``%%stage`` on the cell's first line; None for any other cell."""
    first = source.lstrip("\n").split("\n", 1)[0].rstrip()
    if first == MAGIC or first.startswith((MAGIC + " ", MAGIC + "\t")):
        return first[len(MAGIC) :].strip()
    return None


def names(notebook: Any) -> list[str]:
    """The stages that cells of the notebook bear the names of, in order."""
    found = (stage_of(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    return list(dict.fromkeys(name for name in found if name is not None))


def slice_of(notebook: Any, name: str) -> Slice:
    """The cells that the stage ``name`` executes of a notebook (an nbformat node). ``UsageError`` where cells bear the names
    of stages, and none bears this one.
    """
    code = [
        (at, cell.source) for at, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()
    ]
    borne = {at: stage_of(source) for at, source in code}
    own = tuple(at for at, bears in borne.items() if bears == name)
    if not own:
        known = names(notebook)
        if known:
            raise UsageError(
                f"no cell begins with `%%stage {name}`", nearest(name, known) or f"its stages: {', '.join(known)}"
            )
        whole = tuple(at for at, source in code if not _empty(source))
        return Slice(whole, whole)
    chosen, modules = set(own), _modules(source for _, source in code)

    def names_of(source: str) -> defuse.Names:
        """What a cell needs and makes. `json.dump(…)` in another stage changes nothing that this one has of `json`."""
        found = defuse.names_of(source)
        return found if stage_of(source) in (None, name) else replace(found, may_bind=found.may_bind - modules)

    for target in own:
        before = [(at, source) for at, source in code if at <= target]
        ran = [cells.Cell(source, None, 0.0, None) for _, source in before]
        chosen |= {before[position][0] for position in cells.slice_of(ran, names_of)}
    last = own[-1]
    chosen |= {at for at, source in code if at < last and borne[at] is None and _SETTING.search(source)}
    kept = tuple(at for at, source in code if at in chosen and (at in own or not _empty(source)))
    borrowed: dict[str, tuple[int, ...]] = {}
    for at in kept:
        bears = borne[at]
        if bears is not None and bears != name:
            borrowed[bears] = (*borrowed.get(bears, ()), at)
    return Slice(kept, own, borrowed)


def _modules(sources: Iterable[str]) -> frozenset[str]:
    """Names that `import` statements of these cells give to modules."""
    nodes = (node for source in sources for part in defuse.body_of(source) or () for node in ast.walk(part))
    named = (alias for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    return frozenset(alias.asname or alias.name.partition(".")[0] for alias in named)


def _empty(source: str) -> bool:
    """Whether a cell holds nothing but comments and nbledger's own line magics."""
    lines = plain(source).splitlines()
    return all(not line.strip() or line.lstrip().startswith("#") or line.strip() == "pass" for line in lines)


def left_out(notebook: Any, chosen: Slice) -> list[str]:
    """Nbledger's own line magics in the cells of a stage: they are skipped there."""
    found = []
    for at in chosen.indexes:
        found += [line.strip() for line in notebook.cells[at].source.splitlines() if _OWN.match(line)]
    return found


def remarks(name: str, borrowed: Iterable[str], left_out: Iterable[str]) -> list[str]:
    """What is to be known of a stage's cells: those of other stages that it needs, and what it skips."""
    found = [
        f"{name} needs what the stage {other} computes, and runs its cells, too: write that to a file there, and read it"
        for other in borrowed
    ]
    skipped = list(left_out)
    return [*found, f"skipped in a stage: {', '.join(skipped)}"] if skipped else found


def code(notebook: Any, name: str) -> str:
    """What ``stages/NAME.py`` holds: equal byte for byte as long as the code is that the stage executes."""
    chosen = slice_of(notebook, name)
    header = f"# The code of the stage {name}, written by `nbledger code`: edit the notebook."
    parts = [f"{header}\n# fmt: off\n# flake8: noqa\n"]  # else formatters at a commit and nbledger take turns
    parts += [f"\n# %%\n{plain(notebook.cells[at].source)}\n" for at in chosen.indexes]
    return "".join(parts)


def plain(source: str) -> str:
    """A cell's code without its ``%%stage`` line and without what a stage skips."""
    text = source
    if header(source) is not None:
        text = source.lstrip("\n").partition("\n")[2]
    return cells.normal("\n".join(_lines(text)))


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = _OWN.match(line)
        if match is None:
            yield line
        elif match[1] or match[2]:
            yield f"{match[1]}{match[2]}{'None' if match[2] else 'pass'}"


def sliced(notebook: Any, name: str) -> Any:
    """The notebook that the stage executes: of the code cells those of its slice, as they are, and no others."""
    chosen = slice_of(notebook, name)
    made = copy.copy(notebook)
    made.metadata = copy.deepcopy(notebook.metadata)
    made.cells = [copy.deepcopy(notebook.cells[at]) for at in chosen.indexes]
    return made
