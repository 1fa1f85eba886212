"""What is shown while a tracked cell runs long: its name, the time, and the curves of what it logs, moving.

The panel is a display of its own that a thread renews; at the end the summary takes its place. It is HTML, not a widget:
nothing has to be imported into the user's kernel, and where the kernel dies in mid-run the notebook keeps what was drawn
last instead of a widget that nobody can load.

The cell comes first. Short cells, and cells that log no series, have no panel. None is put into the middle of a line, where it would
tear a progress bar in two, and none is shown again after the cell has cleared its output.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from nbledger.core.observe import unwatched
from nbledger_magics.attention import attended

if TYPE_CHECKING:
    from nbledger.keeper.recorder import Recording
    from nbledger_magics.session import Session

_FIRST, _EVERY = 1.0, 0.35
_SHARE, _SLOWER = 50, 200
"""A tick may take a fiftieth of the time, and a run of an hour need not be drawn three times a second."""


def begin(session: Session, recording: Recording, source: str) -> Panel | None:
    """A panel that will show itself when the cell runs long; None where nobody looks. Never raises."""
    with contextlib.suppress(Exception):
        publisher = session.shell.display_pub
        if attended(session) and hasattr(publisher, "pub_socket"):
            return Panel(publisher, recording, source)
    return None


class Panel:
    """The display of one running cell."""

    def __init__(self, publisher: Any, recording: Recording, source: str) -> None:
        self._publisher, self._recording, self._source = publisher, recording, source
        self._parent = publisher.parent_header
        self._display = uuid.uuid4().hex
        self._shown = self._cleared = False
        self._last = ""
        self._done = threading.Event()
        _lines.watch()
        publisher.register_hook(self._outgoing)
        self._thread = threading.Thread(target=self._follow, name="nbledger-live", daemon=True)
        self._thread.start()

    def end(self) -> bool:
        """No more updates. Whether the panel is on screen, for ``replace``."""
        self._done.set()
        with contextlib.suppress(Exception):
            self._publisher.unregister_hook(self._outgoing)
        self._thread.join(2.0)
        return self._shown and not self._cleared

    def replace(self, session: Session, thing: Any) -> None:
        """Put ``thing`` in the panel's place."""
        data, metadata = session.shell.display_formatter.format(thing)
        self._publisher.publish(data, metadata, transient={"display_id": self._display}, update=True)

    def _outgoing(self, message: Any) -> Any:
        """The publisher's hook: what the cell itself sends."""
        if message["header"]["msg_type"] == "clear_output":
            self._cleared = True
        return message

    def _follow(self) -> None:
        wait = _FIRST
        while not self._done.wait(wait) and not self._cleared:
            began = time.perf_counter()
            try:
                with unwatched():
                    self._tick()
            except Exception:
                return  # a panel is not worth a word in the user's cell
            cost = time.perf_counter() - began
            wait = max(_EVERY, _SHARE * cost, (time.time() - self._recording.started) / _SLOWER)

    def _tick(self) -> None:
        """Show the panel, or what has moved in it."""
        from nbledger_magics import curves, display

        if not self._shown and (not curves.chosen(self._recording.curves) or _lines.open() or _captured()):
            return
        shown = display.summary(self._recording, self._source)
        markup = shown._repr_html_()
        if markup == self._last or self._done.is_set() or self._cleared:
            return
        kind = "update_display_data" if self._shown else "display_data"
        content = {
            "data": {"text/plain": repr(shown), "text/html": markup, **shown._repr_mimebundle_()},
            "metadata": {},
            "transient": {"display_id": self._display},
        }
        self._shown, self._last = True, markup
        # Not by `publish`: it flushes the streams, which may be the user's own by now, and its hooks are this thread's.
        session = self._publisher.session
        session.send(
            self._publisher.pub_socket,
            session.msg(kind, content, parent=self._parent),
            ident=self._publisher.topic,
        )


class _Lines:
    """Whether the kernel's streams stand in the middle of a line, as a progress bar leaves them."""

    def __init__(self) -> None:
        self._watched: set[int] = set()
        self._open: dict[str, bool] = {}

    def watch(self) -> None:
        """Begin a cell: nothing is written yet."""
        self._open.clear()
        for stream in (sys.stdout, sys.stderr):
            thread = getattr(stream, "pub_thread", None)
            if id(stream) not in self._watched and thread is not None and hasattr(stream, "register_hook"):
                self._watched.add(id(stream))
                # A stream's hooks are those of the thread that sends.
                thread.schedule(lambda stream=stream: stream.register_hook(self._outgoing))

    def open(self) -> bool:
        return any(self._open.values())

    def _outgoing(self, message: Any) -> Any:
        content = message["content"]
        self._open[content.get("name", "")] = not content.get("text", "\n").endswith("\n")
        return message


def _captured() -> bool:
    """Whether an ipywidgets ``Output`` takes everything that is shown now: the panel would end up in it."""
    widgets = sys.modules.get("ipywidgets.widgets.widget_output")
    every = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    return widgets is not None and any(isinstance(one, widgets.Output) and one.msg_id for one in list(every.values()))


_lines = _Lines()
