"""Amazon 2014, 2018 and 2023, and MicroLens."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_support import Result, features, inter, pairs, passed, prepare, refused, write

USERS, ITEMS, WIDTH = 8, 6, 12
ROWS = [(u, i, 1.0 + (u + i) % 5, 1_390_000_000 + u) for u in range(USERS) for i in range(ITEMS)]
ASIN = [f"B0000000{item:02d}" for item in range(ITEMS + 2)]
USER = [f"A1B2C3D4E5F{user:03d}" for user in range(USERS)]


def reviews(edition: int) -> str:
    names = ("reviewerID", "asin", "overall", "unixReviewTime")
    scale, more = 1, {"summary": 'it\'s "fine"'}
    if edition == 2023:
        names = ("user_id", "parent_asin", "rating", "timestamp")
        scale, more = 1000, {"asin": "B999999999"}
    rows = [(USER[u], ASIN[i], rating, time * scale) for u, i, rating, time in ROWS]
    entries = [{**dict(zip(names, row, strict=True)), **more} for row in rows]
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def metadata(edition: int) -> str:
    """Python literals in 2014, JSON in the later releases."""
    item, kinds = ("parent_asin", "categories") if edition == 2023 else ("asin", "category")
    entries = [
        {
            item: asin,
            "title": f"Item's number {n}",
            **(
                {"categories": [["Baby", f"kind{n % 3}"]]} if edition == 2014 else {kinds: ["Baby"]}
            ),
            "description": f"words{n} here kind{n % 3}",
        }
        for n, asin in enumerate(ASIN[:-1])
    ]
    return "".join((repr if edition == 2014 else json.dumps)(entry) + "\n" for entry in entries)


def visual(width: int = WIDTH) -> tuple[bytes, Any]:
    rows = np.random.default_rng(0).normal(size=(len(ASIN), width)).astype("<f4")
    records = [asin.encode() + row.tobytes() for asin, row in zip(ASIN, rows, strict=True)]
    return b"".join(records), rows


def amazon(folder: Path, content: str | bytes, *options: Any, file: str = "r.json") -> Result:
    base = ("amazon", "--input", write(folder / file, content), "--output", folder / "out")
    return prepare(*base, "--force", "--visual-size", WIDTH, *options)


@pytest.mark.parametrize(("edition", "packed"), [(2014, False), (2018, True), (2023, False)])
def test_reviews_and_metadata(tmp_path: Path, edition: int, packed: bool) -> None:
    names = [f"{name}.json{'.gz' * packed}" for name in ("r", "meta")]
    contents = [reviews(edition).encode(), metadata(edition).encode()]
    contents = [gzip.compress(c, mtime=0) if packed else c for c in contents]
    texts = ("--metadata", write(tmp_path / names[1], contents[1]), "--text-encoder", "tfidf")
    options = (*texts, "--text-size", 3, "--fix", "drop-columns")
    passed(amazon(tmp_path, contents[0], *options, file=names[0]))
    out = tmp_path / "out"
    assert set(pairs(out)) == {(USER[u], ASIN[i]) for u, i, _, _ in ROWS}
    assert float(inter(out)["timestamp"].max()) == 1_390_000_000 + USERS - 1
    assert set(features(out, "textual")) == set(ASIN[:ITEMS])
    assert f"{ASIN[3]}\tItem's number 3" in (out / "out.item").read_text()
    assert "TF-IDF" in (out / "manifest.json").read_text()


@pytest.mark.parametrize("edition", [2014, 2018])
def test_ratings_without_header_have_item_ids_of_ten_characters(
    tmp_path: Path, edition: int
) -> None:
    order = slice(None, None, 1 if edition == 2014 else -1)
    rows = [",".join([USER[u], ASIN[i]][order]) + f",{r},{t}\n" for u, i, r, t in ROWS]
    passed(amazon(tmp_path, "".join(rows), "--min-rating", 4, file="r.csv"))
    assert set(pairs(tmp_path / "out")) == {(USER[u], ASIN[i]) for u, i, r, _ in ROWS if r >= 4}
    same = "A23456789,B23456789,1,1\nA23456788,B23456788,1,1\n"
    refused(amazon(tmp_path, same, file="s.csv"), "cannot tell users from items")


def test_the_visual_records_keep_ids_aligned(tmp_path: Path) -> None:
    content, rows = visual()
    option = ("--visual", write(tmp_path / "v.b", content))
    assert "2 records of items without" in passed(amazon(tmp_path, reviews(2014), *option)).out
    expected = {asin: rows[item].tolist() for item, asin in enumerate(ASIN[:ITEMS])}
    assert features(tmp_path / "out", "visual") == expected
    write(tmp_path / "v.b", content[:-3])
    refused(amazon(tmp_path, reviews(2014), *option), "v.b: is cut in record 7: 55 of 58 bytes")
    passed(amazon(tmp_path, reviews(2014), *option, "--fix", "drop-rows"))
    for size in ("0", "-1", "9" * 12):
        refused(amazon(tmp_path, reviews(2014), *option, "--visual-size", size), "--visual-size")
    for wrong in (visual(WIDTH + 1)[0], b"C" * 10 + bytes(4 * WIDTH), b""):
        write(tmp_path / "v.b", wrong)
        refused(amazon(tmp_path, reviews(2014), *option), "v.b")


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda text: text[:-20], "is cut in its last line"),
        (lambda text: text.replace('"overall": 1.0', '"overall": "x"', 1), "1 lines have no user"),
        (lambda text: text.replace('"asin"', '"asim"', 2), "2 lines have no user"),
        (lambda text: "no json\n" + text, "1 lines hold no JSON object, first line 1"),
        (lambda text: text.replace(f'"{ASIN[0]}"', f'["{ASIN[0]}"]', 1), "1 lines have no user"),
    ],
)
def test_damaged_reviews_are_faults(tmp_path: Path, damage: Any, word: str) -> None:
    refused(amazon(tmp_path, damage(reviews(2014))), word)
    passed(amazon(tmp_path, damage(reviews(2014)), "--fix", "drop-rows"))


def test_an_encoding_of_json_is_refused(tmp_path: Path) -> None:
    refused(amazon(tmp_path, reviews(2014), "--encoding", "latin-1"), "leave out --encoding")


def test_python_literals_are_never_evaluated(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = f"{{'asin': open({str(mark)!r}, 'w'), 'title': 'x'}}\n"
    option = ("--metadata", write(tmp_path / "meta.json", bad + metadata(2014)))
    refused(amazon(tmp_path, reviews(2014), *option), "1 lines hold no JSON object")
    assert not mark.exists()
    deep = f'{{"asin": "{ASIN[0]}", "title": {"[" * 700}"x"{"]" * 700}}}\n'
    option = ("--metadata", write(tmp_path / "meta.json", deep + metadata(2014)))
    refused(amazon(tmp_path, reviews(2014), *option), "meta.json")
    cut = gzip.compress(reviews(2014).encode(), mtime=0)[:-40]
    refused(amazon(tmp_path, cut, file="r.json.gz"), "cut or not readable")
    refused(amazon(tmp_path, reviews(2014), "--text-encoder", "tfidf"), "needs --metadata")


LISTS = {user: [1 + (user + n) % ITEMS for n in range(4)] for user in range(USERS)}


def microlens(folder: Path, *options: Any, lists: bool = False, header: bool = True) -> Result:
    if lists:
        text = "".join(f"{u}\t{' '.join(map(str, items))}\n" for u, items in LISTS.items())
        write(folder / "m" / "MicroLens-50k_pairs.tsv", text + "99\n" * (not header))
    else:
        rows = [
            f"{u},{i},{10**12 + n}\n" for u, items in LISTS.items() for n, i in enumerate(items)
        ]
        write(folder / "m" / "MicroLens-50k_pairs.csv", "user,item,timestamp\n" + "".join(rows))
    titles = "".join(f'{i},"Clip, no {i} kind{i % 3}"\n' for i in range(1, ITEMS + 1))
    write(folder / "m" / "MicroLens-50k_titles.csv", "item,title\n" * header + titles)
    return prepare("microlens", "--input", folder / "m", "--output", folder / "out", *options)


@pytest.mark.parametrize("lists", [False, True])
def test_microlens_pairs_and_lists(tmp_path: Path, lists: bool) -> None:
    passed(microlens(tmp_path, lists=lists))
    wanted = {(str(user), str(item)) for user, items in LISTS.items() for item in items}
    assert set(pairs(tmp_path / "out")) == wanted
    mine = inter(tmp_path / "out").query("user_id == '0'").sort_values("timestamp")
    assert mine["item_id"].tolist() == list(map(str, LISTS[0]))


@pytest.mark.parametrize("header", [False, True])
def test_microlens_titles_become_features(tmp_path: Path, header: bool) -> None:
    options = ("--text-encoder", "tfidf", "--text-size", 3, "--fix", "drop-columns")
    passed(microlens(tmp_path, *options, header=header))
    assert "2\tClip, no 2 kind2" in (tmp_path / "out" / "out.item").read_text()
    assert set(features(tmp_path / "out", "textual")) == {str(i) for i in range(1, ITEMS + 1)}


def test_malformed_lists_are_faults(tmp_path: Path) -> None:
    result = microlens(tmp_path, lists=True, header=False)
    refused(result, "1 lines are not a user, a tab and items, first line 9")
    passed(microlens(tmp_path, "--fix", "drop-rows", lists=True, header=False))


def test_a_header_of_lists_is_no_interaction(tmp_path: Path) -> None:
    base = write(tmp_path / "m" / "x_pairs.tsv", "user_id\titem_ids\n0\t1 2\n1\t2 3\n").parent
    words = ("microlens", "--input", base, "--output", tmp_path / "out")
    refused(prepare(*words), "1 lines are not a user, a tab and items, first line 1")
    passed(prepare(*words, "--fix", "drop-rows"))
    assert len(pairs(tmp_path / "out")) == 4
