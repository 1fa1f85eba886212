"""What a run takes from the kernel when its cell has ended: values, files, environment, cells, inputs and outputs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import cells as session_cells
from nbledger.core import environment as environments
from nbledger.core import hidden, modules, stagecells, traces, values
from nbledger.core import lineage as lineages
from nbledger.core.defuse import names_of
from nbledger.core.errors import UsageError, nearest
from nbledger.core.observe import Observation
from nbledger.core.project import Project
from nbledger.core.sieve import Sieve, import_path
from nbledger.keeper.recorder import Recording

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_PICKLE_NOTE = "could not be serialised for MLflow"


def notebook_name(project: Project, notebook: Path | None) -> str | None:
    """The notebook's path from the root, or whole if it lies outside."""
    if notebook is None:
        return None
    return project.relative(notebook.resolve()) or str(notebook)


def notebook_parameters(session: Session, notebook: Path | None) -> dict[str, Any]:
    """Parameters of the cell tagged ``parameters`` and of papermill's injected cell, as they were executed; in a stage, which
    is a part of the notebook, those that its cells use.
    """
    found = dict(session_cells.parameters(notebook, session.cells, session.shell.user_ns))
    if stagecells.RUNNING not in os.environ:
        return found
    names = [names_of(cell.source) for cell in session.cells]
    used = set[str]().union(*(each.loads | each.later for each in names))
    return {name: value for name, value in found.items() if name in used}


def _lookup(names: Mapping[str, Any], variable: str) -> Any:
    """The value of a variable, or of ``a.b`` where b is an attribute or key of it."""
    first, *rest = variable.split(".")
    if first not in names:
        raise UsageError(f"{variable} was not recorded: there is no variable {first!r}", nearest(first, _own(names)))
    value = names[first]
    for part in rest:
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value


def _own(names: Mapping[str, Any]) -> list[str]:
    """Names that a cell set, not the shell or Python."""
    return [name for name in names if not hidden.is_shell(name)]


def late_parameters(recording: Recording, options: argparse.Namespace, names: Mapping[str, Any]) -> None:
    """``-p NAME`` of variables that the cell itself bound, and a notice where ``-p K=V`` is not what K was."""
    for text in options.param:
        name, given, value = text.partition("=")
        if not given and name not in recording.params:
            if name in names:
                recording.log_params({name: names[name]})
            elif recording.status == "FINISHED":
                near = nearest(name, _own(names))
                raise UsageError(f"parameter {name} was not recorded: there is no such variable", near)
        elif given and _names(recording.plan.source, name) and not _same(value, names.get(name)):
            recording.notice(f"-p {name}={value} was recorded, but the variable {name} was {names[name]!r}")


def _names(source: str, name: str) -> bool:
    """Whether the cell's body mentions the variable: else its value says nothing about the parameter."""
    return re.search(rf"\b{re.escape(name)}\b", source.partition("\n")[2]) is not None


def _same(text: str, value: Any) -> bool:
    if text == str(value) or not isinstance(value, str | int | float):
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False


def kept(names: Mapping[str, Any], variables: Iterable[str]) -> dict[str, tuple[Callable[[], Any], int | None]]:
    """What the variables to be recorded hold before the cell runs, with the lengths of those that grow. Models and tables
    are held weakly: a cell that makes a new one must not pay for the memory of the old one.
    """
    held = {v: names[v.partition(".")[0]] for v in variables if v.partition(".")[0] in names}
    return {variable: (_hold(value), _length(value)) for variable, value in held.items()}


def _hold(value: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(value)
    except TypeError:  # numbers, text, lists
        return lambda: value


def unset(names: Mapping[str, Any], before: Mapping[str, tuple[Callable[[], Any], int | None]]) -> set[str]:
    """Those that still hold what they held before: a cell that failed has not come to set them, and an older cell's value
    is not its result.
    """
    return {
        variable
        for variable, (held, length) in before.items()
        if names.get(variable.partition(".")[0]) is held() and _length(held()) == length
    }


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | dict | set) else None


def metric(recording: Recording, variable: str, names: Mapping[str, Any], complete: bool) -> None:
    """Record a variable as metrics; text is kept as an artifact instead."""
    try:
        value = _lookup(names, variable)
    except UsageError:
        if complete:
            raise
        return
    if isinstance(value, str):
        recording.add_text(f"{variable}.txt", value)
        return
    unusable: list[str] = []
    for key, number, step in _points(variable, value, unusable):
        recording.append(key, number, step)
    if unusable:
        recording.notice(f"{variable}: {', '.join(unusable[:5])} not recorded: no number")


def _points(variable: str, value: Any, unusable: list[str]) -> Any:
    if isinstance(value, Mapping) or hasattr(value, "to_dict"):
        inner = value if isinstance(value, Mapping) else value.to_dict()
        for key, part in inner.items():
            yield from _points(f"{variable}.{key}", part, unusable)
        return
    try:
        yield from list(values.flatten(variable, value))
    except values.NotNumeric:
        unusable.append(variable)


def artifact(recording: Recording, thing: str, names: Mapping[str, Any], complete: bool) -> None:
    """Keep a file or folder by path, or a figure, table, text or JSON-able variable by name."""
    path = Path(thing)
    if thing in names and not path.exists():
        _artifact_of(recording, thing, names[thing])
    elif path.exists():
        recording.add_file(path.resolve() if path.name in ("", "..") else path)
    elif thing.isidentifier() and complete:
        _lookup(names, thing)
    elif complete:
        raise UsageError(
            f"artifact {thing} was not kept: there is no such file or variable", nearest(thing, _own(names))
        )


def _artifact_of(recording: Recording, name: str, value: Any) -> None:
    figure = value.get_figure() if hasattr(value, "get_figure") and not hasattr(value, "savefig") else value
    if hasattr(figure, "savefig"):
        with recording.new_blob(f"{name}.png") as blob:
            figure.savefig(blob, dpi=120, bbox_inches="tight")
        recording.add_blob(blob)
    elif hasattr(value, "to_csv"):
        with recording.new_blob(f"{name}.csv") as blob:
            value.to_csv(blob)
        recording.add_blob(blob)
    elif hasattr(value, "write_csv"):
        with recording.new_blob(f"{name}.csv") as blob:
            value.write_csv(blob)
        recording.add_blob(blob)
    elif hasattr(value, "save") and hasattr(value, "mode"):
        with recording.new_blob(f"{name}.png") as blob:
            value.save(blob)
        recording.add_blob(blob)
    elif isinstance(value, str | bytes):
        recording.add_text(f"{name}.txt" if isinstance(value, str) else f"{name}.bin", value)
    elif hasattr(value, "_repr_html_") and value._repr_html_():
        recording.add_text(f"{name}.html", value._repr_html_())
    else:
        try:
            recording.add_text(f"{name}.json", json.dumps(value, indent=1))
        except (TypeError, ValueError) as err:
            raise UsageError(
                f"artifact {name} was not kept: a {type(value).__name__} is no figure, table, text or JSON",
                "write it to a file and pass --artifact PATH",
            ) from err


def model(recording: Recording, variable: str, names: Mapping[str, Any], example: str | None, complete: bool) -> None:
    """Serialise a model for the process that logs it through MLflow's flavour; its example gives the signature."""
    try:
        value = _lookup(names, variable)
    except UsageError:
        if complete:
            raise
        return
    import cloudpickle

    sample = _lookup(names, example) if example else _example_for(value, names)
    sample = sample[:5] if sample is not None and hasattr(sample, "__getitem__") else sample
    try:
        with recording.new_blob(f"{variable}.pkl") as blob, open(blob, "wb") as file:
            cloudpickle.dump({"model": value, "example": sample}, file)
    except OSError:
        raise
    except Exception as err:
        raise UsageError(f"model {variable} {_PICKLE_NOTE}: {err}", "log it in the cell with mlflow itself") from err
    recording.model(blob, variable, [path for path in import_path() if path] + [os.getcwd()])


def _example_for(value: Any, names: Mapping[str, Any]) -> Any:
    """Data in the namespace with the columns (or the number of them) that a fitted scikit-learn model was given."""
    columns, count = getattr(value, "feature_names_in_", None), getattr(value, "n_features_in_", None)
    if count is None:
        return None
    preferred = sorted((n for n in names if not n.startswith("_")), key=lambda n: "test" not in n.lower())
    for name in preferred:
        data = names[name]
        if getattr(data, "ndim", None) != 2 or not hasattr(data, "shape") or not data.shape[0]:
            continue
        if columns is not None and hasattr(data, "columns"):
            if list(data.columns) == list(columns):
                return data
        elif columns is None and not hasattr(data, "columns") and data.shape[1] == count:
            return data
    return None


@dataclass(frozen=True)
class Scope:
    """What of a session makes up a run. ``cwd``: the kernel's folder when it started, before any cell. ``first``: index of the first of its
    cells, None for a run of one cell. ``batch``: it is the run of a whole notebook.
    """

    cwd: str
    first: int | None = None
    batch: bool = False


def new_folder(recording: Recording) -> Path:
    """Where the files of the run's record are written."""
    with recording.new_blob("nbledger") as folder:
        folder.mkdir()
    return folder


def _write(place: Path, text: str) -> None:
    """All of it or nothing: a part that a full disk had room for would look like the whole."""
    try:
        place.write_text(text, encoding="utf-8", errors="surrogatepass")
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def environment(recording: Recording, folder: Path) -> None:
    """``environment.txt``, ``environment.json``, and the tag that names their digest. Which distributions the imported
    modules belong to is looked up by whoever publishes.
    """
    now = environments.current()
    _write(folder / "environment.txt", environments.as_requirements(now))
    path = [os.path.abspath(entry or os.curdir) for entry in import_path()]
    noted = {"modules": modules.loaded(), "path": path}
    facts = {**environments.to_dict(now), **environments.process(), "loaded": noted}
    _write(folder / "environment.json", json.dumps(facts))
    recording.environment(folder)
    recording.log_tags({"nbledger.env.digest": now.digest, "nbledger.kernel": f"{now.implementation} {now.python}"})


def needed(session: Session, scope: Scope) -> list[int]:
    """Indexes of the cells that the run depends on, ascending, its own last."""
    if scope.batch and not scope.first:
        return list(range(len(session.cells)))
    return traces.needed(session.cells, session.traced(), scope.first)


def cells(
    recording: Recording,
    session: Session,
    scope: Scope,
    needed: Sequence[int],
    seen: Observation,
    folder: Path,
    reasons: Sequence[str],
    warned: str,
) -> None:
    """``session.ipynb``, ``session.json``, the digest of the cells, and whether the run stands on a clean order of them.

    ``reasons``: what of its state is hidden; ``warned``: what was said of it before the cell ran, not shown again.
    """
    executed, notebook = session.cells, session.notebook()
    _write(folder / "session.ipynb", recording.concealed(session_cells.session_notebook(executed)))
    current = executed[-1].cell_id if executed else None
    order = session_cells.order(executed, notebook, current, needed)
    recording.log_tags(
        {"nbledger.cells.digest": session_cells.digest([c.source for c in executed]), "nbledger.order": order.state}
    )
    facts = facts_of(recording.project, session, notebook, set(seen.modules))
    noted = {
        "schema": 1,
        "cwd": recording.project.relative(Path(scope.cwd)) or scope.cwd,
        "batch": scope.batch,
        "first": scope.first if scope.batch and scope.first else 0,
        "needed": list(needed),
        "order": list(order.detail),
        "hidden": list(reasons),
        "cells": facts,
    }
    _write(folder / "session.json", recording.concealed(json.dumps(noted)))
    if reasons:
        recording.notice(text := hidden.line(reasons), shown=text != warned)
    elif order.state != "clean" and (notebook is None or scope.first is not None):
        recording.notice(f"cells {order.state}: {'; '.join(order.detail[:3])}")


def facts_of(project: Project, session: Session, notebook: Path | None, code: set[str]) -> list[dict[str, Any]]:
    """What each executed cell did; what was put into words for an earlier run is not again."""
    sieve, made = Sieve(project, notebook), session.facts
    traced, known = session.traced(), traces.saved(session.cells, notebook)
    last = len(session.cells) - 1
    found: list[dict[str, Any]] = []
    for index, (cell, trace) in enumerate(zip(session.cells, traced, strict=True)):
        facts = made.get(index) or traces.fact(project, sieve, code, cell, trace)
        if index != last:  # the last may still be running
            made[index] = facts
        found.append({**facts, "saved": known[index]})
    return found


def seed(number: int, done: Callable[[], object]) -> None:
    """Seed ``random``, and NumPy and torch where they are loaded or the moment they are; call ``done`` each time."""
    import random

    from nbledger.core.importwatch import when_imported

    def numpy_too(numpy: Any) -> None:
        numpy.random.seed(number % 2**32)
        done()

    def torch_too(torch: Any) -> None:
        torch.manual_seed(number)
        done()

    random.seed(number)
    when_imported("numpy", numpy_too)
    when_imported("torch", torch_too)


def seeds(recording: Recording, number: int | None) -> None:
    known: dict[str, Any] = {"seed": number} if number is not None else {}
    if os.environ.get("PYTHONHASHSEED"):
        known["PYTHONHASHSEED"] = os.environ["PYTHONHASHSEED"]
    recording.log_tags({"nbledger.seeds": json.dumps(known)})


def lineage(
    recording: Recording,
    session: Session,
    scope: Scope,
    needed: Sequence[int],
    seen: Observation,
    options: argparse.Namespace,
    folder: Path,
) -> None:
    """``inputs.json`` and ``outputs.json``, the dataset inputs, and a notice for each input that is not versioned. What
    the cells read that the run depends on are its inputs too.
    """
    project, traced = recording.project, session.traced()
    own = max(len(traced) - 1, 0) if scope.first is None else scope.first
    sieve = Sieve(project, session.notebook())
    found = lineages.describe(
        project,
        seen,
        options.inputs,
        options.outputs,
        hash_budget_mb=project.settings.hash_max_mb,
        carried=traces.carried(project, traced, needed, sieve, set(seen.modules), own),
    )
    found = dataclasses.replace(found, models=traces.models(traced, needed, seen.models))
    unseen = [*found.unseen, *traces.unseen(traced, needed, found.unseen, seen.beyond)]
    inputs = {
        "inputs": [lineages.record_to_dict(r) for r in found.inputs],
        "modules": found.modules,
        "unseen": unseen,
        **({"absent": found.absent} if found.absent else {}),
        "models": [dataclasses.asdict(use) for use in found.models],
    }
    _write(folder / "inputs.json", json.dumps(inputs, indent=1))
    outputs = {"outputs": [lineages.record_to_dict(r) for r in found.outputs]}
    _write(folder / "outputs.json", json.dumps(outputs, indent=1))
    recording.lineage(found, folder, {lineages.shown(project, path) for path in traces.made(traced, own)})
