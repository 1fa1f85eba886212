"""Chance: the state of generators at run time, and a table of what source may not be deterministic."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from nbledger.core import randomness
from nbledger.core.randomness import scan, states, suspects, unseeded

NP, PD, SPLIT = "import numpy as np", "import pandas as pd", "from sklearn.model_selection import train_test_split"

Row = tuple[str, Sequence[str], Sequence[tuple[str, int, str]]]
"""(source, the cells before it, [(kind, line, global generator)])"""

SUSPECT: dict[str, Row] = {
    "random": ("import random\nrandom.shuffle([1])", [], [("unseeded", 2, "random")]),
    "random by name": ("from random import choice as pick\npick([1])", [], [("unseeded", 2, "random")]),
    "NumPy's legacy": ("np.random.rand(3)", [NP], [("unseeded", 1, "numpy")]),
    "NumPy's legacy by module": ("import numpy.random as r\nr.normal()", [], [("unseeded", 2, "numpy")]),
    "NumPy's legacy by from": ("from numpy import random\nrandom.permutation(3)", [], [("unseeded", 2, "numpy")]),
    "seeded with nothing": ("np.random.seed()\nnp.random.rand()", [NP], [("unseeded", 2, "numpy")]),
    "seeded with None": ("np.random.seed(None)\nnp.random.rand()", [NP], [("unseeded", 2, "numpy")]),
    "another's seed": ("import random\nrandom.seed(1)\nnp.random.rand()", [NP], [("unseeded", 3, "numpy")]),
    "default_rng": ("rng = np.random.default_rng()", [NP], [("unseeded", 1, "")]),
    "default_rng(None)": ("rng = np.random.default_rng(None)", [NP], [("unseeded", 1, "")]),
    "drawing from it elsewhere": ("rng.normal()", [NP, "rng = np.random.default_rng()"], [("unseeded", 1, "")]),
    "RandomState": ("np.random.RandomState()", [NP], [("unseeded", 1, "")]),
    "Random": ("import random\nr = random.Random()\nr.random()", [], [("unseeded", 2, ""), ("unseeded", 3, "")]),
    "Generator(PCG64())": (
        "from numpy.random import PCG64, Generator\nGenerator(PCG64())",
        [],
        [("unseeded", 2, ""), ("unseeded", 2, "")],
    ),
    "torch": ("torch.randn(3)", ["import torch"], [("unseeded", 1, "torch")]),
    "torch's weights": ("import torch.nn as nn\nnn.Linear(2, 2)", [], [("unseeded", 2, "torch")]),
    "a split": ("train_test_split(x, y)", [SPLIT], [("unseeded", 1, "numpy")]),
    "a split, state None": ("train_test_split(x, random_state=None)", [SPLIT], [("unseeded", 1, "numpy")]),
    "a forest": (
        "from sklearn.ensemble import RandomForestClassifier\nRandomForestClassifier(100)",
        [],
        [("unseeded", 2, "numpy")],
    ),
    "shuffled folds": (
        "from sklearn.model_selection import KFold\nKFold(5, shuffle=True)",
        [],
        [("unseeded", 2, "numpy")],
    ),
    "a sample": ("df.sample(frac=0.5)", [PD], [("unseeded", 1, "numpy")]),
    "a distribution": ("from scipy import stats\nstats.norm.rvs(size=3)", [], [("unseeded", 2, "numpy")]),
    "in a function": ("def f():\n    return np.random.rand()", [NP], [("unseeded", 2, "numpy")]),
    "a set in a loop": ("for x in set(words):\n    print(x)", [], [("set-order", 1, "")]),
    "a set by name": ("list(s)", ["s = {w for w in words}"], [("set-order", 1, "")]),
    "a union": ("[x for x in a | b]", ["a = set(x)\nb = {'p'}"], [("set-order", 1, "")]),
    "a joined set": ("' '.join({'a', 'b'})", [], [("set-order", 1, "")]),
    "popped from a set": ("s.pop()", ["s = set(words)"], [("set-order", 1, "")]),
    "hash of text": ("hash(name) % 2", [], [("hash", 1, "")]),
    "a clock": ("import time\nt = time.time()", [], [("time", 2, "")]),
    "now": ("from datetime import datetime\ndatetime.now()", [], [("time", 2, "")]),
    "uuid": ("import uuid\nuuid.uuid4()", [], [("entropy", 2, "")]),
    "the system's": ("import os\nos.urandom(3)", [], [("entropy", 2, "")]),
    "secrets": ("import secrets\nsecrets.token_hex()", [], [("entropy", 2, "")]),
    "requests": ("import requests\nrequests.get(url)", [], [("network", 2, "")]),
    "a table from the web": ("pd.read_csv('https://example.org/x.csv')", [PD], [("network", 1, "")]),
    "a data set from the web": (
        "from sklearn.datasets import fetch_openml\nfetch_openml('x')",
        [],
        [("network", 2, "")],
    ),
    "workers": ("cross_val_score(m, x, n_jobs=-1)", [], [("threads", 1, "")]),
    "threads": ("from concurrent.futures import as_completed\nas_completed(fs)", [], [("threads", 2, "")]),
    "a folder": ("import os\nfor f in os.listdir('.'):\n    pass", [], [("listing-order", 2, "")]),
    "a folder by pathlib": ("list(Path('.').glob('*.csv'))", [], [("listing-order", 1, "")]),
    "a magic above": ("%matplotlib inline\nnp.random.rand()", [NP], [("unseeded", 2, "numpy")]),
    "a cell magic above": ("%%time\nnp.random.rand()", [NP], [("unseeded", 2, "numpy")]),
}
FINE: dict[str, tuple[str, Sequence[str]]] = {
    "seeded": ("np.random.seed(1)\nnp.random.rand()", [NP]),
    "seeded before": ("np.random.rand()", [NP, "np.random.seed(1)"]),
    "seeded by the cell's header": ("%%mlrun a --seed 3\nnp.random.rand()", [NP]),
    "a seeded generator": ("rng = np.random.default_rng(1)\nrng.normal()\nrng.shuffle(x)", [NP]),
    "a generator around a seeded one": ("np.random.Generator(np.random.PCG64(1))", [NP]),
    "a seed by name": ("rng = np.random.default_rng(seed=SEED)", [NP]),
    "given a random state": ("train_test_split(x, random_state=0)\ndf.sample(3, random_state=1)", [SPLIT, PD]),
    "given options": ("train_test_split(x, **options)", [SPLIT]),
    "folds in order": ("from sklearn.model_selection import KFold\nKFold(5)", []),
    "a split under NumPy's seed": ("train_test_split(x)", [NP, SPLIT, "np.random.seed(0)"]),
    "sorted sets": ("sorted(set(words))\nlen({'a'})\nfor x in sorted({'b'}):\n    pass", []),
    "membership": ("'a' in {'a', 'b'}", []),
    "a set of numbers": ("list({1, 2, 3})\nlist(set(range(9)))", []),
    "a name that is no set any more": ("list(s)", ["s = set(words)", "s = sorted(s)"]),
    "sorted folders": ("import os\nsorted(os.listdir('.'))\nsorted(Path('.').glob('*'))", []),
    "methods of other things": ("model.rand()\nshuffle(x)\nmy.random.choice(y)", []),
    "a name that was imported and set anew": ("random.random()", ["import random", "random = MyGenerator(3)"]),
    "one worker": ("cross_val_score(m, x, n_jobs=1)", []),
    "a local file": ("pd.read_csv('file:///x.csv')\npd.read_csv('x.csv')", [PD]),
    "hash of a number": ("hash(3)", []),
    "no Python": ("%%bash\necho $RANDOM", []),
    "broken": ("np.random.rand(", [NP]),
    "dictionaries": ("for k in {'a': 1}:\n    pass", []),
}


@pytest.mark.parametrize("case", SUSPECT)
def test_what_may_vary(case: str) -> None:
    source, before, wanted = SUSPECT[case]
    assert [(s.kind, s.line, s.generator) for s in suspects(source, before)] == list(wanted)


@pytest.mark.parametrize("case", FINE)
def test_what_does_not(case: str) -> None:
    source, before = FINE[case]
    assert suspects(source, before) == ()


def test_generators_without_a_seed_in_words() -> None:
    found = suspects("a = np.random.default_rng()\na.normal()\nnp.random.rand()", [NP])
    assert unseeded(found) == ("numpy.random.default_rng() without a seed",)


def test_the_context_goes_from_cell_to_cell() -> None:
    context = scan("import numpy as np\nr = np.random.default_rng()", randomness.Context())[1]
    found, after = scan("r.normal()", context)
    assert [s.kind for s in found] == ["unseeded"]
    assert scan("r = np.random.default_rng(2)", after)[1].values["r"] == "seeded"


def test_states_tell_of_draws_and_of_nothing_else() -> None:
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        before = states()
        assert states() == before
        random.random()
        drew = states()
        assert set(randomness.moved(before, drew)) == {"random"}
        np.random.rand()  # noqa: NPY002
        assert set(randomness.moved(drew, states())) == {"numpy"}
        np.random.default_rng(3).normal()
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        one = states()
        random.gauss(0, 1)  # keeps a second value aside
        assert states()["random"] != one["random"]
        random.seed(5)
        assert states() == one
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


@pytest.mark.parametrize(("seed", "same"), [("3", True), ("random", False)])
def test_hashing_tells_processes_apart_unless_it_is_fixed(seed: str, same: bool) -> None:
    code = "from nbledger.core.randomness import hashing; print(hashing())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert (len(told) == 1) == same
