"""Secrets of a team, planted wherever people keep theirs, and then everything is looked through in which one could have ended.

Ada has hers in the environment, beside the notebook and in what her cells handle; Ben has his in files of configuration.
Both record runs, push, pull, and make mistakes: a wrong key, a server that is away. Then come the whole history of the
remote and of the clones (`refs/nbledger/*` and what nothing leads to any more included), every object in S3, every row of the
server's databases, the logs of all servers, `.nbledger/`, DVC's and Jupyter's folders, executed notebooks, temporary files,
and everything that was shown. Where a secret was planted, it may stand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import secretscan
from kernels import Kernel
from servers import token
from team import Office, Person, office

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first test waits for all that is played

CELLS = (
    "# parameters\ndb_password = ''\nlr = 0.1",
    "size = len(db_password)",
    "from nbledger import log\nlog(size=size)",
)


@dataclass
class Planted:
    """The secrets {what: value}, the files in which they may stand, and everything that was shown."""

    office: Office
    secrets: dict[str, str] = field(default_factory=dict)
    homes: list[Path] = field(default_factory=list)
    shown: dict[str, bytes] = field(default_factory=dict)

    def secret(self, what: str) -> str:
        return self.secrets.setdefault(what, token())

    def file(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.homes.append(path)

    def hear(self, person: Person, *words: str) -> None:
        """What ``nbledger WORDS`` says, whether it goes well or not."""
        said = person.ledger(*words, ok=False)
        assert "Traceback" not in said or "--debug" in words, said
        self.shown[f"{len(self.shown)}: {person.name}: nbledger {' '.join(words)}"] = said.encode()

    def see(self, kernel: Kernel, code: str) -> str:
        cell = kernel.run(code)
        text = cell.shown + cell.stderr + "".join(cell.html)
        if not code.startswith("%%mlrun fails"):  # the exception is the person's own, and shown to them as it is
            text += cell.traceback
        self.shown[f"{len(self.shown)}: {code[:30]}"] = text.encode()
        return cell.shown


def plant_with_ada(here: Planted, ada: Person) -> None:
    """In variables, beside the notebook, in her home."""
    for what, value in ada.secrets.items():
        here.secrets[f"Ada's {what}"] = value
    here.homes.append(ada.home / ".git-credentials")
    ada.env |= {
        "HUB_TOKEN": here.secret("variable of a hub"),
        "DATABASE_URL": f"postgresql://ada:{here.secret('address in a variable')}@127.0.0.1:9/x",
        "API_KEY": here.secret("parameter from a variable"),
        "DEPLOY": here.secret("tag from a variable"),
        "WAREHOUSE_PASSWORD": here.secret("password in an exception"),
        "PIP_EXTRA_INDEX_URL": f"https://ada:{here.secret('index of packages')}@127.0.0.1:9/simple",
        "JUPYTER_TOKEN": here.secret("token of Jupyter"),
    }
    beside = {
        ".env": f"TOKEN={here.secret('.env')}\n",
        ".netrc": f"machine 127.0.0.1 login ada password {here.secret('.netrc beside the notebook')}\n",
        "id_rsa": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{here.secret('key beside the notebook')}\n",
        "conf/credentials.json": json.dumps({"key": here.secret("credentials.json")}),
        "conf/service_account_team.json": json.dumps({"private_key": here.secret("service account")}),
    }
    for name, text in beside.items():
        here.file(ada.root / name, text)
    here.file(ada.home / ".ssh/id_ed25519", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{here.secret('SSH key')}\n")
    keyring = ada.home / ".local/share/python_keyring/keyring_pass.cfg"
    here.file(keyring, f"[nbledger]\nada = {here.secret('keyring')}\n")


def plant_with_ben(here: Planted, ben: Person) -> None:
    """In the files of Git, DVC and MLflow; his environment has none."""
    for what, value in ben.secrets.items():
        here.secrets[f"Ben's {what}"] = value
    for name in [name for name in ben.env if name.startswith(("AWS_", "MLFLOW_TRACKING_"))]:
        del ben.env[name]
    here.homes.append(ben.home / ".git-credentials")  # Git's own helper may keep what an address gave it
    (ben.home / ".git-credentials").unlink()
    ben.git("remote", "set-url", "origin", f"{here.office.git.address('ben')}/ledger.git")
    ben.git("config", "http.http://127.0.0.1:9/.extraHeader", f"AUTHORIZATION: bearer {here.secret('header of Git')}")
    here.homes.append(ben.root / ".git/config")
    key, secret = here.office.s3.keys["ben"]
    here.file(
        ben.root / ".dvc/config.local",
        f"['remote \"storage\"']\n    access_key_id = {key}\n    secret_access_key = {secret}\n"
        f"['remote \"web\"']\n    url = https://ben:{here.secret('address in config.local')}@127.0.0.1:9/x\n"
        f"    password = {here.secret('option in config.local')}\n",
    )
    here.file(
        ben.home / ".mlflow/credentials",
        f"[mlflow]\nmlflow_tracking_username = ben\nmlflow_tracking_password = {ben.secrets['mlflow']}\n",
    )
    here.file(
        ben.home / ".aws/credentials", f"[other]\naws_secret_access_key = {here.secret('another profile of AWS')}\n"
    )


def work_of_ada(here: Planted, ada: Person) -> None:
    """A session in a kernel, a batch, and a push; then the same with a wrong key and without a server."""
    (ada.root / "a.csv").write_text("1,2\n")
    here.hear(ada, "track", "a.csv", "--push")
    with ada.kernel() as k:
        k.run("import os\nfrom nbledger.keeper import recorder\napi_key = os.environ['API_KEY']\nmarker = 'wordofall'")
        here.see(
            k,
            "%%mlrun session -p api_key -p marker\nopen('a.csv').read()\n"
            "recorder.current().log_tags({'deploy_token': os.environ['DEPLOY']})",
        )
        here.see(
            k,
            "%%mlrun fails\nraise RuntimeError('no entry: password=' + os.environ['WAREHOUSE_PASSWORD']"
            " + ' at ' + os.environ['DATABASE_URL'])",
        )
        for code in ("%ledger status", "%runs", "%compare_runs session fails", "%ledger push", "%ledger doctor"):
            here.see(k, code)
        ada.env["MLFLOW_TRACKING_PASSWORD"] = here.secret("password that is wrong")
    ada.write(CELLS, "batch.ipynb")
    (ada.root / "batch.ipynb").write_text(
        (ada.root / "batch.ipynb").read_text().replace("lr = 0.1", "marker = 'wordofall'")
    )
    here.hear(
        ada,
        "run",
        "batch.ipynb",
        "--no-html",
        "-p",
        f"db_password={here.secret('parameter of a batch')}",
        "--output",
        "done",
    )
    here.hear(ada, "flush")
    ada.env["MLFLOW_TRACKING_PASSWORD"] = ada.secrets["mlflow"]
    here.hear(ada, "flush")
    right = ada.env["AWS_SECRET_ACCESS_KEY"]
    ada.env["AWS_SECRET_ACCESS_KEY"] = here.secret("S3 key that is wrong")
    (ada.root / "b.csv").write_text("3,4\n")
    here.hear(ada, "track", "b.csv", "--push")
    here.hear(ada, "push", "--debug")
    here.hear(ada, "doctor", "--json")
    ada.env["AWS_SECRET_ACCESS_KEY"] = right
    ada.write(CELLS, "batch.ipynb")
    here.hear(ada, "checkpoint", "-m", "wordofall", "batch.ipynb")
    here.hear(ada, "push")
    here.hear(ada, "server", "--check", here.office.mlflow.uri)


def work_of_ben(here: Planted, ben: Person) -> None:
    """The same project from files of configuration: pull, runs, push, every way of looking, and a server that is away."""
    here.hear(ben, "pull")
    assert (ben.root / "a.csv").read_text() == "1,2\n", here.shown
    here.hear(
        ben,
        "run",
        "batch.ipynb",
        "--no-html",
        "-p",
        f"db_password={here.secret('parameter of Ben')}",
        "--name",
        "of ben",
    )
    (ben.root / "c.csv").write_text("5,6\n")
    here.hear(ben, "track", "c.csv", "-m", "c", "--push")
    for words in (
        ["push", "--dry-run"],
        ["push", "--json"],
        ["status", "--json"],
        ["runs", "--json"],
        ["show", "session", "--json"],
        ["show", "fails"],
        ["compare", "session", "of ben", "--json"],
        ["doctor"],
        ["gc", "--dry-run"],
    ):
        here.hear(ben, *words)
    here.office.git.stop()
    here.hear(ben, "push", "--debug")
    here.hear(ben, "pull")
    here.office.git.start()
    here.office.s3.stop()
    (ben.root / "d.csv").write_text("7,8\n")
    here.hear(ben, "track", "d.csv", "--push")
    here.hear(ben, "push")
    here.office.s3.start()
    here.hear(ben, "push")
    here.hear(ben, "join", f"{here.office.git.address('ben')}/ledger.git", str(ben.home / "again"))
    here.hear(ben, "init", "--remote", f"s3://ben:{ben.secrets['s3']}@ledger/data")


def places(here: Planted) -> Iterator[tuple[str, bytes]]:
    """Everything that the team and its servers have."""
    yield from here.shown.items()
    yield from secretscan.of_git(here.office.git.repository)
    yield from secretscan.of_folder(here.office.git.folder)
    yield from secretscan.of_bucket(here.office.s3)
    yield from secretscan.of_database(here.office.database)
    for log in (here.office.mlflow.log, here.office.git.log, here.office.s3.folder / "weed.log"):
        yield str(log), log.read_bytes()
    for person in here.office.people:
        yield from secretscan.of_git(person.root)
        yield from secretscan.of_folder(person.home, without=here.homes)
        yield from secretscan.of_folder(person.runtime)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with office(tmp_path_factory.mktemp("team"), ("Ada", "Ben")) as servers:
        here = Planted(servers)
        for person in servers.people:
            person.env["TMPDIR"] = str(person.home / "tmp")
            os.mkdir(person.env["TMPDIR"])
        servers.set_up()
        assert servers.mlflow.auth is not None
        here.secrets |= {
            "the administrator's": servers.mlflow.auth[1],
            "the server's key of cookies": servers.mlflow.key,
            "the database's": servers.database.password,
            "the bucket's": servers.s3.secret,
        }
        ada, ben = servers.people
        plant_with_ada(here, ada)
        plant_with_ben(here, ben)
        work_of_ada(here, ada)
        work_of_ben(here, ben)
        yield here


def test_none_of_them_is_found(team: Planted) -> None:
    assert len(team.secrets) >= 25
    seen, count = secretscan.found(team.secrets, places(team))
    assert seen == []
    assert count > 200


def test_what_is_no_secret_is_found_in_every_kind_of_place(team: Planted) -> None:
    """Or the scan would find nothing because it does not look."""
    seen, _ = secretscan.found({"": "wordofall"}, places(team))
    kinds = {
        "the remote's history": f"{team.office.git.repository}: git cat-file",
        "a clone's history": f"{team.office.people[1].root}: git cat-file",
        "runs on the server": "database mlflow",
        "artifacts in S3": "s3://",
        "executed notebooks": "done/batch.ipynb",
        "the ledger's folder": "/.nbledger/",
        "what was shown": "nbledger show session",
    }
    assert [kind for kind, where in kinds.items() if not any(where in one for one in seen)] == []


def test_the_work_was_done(team: Planted) -> None:
    """The runs are on the server, under their people's names, and the secrets among their values are hidden."""
    found = {run["info"]["run_name"]: run for run in team.office.mlflow.runs()}
    told = "\n".join(f"{what}\n{said.decode()[-500:]}" for what, said in team.shown.items())
    assert {"session", "fails", "batch", "of ben"} <= set(found), told
    values = {one["key"]: one["value"] for one in found["session"]["data"]["params"]}
    assert (values["api_key"], values["marker"]) == ("***", "wordofall")
    ben = team.office.person("Ben")
    assert "in sync" in ben.dvc("status", "-c")
    assert ben.git("status", "--porcelain", "--branch").splitlines()[0] == "## main...origin/main"
