"""The environments found, beside the truth and its controls."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from report_support import Report


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
