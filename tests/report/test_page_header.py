"""What a page says of a dataset: its split, its method, which section is first."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import pytest
from report_support import Report


def changed(folder: Path, place: Path, **values: str) -> Path:
    """A copy of a run with other values in its result."""
    other = Path(shutil.copytree(folder, place))
    result = json.loads((other / "result.json").read_text())
    (other / "result.json").write_text(json.dumps(result | values))
    return other


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("files", "by the dataset's files"),
        ("popularity", "OOD tests popular and rare items alike"),
        ("time", "OOD is the latest part"),
        ("one of its own", "one of its own"),
    ],
)
def test_the_split_is_described(
    protocol: str, words: str, run_folders: Path, tmp_path: Path, report: Report
) -> None:
    """By its protocol, with the interactions of every part."""
    run = changed(run_folders / "painvrl-1", tmp_path / "run", protocol=protocol)
    text = html.unescape(report(tmp_path / "x.html", run).text)
    sizes = json.loads((run / "result.json").read_text())["split"]["sizes"]
    (split,) = (line for line in text.splitlines() if "<p>Variant of the data" in line)
    assert f"Split: {words}" in split
    assert all(f" {size:,}" in split for size in sizes.values())
    # A run alone has nothing to compare its metrics with.
    assert text.index(">What the runs found</h3>") < text.index(">Results</h3>")


def test_a_method_need_not_have_run_on_every_dataset(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    """It is judged where it has, and refused only where it is nowhere."""
    others = [
        changed(run_folders / name, tmp_path / name, dataset="elsewhere")
        for name in ("ultragcn-1", "ultragcn-ids")
    ]
    given = (run_folders / "painvrl-1", run_folders / "invrl-1", *others)
    found = report(tmp_path / "x.html", *given, "--method=InvRL")
    assert found.code == 0, found.err
    assert "4 complete of 4 runs" in found.text
    assert "There is no run of InvRL here" in found.text
    refused = report(tmp_path / "y.html", *given, "--method=VBPR")
    assert refused.code == 2 and "expected one of PaInvRL, InvRL, " in refused.err
