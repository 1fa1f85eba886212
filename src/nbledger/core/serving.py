"""The words of MLflow's own tools for serving a model: ``mlflow models serve`` and ``generate-dockerfile``. No shell ever sees them."""

from __future__ import annotations

import sys

ENV_MANAGERS = ("local", "virtualenv", "uv", "conda")
_MLFLOW = ("-P", "-m", "mlflow")  # -P: nothing is imported from where it is started


def serve(folder: str, port: str, env_manager: str, workers: int, timeout: int) -> tuple[str, ...]:
    """Serve the model of a folder on loopback."""
    return (
        sys.executable,
        *_MLFLOW,
        "models",
        "serve",
        "--model-uri",
        folder,
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        str(workers),
        "--timeout",
        str(timeout),
        "--env-manager",
        env_manager,
    )


def dockerfile(folder: str, output: str, env_manager: str | None) -> tuple[str, ...]:
    """Write a Dockerfile, and the model beside it, into ``output``."""
    chosen = ("--env-manager", env_manager) if env_manager else ()
    words = ("models", "generate-dockerfile", "--model-uri", folder, "--output-directory", output)
    return (sys.executable, *_MLFLOW, *words, *chosen)
