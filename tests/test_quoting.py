"""Quote marks: a table reads back what was written, quoted or not."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recbole_painvrl.quoting import is_quoted, split_rows, text_lines

CELLS = st.text(alphabet='ab "\t,\n\x0c\u2028', max_size=6)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6)


def read(text: str, separator: str) -> list[list[str]]:
    lines = list(text_lines(io.StringIO(text, newline="\n")))
    return list(split_rows(lines, separator, is_quoted(lines, separator)))


@given(TABLES)
def test_a_plain_table_is_read_as_it_stands(rows: list[tuple[str, str, str]]) -> None:
    plain = [[cell.replace("\t", "").replace("\n", "") for cell in row] for row in rows]
    # A mark that nothing closes: no quoting could have written it.
    plain.append(["x", 'a"b', "y"])
    text = "".join("\t".join(row) + "\n" for row in [["a", "b", "c"], *plain])
    assert read(text, "\t") == [["a", "b", "c"], *plain]


@given(TABLES)
def test_a_quoted_table_is_read_without_its_marks(rows: list[tuple[str, str, str]]) -> None:
    # Pieces of a cell with line breaks that are rows by themselves look like a plain table.
    assume(all(cell.count("\n") == 0 or "," not in cell for row in rows for cell in row))
    assume(all(row[1].count("\n") == 0 and row[0].count("\n") == 0 for row in rows))
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([["a", "b", "c"], ['"', "", ""], *rows])
    expected = [["a", "b", "c"], ['"', "", ""], *(list(row) for row in rows)]
    assert read(stream.getvalue(), ",") == expected


@pytest.mark.parametrize(
    ("text", "separator", "quoted"),
    [
        ('u\ti\tn\n1\t1\t"Heroes\n1\t2\tLow\n2\t1\tLodger\n', "\t", False),
        # The second mark stands inside a cell.
        ('u\ti\tn\n1\t1\t"Heroes\n1\t2\tAll "that"\n', "\t", False),
        # Well-formed, but both lines are complete rows.
        ('u\ti\tn\n1\t3\t"Q\n2\t2\tq"\n', "\t", False),
        # Marks that join two cells of one line.
        ('u\ti\n"1\t2"\n', "\t", False),
        ('u\ti\n1\t5"\n', "\t", False),
        ('u,i,n\n1,1,"one\ntwo, three"\n', ",", True),
        ('u,i,n\n1,"one\ntwo",3\n', ",", True),
        ('u,i,n\n1,2,"say ""hi"""\n', ",", True),
        ('"u","i"\n"1","2"\n', ",", True),
        ("u,i\n1,2\n", ",", None),
    ],
)
def test_which_tables_are_quoted(text: str, separator: str, quoted: bool | None) -> None:
    assert is_quoted(text_lines(io.StringIO(text, newline="\n")), separator) is quoted


def test_only_line_feeds_end_lines() -> None:
    text = "a\x0cb\u2028c\x85d\r\ne\n"
    assert list(text_lines(io.StringIO(text, newline="\n"))) == ["a\x0cb\u2028c\x85d", "e"]


def test_a_separator_of_two_characters_inside_a_quoted_cell() -> None:
    assert read('u::i\n"1::2"::3\n', "::") == [["u", "i"], ["1::2", "3"]]
