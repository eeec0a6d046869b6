"""The table that a run prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_painvrl.data.splits.iid_ood import shift_words

_NAMES = {"valid": "valid", "test": "test", "iid": "test (IID)", "ood": "test (OOD)"}


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Rows are the evaluated parts, columns the metrics."""
    columns = list(dict.fromkeys(name for part in metrics.values() for name in part))
    width = max([12, *(len(name) for name in columns)]) + 2
    label = max(len(part_name(part)) for part in metrics) + 2
    lines = ["".ljust(label) + "".join(name.rjust(width) for name in columns)]
    for part, values in metrics.items():
        cells = (f"{values[n]:.4f}" if n in values else "-" for n in columns)
        lines.append(part_name(part).ljust(label) + "".join(cell.rjust(width) for cell in cells))
    return "\n".join(lines)


def part_name(part: str) -> str:
    """How a person reads the name of an evaluated part."""
    return _NAMES.get(part, part)


def run_summary(result: Mapping[str, Any]) -> str:
    """Everything a person wants to read after a run."""
    title = f"{result['model']} on {result['dataset']}"
    lines = [
        "",
        f"{title} · protocol {result['protocol']} · seed {result['seed']}",
        f"variant: {result['edition']}",
        metrics_table(result["metrics"]),
    ]
    if result["split"].get("shift") is not None:
        lines.append(f"shift by protocol: {shift_words(result['split'])}")
    lines += result["shift"]["sentences"]
    if result.get("mask"):
        lines.append(f"form of the mask: {mask_sentence(result['mask'])}")
    planted = result.get("planted")
    if planted:
        lines += ["", *planted_lines(planted)]
    if "answer" in result:
        lines += ["", *result["answer"]["lines"]]
    lines.append(f"\nrun folder: {result['run_folder']}")
    return "\n".join(lines)


def mask_sentence(mask: Mapping[str, Any]) -> str:
    """In which form the mask entered the final model, and why.

    Args:
        mask: ``mask`` of ``result.json``.
    """
    columns, dropped = mask["columns"], mask["dropped"]["overall"]
    sentence = {
        "soft": f"soft, every one of the {columns} columns has its learnt weight",
        "binary": f"cut in two, {dropped} of {columns} columns dropped",
        "ones": f"all {columns} columns kept",
        "zeros": f"no features, all {columns} columns dropped",
    }[mask["used"]]
    found = mask.get("reversed_below_cut")
    if found and mask["used"] == "binary":
        return f"{sentence} ({found} of them reversed between environments)"
    if mask.get("form") == "binary" and mask["used"] == "ones":
        sentence += " (the mask of no modality forms two groups)"
    if "candidates" in mask:
        words = {"ones": "all features", "soft": "the soft mask", "binary": "the cut mask"}
        others = " and ".join(
            words.get(one, "no features") for one in mask["candidates"] if one != mask["used"]
        )
        sentence += f", better on validation than {others}"
    if found is not None and "binary" not in mask.get("candidates", ()):
        sentence += " (no column found spurious)"
    return sentence


def planted_lines(planted: Mapping[str, Any]) -> list[str]:
    """What the planted truth says about this run."""
    lines = []
    if "mask_auc" in planted:
        mask = planted["mask"]["overall"]
        lines.append(
            f"planted columns: mask AUC {planted['mask_auc']['overall']:.3f} "
            f"(shuffled truth {planted['mask_auc_shuffled']['overall']:.3f}), "
            f"mean mask {mask['mean_invariant']:.3f} invariant, "
            f"{mask['mean_spurious']:.3f} spurious"
        )
    if planted.get("environment_ari") is not None:
        lines.append(
            f"planted environments: adjusted Rand {planted['environment_ari']:.3f} "
            f"(shuffled truth {planted['environment_ari_shuffled']:.3f}, "
            f"supervised on item features {planted['environment_ari_supervised']:.3f})"
        )
    if "oracle" in planted:
        lines += ["with the oracle mask:", metrics_table(planted["oracle"])]
    return lines
