"""Quote marks enclose cells or are text: no row is lost, and none is made of a line of a text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prep_support import done, inter, pairs, prepare, write

from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.sampled_from(list("ab \"',")), max_size=6)


def cells(folder: Path, content: str, file: str = "e.tsv") -> tuple[list[list[str]], Report]:
    """All rows of a table, and what was reported."""
    layout = sniff(write(folder / file, content))
    report = Report()
    rows = [row for f in chunks(layout, layout.names, report) for row in f.to_numpy().tolist()]
    return rows, report


UNQUOTED = {
    "opened and closed by later rows": ['"Heroes', "Low", 'All "that"', "x", '"Q', 'q"'],
    "opened in the last row": ["a", "b", "c", "d", "e", '"f'],
    "in the middle of a cell": ["a", 'say "hi', "c", "d", 'e "" f', "g"],
    "whole cells, too": ['"Heroes"', '"', '""', "b", '"Low', 'x" y'],
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("items", ["123321", "abccba"])
@pytest.mark.parametrize("name", UNQUOTED)
def test_no_row_of_an_unquoted_table_is_lost(
    tmp_path: Path, name: str, items: str, end: str
) -> None:
    rows = [f"u{n}\t{i}\t{t}" for n, (i, t) in enumerate(zip(items, UNQUOTED[name], strict=True))]
    content = end.join(["user_id\titem_id\tname", *rows, ""])
    done("table", "--input", write(tmp_path / "e.tsv", content), "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [(f"u{n}", i) for n, i in enumerate(items)]


@given(rows=st.lists(st.tuples(st.integers(0, 9), TEXT), min_size=4, max_size=12))
@QUIET
def test_any_text_may_stand_in_the_last_column(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    lines = [f"u{n}\t{item}\t{text}" for n, (item, text) in enumerate(rows)]
    # Plain rows tell what the columns hold.
    plain = [f"v{n}\t{n}\tplain text" for n in range(3)]
    found, report = cells(folder, "\n".join(["user\titem\tname", *plain, *lines, ""]))
    assert [row[:2] for row in found[3:]] == [[f"u{n}", str(i)] for n, (i, _) in enumerate(rows)]
    assert not report.faults


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.text(st.sampled_from(list('ab ",\n;')), max_size=12)),
        min_size=1,
        max_size=12,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    first=st.booleans(),
)
@QUIET
def test_a_quoted_table_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str]],
    quoting: int,
    first: bool,
) -> None:
    folder = tmp_path_factory.mktemp("quoted")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=quoting)
    written = [[f"v{n}", str(n), "plain text"] for n in range(3)]
    written += [[f"u{n}", str(item), text] for n, (item, text) in enumerate(rows)]
    order = (2, 0, 1) if first else (0, 1, 2)
    writer.writerows([[row[p] for p in order] for row in [["user", "item", "text"], *written]])
    found, report = cells(folder, stream.getvalue(), "e.csv")
    assert not report.faults
    assert [[c.strip() for c in row] for row in found] == [
        [row[p].strip() for p in order] for row in written
    ]


REVIEW = 'u1,i1,"Great film\nI liked the story, the cast, and the end"\n'


@pytest.mark.parametrize(
    "others",
    ['u2,i1,fine\nu3,i2,"good, but long"\n', "u2,i1,fine\nu3,i2,bad\nu4,i2,so so\n"],
)
def test_a_cell_of_several_lines_stays_one(tmp_path: Path, others: str) -> None:
    for content in (REVIEW + others, others + REVIEW):
        rows, report = cells(tmp_path, "user,item,review\n" + content, "e.csv")
        assert not report.faults
        assert len(rows) == 1 + others.count("\n")
        text = next(row[2] for row in rows if row[0] == "u1")
        assert text == "Great film\nI liked the story, the cast, and the end"


def test_what_nothing_can_tell_is_a_fault(tmp_path: Path) -> None:
    """Are these two rows with an open mark each, or one?"""
    rows, report = cells(tmp_path, "user,item,review\nu2,i1,fine\n" + REVIEW, "e.csv")
    assert rows == [["u2", "i1", "fine"]]
    assert "line 3 with an open quote mark" in report.faults[0].what


def test_a_table_with_both_kinds(tmp_path: Path) -> None:
    content = (
        'user,item,name\nu1,1,"Low, live"\nu1,2,"Heroes\nu2,2,x\nu2,1,y"\nu3,1,"two\nlines, real"\n'
        "u3,2,z\n"
    )
    rows, report = cells(tmp_path, content, "e.csv")
    assert [row[:2] for row in rows] == [
        ["u1", "1"], ["u1", "2"], ["u2", "2"], ["u2", "1"], ["u3", "1"], ["u3", "2"],
    ]  # fmt: skip
    assert rows[0][2] == "Low, live" and rows[1][2] == '"Heroes'
    assert rows[4][2] == "two\nlines, real"
    assert not report.faults


def test_escaped_marks(tmp_path: Path) -> None:
    content = '"user";"item";"name"\n"u1";"i1";"a ""b"""\n"u2";"i2";"a \\"b\\"; c"\n'
    rows, _ = cells(tmp_path, content, "e.csv")
    assert rows == [["u1", "i1", 'a "b"'], ["u2", "i2", 'a "b"; c']]


def test_an_open_mark_before_an_id_is_malformed_outside_tsv(tmp_path: Path) -> None:
    content = 'user,item,rating\na,x,1\nb,"y,2\nc,z,3\n'
    path = write(tmp_path / "e.csv", content)
    refusal = prepare("table", "--input", path, "--output", tmp_path / "out").refusal
    assert "first line 3" in refusal and '"y' in refusal
    tsv = write(tmp_path / "e.tsv", content.replace(",", "\t"))
    done("table", "--input", tsv, "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", '"y'), ("c", "z")]


def test_characters_that_end_no_line(tmp_path: Path) -> None:
    ids = ["a\u2028b", "c\x85d", "e\x0cf", "g\x1dh"]
    content = "user,item\n" + "".join(f"u,{i}\n" for i in ids)
    done("table", "--input", write(tmp_path / "e.csv", content), "--output", tmp_path / "out")
    text = (tmp_path / "out" / "out.inter").read_text(encoding="utf-8")
    assert text.split("\n")[1:-1] == [f"u\t{i}" for i in ids]


MALFORMED = {"short": "x", "long": "x,1,2,3"}


@pytest.mark.parametrize("place", [0, 5])
@pytest.mark.parametrize("name", ["short", "long"])
def test_a_malformed_line_is_counted_wherever_it_stands(
    tmp_path: Path, name: str, place: int
) -> None:
    lines = [f"u{n},i{n},{n + 1}" for n in range(5)]
    lines.insert(place, MALFORMED[name])
    path = write(tmp_path / "e.csv", "\n".join(["user,item,rating", *lines, ""]))
    refusal = prepare("table", "--input", path, "--output", tmp_path / "out").refusal
    assert f"first line {place + 2}" in refusal and MALFORMED[name] in refusal
    assert "--fix drop-rows" in refusal
    done("table", "--input", path, "--output", tmp_path / "out", "--fix", "drop-rows")
    assert pairs(tmp_path / "out") == [(f"u{n}", f"i{n}") for n in range(5)]


def test_a_separator_at_the_end_of_every_line_is_no_column(tmp_path: Path) -> None:
    rows, report = cells(tmp_path, "user,item,rating,\nu1,i1,5,\nu2,i2,4\n", "e.csv")
    assert rows == [["u1", "i1", "5"], ["u2", "i2", "4"]]
    assert not report.faults


def test_check_and_describe_read_the_marks_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write(
        folder / "set.inter",
        'user_id:token\titem_id:token\tname:token\nu1\t1\t"a\nu2\t2\tb"\nu3\t1\tc\n',
    )
    write(folder / "set.item", 'item_id:token\tmovie_title:token_seq\n1\t"Heroes\n2\tLow"\n')
    result = prepare("check", folder)
    assert result.code == 0
    assert "3 interactions, 3 users, 2 items" in result.out and "2 of 2 items" in result.out
    assert "3 interactions, 3 users, 2 items" in done("describe", folder).out
    write(folder / "set.item", "item_id:token\tmovie_title:token_seq\n1\tA\tB\n2\tC\n")
    assert "set.item: 2 columns in the first line, 3 in line 2" in prepare("check", folder).out


@pytest.mark.parametrize(
    ("typed", "separator"), [("\\t", "\t"), ("tab", "\t"), ("::", "::"), ("blank", " "), ("|", "|")]
)
def test_a_separator_is_given_as_text(tmp_path: Path, typed: str, separator: str) -> None:
    content = "".join(f"{line}\n" for line in (f"u1{separator}i,1", f"u2{separator}i,2"))
    path = write(tmp_path / "e.txt", content)
    options = ("--separator", typed, "--columns", "user,item")
    done("table", "--input", path, *options, "--output", tmp_path / "out")
    assert pairs(tmp_path / "out") == [("u1", "i,1"), ("u2", "i,2")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """A byte order mark tells the encoding; without one it must be named."""
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    path = write(tmp_path / "e.csv", f"{mark}user,item\nu1,Amélie\n".encode(encoding))
    options = ["--encoding", "latin-1"] if encoding != "utf-16" else []
    done("table", "--input", path, *options, "--output", tmp_path / "out")
    assert inter(tmp_path / "out")["item_id"].tolist() == ["Amélie"]
