"""Which settings decide what is tested: runs that differ in one of them are not compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SETTINGS = (
    "eval_args", "threshold", "split_seed", "split_variant", "split_environment_model",
    "split_epochs", "split_rounds", "ood_fraction", "validation_share", "benchmark_filename",
    "val_interval", "user_inter_num_interval", "item_inter_num_interval",
    "filter_inter_by_user_or_item", "rm_dup_inter",
)  # fmt: skip


def test_set_settings(value: Callable[[str], Any]) -> dict[str, Any]:
    """Settings that decide, beside data and protocol, what is tested and what is ranked.

    Args:
        value: a setting by name, None for one that the run does not have.
    """
    names = list(_SETTINGS)
    if value("split_environment_model") == "content":
        # The environments of the split come from the features in use.
        names.append("modalities")
    return {name: value(name) for name in names}
