"""The page: all metrics of the runs, nothing from the network, what it says of a dataset."""

from __future__ import annotations

import html
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from report_support import RUNS, Report, Reported, toy_run
from support import edited, empty_figures, result_of

from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.plots.style import Figures
from recbole_painvrl.report.sections.pareto import pareto
from recbole_painvrl.report.sections.shift import shift
from recbole_painvrl.report.sections.training import cost, training

VOID = {"meta", "img", "br", "wbr", "input", "link", "hr"}


class Reader(HTMLParser):
    """Tags, ids, addresses and text of a page; nesting is checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.addresses.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def reader(page: Reported) -> Reader:
    assert page.code == 0, page.err
    return Reader(page.text)


def test_every_metric_of_every_run_is_on_the_page(reader: Reader, run_folders: Path) -> None:
    words = set(reader.words)
    for name, _, _ in RUNS:
        for metrics in result_of(run_folders / name)["metrics"].values():
            assert metrics
            for value in metrics.values():
                assert f"{value:.4f}" in words


def test_seeds_are_one_column_with_mean_and_deviation(page: Reported, run_folders: Path) -> None:
    first, second = (result_of(run_folders / f"painvrl-{n}")["metrics"]["ood"] for n in (1, 2))
    a, b = first["ndcg@10"], second["ndcg@10"]
    spread = abs(a - b) / 2**0.5
    text = re.sub(r"<[^>]+>", "", page.text)
    assert f"{(a + b) / 2:.4f} ± {spread:.4f}" in text
    assert "seeds 1, 2" in text
    # Runs of a model with other settings are another column, labelled with what differs.
    assert "UltraGCN (modalities=[])" in text


def test_the_oracle_is_beside_the_learnt_mask(reader: Reader, run_folders: Path) -> None:
    results = [result_of(run_folders / f"painvrl-{n}") for n in (1, 2)]
    for test in ("iid", "ood"):
        values = [one["planted"]["oracle"][test]["ndcg@10"] for one in results]
        assert f"{sum(values) / 2:.4f}" in reader.words


def test_a_comparison_begins_with_its_verdict(page: Reported) -> None:
    found = [
        page.text.index(words)
        for words in ("is significantly better in", "<svg", "Results, IID test",
                      ">What the runs found</h3>", ">Mask</h3>", ">Environments</h3>", ">Runs</h3>")
    ]  # fmt: skip
    assert found == sorted(found)


def test_figures_have_the_colours_of_the_theme(page: Reported) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.text, re.DOTALL)).lower()
    assert "var(--paper)" in drawn and "currentcolor" in drawn
    for fixed in ("#ffffff", "#000000", "fill: white"):
        assert fixed not in drawn


def test_every_number_leads_to_its_run(reader: Reader, page: Reported, run_folders: Path) -> None:
    local = [unquote(a) for a in reader.addresses if a.startswith("./")]
    assert local
    assert all((page.page.parent / address).exists() for address in local)
    for name, _, _ in RUNS:
        assert sum(name in address for address in local) > len(
            result_of(run_folders / name)["metrics"]
        )


def test_nothing_comes_from_outside(page: Reported, reader: Reader) -> None:
    assert "://" not in page.text
    assert "@import" not in page.text
    assert "url(" not in re.sub(r"url\(#[\w.-]+\)", "", page.text)
    assert all(a.startswith(("./", "#", "data:image/png;base64,")) for a in reader.addresses)
    assert not {"script", "iframe", "object", "embed", "link", "img", "form"} & set(reader.tags)
    assert not reader.handlers


def test_the_page_is_well_formed(reader: Reader) -> None:
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "ids are unique"
    wanted = {a[1:] for a in reader.addresses if a.startswith("#")}
    assert wanted <= set(reader.ids), "every jump has its target"


def test_figures_have_descriptions_and_both_formats(page: Reported) -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', page.text)
    folder = page.page.with_name("page_figures")
    names = {path.stem for path in folder.iterdir()}
    assert len(labels) == len(names) == page.text.count("<svg")
    assert all(len(label) > 30 for label in labels)
    for name in names:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    for name in ("recall-at-k-ood", "mask-visual-strips", "mask-visual-histogram",
                 "mask-acoustic-sorted", "environment-moves", "environment-sizes",
                 "environment-popularity", "path-PaInvRL", "path-InvRL", "effective-w-erm",
                 "stationarity", "backbone-loss", "final-valid", "seconds", "memory"):  # fmt: skip
        assert f"b1-{name}" in names


def test_caveats_are_listed(page: Reported) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", page.text))
    for sentence in (
        "The distribution shift of the OOD split is planted.",
        "Planted: the invariant columns of acoustic, visual",
        "Stage backbone reached its maximum of 2 epochs",
        "Negatives are shared within a batch (512 per batch, 64 in the mask stage)",
        "One seed: the standard deviation over seeds is not known.",
    ):
        assert sentence in text


def test_command_configuration_versions_and_hashes(page: Reported, run_folders: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.text))
    made = result_of(run_folders / "invrl-1")
    for words in (*made["hashes"].values(), made["versions"]["torch"]):
        assert words in text
    assert re.search(r"mask_epochs\s+2\s+command line", text)


def test_without_matplotlib_one_line_says_what_to_install(
    run_folders: Path, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith("recbole_painvrl.report.p")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = report(tmp_path / "x.html", run_folders / "ultragcn-1", drawn=True)
    assert found.code == 2
    assert found.err.count("\n") == 1
    assert "matplotlib" in found.err and "pip install" in found.err
    assert not list(tmp_path.iterdir())


def test_the_cost_of_a_stage_is_that_of_the_seeds_that_have_it(tmp_path: Path) -> None:
    """Where validation chose the mask on one seed alone, the others have fewer stages."""
    stages = {0: {"mask": 4, "final": 10, "oracle": 8}, 1: {"mask": 6, "final ones": 20}}
    runs = [
        toy_run(
            "PaInvRL", seed, {"ood": 0.5},
            stages=[
                {"name": name, "seconds": n, "peak_memory_mb": 10 * n} for name, n in own.items()
            ],
        )
        for seed, own in stages.items()
    ]  # fmt: skip
    (block,) = blocks(runs)
    with empty_figures():
        drawings = cost(block, Figures(tmp_path, "b1", [("PaInvRL", "PaInvRL")]))["drawings"]
    words = [re.split("[:;.] ?", one.alt)[1:5] for one in drawings]
    assert words == [
        ["PaInvRL mask 5", "PaInvRL final 10", "PaInvRL oracle 8", "PaInvRL final ones 20"],
        ["PaInvRL mask 60", "PaInvRL final 100", "PaInvRL oracle 80", "PaInvRL final ones 200"],
    ]


def test_costs_shift_and_steps_by_hand(tmp_path: Path) -> None:
    measured = {"sentences": ["x"], "items": {"auc": 0.75, "p": 0.0001},
                "pop": {"iid": {"ndcg@10": 0.125}, "ood": {"ndcg@10": 0.25}}}  # fmt: skip
    steps = {
        f"round 1/trajectory/{name}": factor * np.arange(20.0)
        for factor, name in enumerate(("l_erm", "l_irm", "w_erm", "stationarity"), 1)
    }
    runs = [
        replace(
            toy_run(
                "A", seed, {"ood": 0.5, "valid": 0.5}, shift=measured,
                stages=[{"name": "train", "seconds": 10.0 + 20 * seed,
                         "peak_memory_mb": 300.0 - 200 * seed}],
            ),
            mask=steps,
        )
        for seed in (0, 1)
    ]  # fmt: skip
    (block,) = blocks(runs)
    figures = Figures(tmp_path, "b1", [("A", "A")])
    with empty_figures():
        seconds, memory = cost(block, figures)["drawings"]
        (row,) = pareto(block, figures)["rows"]
    # The mean over the seeds, and the most that any of them took.
    assert "A train 20." in seconds.alt and "A train 300." in memory.alt
    # The first and the last tenth of the steps.
    assert row[3:6] == ["20", "0.5 → 18.5", "1 → 37"]
    found = shift(block)
    assert found["head"] == ["metric", "IID", "OOD"]
    assert found["figures"] == [["NDCG@10", "0.1250", "0.2500"]]
    assert found["measures"] == [["which items", "0.750", "< 0.001"]]


def test_a_curve_names_the_metrics_of_all_its_runs(tmp_path: Path) -> None:
    """The axis had the name of the last one's, though each is drawn by its own."""
    runs = [
        toy_run(
            name, 0, {"ood": 0.5}, valid_metric=metric,
            stages=[{"name": "train", "best_epoch": 1, "history": [
                {"epoch": n, "loss": 1.0, "valid": {"ndcg@5": 0.2, "ndcg@10": 0.3}} for n in (1, 2)
            ]}],
        )
        for name, metric in (("A", "NDCG@5"), ("B", "NDCG@10"))
    ]  # fmt: skip
    (block,) = blocks(runs)
    with empty_figures():
        _, valid = training(block, Figures(tmp_path, "b1", [(n, n) for n in "AB"]))["drawings"]
    assert valid.alt.startswith("Stage final, ndcg@5 and ndcg@10 by epoch: A from 0.2 to 0.2; B")


def changed(folder: Path, place: Path, **values: str) -> Path:
    """A copy of a run with other values in its result."""
    other = Path(shutil.copytree(folder, place))
    with edited(other / "result.json") as result:
        result |= values
    return other


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("popularity", "OOD tests popular and rare items alike"),
        ("one of its own", "one of its own"),
    ],
)
def test_the_split_is_described(
    protocol: str, words: str, run_folders: Path, tmp_path: Path, report: Report
) -> None:
    """By its protocol, with the interactions of every part."""
    run = changed(run_folders / "painvrl-1", tmp_path / "run", protocol=protocol)
    text = html.unescape(report(tmp_path / "x.html", run).text)
    sizes = result_of(run)["split"]["sizes"]
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
