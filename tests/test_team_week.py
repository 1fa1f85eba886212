"""Three people and one project, from Monday to Friday: everything real but the days, which only Git's dates tell.

Each has a home, an identity and passwords of their own. At the end of the week everything that the three and their servers
hold is checked as a whole, and looked through for each of these passwords.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import secretscan
from conftest import run
from team import Office, Person, at_once, office

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first test waits for all that is played

LARGEST_IN_GIT = 40_000  # bytes: a notebook of this week has 3,000, a file of measurements 60,000
DAYS = 6
FIT = (
    "# parameters\ndegree = 1",
    """import csv, glob
rows = []
for name in sorted(glob.glob('measurements/*.csv')):
    with open(name) as file:
        rows += [(float(x), float(y)) for x, y in csv.reader(file)]""",
    """def fit(rows, degree):
    return sum((y - x ** degree) ** 2 for x, y in rows) / len(rows)""",
    """from nbledger import log
error = fit(rows, degree)
log(error=error, rows=len(rows))
with open('fit.json', 'w') as file:
    file.write(repr(error))""",
)


def measured(person: Person, day: int, word: str) -> None:
    """The file of a day's measurements; another word makes it another one."""
    seed = sum(map(ord, word))
    lines = [f"{n / 10000:.4f},{(n * seed + day) % 1009 / 100:.2f}" for n in range(6000)]
    (person.root / "measurements").mkdir(exist_ok=True)
    (person.root / f"measurements/{day:02}.csv").write_text("\n".join(lines) + "\n")


def contents(person: Person) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((person.root / "measurements").iterdir())}


def named(office: Office, **tags: str) -> list[dict[str, Any]]:
    """The runs on the server that have these tags, the oldest first."""
    found = []
    for run_ in office.mlflow.runs():
        has = {tag["key"]: tag["value"] for tag in run_["data"].get("tags", [])}
        if all(has.get(name.replace("__", ".")) == value for name, value in tags.items()):
            found.append({**run_["info"], "tags": has, "metrics": run_["data"].get("metrics", [])})
    return sorted(found, key=lambda one: int(one["start_time"]))


def monday(here: Office, url: str) -> None:
    """Ada sets up; the others join; all three run the notebook at the same time."""
    ada, ben, cleo = here.people
    ada.root.mkdir()
    ada.ledger("init", *here.remote, "--tracking-uri", here.mlflow.uri, "--filters", "--hook")
    with open(ada.root / ".nbledger.toml", "a") as toml:
        toml.write("pre_push_hook = true\n")
    (ada.root / ".gitignore").write_text("fit.json\n")
    for day in range(DAYS):
        measured(ada, day, "first")
    ada.ledger("track", "measurements", "-m", "Measurements of the first days")
    ada.write(FIT, "fit.ipynb")
    ada.git("add", ".gitignore", ".nbledger.toml", "fit.ipynb")
    ada.git("commit", "--quiet", "-m", "The fit")
    ada.git("remote", "add", "origin", url)
    ada.ledger("push")
    ben.root = ben.home / "elsewhere"  # the runs of all go to one experiment nevertheless
    for person in (ben, cleo):
        person.ledger("join", url, str(person.root), "--trust", "--no-env", cwd=person.home)
        assert contents(person) == contents(ada)
    at_once(
        *(
            (person, ("run", "fit.ipynb", "--no-html", "-p", f"degree={degree}"))
            for degree, person in enumerate(here.people, 1)
        )
    )


def tuesday(here: Office) -> None:
    """Ada and Ben both change the measurements, each other files of them. Ben's half-written code runs meanwhile."""
    ada, ben, _ = here.people
    measured(ada, 2, "corrected by Ada")
    measured(ada, DAYS, "new from Ada")
    ada.ledger("track", "measurements", "-m", "Day 2 corrected, a new day", "--push")
    ada.ledger("push")

    measured(ben, 5, "corrected by Ben")
    (ben.root / "measurements/03.csv").unlink()
    ben.ledger("track", "measurements", "-m", "Day 5 corrected, day 3 left out")
    ben.write([FIT[0], FIT[1], FIT[2].replace("** 2", "** 4"), FIT[3]], "fit.ipynb")
    ben.ledger("run", "fit.ipynb", "--no-html", "-p", "degree=2", "--name", "fourth power")
    ben.git("checkout", "--", "fit.ipynb")
    assert ben.git("status", "--porcelain") == ""

    said = ben.ledger("push", ok=False)
    assert "git pull" in said and "nbledger pull brings the data" in said
    said = ben.ledger("pull", ok=False)
    assert "diverged" in said
    ben.git("pull", "--quiet", "--no-rebase", "--no-edit")
    ben.ledger("pull")
    together = contents(ben)
    assert together["02.csv"] == contents(ada)["02.csv"] and f"{DAYS:02}.csv" in together
    assert "03.csv" not in together and together["05.csv"] != contents(ada)["05.csv"]
    ben.ledger("push")
    ada.ledger("pull")
    assert contents(ada) == together
    assert ada.dvc("status") == ben.dvc("status") == "Data and pipelines are up to date."


def wednesday(here: Office) -> None:
    """Ada and Cleo edit the same notebook; Cleo forgets her data, and is told three times."""
    ada, ben, cleo = here.people
    cleo.ledger("pull")
    edited = [FIT[0].replace("degree = 1", "degree = 2"), *FIT[1:]]
    ada.write(edited, "fit.ipynb")
    ada.ledger("checkpoint", "-m", "Degree 2 is the default", "fit.ipynb")
    ada.ledger("push")
    mine = [*FIT[:3], FIT[3] + "\nprint(error)"]
    cleo.write(mine, "fit.ipynb")
    cleo.ledger("checkpoint", "-m", "The fit says its error", "fit.ipynb")
    cleo.git("pull", "--quiet", "--no-rebase", "--no-edit")
    sources = [cell["source"] for cell in json.loads((cleo.root / "fit.ipynb").read_text())["cells"]]
    assert ["".join(source) for source in sources] == [edited[0], *FIT[1:3], mine[3]]

    measured(cleo, 20, "by Cleo")
    cleo.ledger("track", "measurements", "-m", "Cleo's day")
    refused = cleo.git("push", ok=False)
    assert "measurements" in refused and "nbledger push" in refused
    assert here_is_not(cleo, ada)
    listed = cleo.ledger("push", "--dry-run")
    assert "measurements" in listed
    cleo.git("push", "--quiet", "--no-verify")  # it is late on Wednesday
    told = ben.ledger("pull", ok=False)
    assert "measurements" in told, told
    cleo.ledger("push")
    ben.ledger("pull")
    assert contents(ben) == contents(cleo)


def here_is_not(person: Person, other: Person) -> bool:
    """Whether the other one's remote branch lacks the person's commit."""
    other.git("fetch", "--quiet")
    return other.git("rev-parse", "origin/main") != person.git("rev-parse", "HEAD")


def thursday(here: Office) -> tuple[int, int]:
    """Cleo works on a train; Ada brings Ben's unfinished code of Tuesday back from her own clone. When Cleo was offline (ms)."""
    ada, ben, cleo = here.people
    begin = int(time.time() * 1000)
    with cleo.offline():
        said = cleo.ledger("run", "fit.ipynb", "--no-html", "-p", "degree=3", "--name", "on the train")
        assert "on the train" in said
        measured(cleo, 21, "on the train")
        cleo.ledger("track", "measurements", "-m", "A day on the train")
        cleo.ledger("run", "fit.ipynb", "--no-html", "-p", "degree=4", "--name", "on the train, too")
        waits = cleo.ledger("flush", ok=False)
        assert "2 runs wait to be published" in waits
        assert "did not answer" in cleo.ledger("push", ok=False)
    end = int(time.time() * 1000)

    ben.ledger("run", "fit.ipynb", "--no-html", "-p", "degree=5")
    ben.ledger("push")
    ada.ledger("pull")
    (run_,) = [one for one in named(here) if one["run_name"] == "fourth power"]
    answer = json.loads(ada.ledger("reproduce", run_["run_id"], "--json"))
    assert answer["verdict"] == "identical", answer

    cleo.ledger("flush")
    cleo.git("pull", "--quiet", "--rebase")
    cleo.ledger("push")
    assert "waiting" not in cleo.ledger("status")
    return begin, end


def friday(here: Office) -> None:
    """Ada's machine went down in the middle of a push, and left its locks."""
    ada, ben, _ = here.people
    ada.ledger("pull")
    measured(ada, 30, "by Ada, on Friday")
    ada.ledger("track", "measurements", "-m", "Friday")
    pushing = ada.start("push")
    assert pushing.stderr is not None
    while "data to" not in (line := pushing.stderr.readline()) and line:
        pass
    os.killpg(pushing.pid, signal.SIGKILL)
    pushing.wait()
    gone = pushing.pid
    (ada.root / ".git/index.lock").touch()
    (ada.root / ".dvc/tmp/lock").write_text(str(gone))
    stale = {"write": {str(ada.root / "measurements"): {"pid": gone, "cmd": "dvc add measurements"}}, "read": {}}
    (ada.root / ".dvc/tmp/rwlock").write_text(json.dumps(stale))
    measured(ada, 31, "by Ada, later")
    complaint = ada.ledger("track", "measurements", "-m", "Later", ok=False)
    (advice,) = set(re.findall(r"rm \S*index\.lock", complaint))
    subprocess.run(advice.split(), check=True, cwd=ada.root)
    ada.ledger("track", "measurements", "-m", "Later")
    ada.ledger("push")
    ben.ledger("pull")
    assert contents(ben) == contents(ada)
    at_once(*((person, ("run", "fit.ipynb", "--no-html", "-p", "degree=6")) for person in (ada, ben)))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Office, tuple[int, int]]]:
    """The office on Friday evening, everybody's work pushed, and when Cleo was offline."""
    with office(tmp_path_factory.mktemp("team")) as here:
        for number, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday"), start=23):
            here.on(f"2026-11-{number}")
            if name == "monday":
                monday(here, here.git.url)
            elif name == "thursday":
                train = thursday(here)
            else:
                globals()[name](here)
        ada, ben, _ = here.people
        for person in (ada, ben):  # the snapshots of the last runs
            person.ledger("push")
        for person in here.people:
            person.ledger("pull")
        yield here, train


def test_everybody_ends_with_the_same(week: tuple[Office, tuple[int, int]]) -> None:
    here, _ = week
    ada, *others = here.people
    for person in here.people:
        assert person.git("fsck", "--strict", "--no-dangling") == ""
        assert person.git("status", "--porcelain", "--branch") == "## main...origin/main"
        assert person.dvc("status") == "Data and pipelines are up to date."
        assert "in sync" in person.dvc("status", "-c")
        refs = person.git("for-each-ref", "refs/nbledger/runs", "--format=%(refname) %(objectname)")
        assert refs == run(
            "git", "for-each-ref", "refs/nbledger/runs", "--format=%(refname) %(objectname)", cwd=here.git.repository
        )
    assert run("git", "fsck", "--strict", cwd=here.git.repository) == ""
    assert all(contents(person) == contents(ada) for person in others)
    days = ada.git("log", "--format=%ad", "--date=short").split()
    assert {f"2026-11-{day}" for day in range(23, 28)} <= set(days)


def test_every_run_is_there_once_under_its_own_name_and_time(week: tuple[Office, tuple[int, int]]) -> None:
    here, (begin, end) = week
    runs = named(here)
    by = Counter(one["tags"]["mlflow.user"] for one in runs)
    # three on Monday, Ben's on Tuesday, two on the train and Ben's on Thursday, two on Friday; Ada's reproduction
    assert by == {"ada": 3, "ben": 4, "cleo": 3}, by
    assert {one["status"] for one in runs} == {"FINISHED"}
    assert len({one["experiment_id"] for one in runs}) == 1
    journals = [one["tags"]["nbledger.journal"] for one in runs]
    assert len(set(journals)) == len(runs) == 10
    train = [one for one in runs if one["run_name"].startswith("on the train")]
    assert len(train) == 2
    assert all(begin <= int(one["start_time"]) <= int(one["end_time"]) <= end for one in train)
    assert all(one["metrics"] for one in runs)
    (again,) = [one for one in runs if "nbledger.reproduces" in one["tags"]]
    assert (again["tags"]["nbledger.verdict"], again["tags"]["mlflow.user"]) == ("identical", "ada")
    for person in here.people:  # each sees everybody's, and their own
        listed = json.loads(person.ledger("runs", "--json", "-n", "50"))
        assert {one["run_id"] for one in listed} == {one["run_id"] for one in runs}
        mine = json.loads(person.ledger("runs", "--mine", "--json", "-n", "50"))
        assert len(mine) == by[person.name.lower()]


def test_no_data_is_in_git(week: tuple[Office, tuple[int, int]]) -> None:
    here, _ = week
    for place in (here.git.repository, *(person.root for person in here.people)):
        listed = run("git", "cat-file", "--batch-all-objects", "--batch-check=%(objectsize) %(objectname)", cwd=place)
        size, name = max((int(line.split()[0]), line.split()[1]) for line in listed.splitlines())
        assert size < LARGEST_IN_GIT, (place, name)
    data = {key: size for key, size in here.s3.objects("data/").items() if not key.endswith(".dir")}
    assert len(data) > DAYS and min(data.values()) > LARGEST_IN_GIT  # so none of them is in Git


def test_no_password_is_anywhere_but_where_it_belongs(week: tuple[Office, tuple[int, int]]) -> None:
    here, _ = week
    assert here.mlflow.auth is not None
    secrets = {f"{person.name}'s {what}": value for person in here.people for what, value in person.secrets.items()}
    secrets |= {"the administrator's": here.mlflow.auth[1], "the bucket's": here.s3.secret}

    def places() -> Iterator[tuple[str, bytes]]:
        yield from secretscan.of_git(here.git.repository)
        yield from secretscan.of_bucket(here.s3)
        yield from secretscan.of_database(here.database)
        for log in (here.mlflow.log, here.git.log):
            yield str(log), log.read_bytes()
        for person in here.people:
            yield from secretscan.of_git(person.root)
            yield from secretscan.of_folder(person.home, without=[person.home / ".git-credentials"])
            yield from secretscan.of_folder(person.runtime)

    seen, count = secretscan.found(secrets, places())
    assert seen == [], count
    words = {"a name in every kind of place": "measurements"}
    kinds = secretscan.found(words, places())[0]
    for kind in ("git cat-file", "s3://", "database mlflow", ".nbledger/", ".ipynb"):
        assert any(kind in one for one in kinds), kind  # or nothing was looked through


def test_the_guide_is_what_was_typed(week: tuple[Office, tuple[int, int]]) -> None:
    """Every command of docs/team.md was typed in this week, with each of its options."""
    here, _ = week
    typed = [line.split() for person in here.people for line in person.typed]
    guide = (Path(__file__).parents[1] / "docs" / "team.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    commands = [
        line for block in blocks for line in block.splitlines() if line.startswith(("nbledger ", "git ", "dvc "))
    ]
    assert len(commands) > 20

    def was_typed(line: str) -> bool:
        program, verb, *rest = line.split()
        options = {word for word in rest if word.startswith("-")}
        return any(words[:2] == [program, verb] and options <= set(words) for words in typed)

    assert [line for line in commands if not was_typed(line)] == []
