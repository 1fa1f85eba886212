"""The beginner's journey, headless: ``make demo``.

Puts the example notebook into ``.demo/``, a repository of its own, runs it unchanged in three ways (nbconvert, nbconvert's
ledger exporter, papermill), and prints the runs, where they are kept, and how to open them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / ".demo"


def tool(name: str) -> str:
    """A command of the environment this script runs in."""
    return str(Path(sys.executable).parent / name)


def step(title: str, *command: str) -> None:
    """Run a command in the demo's folder, saying which."""
    print(f"\n── {title}\n   $ {' '.join(Path(c).name if os.sep in c else c for c in command)}", flush=True)
    subprocess.run(command, cwd=DEMO, check=True)


def main() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    shutil.copy(HERE / "wine.ipynb", DEMO)
    subprocess.run(["git", "init", "-q"], cwd=DEMO, check=True)
    if subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=DEMO, capture_output=True, check=False).returncode:
        subprocess.run(["git", "config", "user.name", "nbledger demo"], cwd=DEMO, check=True)
        subprocess.run(["git", "config", "user.email", "demo@localhost"], cwd=DEMO, check=True)
    (DEMO / ".gitignore").write_text("*.nbconvert.ipynb\n.ipynb_checkpoints/\nexecuted.ipynb\n")
    subprocess.run(["git", "add", ".gitignore"], cwd=DEMO, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "Start"], cwd=DEMO, check=True)

    step(
        "the notebook, by plain nbconvert",
        tool("jupyter"),
        "nbconvert",
        "--log-level=WARN",
        "--to",
        "notebook",
        "--execute",
        "wine.ipynb",
    )
    step(
        "the same notebook as one run with its cells as children",
        tool("jupyter"),
        "nbconvert",
        "--log-level=WARN",
        "--to",
        "ledger",
        "wine.ipynb",
    )
    step(
        "the same notebook, parameterised by papermill",
        tool("papermill"),
        "--no-progress-bar",
        "--log-level",
        "WARNING",
        "wine.ipynb",
        "executed.ipynb",
        "-p",
        "n_estimators",
        "80",
    )
    step("everything recorded is in MLflow", tool("nbledger"), "flush")
    step("what differs", tool("nbledger"), "runs")
    step("why two of them differ", tool("nbledger"), "compare", "forest", "forest-small")
    step("one of them, brought back and executed again", tool("nbledger"), "reproduce", "forest-light")
    step("the state of the project", tool("nbledger"), "status")
    store = DEMO / ".nbledger" / "mlflow.db"
    print(f"""
The project is {DEMO}
  its runs     sqlite:///{store}
  in MLflow    mlflow ui --backend-store-uri sqlite:///{store}
  in Jupyter   make lab""")


if __name__ == "__main__":
    main()
