"""A small faithful sample of every source's format."""

from __future__ import annotations

import gzip
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_support import done, features, inter, manifest, pairs, prepare, write

from dataset_prep.read.pickles import load_object_array
from dataset_prep.sources.mmgcn import _read_pairs, word_bag
from recbole_painvrl.errors import UserError

RATINGS = [("1", "31", "2.5", "1260759144"), ("1", "1029", "3.0", "1260759179")]
RATINGS += [("2", "31", "4.0", "835355493"), ("2", "10", "5.0", "835355494")]
EXPECTED = [row[:2] for row in RATINGS]
FILMS = {"31": "Dangerous Minds (1995)", "1029": "Dumbo (1941)", "10": "Alien: Director's Cut"}


def groupplens(folder: Path, size: str) -> Path:
    """A folder as unpacked, by the README of each size."""
    if size == "100K":
        write(folder / "u.data", "".join("\t".join(row) + "\n" for row in RATINGS))
        flags = "|".join("0" * 19)
        films = [f"{k}|{t}|01-Jan-1995||http://imdb|{flags}\n" for k, t in FILMS.items()]
        write(folder / "u.item", "".join(films).replace("Alien", "Aliène").encode("latin-1"))
    elif size in ("1M", "10M"):
        write(folder / "ratings.dat", "".join("::".join(row) + "\n" for row in RATINGS))
        films = [f"{key}::{title}::Drama|Comedy\n" for key, title in FILMS.items()]
        write(folder / "movies.dat", "".join(films).replace("Alien", "Aliène").encode("latin-1"))
    else:
        end = "\r\n" if size == "20M" else "\n"
        rows = [("userId", "movieId", "rating", "timestamp"), *RATINGS]
        write(folder / "ratings.csv", "".join(",".join(row) + end for row in rows))
        films = [f'{key},"{title}",Drama{end}' for key, title in FILMS.items()]
        write(folder / "movies.csv", f"movieId,title,genres{end}" + "".join(films))
        write(folder / "links.csv", f"movieId,imdbId,tmdbId{end}31,0112792,9909{end}")
    return folder


@pytest.mark.parametrize("size", ["100K", "10M", "20M", "32M"])
def test_grouplens_folders(tmp_path: Path, size: str) -> None:
    source = groupplens(tmp_path / f"ml-{size}", size)
    done("movielens", "--input", source, "--output", tmp_path / "ml")
    assert pairs(tmp_path / "ml") == EXPECTED
    assert inter(tmp_path / "ml")["timestamp"].tolist() == [row[3] for row in RATINGS]
    items = (tmp_path / "ml" / "ml.item").read_text(encoding="utf-8")
    assert "31\tDangerous Minds (1995)" in items
    assert "Ali" in items
    assert (size in ("100K", "1M", "10M")) == ("Aliène" in items)


def mmtf(folder: Path) -> Path:
    """MMTF-14K as released: CSV with a header, the film in the first column, NaN among values."""
    visual = folder / "Visual" / "AlexNet features" / "Avg" / "AlexNetFeatures - AVG - fc7.csv"
    write(visual, "movieId,f1,f2\n31,0.5,1\n1029,0.25,2\n10,0.75,NaN\n99999,1,1\n")
    aesthetic = (
        folder / "Visual" / "Aesthetic features" / "Med" / "AestheticFeatures - MED - All.csv"
    )
    write(aesthetic, "movieId,a1\n31,1\n1029,2\n10,3\n")
    acoustic = folder / "Audio" / "ivector features" / "IVec_splitItem_fold_1_gmm_512_tvDim_100.csv"
    write(acoustic, "Movie Id,iv1,iv2\n31,0.1,-1\n1029,0.2,-2\n10,0.3,-3\n")
    blocks = folder / "Audio" / "Block level features" / "Component6" / "BLF_SPECTRALfeat.csv"
    write(blocks, "movieId,b1\n31,3\n1029,2\n10,1\n")
    return folder


def test_mmtf_as_released(tmp_path: Path) -> None:
    source, trailers = groupplens(tmp_path / "ml-20m", "20M"), mmtf(tmp_path / "mmtf")
    arguments = ["movielens", "--input", source, "--mmtf", trailers, "--output", tmp_path / "ml"]
    assert "--fix drop-unrated,drop-rows" in prepare(*arguments).refusal
    done(*arguments, "--fix", "drop-unrated,drop-rows", "--all-modalities")
    assert features(tmp_path / "ml", "visual") == {"31": [0.5, 1.0], "1029": [0.25, 2.0]}
    assert list(features(tmp_path / "ml", "acoustic")) == ["31", "1029"]
    assert pairs(tmp_path / "ml") == EXPECTED[:3]
    found = manifest(tmp_path / "ml")
    assert found["modalities"]["acoustic"]["encoder"] == "MMTF-14K ivector-512-100"
    assert found["edition"] == "real features"


def test_mmtf_kinds(tmp_path: Path) -> None:
    source, trailers = groupplens(tmp_path / "ml-20m", "20M"), mmtf(tmp_path / "mmtf")
    arguments = ["movielens", "--input", source, "--mmtf", trailers, "--output", tmp_path / "ml"]
    done(*arguments, "--mmtf-visual", "avf-med", "--mmtf-audio", "blf-spectral")
    assert features(tmp_path / "ml", "visual")["10"] == [3.0]
    assert features(tmp_path / "ml", "acoustic")["10"] == [1.0]
    for option, kind in (("--mmtf-visual", "avf-sum"), ("--mmtf-audio", "blf-loud")):
        refused = prepare(*arguments, option, kind, "--force").refusal
        assert f"{option} {kind}" in refused
    assert "no such file" in prepare(*arguments, "--mmtf-visual", "avf-avg", "--force").refusal


def trailers(folder: Path) -> Path:
    """Prepared trailer data: int16 pairs, one feature row per line of a table, masks."""
    folder.mkdir()
    train = np.array([[1, 31], [1, 1029], [2, 31]], dtype=np.int16)
    np.savez(folder / "interactions.npz", train=train, test=np.array([[2, 1029]], dtype=np.int16))
    lines = [f"{key}\t{title}\tDrama\n" for key, title in FILMS.items()]
    write(folder / "feature_rows.tsv", "itemId\ttitle\tgenres\n" + "".join(lines))
    np.save(folder / "visual_avf_avg.npy", np.array([[1, 5], [2, 6], [3, 7]], dtype=np.float32))
    np.save(folder / "text_minilm.npy", np.array([[1, 2], [0, 0], [3, 4]], dtype=np.float16))
    np.save(folder / "has_text.npy", np.array([True, False, True]))
    return folder


def test_trailer_folder(tmp_path: Path) -> None:
    source = trailers(tmp_path / "in")
    arguments = ["movielens", "--input", source, "--output", tmp_path / "ml"]
    refused = prepare(*arguments)
    assert "without content" in refused.out
    done(*arguments, "--fix", "drop-unrated,drop-rows")
    assert pairs(tmp_path / "ml", "train") == [("1", "31"), ("1", "1029"), ("2", "31")]
    assert pairs(tmp_path / "ml", "test") == [("2", "1029")]
    assert features(tmp_path / "ml", "visual") == {"31": [1.0, 5.0], "1029": [2.0, 6.0]}
    assert features(tmp_path / "ml", "textual") == {"31": [1.0, 2.0]}
    for mask in (np.ones((3, 1)), np.ones(2), np.array(["a", "b", "c"])):
        np.save(source / "has_text.npy", mask)
        assert "has_text.npy: is " in prepare(*arguments, "--force").refusal
    (source / "has_text.npy").unlink()
    write(source / "feature_rows.tsv", "itemId\ttitle\n31\tx\n")
    assert "3 rows where feature_rows.tsv lists 1" in prepare(*arguments, "--force").refusal


def mmgcn(folder: Path) -> Path:
    """3 users, items 3..6; lists of val and test are pickled, as in the releases."""
    folder.mkdir()
    np.save(folder / "train.npy", np.array([[0, 3], [0, 4], [1, 5], [2, 6]]))
    for name, lists in (("val_full", [[0, 5], [1], [2, 3]]), ("test_full", [[1, 3, 4]])):
        array = np.empty(len(lists), dtype=object)
        array[:] = lists
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    users: Any = {0: {3, 4}, 1: {5}, 2: {6}}
    np.save(folder / "user_item_dict.npy", users, allow_pickle=True)
    np.save(folder / "FeatureVideo_normal.npy", np.array([[1.0, 0], [2, 1], [3, 5], [4, 7]]))
    torch.save(torch.tensor([[1.0, 4], [2, 3], [3, 2], [5, 1]]), folder / "feat_a.pt")
    bag = torch.tensor([[0, 0, 1, 1, 2, 3, 3], [0, 1, 0, 2, 2, 1, 3]])
    torch.save(bag, folder / "feat_t.pt")
    return folder


def test_mmgcn(tmp_path: Path) -> None:
    source = mmgcn(tmp_path / "movielens")
    result = done("mmgcn", "--input", source, "--output", tmp_path / "ml")
    assert pairs(tmp_path / "ml", "train") == [("0", "0"), ("0", "1"), ("1", "2"), ("2", "3")]
    assert pairs(tmp_path / "ml", "valid") == [("0", "2"), ("2", "0")]
    assert pairs(tmp_path / "ml", "test") == [("1", "0"), ("1", "1")]
    assert features(tmp_path / "ml", "visual")["3"] == [4.0, 7.0]
    assert features(tmp_path / "ml", "acoustic")["0"] == [1.0, 4.0]
    assert len(features(tmp_path / "ml", "textual")) == 4
    assert "1,239,508" in result.out
    assert "difference" in result.out


def test_mmgcn_does_not_guess_the_first_item(tmp_path: Path) -> None:
    """User 3 and item 4, the first, have no interaction: the rows begin with item 4."""
    source = tmp_path / "in"
    source.mkdir()
    np.save(source / "train.npy", np.array([[0, 5], [1, 6], [2, 7], [2, 5]]))
    np.save(source / "val_full.npy", np.array([[1, 5]]))
    np.save(source / "test_full.npy", np.array([[0, 6]]))
    np.save(source / "FeatureVideo_normal.npy", np.array([[1.0, 0], [2, 1], [3, 5], [4, 7]]))
    arguments = ["mmgcn", "--input", source, "--output", tmp_path / "ml"]
    assert "users end at 2 and items start at 5" in prepare(*arguments).refusal
    done(*arguments, "--users", "4", "--fix", "drop-unrated")
    assert features(tmp_path / "ml", "visual")["1"] == [2.0, 1.0]


def test_mmgcn_word_bags_in_numpy_files_and_two_candidates(tmp_path: Path) -> None:
    source = mmgcn(tmp_path / "movielens")
    arguments = ["mmgcn", "--input", source, "--output", tmp_path / "ml"]
    done(*arguments)
    expected = features(tmp_path / "ml", "textual")
    np.save(source / "feat_t.npy", torch.load(source / "feat_t.pt", weights_only=True).numpy())
    (source / "feat_t.pt").unlink()
    np.save(source / "FeatureVideo.npy", np.array([[5.0, 1], [2, 1], [3, 5], [4, 7]]))
    result = done(*arguments, "--force")
    assert features(tmp_path / "ml", "textual") == expected
    assert features(tmp_path / "ml", "visual")["0"] == [5.0, 1.0]
    assert "FeatureVideo.npy is used; move it away to use FeatureVideo_normal.npy" in result.out


def test_mmgcn_refuses_lists_with_negatives_and_no_lists(tmp_path: Path) -> None:
    source = mmgcn(tmp_path / "in")
    arguments = ["mmgcn", "--input", source, "--output", tmp_path / "ml"]
    lists = np.empty(2, dtype=object)
    lists[:] = [[0, *range(2, 1003)], [1, 2]]
    for negatives in (np.arange(1002)[None, :], lists):
        np.save(source / "test_full.npy", negatives, allow_pickle=True)
        assert "sampled negatives" in prepare(*arguments).refusal
    for path in source.glob("*_full.npy"):
        path.unlink()
    np.save(source / "train.npy", np.zeros((0, 2), dtype=np.int64))
    assert "hold no interaction" in prepare(*arguments).refusal
    (source / "train.npy").unlink()
    assert "no train.npy" in prepare(*arguments).refusal


def test_a_word_bag_of_a_huge_number_of_items_is_refused(tmp_path: Path) -> None:
    """Its matrix would have a row for each of them."""
    source = tmp_path / "in"
    source.mkdir()
    np.save(source / "train.npy", np.array([[0, 2], [1, 2**40]]))
    np.save(source / "feat_t.npy", np.array([[0, 1], [3, 4]]))
    arguments = ["mmgcn", "--input", source, "--output", tmp_path / "ml"]
    assert "feat_t.npy: as a bag of words" in prepare(*arguments).refusal


def test_word_bags_tell_items_apart() -> None:
    """Items and words are not exchanged: there are four items and seven word numbers."""
    rows = word_bag(np.array([[0, 0, 1, 1, 2], [3, 4, 3, 4, 6]]), n_items=4, width=2)
    assert rows.shape == (4, 2)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert abs(rows[0] @ rows[2]) < 1e-5
    assert not rows[3].any()


class Malice:
    """Would run a command when unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("this must not run",))


def test_a_pickle_that_names_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.empty(1, dtype=object)
    array[0] = Malice()
    np.save(tmp_path / "e.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=r"builtins\.print, which is not plain data"):
        load_object_array(tmp_path / "e.npy")
    torch.save(Malice(), tmp_path / "feat_v.pt")
    source = mmgcn(tmp_path / "in")
    (tmp_path / "feat_v.pt").rename(source / "feat_v.pt")
    (source / "FeatureVideo_normal.npy").unlink()
    refused = prepare("mmgcn", "--input", source, "--output", tmp_path / "ml").refusal
    assert "feat_v.pt: holds no plain tensor" in refused
    assert "must not run" not in capsys.readouterr().out


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_damaged_pickle_is_refused_or_plain(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """One changed byte, in each protocol: numbers, or one line that names the file."""
    rng = np.random.default_rng(seed)
    lists = np.empty(3, dtype=object)
    lists[:] = [[0, 5], np.array([1, 4]), [np.int64(2), 3, 4]]
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (3,)}
    np.lib.format.write_array_header_1_0(stream, header)
    start = stream.tell()
    pickle.dump(lists, stream, protocol=int(rng.integers(0, 6)))
    content = bytearray(stream.getvalue())
    path = tmp_path_factory.mktemp("damaged") / "val_full.npy"
    write(path, bytes(content))
    assert _read_pairs(path).tolist() == [[0, 5], [1, 4], [2, 3], [2, 4]]
    content[int(rng.integers(start, len(content)))] ^= int(rng.integers(1, 256))
    write(path, bytes(content))
    try:
        assert _read_pairs(path).dtype == np.int64
    except UserError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


def test_ultragcn_lists(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.txt", "0 5 7\n1 7\n2\n")
    write(tmp_path / "in" / "test.txt", "0 9\n1 5 x\n")
    arguments = ["ultragcn", "--input", tmp_path / "in", "--output", tmp_path / "e"]
    assert "test.txt: 1 lines are not numbers" in prepare(*arguments).refusal
    assert "1 users without items" in done(*arguments, "--fix", "drop-rows").out
    assert pairs(tmp_path / "e", "train") == [("0", "5"), ("0", "7"), ("1", "7")]
    assert pairs(tmp_path / "e", "test") == [("0", "9")]
    (tmp_path / "in" / "test.txt").unlink()
    assert "no test.txt" in done(*arguments, "--force").out
    assert pairs(tmp_path / "e") == [("0", "5"), ("0", "7"), ("1", "7")]
    assert [path.name for path in (tmp_path / "e").glob("*.inter")] == ["e.inter"]
    file = tmp_path / "in" / "train.txt"
    done("ultragcn", "--input", file, "--output", tmp_path / "f")
    assert pairs(tmp_path / "f") == [("0", "5"), ("0", "7"), ("1", "7")]
    packed = write(tmp_path / "p.txt.gz", gzip.compress(file.read_bytes(), mtime=0))
    done("ultragcn", "--input", packed, "--output", tmp_path / "p")
    assert pairs(tmp_path / "p") == pairs(tmp_path / "f")
    other = write(tmp_path / "o.txt", b"0 5 \xff\n")
    assert "--encoding" in prepare("ultragcn", "--input", other, "--output", tmp_path / "g").refusal
    refusal = prepare("table", "--input", file, "--output", tmp_path / "g").refusal
    assert "--input" in refusal and "ultragcn" in refusal
    file.unlink()
    assert "needs train.txt" in prepare(*arguments, "--force").refusal
