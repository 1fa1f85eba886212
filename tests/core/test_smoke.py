"""The first request to a served model: what is read of it, and which answers are good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbledger.core import smoke
from nbledger.core.errors import Refused

RAISED = {
    "message": "unexpected\nerror",
    "stack_trace": "Traceback (most recent call last):\n  …\nValueError: no such wine\n",
}


@pytest.mark.parametrize(
    ("status", "told", "expected", "said"),
    [
        (200, {"predictions": [1, 2]}, None, ""),
        (200, {"predictions": [1.0, 2.0000001]}, [1, 2], ""),
        (200, {"predictions": [1, 2.1]}, [1, 2], "it predicts [1, 2.1] where [1, 2] was recorded"),
        (200, {"predictions": [1]}, [1, 1], "it predicts [1] where [1, 1] was recorded"),
        (200, {"predictions": [True]}, [1], ""),
        (200, {"predictions": [{"a": 1, "b": "x"}]}, [{"a": 1, "b": "x"}], ""),
        (200, {"predictions": [{"a": 1}]}, [{"a": 1, "b": "x"}], "it predicts"),
        (200, {"predictions": []}, None, "it answers without a prediction"),
        (200, {"predictions": None}, None, "it answers without a prediction"),
        (200, "text", None, ""),
        (400, RAISED, None, "it answers its own input example with 400: ValueError: no such wine"),
        (500, {"message": "a\nb"}, None, "it answers its own input example with 500: a b"),
    ],
)
def test_what_is_a_good_answer(status: int, told: Any, expected: Any, said: str) -> None:
    found = smoke.wrong_with(status, json.dumps(told).encode(), expected)
    assert found == said if said != "it predicts" else found.startswith(said)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>", b"[" * 100_000])
def test_an_answer_that_is_not_json_is_none(body: bytes) -> None:
    assert smoke.wrong_with(200, body, None).startswith("what it answers is not JSON")
    assert len(smoke.wrong_with(503, body, None)) < 300


def test_predictions_are_remembered_as_a_server_answers_them() -> None:
    assert smoke.remembered(np.array([1, 2])) == {smoke.EXPECTED: [1, 2]}
    assert smoke.remembered(np.array(["red", "white"])) == {smoke.EXPECTED: ["red", "white"]}
    assert smoke.remembered(np.array([[0.1], [0.2]])) == {smoke.EXPECTED: [[0.1], [0.2]]}
    for other in (np.array([np.nan]), np.zeros(1_000), np.zeros((100, 100)), object(), np.array([]), np.array([1j])):
        assert smoke.remembered(other) is None


def test_the_request_is_the_models_own(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(
        "saved_input_example_info:\n  serving_input_path: serving.json\nmetadata:\n  nbledger.example_predictions: [1]\n"
    )
    told = smoke.described(tmp_path)
    assert smoke.of_model(tmp_path, told) is None  # the file is not there
    (tmp_path / "serving.json").write_text('{"inputs": [1]}')
    assert smoke.of_model(tmp_path, told) == smoke.Smoke('{"inputs": [1]}', [1])
    (tmp_path / "serving.json").write_text("{")
    assert smoke.of_model(tmp_path, told) is None
    for path in ("../serving.json", "/etc/passwd", 7, None):
        told["saved_input_example_info"]["serving_input_path"] = path
        assert smoke.of_model(tmp_path, told) is None


@pytest.mark.parametrize("text", ["", "- a", "a: [", "!!python/object/apply:os.system ['touch pwned']", "\0"])
def test_a_model_that_says_nothing_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(Refused):
        smoke.described(tmp_path)
    assert not (tmp_path / "pwned").exists()
