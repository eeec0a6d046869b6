"""The masks among which validation chose, and the name of the one that the final model has."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_support import Report, toy_run

from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.plots.style import Figures
from recbole_painvrl.report.sections import masks


def rows(text: str, caption: str) -> list[list[str]]:
    """Cells of a table, as text."""
    table = text.partition(f"{caption}</span>")[2].partition("</table>")[0]
    lines = [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.split("</t[hd]>", row)]
        for row in table.split("</tr>")
    ]
    return [line[:-1] for line in lines if len(line) > 1]


@pytest.fixture
def page_of(run_folders: Path, tmp_path: Path, report: Report) -> Any:
    def make(mask: dict[str, Any]) -> str:
        folder = tmp_path / "run"
        shutil.copytree(run_folders / "painvrl-1", folder)
        result = json.loads((folder / "result.json").read_text())
        result["mask"] |= mask
        (folder / "result.json").write_text(json.dumps(result))
        found = report(tmp_path / "x.html", folder)
        assert found.code == 0, found.err
        return found.text

    return make


@pytest.mark.parametrize(
    ("used", "words"),
    [("zeros", "no features"), ("ones", "all features"), ("binary", "cut mask")],
)
def test_the_final_model_is_named_by_what_it_has(page_of: Any, used: str, words: str) -> None:
    text = page_of({"used": used})
    names = [row[0] for row in rows(text, "Final model and oracle mask")[1:]]
    assert names == [f"PaInvRL, final model ({words})", "PaInvRL, oracle mask"]
    assert "Masks among which validation chose" not in text


def test_the_candidates_are_shown_with_their_validation_points(page_of: Any) -> None:
    points = {
        "ones": {"valid": {"ndcg@10": 0.25}, "ood_valid": {"ndcg@10": 0.125}},
        "soft": {"valid": {"ndcg@10": 0.375}, "ood_valid": {"ndcg@10": 0.0625}},
        "binary": {"valid": {"ndcg@10": 0.5}, "ood_valid": {"ndcg@10": 0.75}},
        "zeros": {"valid": {"ndcg@10": 0.0}, "ood_valid": {"ndcg@10": None}},
    }
    text = page_of({"used": "soft", "candidates": points})
    assert rows(text, "Masks among which validation chose") == [
        ["mask", "final model", "NDCG@10, validation", "NDCG@10, OOD validation"],
        ["PaInvRL, seed 1: all features", "not taken", "0.2500", "0.1250"],
        ["PaInvRL, seed 1: soft mask", "taken", "0.3750", "0.0625"],
        ["PaInvRL, seed 1: cut mask", "not taken", "0.5000", "0.7500"],
        ["PaInvRL, seed 1: no features", "not taken", "0.0000", "–"],
    ]


def test_without_ood_validation_there_is_no_column_of_it(page_of: Any) -> None:
    points = {name: {"valid": {"ndcg@10": 0.25}} for name in ("ones", "soft", "binary", "zeros")}
    text = page_of({"used": "ones", "candidates": {**points, "damaged": 3}})
    table = rows(text, "Masks among which validation chose")
    assert {len(row) for row in table} == {3}
    assert table[-1] == ["PaInvRL, seed 1: damaged", "not taken", "–"]


def test_the_form_and_the_oracle_by_hand() -> None:
    said = {"form": "auto", "used": "binary", "dropped": {"overall": 3, "visual": 3},
            "reversed_below_cut": 1, "reversed_above_cut": 2}  # fmt: skip
    runs = [
        toy_run(
            "A", seed, {"ood": 0.2 + 0.1 * seed, "valid": 0.1}, mask=said,
            planted={"oracle": {"ood": {"ndcg@10": 0.6 + 0.2 * seed}}},
        )
        for seed in (0, 1)
    ]  # fmt: skip
    (block,) = blocks(runs)
    (group,) = block.groups
    assert masks._form(group, runs[1]) == [["A, seed 1", "auto", "binary", "visual 3", "1", "2"]]
    assert masks._oracle(block, [group])["oracle"] == [
        ["A, final model (cut mask)", "0.2500"], ["A, oracle mask", "0.7000"],
    ]  # fmt: skip


def test_invariant_columns_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Figures, "write", lambda self, name, figure, alt: drawn.append(figure))
    truth = np.array([False, True, False, True])
    mask = {"A": np.array([0.1, 0.7, 0.2, 0.8])}
    masks._strips(Figures(tmp_path, "b1", [("A", "A")]), "visual", mask, truth)
    picture = drawn[0].axes[0].images[0].get_array()
    np.testing.assert_array_equal(picture, [[1, 1, 0, 0], [0.7, 0.8, 0.1, 0.2]])
