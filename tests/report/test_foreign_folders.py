"""Untrusted run folders: texts are escaped, damaged files refused, incomplete runs listed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from report_support import Report
from support import edited
from test_page import Reader

from recbole_painvrl.errors import UserError
from recbole_painvrl.report.read import Result, read_run
from recbole_painvrl.report.tables import Number, Table, TableRow, write_table_files

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture
def copy(run_folders: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(run_folders / "painvrl-1", folder)
    return folder


def test_every_text_of_a_run_is_escaped(copy: Path, tmp_path: Path, report: Report) -> None:
    with edited(copy / "result.json") as result:
        for key in ("model", "dataset", "edition", "protocol", "device", "valid_metric"):
            result[key] = EVIL + key
        result["metrics"] = {EVIL: {EVIL: 0.5, f"{EVIL}@5": 0.25, f"{EVIL}@10": 0.5}}
        result["split"] = {"shift": EVIL, "sizes": {EVIL: 1}, "cold_dropped": {EVIL: 2}}
        result["versions"] = {EVIL: EVIL}
        result["command"] = [EVIL, f"$(touch x) {EVIL}"]
        result["modalities"] = {EVIL: {"items_without_row": 3}}
        for stage in result["stages"]:
            stage["name"] += EVIL

    with edited(copy / "config.yaml") as config:
        config["preset"] = {"value": EVIL, "from": EVIL}
    with np.load(copy / "mask.npz") as archive:
        arrays = {name.replace("visual", "<b>$x"): archive[name] for name in archive.files}
    np.savez(copy / "mask.npz", **arrays)
    folder = copy.rename(tmp_path / 'javascript:alert(1)"><script>')
    found = report(tmp_path / "x.html", folder)
    assert found.code == 0, found.err
    reader = Reader(found.text)
    assert not {"script", "img"} & set(reader.tags)
    assert not reader.handlers
    assert all(a.startswith(("./", "#", "data:image/png;base64,")) for a in reader.addresses)
    assert "&lt;script&gt;" in found.text


def test_names_in_a_figure_are_not_markup(tmp_path: Path) -> None:
    style = pytest.importorskip("recbole_painvrl.report.plots.style")
    label = f"{EVIL} --> $x"
    with style.house_style():
        sketch = style.Figures(tmp_path / "figures", "b1", [(label, label)]).sketch()
        sketch.line(label, [0, 1], [0, 1])
        title = style.wrap(label)
        drawing = sketch.finish(f"../{label}", label, title, title, title)
    reader = Reader(f"<svg>{drawing.body}</svg>")
    assert not {"script", "img"} & set(reader.tags)
    assert not reader.handlers and "alert(" not in drawing.body
    assert {path.parent for path in tmp_path.rglob("*.p*")} == {tmp_path / "figures"}


def test_every_text_of_a_table_is_escaped(tmp_path: Path) -> None:
    folder, column = tmp_path / 'x"><script>', (EVIL, EVIL)
    row = TableRow(EVIL, {0: folder}, [f"seed 1 failed: {EVIL}"], {column: Number([0.5])})
    lost = TableRow(EVIL, {}, [f"seed 1 failed: {EVIL}"], {})
    table = Table(EVIL, EVIL, None, [column], [row, lost], [], [EVIL], [EVIL])
    reader = Reader(write_table_files(table, tmp_path)["table.html"])
    assert not {"script", "img"} & set(reader.tags)
    assert not reader.handlers
    assert EVIL in "".join(reader.words)


def test_links_of_a_table_lead_to_folders_with_any_name(tmp_path: Path) -> None:
    row = TableRow("A", {0: tmp_path / "cells" / "a#b%20?c"}, [], {})
    table = Table("title", "A", None, [], [row], [])
    files = write_table_files(table, tmp_path)
    for name in ("table.html", "table.md"):
        assert "cells/a%23b%2520%3Fc" in files[name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b"{"),
        ("result.json", b'{"model": "x"}'),
        ("result.json", b'{"model": "x", "dataset": "d", "protocol": "p", "seed": 1, '
                        b'"metrics": {"ood": {"ndcg@10": NaN}}}'),
        ("config.yaml", b"- 1"),
        ("config.yaml", b"!!python/object/apply:os.system ['true']"),
        ("mask.npz", b"PK no archive"),
        ("environments.npz", b""),
        ("per_user.parquet", b"PAR1"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(
    name: str, content: bytes, copy: Path, tmp_path: Path, report: Report
) -> None:
    (copy / name).write_bytes(content)
    found = report(tmp_path / "x.html", copy)
    assert (found.code, found.err.count("\n")) == (2, 1), found.err
    assert str(copy / name) in found.err
    assert not found.page.exists()


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("mask.npz", {"visual": np.asarray([{}], dtype=object)}),
        ("mask.npz", {"visual": np.asarray([np.nan])}),
        ("mask.npz", {"visual": np.zeros((2, 2))}),
        ("mask.npz", {"visual": np.asarray(["a"])}),
        ("environments.npz", {"environment": np.zeros(3, np.int16)}),
        ("environments.npz", {"environment": np.zeros(3, np.int16), "user_id": np.asarray(["a"]),
                              "item_id": np.asarray(["b"])}),
    ],
)  # fmt: skip
def test_invalid_arrays_are_refused(
    name: str, arrays: dict[str, Any], copy: Path, tmp_path: Path, report: Report
) -> None:
    np.savez(copy / name, **arrays)
    found = report(tmp_path / "x.html", copy)
    assert found.code == 2
    assert str(copy / name) in found.err


def test_an_incomplete_run_is_shown_as_incomplete(
    copy: Path, run_folders: Path, tmp_path: Path, report: Report
) -> None:
    (copy / "result.json").unlink()
    found = report(tmp_path / "x.html", copy, run_folders / "ultragcn-1")
    assert found.code == 0, found.err
    assert "1 complete of 2 runs" in found.text
    assert f"--resume={copy}" in found.text
    assert "PaInvRL on tiny" in found.text
    alone = report(tmp_path / "y.html", copy)
    assert alone.code == 0, alone.err
    assert "1 incomplete run" in alone.text
    assert not (tmp_path / "y_figures").exists()


def test_optional_files_may_be_absent(
    copy: Path, run_folders: Path, tmp_path: Path, report: Report
) -> None:
    for name in ("per_user.parquet", "environments.npz", "mask.npz", "config.yaml"):
        (copy / name).unlink()
    found = report(tmp_path / "x.html", copy, run_folders / "ultragcn-1")
    assert found.code == 0, found.err
    assert "not tested: no values per user in these runs" in found.text
    assert "Environments</h3>" not in found.text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["{runs}/ultragcn-2"], "did you mean `ultragcn-1`"),
        (["{runs}"], "holds 5 run folders"),
        (["{runs}/ultragcn-1/checkpoint"], "not a run folder"),
        ([], "expected the name of a run folder"),
        (["{runs}/ultragcn-1", "--outptu=x.html"], "did you mean `--output`"),
        (["{runs}/ultragcn-1", "--output=x.pdf"], "expected the name of a page"),
    ],
)
def test_wrong_calls(
    argv: list[str], words: str, run_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from recbole_painvrl.__main__ import main

    words_of_call = [word.format(runs=run_folders) for word in argv] or ["--output=x.html"]
    code = main(["report", *words_of_call])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1), err
    assert words in err


IDS = {"test_set": ["ood", "ood"], "user_id": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An incomplete run."""
    (tmp_path / "config.yaml").write_text("seed: {value: 3, from: command line}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({**IDS, "ndcg@10": ["0.5", "0.25"]}, "`ndcg@10` is not numeric"),
        ({**IDS, "recall@10": [0.5, 1.0], "ndcg@10": [None, "x"]}, "`ndcg@10` is not numeric"),
        ({"test_set": ["ood"], "ndcg@10": [0.5]}, "no column `user_id`"),
        ({"user_id": ["a"], "ndcg@10": [0.5]}, "no column `test_set`"),
        ({"ndcg@10": np.zeros(0)}, "no column `test_set`"),
    ],
)
def test_values_per_user_are_numbers_by_test_and_user(
    columns: dict[str, Any], fault: str, folder: Path
) -> None:
    pd.DataFrame(columns).to_parquet(folder / "per_user.parquet", index=False)
    with pytest.raises(UserError, match=rf"per_user\.parquet: damaged .*{fault}"):
        read_run(folder)


@pytest.mark.parametrize("columns", [{}, {"test_set": [], "user_id": []}])
def test_a_table_without_metrics_is_none(columns: dict[str, Any], folder: Path) -> None:
    pd.DataFrame(columns).to_parquet(folder / "per_user.parquet", index=False)
    assert read_run(folder).per_user is None


def test_every_setting_has_a_value_and_an_origin(folder: Path) -> None:
    assert read_run(folder).value("seed") == 3
    for entry in ({"value": 5}, {"from": "default"}):
        settings = {"seed": {"value": 3, "from": "command line"}, "topk": entry}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(UserError, match=r"config\.yaml: damaged .*`value` and `from`"):
            read_run(folder)


def test_the_last_line_of_a_long_log(folder: Path) -> None:
    """Logs may be larger than the part that is read, and may end in the middle of nothing."""
    lines = [f"2026 INFO epoch {number}: loss 1" for number in range(9000)]
    (folder / "train.log").write_text("\n".join(lines) + "\n\n")
    assert read_run(folder).last_line == lines[-1]
    (folder / "train.log").write_text("\n")
    assert read_run(folder).last_line == ""


@pytest.mark.parametrize(
    ("shift", "n_compared"),
    [({}, -1), ({"modalities": {}}, 0), ({"modalities": {"visual": 1, "textual": 2}}, 2)],
)
def test_a_shift_that_was_not_measured_counts_less_than_one_in_no_modality(
    shift: dict[str, Any], n_compared: int
) -> None:
    """A block is described by the run that knows most."""
    result = Result(model="A", dataset="d", protocol="p", seed=0, metrics={}, shift=shift)
    assert result.n_compared == n_compared
