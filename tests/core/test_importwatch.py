import importlib
import pickle
import sys
from pathlib import Path

import pytest

from nbledger.core import importwatch
from nbledger.core.importwatch import forget, when_imported


@pytest.fixture
def module(tmp_path: Path, monkeypatch):
    (tmp_path / "watched_mod.py").write_text("VALUE = 1\n")
    (tmp_path / "broken_mod.py").write_text("raise RuntimeError('no')\n")
    package = tmp_path / "watched_pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("X = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in list(sys.modules):
        if name.startswith(("watched_", "broken_mod")):
            del sys.modules[name]
    importwatch._watched.clear()


def test_called_once_after_the_module_has_executed(module):
    seen = []
    callback = lambda m: seen.append((m.__name__, m.VALUE))  # noqa: E731
    when_imported("watched_mod", callback)
    when_imported("watched_mod", callback)
    import watched_mod

    assert seen == [("watched_mod", 1)]
    assert "exec_module" not in vars(watched_mod.__spec__.loader)  # the loader is as it was
    importlib.reload(watched_mod)
    assert len(seen) == 1


def test_imported_already_calls_at_once():
    seen = []
    when_imported("pickle", seen.append)
    assert seen == [pickle]


def test_submodules_and_failing_callbacks(module):
    seen = []
    when_imported("watched_pkg.inner", lambda m: 1 / 0)
    when_imported("watched_pkg.inner", lambda m: seen.append(m.X))
    importlib.import_module("watched_pkg.inner")
    assert seen == [2]


def test_taking_it_back_leaves_no_finder(module):
    before = list(sys.meta_path)
    take_back = when_imported("watched_mod", print)
    assert len(sys.meta_path) == len(before) + 1 or importwatch._finder in before
    take_back()
    take_back()
    forget("never", print)
    assert importwatch._finder not in sys.meta_path or importwatch._watched
    import watched_mod  # noqa: F401


def test_a_failing_import_fails_as_ever_and_is_watched_still(module):
    seen = []
    when_imported("broken_mod", seen.append)
    with pytest.raises(RuntimeError, match="no"):
        importlib.import_module("broken_mod")
    assert seen == []
    (module / "broken_mod.py").write_text("FINE = True  # and of another length\n")
    importlib.invalidate_caches()
    importlib.import_module("broken_mod")
    assert seen[0].FINE
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("watched_missing")
