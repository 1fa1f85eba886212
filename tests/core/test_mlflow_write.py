"""What goes into one request, what the server's client says put into words, and variables that several threads want."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from nbledger.core import mlflow, mlflow_write, secrets, values
from nbledger.core.errors import LedgerError, ToolFailed, Unreachable

URI = "http://127.0.0.1:9"


class Api:
    """A client whose server refuses what ``refuses`` says; ``kept`` is what it has taken, ``asked`` each request."""

    def __init__(self, refuses: Any = None) -> None:
        self.refuses, self.kept, self.asked = refuses, [], []

    def log_batch(self, run_id: str, synchronous: bool, **batch: Any) -> None:
        self.asked.append({kind: len(entries) for kind, entries in batch.items()})
        every = [entry for entries in batch.values() for entry in entries]
        for entry in every:
            if self.refuses and (said := self.refuses(entry)):
                raise said
        self.kept += every


def log(api: Api, **words: Any) -> list[str]:
    return mlflow_write.log(api, URI, "r", **words)  # type: ignore[arg-type]


def test_what_fits_goes_into_one_request() -> None:
    api = Api()
    points = [("loss", float(n), n, n) for n in range(30)]
    assert log(api, params={"a": "1"}, tags={"b": "2"}, metrics=points) == []
    assert api.asked == [{"params": 1, "tags": 1, "metrics": 30}]
    assert log(api, tags={}) == [] and len(api.asked) == 1  # nothing is no request


@pytest.mark.parametrize(("params", "tags", "metrics"), [(150, 5, 2500), (250, 120, 0), (0, 201, 799), (0, 0, 1000)])
def test_nothing_is_left_out_and_no_request_is_too_large(params: int, tags: int, metrics: int) -> None:
    api = Api()
    log(
        api,
        params={f"p{n}": "1" for n in range(params)},
        tags={f"t{n}": "1" for n in range(tags)},
        metrics=[("m", 0.0, n, n) for n in range(metrics)],
    )
    assert len(api.kept) == params + tags + metrics
    for asked in api.asked:
        assert asked.get("params", 0) <= 100 and asked.get("tags", 0) <= 100 and sum(asked.values()) <= 1000
    assert len(api.asked) == max(-(-params // 100), -(-tags // 100), -(-(params + tags + metrics) // 1000))


def test_a_refused_value_costs_only_itself() -> None:
    api = Api(lambda entry: MlflowException("too long", INVALID_PARAMETER_VALUE) if entry.key == "bad" else None)
    said = log(api, params={"a": "1", "bad": "2", "c": "3"}, tags={"t": "1"}, metrics=[("m", 1.0, 1, 1)])
    assert said == ["param 'bad': MLflow: too long"]
    assert [entry.key for entry in api.kept] == ["a", "c", "t", "m"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (BAD_REQUEST, "(psycopg2.InterfaceError) connection already closed"),
        (BAD_REQUEST, "(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint"),
        (TEMPORARILY_UNAVAILABLE, "(psycopg2.OperationalError) server closed the connection unexpectedly"),
    ],
)
def test_a_database_that_is_away_is_no_refusal(code: int, words: str) -> None:
    """Taken for one, the value would be lost, and the run would say so for ever."""
    api = Api(lambda entry: MlflowException(words, code))
    with pytest.raises(LedgerError):
        log(api, params={"a": "1"})


def test_what_databases_do_not_take_is_escaped() -> None:
    api = Api()
    said = log(api, params={"a": "x\0y", "b": "plain"}, tags={"t": os.fsdecode(b"\xff")})
    assert [entry.value for entry in api.kept] == ["x\\x00y", "plain", "\\udcff"] and len(said) == 2
    assert mlflow_write.storable("sqlite:///x", "x\0y") == "x\0y"
    assert values.storable("ümläut ✓") == "ümläut ✓"


@pytest.mark.parametrize(
    ("said", "kind", "words", "passing"),
    [
        (
            "HTTPConnectionPool: Max retries exceeded (Caused by NewConnectionError)",
            Unreachable,
            "does not answer",
            True,
        ),
        (
            "Max retries exceeded (Caused by ResponseError('too many 503 error responses'))",
            Unreachable,
            "its database",
            True,
        ),
        (
            "500 Server Error: X for url: http://h/api/2.0/mlflow-artifacts/artifacts/1",
            ToolFailed,
            "failed (500)",
            True,
        ),
        ("Max retries exceeded (Caused by ResponseError('too many 500 error responses'))", ToolFailed, "(500)", False),
        ("API request to endpoint /x failed with error code 401 != 200. Response body: 'x'", ToolFailed, "(401)", True),
        (
            "API request to endpoint /x failed with error code 403 != 200. Response body: 'x'",
            ToolFailed,
            "(403)",
            False,
        ),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", Unreachable, "certificate", True),
        ("No such model", ToolFailed, "MLflow: No such model", False),
    ],
)
def test_complaints(said: str, kind: type[LedgerError], words: str, passing: bool) -> None:
    found = mlflow.complaint("http://me:hush@h", said)
    assert type(found) is kind and words in str(found) and "hush" not in str(found)
    assert mlflow.passing(found) is passing


def test_a_value_whose_words_are_those_of_an_outage_is_none() -> None:
    api = Api(
        lambda entry: MlflowException("bad value '503 Server Error, Max retries exceeded'", INVALID_PARAMETER_VALUE)
    )
    assert len(log(api, params={"a": "1"})) == 1


def test_a_variable_is_given_back_by_the_last_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_TEST", "10")
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def hold() -> None:
        with mlflow_write._with_variable("OF_THE_TEST", "700"):
            inside.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(20)
    with mlflow_write._with_variable("OF_THE_TEST", "60"):
        seen.append(os.environ["OF_THE_TEST"])  # the other, which is larger, has not ended
    seen.append(os.environ["OF_THE_TEST"])
    go_on.set()
    thread.join()
    assert [*seen, os.environ["OF_THE_TEST"]] == ["700", "700", "10"]


def test_a_large_file_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    assert mlflow_write.patience_for(1000) == 20 and mlflow_write.patience_for(500_000_000) == 1020


def test_a_login_is_taken_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secrets.STORE_LOGIN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "old")
    for nothing in (None, {}, "x", {"PATH": "/"}, {"MLFLOW_TRACKING_PASSWORD": 7}):
        secrets.take_store_login(nothing)
        assert secrets.store_login() == {"MLFLOW_TRACKING_TOKEN": "old"} and os.environ["PATH"] != "/"
    given = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "new"}
    secrets.take_store_login(given)
    assert secrets.store_login() == given
