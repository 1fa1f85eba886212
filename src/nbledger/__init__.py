"""nbledger keeps the ledger of a notebook: which code, data, environment and parameters gave which numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbledger.keeper.recorder import log

__all__ = ["__version__", "load_ipython_extension", "log", "unload_ipython_extension"]


def __getattr__(name: str) -> Any:
    if name == "log":
        from nbledger.keeper.recorder import log

        globals()["log"] = log
        return log
    if name == "__version__":
        try:
            from nbledger._version import __version__  # written by the build
        except ImportError:
            from importlib.metadata import version

            __version__ = version("nbledger")
        globals()["__version__"] = __version__
        return __version__
    raise AttributeError(f"module 'nbledger' has no attribute {name!r}")


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where ``jupyter labextension develop`` finds the built front end."""
    return [{"src": "labextension", "dest": "nbledger"}]


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext nbledger``: register the magics."""
    from nbledger_magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext nbledger``: take them away again."""
    from nbledger_magics import unload

    unload(shell)
