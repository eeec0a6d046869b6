"""Quote marks enclose cells or are text: no row is lost, and no line of a text becomes a row."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prep_support import done, pairs, passed, prepare, refused, table, write

from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cells(folder: Path, content: str, file: str = "e.csv") -> tuple[list[list[str]], list[str]]:
    """All rows of a table, and the faults."""
    layout = sniff(write(folder / file, content))
    report = Report()
    rows = [row for f in chunks(layout, layout.names, report) for row in f.to_numpy().tolist()]
    return rows, [fault.what for fault in report.faults]


UNQUOTED = [
    ['"Heroes', "Low", 'All "that"', "x", '"Q', 'q"'],
    ["a", "b", "c", "d", "e", '"f'],
    ["a", 'say "hi', "c", "d", 'e "" f', "g"],
    ['"Heroes"', '"', '""', "b", '"Low', 'x" y'],
]


@pytest.mark.parametrize("items", ["123321", "abccba"])
@pytest.mark.parametrize("titles", UNQUOTED)
def test_no_row_of_an_unquoted_table_is_lost(tmp_path: Path, titles: list[str], items: str) -> None:
    rows = [f"u{n}\t{i}\t{t}" for n, (i, t) in enumerate(zip(items, titles, strict=True))]
    for end in ("\n", "\r\n"):
        passed(table(tmp_path, end.join(["user_id\titem_id\tname", *rows, ""]), file="e.tsv"))
        assert pairs(tmp_path / "out") == [(f"u{n}", i) for n, i in enumerate(items)]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.text(st.sampled_from(list("ab \"',")), max_size=6)),
        min_size=4,
        max_size=12,
    )
)
@QUIET
def test_any_text_may_be_in_the_last_column(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    lines = [f"u{n}\t{item}\t{text}" for n, (item, text) in enumerate(rows)]
    content = "\n".join(["user\titem\tname", *lines, ""])
    found, faults = cells(tmp_path_factory.mktemp("any"), content, "e.tsv")
    assert [row[:2] for row in found] == [[f"u{n}", str(i)] for n, (i, _) in enumerate(rows)]
    assert not faults


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.text(st.sampled_from(list('ab ",\n;')), max_size=12)),
        min_size=1,
        max_size=12,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@QUIET
def test_a_quoted_table_is_read_as_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], quoting: int
) -> None:
    """A cell whose lines could all be rows is the only one that is not read."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=quoting)
    written = [["v", "0", "plain text"]]
    written += [[f"u{n}", str(item), text] for n, (item, text) in enumerate(rows)]
    writer.writerows([["user", "item", "text"], *written])
    found, faults = cells(tmp_path_factory.mktemp("quoted"), stream.getvalue())
    stripped = [[cell.strip() for cell in row] for row in found]
    expected = [[cell.strip() for cell in row] for row in written]
    unclear = any(text.count(",") >= 2 and "\n" in text for _, text in rows)
    assert (stripped == expected and not faults) or (unclear and faults)


REVIEW = 'u1,i1,"Great film\nI liked the story and the end"\n'


def test_a_cell_of_several_lines(tmp_path: Path) -> None:
    others = 'u2,i1,fine\nu3,i2,"good, but long"\n'
    for content in (REVIEW + others, others + REVIEW):
        rows, faults = cells(tmp_path, "user,item,review\n" + content)
        assert not faults and len(rows) == 3
        text = next(row[2] for row in rows if row[0] == "u1")
        assert text == "Great film\nI liked the story and the end"


def test_a_cell_whose_lines_could_be_rows_is_a_fault(tmp_path: Path) -> None:
    """Either these are rows with an open quote mark each, or one row."""
    unclear = 'u1,i1,"Heroes\nu2,i2,x\nu2,i1,y"\n'
    rows, faults = cells(tmp_path, f"user,item,name\nu2,i1,fine\n{unclear}u3,i1,z\n")
    assert rows == [["u2", "i1", "fine"], ["u3", "i1", "z"]]
    assert "line 3 with an open quote mark" in faults[0]


def test_escaped_marks(tmp_path: Path) -> None:
    content = '"user";"item";"name"\n"u1";"i1";"a ""b"""\n"u2";"i2";"a \\"b\\"; c"\n'
    rows, _ = cells(tmp_path, content)
    assert rows == [["u1", "i1", 'a "b"'], ["u2", "i2", 'a "b"; c']]


def test_an_open_mark_before_an_id_is_malformed_outside_tsv(tmp_path: Path) -> None:
    content = 'user,item,rating\na,x,1\nb,"y,2\nc,z,3\n'
    refused(table(tmp_path, content), "first line 3", '"y')
    passed(table(tmp_path, content.replace(",", "\t"), file="e.tsv"))
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", '"y'), ("c", "z")]


@pytest.mark.parametrize("index", [0, 5])
@pytest.mark.parametrize("line", ["x", "x,1,2,3"])
def test_a_malformed_line_is_counted_anywhere(tmp_path: Path, line: str, index: int) -> None:
    lines = [f"u{n},i{n},{n + 1}" for n in range(5)]
    lines.insert(index, line)
    content = "\n".join(["user,item,rating", *lines, ""])
    refused(table(tmp_path, content), f"first line {index + 2}", line, "--fix drop-rows")
    passed(table(tmp_path, content, "--fix", "drop-rows"))
    assert pairs(tmp_path / "out") == [(f"u{n}", f"i{n}") for n in range(5)]


def test_check_and_describe_read_the_marks_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    content = 'user_id:token\titem_id:token\tname:token\nu1\t1\t"a\nu2\t2\tb"\nu3\t1\tc\n'
    write(folder / "set.inter", content)
    write(folder / "set.item", 'item_id:token\tmovie_title:token_seq\n1\t"Heroes\n2\tLow"\n')
    for command in ("check", "describe"):
        assert "3 interactions, 3 users, 2 items" in done(command, folder).out
    write(folder / "set.item", "item_id:token\tmovie_title:token_seq\n1\tA\tB\n2\tC\n")
    assert "3 in line 2" in prepare("check", folder).out
