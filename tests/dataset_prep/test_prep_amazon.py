"""Amazon 2014, 2018 and 2023: reviews, ratings, metadata, the visual binary."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, inter, pairs, prepare, write

USERS, ITEMS, WIDTH = 8, 6, 12
ROWS = [(u, i, 1.0 + (u + i) % 5, 1_390_000_000 + u) for u in range(USERS) for i in range(ITEMS)]


def asin(item: int) -> str:
    return f"B0000000{item:02d}"


def user_id(user: int) -> str:
    return f"A1B2C3D4E5F{user:03d}"


def reviews(edition: int) -> str:
    names = (
        ("user_id", "parent_asin", "rating", "timestamp")
        if edition == 2023
        else ("reviewerID", "asin", "overall", "unixReviewTime")
    )
    scale = 1000 if edition == 2023 else 1
    more = {"asin": "B999999999"} if edition == 2023 else {"summary": 'it\'s "fine"'}
    lines = []
    for user, item, rating, time in ROWS:
        values = (user_id(user), asin(item), rating, time * scale)
        lines.append(json.dumps({**dict(zip(names, values, strict=True)), **more}))
    return "\n".join(lines) + "\n"


def ratings(edition: int) -> str:
    order = (0, 1) if edition == 2014 else (1, 0)
    lines = []
    for user, item, rating, time in ROWS:
        pair = (user_id(user), asin(item))
        lines.append(f"{pair[order[0]]},{pair[order[1]]},{rating},{time}")
    return "\n".join(lines) + "\n"


def metadata(edition: int) -> str:
    lines = []
    for item in range(ITEMS + 1):
        if edition == 2014:
            entry = {
                "asin": asin(item),
                "title": f"Item's number {item}",
                "categories": [["Baby", f"kind{item % 3}"]],
                "description": f"words{item} here",
            }
            lines.append(repr(entry))
        else:
            entry = {
                "parent_asin" if edition == 2023 else "asin": asin(item),
                "title": f"Item's number {item}",
                "categories" if edition == 2023 else "category": ["Baby", f"kind{item % 3}"],
                "description": [f"words{item}", "here"],
            }
            lines.append(json.dumps(entry))
    return "\n".join(lines) + "\n"


def visual(width: int = WIDTH) -> tuple[bytes, Any]:
    rows = np.random.default_rng(0).normal(size=(ITEMS + 2, width)).astype("<f4")
    parts = [asin(item).encode() + row.tobytes() for item, row in enumerate(rows)]
    return b"".join(parts), rows


def convert(tmp_path: Path, *options: Any) -> Result:
    return prepare("amazon", "--output", tmp_path / "out", "--visual-size", WIDTH, *options)


@pytest.mark.parametrize(("edition", "packed"), [(2014, False), (2018, True), (2023, False)])
def test_reviews_and_metadata_of_every_edition(tmp_path: Path, edition: int, packed: bool) -> None:
    files = []
    for name, text in (("r", reviews(edition)), ("meta", metadata(edition))):
        content = gzip.compress(text.encode(), mtime=0) if packed else text.encode()
        files.append(write(tmp_path / f"{name}.json{'.gz' if packed else ''}", content))
    result = convert(
        tmp_path, "--input", files[0], "--metadata", files[1], "--text-encoder", "tfidf",
        "--text-size", 3, "--fix", "drop-columns",
    )  # fmt: skip
    assert result.code == 0, result.err
    out = tmp_path / "out"
    assert set(pairs(out)) == {(user_id(u), asin(i)) for u, i, _, _ in ROWS}
    assert float(inter(out)["timestamp"].max()) == 1_390_000_000 + USERS - 1
    assert set(features(out, "textual")) == {asin(item) for item in range(ITEMS)}
    titles = (out / "out.item").read_text()
    assert f"{asin(3)}\tItem's number 3" in titles
    manifest = json.loads((out / "manifest.json").read_text())
    assert "TF-IDF" in json.dumps(manifest) and "normalisation_of_encoder" in json.dumps(manifest)


@pytest.mark.parametrize("edition", [2014, 2018])
def test_ratings_without_header_are_told_apart_by_their_ids(tmp_path: Path, edition: int) -> None:
    path = write(tmp_path / "ratings.csv", ratings(edition))
    result = convert(tmp_path, "--input", path, "--min-rating", 4)
    assert result.code == 0, result.err
    assert set(pairs(tmp_path / "out")) == {(user_id(u), asin(i)) for u, i, r, _ in ROWS if r >= 4}


def test_the_visual_binary_keeps_ids_aligned(tmp_path: Path) -> None:
    content, rows = visual()
    options = ("--input", write(tmp_path / "r.json", reviews(2014)))
    options += ("--visual", write(tmp_path / "image_features.b", content))
    result = convert(tmp_path, *options)
    assert result.code == 0, result.err
    found = features(tmp_path / "out", "visual")
    assert set(found) == {asin(item) for item in range(ITEMS)}
    assert found[asin(4)] == rows[4].tolist()
    assert "2 records of items without interaction" in result.out


def test_a_cut_binary_is_mended_with_a_count(tmp_path: Path) -> None:
    options = ("--input", write(tmp_path / "r.json", reviews(2014)))
    options += ("--visual", write(tmp_path / "v.b", visual()[0][:-3]))
    refusal = convert(tmp_path, *options).refusal
    assert "v.b: is cut in record 7: 55 of 58 bytes" in refusal
    assert convert(tmp_path, *options, "--fix", "drop-rows").code == 0


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (visual(WIDTH + 1)[0], "which is no item id"),
        (b"C" * 10 + bytes(4 * WIDTH), "none of its 1 records"),
        (b"", "none of its 0 records"),
    ],
)
def test_a_wrong_binary_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    options = ("--input", write(tmp_path / "r.json", reviews(2014)))
    assert word in convert(tmp_path, *options, "--visual", write(tmp_path / "v.b", content)).refusal


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda text: text[:-20], "is cut in its last line"),
        (lambda text: text.replace('"overall": 1.0', '"overall": "x"', 1), "1 lines have no user"),
        (lambda text: text.replace('"asin"', '"asim"', 2), "2 lines have no user"),
        (lambda text: "no json\n" + text, "1 lines hold no JSON object, first line 1"),
    ],
)
def test_damaged_reviews_are_mended_with_a_count(tmp_path: Path, damage: Any, word: str) -> None:
    path = write(tmp_path / "r.json", damage(reviews(2014)))
    assert word in convert(tmp_path, "--input", path).refusal
    assert convert(tmp_path, "--input", path, "--fix", "drop-rows").code == 0


def test_python_literals_are_never_evaluated(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = f"{{'asin': open({str(mark)!r}, 'w'), 'title': 'x'}}\n"
    options = ("--input", write(tmp_path / "r.json", reviews(2014)))
    options += ("--metadata", write(tmp_path / "meta.json", bad + metadata(2014)))
    assert "1 lines hold no JSON object" in convert(tmp_path, *options).refusal
    assert not mark.exists()


def test_a_cut_gzip_and_strange_ratings_are_refused(tmp_path: Path) -> None:
    cut = write(tmp_path / "r.json.gz", gzip.compress(reviews(2014).encode(), mtime=0)[:-40])
    assert "cut or not readable" in convert(tmp_path, "--input", cut).refusal
    same = write(tmp_path / "r.csv", "A23456789,B23456789,1,1\nA23456788,B23456788,1,1\n")
    assert "cannot tell users from items" in convert(tmp_path, "--input", same).refusal
    plain = write(tmp_path / "r.json", reviews(2014))
    refusal = convert(tmp_path, "--input", plain, "--text-encoder", "tfidf").refusal
    assert "needs --metadata" in refusal
