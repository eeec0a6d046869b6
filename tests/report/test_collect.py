"""`report runs/*`: every run is found, other paths are listed, test sets are not mixed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from report_support import Report
from support import edited, result_of

from recbole_painvrl.report.collect import collect
from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.read import Result

DONE, BEGUN = "UltraGCN-tiny-seed1-0123", "UltraGCN-tiny-seed2-4567"


@pytest.fixture
def runs(run_folders: Path, tmp_path: Path) -> Path:
    """Files of `run`, `benchmark`, `tune`, `report` and a user in one folder."""
    root = tmp_path / "runs"
    shutil.copytree(run_folders / "ultragcn-1", root / "single")
    cells = root / "table2" / "cells"
    shutil.copytree(run_folders / "ultragcn-ids", cells / DONE)
    shutil.copytree(run_folders / "ultragcn-1", cells / BEGUN)
    (cells / BEGUN / "result.json").unlink()
    (cells / "BPR-tiny-seed1-89ab.failed.json").write_text("{}")
    (cells / "BPR-tiny-seed1-89ab.log").write_text("error: no luck\n")
    (cells / ".locks").mkdir()
    (root / "table2" / "cells.json").write_text("{}")
    trial = root / "search" / "trial-0000"
    shutil.copytree(run_folders / "ultragcn-ids", trial)
    (trial / "result.json").unlink()
    (trial / "trial.json").write_text(
        '{"metrics": {"valid": {"ndcg@10": 0.4321}}, "dataset": "tiny", "seconds": 61.5, '
        '"edition": "embedded (x)", "data": {"users": 1234}, "versions": {"torch": "9.8.7"}}'
    )
    shutil.copytree(trial, root / "search" / "trial-0001")
    (root / "search" / "trial-0001" / "trial.json").write_text(
        '{"metrics": {"valid": {"ndcg@10": 0.5432}}}'
    )
    shutil.copytree(trial, root / "search" / "trial-0002")
    (root / "search" / "trial-0002" / "trial.json").unlink()
    (root / "search" / "study.journal").write_text("")
    (root / "films_figures").mkdir()
    (root / "foreign").mkdir()
    (root / "foreign" / "result.json").write_text('{"accuracy": 1}')
    (root / "archive" / "old").mkdir(parents=True)
    (root / "archive" / "old" / "config.yaml").write_text("{}")
    (root / "notes.txt").write_text("x")
    (root / "gone").symlink_to(root / "nowhere")
    return root


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_everything_in_the_folder_of_runs(runs: Path, tmp_path: Path, report: Report) -> None:
    found = report(tmp_path / "x.html", *sorted(runs.glob("*")))
    assert found.code == 0, found.err
    left = {"films_figures", "foreign", "archive", "notes.txt", "gone"}
    assert found.err.count("\n") == len(left) + 2
    assert f"note: {runs / 'table2' / 'cells' / BEGUN}: not complete" in found.err
    for name in left:
        assert f"note: {runs / name}: left out" in found.err
        assert str(runs / name) in found.text
    assert f"such as {runs / 'archive' / 'old'}" in found.err
    page = words(found.text)
    assert "2 complete of 3 runs" in page
    for path in (runs / "single", runs / "table2" / "cells" / DONE):
        value = result_of(path)["metrics"]["ood"]["ndcg@10"]
        assert f"{value:.4f}" in page
    assert f"--resume={runs / 'table2' / 'cells' / BEGUN}" in page


def test_a_folder_of_trials_alone(runs: Path, report: Report) -> None:
    place = runs / "search" / "page.html"
    found = report(place, runs / "search")
    assert found.code == 0, found.err
    page = words(found.text)
    # The best trial is first, and one of three has no figures.
    assert re.search(r"seconds trial-0001 0\.5432 – trial-0000 0\.4321 61\.5", page)
    assert "Search: UltraGCN on tiny, embedded variant" in page
    for fact in ("variant embedded (x)", "users 1,234", "torch 9.8.7"):
        assert fact in page
    assert "The best of 2 complete trials is trial-0001" in page
    assert "1 more trial has" in page
    assert f"--resume={runs / 'search' / 'trial-0001'}" in page
    assert "trial-0002" not in page
    # Once it is tested, it is still the best trial.
    shutil.copy(runs / "single" / "result.json", runs / "search" / "trial-0001")
    page = words(report(place, runs / "search").text)
    assert "The best of 2 complete trials is trial-0001" in page
    assert "1 complete of 1 runs" in page and "has been tested since" in page


def test_the_method_of_a_grid_is_judged(runs: Path, tmp_path: Path, report: Report) -> None:
    grid = runs / "table2"
    two = [grid, runs / "single"]
    assert "There is no run of PaInvRL here" in report(tmp_path / "x.html", *two).text
    cell = {"group": "", "row": "mine", "folder": f"cells/{DONE}"}
    (grid / "cells.json").write_text(json.dumps({"methods": {"": "mine"}, "cells": [cell]}))
    page = report(tmp_path / "x.html", *two).text
    assert "by validation, UltraGCN (modalities=[]) is significantly better in" in page
    assert "Against UltraGCN (modalities=null)" in page
    given = report(tmp_path / "x.html", *two, "--method=UltraGCN (modalities=null)").text
    assert "Against UltraGCN (modalities=[])" in given
    wrong = report(tmp_path / "y.html", *two, "--method=tiny_models.models:InvRL")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "`--method`: found 'tiny_models.models:InvRL', expected one of UltraGCN (" in wrong.err
    (grid / "cells.json").write_text('{"cells": [{}]}')
    assert "cells.json: damaged" in report(tmp_path / "y.html", *two).err


def test_a_grid_is_read_by_its_record(
    run_folders: Path, runs: Path, tmp_path: Path, report: Report
) -> None:
    """Runs made again since are left out, rows without all seeds get no place, failures count."""
    grid, old = runs / "table2", "UltraGCN-tiny-seed1-old"
    shutil.copytree(run_folders / "painvrl-1", grid / "cells" / "PaInvRL-tiny-seed1-00")
    shutil.copytree(grid / "cells" / DONE, grid / "cells" / old)
    # Its seed is not made again yet, so it is on the page.
    waiting = "UltraGCN-tiny-seed2-old"
    shutil.copytree(run_folders / "ultragcn-1", grid / "cells" / waiting)
    raise_metrics(grid / "cells" / waiting)
    cells = [
        {"group": "", "row": "PaInvRL", "seed": 1, "folder": "cells/PaInvRL-tiny-seed1-00"},
        {"group": "", "row": "UltraGCN", "seed": 1, "folder": f"cells/{DONE}",
         "arguments": ["--dataset=tiny"]},
        {"group": "", "row": "UltraGCN", "seed": 2, "folder": "cells/UltraGCN-tiny-seed2-none",
         "arguments": ["--dataset=tiny"], "state": "failed", "reason": "too <much> memory"},
    ]  # fmt: skip
    # As of an earlier version, which did not write their datasets.
    left = [
        {"folder": f"cells/{old}", "row": "UltraGCN", "seed": 1, "changed": ["code", "data"]},
        {"folder": f"cells/{waiting}", "row": "UltraGCN", "seed": 2, "changed": ["code"]},
    ]
    shutil.rmtree(grid / "cells" / BEGUN)
    raise_metrics(grid / "cells" / DONE)
    (grid / "cells.json").write_text(json.dumps({"cells": cells, "left": left}))
    found = report(tmp_path / "x.html", grid)
    assert found.code == 0, found.err
    assert f"{old}: left out: made again since, as code and data had changed" in found.err
    page = words(found.text)
    assert "3 complete of 4 runs" in page
    assert "UltraGCN, seed 2 failed: too &lt;much&gt; memory" in page
    # Both are best, but neither has all seeds of its row.
    rows = [row for row in re.findall(r"<tr>.*?</tr>", found.text) if 'row">UltraGCN' in row]
    assert len(rows) >= 2 and not any("<b>" in row for row in rows)


@pytest.fixture
def controls(run_folders: Path, tmp_path: Path) -> Path:
    """A grid in which two controls share the run of seed 1, and one of them failed on seed 2."""
    grid = tmp_path / "grid"
    for name, mask in (("ultragcn-1", "soft"), ("ultragcn-ids", "zeros")):
        for seed in (1, 2):
            folder = Path(shutil.copytree(run_folders / name, grid / "cells" / f"{name}-{seed}"))
            with edited(folder / "result.json") as result:
                result |= {"seed": seed, "hashes": {}}
            with edited(folder / "config.yaml") as config:
                config["feature_mask"] = {"value": f"masks/{mask}.npz", "from": "command line"}
    runs = [("zeros", 1, "ultragcn-ids-1"), ("zeros", 2, "ultragcn-ids-2")]
    runs += [("soft", 1, "ultragcn-1-1"), ("soft", 2, "failed")]
    runs += [("learnt", 1, "ultragcn-1-1"), ("learnt", 2, "ultragcn-1-2")]
    cells = [
        {"group": "controls", "row": row, "seed": seed, "folder": f"cells/{folder}",
         "arguments": [f"--feature_mask=masks/{row}.npz"],
         "reason": "NaN" if folder == "failed" else None}
        for row, seed, folder in runs
    ]  # fmt: skip
    methods = {"controls": "learnt"}
    (grid / "cells.json").write_text(json.dumps({"methods": methods, "cells": cells}))
    return grid


def test_rows_that_share_a_run_are_told_apart(
    controls: Path, tmp_path: Path, report: Report
) -> None:
    """Controls with equal masks are one run, and a row each, as `ablate` has it."""
    copy = shutil.copytree(controls / "cells" / "ultragcn-1-1", tmp_path / "copy")
    for given in ([controls], [copy, controls]):
        found = report(tmp_path / "x.html", *given)
        assert found.code == 0, found.err
        section = found.text.partition('-controls"><h3>')[2].partition("</section>")[0]
        names = re.findall(r'<th scope="row">\s*(\w+)\s*</th>', section)
        assert names == ["learnt", "soft", "zeros"]


def test_a_row_is_not_partial_for_a_run_that_it_shares(controls: Path) -> None:
    found = collect([controls])
    (block,) = blocks(found.runs, found.of_partial_rows)
    complete = {group.mask: (len(group.runs), group.complete) for group in block.groups}
    assert complete == {"learnt": (2, True), "soft": (1, False), "zeros": (2, True)}
    method = block.method(None, found.of_methods)
    assert method is not None and method.mask == "learnt"


def test_a_failed_run_of_a_grid_is_said_to_have_failed(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    grid = tmp_path / "grid"
    for name in ("ultragcn-1", "ultragcn-ids"):
        shutil.copytree(run_folders / name, grid / "cells" / name)
    (grid / "cells" / "ultragcn-ids" / "result.json").unlink()
    cells = [
        {"group": "", "row": "A", "seed": 1, "folder": "cells/ultragcn-1"},
        {"group": "", "row": "B", "seed": 1, "folder": "cells/ultragcn-ids", "reason": "NaN"},
    ]
    (grid / "cells.json").write_text(json.dumps({"cells": cells}))
    for given in ([grid], [grid, grid / "cells" / "ultragcn-ids"]):
        page = words(report(tmp_path / "x.html", *given).text)
        assert "1 complete of 2 runs" in page
        assert "B, seed 1 failed: NaN that of the grid, with --retry-failed" in page


def raise_metrics(folder: Path) -> None:
    with edited(folder / "result.json") as result:
        for values in result["metrics"].values():
            values |= dict.fromkeys(values, 0.99)


def test_a_seed_that_was_run_again_has_a_column_of_its_own(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    for name in ("one", "two"):
        shutil.copytree(run_folders / "ultragcn-1", tmp_path / name)
    with edited(tmp_path / "two" / "result.json") as result:
        result["hashes"]["weights"] = "other"
    found = report(tmp_path / "x.html", tmp_path / "one", tmp_path / "two")
    assert found.code == 0, found.err
    page = words(found.text)
    assert "UltraGCN (1)" in page and "UltraGCN (2)" in page
    assert "seeds 1, 1" not in page


def test_a_damaged_run_among_others_is_named_and_gives_exit_code_1(
    runs: Path, tmp_path: Path, report: Report
) -> None:
    path = runs / "table2" / "cells" / DONE / "mask.npz"
    path.write_bytes(b"PK")
    found = report(tmp_path / "x.html", runs / "single", runs / "table2")
    assert found.code == 1
    assert f"{path}: " in found.err
    assert f"{path}: " in words(found.text)
    assert "1 complete of 2 runs" in found.text


def test_nothing_readable_or_a_wrong_name_writes_no_page(
    runs: Path, tmp_path: Path, report: Report
) -> None:
    (runs / "single" / "result.json").write_text("{")
    for names, said in (
        (["notes.txt", "foreign", "films_figures"], "no readable run among 3"),
        (["single", "notes.txt"], "result.json: damaged"),
        (["single", "tabel2", "table2"], "did you mean `table2`"),
        (["archive"], "name the runs, such as"),
    ):
        found = report(tmp_path / "x.html", *(runs / name for name in names))
        assert (found.code, found.err.count("\n")) == (2, 1), found.err
        assert said in found.err
        assert not found.page.exists()


def test_a_copy_or_a_second_name_is_not_another_seed(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    shutil.copytree(run_folders / "ultragcn-1", tmp_path / "copy")
    with edited(tmp_path / "copy" / "result.json") as result:
        result["run_folder"] = "copy"
    run = run_folders / "ultragcn-1"
    found = report(tmp_path / "x.html", run, run_folders / "." / "ultragcn-1", tmp_path / "copy")
    assert found.code == 0
    assert "1 complete of 1 runs" in found.text
    assert "there is nothing to compare it with" in found.text
    assert f"copy: left out: repeats {run}" in found.err


def errors(folder: Path, value: float) -> None:
    """Give a run the metrics RMSE and AUC over labelled interactions."""
    with edited(folder / "result.json") as result:
        result["metrics"] = {s: {"rmse": value, "auc": value} for s in ("valid", "iid", "ood")}
        result["valid_metric"] = "RMSE"
        result["hashes"]["weights"] += str(value)
    for name in ("mask.npz", "environments.npz"):
        (folder / name).unlink(missing_ok=True)
    pd.DataFrame({"test_set": []}).to_parquet(folder / "per_user.parquet")


def test_a_smaller_error_is_better(run_folders: Path, tmp_path: Path, report: Report) -> None:
    for name, value in (("painvrl-1", 0.75), ("ultragcn-1", 0.5), ("invrl-1", 0.875)):
        errors(Path(shutil.copytree(run_folders / name, tmp_path / name)), value)
    found = report(tmp_path / "x.html", *sorted(tmp_path.glob("*-1")))
    assert (found.code, found.err) == (0, "")
    rows = re.findall(r"<tr>.*?</tr>", found.text)
    painvrl, ultragcn, invrl = (
        next(row for row in rows if row.startswith(f'<tr><th scope="row">{name}<'))
        for name in ("PaInvRL", "UltraGCN", "InvRL")
    )
    # RMSE, then AUC.
    assert re.search("<b>0.5000</b>.*>0.5000<", ultragcn) and "<u>" not in ultragcn
    assert re.search(">0.8750<.*<b>0.8750</b>", invrl) and "<u>" not in invrl
    assert painvrl.count("<u>0.7500</u>") == 2
    page = words(found.text)
    behind = "PaInvRL (0.7500) does not win: it is behind"
    assert f"OOD rmse: {behind} UltraGCN (0.5000) by 0.2500, 50.0%; not tested" in page
    assert f"OOD auc: {behind} InvRL (0.8750) by 0.1250, 14.3%; not tested" in page


def test_runs_with_other_test_sets_are_not_compared(
    run_folders: Path, tmp_path: Path, report: Report
) -> None:
    """The same data and protocol, but other candidates or another split."""
    for name in ("usual", "sampled", "other split"):
        shutil.copytree(run_folders / "ultragcn-1", tmp_path / name)
        with edited(tmp_path / name / "config.yaml") as config:
            if name == "sampled":
                config["eval_args"]["value"]["mode"]["test"] = "uni100"
            if name == "other split":
                config["split_seed"]["value"] = 7
    found = report(
        tmp_path / "x.html", *(tmp_path / name for name in ("usual", "sampled", "other split"))
    )
    assert found.code == 0, found.err
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", found.text)
    assert len(heads) == 3
    assert "eval_args.mode.test=full, split_seed=0" in heads[0]
    assert "eval_args.mode.test=uni100" in heads[1]
    assert "split_seed=7" in heads[2]


@pytest.mark.parametrize(
    ("edition", "name"),
    [
        ("embedded (visual and acoustic features are planted)", "ml-trailers, embedded variant"),
        ("real features", "ml-trailers, real features"),
        ("prepared from files", "ml-trailers"),
    ],
)
def test_two_datasets_of_one_name_are_told_apart(edition: str, name: str) -> None:
    result = Result(model="Pop", dataset="ml-trailers", edition=edition, protocol="files", seed=0,
                    metrics={})  # fmt: skip
    assert result.data_name == name
