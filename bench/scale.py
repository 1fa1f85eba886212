"""What a batch on a cluster costs beside the notebooks themselves: ``python -m bench.scale [ORDERS] [RUNS]``.

Orders that workers answer at once (they ask for another version) go the whole way of a real one: driver, scheduler, worker, and
back. Runs are published to a tracking server on PostgreSQL as a worker does it, several at a time, without a kernel. Real
notebooks on a cluster are run by tests/test_cluster.py with ``NBLEDGER_SCORECARD=full``, which says what each part took.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def orders(base: Path, count: int, workers: int = 3, threads: int = 4) -> dict[str, float]:
    """``count`` orders through a scheduler and workers, as many at a time as there are threads."""
    import cluster as site
    from nbledger.core.batch import Options, Task
    from nbledger.core.cluster import Cluster
    from nbledger.keeper import remote

    with ExitStack() as stack:
        chief = stack.enter_context(site.machine(base, "scheduler"))
        address = site.scheduler(chief)
        for number in range(workers):
            site.worker(stack.enter_context(site.machine(base, f"worker-{number}")), address, threads)
        link = Cluster(f"dask://{address}")
        site.wait(lambda: len(link.workers()) == workers, 60)
        task = Task(0, "train.ipynb", "0" * 64, "train", "train", {"lr": 0.1, "depth": 3})
        order = asdict(remote.Order("none", "0" * 8, "t", "git://x/y", "0" * 40, {}, asdict(task), asdict(Options())))
        before = _computed(chief.processes[0].pid), time.process_time()
        spent = _together(count, workers * threads, lambda n: link.execute(f"order-{n}", remote.perform, order, None))
        after = _computed(chief.processes[0].pid), time.process_time()
        link.close()
        scheduler, driver = (round((b - a) * 1000 / count, 2) for a, b in zip(before, after, strict=True))
        held = round(psutil.Process(chief.processes[0].pid).memory_info().rss / 2**20)
        return {**spent, "scheduler_cpu_ms": scheduler, "driver_cpu_ms": driver, "scheduler_mib": held}


def runs(base: Path, count: int, at_once: int = 4) -> dict[str, float]:
    """``count`` runs published as a worker publishes them."""
    import cluster as site
    from nbledger.core import mlflow, trust
    from nbledger.core.batch import TASK_TAG
    from nbledger.core.errors import Unreachable
    from nbledger.core.project import find
    from nbledger.keeper import claims, publish, recorder
    from servers import mlflow_server, postgres

    with ExitStack() as stack:
        where = stack.enter_context(site.machine(base, "publisher"))
        os.environ.update(where.env)
        server = stack.enter_context(mlflow_server(where.folder, stack.enter_context(postgres(base))))
        root = where.folder / "project"
        root.mkdir()
        (root / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nkeeper = false\n')
        where.run("git", "init", "-q", cwd=root)
        where.run("git", "add", "-A", cwd=root)
        where.run("git", "commit", "-q", "-m", "start", cwd=root)
        project = find(root)
        trust.trust(project)
        one = threading.Lock()

        def one_run(number: int) -> None:
            plan = recorder.Plan(f"n={number}", params={"n": number, "lr": 0.1}, tags={TASK_TAG: f"deadbeef/{number}"})
            with one:  # a worker has a kernel for that
                recording = recorder.start(project, plan)
                recording.log(None, {"result": number})
                recording.add_text("executed.ipynb", "x" * 20_000)
                recording.outcome("FINISHED")
                recording.end()
            for _ in range(5):  # as a worker does, of which a busy server drops a connection
                with suppress(Unreachable):
                    publish.publish(project, recording.journal.path)
                    return
            raise TimeoutError

        one_run(count)  # imports, the experiment
        before = _computed(server.process.pid), time.process_time()
        spent = _together(count, at_once, one_run)
        after = _computed(server.process.pid), time.process_time()
        answering, publishing = (round((b - a) * 1000 / count, 1) for a, b in zip(before, after, strict=True))
        api = mlflow.client(project)
        experiment = mlflow.experiment_id(api, project, project.experiment, server.uri)
        began = time.monotonic()
        found = claims.of_batch(api, server.uri, experiment, "deadbeef")
        more = {"server_cpu_ms": answering, "worker_cpu_ms": publishing}
        return {**spent, **more, "settle_s": round(time.monotonic() - began, 2), "settled": len(found)}


def _computed(pid: int) -> float:
    """Seconds that a process and those below it have computed."""
    top = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (top, *top.children(recursive=True)))


def _together(count: int, at_once: int, work: Callable[[int], object]) -> dict[str, float]:
    each: list[float] = []

    def timed(number: int) -> None:
        began = time.monotonic()
        work(number)
        each.append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(timed, range(count)))
    whole = time.monotonic() - began
    return {
        "count": count,
        "at_once": at_once,
        "seconds": round(whole, 1),
        "per_second": round(count / whole, 1),
        "median_ms": round(statistics.median(each) * 1000, 1),
    }


def main() -> None:
    wanted = [int(word) for word in sys.argv[1:]] or [10_000, 300]
    with tempfile.TemporaryDirectory(prefix="nbl-scale-") as folder:
        Path(folder).chmod(0o755)
        if wanted[0]:
            print("orders", json.dumps(orders(Path(folder), wanted[0])), flush=True)
        if wanted[1:]:
            print("runs", json.dumps(runs(Path(folder), wanted[1])), flush=True)


if __name__ == "__main__":
    main()
