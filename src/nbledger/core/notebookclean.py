"""A notebook as Git keeps it: source, cells' ids and what people set; without what a run leaves behind.

The rules, and the bytes, are those of ``nbstripout --keep-id`` with ``DROPPED`` as extra keys. They are spelt out here
because Git asks for them at every ``git status``, and importing nbstripout takes over a second where this module takes
none: nothing but the standard library is imported for notebooks of format 4. Older formats are nbstripout's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DROPPED = ("metadata.papermill", "cell.metadata.papermill")
"""Metadata that a run leaves, beside those that nbstripout drops by itself. (The language's version stays, though it differs from
person to person: JupyterLab would put it back into each notebook that it opens, and call that unsaved.)
"""

_ALSO = (
    *("metadata.signature", "metadata.widgets", "cell.metadata.collapsed", "cell.metadata.ExecuteTime"),
    *("cell.metadata.execution", "cell.metadata.heading_collapsed", "cell.metadata.hidden", "cell.metadata.scrolled"),
)
_OF_NOTEBOOK = [key.removeprefix("metadata.") for key in (*_ALSO, *DROPPED) if key.startswith("metadata.")]
_OF_CELL = [key.removeprefix("cell.metadata.") for key in (*_ALSO, *DROPPED) if key.startswith("cell.")]
_TRANSIENT = ("orig_nbformat", "orig_nbformat_minor", "signature")
_LINED = ("application/javascript", "image/svg+xml")

Notebook = dict[str, Any]


class NoNotebook(ValueError):
    """What should be a notebook is none; the message says why, in a few words."""


def read(data: bytes) -> Notebook:
    """The notebook of format 4 in ``data``, texts as single strings; ``NoNotebook`` where it is none."""
    notebook = _parsed(data)
    if notebook.get("nbformat") != 4:
        raise NoNotebook(f"it is of format {notebook.get('nbformat', 1)}")
    try:
        return _joined(notebook)
    except (TypeError, AttributeError, KeyError, ValueError) as err:
        raise NoNotebook("its cells are not as the format has them") from err


def stripped(notebook: Notebook) -> Notebook:
    """The notebook without what a run leaves behind; changed in place."""
    metadata = notebook["metadata"]
    keep = bool(metadata.get("keep_output", False))
    for key in _OF_NOTEBOOK:
        _drop(metadata, key)
    for cell in notebook["cells"]:
        if "outputs" in cell:
            if not _keeps(cell["metadata"], keep):
                cell["outputs"] = []
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = None
        for count in ("execution_count", "prompt_number"):
            if count in cell:
                cell[count] = None
        for key in _OF_CELL:
            _drop(cell["metadata"], key)
    return notebook


def written(notebook: Notebook) -> bytes:
    """The bytes of a notebook, as nbformat (and so JupyterLab) writes them. Its texts are split into lines in place."""
    for cell in notebook["cells"]:
        _split(cell, "source")
        for bundle in cell.get("attachments", {}).values():
            _split_bundle(bundle)
        if cell["cell_type"] == "code":
            for output in cell["outputs"]:
                if output["output_type"] in ("execute_result", "display_data"):
                    _split_bundle(output.get("data", {}))
                elif output["output_type"] == "stream":
                    _split(output, "text")
    text = _dumped(notebook, plain=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON may name and UTF-8 may not
        return _dumped(notebook, plain=True).encode()


def cleaned(data: bytes) -> bytes:
    """The notebook in ``data`` as Git keeps it; ``NoNotebook`` where it is none. Cleaning twice changes nothing more."""
    if not data.strip():
        return data  # not written yet
    parsed = _parsed(data)
    if parsed.get("nbformat") != 4:
        return _by_nbstripout(parsed)
    try:
        return written(stripped(_joined(parsed)))
    except RecursionError as err:
        raise NoNotebook("it is nested too deep") from err
    except (TypeError, AttributeError, KeyError, ValueError) as err:
        raise NoNotebook(
            str(err) if isinstance(err, NoNotebook) else "its cells are not as the format has them"
        ) from err


def _parsed(data: bytes) -> Notebook:
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        raise NoNotebook("it is not UTF-8") from err
    except RecursionError as err:
        raise NoNotebook("it is nested too deep") from err
    except ValueError as err:
        marked = b"\n<<<<<<< " in b"\n" + data and b"\n>>>>>>> " in data
        raise NoNotebook("it holds marks of a merge conflict" if marked else "it is not JSON") from err
    if not isinstance(found, dict):
        raise NoNotebook("it is JSON, but no notebook")
    return found


def _joined(notebook: Notebook) -> Notebook:
    """Texts that are lists of lines as one string, as nbformat reads them; what it does not store is taken out."""
    metadata = notebook["metadata"]
    for key in _TRANSIENT:
        metadata.pop(key, None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("trusted", None)
        _join(cell, "source")
        for bundle in cell.get("attachments", {}).values():
            _join_bundle(bundle)
        if cell["cell_type"] == "code":
            for output in cell["outputs"]:
                kind = output["output_type"]
                if kind in ("execute_result", "display_data"):
                    _join_bundle(output.get("data", {}))
                elif kind:
                    _join(output, "text")
    return notebook


def _join(owner: Notebook, key: str) -> None:
    if isinstance(owner.get(key), list):
        owner[key] = "".join(owner[key])


def _split(owner: Notebook, key: str) -> None:
    if isinstance(owner.get(key), str):
        owner[key] = owner[key].splitlines(keepends=True)


def _join_bundle(bundle: Notebook) -> None:
    for mime, value in bundle.items():
        is_json = mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))
        if not is_json and isinstance(value, list) and all(isinstance(line, str) for line in value):
            bundle[mime] = "".join(value)


def _split_bundle(bundle: Notebook) -> None:
    for mime, value in bundle.items():
        if isinstance(value, str) and (mime.startswith("text/") or mime in _LINED):
            bundle[mime] = value.splitlines(keepends=True)


def _keeps(metadata: Mapping[str, Any], default: bool) -> bool:
    """Whether a cell's outputs stay: its tag or metadata ``keep_output`` (or ``init_cell``) says so."""
    if "init_cell" in metadata:
        return bool(metadata["init_cell"])
    tagged = "keep_output" in (metadata.get("tags") or [])
    if "keep_output" not in metadata:
        return tagged or default
    if tagged and not metadata["keep_output"]:
        raise NoNotebook("a cell's tag says keep_output, and its metadata that it is not to be kept")
    return tagged or bool(metadata["keep_output"])


def _drop(metadata: Notebook, key: str) -> None:
    """Take out ``a.b``: the key of that name, or ``b`` of ``a``."""
    if key in metadata:
        del metadata[key]
        return
    first, dot, rest = key.partition(".")
    if dot and isinstance(metadata.get(first), dict):
        _drop(metadata[first], rest)


def _dumped(notebook: Notebook, *, plain: bool) -> str:
    return json.dumps(notebook, indent=1, sort_keys=True, separators=(",", ": "), ensure_ascii=plain) + "\n"


def _by_nbstripout(parsed: Notebook) -> bytes:
    """A notebook of format 3 and older."""
    from nbledger.core.kernels import quickly

    with quickly():
        import nbformat.reader
        from nbstripout._utils import strip_output  # type: ignore[import-untyped]
    try:
        notebook = nbformat.reader.reads(json.dumps(parsed))
        bare = strip_output(notebook, keep_output=None, keep_count=False, keep_id=True, extra_keys=[*_ALSO, *DROPPED])
        text: str = nbformat.versions[nbformat.reader.get_version(notebook)[0]].writes_json(bare)
    except Exception as err:  # whatever it makes of what has never been a notebook
        raise NoNotebook("it is JSON, but no notebook") from err
    return (text if text.endswith("\n") else f"{text}\n").encode()
