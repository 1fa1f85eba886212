"""In processes of their own: an audit hook stays for good."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = str(Path(__file__).parents[2] / "src")
START = """
import contextlib, json, os, sys
from pathlib import Path
from nbledger.core import observe, project
HERE = os.getcwd()
def seen(function, notebook=None):
    observer = observe.Observer(project.find(Path(HERE)), notebook).start()
    try:
        function()
    finally:
        found = observer.stop()
    name = lambda p: os.path.relpath(p, HERE)
    return {"reads": sorted(map(name, found.reads)), "writes": sorted(map(name, found.writes)),
            "modules": list(map(name, found.modules)), "children": found.children, "remote": found.remote,
            "real": {name(k): name(v) for k, v in found.real.items()}}
def tell(**found):
    print(json.dumps(found))
def reads(function):
    return seen(function)["reads"]
def writes(function):
    return seen(function)["writes"]
"""


def observed(code: str, cwd: Path) -> dict:
    env = os.environ | {"PYTHONPATH": SRC}
    done = subprocess.run(
        [sys.executable, "-c", START + code], cwd=cwd, env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def data(folder: Path) -> Path:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3], "k": ["x", "y", "x"]})
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_parquet(folder / "a.parquet")
    frame.to_feather(folder / "a.feather")
    frame.to_json(folder / "a.ndjson", orient="records", lines=True)
    frame.to_parquet(folder / "parts", partition_cols=["k"])
    for path in (folder / "parts").rglob("*.parquet"):
        path.rename(path.with_name("p.parquet"))
    return folder


PARTS = ["parts/k=x/p.parquet", "parts/k=y/p.parquet"]


def test_plain_files(data):
    found = (
        observed(
            """
def rewrite():
    open("t1", "w").write("x"); open("t1").read(); os.replace("t1", "t2")
    open("gone", "w").close(); os.remove("gone")
    open("a.csv").read(); open("a.csv", "a").close()
    os.truncate("a.ndjson", 3)
def neither():
    with contextlib.suppress(OSError):
        open("missing.csv")
    os.close(os.open(".", os.O_RDONLY)); open("/etc/hostname").read(); open("/dev/null").read()
    os.fdopen(os.open("nothing", os.O_RDONLY | os.O_CREAT)).close(); os.remove("nothing")
os.symlink("a.csv", "link.csv")
tell(rewrite=seen(rewrite), neither=seen(neither), link=seen(lambda: open("link.csv").read()),
     both=seen(lambda: open("a.feather", "r+").close()), pathlib=reads(lambda: Path("a.csv").read_bytes()),
     outside=reads(lambda: open(HERE + "/../outside.txt").read()))
""",
            data,
        )
        if (data.parent / "outside.txt").write_text("x")
        else {}
    )
    assert found["rewrite"]["reads"] == ["a.csv"]
    assert found["rewrite"]["writes"] == ["a.csv", "a.ndjson", "t2"]
    assert found["neither"]["reads"] == found["neither"]["writes"] == []
    assert found["link"]["reads"] == ["link.csv"]
    assert found["link"]["real"] == {"link.csv": "a.csv"}
    assert (found["both"]["reads"], found["both"]["writes"]) == (["a.feather"], [])
    assert found["pathlib"] == ["a.csv"]
    assert found["outside"] == ["../outside.txt"]


def test_observers_nest(data):
    found = observed(
        """
def inner():
    open("a.parquet", "rb").close()
nested = {}
def outer():
    open("a.csv").close(); nested.update(seen(inner)); open("a.ndjson").close()
tell(outer=reads(outer), inner=nested["reads"], after=observe._active == ())
""",
        data,
    )
    assert found == {"outer": ["a.csv", "a.ndjson", "a.parquet"], "inner": ["a.parquet"], "after": True}


def test_what_is_not_data(data):
    (data / ".nbledger.toml").write_text('ignore_inputs = ["*.log", "scratch/*"]\n')
    for name in (
        "x.log",
        "scratch/y.csv",
        ".git/config",
        ".dvc/tmp/z",
        "mlruns/0/meta",
        "mlflow.db-wal",
        "mine.py",
        "own.ipynb",
        "a.csv.dvc",
        "sub/__pycache__/m.pyc",
        "pkg_a.py",
    ):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("")
    found = observed(
        """
def all_of_them():
    for folder, _, names in list(os.walk(".")):
        for name in names:
            open(os.path.join(folder, name), "rb").close()
    sys.path.insert(0, HERE)
    import pkg_a, wave, xml.dom.minidom
    import nbledger.core  # as a development install has it: beside the project, in no folder of packages
    for package in (nbledger, __import__("nbledger_magics")):
        for source in Path(package.__file__).parent.glob("*.py"):
            source.read_bytes()
    with observe.unwatched():
        open("a.csv").close()
tell(**seen(all_of_them, Path("own.ipynb")))
""",
        data,
    )
    assert found["reads"] == ["a.csv", "a.feather", "a.ndjson", "a.parquet", "mine.py", *PARTS]
    assert found["modules"] == ["pkg_a.py"]


def test_children_are_named_without_their_arguments(data):
    found = observed(
        """
import subprocess
def call():
    os.system("TOKEN=hush cat a.csv > out.txt"); subprocess.run("head -1 a.csv; true", shell=True, stdout=-3)
    subprocess.run(["wc", "-l", "a.csv"], stdout=-3); subprocess.run(["uname"], stdout=-3)
    if not (pid := os.fork()): os._exit(0)
    os.waitpid(pid, 0)
tell(**seen(call))
""",
        data,
    )
    assert found["children"] == ["cat", "head", "wc", "a forked worker process"]


def test_pandas_numpy_sqlite(data):
    found = observed(
        """
import sqlite3, numpy as np, pandas as pd
df = pd.read_csv("a.csv")
def database():
    c = sqlite3.connect("q.db"); c.execute("create table t(a)"); c.commit(); c.close()
made = seen(database)
tell(csv=reads(lambda: pd.read_csv("a.csv", engine="pyarrow")), parquet=reads(lambda: pd.read_parquet("a.parquet")),
     folder=reads(lambda: pd.read_parquet("parts")), feather=reads(lambda: pd.read_feather("a.feather")),
     write=writes(lambda: df.to_parquet("b.parquet")), parts=len(writes(lambda: df.to_parquet("c", partition_cols=["k"]))),
     npy=writes(lambda: np.save("d.npy", np.zeros(3))), load=reads(lambda: np.load("d.npy", mmap_mode="r")),
     pickle=writes(lambda: df.to_pickle("e.pkl")), made=made["writes"], made_reads=made["reads"],
     query=seen(lambda: sqlite3.connect("file:q.db?mode=ro", uri=True).execute("select * from t")),
     memory=reads(lambda: sqlite3.connect(":memory:")))
""",
        data,
    )
    query = found.pop("query")
    assert (query["reads"], query["writes"]) == (["q.db"], [])
    assert found == {
        "csv": ["a.csv"],
        "parquet": ["a.parquet"],
        "folder": PARTS,
        "feather": ["a.feather"],
        "write": ["b.parquet"],
        "parts": 2,
        "npy": ["d.npy"],
        "load": ["d.npy"],
        "pickle": ["e.pkl"],
        "made": ["q.db"],
        "made_reads": [],
        "memory": [],
    }


def test_pyarrow(data):
    found = observed(
        """
from pyarrow.parquet import read_table, ParquetFile  # names bound before any observer
import pyarrow as pa, pyarrow.csv, pyarrow.dataset as ds, pyarrow.feather, pyarrow.json, pyarrow.orc, pyarrow.parquet as pq
from pyarrow import fs
table = read_table("a.parquet")
class Bucket: type_name = "s3"
def remote():
    with contextlib.suppress(Exception):
        pq.read_table("bucket/key", filesystem=Bucket())
tell(bound=reads(lambda: read_table("a.parquet")), file=reads(lambda: ParquetFile("a.parquet")),
     schema=reads(lambda: pq.read_schema(Path("a.parquet"))), handle=reads(lambda: pq.read_table(pa.BufferReader(b"x")))
     if False else [], csv=reads(lambda: pa.csv.read_csv("a.csv")), json=reads(lambda: pa.json.read_json("a.ndjson")),
     feather=reads(lambda: pa.feather.read_table("a.feather")), dataset=reads(lambda: ds.dataset("parts").to_table()),
     files=reads(lambda: ds.dataset(["a.parquet"])), mapped=reads(lambda: pa.memory_map("a.csv").read()),
     os=reads(lambda: pa.OSFile("a.csv").read()), oswrite=writes(lambda: pa.OSFile("w.bin", "wb").close()),
     local=reads(lambda: pq.read_table("a.parquet", filesystem=fs.LocalFileSystem())),
     subtree=reads(lambda: pq.read_table("a.parquet", filesystem=fs.SubTreeFileSystem(HERE, fs.LocalFileSystem()))),
     write=writes(lambda: pq.write_table(table, "o.parquet")), orc=writes(lambda: pa.orc.write_table(table, "o.orc")),
     folder=len(writes(lambda: pq.write_to_dataset(table, "od", partition_cols=["k"]))), remote=seen(remote)["remote"],
     isinstance=[isinstance(pa.OSFile("a.csv"), pa.OSFile), isinstance(pa.lib.OSFile("a.csv"), pa.OSFile)])
""",
        data,
    )
    one = ["a.parquet"]
    assert found == {
        "bound": one,
        "file": one,
        "schema": one,
        "handle": [],
        "csv": ["a.csv"],
        "json": ["a.ndjson"],
        "feather": ["a.feather"],
        "dataset": PARTS,
        "files": one,
        "mapped": ["a.csv"],
        "os": ["a.csv"],
        "oswrite": ["w.bin"],
        "local": one,
        "subtree": one,
        "write": ["o.parquet"],
        "orc": ["o.orc"],
        "folder": 2,
        "remote": ["s3://bucket/key"],
        "isinstance": [True, True],
    }


def test_polars(data):
    found = observed(
        """
import polars as pl
df = pl.DataFrame({"a": [1]})
def remote():
    with contextlib.suppress(BaseException):
        pl.scan_parquet("s3://key:hush@bucket/x.parquet?X-Amz-Signature=hush")
tell(csv=reads(lambda: pl.read_csv("a.csv")), scan=reads(lambda: pl.scan_parquet("a*.parquet")),
     deep=reads(lambda: pl.scan_parquet("parts/**/*.parquet")), folder=reads(lambda: pl.read_parquet("parts/")),
     listed=reads(lambda: pl.read_parquet([Path("a.parquet")])), lines=reads(lambda: pl.read_ndjson("a.ndjson")),
     write=writes(lambda: df.write_csv("o.csv")), sink=writes(lambda: df.lazy().sink_parquet("o.parquet")),
     text=reads(lambda: pl.read_csv(b"a,b\\n1,2")), remote=seen(remote)["remote"])
""",
        data,
    )
    assert found == {
        "csv": ["a.csv"],
        "scan": ["a.parquet"],
        "deep": PARTS,
        "folder": PARTS,
        "listed": ["a.parquet"],
        "lines": ["a.ndjson"],
        "write": ["o.csv"],
        "sink": ["o.parquet"],
        "text": [],
        "remote": ["s3://bucket/x.parquet"],
    }


def test_duckdb(data):
    found = observed(
        """
import duckdb
def keep():
    con = duckdb.connect("x.duckdb"); con.execute("create table t as select 1 a"); con.close()
def only_read():
    with duckdb.connect("x.duckdb", read_only=True) as con: con.sql("from t").fetchall()
sql = lambda text, *more: lambda: duckdb.execute(text, *more).fetchall()
tell(quoted=reads(lambda: duckdb.sql("select * from 'a.parquet'").fetchall()), glob=reads(sql('from "a*.csv"')),
     call=reads(sql("from read_csv('a.csv', delim=',')")), bound=reads(sql("from read_csv(?)", ["a.csv"])),
     compared=reads(sql("select 1 where 'k' like 'a.csv' and 'k' = 'a.parquet' -- 'a.ndjson'")),
     copy=seen(sql("copy (from 'a.csv') to 'o.parquet' (format parquet)")), keep=writes(keep), only=seen(only_read),
     attach=reads(sql("attach 'x.duckdb' as other")), method=reads(lambda: duckdb.connect().read_parquet("a.parquet")),
     relation=writes(lambda: duckdb.read_csv("a.csv").write_csv("r.csv")))
""",
        data,
    )
    assert (found["copy"]["reads"], found["copy"]["writes"]) == (["a.csv"], ["o.parquet"])
    assert (found["only"]["reads"], found["only"]["writes"]) == (["x.duckdb"], [])
    wanted = {
        "quoted": ["a.parquet"],
        "glob": ["a.csv"],
        "call": ["a.csv"],
        "bound": ["a.csv"],
        "compared": [],
        "keep": ["x.duckdb"],
        "attach": ["x.duckdb"],
        "method": ["a.parquet"],
        "relation": ["r.csv"],
    }
    assert {k: found[k] for k in wanted} == wanted


def test_wrapped_functions_behave_as_before(data):
    found = observed(
        """
import inspect, pickle, traceback, warnings
import duckdb, pandas as pd, polars as pl, pyarrow.csv, pyarrow.parquet as pq
before = [str(inspect.signature(f)) for f in (pq.read_table, pl.read_csv, pq.ParquetFile)]
def lines(): return len(traceback.format_exc().splitlines())
def fail():
    try: pl.read_csv("nope.csv")
    except FileNotFoundError as err: return lines(), err.__suppress_context__
plain = fail()
from nbledger.core import readers
readers.install(); readers.install()
def local_frame():
    frame = pd.DataFrame({"a": [1, 2]})
    return [duckdb.sql("select sum(a) from frame").fetchall()[0][0], duckdb.connect().execute("select sum(a) from frame").fetchall()[0][0]]
def warned():
    def old(): warnings.warn("old", DeprecationWarning, stacklevel=2)
    readers._wrap(old, readers.reads())()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    warned()
tell(signatures=before == [str(inspect.signature(f)) for f in (pq.read_table, pl.read_csv, pq.ParquetFile)],
     wrapped=hasattr(pl.read_csv, "__wrapped__") and not hasattr(pl.read_csv.__wrapped__, "__wrapped__.__nbledger__"),
     pickled=all(pickle.loads(pickle.dumps(f)) is f for f in (pq.read_table, pl.read_csv, pyarrow.csv.read_csv)),
     local=local_frame(), error=fail() == plain, errors=[plain, fail()], watched=seen(lambda: local_frame())["reads"],
     warning=[caught[0].filename, caught[0].lineno == warned.__code__.co_firstlineno + 2])
""",
        data,
    )
    assert found.pop("errors")[0][1] is False
    assert found == {
        "signatures": True,
        "wrapped": True,
        "pickled": True,
        "local": [3, 3],
        "error": True,
        "watched": [],
        "warning": ["<string>", True],
    }


def test_hdf5_netcdf_and_images_where_installed(data):
    found = observed(
        """
import h5py
tell(write=writes(lambda: h5py.File("a.h5", "w").close()), read=reads(lambda: h5py.File("a.h5").close()),
     isinstance=isinstance(h5py.File("a.h5"), h5py.Group))
""",
        data,
    )
    assert found == {"write": ["a.h5"], "read": ["a.h5"], "isinstance": True}


def test_importing_it_is_light():
    code = "import sys, nbledger.core.observe as o; print([m for m in ('pandas', 'numpy', 'sqlite3', 'yaml') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": SRC}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
