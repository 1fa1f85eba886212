"""From one notebook to a pipeline, headless: builds ``examples/pipeline`` anew, changes one number, and clones it.

``--ship`` puts what was built into ``examples/pipeline``: after the notebook there was edited.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "pipeline"
BASE = HERE.parent / ".demo-pipeline"
WRITTEN = ("wine.ipynb", "serving.py", "data/wine.csv")
"""What a person wrote. All else in ``examples/pipeline``, but its README, is made from it."""
MADE = (".gitignore", "confusion.csv", "dvc.lock", "dvc.yaml", "metrics.json", "params.yaml", "stages")


def tool(name: str) -> str:
    """A command of the environment this script runs in."""
    return str(Path(sys.executable).parent / name)


def step(root: Path, title: str, *command: str) -> None:
    """Run a command in the project, saying which."""
    print(f"\n── {title}\n   $ {' '.join((Path(command[0]).name, *command[1:]))}", flush=True)
    subprocess.run(command, cwd=root, check=True, stdin=subprocess.DEVNULL)


def build(base: Path) -> Path:
    """The example's project below ``base``, made from the notebook and the data alone, with its data in a remote."""
    root = base / "project"
    for name in WRITTEN:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / name, root / name)
    (root / ".gitignore").write_text("__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    if subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=root, capture_output=True, check=False).returncode:
        subprocess.run(["git", "config", "user.name", "nbledger demo"], cwd=root, check=True)
        subprocess.run(["git", "config", "user.email", "demo@localhost"], cwd=root, check=True)
    ledger = tool("nbledger")
    step(root, "a repository with a remote for its data", ledger, "init", "--remote", str(base / "remote"))
    step(root, "the data", ledger, "track", "data/wine.csv", "-m", "the wines")
    step(root, "the cells that begin with %%stage become stages of dvc.yaml", ledger, "stage", "wine.ipynb", "--yes")
    step(root, "each stage that runs is an MLflow run", ledger, "repro")
    made = [name for name in MADE if name != "dvc.lock"]
    step(root, "all of it is committed", ledger, "checkpoint", "-m", "A pipeline", "serving.py", *made)
    step(root, "and pushed, the data to the remote", ledger, "push")
    return root


def main() -> None:
    shutil.rmtree(BASE, ignore_errors=True)
    root = build(BASE)
    if "--ship" in sys.argv[1:]:
        for name in MADE:
            copy = shutil.copytree if (root / name).is_dir() else shutil.copy
            shutil.rmtree(EXAMPLE / name, ignore_errors=True)
            copy(root / name, EXAMPLE / name)
        return
    step(root, "plain DVC finds nothing to do", tool("dvc"), "repro")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("least_accuracy: 0.9", "least_accuracy: 0.99"))
    step(root, "one number is another: the stage that depends on it runs", tool("nbledger"), "repro")
    step(root, "the graph", tool("nbledger"), "pipeline")
    step(root, "the runs", tool("nbledger"), "runs")
    clone = BASE / "clone"
    step(BASE, "a clone", "git", "clone", "-q", "project", "clone")
    step(clone, "brings the outputs from the remote", tool("dvc"), "pull")
    step(clone, "and runs nothing", tool("dvc"), "repro")
    print(f"\nThe project is {root}")


if __name__ == "__main__":
    main()
