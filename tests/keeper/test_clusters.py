"""What ``--on`` refuses before anything starts, as far as that needs no cluster; ``tests/test_cluster.py`` has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.core import cluster, trust
from nbledger.core.batch import Options, Task
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.keeper import clusters, remote

TASK = Task(0, "a.ipynb", "", "a", "a")


@pytest.mark.parametrize(
    "address", ["dask://", "dask://host", "http://host:1", "host:8786", "dask://me:x@host:1", "tls://h:x"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a Dask scheduler"):
        cluster.parsed(address)


def test_addresses() -> None:
    assert cluster.parsed("dask://host:8786") == "tcp://host:8786"
    assert cluster.parsed("tls://[::1]:8786") == "tls://[::1]:8786"


def test_a_store_that_is_a_file_is_refused(project: Path) -> None:
    with pytest.raises(Refused, match="this project's store is a file of this machine"):
        clusters.prepare(find(project), Options(on="dask://127.0.0.1:9"), [TASK])


def test_a_server_that_is_away_is_told(project: Path) -> None:
    (project / ".nbledger.toml").write_text('tracking_uri = "http://127.0.0.1:9"\n')
    commit_all(project)
    trust.trust(find(project))
    options = Options(on="dask://127.0.0.1:9")
    with pytest.raises(LedgerError, match=r"127\.0\.0\.1:9 does not answer"):
        clusters.prepare(find(project), options, [TASK])


def test_which_remote_workers_clone(project: Path) -> None:
    with pytest.raises(Refused, match="there is none"):
        clusters._remote(find(project))
    git(project, "remote", "add", "one", "https://me:token@example.org/x.git")
    assert clusters._remote(find(project))[1:] == ("one", "https://example.org/x.git")
    git(project, "remote", "add", "two", "https://example.org/y.git")
    with pytest.raises(Refused, match="none called origin: one, two"):
        clusters._remote(find(project))


def test_workers_that_differ_are_named() -> None:
    mine = remote.facts()
    clusters._require_same({"tcp://a:1": mine})
    other = {**mine, "version": "0.0.1"}
    with pytest.raises(Refused) as caught:
        clusters._require_same({"tcp://a:1": mine, "tcp://b:1": other, "tcp://c:1": ModuleNotFoundError("nbledger")})
    assert f"tcp://b:1 has nbledger 0.0.1 with Python {mine['python']}, tcp://c:1 has no nbledger" in str(caught.value)
