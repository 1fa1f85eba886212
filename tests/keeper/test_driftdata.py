"""What is said of the files of a comparison before anything is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbledger.core.errors import UsageError
from nbledger.core.project import find
from nbledger.keeper import driftdata


def test_the_files_of_a_folder_are_one_table_or_the_one_that_is_not_is_named(project: Path) -> None:
    here, live = find(project), project / "live"
    live.mkdir()
    for name in ("a", "b", "d"):
        (live / f"{name}.csv").write_text("x,y,label\n1,2,0\n")
    (live / "c.csv").write_text("x,y\n1,2\n")
    shown, table = driftdata.named(here, "live")
    notes: list[str] = []
    assert (shown, driftdata.checked(here, table, notes)) == ("live", ["x", "y", "label"])
    (note,) = notes
    assert note == "not every file has the same columns: live/c.csv against live/a.csv; what is not there is empty"
    for text, said in (
        ("", "live/c.csv is empty"),
        ("\n\n", "live/c.csv has no columns"),
        ("x,y\n1,2\n1,2,3\n", r"live/c.csv cannot be read as a table: .*Expected 2 fields in line 3, saw 3"),
        ("x|y|label\n1|2|0\n", r"live/c.csv has one column, 'x\|y\|label'"),
        ("<html>\n", "live/c.csv is another table than live/a.csv"),
    ):
        (live / "c.csv").write_text(text)
        with pytest.raises(UsageError, match=said):
            driftdata.checked(here, table, [])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_of_another_encoding_is_told_from_a_table_without_names(project: Path, encoding: str) -> None:
    (project / "week.csv").write_bytes(("x,label\n" + "1,a\n" * 500 + "1,café\n").encode(encoding))
    here = find(project)
    with pytest.raises(UsageError, match=r"week\.csv is not UTF-8: the byte 0x(e9|ff) is no text") as refused:
        driftdata.checked(here, driftdata.named(here, "week.csv")[1], [])
    assert "iconv" in refused.value.hint
