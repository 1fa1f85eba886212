"""``init --filters``: what Git keeps of a notebook, and how it is set up and taken out, against real Git and nbstripout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from books import book, code, text, write
from conftest import commit_all, git, run
from nbledger.commands.answer import Face
from nbledger.commands.tree import run as ledger
from nbledger.core import checkpoint, conflicts, gitfilters, notebookclean, notebookshown, pull, snapshot, status, trust
from nbledger.core import git as door
from nbledger.core.project import find
from nbledger.keeper import doctor

PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGk=\n", "text/plain": ["a\n", "b"]}}
RESULT = {
    "output_type": "execute_result",
    "execution_count": 7,
    "metadata": {},
    "data": {"application/json": ["x", "y"], "image/svg+xml": "<svg>\n</svg>", "text/html": "<b>\n</b>"},
}
FAILED = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["one", "two"]}
OLD = {
    "metadata": {"name": "", "signature": "s"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "cells": [
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": ["1 + 1\n", "2"],
                    "language": "python",
                    "metadata": {},
                    "outputs": [{"output_type": "stream", "stream": "stdout", "text": ["x"]}],
                    "prompt_number": 4,
                }
            ],
            "metadata": {},
        }
    ],
}


SAMPLES = [
    book(code("a = 1\nprint(a)\n", "x1"), text("# Über\u2028uns", "x2"), code("", "x3")),
    book(code("1", "k1", [PICTURE, RESULT, FAILED], tags=["keep_output", "other"]), code("2", "k2", [RESULT])),
    book(code("1", "k1", [RESULT], keep_output=True), code("2", "k2", [PICTURE], init_cell=True)),
    book(code("1", "k1", [RESULT], init_cell=False), code("2", "k2", [RESULT]), keep_output=True),
    book(
        code("1", "m1", execution={"iopub": 1}, collapsed=True, papermill={"duration": 1}, mine={"trusted": True}),
        widgets={"state": {}},
        papermill={"duration": 2},
        language_info={"name": "python", "version": "3.11.7"},
        orig_nbformat=4,
    ),
    book({"cell_type": "raw", "id": "r", "metadata": {}, "source": ["a\n", "b"]}),
    book(text("![](a.png)", "p", attachments={"a.png": {"image/png": ["aG", "k="], "text/plain": "a\nb"}})),
    book(code("x = '\x85\x0b\u2029 \U0001f600'", "u")),
    book(),
    {**book(code("1", "")), "nbformat_minor": 4, "cells": [{k: v for k, v in code("1", "").items() if k != "id"}]},
    OLD,
]


def test_what_git_keeps_is_what_nbstripout_keeps(folder: Path) -> None:
    """Byte for byte, by the command that the documentation gives to those who have no nbledger."""
    page = (Path(__file__).parents[1] / "docs" / "notebooks-in-git.md").read_text()
    assert f"nbstripout --keep-id --extra-keys '{' '.join(notebookclean.DROPPED)}'" in page
    for number, sample in enumerate(SAMPLES):
        last = code("last", "last", [RESULT])  # nbstripout writes a file only if something goes
        more = {k: v for k, v in last.items() if k != "id" or sample["nbformat_minor"] > 4}
        notebook = {**sample, "cells": [*sample["cells"], more]} if "cells" in sample else sample
        (folder / f"{number}.ipynb").write_text(json.dumps(notebook))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = ("--keep-id", "--extra-keys", " ".join(notebookclean.DROPPED), *before)
    run(sys.executable, "-m", "nbstripout", *words, cwd=folder)
    for name, data in before.items():
        clean = notebookclean.cleaned(data)
        assert clean == (folder / name).read_bytes()
        assert notebookclean.cleaned(clean) == clean


def test_a_notebook_without_ids_gets_none() -> None:
    """nbstripout reads such a file with new random ids: what Git keeps would be another one at every look."""
    notebook = book(*({k: v for k, v in code(str(n), "").items() if k != "id"} for n in range(3)))
    data = json.dumps(notebook).encode()
    assert notebookclean.cleaned(data) == notebookclean.cleaned(data)
    assert b'"id"' not in notebookclean.cleaned(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{bro", "not JSON"),
        (b'{"cells": [\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> x\n]}', "marks of a merge conflict"),
        ('{"cells": [], "metadata": {"ä": 1}, "nbformat": 4}'.encode("latin-1"), "not UTF-8"),
        ('{"nbformat": 4}'.encode("utf-16"), "not UTF-8"),
        (b"[1]", "no notebook"),
        (b'{"a": 1}', "no notebook"),
        (b'{"nbformat": 99}', "no notebook"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [{"source": 1}]}', "as the format has them"),
        (b'{"nbformat": 4, "metadata": {}, "cells": 7}', "as the format has them"),
        (b"[" * 100_000, "JSON|nested"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}", "nested too deep"),
        (json.dumps(book(code("1", "c", tags=["keep_output"], keep_output=False))).encode(), "not to be kept"),
    ],
)
def test_what_is_no_notebook(data: bytes, why: str) -> None:
    with pytest.raises(notebookclean.NoNotebook, match=why):
        notebookclean.cleaned(data)
    assert why == "not to be kept" or notebookshown.shown(data) == data


def test_half_a_surrogate_pair_and_a_byte_order_mark() -> None:
    data = json.dumps(book(code("x = '\ud83d'", "a"))).encode()
    clean = notebookclean.cleaned(data)
    assert b"\\ud83d" in clean
    assert notebookclean.cleaned(clean) == clean == notebookclean.cleaned(b"\xef\xbb\xbf" + data)


# ── set up, taken out ────────────────────────────────────────────────────────────────────────────────────────
def set_up(root: Path) -> list[str]:
    trust.trust(find(root))
    return gitfilters.install(find(root))


def executed(path: Path, count: int = 5) -> None:
    """The notebook as it is after it was executed."""
    found = json.loads(path.read_text())
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = count
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [f"output {count}\n"]}]
    write(path, found)


def test_set_up_and_taken_out_again(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1", [RESULT])))
    write(project / "deep" / "ü b.ipynb", book(code("b = 1", "b1", [RESULT])))
    write(project / "plain.ipynb", book(code("c = 1", "c1")))
    (project / "broken.ipynb").write_text("{")
    (project / ".gitattributes").write_bytes(b"*.csv text\r\n*.ipynb -text")
    (project / "link.ipynb").symlink_to("a.ipynb")
    commit_all(project)
    (project / "staged.txt").write_text("mine")
    write(project / "deep" / "ü b.ipynb", book(code("b = 2", "b1", [RESULT])))
    git(project, "add", "staged.txt", "deep")
    write(project / "a.ipynb", book(code("a = 2", "a1", [RESULT])))
    config, head = (project / ".git" / "config").read_bytes(), git(project, "rev-parse", "HEAD")
    here = {path: path.read_bytes() for path in project.rglob("*.ipynb")}

    done = set_up(project)
    assert "committed .gitattributes and 2 notebooks without outputs" in done[-1]
    assert git(project, "diff", "--name-only", "-z", head, "HEAD").split("\0")[:-1] == [
        ".gitattributes",
        "a.ipynb",
        "deep/ü b.ipynb",
    ]
    assert json.loads(git(project, "show", "HEAD:a.ipynb"))["cells"][0] == {**code("a = 1", "a1"), "source": ["a = 1"]}
    assert "b = 1" in git(project, "show", "HEAD:deep/ü b.ipynb")
    assert (project / ".gitattributes").read_bytes().startswith(b"*.csv text\r\n*.ipynb -text\r\n# nbledger")
    # what was staged and what was changed are still that, and nothing else is
    assert set(git(project, "status", "--porcelain", "-z", "--branch").split("\0")[1:]) == {
        " M a.ipynb",
        "M  deep/ü b.ipynb",
        "A  staged.txt",
        "",
    }
    assert "output" not in git(project, "show", ":deep/ü b.ipynb").replace('"outputs": []', "")
    assert {path: path.read_bytes() for path in here} == here
    assert (project / ".git" / "config").read_text().isascii()  # DVC's experiments can copy no other
    assert set_up(project) == []
    assert gitfilters.troubles(find(project)) == []

    undone = gitfilters.remove(find(project))
    assert undone[-1].startswith("committed .gitattributes as")
    assert (project / ".git" / "config").read_bytes() == config
    assert (project / ".gitattributes").read_bytes() == b"*.csv text\r\n*.ipynb -text\r\n"
    assert git(project, "diff", "--cached", "--name-only", "-z") == "deep/ü b.ipynb\0staged.txt\0"
    assert {path: path.read_bytes() for path in here} == here
    assert gitfilters.remove(find(project)) == []


def test_a_file_of_attributes_that_was_not_there_is_not_there_after(project: Path) -> None:
    set_up(project)
    assert git(project, "ls-files", ".gitattributes") == ".gitattributes"
    gitfilters.remove(find(project))
    assert not (project / ".gitattributes").exists()
    assert git(project, "ls-files", ".gitattributes") == ""
    assert git(project, "status", "--porcelain") == ""


def test_on_the_command_line(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1", [RESULT])))
    commit_all(project)
    answer = ledger(["init", "--filters"], Face())
    assert answer is not None and "1 notebook without outputs" in answer.text
    answer = ledger(["undo"], Face())
    assert answer is not None and answer.code == 0
    assert git(project, "show", "HEAD:a.ipynb") == (project / "a.ipynb").read_text().strip()
    answer = ledger(["init", "--no-filters"], Face())
    assert answer is not None and ".git/config" in answer.text


def test_what_a_run_leaves_is_no_change(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1"), language_info={"name": "python", "version": "3.11.7"}))
    commit_all(project)
    set_up(project)
    executed(project / "a.ipynb")
    assert git(project, "status", "--porcelain") == "M a.ipynb"  # stripped; Git itself goes by the size
    assert door.changes(find(project).git) == ([], [])
    assert status.status(find(project)).clean
    taken = snapshot.capture(find(project), "1" * 32)
    assert (taken.dirty, taken.commit) == (False, git(project, "rev-parse", "HEAD"))
    assert checkpoint.checkpoint(find(project), "nothing").commit is None

    changed = json.loads((project / "a.ipynb").read_text())
    changed["cells"][0]["source"] = ["a = 2"]
    write(project / "a.ipynb", changed)
    assert door.changes(find(project).git) == (["a.ipynb"], [])
    taken = snapshot.capture(find(project), "2" * 32)
    assert taken.dirty
    assert "a = 2" in git(project, "show", f"{taken.commit}:a.ipynb")
    assert "output 5" not in git(project, "show", f"{taken.commit}:a.ipynb")
    made = checkpoint.checkpoint(find(project), "a is 2")
    assert made.paths == ("a.ipynb",)
    assert "output 5" not in git(project, "show", "HEAD:a.ipynb")
    assert "output 5" in (project / "a.ipynb").read_text()
    assert git(project, "status", "--porcelain") == ""


def test_one_process_cleans_all_files_of_a_command(project: Path) -> None:
    set_up(project)
    for number in range(50):
        write(project / f"n{number}.ipynb", book(code(f"a = {number}", "a1", [RESULT])))
    (project / "empty.ipynb").write_bytes(b"")
    (project / "broken.ipynb").write_bytes(b'{"cells": [')
    crlf = json.dumps(book(code("1", "c")), indent=1).replace("\n", "\r\n")
    (project / "lf\nin name.ipynb").write_bytes(crlf.encode())
    large = book(code("1", "big", [{"output_type": "stream", "name": "stdout", "text": "x" * 5_000_000}]))
    write(project / "large.ipynb", large)
    kept = book(code("1", "big", large["cells"][0]["outputs"], tags=["keep_output"]))
    write(project / "kept.ipynb", kept)  # many packets to Git, and back
    done = subprocess.run(
        ["git", "add", "."], cwd=project, capture_output=True, text=True, env={**os.environ, "GIT_TRACE": "1"}
    )
    assert done.returncode == 0
    assert sum("start_command" in line or "trace: run_command: 'f()" in line for line in done.stderr.splitlines()) >= 1
    assert done.stderr.count("gitdrivers filter") == 1
    assert "nbledger: broken.ipynb is kept by Git as it is, with all it holds: it is not JSON" in done.stderr
    for number in range(50):
        assert json.loads(git(project, "show", f":n{number}.ipynb"))["cells"][0]["outputs"] == []
    assert git(project, "show", ":broken.ipynb") == '{"cells": ['
    assert git(project, "show", ":empty.ipynb") == ""
    assert "\r" not in git(project, "show", ":lf\nin name.ipynb")
    assert len(git(project, "show", ":large.ipynb")) < 1000
    assert git(project, "show", ":kept.ipynb").count("x") > 5_000_000


def test_a_diff_reads_well(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1\nb = 2", "a1"), text("# Title", "t1")))
    commit_all(project)
    set_up(project)
    write(project / "a.ipynb", book(code("a = 1\nb = 3", "a1", [RESULT], tags=["parameters"]), text("# Title", "t1")))
    said = git(project, "diff").splitlines()[4:]
    assert "-b = 2" in said and "+b = 3" in said
    assert "+# %% code a1 [parameters]" in said
    assert not [line for line in said if "outputs" in line or "RESULT" in line]
    commit_all(project)
    assert "+b = 3" in git(project, "log", "-p", "-1")


def test_a_clone_that_is_not_set_up_works_and_says_so(project: Path, tmp_path: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1", [RESULT])))
    commit_all(project)
    set_up(project)
    git(tmp_path, "clone", "-q", str(project), "clone")
    clone = tmp_path / "clone"
    assert gitfilters.asked(find(clone)) and not gitfilters.installed(find(clone))
    assert "nbledger init --filters" in " ".join(status.status(find(clone)).notes)
    assert "this clone does not" in _doctor(clone)
    executed(clone / "a.ipynb")
    commit_all(clone)  # Git takes a driver that is not defined for none
    assert "output 5" in git(clone, "show", "HEAD:a.ipynb")
    trust.trust(find(clone))
    doctor.examine(find(clone), fix=True)
    assert gitfilters.installed(find(clone))
    assert "this clone does not" not in _doctor(clone)
    assert "output 5" not in git(clone, "show", "HEAD:a.ipynb")  # what was committed without them is put right, too


def _doctor(root: Path) -> str:
    return "\n".join(found.text for found in doctor.examine(find(root)) if not found.fixed)


def test_other_filters_that_count_before(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1")))
    write(project / "sub" / "b.ipynb", book(code("a = 1", "a1", [RESULT])))
    (project / "sub" / ".gitattributes").write_text("*.ipynb -filter\n")
    commit_all(project)
    done = set_up(project)
    assert "sub/b.ipynb has another filter" in done[-1]
    assert "RESULT" not in done[-1] and "execute_result" in git(project, "show", "HEAD:sub/b.ipynb")
    assert "sub/b.ipynb has another filter" in _doctor(project)


def test_where_the_python_of_the_filter_is_gone(project: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1"), code("b = 1", "b1")))
    commit_all(project)
    set_up(project)
    config = project / ".git" / "config"
    config.write_text(config.read_text().replace(sys.executable, "/not/there/py%fthon 3"))
    write(project / "a.ipynb", book(code("a = 2", "a1", [RESULT]), code("b = 1", "b1")))
    done = subprocess.run(["git", "add", "a.ipynb"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and "init --filters" in done.stderr
    assert "execute_result" in git(project, "show", ":a.ipynb")
    assert "a = 2" in git(project, "diff", "HEAD")
    git(project, "commit", "-qm", "unfiltered")
    git(project, "switch", "-qc", "side", "HEAD~")
    write(project / "a.ipynb", book(code("a = 1", "a1"), code("b = 2", "b1")))
    git(project, "commit", "-qam", "side")
    merged = subprocess.run(["git", "merge", "-q", "main"], cwd=project, capture_output=True, text=True)
    assert merged.returncode == 0, merged.stderr  # as plain Git merges lines that are far from each other
    assert "gone" in _doctor(project) or "not as this version" in _doctor(project)
    doctor.examine(find(project), fix=True)
    assert gitfilters.troubles(find(project)) == []


def test_in_a_repository_that_is_not_trusted_no_filter_runs(project: Path, tmp_path: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1")))
    commit_all(project)
    set_up(project)
    trust.distrust(find(project))
    canary = tmp_path / "ran"
    git(project, "config", "filter.nbledger.process", f"touch {canary}")
    executed(project / "a.ipynb")
    assert door.changes(find(project).git) == (["a.ipynb"], [])
    state = status.status(find(project))
    assert "filters are off until you trust it: 'nbledger'" in " ".join(state.notes)
    assert not canary.exists()


def test_a_link_is_refused_and_a_merge_under_way_is_left_alone(project: Path) -> None:
    (project / "elsewhere").write_text("")
    (project / ".gitattributes").symlink_to("elsewhere")
    with pytest.raises(Exception, match="is a link"):
        set_up(project)
    (project / ".gitattributes").unlink()
    assert git(project, "config", "--get-regexp", "nbledger") != ""
    (project / ".git" / "MERGE_HEAD").write_text(git(project, "rev-parse", "HEAD"))
    done = set_up(project)
    assert "not committed, as a merge is under way" in done[-1]
    (project / ".git" / "MERGE_HEAD").unlink()
    assert "committed" in set_up(project)[-1]


# ── with what else Git does ─────────────────────────────────────────────────────────────────────────────────
def test_stash_and_a_linked_work_tree(project: Path, tmp_path: Path) -> None:
    write(project / "a.ipynb", book(code("a = 1", "a1")))
    commit_all(project)
    set_up(project)
    write(project / "a.ipynb", book(code("a = 2", "a1", [RESULT])))
    git(project, "stash", "-q")
    assert "a = 1" in (project / "a.ipynb").read_text()
    git(project, "stash", "pop", "-q")
    assert "a = 2" in (project / "a.ipynb").read_text()
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    write(tmp_path / "linked" / "a.ipynb", book(code("a = 3", "a1", [RESULT])))
    git(tmp_path / "linked", "commit", "-qam", "in the linked one")
    assert "execute_result" not in git(project, "show", "linked:a.ipynb")
    assert door.changes(find(tmp_path / "linked").git) == ([], [])


def test_a_pull_keeps_the_outputs_of_cells_that_it_does_not_change(project: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    write(project / "a.ipynb", book(code("a = 1", "a1"), code("b = 1", "b1")))
    commit_all(project)
    set_up(project)
    git(project, "push", "-q", "-u", "origin", "main")
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "other")
    other = tmp_path / "other"
    write(other / "a.ipynb", book(code("a = 1", "a1"), code("b = 2", "b1"), code("c = 3", "c1")))
    git(other, "commit", "-qam", "b is 2")
    git(other, "push", "-q")
    executed(project / "a.ipynb")
    assert run("git", "pull", "-q", cwd=project, ok=False) == ""  # Git itself refuses: it goes by the size
    assert pull.pull(find(project)).commits == 1
    cells = json.loads((project / "a.ipynb").read_text())["cells"]
    assert [cell["id"] for cell in cells] == ["a1", "b1", "c1"]
    assert [len(cell["outputs"]) for cell in cells] == [1, 0, 0]
    assert cells[0]["outputs"][0]["text"] == ["output 5\n"]
    assert door.changes(find(project).git) == ([], [])
    changed = json.loads((project / "a.ipynb").read_text())
    changed["cells"][0]["source"] = ["mine"]
    write(project / "a.ipynb", changed)
    write(other / "a.ipynb", book(code("a = 9", "a1")))
    git(other, "commit", "-qam", "a is 9")
    git(other, "push", "-q")
    with pytest.raises(Exception, match=r"changed here and there: a\.ipynb"):
        pull.pull(find(project))
    assert conflicts.told(find(project)) == []
