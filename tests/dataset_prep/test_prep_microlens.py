"""MicroLens: pairs as CSV or as one list per user, titles, features with ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prep_support import Result, features, inter, pairs, prepare, write

USERS, ITEMS = 8, 6
ROWS = [(user, 1 + (user + place) % ITEMS, place) for user in range(USERS) for place in range(4)]


def release(folder: Path, lists: bool = False, header: bool = True) -> Path:
    if lists:
        text = "".join(
            f"{user}\t{' '.join(str(i) for u, i, _ in ROWS if u == user)}\n"
            for user in range(USERS)
        )
        write(folder / "MicroLens-50k_pairs.tsv", text)
    else:
        text = "".join(f"{u},{i},{1_600_000_000_000 + t}\n" for u, i, t in ROWS)
        write(folder / "MicroLens-50k_pairs.csv", "user,item,timestamp\n" + text)
    titles = "".join(f'{i},"Clip, no {i} kind{i % 3}"\n' for i in range(1, ITEMS + 1))
    write(folder / "MicroLens-50k_titles.csv", ("item,title\n" if header else "") + titles)
    return folder


def convert(folder: Path, *options: Any) -> Result:
    return prepare("microlens", "--input", folder, "--output", folder.parent / "out", *options)


@pytest.mark.parametrize("lists", [False, True])
def test_both_forms_of_pairs_agree(tmp_path: Path, lists: bool) -> None:
    result = convert(release(tmp_path / "m", lists))
    assert result.code == 0, result.err
    out = tmp_path / "out"
    assert set(pairs(out)) == {(str(user), str(item)) for user, item, _ in ROWS}
    mine = inter(out).query("user_id == '0'").sort_values("timestamp")
    assert mine["item_id"].tolist() == [str(item) for user, item, _ in ROWS if user == 0]


@pytest.mark.parametrize("header", [False, True])
def test_titles_become_names_and_features(tmp_path: Path, header: bool) -> None:
    options = ("--text-encoder", "tfidf", "--text-size", 3, "--fix", "drop-columns")
    result = convert(release(tmp_path / "m", header=header), *options)
    assert result.code == 0, result.err
    assert "2\tClip, no 2 kind2" in (tmp_path / "out" / "out.item").read_text()
    assert set(features(tmp_path / "out", "textual")) == {str(i) for i in range(1, ITEMS + 1)}


def test_malformed_lists_are_counted(tmp_path: Path) -> None:
    folder = release(tmp_path / "m", lists=True)
    path = folder / "MicroLens-50k_pairs.tsv"
    path.write_text(path.read_text() + "99\n")
    assert "1 lines are no user, tab, items, first line 9" in convert(folder).refusal
    assert convert(folder, "--fix", "drop-rows").code == 0
