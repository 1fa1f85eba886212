"""Record a notebook as a person would in JupyterLab: its cells one after the other in a kernel, the last one tracked.

``python record_session.py NOTEBOOK RUN [VARIABLE…]``; the variables are recorded as metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

from kernels import kernel


def main(path: Path, run: str, variables: list[str]) -> None:
    book = nbformat.read(path, as_version=4)
    *before, last = [cell.source for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    header = " ".join(["%%mlrun", run, *(f"-m {name}" for name in variables)])
    with kernel(path.parent, {"NBLEDGER_NOTEBOOK": str(path)}) as started:
        for source in [*before, f"{header}\n{last}"]:
            cell = started.run(source)
            if cell.status != "ok":
                raise SystemExit(f"{path.name}: {cell.ename}: {cell.evalue}\n{source}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
