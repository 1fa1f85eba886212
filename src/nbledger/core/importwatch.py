"""Run a callback right after a module is first imported, without importing it.

A finder at the front of ``sys.meta_path`` answers only for watched names: it lets the other finders find the module
and shadows ``exec_module`` on that one loader instance for that one execution, so the module's loader, spec and
resources are what they would have been.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Callback = Callable[[ModuleType], object]

_watched: dict[str, list[Callback]] = {}
_lock = threading.RLock()


def when_imported(name: str, callback: Callback) -> Callable[[], None]:
    """Call ``callback(module)`` once, right after ``name`` was imported; at once if it is already.

    Returns a function that takes the watch back. Asking twice for the same pair is asking once. What the callback
    raises is dropped: an import never fails because somebody watched it.
    """
    with _lock:
        module = sys.modules.get(name)
        if module is None or _is_initialising(module):
            callbacks = _watched.setdefault(name, [])
            if callback not in callbacks:
                callbacks.append(callback)
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)
            return lambda: forget(name, callback)
    _call(callback, module)
    return lambda: None


def forget(name: str, callback: Callback) -> None:
    """Take back one watch; the finder leaves ``sys.meta_path`` with the last one."""
    with _lock:
        callbacks = _watched.get(name, [])
        if callback in callbacks:
            callbacks.remove(callback)
        if not callbacks:
            _watched.pop(name, None)
        if not _watched and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


def _is_initialising(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call(callback: Callback, module: ModuleType) -> None:
    with contextlib.suppress(Exception):
        callback(module)


def _imported(name: str, module: ModuleType) -> None:
    with _lock:
        callbacks = list(_watched.get(name, ()))
        for callback in callbacks:
            forget(name, callback)
    for callback in callbacks:
        _call(callback, module)


class _Finder:
    """A meta path finder that finds nothing itself."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _watched:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                with contextlib.suppress(Exception):
                    _shadow(spec.loader, name)
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is cached here."""


def _shadow(loader: Any, name: str) -> None:
    """Make the next ``exec_module`` of this loader report; loaders that are classes or closed are left alone."""
    if isinstance(loader, type) or not hasattr(loader, "exec_module"):
        return
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with contextlib.suppress(AttributeError):
            del loader.exec_module
        original(module)
        if module.__name__ == name:
            # What executed may have replaced itself in sys.modules; importers get that one.
            _imported(name, sys.modules.get(name, module))

    loader.exec_module = exec_module


_finder: Any = _Finder()
