"""What kind of shift the OOD test has."""

from __future__ import annotations

from typing import Any

from recbole_painvrl.evaluation.comparison import part_name
from recbole_painvrl.reading import is_number
from recbole_painvrl.report.groups import Block
from recbole_painvrl.report.read import mapping
from recbole_painvrl.report.render import metric_name, number_or_dash


def shift(block: Block) -> dict[str, Any] | None:
    """Sentences and tables of the split, which all runs of a block share; None without any."""
    found = block.result.shift
    if not found.get("sentences"):
        return None
    measures = {
        "which items": found.get("items"),
        "popularity": found.get("popularity"),
        **mapping(found.get("modalities")),
    }
    popularity = mapping(found.get("pop"))
    metrics = list(dict.fromkeys(name for one in popularity.values() for name in mapping(one)))
    return {
        "sentences": [str(sentence) for sentence in found["sentences"]],
        "measures": [
            [name, f"{one['auc']:.3f}", "< 0.001" if one["p"] < 0.001 else f"{one['p']:.3f}"]
            for name, one in measures.items()
            if isinstance(one, dict) and is_number(one.get("auc")) and is_number(one.get("p"))
        ],
        "head": ["metric", *map(part_name, popularity)],
        "figures": [
            [
                metric_name(metric),
                *(number_or_dash(mapping(one).get(metric), ".4f") for one in popularity.values()),
            ]
            for metric in metrics
        ],
    }
