"""DVC's file formats, read and written without DVC: ``.dvc``, ``dvc.yaml``, ``dvc.lock``, its configuration."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbledger.core import files
from nbledger.core.cache import Content
from nbledger.core.files import Signature

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.-]{0,60}")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_CANONICAL = re.compile(
    r"outs:\n- md5: ([0-9a-f]{32}(?:\.dir)?)\n  size: (\d+)\n(?:  nfiles: (\d+)\n)?(  isexec: true\n)?  hash: md5\n"
    r"  path: ([A-Za-z_][A-Za-z0-9_/.-]*)\n"
)
_ESCAPED = re.compile(r"([\[\]!*#?\\])")


@dataclass(frozen=True)
class Out:
    """One output that DVC tracks. ``path`` and ``pointer`` are relative to the project's root with ``/``; ``size`` in
    bytes (0 where unknown); ``stage`` names the stage of a ``dvc.yaml``, None for a ``.dvc`` file.

    ``cached`` is False for outputs that Git keeps (``cache: false``); ``legacy`` tells DVC 2's hashes and cache
    layout; ``imported`` that the pointer has a source of its own (``dvc import``); ``executable`` that the file is.
    """

    path: str
    md5: str
    size: int
    nfiles: int
    is_dir: bool
    pointer: str
    stage: str | None = None
    cached: bool = True
    legacy: bool = False
    imported: bool = False
    executable: bool = False


@dataclass(frozen=True)
class Problem:
    """A DVC file that cannot be read; ``pointer`` is relative to the project's root."""

    pointer: str
    message: str


@dataclass(frozen=True)
class Row:
    """One ``outs`` entry as written: ``path`` is relative to the pointer's folder, not yet normalised."""

    path: str
    md5: str
    size: int
    nfiles: int
    cached: bool
    legacy: bool
    executable: bool = False


@dataclass(frozen=True)
class Pointer:
    """What a ``.dvc`` file says."""

    rows: tuple[Row, ...]
    imported: bool = False


class Damaged(ValueError):
    """A DVC file that is not what it should be; the message says what is wrong with it."""


def load_yaml(text: str) -> Any:
    """Parse YAML with every scalar as a string: YAML 1.1 and 1.2 (DVC's) differ in what ``yes`` or ``1_0`` mean."""
    import yaml

    refuse_bomb(text)
    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506
    except (yaml.YAMLError, RecursionError) as err:
        mark = getattr(err, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise Damaged(f"not valid YAML{where}") from err


_LARGEST, _DEEPEST, _MOST_ALIASES = 64_000_000, 100, 1000
_ALIAS = re.compile(r"[\[,:\s-]\*[A-Za-z0-9_]+\s*(?=[,\]}\n])")


def refuse_bomb(text: str) -> None:
    """``Damaged`` for YAML that would take a reader down: too large, nested too deep, or unfolding from aliases."""
    if len(text) > _LARGEST:
        raise Damaged("too large for a file of DVC")
    if text.count("*") > _MOST_ALIASES and len(_ALIAS.findall(text)) > _MOST_ALIASES:
        raise Damaged("too many aliases")
    if "&" in text and "*" in text and _unfolded(text) > _LARGEST:
        raise Damaged("its aliases unfold without measure")
    if text.count("[") + text.count("{") > _DEEPEST:
        depth = 0
        for bracket in re.findall(r"[\[\]{}]", text):
            depth += 1 if bracket in "[{" else -1
            if depth > _DEEPEST:
                raise Damaged("nested too deep")
    if "- " * _DEEPEST in text or "? " * _DEEPEST in text:
        raise Damaged("nested too deep")


def _unfolded(text: str) -> int:
    """About how many values the document has when each alias stands for what its anchor holds (line by line)."""
    sizes: dict[str, int] = {}
    total = 0
    for line in text.splitlines():
        names = re.findall(r"(?<![\w'\"])([&*])([A-Za-z0-9_]+)", line)
        size = 1 + line.count(",") + sum(sizes.get(name, 1) for kind, name in names if kind == "*")
        sizes |= {name: size for kind, name in names if kind == "&"}
        total += size
    return total


@lru_cache(1)
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("_Strings", (base,), {"yaml_implicit_resolvers": {}})


def read_text(path: Path) -> str:
    """The file's text, read again only when its signature changed. ``Damaged`` unless it is UTF-8."""
    return _text(str(path), files.signature(os.stat(path)))


@lru_cache(4096)
def _text(path: str, signature: Signature) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as err:
        raise Damaged("not UTF-8 text") from err


def read_pointer(path: Path) -> Pointer:
    """Parse a ``.dvc`` file. ``Damaged`` when it is not one, ``OSError`` when it cannot be read."""
    return _pointer(str(path), files.signature(os.stat(path)))


@lru_cache(1 << 17)
def _pointer(path: str, signature: Signature) -> Pointer:
    text = _text.__wrapped__(path, signature)
    if match := _CANONICAL.fullmatch(text):
        md5, size, nfiles, executable, name = match.groups()
        if name.lower() not in _WORDS:
            return Pointer((Row(name, md5, int(size), int(nfiles or 1), True, False, bool(executable)),))
    data = load_yaml(text)
    if not isinstance(data, dict) or not isinstance(data.get("outs"), list):
        raise Damaged("it has no list of outs")
    wdir = data.get("wdir") or "."
    rows = tuple(_row(entry, str(wdir)) for entry in data["outs"])
    return Pointer(rows, bool(data.get("deps")))


def _row(entry: Any, wdir: str = ".") -> Row:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
        raise Damaged("an output has no path")
    md5 = str(entry.get("md5") or "")
    if md5 and not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5):
        raise Damaged(f"md5 of {entry['path']} is {md5!r}")
    return Row(
        f"{wdir}/{entry['path']}" if wdir != "." else entry["path"],
        md5,
        _count(entry, "size"),
        _count(entry, "nfiles") or 1,
        str(entry.get("cache", "true")).lower() != "false",
        bool(md5) and entry.get("hash") != "md5",
        str(entry.get("isexec", "")).lower() == "true",
    )


def _count(entry: dict[str, Any], key: str) -> int:
    text = str(entry.get(key) or 0)
    if not text.isdigit():
        raise Damaged(f"{key} is {text!r}")
    return int(text)


def read_lock(path: Path) -> dict[str, dict[str, Any]]:
    """{stage: its entry} of a ``dvc.lock``; empty without the file. Every scalar is a string."""
    try:
        data = load_yaml(read_text(path)) or {}
    except FileNotFoundError:
        return {}
    stages = data.get("stages", {}) if isinstance(data, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        raise Damaged("it has no table of stages")
    return stages


def lock_rows(stage: dict[str, Any], key: str = "outs") -> list[Row]:
    """The ``outs`` or ``deps`` of a stage of ``dvc.lock``."""
    return [_row(entry) for entry in stage.get(key) or []]


def rows_of(text: str, *, lock: bool = False) -> list[Row]:
    """The outputs that a ``.dvc`` file (or a ``dvc.lock``) with this text names. ``Damaged`` when it is not one."""
    data = load_yaml(text) or {}
    if not isinstance(data, dict):
        raise Damaged("it is no mapping")
    if lock:
        stages = data.get("stages") or {}
        return [row for stage in stages.values() if isinstance(stage, dict) for row in lock_rows(stage)]
    wdir = str(data.get("wdir") or ".")
    return [_row(entry, wdir) for entry in data.get("outs") or []]


def read_stages(path: Path) -> dict[str, dict[str, Any]]:
    """{stage: its entry} of a ``dvc.yaml``, templates unresolved; every scalar is a string."""
    data = load_yaml(read_text(path)) or {}
    stages = data.get("stages") or {} if isinstance(data, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        raise Damaged("it has no table of stages")
    return stages


def stage_outs(stage: dict[str, Any]) -> dict[str, bool]:
    """{path as written: whether DVC caches it} of the outputs a stage declares."""
    found: dict[str, bool] = {}
    wdir = stage.get("wdir")
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind) or []:
            path, options = next(iter(entry.items())) if isinstance(entry, dict) and entry else (entry, {})
            if isinstance(path, str):
                cached = not isinstance(options, dict) or str(options.get("cache", "true")).lower() != "false"
                found[f"{wdir}/{path}" if isinstance(wdir, str) else path] = cached
    return found


def render_pointer(name: str, content: Content) -> bytes:
    """A new ``.dvc`` file for ``name``, byte for byte as DVC 3 writes it."""
    fields = _fields(content)
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        lines = [f"{key}: {'true' if value is True else value}" for key, value in {**fields, "path": name}.items()]
        return ("outs:\n- " + "\n  ".join(lines) + "\n").encode()
    return _dump({"outs": [{**fields, "path": name}]})


def _fields(content: Content) -> dict[str, Any]:
    fields: dict[str, Any] = {"md5": content.md5, "size": content.size}
    if content.is_dir:
        fields["nfiles"] = content.nfiles
    elif content.is_exec:
        fields["isexec"] = True
    fields["hash"] = "md5"
    return fields


def revise_pointer(text: str, index: int, name: str, content: Content) -> bytes:
    """The ``.dvc`` file ``text`` with its output number ``index`` brought up to date; plain ones are written anew."""
    if _CANONICAL.fullmatch(text) and _PLAIN.fullmatch(name):
        return render_pointer(name, content)
    return update_pointer(text, index, content)


def update_pointer(text: str, index: int, content: Content) -> bytes:
    """The ``.dvc`` file with its output number ``index`` brought up to date, all else (comments too) kept."""
    from ruamel.yaml import YAML

    data = YAML().load(text)
    out = data["outs"][index]
    fields = _fields(content)
    for stale in ("md5", "size", "nfiles", "isexec", "hash", "files", "cloud", "etag", "checksum", "version_id"):
        if stale in out and stale not in fields:
            del out[stale]
    if all(key in out and out[key] == value for key, value in fields.items()) and "md5" not in data:
        return text.encode()
    data.pop("md5", None)  # a checksum over the file itself, which DVC 1 kept
    for position, (key, value) in enumerate(fields.items()):
        if key in out:
            out[key] = value
        else:
            out.insert(position, key, value)
    return _dump(data)


def _dump(data: Any) -> bytes:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue().encode("utf-8")


def ignore_line(name: str) -> str:
    """The ``.gitignore`` line for ``name`` in its folder: as DVC writes it, plus what Git needs for trailing spaces."""
    line = "/" + _ESCAPED.sub(r"\\\1", name)
    bare = line.rstrip(" ")
    return bare + "\\ " * (len(line) - len(bare))


def custom_ignores(path: Path) -> bool:
    """Whether a ``.dvcignore`` has patterns beyond those ``nbledger`` writes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
    return any(
        line.strip() and not line.strip().startswith("#") and line.strip() not in (".nbledger/", "/.nbledger/")
        for line in lines
    )


class Unusual(ValueError):
    """A configuration that only DVC itself reads right."""


def config(dvc_root: Path) -> dict[str, dict[str, str]]:
    """DVC's merged configuration {section: {option: value}}, paths of ``cache.dir`` made absolute.

    ``Unusual`` where the files use more of their format than sections and plain values.
    """
    merged: dict[str, dict[str, str]] = {}
    for path, _ in levels(dvc_root):
        for section, options in _ini(path).items():
            if section == "cache" and "dir" in options:
                options["dir"] = os.path.abspath(path.parent / os.path.expanduser(options["dir"]))
            merged.setdefault(section, {}).update(options)
    return merged


def levels(dvc_root: Path) -> list[tuple[Path, str]]:
    """DVC's configuration files, the strongest last, with what people call them."""
    system, user = _shared_configs()
    home = str(Path.home())
    told = f"~{str(user)[len(home) :]}" if str(user).startswith(home + os.sep) else str(user)
    folder = dvc_root / ".dvc"
    own = [(folder / "config", ".dvc/config"), (folder / "config.local", ".dvc/config.local")]
    return [(system, str(system)), (user, told), *own]


def _shared_configs() -> list[Path]:
    """DVC's system-wide and per-user configuration files."""
    if sys.platform == "win32":
        raise Unusual("Windows keeps these in its registry's folders")
    home = Path.home()
    if sys.platform == "darwin":
        system, user = Path("/Library/Application Support/dvc"), home / "Library/Application Support/dvc"
    else:
        system = Path(os.environ.get("XDG_CONFIG_DIRS", "").split(":")[0] or "/etc/xdg") / "dvc"
        user = Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or home / ".config") / "dvc"
    system = Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or system)
    user = Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or user)
    return [system / "config", user / "config"]


def _ini(path: Path) -> dict[str, dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    except UnicodeDecodeError as err:
        raise Unusual(str(path)) from err
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[\s*(['\"]?)([^\[\]]+?)\1\s*\]", line):
            current = sections.setdefault(match[2].lower(), {})
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if value[:1] in "'\"" and value and value[-1:] == value[:1] and value[:1] not in value[1:-1] and len(value) > 1:
            value = value[1:-1]
        elif not equals or re.search(r"['\"#,]", value):
            raise Unusual(str(path))
        current[key.lower()] = value
    return sections


def plain_config(path: Path) -> dict[str, dict[str, str]]:
    """One configuration file, {section: {option: value}} as written; ``Unusual`` where only DVC itself reads it right."""
    return _ini(path)


def names_command(dvc_root: Path) -> bool:
    """Whether this repository's own configuration has DVC execute a command to log in to a remote."""
    for name in ("config", "config.local"):
        with contextlib.suppress(OSError):
            if b"bearer_token_command" in (dvc_root / ".dvc" / name).read_bytes().lower():
                return True
    return False


_PATHS = frozenset(
    {
        "url",
        "keyfile",
        "credentialpath",
        "configpath",
        "cert_path",
        "key_path",
        "gdrive_user_credentials_file",
        "gdrive_service_account_json_file_path",
    }
)


def absolute(settings: dict[str, dict[str, str]], folder: Path) -> dict[str, dict[str, str]]:
    """The settings with the paths that stand relative to ``folder`` (where their file lies) made absolute."""

    def placed(section: str, key: str, value: str) -> str:
        is_path = (section.startswith("remote ") and key in _PATHS) or (section, key) == ("cache", "dir")
        if not is_path or re.match(r"\w+://", value):
            return value
        return os.path.abspath(folder / os.path.expanduser(value))

    return {section: {k: placed(section, k, v) for k, v in options.items()} for section, options in settings.items()}


def render_config(settings: dict[str, dict[str, str]]) -> str:
    """A configuration file as DVC reads it."""
    lines = []
    for section, options in settings.items():
        lines.append(f"['{section}']" if '"' in section else f"[{section}]")
        lines += [f"    {key} = {_quoted(value)}" for key, value in options.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    if value and not re.search(r"['\"#,]|^\s|\s$", value):
        return value
    mark = "'" if "'" not in value else '"'
    return f"{mark}{value}{mark}"
