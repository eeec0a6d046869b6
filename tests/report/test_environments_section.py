"""The environments found, beside the truth and its controls."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from report_support import Reported


def test_the_agreement_with_the_truth_has_its_controls(page: Reported, run_folders: Path) -> None:
    table = page.text.partition("How the environments were found</span>")[2]
    text = html.unescape(re.sub(r"<[^>]+>", " ", table.partition("</table>")[0]))
    assert "truth shuffled" in text and "a classifier that knows the truth" in text
    for name in ("painvrl-1", "painvrl-2", "invrl-1"):
        planted = json.loads((run_folders / name / "result.json").read_text())["planted"]
        for key in ("environment_ari_shuffled", "environment_ari_supervised"):
            assert f" {planted[key]:.3f} " in text
