"""Readers and writers that open files in C, C++ or Rust, unseen by the audit hook, made to tell of it.

Each is wrapped when its module is imported, in the module that exports it and in the one that defines it, so that
pickling by reference and ``is`` still hold. A wrapper only records.

A Python frame between a caller and such a function would be felt: DuckDB looks up data frames by name in its caller's
variables, and warnings are attributed to the caller's line. So the wrapper evaluates the call in a frame that has its
caller's globals, variables, file and line (about 2 µs), and cuts its own frames out of tracebacks.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType, TracebackType
from typing import Any

from nbledger.core import modeluse, observe, sqlfiles
from nbledger.core.git import scrub_url
from nbledger.core.importwatch import when_imported

Note = Callable[[tuple[Any, ...], dict[str, Any]], object]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATH_KEYS = (
    "source",
    "where",
    "path",
    "paths",
    "path_or_paths",
    "input_file",
    "output_file",
    "file",
    "filename",
    "name",
    "base_dir",
    "root_path",
    "dest",
    "metadata_path",
    "path_or_buffer",
    "path_or_buf",
    "file_glob",
    "file_globs",
    "database",
    "img",
    "sink",
    "workbook",
    "target",
    "file_name",
)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, keys: tuple[str, ...]) -> Any:
    if len(args) > position:
        return args[position]
    return next((kwargs[k] for k in keys if k in kwargs), None)


def _named(value: Any, depth: int = 3) -> Iterator[str]:
    """The file names and addresses in an argument; buffers, streams and frames hold none."""
    if isinstance(value, str | os.PathLike):
        yield os.fsdecode(os.fspath(value))
    elif isinstance(value, bytes) and len(value) < 4096 and b"\0" not in value:
        yield os.fsdecode(value)
    elif isinstance(value, list | tuple | set | frozenset) and depth:
        for item in value:
            yield from _named(item, depth - 1)


def _scheme(filesystem: Any) -> str:
    """``""`` for the local file system, else the name of a remote one."""
    kind = str(getattr(filesystem, "type_name", "") or getattr(filesystem, "protocol", ""))
    return "" if filesystem is None or kind in ("", "local", "file", "subtree") or "'file'" in kind else kind


def _local(name: str, filesystem: Any = None) -> str | None:
    """The absolute local path (or pattern) of a name; what is remote is reported and gives None."""
    scheme = _scheme(filesystem)
    if scheme:
        observe.saw_remote(scrub(f"{scheme}://{name.lstrip('/')}"))
        return None
    if name.startswith("file://"):
        name = name[len("file://") :]
    elif _URL.match(name):
        observe.saw_remote(scrub(name))
        return None
    base = getattr(filesystem, "base_path", "")
    return os.path.abspath(os.path.join(base, os.path.expanduser(name))) if name and "\0" not in name else None


def scrub(url: str) -> str:
    """The address without user, password, query (which may be a signature) and fragment."""
    return re.split(r"[?#]", scrub_url(url), maxsplit=1)[0]


def _files(value: Any, filesystem: Any = None) -> Iterator[str]:
    for name in _named(value):
        path = _local(name, filesystem)
        if path is None:
            continue
        if glob.has_magic(path) and not os.path.lexists(path):
            yield from glob.iglob(path, recursive=True)
        else:
            yield path


def reads(position: int = 0, keys: tuple[str, ...] = _PATH_KEYS) -> Note:
    def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for path in _files(_argument(args, kwargs, position, keys), kwargs.get("filesystem")):
            observe.saw_read(path)

    return note


def writes(position: int = 0, keys: tuple[str, ...] = _PATH_KEYS) -> Note:
    def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for name in _named(_argument(args, kwargs, position, keys)):
            path = _local(name, kwargs.get("filesystem"))
            if path is not None:
                observe.saw_write(path)

    return note


def opens(position: int = 0, default: str = "r") -> Note:
    """``open(name, mode)``: the mode decides."""

    def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        mode = str(_argument(args, kwargs, position + 1, ("mode",)) or default)
        for path in _files(_argument(args, kwargs, position, _PATH_KEYS)):
            if mode[:1] in ("w", "x"):
                observe.saw_write(path)
            elif mode[:1] == "a" or "+" in mode:
                observe.saw_shared(path)
            else:
                observe.saw_read(path)

    return note


def _sql(position: int) -> Note:
    def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        query = _argument(args, kwargs, position, ("query",))
        text = query if isinstance(query, str) else str(getattr(query, "query", ""))
        values = _argument(args, kwargs, position + 1, ("parameters", "params"))
        found = sqlfiles.files_of(text, list(_named(values)))
        for path in _files(list(found.reads)):
            if os.path.isfile(path) or (found.folders and os.path.isdir(path)):
                observe.saw_read(path)
        for name in found.writes:
            if (target := _local(name)) is not None:
                observe.saw_write(target)
        for path in _files(list(found.databases)):
            observe.saw_shared(path)

    return note


def _connect(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name = _argument(args, kwargs, 0, ("database",))
    read_only = _argument(args, kwargs, 1, ("read_only",))
    if name and not str(name).startswith(":"):
        for path in _files(name):
            (observe.saw_read if read_only else observe.saw_shared)(path)


_FRAME = "'call'()"


@functools.cache
def _template() -> tuple[CodeType, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # calling a constant is a mistake everywhere but here
        code = compile(_FRAME, "<nbledger>", "eval")
    return code, code.co_consts.index("call")


def _call_as(caller: Any, call: Callable[[], Any], variables: bool) -> Any:
    """``call()`` from a frame that looks like ``caller``'s, where the callee looks for its caller."""
    code, place = _template()
    constants = (*code.co_consts[:place], call, *code.co_consts[place + 1 :])
    here = code.replace(
        co_consts=constants,
        co_filename=caller.f_code.co_filename,
        co_name=caller.f_code.co_name,
        co_firstlineno=caller.f_lineno or 1,
    )
    return eval(here, caller.f_globals, caller.f_locals if variables else {})  # noqa: S307


def _beyond(trace: TracebackType | None) -> TracebackType | None:
    """The traceback below the wrapper's two frames and the stand-in for the caller."""
    for _ in range(3):
        trace = trace.tb_next if trace else None
    return trace


def _wrap(function: Callable[..., Any], note: Note, variables: bool = False) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython and pytest leave this frame out
        if observe.watching():
            with contextlib.suppress(Exception):
                note(args, kwargs)
        try:
            return _call_as(sys._getframe(1), functools.partial(function, *args, **kwargs), variables)  # noqa: SLF001
        except BaseException as error:
            error.__traceback__ = _beyond(error.__traceback__)
            raise

    call.__nbledger__ = True  # type: ignore[attr-defined]
    return call


class _Recording(type):
    """Stands in for a class of C: its instances, and the original's, are instances of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


def _stand_in(original: type, note: Note, module: str) -> type:
    """A subclass whose construction is recorded, for classes whose ``__init__`` cannot be replaced.

    In ``__new__``, because classes of C open the file there and may have no ``__init__`` that takes arguments.
    """

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        if observe.watching():
            with contextlib.suppress(Exception):
                note(args, kwargs)
        return original.__new__(cls, *args, **kwargs)

    names = {
        "__new__": __new__,
        "__module__": module,
        "__doc__": original.__doc__,
        "__qualname__": original.__qualname__,
        "__nbledger__": True,
    }
    return _Recording(original.__name__, (original,), names)


def _put(module: ModuleType, name: str, note: Note, variables: bool) -> None:
    """Wrap ``module.name`` or ``module.Class.method``; what this version does not have is passed over."""
    owner: Any = module
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, last)
    if "__nbledger__" in getattr(original, "__dict__", ()):
        return
    if isinstance(original, type):
        setattr(owner, last, _stand_in(original, note, module.__name__))
        return
    wrapper = _wrap(original, note, variables)
    setattr(owner, last, wrapper)
    home = sys.modules.get(str(getattr(original, "__module__", "")))
    defined = str(getattr(original, "__name__", last))
    if not path and home is not None and getattr(home, defined, None) is original:
        setattr(home, defined, wrapper)


def install() -> None:
    """Watch for every known module; those that are imported are wrapped now."""
    for module, entries in _TABLE.items():
        when_imported(module, functools.partial(_apply, entries))
    when_imported("polars", _polars)
    modeluse.install()


_Entry = tuple[tuple[str, ...], Note]


def _apply(entries: tuple[_Entry, ...], module: ModuleType) -> None:
    frames = module.__name__ == "duckdb"
    for names, note in entries:
        for name in names:
            with contextlib.suppress(Exception):
                _put(module, name, note, frames)


_NOT_FILES = (
    "database",
    "clipboard",
    "arrow_c_stream",
    "external_reader",
    "pyarrow_dataset",
    "database_uri",
    "batches",
)


def _polars(module: ModuleType) -> None:
    """Polars has a reader per format and grows more: all by name, but those that take no file."""

    def of(owner: Any, *prefixes: str) -> tuple[str, ...]:
        return tuple(n for n in dir(owner) if n.startswith(prefixes) and n.partition("_")[2] not in _NOT_FILES)

    frame = tuple(f"DataFrame.{n}" for n in of(module.DataFrame, "write_"))
    lazy = tuple(f"LazyFrame.{n}" for n in of(module.LazyFrame, "sink_"))
    _apply(((of(module, "read_", "scan_"), reads()), (frame + lazy, writes(1))), module)


_QUERIES = ("sql", "query", "execute", "executemany", "from_query")
_DUCK_READS = ("read_csv", "from_csv_auto", "read_parquet", "from_parquet", "read_json")
_DUCK_WRITES = ("to_csv", "write_csv", "to_parquet", "write_parquet")

_TABLE: dict[str, tuple[_Entry, ...]] = {
    "pyarrow": (
        (("memory_map", "OSFile"), opens()),
        (("input_stream",), reads()),
        (("output_stream", "create_memory_map"), writes()),
    ),
    "pyarrow.ipc": ((("open_file", "open_stream"), reads()), (("new_file", "new_stream"), writes())),
    "pyarrow.parquet": (
        (("read_table", "read_schema", "read_metadata", "read_pandas"), reads()),
        (("ParquetFile.__init__", "ParquetDataset.__init__"), reads(1)),
        (("write_table", "write_to_dataset", "ParquetWriter.__init__"), writes(1)),
        (("write_metadata",), writes(1)),
    ),
    "pyarrow.csv": ((("read_csv", "open_csv"), reads()), (("write_csv",), writes(1))),
    "pyarrow.json": ((("read_json", "open_json"), reads()),),
    "pyarrow.feather": ((("read_feather", "read_table"), reads()), (("write_feather",), writes(1))),
    "pyarrow.orc": (
        (("read_table",), reads()),
        (("ORCFile.__init__",), reads(1)),
        (("write_table", "ORCWriter.__init__"), writes(1)),
    ),
    "pyarrow.dataset": ((("dataset", "parquet_dataset"), reads()), (("write_dataset",), writes(1))),
    "duckdb": (
        (("connect",), _connect),
        (_QUERIES, _sql(0)),
        (tuple(f"DuckDBPyConnection.{n}" for n in _QUERIES), _sql(1)),
        (_DUCK_READS, reads()),
        (tuple(f"DuckDBPyConnection.{n}" for n in _DUCK_READS), reads(1)),
        (tuple(f"DuckDBPyRelation.{n}" for n in _DUCK_WRITES), writes(1)),
        (("write_csv",), writes(1)),
    ),
    "h5py": ((("File.__init__",), opens(1)),),
    "tables": ((("open_file",), opens()),),
    "netCDF4": ((("Dataset",), opens()),),
    "cv2": ((("imread", "imreadmulti"), reads()), (("imwrite", "imwritemulti"), writes())),
}
