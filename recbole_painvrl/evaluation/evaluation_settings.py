"""Which settings decide what is tested: runs that differ in one of them are not compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from recbole_painvrl.data.splits.files import READ_BY
from recbole_painvrl.evaluation.list_metrics import TAIL_RATIO
from recbole_painvrl.reading import is_number

_SETTINGS = (
    "eval_args",
    "threshold",
    "benchmark_filename",
    "val_interval",
    "user_inter_num_interval",
    "item_inter_num_interval",
    "filter_inter_by_user_or_item",
    "rm_dup_inter",
)
# Means are ranked after rounding to this many decimals; further ones make no difference.
_DECIMALS = 6


def evaluation_settings(value: Callable[[str], Any], protocol: str) -> dict[str, Any]:
    """Settings that decide, beside data and protocol, what is tested, ranked and counted.

    Args:
        value: a setting by name, None for one that the run does not have.
        protocol: name of the split.
    """
    # Sampled candidates follow `split_seed` with every protocol.
    names = [name for name in READ_BY if protocol in READ_BY[name] or name == "split_seed"]
    if protocol == "iid_ood" and value("split_environment_model") == "content":
        # The environments of the split come from the features in use.
        names += ["modalities", "missing_modality"]
    found = {name: value(name) for name in (*_SETTINGS, *names)}
    found |= _of_metrics(value)
    return {k: "".join(v.split()) if isinstance(v, str) else v for k, v in found.items()}


def _of_metrics(value: Callable[[str], Any]) -> dict[str, Any]:
    """Settings of the metrics, without those that make no difference."""
    metrics, decimals = value("metrics"), value("metric_decimal_place")
    names = metrics if isinstance(metrics, list) else [metrics]
    has_tail = any(str(name).lower() == "tailpercentage" for name in names)
    return {
        "tail_ratio": (value("tail_ratio") if has_tail else None) or TAIL_RATIO,
        "metric_decimal_place": min(decimals, _DECIMALS) if is_number(decimals) else decimals,
    }


def trains_on_its_split(metrics: Iterable[str]) -> bool:
    """Whether all models are trained on the training interactions of the split.

    With value metrics, such as AUC, those that sample negatives are trained on label 1 alone, so
    that other training interactions do not mean another split.

    Args:
        metrics: names of the metrics of a run.
    """
    from recbole.evaluator.register import metric_types
    from recbole.utils import EvaluatorType

    kinds = {metric_types.get(name.partition("@")[0].lower()) for name in metrics}
    return EvaluatorType.VALUE not in kinds
