"""SIGINT for a kernel whose tracking server is dead (refusing, or silent), while the tracked cell sleeps; and while
nbledger itself is at work before the cell's first line or after its last: the signal is sent as a chosen line of
nbledger's is about to run, at lines spread over all of them, the cell's own result and a failing cell among them.

The cell is KeyboardInterrupt within 2 s, and stays so when it had ended and was being recorded: whoever interrupts
hears of it, and cells queued behind it do not run. No run is left open (the very first instruction of IPython's call
into nbledger is IPython's: an interrupt there is shown, and the run is closed with the next cell). The plain way: the
interrupt comes while `mlflow.log_metric` waits for the server.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty

import pytest

from deadcells import LIMIT
from deadserver import KINDS, dead_server, use
from kernels import SAVE_FROM_INTERRUPTS, Kernel, kernel
from kills import spread
from ledgerfiles import ends, events, journals
from scorecard.conftest import FULL
from servers import free_port

LOST = "lost by the kernel"
TESTS = str(Path(__file__).parents[1])


@pytest.fixture(scope="module", params=KINDS)
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dead_server(request.param, tmp_path_factory.mktemp("server"), real=FULL) as dead:
        yield dead


def interrupted(k: Kernel, code: str, timeout: float = 20) -> tuple[float, str]:
    """Run the cell until it says ``in``, interrupt it; how long it took to end, and as what."""
    message = k.send(code)
    while True:
        said = k.client.get_iopub_msg(timeout=30)
        if said["msg_type"] == "stream" and "in\n" in said["content"]["text"]:
            break
    time.sleep(0.2)
    begun = time.monotonic()
    k.interrupt()
    cell = k.collect(message, timeout)
    return time.monotonic() - begun, cell.ename


def test_while_the_cell_sleeps(
    project: Path, uri: str, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    use(project, uri)
    times = count(10, 2)
    with kernel(project) as k:
        found = [
            interrupted(k, f"%%mlrun sleeps{number}\nimport time\nprint('in', flush=True)\ntime.sleep(60)")
            for number in range(times)
        ]
        assert {name for _, name in found} == {"KeyboardInterrupt"} and max(took for took, _ in found) <= LIMIT, found
        closed = ends(project)
        assert set(closed.values()) == {"KILLED"} and len(closed) == times, closed
    seen(f"{times} of {times} KeyboardInterrupt, slowest {max(took for took, _ in found):.2f} s; all runs KILLED")


def test_whenever_it_comes(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    """As a front end sends it: to the kernel and the programs it started, Git among them."""
    use(project, f"http://127.0.0.1:{free_port()}")
    outcomes = Counter[str]()
    with kernel(project) as k:
        k.run(SAVE_FROM_INTERRUPTS)
        k.run("%%mlrun first\nimport time")
        for number in range(count(60, 6)):
            (project / "new.py").write_text(f"{number = }\n")  # a snapshot to take
            message = k.send(f"%%mlrun random{number}\ntime.sleep(0.05)\n6 * 7")
            time.sleep(random.uniform(0, 0.5))
            k.interrupt()
            try:
                cell = k.collect(message, 5)
            except (TimeoutError, Empty):  # it came while ipykernel sent its reply
                outcomes[LOST] += 1
                continue
            assert cell.ename in ("", "KeyboardInterrupt") and (cell.ename or cell.result == "42"), cell
            outcomes[cell.ename or "too early or too late"] += 1
            status = recorded(project, f"random{number}")
            ended = "the cell had ended" in cell.traceback  # perhaps only its summary was still to be shown
            assert status == "FINISHED" if not cell.ename else status in ("KILLED", "none") or ended, (status, cell)
        assert k.run("%%mlrun last\n6 * 7").displays[-1].startswith("✓ last FINISHED")
        assert None not in ends(project).values()
    seen("at random moments: " + ", ".join(f"{n} {name}" for name, n in outcomes.most_common()) + "; no run left open")


def recorded(project: Path, name: str) -> str:
    """How the run of that name was closed; ``none`` where its start was not written."""
    for journal in journals(project):
        if (events(journal) or [{"name": "no start"}])[0]["name"] == name:
            return str(ends(project)[journal.name])
    return "none"


@pytest.mark.parametrize("last", ["6 * 7", "1/0"], ids=["result", "error"])
def test_while_nbledger_is_at_work(
    project: Path, last: str, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    use(project, f"http://127.0.0.1:{free_port()}")
    cell = f"%%mlrun momentNUMBER -p n=3 --seed 1\nran = sabotage.lines\n{last}"
    with kernel(project) as k:
        k.run(f"import sys\nsys.path.append({TESTS!r})\nimport sabotage")
        k.run(cell.replace("NUMBER", ""))
        k.run("sabotage.interrupted(0)")
        k.run(cell.replace("NUMBER", ""))
        before, lines = map(int, k.run("sabotage.uninterrupted()\nprint(ran, sabotage.lines)").stdout.split())
        assert before > 200 and lines - before > 200
        moments = [*spread(range(1, before), count(100, 6)), *spread(range(before + 1, lines), count(100, 6))]
        outcomes, wrong, places = Counter[str](), [], {}
        for at in moments:
            k.run(f"ran = None\nsabotage.interrupted({at})")
            begun = time.monotonic()
            try:
                done = k.run(cell.replace("NUMBER", str(at)), timeout=30)
            except (
                TimeoutError
            ):  # seen once in thousands: nothing of the cell reached the client, not even that it began
                assert k.run("sabotage.uninterrupted()\n6 * 7", timeout=30).result == "42"
                outcomes[LOST] += 1
                continue
            took = time.monotonic() - begun
            where, ran = k.run("sabotage.uninterrupted()\nprint(sabotage.where, ran)").stdout.split()
            if where == "-":  # fewer lines than before: it was not sent
                continue
            outcomes[done.ename or "none"] += 1
            places[f"moment{at}"] = where
            wanted = "KeyboardInterrupt" if ran == "None" or last != "1/0" else "ZeroDivisionError"
            if done.ename != wanted or took > LIMIT:
                wrong.append((at, where, ran, took, done))
        closed = ends(project)
        still_open = [
            (events(j) or [{"name": "no start"}])[0]["name"] for j in journals(project) if closed[j.name] is None
        ]
    assert outcomes[LOST] <= max(1, len(moments) // 100), outcomes
    assert not wrong, "\n".join(map(str, wrong[:20])) + f"\n{len(wrong)} of {len(moments)}"
    assert not still_open, [(name, places.get(name), list(places.items())[-3:]) for name in still_open]
    told = ", ".join(f"{number} {name}" for name, number in outcomes.most_common())
    seen(f"{last!r}, at {outcomes.total()} of {lines} lines of nbledger: {told}; no run left open")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    code = "print('in', flush=True)\nmlflow.log_metric('loss', 1)\nprint('went on')"
    with kernel(project, load=False) as k:
        k.run(f"import mlflow\nmlflow.set_tracking_uri('http://127.0.0.1:{free_port()}')")
        try:
            took, name = interrupted(k, code, 20)
        except TimeoutError:
            plain(False, "still blocked 20 s after the interrupt")
            return
        plain(name == "KeyboardInterrupt" and took <= LIMIT, f"{name or 'no error'} after {took:.1f} s")
