"""The environments found, beside the truth and its controls."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_support import Report, toy_run

from recbole_painvrl.report.sections.environments import (
    _rows,
    interactions,
    one_environment_users,
)


def test_the_agreement_with_the_truth_has_its_controls(
    run_folders: Path, report: Report, tmp_path: Path
) -> None:
    names = ("painvrl-1", "painvrl-2", "invrl-1")
    page = report(tmp_path / "page.html", *(run_folders / name for name in names))
    table = page.text.partition("How the environments were found</span>")[2]
    text = html.unescape(re.sub(r"<[^>]+>", " ", table.partition("</table>")[0]))
    assert "truth shuffled" in text and "a classifier that knows the truth" in text
    for name in names:
        planted = json.loads((run_folders / name / "result.json").read_text())["planted"]
        for key in ("environment_ari_shuffled", "environment_ari_supervised"):
            assert f" {planted[key]:.3f} " in text


def test_an_environment_by_hand() -> None:
    pairs = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("a", "z"), ("b", "z")]
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    found = {"environment": np.array([0] * 4 + [1] * 2), "user_id": users, "item_id": items}
    frame = interactions(replace(toy_run("A", 0, {"ood": 0.5}), environments=found))
    # Size, popularity of the items, interactions of the users, fraction with the item x.
    assert _rows("A", frame) == [
        ["A, 0", "4 (67%)", "2.5", "2.2", "75.0%"],
        ["A, 1", "2 (33%)", "2.0", "2.5", "0.0%"],
    ]
    # User c alone.
    assert one_environment_users(frame) == pytest.approx(1 / 3)
