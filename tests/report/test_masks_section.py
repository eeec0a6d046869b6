"""The masks among which validation chose, and the name of the one that the final model has."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from report_support import Report


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
