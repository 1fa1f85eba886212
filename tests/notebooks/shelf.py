"""The shelf of other people's notebooks: listed in ``notebooks.toml``, fetched with pip from the packages that ship them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("notebooks.toml")


@dataclass(frozen=True)
class Book:
    """One notebook of one release of a package, and what reproducing its run must conclude.

    ``path`` is its place in the source distribution; ``beside`` {name: sha256} the data files it reads there.
    ``how``: ``batch`` (``nbconvert --to ledger``) or ``session`` (its last cell is tracked in a kernel), with ``metrics``
    the variables that ``%%mlrun -m`` records there. ``why`` and ``evidence`` (a regular expression that the verdict's
    JSON must match) say why a verdict is not ``identical``.
    """

    package: str
    version: str
    path: str
    sha256: str
    beside: Mapping[str, str]
    how: str
    metrics: tuple[str, ...]
    verdict: str
    why: str
    evidence: str

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def id(self) -> str:
        return f"{self.package}-{self.name}".replace(" ", "-")

    @property
    def folder(self) -> str:
        """Where it stands in the project: its package's folder, one below it where data lies beside it."""
        return f"{self.package}/{self.name}" if self.beside else self.package

    @property
    def place(self) -> str:
        """The notebook's path in the project."""
        return f"{self.folder}/{Path(self.path).name}"

    @property
    def files(self) -> dict[str, str]:
        """{path in the source distribution: sha256} of the notebook and its data."""
        place = Path(self.path).parent
        return {self.path: self.sha256} | {(place / name).as_posix(): digest for name, digest in self.beside.items()}


def books() -> list[Book]:
    return list(_books(tomllib.loads(TABLE.read_text(encoding="utf-8"))))


def _books(table: Mapping[str, list[dict]]) -> Iterator[Book]:
    for source in table["source"]:
        for row in source["notebook"]:
            yield Book(
                package=source["package"],
                version=source["version"],
                path=row["path"],
                sha256=row["sha256"],
                beside=row.get("beside", {}),
                how=row.get("how", "batch"),
                metrics=tuple(row.get("metrics", ())),
                verdict=row["verdict"],
                why=row.get("why", ""),
                evidence=row.get("evidence", ""),
            )


def fetched(book: Book, shelf: Path) -> Path:
    """The folder in ``shelf`` that holds the source files of the book's package; fetched when one of them is not there."""
    place = shelf / f"{book.package}-{book.version}"
    wanted = {path: digest for b in books() if b.package == book.package for path, digest in b.files.items()}
    if any(not (place / path).is_file() for path in wanted):
        _fetch(book.package, book.version, wanted, place)
    for path, digest in wanted.items():
        found = hashlib.sha256((place / path).read_bytes()).hexdigest()
        assert found == digest, f"{path} of {book.package} {book.version} is not the listed one: {found}"
    return place


def _fetch(package: str, version: str, wanted: Mapping[str, str], place: Path) -> None:
    """Have pip download and unpack the source distribution, and keep the wanted files of it.

    pip goes on to ask the package's build tool for metadata. That may fail, since it is not installed and nothing is
    built here; only the unpacked files count.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-clean",
            "--no-build-isolation",
        ]
        command += ["--no-binary", ":all:", "--dest", f"{scratch}/dest", f"{package}=={version}"]
        said = subprocess.run(
            command, env={**os.environ, "TMPDIR": scratch}, capture_output=True, text=True, check=False, timeout=200
        )
        for path in wanted:
            found = next((root / path for root in Path(scratch).glob("pip-*/*") if (root / path).is_file()), None)
            assert found, f"{package} {version} ships no {path}:\n{said.stdout}\n{said.stderr}"
            kept = place / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            arriving = kept.with_name(f"{kept.name}.{os.getpid()}")
            arriving.write_bytes(found.read_bytes())
            os.replace(arriving, kept)


def python(shelf: Path) -> Path:
    """An interpreter that has the notebooks' packages beside all that this one has: a virtual environment on ``shelf``."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    packages: Sequence[str] = table["environment"]["packages"]
    key = hashlib.sha256("\n".join([sys.executable, sys.version, *packages]).encode()).hexdigest()[:12]
    made = shelf / f"environment-{key}"
    if not (made / "whole").exists():
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, made)
        (site,) = made.glob("lib/python*/site-packages")
        ours = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        (site / "_ours.pth").write_text("".join(f"import site; site.addsitedir({folder!r})\n" for folder in ours))
        _run(uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", made, *packages)
        (made / "whole").touch()
    return made / "bin" / "python"


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}\n{done.stderr}"
