"""Notebooks merged cell by cell: what joins, what conflicts, and that nothing is lost and the notebook stays one."""

from __future__ import annotations

import copy
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from books import book, code, text, write
from conftest import commit_all, git
from nbledger.core import conflicts, gitfilters, mergedriver, notebookclean, notebookmerge, push, trust
from nbledger.core.checkpoint import checkpoint
from nbledger.core.errors import Refused
from nbledger.core.kernels import quickly
from nbledger.core.project import find

with quickly():
    import nbformat

START = book(code("a = 1", "a1"), code("b = 1\n\nprint(b)", "b1"), text("# Title", "t1"), code("c = 1", "c1"))


def joined(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> notebookmerge.Merged:
    """The merge, which must be a valid notebook that Git's filter does not change, and leave what it is given alone."""
    sides = [notebookclean.stripped(notebookclean.read(json.dumps(side).encode())) for side in (base, ours, theirs)]
    before = copy.deepcopy(sides)

    def lines(was: str, left: str, right: str) -> tuple[str, bool]:
        return mergedriver.merge_lines(was, left, right, ("ours", "theirs"))

    made = notebookmerge.merge(*sides, lines, ("ours", "theirs"))
    assert sides == before
    data = notebookclean.written(copy.deepcopy(made.notebook))
    assert notebookclean.cleaned(data) == data
    nbformat.validate(nbformat.reads(data.decode(), 4))
    ids = [cell["id"] for cell in made.notebook["cells"] if "id" in cell]
    assert len(ids) == len(set(ids))
    return made


def edited(base: dict[str, Any], **sources: str | None) -> dict[str, Any]:
    """The notebook with other sources of cells (by id), None: without the cell."""
    made = copy.deepcopy(base)
    for cell in made["cells"]:
        cell["source"] = sources.get(cell["id"], cell["source"])
    made["cells"] = [cell for cell in made["cells"] if cell["source"] is not None]
    return made


def added(base: dict[str, Any], after: str, *cells: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(base)
    at = next(number for number, cell in enumerate(made["cells"]) if cell["id"] == after)
    made["cells"][at + 1 : at + 1] = cells
    return made


def sources(made: notebookmerge.Merged) -> list[str]:
    return [cell["source"] for cell in made.notebook["cells"]]


def test_changes_of_different_cells_join() -> None:
    ours = added(edited(START, a1="a = 2"), "t1", code("new = 'ours'", "n1"))
    theirs = added(edited(START, c1="c = 3", t1=None), "a1", text("theirs", "n2"))
    made = joined(START, ours, theirs)
    assert made.conflicts == []
    assert [cell["id"] for cell in made.notebook["cells"]] == ["a1", "n2", "b1", "n1", "c1"]
    assert sources(made) == ["a = 2", "theirs", "b = 1\n\nprint(b)", "new = 'ours'", "c = 3"]


def test_different_lines_of_one_cell_join() -> None:
    made = joined(START, edited(START, b1="b = 2\n\nprint(b)"), edited(START, b1="b = 1\n\nprint(b, b)"))
    assert made.conflicts == [] and sources(made)[1] == "b = 2\n\nprint(b, b)"


def test_the_same_change_on_both_sides_is_one() -> None:
    same = added(edited(START, a1="a = 5"), "c1", code("end", "e1"))
    other = added(edited(START, a1="a = 5"), "c1", code("end", "e2"), code("more", "m1"))
    made = joined(START, same, other)
    assert made.conflicts == [] and sources(made)[-2:] == ["end", "more"]


def test_the_same_lines_changed_by_both() -> None:
    made = joined(START, edited(START, a1="a = 'mine'"), edited(START, a1="a = 'yours'"))
    assert made.conflicts == ["cell 1: both sides changed the same lines (a = 'mine')"]
    assert sources(made)[0] == "<<<<<<< ours\na = 'mine'\n=======\na = 'yours'\n>>>>>>> theirs"


def test_cells_added_at_one_place_by_both() -> None:
    made = joined(START, added(START, "c1", code("1", "x1")), added(START, "c1", text("2", "x2"), code("3", "x3")))
    assert made.conflicts == ["cells 5–10: both sides added cells at the same place"]
    assert [cell["source"][:9] for cell in made.notebook["cells"][4:]] == [
        "`<<<<<<<`",
        "1",
        "`=======`",
        "2",
        "3",
        "`>>>>>>>`",
    ]
    assert made.notebook["cells"][5]["id"] == "x1"


@pytest.mark.parametrize("swapped", [False, True])
def test_a_cell_that_one_removed_and_the_other_changed(swapped: bool) -> None:
    sides = [edited(START, b1=None), edited(START, b1="b = 9")]
    made = joined(START, *(reversed(sides) if swapped else sides))
    assert made.conflicts == [f"cell 3: {'theirs' if swapped else 'ours'} removed it, the other side changed it"]
    assert sources(made)[2] == "b = 9"


def test_a_cell_that_was_moved_keeps_what_the_other_side_changed() -> None:
    moved = copy.deepcopy(START)
    moved["cells"].append(moved["cells"].pop(0))
    for sides in ((moved, edited(START, a1="a = 7")), (edited(START, a1="a = 7"), moved)):
        made = joined(START, *sides)
        assert made.conflicts == []
        assert [cell["id"] for cell in made.notebook["cells"]] == ["b1", "t1", "c1", "a1"]
        assert sources(made)[-1] == "a = 7"
    made = joined(START, moved, edited(START, a1=None))
    assert [cell["id"] for cell in made.notebook["cells"]] == ["b1", "t1", "c1"]


def test_metadata_and_formats() -> None:
    base, ours, theirs = (copy.deepcopy(START) for _ in range(3))
    base["nbformat_minor"] = ours["nbformat_minor"] = 4
    for cell in (*base["cells"], *ours["cells"]):
        del cell["id"]
    base["cells"][0]["metadata"] = {"tags": ["x", "gone"]}
    ours["cells"][0]["metadata"] = {"tags": ["x", "mine", "gone"], "slide": 1}
    theirs["cells"][0]["metadata"] = {"tags": ["x", "yours"], "slide": 2}
    ours["metadata"] = {"kernelspec": {"name": "mine", "display_name": "x"}, "deep": {"a": 1, "b": None}}
    theirs["metadata"] = {"kernelspec": {"name": "yours", "display_name": "y"}, "deep": {"c": 2}}
    made = joined(base, ours, theirs)
    assert made.conflicts == []
    assert made.notebook["cells"][0]["metadata"] == {"tags": ["x", "mine", "yours"], "slide": 1}
    assert made.notebook["metadata"] == {
        "kernelspec": {"name": "mine", "display_name": "x"},
        "deep": {"a": 1, "b": None, "c": 2},
    }
    assert made.notes == ["cell 1: slide is that of ours", "the notebook's metadata: kernelspec is that of ours"]
    assert made.notebook["nbformat_minor"] == 5
    assert all(cell["id"] for cell in made.notebook["cells"])


def test_ids_that_a_program_made_anew_do_not_tear_cells_apart() -> None:
    ours, theirs = edited(START, a1="a = 2"), edited(START, c1="c = 2")
    for number, cell in enumerate(theirs["cells"]):
        cell["id"] = f"fresh{number}"
    made = joined(START, ours, theirs)
    assert made.conflicts == []
    assert sources(made) == ["a = 2", "b = 1\n\nprint(b)", "# Title", "c = 2"]


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_and_the_notebook_is_valid_whatever_was_edited(seed: int) -> None:
    """Each line that either side wrote is in the outcome; each line of the base that neither touched is there once."""
    chance = random.Random(seed)
    base = book(*(code(f"line {n} a\nline {n} b\nline {n} c", f"c{n}") for n in range(chance.randrange(8))))
    sides = [_shaken(base, name, chance) for name in ("ours", "theirs")]
    made = joined(base, *sides)
    lines = [line for source in sources(made) for line in source.splitlines()]
    for side in sides:
        written = {line for cell in side["cells"] for line in cell["source"].splitlines() if line[0] in "ot"}
        assert written <= set(lines)
    in_all = [
        line for cell in base["cells"] for line in cell["source"].splitlines() if all(_has(s, line) for s in sides)
    ]
    assert all(lines.count(line) >= 1 for line in in_all)
    if not made.conflicts:
        assert len(lines) == len(set(lines))
        assert not [line for line in lines if line.startswith(("<<<", ">>>", "`<"))]


def _has(side: dict[str, Any], line: str) -> bool:
    return any(line in cell["source"].splitlines() for cell in side["cells"])


def _shaken(base: dict[str, Any], name: str, chance: random.Random) -> dict[str, Any]:
    made = copy.deepcopy(base)
    for number in range(chance.randrange(5)):
        cells, kind = made["cells"], chance.randrange(4)
        at = chance.randrange(len(cells) + 1)
        if kind == 0 or at == len(cells):
            cells.insert(at, code(f"{name} new {number}", f"{name}-{number}"))
        elif kind == 1:
            lines = cells[at]["source"].splitlines()
            lines[chance.randrange(len(lines))] = f"{name} edit {number}"
            cells[at]["source"] = "\n".join(lines)
        elif kind == 2 and not any(line[0] in "ot" for line in cells[at]["source"].splitlines()):
            del cells[at]
        else:
            cells.insert(chance.randrange(len(cells)), cells.pop(at))
    return made


# ── as Git calls it ─────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def repository(project: Path) -> Path:
    write(project / "a.ipynb", START)
    commit_all(project)
    trust.trust(find(project))
    gitfilters.install(find(project))
    return project


def attempt(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)


def branch(root: Path, name: str, notebook: dict[str, Any], path: str = "a.ipynb") -> None:
    git(root, "switch", "-qc", name, "main")
    write(root / path, notebook)
    git(root, "add", path)
    git(root, "commit", "-qm", name)


def test_git_merges_rebases_and_picks_by_cell(repository: Path) -> None:
    branch(repository, "one", edited(START, a1="a = 2"))
    branch(repository, "two", edited(START, b1="b = 2"))
    assert attempt(repository, "merge", "-q", "one").returncode == 0
    branch(repository, "three", edited(START, c1="c = 2"))
    assert attempt(repository, "rebase", "-q", "two").returncode == 0
    branch(repository, "four", edited(START, t1="# Other"))
    assert attempt(repository, "cherry-pick", "three").returncode == 0
    git(repository, "merge", "-q", "two", "-m", "all")
    cells = json.loads((repository / "a.ipynb").read_text())["cells"]
    assert ["".join(cell["source"]) for cell in cells] == ["a = 2", "b = 2", "# Other", "c = 2"]
    assert git(repository, "status", "--porcelain") == ""
    git(repository, "fsck", "--strict")


def test_a_conflict_says_where_it_is_and_leaves_a_valid_notebook(repository: Path) -> None:
    branch(repository, "one", edited(START, a1="a = 'one'"))
    branch(repository, "two", edited(START, a1="a = 'two'", c1="c = 'two'"))
    done = attempt(repository, "merge", "one")
    assert done.returncode == 1
    assert "nbledger: a.ipynb, cell 1: both sides changed the same lines (a = 'two')" in done.stderr
    notebook = nbformat.read(repository / "a.ipynb", 4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source == "<<<<<<< ours\na = 'two'\n=======\na = 'one'\n>>>>>>> theirs (one)"
    assert "a = 'two'" in git(repository, "show", ":2:a.ipynb") and "a = 'one'" in git(repository, "show", ":3:a.ipynb")
    assert conflicts.told(find(repository)) == [
        "a.ipynb is in conflict in cell 1: keep what is right there, then git add a.ipynb"
    ]
    (repository / "a.ipynb").write_text("{")
    assert "no valid notebook" in conflicts.told(find(repository))[0]
    assert attempt(repository, "checkout", "-m", "a.ipynb").returncode == 0
    nbformat.validate(nbformat.read(repository / "a.ipynb", 4))
    write(repository / "a.ipynb", edited(START, a1="a = 'both'", c1="c = 'two'"))
    assert "git add a.ipynb" in conflicts.told(find(repository))[0]
    git(repository, "add", "a.ipynb")
    git(repository, "commit", "-qm", "merged")
    assert conflicts.told(find(repository)) == []


def test_a_conflict_that_was_committed_is_said_before_it_is_sent(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "bare.git"))
    branch(repository, "one", edited(START, a1="a = 'one'"))
    branch(repository, "two", edited(START, a1="a = 'two'"))
    assert attempt(repository, "merge", "one").returncode == 1
    git(repository, "add", "a.ipynb")
    git(repository, "commit", "-qm", "merged, it seems")
    said = "a.ipynb has marks of a merge conflict in cell 1"
    assert said in push.push(find(repository)).notes
    assert push.plan(find(repository)).notes == ()  # those who have it were told
    marked = nbformat.read(repository / "a.ipynb", 4)
    marked.cells[1].source += "\nmore = 1"
    nbformat.write(marked, repository / "a.ipynb")
    with pytest.raises(Refused, match=said):
        checkpoint(find(repository), "more")
    write(repository / "a.ipynb", edited(START, a1="print('<<<<<<< is no mark')"))
    assert checkpoint(find(repository), "mended").commit
    assert push.plan(find(repository)).notes == ()


def test_both_sides_add_a_notebook_of_one_name_and_one_side_is_broken(repository: Path) -> None:
    branch(repository, "one", book(code("1", "x")), "new/ü b.ipynb")
    branch(repository, "two", book(code("2", "y")), "new/ü b.ipynb")
    done = attempt(repository, "merge", "one")
    assert done.returncode == 1 and "both sides added cells" in done.stderr
    nbformat.validate(nbformat.read(repository / "new" / "ü b.ipynb", 4))
    git(repository, "merge", "--abort")

    git(repository, "switch", "-qc", "broken", "main")
    (repository / "a.ipynb").write_text("{<<<")
    git(repository, "commit", "-qam", "broken")
    git(repository, "switch", "-q", "one")
    write(repository / "a.ipynb", edited(START, a1="a = 2"))
    git(repository, "commit", "-qam", "good")
    done = attempt(repository, "merge", "broken")
    assert done.returncode == 1 and "theirs cannot be merged by cell: it is not JSON" in done.stderr
    assert "a = 2" in (repository / "a.ipynb").read_text()
    nbformat.validate(nbformat.read(repository / "a.ipynb", 4))
    git(repository, "merge", "--abort")


def test_outputs_of_before_the_filter_do_not_conflict(repository: Path) -> None:
    """A branch from before notebooks were kept without outputs, with outputs on it."""
    git(repository, "switch", "-qc", "old", "main~")
    shown = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    write(repository / "a.ipynb", book(code("a = 1", "a1", shown), *START["cells"][1:3], code("c = 5", "c1", shown)))
    git(repository, "commit", "-qam", "with outputs")
    assert "old" in git(repository, "show", "HEAD:a.ipynb")
    branch(repository, "new", edited(START, a1="a = 3"))
    assert attempt(repository, "merge", "-q", "old", "-m", "join").returncode == 0
    said = git(repository, "show", "HEAD:a.ipynb")
    assert "c = 5" in said and "a = 3" in said and '"old"' not in said


def test_a_driver_that_fails_leaves_ours_and_says_so(repository: Path) -> None:
    """A notebook whose metadata are no table cannot be read by the merge: it must not pass for merged."""
    branch(repository, "one", {**edited(START, a1="a = 1.5"), "nbformat_minor": "five"})
    branch(repository, "two", edited(START, a1="a = 2"))
    done = attempt(repository, "merge", "one")
    assert done.returncode == 1 and "theirs" in done.stderr and "nbledger: a.ipynb" in done.stderr
    assert "a = 2" in (repository / "a.ipynb").read_text()
    assert "Traceback" not in done.stderr
