"""``nbledger run --reuse``: kernels forked from a process that has imported what the notebook imports at its top."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from batches import RUN, none_left, notebook, owned, run
from ledger import artifact, client, runs, uri
from nbledger.core import kernels
from nbledger.keeper import warm
from nbledger.keeper.warm import REUSED_TAG, Warm, imports_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted on Linux only"),
]

FACTS = """
import atexit, gc, json, multiprocessing, resource, signal, tempfile, threading, uuid
atexit.register(lambda: open(f"ended-{n}", "w").close())
handlers = {s.name: str(signal.getsignal(s)).split(" at ")[0] for s in signal.Signals if s.name != "SIGRTMIN"}
same = {
    "leads": [os.getpid() == os.getpgrp() == os.getsid(0)],
    "argv": [sys.argv[0], *(w for w in sys.argv[1:] if "tmp" not in w)], "path": sys.path, "cwd": os.getcwd(),
    "main": sorted(n for n in vars(sys.modules["__main__"]) if n.startswith("__")), "name": __name__,
    "variables": {k: v for k, v in os.environ.items() if not k.startswith(("NBLEDGER_", "JPY_"))},
    "threads": sorted(t.name.rstrip("0123456789") for t in threading.enumerate()), "signals": handlers,
    "stdin": os.read(0, 1) == b"", "umask": os.umask(0o22), "nice": os.nice(0), "gc": gc.isenabled(),
    "group": open("/proc/self/cgroup").read(), "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    "columns": pd.options.display.max_columns, "floats": pd.options.display.precision,
    "parent": os.environ["JPY_PARENT_PID"] == str(os.getppid()),
    "open": sorted(p for p in map(os.path.realpath, os.listdir("/proc/self/fd")) if "memfd" in p),
    "modules": sorted({"numpy", "pandas"} & sys.modules.keys()),
}
own = {
    "pid": os.getpid(), "batch": os.environ["NBLEDGER_BATCH"], "uuid": uuid.uuid4().hex,
    "random": random.random(), "numpy": np.random.rand(), "generator": np.random.default_rng().random(),
    "temporary": tempfile.mktemp(), "secret": multiprocessing.current_process().authkey.hex(),
}
json.dump({"same": same, "own": own}, open(f"facts-{n}.json", "w"))
"""


def test_a_fork_is_what_a_fresh_kernel_is_and_leaves_the_same_record(project: Path) -> None:
    """Field by field. Allowed to differ: the tag that says so, ids and times, and how strings are hashed."""
    (project / "data.csv").write_text("x,y\n1,2\n3,4\n")
    notebook(
        project / "n.ipynb",
        "import os, sys\nimport random\nimport numpy as np\nimport pandas as pd",
        ("parameters", "n = 0"),
        FACTS,
        "import numpy.linalg\nframe = pd.read_csv('data.csv')\nframe @ np.ones((2, 2)) + n",
        "%%mlrun inner -m total --seed 3\ntotal = float(frame.x.sum() + np.random.rand() + random.random())",
        "random.seed(1); np.random.seed(1)\nrandom.random(), np.random.rand()",
    )
    (project / "two.json").write_text('[{"n": 1}, {"n": 2}]')
    (project / ".gitignore").write_text("facts-*\nended-*\n*.json\nout-*/\n")
    facts, books = [], []
    for how in ("--fresh", "--reuse"):
        done = run(project, "n.ipynb", "--params", "two.json", how, "--output", f"out{how}")
        assert "reused" not in done.stdout, done.stdout
        facts.append([json.loads((project / f"facts-{n}.json").read_text()) for n in (1, 2)])
        books.append([_shown(project / f"out{how}" / f"n-{n}.ipynb") for n in (1, 2)])
        assert sorted(path.name for path in project.glob("ended-*")) == ["ended-1", "ended-2"]
        for path in project.glob("ended-*"):
            path.unlink()
    fresh, reused = facts
    for one, other in zip(fresh, reused, strict=True):
        for key, value in one["same"].items():
            assert other["same"][key] == value, key
    everyone = [each["own"] for each in (*fresh, *reused)]
    for key in everyone[0]:
        assert len({each[key] for each in everyone}) == 4, key
    assert books[0] == books[1]
    records = [_record(project, found) for found in runs(project)]
    assert len(records) == 10  # twice the batch's, two notebooks', two cells'
    for one, other in zip(records[:5], records[5:], strict=True):
        is_notebook = one["name"].startswith("n-")
        assert other["tags"].pop(REUSED_TAG, None) == ("true" if is_notebook else None)
        assert other == one


# Allowed to differ between any two runs: ids, times, and digests of them.
_VARIES = ("nbledger.journal", "nbledger.manifest", "nbledger.batch", "nbledger.snapshot", "mlflow.source.git.commit")


def _record(root: Path, found: Any) -> dict[str, Any]:
    """What is recorded of a run, without what differs between any two."""
    listed: dict[str, Any] = {}

    def walk(place: str) -> None:
        for each in client(uri(root)).list_artifacts(found.info.run_id, place):
            if each.is_dir:
                walk(each.path)
            elif each.path.endswith(("inputs.json", "outputs.json", "environment.json", "environment.txt")):
                text = artifact(root, found.info.run_id, each.path).read_text()
                listed[each.path] = text if each.path.endswith(".txt") else _told(json.loads(text))
            else:
                listed[each.path] = ""

    walk("")
    tags = {k: "" if k in _VARIES or k == "mlflow.parentRunId" else v for k, v in found.data.tags.items()}
    tags["nbledger.outputs"] = sorted(json.loads(tags.get("nbledger.outputs", "{}")))  # as of outputs.json: no hashes
    return {
        "name": found.info.run_name,
        "status": found.info.status,
        "params": found.data.params,
        "metrics": found.data.metrics,
        "inputs": sorted((i.dataset.name, i.dataset.digest) for i in found.inputs.dataset_inputs),
        "tags": tags,
        "artifacts": listed,
    }


def _told(value: Any) -> Any:
    """Without what this run alone has: times, ids, and how its strings are hashed."""
    if isinstance(value, dict):
        return {k: _told(v) for k, v in value.items() if k not in ("mtime", "time", "hashing", "md5", "size", "at")}
    return [_told(each) for each in value] if isinstance(value, list) else value


def _shown(path: Path) -> list[Any]:
    book = nbformat.read(path, 4)
    return [
        (cell.execution_count, [{k: v for k, v in out.items() if k != "metadata"} for out in cell.get("outputs", ())])
        for cell in book.cells
        if "%%mlrun" not in cell.source
    ]


# ── what must not be imported ahead ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (["import numpy as np, os.path\nfrom sklearn import svm, tree"], ["numpy", "os.path", "sklearn:svm,tree"]),
        (["'''Text'''", "%load_ext nbledger", "n = 1\nimport a", "def f(x):\n    pass\nimport b"], ["a", "b"]),
        (["import os", "os.environ['THREADS'] = '1'", "import numpy"], ["os"]),
        (["import a\n%env THREADS=1\nimport numpy"], []),
        (["!pip install numpy==1", "import numpy"], []),
        (["%%bash\npip install numpy", "import numpy"], []),
        (["import a; a.configure(); import b"], ["a"]),
        (["if True:\n    import a", "import b"], []),
        (["from . import a", "import b"], []),
        (["def f(x=open('f')):\n    pass", "import b"], []),
        (["import a\nthis is no Python"], []),
        (["%%mlrun first\nimport a\nfrom b import *"], ["a", "b"]),
    ],
)
def test_only_imports_that_nothing_of_the_notebook_came_before(sources: list[str], found: list[str]) -> None:
    book = kernels.notebook((source, False) for source in sources)
    assert [name + (":" + ",".join(parts) if parts else "") for name, parts in imports_of(book)] == found


MODULES = {
    "quiet": "value = 1",
    "prints": "print('hello')",
    "threaded": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "shell": "from IPython import get_ipython\nget_ipython().events.register('post_run_cell', print)",
    "asks": "try:\n    kind = get_ipython().__class__.__name__\nexcept NameError:\n    kind = 'none'",
    "reads": "import pathlib\npathlib.Path('own.ini').read_text()",
    "raises": "raise RuntimeError('no')",
    "loads_ours": "import ours",
    "keeps": "import sys\nfrom IPython import get_ipython\nstream, shell = sys.stdout, get_ipython()",
}


@pytest.fixture
def packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages that count as installed, beside a module of the person's on the path that does not."""
    installed, path = folder / "site", folder / "path"
    for name, text in MODULES.items():
        (installed / name).mkdir(parents=True)
        (installed / name / "__init__.py").write_text(text)
    path.mkdir()
    (path / "ours.py").write_text("value = 2")
    server = folder / "server.py"
    server.write_text(
        f"from nbledger.keeper import forkserver\nfound = forkserver._installed()\n"
        f"forkserver._installed = lambda: (*found, {str(installed)!r})\nforkserver.main()\n"
    )
    monkeypatch.setattr(warm.forkserver, "__file__", str(server))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(installed), str(path))))
    (folder / "work").mkdir()
    (folder / "work/own.ini").touch()
    return folder / "work"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("quiet, asks, keeps", ""),
        ("quiet, ours, prints", ""),  # what comes after a module of the project's is not looked at
        ("missing, quiet", ""),
        (
            "quiet, prints, asks",
            "imported in each kernel: prints and what follows it, as it prints when it is imported",
        ),
        ("quiet, threaded", "imported in each kernel: threaded and what follows it, as it leaves a thread running"),
        (
            "quiet, shell",
            "imported in each kernel: shell and what follows it, as it uses the running shell when it is imported",
        ),
        ("reads", "imported in each kernel: reads and what follows it, as it reads own.ini when it is imported"),
        (
            "raises",
            "imported in each kernel: raises and what follows it, as it fails when it is imported (RuntimeError)",
        ),
        (
            "loads_ours",
            "imported in each kernel: loads_ours and what follows it, as it loads ours, which is not installed",
        ),
    ],
)
def test_what_leaves_a_mark_is_imported_in_the_kernel(packages: Path, names: str, said: str) -> None:
    sources = [
        f"import {names}",
        "import sys\nsys.modules['asks'].kind if 'asks' in sys.modules else None",
        "'keeps' in sys.modules and (print('kept', file=sys.modules['keeps'].stream), sys.modules['keeps'].shell.kernel)[0]",
    ]
    book = kernels.notebook((source, names in ("missing, quiet", "raises")) for source in sources)
    told: list[str] = []
    launcher = Warm(told.append)
    try:
        with kernels.started(book, packages, os.environ, launch=launcher.launcher(book)) as running:
            assert running.launched
            for index in range(len(book.cells)):
                running.execute(index)
    finally:
        launcher.close()
    assert told == ([said] if said else [])
    if "asks" in names:
        assert book.cells[1].outputs[0]["data"]["text/plain"] == "'ZMQInteractiveShell'"
    if "keeps" in names:
        assert book.cells[2].outputs[0]["text"] == "kept\n"
    printed = [out.get("text") for out in book.cells[0].outputs]
    assert ("hello\n" in printed) == ("prints" in names)


def test_a_module_of_the_project_in_the_place_of_an_installed_one_is_the_notebooks(folder: Path) -> None:
    book = notebook(folder / "sub/n.ipynb", "import threadpoolctl", "assert threadpoolctl.value == 'ours'")
    (folder / "sub/threadpoolctl.py").write_text("value = 'ours'")
    (folder / "sub/numpy").mkdir()  # no package: the installed one is found before it
    done = run(folder, book, "--reuse", "--no-html")
    assert (
        "no kernel is reused: threadpoolctl.py in the notebook's folder has the name of an installed module"
        in done.stdout
    )
    (found,) = runs(folder)
    assert found.info.status == "FINISHED" and REUSED_TAG not in found.data.tags


def test_a_kernel_that_is_not_ipykernels_is_started_as_always(folder: Path) -> None:
    told: list[str] = []
    launcher = Warm(told.append)
    start = launcher.launcher(kernels.notebook([("1", False)]))
    assert start([sys.executable, "-c", "pass"], os.environ, folder, ()) is None
    assert start([sys.executable, "-m", "bash_kernel", "-f", "x"], os.environ, folder, ()) is None
    assert start(["/bin/false", "-m", "ipykernel_launcher", "-f", "x"], os.environ, folder, ()) is None
    assert told == [
        "no kernel is reused: it is not started by ipykernel",
        "no kernel is reused: the kernel ends while it is imported",
    ]
    launcher.close()


# ── its end ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_death_time_and_failure_are_as_of_a_fresh_kernel(folder: Path) -> None:
    notebook(
        folder / "n.ipynb",
        ("parameters", "how = ''"),
        "import os, signal, time, subprocess\nif how == 'dies': os.kill(os.getpid(), 9)",
        "if how == 'server': os.kill(os.getppid(), 9); time.sleep(60)",
        "if how == 'long': child = subprocess.Popen(['sleep', '100']); time.sleep(60)",
        "assert how != 'fails'",
    )
    (folder / "all.json").write_text(json.dumps([{"how": how} for how in ("dies", "server", "long", "fails", "fine")]))
    run(folder, "n.ipynb", "--params", "all.json", "--reuse", "--no-html", "--timeout", "10", code=1)
    none_left(folder)
    found = {r.data.params["how"]: r for r in runs(folder) if "how" in r.data.params}
    assert {how: r.info.status for how, r in found.items()} == {
        "dies": "KILLED", "server": "KILLED", "long": "KILLED", "fails": "FAILED", "fine": "FINISHED"
    }  # fmt: skip
    assert {r.data.tags[REUSED_TAG] for r in found.values()} == {"true"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_interrupted_or_killed_runner(folder: Path, how: signal.Signals) -> None:
    notebook(folder / "n.ipynb", "open(f'begun-{n}', 'w').close()\nimport time; time.sleep(120)")
    (folder / "two.json").write_text('[{"n": 1}, {"n": 2}]')
    process = subprocess.Popen(
        [*RUN, "n.ipynb", "--params", "two.json", "--jobs", "2", "--reuse", "--no-html"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("begun-*"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        servers = [p for p in owned(folder) if "forkserver" in " ".join(p.cmdline())]
        assert len(servers) == 3  # the process, and its two forks, which have its command line
        assert len({p.ppid() for p in servers}) == 2
        time.sleep(0.3)
        process.send_signal(how)
        process.wait(60)
    finally:
        process.kill()
    none_left(folder)
    assert psutil.wait_procs(servers, timeout=20)[1] == []
    deadline = time.monotonic() + 30
    while (statuses := [r.info.status for r in runs(folder)]) != ["KILLED"] * 3:
        assert time.monotonic() < deadline, statuses
        time.sleep(0.3)
