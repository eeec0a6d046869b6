"""Pictures become features by ResNet50 with given weights."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from prep_support import done, prepare, write

from dataset_prep.encoders.image import _pixels


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
    # With a short side of 256 pixels, this would have 3 GB.
    Image.new("RGB", (1, 10_000)).save(folder / "i5.png")
    torch.save(_Network().state_dict(), tmp_path / "w.pth")
    return folder


def test_resnet50_runs_with_given_weights(tmp_path: Path, pictures: Path) -> None:
    options = ("extract", "--images", f"poster={pictures}", "--image-encoder", "resnet50")
    options += ("--image-weights", tmp_path / "w.pth", "--output", tmp_path / "f")
    result = done(*options, "--fix", "drop-rows")
    assert "2 pictures cannot be read, first i4.png" in result.out
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


def test_pictures_of_16_bit_have_the_pixels_of_8_bit(tmp_path: Path) -> None:
    levels = np.linspace(0, 255, 256 * 256).reshape(256, 256).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "8.png")
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    few, many = (_pixels(tmp_path / name) for name in ("8.png", "16.png"))
    np.testing.assert_array_equal(np.asarray(few), np.asarray(many))
