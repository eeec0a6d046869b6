"""What benchmarks.mask_form makes of the trainings that it has found."""

from __future__ import annotations

from typing import Any

from benchmarks.mask_form import averaged, rows


def _trained(**ndcg: float) -> dict[str, Any]:
    return {"metrics": {name: {"ndcg@10": value} for name, value in ndcg.items()}}


def test_means_over_trainings_and_the_pooled_share_of_the_gap() -> None:
    found = []
    for ones, binary, oracle in ((0.1, 0.2, 0.3), (0.1, 0.4, 0.3)):
        masks = {"ones": ones, "binary": binary, "oracle": oracle}
        first = {name: _trained(valid=0.5, ood=value) for name, value in masks.items()}
        second = {f"{name} 1": _trained(valid=0.7, ood=value) for name, value in masks.items()}
        found.append({"auto": [], "masks": first | second})
    # One of two trainings is no mean of two.
    for one in found:
        one["masks"]["learnt"] = _trained(valid=0.5, ood=0.5)
    del found[1]["masks"]["binary 1"]
    first, second = (averaged(one, 2) for one in found)
    assert set(first["masks"]) == {"ones", "binary", "oracle"}
    assert first["masks"]["ones"]["metrics"]["valid"]["ndcg@10"] == 0.6
    assert set(second["masks"]) == {"ones", "oracle"}
    shown = {label: cells[-1] for label, *cells in rows([first, second], ("valid", "ood"))}
    assert shown == {"ones": "0%", "binary, 1 of 2": "50%", "oracle": "100%"}
