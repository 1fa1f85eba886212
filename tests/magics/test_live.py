"""What a person sees while a tracked cell runs long, and what the notebook keeps of it; nothing of it disturbs the cell."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter, MarkdownExporter

from conftest import isolated_environment, short_folder, stop_keepers
from kernels import Kernel, kernel
from ledger import runs
from nbledger.core.curve import Curve
from nbledger_magics import bundle, curves

MIME = "application/vnd.nbledger.run+json"
LOOP = "for i in range({rounds}):\n    log(loss=1 / (i + 1))\n    time.sleep(0.1)\n"
Message = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _template: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project that the tests here share, and the environment of its kernels."""
    root, runtime = tmp_path_factory.mktemp("live") / "project", short_folder()
    shutil.copytree(_template, root, symlinks=True)
    yield root, isolated_environment(tmp_path_factory.mktemp("home"), runtime)
    stop_keepers(runtime)
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="module")
def attended(place: tuple[Path, dict[str, str]]) -> Iterator[Kernel]:
    """A kernel as JupyterLab starts it: with the notebook's name. Its panels are drawn as often as on an idle machine."""
    root, env = place
    with kernel(root, env | {"JPY_SESSION_NAME": str(root / "live.ipynb")}) as k:
        code = "import time\nfrom nbledger import log\nfrom nbledger_magics import live\nlive._SHARE = 0"
        assert k.run(code).status == "ok"
        yield k


def messages(k: Kernel, code: str, interrupt_after: int | None = None) -> list[Message]:
    """What the kernel sends for a cell; it is interrupted after so many updates of the panel."""
    asked = k.send(code)
    found: list[Message] = []
    while not found or found[-1]["content"].get("execution_state") != "idle":
        message = k.client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == asked:
            found.append(message)
            if interrupt_after is not None and len(kinds(found, "update_display_data")) == interrupt_after:
                interrupt_after = None
                k.interrupt()
    return found


def kinds(found: list[Message], *names: str) -> list[Message]:
    return [message for message in found if message["msg_type"] in names]


def kept(found: list[Message]) -> list[Any]:
    """The outputs as a front end keeps them: updates replace what they name."""
    outputs: list[Any] = []
    places: dict[str, int] = {}
    for message in found:
        content = message["content"]
        match message["msg_type"]:
            case "clear_output":
                outputs.clear()
                places.clear()
            case "update_display_data":
                place = places[content["transient"]["display_id"]]
                outputs[place] = nbformat.v4.output_from_msg(message | {"header": {"msg_type": "display_data"}})
            case "stream" if outputs and outputs[-1].get("name") == content["name"]:
                outputs[-1].text += content["text"]
            case "display_data" | "execute_result" | "stream" | "error":
                places[content.get("transient", {}).get("display_id", "")] = len(outputs)
                outputs.append(nbformat.v4.output_from_msg(message))
    return outputs


def points(markup: str) -> int:
    return sum(len(line.split()) for line in re.findall(r'points="([^"]*)"', markup))


def test_a_short_cell_has_a_summary_and_no_panel(attended: Kernel, place: tuple[Path, dict[str, str]]) -> None:
    found = messages(attended, "%%mlrun short\nlog(loss=2.0)\nlog(loss=1.0)\nprint('said')\n40 + 2")
    assert [m["msg_type"] for m in kinds(found, "stream", "display_data", "execute_result", "update_display_data")] == [
        "stream", "execute_result", "display_data",
    ]  # fmt: skip
    (summary,) = kinds(found, "display_data")
    assert summary["content"]["data"]["text/plain"].splitlines()[1] == "  loss █▁ 2 values, 1 to 2, last 1"
    told = summary["content"]["data"][MIME]
    assert told["name"] == "short" and told["status"] == "FINISHED" and told["metrics"] == {"loss": 1.0}
    assert told["source"] == bundle.digest("%%mlrun short\nlog(loss=2.0)\nlog(loss=1.0)\nprint('said')\n40 + 2")
    attended.run("%ledger flush")
    (published,) = runs(place[0], flushed=False)
    assert published.data.tags["nbledger.journal"] == told["journal"]


def test_the_curve_moves_while_a_long_cell_runs_and_the_summary_takes_its_place(attended: Kernel) -> None:
    body = LOOP.format(rounds=24) + "    print(i)\n'done'"
    found = messages(attended, f"%%mlrun long\n{body}")
    (panel,) = kinds(found, "display_data")
    updates = kinds(found, "update_display_data")
    assert panel["content"]["data"][MIME]["status"] == "RUNNING"
    drawn = [points(m["content"]["data"]["text/html"]) for m in (panel, *updates)]
    assert len(drawn) >= 4 and drawn == sorted(drawn) and drawn[0] < drawn[-1] == 24
    outputs = kept(found)
    said = "".join(o.text for o in outputs if o.output_type == "stream")
    assert said == "".join(f"{i}\n" for i in range(24)) and outputs[-1].data["text/plain"] == "'done'"
    (summary,) = [o for o in outputs if o.output_type == "display_data"]
    assert summary.data["text/plain"].startswith("✓ long FINISHED") and summary.data[MIME]["status"] == "FINISHED"
    assert not kinds(found, "comm_open") and "widget" not in json.dumps(outputs)


def test_an_exception_and_an_interrupt_are_those_of_the_plain_cell(attended: Kernel) -> None:
    failed = messages(attended, f"%%mlrun failed\n{LOOP.format(rounds=13)}1 / 0")
    assert [o.output_type for o in kept(failed)] == ["display_data", "error"]
    assert kept(failed)[0].data["text/plain"].startswith("✗ failed FAILED")
    assert kept(failed)[1].ename == "ZeroDivisionError" and "nbledger" not in "".join(kept(failed)[1].traceback)
    killed = messages(attended, f"%%mlrun killed\n{LOOP.format(rounds=600)}", interrupt_after=1)
    assert [o.output_type for o in kept(killed)] == ["display_data", "error"]
    assert kept(killed)[0].data[MIME]["status"] == "KILLED" and kept(killed)[1].ename == "KeyboardInterrupt"


def test_a_progress_bar_is_not_torn_and_cleared_output_stays_cleared(attended: Kernel) -> None:
    bar = "for i in range(14):\n    log(loss=i)\n    print(f'\\r{i}', end='', flush=True)\n    time.sleep(0.1)"
    found = messages(attended, f"%%mlrun bar\n{bar}")
    assert [o.output_type for o in kept(found)] == ["stream", "display_data"]
    assert not kinds(found, "update_display_data")
    cleared = messages(
        attended,
        f"%%mlrun cleared\nfrom IPython.display import clear_output\n{LOOP.format(rounds=30)}clear_output()\n"
        f"{LOOP.format(rounds=8)}print('after')",
    )
    assert kinds(cleared, "update_display_data")
    assert [o.output_type for o in kept(cleared)] == ["stream", "display_data"]
    assert kept(cleared)[1].data["text/plain"].startswith("✓ cleared FINISHED")


def test_a_run_over_several_cells_is_shown_in_the_cell_that_logs(attended: Kernel) -> None:
    attended.run("%mlrun start span")
    plain = messages(attended, "1 + 1")
    assert [o.output_type for o in kept(plain)] == ["execute_result"]
    (logging,) = kept(messages(attended, LOOP.format(rounds=14)))
    assert logging.data["text/plain"].startswith("▸ span RUNNING") and logging.data[MIME]["source"]
    (stopped,) = kept(messages(attended, "%mlrun stop"))
    assert stopped.data["text/plain"].startswith("✓ span FINISHED")
    assert stopped.data[MIME]["journal"] == logging.data[MIME]["journal"]


def test_where_nobody_looks_nothing_moves(place: tuple[Path, dict[str, str]]) -> None:
    with kernel(*place) as k:
        k.run("import time\nfrom nbledger import log")
        found = messages(k, f"%%mlrun alone\n{LOOP.format(rounds=14)}")
        assert len(kinds(found, "display_data")) == 1 and not kinds(found, "update_display_data")


def test_a_panel_that_breaks_leaves_the_cell_alone(attended: Kernel) -> None:
    attended.run("from nbledger_magics import curves as c\nkept, c.html = c.html, lambda *_: 1 / 0")
    found = messages(attended, f"%%mlrun broken\n{LOOP.format(rounds=14)}40 + 2")
    attended.run("c.html = kept")
    (result,) = [o for o in kept(found) if o.output_type == "execute_result"]
    assert result.data["text/plain"] == "42" and not kinds(found, "error", "update_display_data")


def test_a_saved_notebook_shows_the_curves_through_nbconvert(attended: Kernel) -> None:
    code = f"%%mlrun saved\n{LOOP.format(rounds=14)}"
    cell = nbformat.v4.new_code_cell(code, outputs=kept(messages(attended, code)))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(notebook)
    page, _ = HTMLExporter(embed_images=False).from_notebook_node(notebook)
    assert "<polyline" in page and "saved" in page and "Loading widget" not in page
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    assert "saved" in text and re.search("[▁▂▃▄▅▆▇█]{10}", text)


def test_a_curve_stays_small_and_true() -> None:
    curve = Curve()
    for i in range(100_000):
        curve.add(i, float((i * 7919) % 1000))
    drawn = curve.drawn()
    assert len(drawn) <= 257 and drawn[-1] == (99_999, curve.last)
    assert (curve.count, curve.low, curve.high) == (100_000, 0.0, 999.0)
    assert len(curve.series().shown) <= 40


def test_what_is_no_number_leaves_a_gap_and_names_stay_text() -> None:
    broken = Curve()
    for step, value in enumerate([1.0, 2.0, float("nan"), 3.0, float("inf"), 2.0, 1.0]):
        broken.add(step, value)
    name = '<img src=x onerror="alert(1)">'
    markup = curves.html({name: broken})
    assert markup.count("<polyline") == 2 and "<img" not in markup
    assert "·" in curves.plain({name: broken})[0]


def test_the_digest_of_a_source_is_the_one_that_the_browser_makes() -> None:
    listed = (Path(__file__).parents[2] / "labextension/src/notebook/digest.test.ts").read_text()
    vectors = re.findall(r"^  \[(.+), '([0-9a-f]{8})'\],?$", listed, re.MULTILINE)
    assert len(vectors) == 10
    sources = [ast.literal_eval(quoted) for quoted, _ in vectors]
    assert [bundle.digest(source) for source in sources] == [expected for _, expected in vectors]
