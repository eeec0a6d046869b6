"""Tables that LaTeX can set, with the numbers, marks and settings of the runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from report_support import RUNS, Report, toy_run
from support import edited, result_of

from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.latex import _metrics, _settings
from recbole_painvrl.report.render import render

FIRST = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,graphicx}
\begin{document}
"""


@pytest.fixture(scope="module")
def tables(run_folders: Path, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("latex") / "x.html"
    found = report(page, *(run_folders / name for name, _, _ in RUNS), "--latex")
    assert found.code == 0, found.err
    assert "tables: 5 in" in found.out
    return page.with_name("x_tables")


def test_every_number_of_a_test_is_in_its_table(tables: Path, run_folders: Path) -> None:
    for test in ("iid", "ood"):
        text = (tables / f"b1-{test}.tex").read_text()
        result = result_of(run_folders / "ultragcn-ids")
        for value in result["metrics"][test].values():
            assert f"{value:.4f}" in text
        assert text.count(r"\textbf{") >= len(result["metrics"][test])
        assert r"\scriptsize $\pm$" in text, "two seeds of PaInvRL"
        assert "the best other one by validation" in text
        for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:b1-"):
            assert word in text
        rows = re.findall(r"^(?!%)(.*) \\\\$", text, re.MULTILINE)
        assert {row.count(" & ") for row in rows} == {len(result["metrics"][test])}


def test_data_settings_and_versions(tables: Path, run_folders: Path) -> None:
    result = result_of(run_folders / "painvrl-1")
    data = (tables / "b1-data.tex").read_text()
    for value in (*result["data"].values(), *result["split"]["sizes"].values()):
        assert f"& {value:,} " in data
    assert result["data"]["interactions"] == sum(result["split"]["sizes"].values())
    assert r"backbone\_epochs & 2" in (tables / "b1-settings.tex").read_text()
    assert result["versions"]["torch"] in (tables / "b1-versions.tex").read_text()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("both", "popularity and content"),
        ("other", "items, by neither popularity nor content"),
    ],
)
def test_the_kind_of_shift_is_said_in_words(
    kind: str, said: str, run_folders: Path, tmp_path: Path, report: Report
) -> None:
    shutil.copytree(run_folders / "ultragcn-1", tmp_path / "run")
    with edited(tmp_path / "run" / "result.json") as result:
        result["shift"]["kind"] = kind
    assert report(tmp_path / "x.html", tmp_path / "run", "--latex").code == 0
    data = (tmp_path / "x_tables" / "b1-data.tex").read_text()
    assert f"Shift of the OOD test & {said} " in data


def test_the_shift_is_that_of_the_run_with_features(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    """Whatever the order of the runs."""
    names = ("ultragcn-ids", "ultragcn-1")
    pages = []
    for order in (names, names[::-1]):
        found = report(tmp_path / "x.html", *(run_folders / name for name in order), "--latex")
        section = found.text.partition('id="b1-shift"')[2].partition("</section>")[0]
        pages.append((section, (tmp_path / "x_tables" / "b1-data.tex").read_text()))
    assert pages[0] == pages[1] and "acoustic" in pages[0][0] and "Columns, visual" in pages[0][1]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_the_tables_compile_within_a_column(tables: Path, tmp_path: Path) -> None:
    body = "".join(f"\\input{{{path}}}\n" for path in sorted(tables.glob("*.tex")))
    (tmp_path / "x.tex").write_text(FIRST + body + "\\end{document}\n")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_a_mark_is_the_outcome_of_its_test() -> None:
    levels = {"A": (0.5, 0.3), "B": (0.4, 0.5), "C": (0.6, 0.2)}
    runs = [
        toy_run(name, 0, {"iid": iid, "ood": ood, "valid": 0.9 * (name == "B")})
        for name, (iid, ood) in levels.items()
    ]
    (block,) = blocks(runs)
    for test, mark, places in (
        ("iid", "*", ["second", "", "best"]),
        ("ood", r"\dagger", ["second", "best", ""]),
    ):
        table = _metrics(block, test, block.groups[0])
        assert table["compared"] == "B"
        cells = dict(table["rows"])
        assert [cell["mark"] for cell in cells["A"]] == [mark] * 2
        assert not any(cell["mark"] for name in "BC" for cell in cells[name])
        assert [cells[name][1]["place"] for name in "ABC"] == places


def test_the_marks_between_controls_are_on_the_other_rows() -> None:
    """A learnt mask has no baseline among the controls."""
    values = {"learnt": 0.5, "uniform": 0.4, "ones": 0.6, "zeros": 0.5, "oracle": 0.7}
    runs = [
        toy_run("UltraGCN", 0, {"ood": value, "valid": value}, {"feature_mask": f"{name}.npz"})
        for name, value in values.items()
    ]
    (block,) = blocks(runs)
    table = _metrics(block, "ood", next(one for one in block.groups if one.mask == "learnt"))
    marks = {label: [cell["mark"] for cell in cells] for label, cells in table["rows"]}
    assert marks == {
        "UltraGCN (mask=learnt)": ["", ""],
        "UltraGCN (mask=uniform)": ["*", "*"],
        "UltraGCN (mask=ones)": [r"\dagger", r"\dagger"],
        "UltraGCN (mask=zeros)": ["", ""],
        "UltraGCN (mask=oracle)": [r"\dagger", r"\dagger"],
    }
    text = render("latex_metrics.tex", **table, label="x")
    assert "Against a marked row, UltraGCN (mask=learnt) is" in text


def test_without_validation_there_is_no_best_baseline_and_every_row_has_its_mark() -> None:
    runs = [toy_run(name, 0, {"ood": value}) for name, value in (("A", 0.5), ("B", 0.4))]
    (block,) = blocks(runs)
    table = _metrics(block, "ood", block.groups[0])
    assert table["compared"] is None
    assert [[cell["mark"] for cell in cells] for _, cells in table["rows"]] == [["", ""], ["*"] * 2]


def test_a_table_has_the_metrics_of_all_rows_whatever_their_order() -> None:
    runs = [toy_run(name, 0, {"ood": value}) for name, value in (("A", 0.5), ("B", 0.4))]
    runs[1].done.metrics["ood"]["ndcg@20"] = 0.6
    runs[1].done.metrics["ood"]["ndcg@5"] = None
    for given in (runs, runs[::-1]):
        (block,) = blocks(given)
        table = _metrics(block, "ood", None)
        assert set(table["head"]) == {"NDCG@5", "NDCG@10", "NDCG@20"}
        cells = {label: [cell["mean"] for cell in found] for label, found in table["rows"]}
        assert cells["A"][table["head"].index("NDCG@20")] == "--"
        assert cells["B"][table["head"].index("NDCG@5")] == "--"


def test_metrics_that_are_not_tested_are_named() -> None:
    runs = [toy_run(name, 0, {"ood": value}) for name, value in (("A", 0.5), ("B", 0.4))]
    for run in runs:
        run.done.metrics["ood"]["itemcoverage@10"] = 0.1
    (block,) = blocks(runs)
    table = _metrics(block, "ood", block.groups[0])
    assert table["untested"] == ["Itemcoverage@10"]
    text = render("latex_metrics.tex", **table, label="x")
    assert "Holm's correction. Not tested: Itemcoverage@10.}" in text
    # As of AUC: no row has a mark, which would say that no difference is significant.
    (block,) = blocks([replace(run, per_user=None) for run in runs])
    table = _metrics(block, "ood", block.groups[0])
    assert table["method"] is None
    assert "significantly" not in render("latex_metrics.tex", **table, label="x")


def test_rows_name_their_seeds_unless_all_have_the_same() -> None:
    runs = [toy_run(name, seed, {"ood": 0.5}) for name, seed in (("A", 0), ("A", 1), ("B", 1))]
    (block,) = blocks(runs)
    table = _metrics(block, "ood", None)
    assert [label for label, _ in table["rows"]] == ["A, seeds 0, 1", "B, seed 1"]
    assert "; seeds as in the rows." in table["caption"]
    (block,) = blocks(runs[1:])
    table = _metrics(block, "ood", None)
    assert [label for label, _ in table["rows"]] == ["A", "B"]
    assert "; seed 1." in table["caption"]


@pytest.mark.parametrize(("split", "said"), [("test", "toy, test,"), ("ood", "toy, OOD test,")])
def test_the_caption_names_the_test_once(split: str, said: str) -> None:
    """It was `test test` for protocol random."""
    (block,) = blocks([toy_run("A", 0, {split: 0.5})])
    assert _metrics(block, split, None)["caption"].startswith(said)


def test_a_setting_is_shared_where_all_columns_have_it() -> None:
    given = {
        "A": {"epochs": 5, "knn_k": 10, "feature_mask": "masks/run/learnt.npz"},
        "B": {"epochs": 5, "seed": 1},
    }
    (block,) = blocks([toy_run(name, 0, {"ood": 0.5}, own) for name, own in given.items()])
    assert _settings(block)["rows"] == [
        ("epochs", "5"), ("A: feature_mask", "learnt"), ("A: knn_k", "10"),
    ]  # fmt: skip


@pytest.mark.parametrize("source", ["file run.conf", "file a.yaml", "command line", "tune"])
def test_a_setting_is_shown_from_whichever_source_it_was_given(source: str) -> None:
    run = toy_run("A", 0, {"ood": 0.5}, {"epochs": 5, "n_layers": 2, "topk": 10, "eta": 1})
    for name, own in (("epochs", source), ("n_layers", "preset large"), ("topk", "model")):
        run.config[name]["from"] = own
    run.config["eta"]["from"] = "set by the run"
    (block,) = blocks([run])
    assert _settings(block)["rows"] == [("epochs", "5")]
