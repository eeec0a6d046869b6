"""``extract`` without interactions: a folder of features that other sources read."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from prep_support import done, features, prepare, write
from scipy.io import wavfile

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
    result = converted(tmp_path, "--fix", "drop-unrated")
    assert result.code == 0, result.err
    assert "1 of 4 rows are of items without interaction, first 'i4'" in result.out
    modality = json.loads((tmp_path / "out" / "manifest.json").read_text())["modalities"]["plot"]
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


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    write(extracted(tmp_path) / "plot.encoder.json", '{"encoder": "x"}')
    assert "no record of an encoder" in converted(tmp_path).refusal


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


class _Network(torch.nn.Module):
    """Stands in for ResNet50: pixels' mean per colour, 2,048 times, before ``fc``."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.fc: torch.nn.Module = torch.nn.Linear(2048, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        pooled = inputs.mean(dim=(2, 3)).repeat(1, 683)[:, :2048]
        return self.fc(pooled)  # type: ignore[no-any-return]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures, one damaged, and a torchvision whose ResNet50 is known."""
    module = types.ModuleType("torchvision")
    module.__version__ = "0.0"  # type: ignore[attr-defined]
    module.models = types.SimpleNamespace(resnet50=_Network)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", module)
    folder = tmp_path / "img"
    folder.mkdir()
    for place, name in enumerate(["i1.png", "i1.jpg", "i2.JPG", "i3.png"]):
        Image.new("RGB", (30, 400), (60 * place, 0, 0)).save(folder / name)
    write(folder / "i4.png", b"no picture")
    torch.save(_Network().state_dict(), tmp_path / "w.pth")
    return folder


def test_resnet50_runs_with_given_weights(tmp_path: Path, pictures: Path) -> None:
    options = ("extract", "--images", f"poster={pictures}", "--image-encoder", "resnet50")
    options += ("--image-weights", tmp_path / "w.pth", "--output", tmp_path / "f")
    result = done(*options, "--fix", "drop-rows")
    assert "1 pictures cannot be read, first i4.png" in result.out
    assert "1 more files of the same item" in result.out
    matrix = np.load(tmp_path / "f" / "poster.npy")
    assert matrix.shape == (3, 2048)
    # The .jpg of i1 (red 60) comes before its .png; ImageNet's mean and deviation of red.
    red = [(60 / 255 - 0.485) / 0.229, (120 / 255 - 0.485) / 0.229, (180 / 255 - 0.485) / 0.229]
    np.testing.assert_allclose(matrix[:, 0], red, atol=0.03)
    record = json.loads((tmp_path / "f" / "poster.encoder.json").read_text())
    assert record["encoder"] == "ResNet50 (torchvision 0.0, w.pth)"
    assert len(record["notes"]["weights_sha256"]) == 64


def test_wrong_weights_are_named(tmp_path: Path, pictures: Path) -> None:
    options = ("extract", "--images", f"poster={pictures}", "--image-encoder", "resnet50")
    options += ("--output", tmp_path / "f", "--image-weights")
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth")
    text = write(tmp_path / "text.pth", "no weights")
    for path, word in (
        (tmp_path / "none.pth", "no such file"),
        (text, "not a file of plain weights"),
        (tmp_path / "other.pth", "not the weights of this network"),
    ):
        refusal = prepare(*options, path).refusal
        assert word in refusal
        assert "weights_only" not in refusal
