"""Any table is read as written, with its quote marks; a corrupt one is repaired or refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prep_support import done, features, pairs, passed, prepare, refused, table, write

from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from recbole_painvrl.data.folder import MISSING_TOKENS

IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=6
).filter(lambda text: text not in MISSING_TOKENS and text.strip() == text and text != "\ufeff")
PAIRS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12, unique=True)
FORMATS = st.sampled_from(["csv", "tsv", "crlf", "bom", "parquet"])
FEATURE_FORMATS = st.sampled_from(["npy", "npz", "csv", "parquet"])
QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def write_events(path: Path, rows: list[tuple[str, str]], kind: str) -> Path:
    if kind == "parquet":
        path = path.with_suffix(".parquet")
        pd.DataFrame(rows, columns=["user_id", "item_id"]).to_parquet(path)
        return path
    stream = io.StringIO()
    end = "\r\n" if kind == "crlf" else "\n"
    writer = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",", lineterminator=end)
    writer.writerows([("user_id", "item_id"), *rows])
    text = stream.getvalue().encode()
    return write(path, b"\xef\xbb\xbf" + text if kind == "bom" else text)


def write_matrix(path: Path, tokens: list[str], matrix: Any, kind: str) -> Path:
    path = path.with_suffix(f".{kind}")
    if kind == "npy":
        np.save(path, matrix)
        np.save(path.with_suffix(".ids.npy"), np.array(tokens))
    elif kind == "npz":
        np.savez(path, ids=np.array(tokens), features=matrix)
    else:
        frame = pd.DataFrame(matrix, columns=[f"f{n}" for n in range(matrix.shape[1])])
        frame.insert(0, "item_id", tokens)
        frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    return path


@given(rows=PAIRS, kind=FORMATS, feature_kind=FEATURE_FORMATS, data=st.data())
@QUIET
def test_any_table_is_read_with_ids_aligned(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    kind: str,
    feature_kind: str,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    items = data.draw(st.permutations(sorted({item for _, item in rows})))
    matrix = np.arange(1, 1 + 3 * len(items), dtype=np.float32).reshape(-1, 3)
    events = write_events(folder / "e.csv", rows, kind)
    vectors = write_matrix(folder / "f", list(items), matrix, feature_kind)
    done("table", "--input", events, "--features", f"v={vectors}", "--output", folder / "out")
    assert pairs(folder / "out") == rows
    expected = {item: row.tolist() for item, row in zip(items, matrix, strict=True)}
    assert features(folder / "out", "v") == expected
    assert prepare("check", folder / "out").code == 0


BASE = [("u1", "i1", "4.5", "100"), ("u1", "i2", "3.5", "101"), ("u2", "i1", "2.5", "102")]
BASE += [("u2", "i3", "1.5", "103"), ("u3", "i2", "5.0", "104")]
GOOD = {row[:2] for row in BASE}
HEADER = ("user_id", "item_id", "rating", "timestamp")


def base_text() -> str:
    return "".join(",".join(row) + "\n" for row in [HEADER, *BASE])


@given(cut=st.integers(0, len(base_text()) - 1))
@settings(max_examples=30, deadline=None)
def test_truncated_text(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Refused or noted, unless it is cut exactly between two lines."""
    folder = tmp_path_factory.mktemp("cut")
    content = base_text()[:cut]
    result = table(folder, content)
    if result.code == 2:
        assert "e.csv" in result.refusal
        assert not (folder / "out").exists()
        return
    whole = content.endswith("\n")
    assert whole or "no end of line" in result.out
    got = set(pairs(folder / "out"))
    assert got <= GOOD


CORRUPTIONS = {
    "duplicate line": lambda lines, n: lines[: n + 1] + lines[n:],
    "swapped lines": lambda lines, n: [lines[0], *lines[:0:-1]],
    "empty user": lambda lines, n: _replace(lines, n, 0, ""),
    "null item": lambda lines, n: _replace(lines, n, 1, "NULL"),
    "NaN rating": lambda lines, n: _replace(lines, n, 2, "nan"),
    "infinite rating": lambda lines, n: _replace(lines, n, 2, "inf"),
    "word for a time": lambda lines, n: _replace(lines, n, 3, "soon"),
    "too many fields": lambda lines, n: _replace(lines, n, 3, "1,2"),
    "too few fields": lambda lines, n: [
        *lines[:n],
        ",".join(lines[n].split(",")[:2]),
        *lines[n + 1 :],
    ],
    "blank line": lambda lines, n: [*lines[:n], "", *lines[n:]],
    "no header": lambda lines, n: lines[1:],
    "header twice": lambda lines, n: [*lines[:n], lines[0], *lines[n:]],
    "carriage returns": lambda lines, n: [line + "\r" for line in lines],
    "byte order mark": lambda lines, n: ["\ufeff" + lines[0], *lines[1:]],
    "open quote": lambda lines, n: _replace(lines, n, 1, '"i1'),
}


def _replace(lines: list[str], number: int, column: int, value: str) -> list[str]:
    fields = lines[number].split(",")
    fields[column] = value
    return [*lines[:number], ",".join(fields), *lines[number + 1 :]]


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(number=st.integers(1, len(BASE)))
@settings(max_examples=3, deadline=None)
def test_corrupt_text(tmp_path_factory: pytest.TempPathFactory, name: str, number: int) -> None:
    """Refused by name, or prepared without a new pair; also with drop-rows."""
    lines = CORRUPTIONS[name](base_text().splitlines(), number)
    content = "".join(f"{line}\n" for line in lines)
    for options in ((), ("--fix", "drop-rows")):
        folder = tmp_path_factory.mktemp("corrupt")
        result = table(folder, content, *options)
        if result.code == 2:
            assert "e.csv" in result.refusal
            assert not (folder / "out").exists()
        else:
            assert set(pairs(folder / "out")) <= GOOD
            assert len(pairs(folder / "out")) >= len(GOOD) - 1


@given(damage=st.sampled_from(["cut", "nan", "duplicate", "swap", "dtype"]), data=st.data())
@settings(max_examples=25, deadline=None)
def test_corrupt_features(
    tmp_path_factory: pytest.TempPathFactory, damage: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("features")
    items = ["i1", "i2", "i3"]
    matrix = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    tokens = list(items)
    if damage == "nan":
        matrix[data.draw(st.integers(0, 2)), data.draw(st.integers(0, 3))] = np.nan
    elif damage == "duplicate":
        matrix, tokens = np.vstack([matrix, matrix[:1]]), [*tokens, "i1"]
    elif damage == "swap":
        order = data.draw(st.permutations(range(3)))
        matrix, tokens = matrix[list(order)], [tokens[n] for n in order]
    kind = data.draw(FEATURE_FORMATS if damage != "dtype" else st.sampled_from(["npy", "npz"]))
    stored = matrix.astype(str) if damage == "dtype" else matrix
    path = write_matrix(folder / "f", tokens, stored, kind)
    if damage == "cut":
        content = path.read_bytes()
        # Cutting only the last end of line of a text leaves it whole.
        write(path, content[: data.draw(st.integers(1, len(content) - 4))])
    events = write(folder / "e.csv", base_text())
    arguments = ["table", "--input", events, "--features", f"v={path}", "--output", folder / "out"]
    result = prepare(*arguments)
    if damage == "swap":
        assert result.code == 0
    if result.code == 2:
        assert path.name in result.refusal
        assert not (folder / "out").exists()
        assert damage not in ("nan", "duplicate") or "--fix" in result.refusal
        return
    assert damage in ("cut", "swap")
    got = features(folder / "out", "v")
    if damage == "swap":
        for token, row in zip(tokens, matrix, strict=True):
            np.testing.assert_allclose(got[token], row, rtol=1e-6)
    else:
        assert "no end of line" in result.out or len(got) < 3


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
