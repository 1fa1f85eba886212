"""``dvc repro`` in a process of its own, which tells what it does and lets us answer before each command.

The process is DVC's own command line; what it walks through and runs is listened to, so that a stage is known by its name
and not by what DVC, or the stage, prints. Its standard output carries what it tells (one JSON object a line), its standard
input our answers, its standard error what the stages print.

Told: ``plan`` (the stages in their order), ``begun``, ``executing`` (a command is about to run: DVC waits for the variables
to add to its environment), ``executed``, ``ended`` and ``failed`` of a stage, ``said`` (a line of DVC's), ``done``.

``python -m nbledger.core.dvcrepro ROOT MARK WORDS``
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from nbledger.core import dvc, dvcgraph, mlflow, stages
from nbledger.core.errors import ToolFailed
from nbledger.core.project import Project, find_anyhow
from nbledger.core.stages import Stage

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EDGE = b"\x1e"
_DROPPED = ("MLFLOW_RUN_ID", "NBLEDGER_BATCH", "NBLEDGER_NOTEBOOK")
"""Variables of a kernel that would make its own run, or notebook, that of the stages."""
_PATIENCE = 5.0
"""Seconds in which what a stage printed last must have come through."""


@dataclasses.dataclass(frozen=True)
class Told:
    """Something that the process tells. ``stage`` is how ``dvc repro`` calls it from the DVC root; ``stages`` those of a plan;
    ``changed`` whether DVC did anything to bring the stage up to date; ``code`` that of an exit.
    """

    kind: str
    stage: str = ""
    text: str = ""
    changed: bool = False
    code: int = 0
    stages: Mapping[str, Stage | None] = dataclasses.field(default_factory=dict)


class Repro:
    """A running ``dvc repro``. ``printed`` receives what stages print, in another thread."""

    def __init__(
        self, project: Project, folder: Path, words: Sequence[str], printed: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self._mark = _EDGE + secrets.token_hex(8).encode() + _EDGE
        self._printed, self._passed = printed, threading.Event()
        self._code: int | None = None
        command = [sys.executable, "-P", "-m", "nbledger.core.dvcrepro", str(project.root), self._mark.hex()]
        try:
            self._process = subprocess.Popen(
                [*command, json.dumps(list(words))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=_environment(),
                start_new_session=True,  # an interrupt reaches it through us, so that we know of it first
            )
        except OSError as err:
            raise ToolFailed(f"dvc repro could not be started: {err.strerror}") from err
        self._reader = threading.Thread(target=self._read, name="repro-output", daemon=True)
        self._reader.start()

    def told(self) -> Iterator[Told]:
        """What it tells, until it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                fields = json.loads(line)
            except ValueError:  # an interrupt took the beginning of the line
                continue
            if "stages" in fields:
                fields["stages"] = {name: known and _stage(known) for name, known in fields["stages"].items()}
            if fields["kind"] == "executed":
                self._passed.wait(_PATIENCE)
                self._passed.clear()
            elif fields["kind"] == "done":
                self._code = int(fields["code"])
            yield Told(**fields)

    def answer(self, variables: Mapping[str, str]) -> None:
        """Let the command run that it waits with, with these in its environment."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(dict(variables)).encode() + b"\n")
            self._process.stdin.flush()

    def interrupt(self) -> None:
        """Interrupt DVC and the command that it runs, as Ctrl-C does."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End both at once."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def close(self) -> int:
        """Wait for its end; its exit code."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        code = self._process.wait()
        self._reader.join(1.0)  # what a stage left running may hold the pipe for ever
        return code if self._code is None else self._code

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, number)
            else:
                self._process.terminate()

    def _read(self) -> None:
        """Hand on what stages print; the mark after a command's last byte is ours."""
        assert self._process.stderr is not None
        waiting = b""
        with self._process.stderr as pipe:
            while chunk := pipe.read1(1 << 16):  # type: ignore[attr-defined]
                waiting += chunk
                while self._mark in waiting:
                    before, _, waiting = waiting.partition(self._mark)
                    self._printed(before)
                    self._passed.set()
                edge = waiting.rfind(_EDGE)
                held = len(waiting) - edge if edge >= 0 and len(waiting) - edge < len(self._mark) else 0
                self._printed(waiting[: len(waiting) - held])
                waiting = waiting[len(waiting) - held :]
        self._printed(waiting)


def _environment() -> dict[str, str]:
    env = {key: value for key, value in mlflow.persons_environment().items() if key not in _DROPPED}
    env.setdefault("PYTHONUNBUFFERED", "1")  # what a stage prints is seen, and kept, when it is printed
    env["DVC_SITE_CACHE_DIR"] = dvc.site_cache()
    scripts = os.path.dirname(sys.executable)
    if scripts not in (path := env.get("PATH", "")).split(os.pathsep):
        env["PATH"] = os.pathsep.join(filter(None, (path, scripts)))  # commands may be `nbledger …`
    return env


def _stage(fields: Mapping[str, Any]) -> Stage:
    made: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    made["params"] = tuple((str(file), str(key)) for file, key in fields["params"])
    return Stage(**made)


# ── in the process ───────────────────────────────────────────────────────────────────────────────────────────────


class _Link:
    """The way to whoever started the process. It took the standard streams, so that nothing else is written there."""

    def __init__(self) -> None:
        self._say = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._hear = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._answers: list[str] = []
        self._heard = threading.Condition()
        self._over = False
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell it; whoever is gone needs to hear nothing."""
        with contextlib.suppress(OSError):
            self._say.write(json.dumps({"kind": kind, **fields}) + "\n")
            self._say.flush()

    def end(self, code: int) -> int:
        """DVC is done: nobody needs to be there any more, and what stages left running goes on."""
        self._over = True
        self.tell("done", code=code)
        return code

    def ask(self, kind: str, **fields: Any) -> dict[str, str]:
        """Tell it, and wait for the answer."""
        self.tell(kind, **fields)
        with self._heard:
            while not self._answers:
                self._heard.wait(0.5)
            found: dict[str, str] = json.loads(self._answers.pop(0))
            return found

    def _listen(self) -> None:
        """Take answers; when nobody is there any more to record what runs, end as after Ctrl-C."""
        for line in self._hear:
            with self._heard:
                self._answers.append(line)
                self._heard.notify_all()
        if self._over:
            return
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGINT)
        else:
            os._exit(130)


class _Lines(io.TextIOBase):
    """Standard output or error of DVC: its lines are told."""

    encoding = "utf-8"

    def __init__(self, link: _Link) -> None:
        self._link, self._rest = link, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if said := _COLOUR.sub("", line.rpartition("\r")[2]).rstrip():
                self._link.tell("said", text=said)
        return len(text)


class _Interrupts:
    """Ctrl-C ends DVC as ever, but not while it writes ``dvc.lock``."""

    def __init__(self) -> None:
        self._held = self._wanted = False
        signal.signal(signal.SIGINT, self._take)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._wanted = True
        if not self._held:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self._held, self._wanted = True, False
        try:
            yield
        finally:
            self._held = False
        if self._wanted:
            raise KeyboardInterrupt


def main() -> int:
    """DVC's ``repro`` with these words."""
    root, mark, words = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), json.loads(sys.argv[3])
    link = _Link()
    sys.stdout = sys.stderr = _Lines(link)
    try:
        cli, walking, running = dvc.machinery()
        _listen_to(link, find_anyhow(root), mark, _Interrupts(), walking, running)
    except (ImportError, AttributeError) as err:
        link.tell("said", text=f"ERROR: this DVC cannot be listened to: {err}")
        return link.end(255)
    return link.end(int(cli.main(["repro", *words]) or 0))


def _listen_to(link: _Link, project: Project, mark: bytes, interrupts: _Interrupts, walking: Any, running: Any) -> None:
    """Have DVC tell what it does: these three functions are all that is between its command line and a stage."""
    walk, bring, command = walking._reproduce, walking._reproduce_stage, running.cmd_run  # noqa: SLF001

    def told_walk(steps: Sequence[Any], *args: Any, **options: Any) -> Any:
        link.tell("plan", stages={_address(step): _described(step, project) for step in steps})
        return walk(steps, *args, **{"repro_fn": told_bring, **options})

    def told_bring(stage: Any, **options: Any) -> Any:
        name, dump = _address(stage), stage.dump

        def whole(*args: Any, **kwargs: Any) -> Any:
            with interrupts.held():
                return dump(*args, **kwargs)

        link.tell("begun", stage=name)
        stage.dump = whole
        try:
            done = bring(stage, **options)
        except Exception as err:
            link.tell("failed", stage=name, text=_words(err))
            raise
        finally:
            del stage.dump
        link.tell("ended", stage=name, changed=done is not None)
        return done

    def told_command(stage: Any, dry: bool = False, run_env: Mapping[str, str] | None = None) -> None:
        name = _address(stage)
        if dry:
            link.tell("would", stage=name)
            return
        more, code = link.ask("executing", stage=name), 1
        try:
            command(stage, dry=dry, run_env={**(run_env or {}), **more})
            code = 0
        finally:
            with contextlib.suppress(OSError):
                os.write(2, mark)
            link.tell("executed", stage=name, code=code)

    walking._reproduce, running.cmd_run = told_walk, told_command  # noqa: SLF001


def _address(stage: Any) -> str:
    """How ``dvc repro`` calls the stage in the DVC root."""
    file = os.path.relpath(stage.path, stage.repo.root_dir).replace(os.sep, "/")
    name = getattr(stage, "name", None)
    return file if name is None else str(name) if file == "dvc.yaml" else f"{file}:{name}"


def _described(stage: Any, project: Project) -> dict[str, Any] | None:
    """The stage as plain values; None for one without a command, such as that of a ``.dvc`` file."""
    name = getattr(stage, "name", None)
    if not stage.cmd or name is None:
        return None
    file = os.path.relpath(stage.path, project.root).replace(os.sep, "/")
    return dataclasses.asdict(stages.as_loaded(dvcgraph.described(project, file, str(name), stage, locked=False)))


def _words(err: BaseException) -> str:
    """What went wrong, and why, in one line."""
    said: list[str] = []
    cause: BaseException | None = err
    while cause is not None and len(said) < 4:
        text = " ".join(str(cause).split())
        if text and not any(text in known for known in said):
            said.append(text)
        cause = cause.__cause__
    return ": ".join(said) or type(err).__name__


if __name__ == "__main__":
    sys.exit(main())
