"""What a run says before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.data.splits.base import SPLITS, VALID
from recbole_painvrl.specs import spec_of

if TYPE_CHECKING:
    from torch import Tensor

    from recbole_painvrl.data.dataset import ModalityDataset


def edition(dataset: ModalityDataset) -> str:
    """What the dataset's manifest says about its origin."""
    return str(dataset.manifest.get("edition", "as found"))


def opening(config: ConfigLike, dataset: ModalityDataset, folder: Path) -> str:
    """Sizes, modalities, protocol and variant of the data, and where the run is written.

    Args:
        config: the run's configuration.
        dataset: the whole dataset, after its split.
        folder: the run folder.
    """
    found = dataset.split_diagnostics
    sizes = ", ".join(f"{part} {found['sizes'][part]}" for part in SPLITS if part in found["sizes"])
    lines = [
        f"{config['model']} on {config['dataset']}: {dataset.user_num - 1} users, "
        f"{dataset.item_num - 1} items, {_modalities(config, dataset)}",
        f"protocol {dataset.protocol}: {sizes}",
    ]
    if dataset.features.mask is not None:
        lines.insert(1, f"feature mask of {config['feature_mask']}: {_mask(dataset.features.mask)}")
    if VALID not in found["sizes"]:
        lines.append(f"no validation split: all {config['epochs']} epochs, the last is tested")
    elif "valid" in found:
        lines.append(f"validation: {found['valid']}")
    for kept, text in (("cold_dropped", "left out, since"), ("cold_kept", "in the tests although")):
        cold = {part: count for part, count in found.get(kept, {}).items() if count}
        if cold:
            counts = ", ".join(f"{part} {count}" for part, count in cold.items())
            lines.append(f"{text} their user or item is not in training: {counts}")
    lines += [f"variant: {edition(dataset)}", f"run folder: {folder}"]
    return "\n".join(lines)


def _modalities(config: ConfigLike, dataset: ModalityDataset) -> str:
    slices = dataset.features.slices
    if slices and spec_of(config["model"]) is None:
        return f"modalities: not used by {config['model']}"
    widths = [f"{name} {columns.stop - columns.start}" for name, columns in slices.items()]
    return f"modalities: {', '.join(widths) or 'none'}"


def _mask(mask: Tensor) -> str:
    """What a given mask does to the feature columns."""
    if not bool(mask.any()):
        return f"all {len(mask)} columns dropped, so the model has no features"
    if bool((mask == 1).all()):
        return f"all {len(mask)} columns kept, so it changes nothing"
    dropped = int((mask == 0).sum())
    return f"{dropped} of {len(mask)} columns dropped, mean weight {float(mask.mean()):.3f}"
