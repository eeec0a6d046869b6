"""Ratings, thresholds and labels: what a run takes for a positive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import MakeConfig, run_main, write_inter

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import liked, training_loader
from recbole_painvrl.data.splits.base import TRAIN

LABELLED = ("--protocol=random", "--eval_args={mode: labeled}", "--metrics=[AUC]",
            "--valid_metric=AUC")  # fmt: skip


@pytest.fixture
def rated(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny dataset with a column of ratings 1 to 5 and one of labels, 1 from rating 4 on."""
    header, *rows = (tiny_data / "tiny" / "tiny.inter").read_text().splitlines()
    lines = (f"{row}\t{n % 5 + 1}\t{int(n % 5 >= 3)}" for n, row in enumerate(rows))
    columns = f"{header}\trating:float\tlabel:float"
    return write_inter(tmp_path / "rated", "tiny", columns, lines)


def train_of(config: Any) -> Any:
    return ModalityDataset(config).build_parts()[TRAIN]


@pytest.mark.parametrize("source", ["threshold", "label"])
def test_disliked_rows_are_no_positives(source: str, rated: Path, tiny_config: MakeConfig) -> None:
    """RecBole's sampler gives label 1 to every training row, whatever the threshold says."""
    argv = ["--threshold={rating: 4}"] if source == "threshold" else []
    config = tiny_config("NeuMF", *LABELLED, *argv, data=rated)
    whole = train_of(config)
    positive = whole.inter_feat["label"] > 0
    assert 0 < int(positive.sum()) < len(whole)
    train = liked(config, whole)

    def pairs(table: Any) -> set[tuple[int, int]]:
        """Those of the rows with a label above 0."""
        chosen = table["label"] > 0
        columns = (table[name][chosen].tolist() for name in ("user_id", "item_id"))
        return set(zip(*columns, strict=True))

    expected = pairs(whole.inter_feat)
    batches = map(pairs, training_loader(config, train))
    assert set().union(*batches) == expected


def test_labels_are_learnt_as_they_are_without_negatives(
    rated: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config("NeuMF", *LABELLED, "--train_neg_sample_args=None", data=rated)
    train = train_of(config)
    assert liked(config, train) is train
    labels = [
        label for batch in training_loader(config, train) for label in batch["label"].tolist()
    ]
    assert sorted(labels) == sorted(train.inter_feat["label"].tolist())


def test_nobody_likes_anything(rated: Path, tmp_path: Path) -> None:
    run = run_main(rated, tmp_path, "NeuMF", *LABELLED, "--threshold={rating: 6}", name="x")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert "no training interaction has `label` above 0" in run.err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("--threshold={rating: 4}",), "`threshold`"),
        (
            (
                "--threshold={rating: 4}",
                "--eval_args={mode: {valid: labeled, test: uni5}}",
                "--metrics=[AUC]",
                "--valid_metric=AUC",
            ),
            "`threshold`",
        ),
        (("--load_col=~",), "have `label` <= 0"),
    ],
)
def test_a_ranking_does_not_count_dislikes(
    argv: tuple[str, ...], part: str, rated: Path, tmp_path: Path
) -> None:
    run = run_main(rated, tmp_path, "Pop", "--protocol=random", *argv, name="x")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert part in run.err
    assert "val_interval" in run.err


def test_the_advice_works(rated: Path, tmp_path: Path) -> None:
    argv = ("--protocol=random", "--val_interval={label: '(0,inf)'}")
    run = run_main(rated, tmp_path, "Pop", *argv, name="x")
    assert run.code == 0, run.err
    rows = (rated / "tiny" / "tiny.inter").read_text().splitlines()[1:]
    assert sum(run.result["split"]["sizes"].values()) == sum(row.endswith("\t1") for row in rows)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("rating:float", ["-1", "0", "1"]),
        ("label:token", ["0", "1"]),
    ],
)
def test_dislikes_are_asked_about(
    column: str, values: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    """Whatever is loaded: most published logs hold impressions, and a ranking counts rows."""
    header, *rows = (tiny_data / "tiny" / "tiny.inter").read_text().splitlines()
    lines = [f"{row}\t{values[n % len(values)]}" for n, row in enumerate(rows)]
    data = write_inter(tmp_path / "logged", "tiny", f"{header}\t{column}", lines)
    name = column.partition(":")[0]
    argv = ("--protocol=random",)
    asked = run_main(data, tmp_path, "Pop", *argv, name="asked")
    assert (asked.code, asked.err.count("\n")) == (2, 1)
    n_disliked = sum(float(line.rpartition("\t")[2]) <= 0 for line in lines)
    assert f"{n_disliked} of {len(lines)} rows have `{name}` <= 0" in asked.err
    if column.endswith(":token"):
        keep, drop = "['0', '1']", "['1']"
    else:
        keep, drop = "'(-inf,inf)'", "'(0,inf)'"
    for answer, n_left in ((keep, len(lines)), (drop, len(lines) - n_disliked)):
        value = f"--val_interval={{{name}: {answer}}}"
        run = run_main(data, tmp_path, "Pop", *argv, value, name=f"x{n_left}")
        assert run.code == 0, run.err
        assert sum(run.result["split"]["sizes"].values()) == n_left


def test_auc_of_one_kind_of_label(rated: Path, tmp_path: Path) -> None:
    run = run_main(rated, tmp_path, "NeuMF", *LABELLED, "--threshold={rating: 1}", name="x")
    assert run.code == 2
    assert "`metrics: AUC`: all " in run.err.splitlines()[-1]
