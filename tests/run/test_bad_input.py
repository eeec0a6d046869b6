"""Wrong input: exit code 2, one line that names what is wrong, nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from support import SHORT_STAGES, Finished, run_command, run_main


def assert_refused(run: Finished, *parts: str) -> None:
    assert run.code == 2, (run.code, run.err)
    lines = run.err.splitlines()
    assert len(lines) == 1, run.err
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    assert "Traceback" not in run.err
    assert run.out == ""
    runs = run.folder.parent
    assert not runs.exists() or not list(runs.iterdir()), "no run folder is left"


def rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def spoil_matrix(folder: Path, value: float) -> None:
    path = folder / "features" / "visual.npy"
    matrix = np.load(path)
    matrix[3, 5] = value
    np.save(path, matrix)


def share_rows(folder: Path) -> None:
    rows = (folder / "tiny.train.inter").read_text().splitlines()[1:4]
    rewrite(folder / "tiny.test.inter", lambda lines: lines + rows)


def only_header(name: str) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder / name, lambda lines: lines[:1])


RANDOM = ("--protocol=random",)
# What is done to the folder of the dataset, arguments, and parts of the line; faults of a feature
# file or a manifest by themselves are tested with the reader of the file.
SPOILED: dict[str, tuple[Callable[[Path], object], tuple[str, ...], tuple[str, ...]]] = {
    "NaN": (
        lambda f: spoil_matrix(f, np.nan), (),
        ("visual.npy", "1 values are NaN or Inf", "row 3, column 5"),
    ),
    "unknown item": (
        lambda f: replace(f / "features/visual.items.tsv", "i7\n", "nobody\n"), (),
        ("visual.items.tsv", "not in the dataset", "nobody", "unknown_items"),
    ),
    "no ids": (lambda f: (f / "features/visual.items.tsv").unlink(), (), ("visual.items.tsv",)),
    "no training": (only_header("tiny.train.inter"), (), ("train.inter", "the file has no rows")),
    "no OOD test": (only_header("tiny.ood.inter"), (), ("ood.inter", "the file has no rows")),
    "cold pairs only": (
        lambda f: rewrite(f / "tiny.test.inter", lambda lines: [lines[0], "u0\tnever seen"]),
        ("--modalities=[]",), ("split `test`", "is empty", "without a training"),
    ),
    "no rows": (only_header("tiny.inter"), RANDOM, ("tiny",)),
    "no header": (lambda f: rewrite(f / "tiny.inter", lambda lines: lines[1:]), RANDOM, ("tiny",)),
    "no item": (
        lambda f: rewrite(f / "tiny.inter", lambda lines: [x.split("\t")[0] for x in lines]),
        RANDOM, ("tiny",),
    ),
    "binary": (lambda f: (f / "tiny.inter").write_bytes(bytes(range(256))), RANDOM, ("tiny",)),
    "header of a split": (
        lambda f: rewrite(f / "tiny.test.inter", lambda lines: ["user\titem", *lines[1:]]), (),
        ("tiny",),
    ),
    "shared pairs": (share_rows, (), ("3 (user, item) pairs are in split `train` and in split",)),
    "selection without an IID validation": (
        lambda f: (f / "tiny.valid.inter").unlink(),
        ("--validation_share=0", "--select_on=harmonic"),
        ("`select_on: harmonic`", "no epoch is selected", "`validation_share`"),
    ),
    "list of items without its matrix": (
        lambda f: (f / "features" / "visual.npy").unlink(), (),
        ("visual.npy: no such file, but visual.items.tsv", "`--modalities=[acoustic]`"),
    ),
    "no truth": (
        lambda f: shutil.rmtree(f / "truth"), ("--known_environments=True",),
        ("planted environment",),
    ),
    # These would be noticed when all stages have been trained.
    "truth of other columns": (
        lambda f: rewrite(f / "truth" / "columns.tsv", lambda lines: lines[:-1]), SHORT_STAGES,
        ("columns.tsv", "its features have", "`truth`"),
    ),
    "truth without numbers": (
        lambda f: rewrite(f / "truth" / "environments.tsv", lambda lines: [*lines[:-1], "u\ti\tx"]),
        SHORT_STAGES,
        ("environments.tsv", "1 of", "first 'x'"),
    ),
    "incomplete truth": (
        lambda f: (f / "truth" / "columns.tsv").unlink(), SHORT_STAGES, ("columns.tsv: missing",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_a_dataset_that_is_spoiled(name: str, own_data: Path, tmp_path: Path) -> None:
    spoil, argv, parts = SPOILED[name]
    spoil(own_data / "tiny")
    model = "PaInvRL" if name == "NaN" or "truth" in name else "UltraGCN"
    assert_refused(run_main(own_data, tmp_path, model, *argv, name="x"), *parts)


def test_dataset_that_does_not_exist(tmp_path: Path) -> None:
    arguments = ("--model=BPR", "--dataset=ml-trailer", f"--data_path={tmp_path}")
    run = run_command(*arguments, f"--output_dir={tmp_path / 'runs'}", name="x")
    assert_refused(
        run, "`ml-trailer`", "no folder", "did you mean `ml-trailers`?", "python -m dataset_prep"
    )


@pytest.mark.parametrize(
    ("model", "argv", "parts"),
    [
        ("PaInvRL", ("--mask_epoch=3",), ("`mask_epoch`", "did you mean `mask_epochs`?")),
        ("PaInvRL", ("mask_epochs=3",), ("'mask_epochs=3'", "--setting=value")),
        (
            "PaInvRL",
            ("--exclude_positives=True", "--negative_sampling=shared"),
            ("`exclude_positives`",),
        ),
        ("PaInvRL", ("--n_environments=100000",), ("`n_environments`", "training interactions")),
        (
            "PaInvRL",
            ("--known_environments=True", *RANDOM),
            ("planted environment",),
        ),
        ("BPR", ("--select_on=ood", *RANDOM), ("select_on: ood", "protocol `random`")),
        ("BPR", ("--resumee=x",), ("unknown setting `resumee`", "`resume`")),
        # What the run would not follow.
        ("Pop", ("--repeatable=True",), ("`repeatable`",)),
        ("BPR", ("--train_neg_sample_args=None",), ("`train_neg_sample_args`", "BPR")),
        ("NeuMF", ("--train_neg_sample_args=None",), ("`train_neg_sample_args`", "or load labels")),
        (
            "UltraGCN",
            ("--train_neg_sample_args={sample_num: 5}",),
            ("`train_neg_sample_args`", "its own negatives"),
        ),
        ("BPR", ("--learner=sparse_adam",), ("`learner`",)),
        ("UltraGCN", ("--learner=adamw",), ("`learner: adamw`",)),
        ("BPR", ("--enable_scaler=True",), ("`enable_scaler`",)),
        ("BPR", ("--eval_args={mode: uni90}",), ("uni90", "90 items")),
        ("BPR", ("--eval_args={mode: pop90}",), ("pop90", "90 items")),
        ("BPR", ("--additional_feat_suffix=[emb]",), ("tiny.emb",)),
        ("MultiVAE", ("--shuffle=False",), ("`shuffle`",)),
        ("MMSSL", ("--shuffle=False",), ("`shuffle`", "always shuffled")),
        ("LATTICE", ("--shuffle=False", "--sampling=users"), ("`shuffle`",)),
        (
            "BPR",
            (*RANDOM, "--eval_args={split: {LS: test_only}, group_by: none}"),
            ("`eval_args: group_by`",),
        ),
        (
            "BPR",
            (*RANDOM, "--eval_args={split: {TS: [8, 1, 1]}, order: TO, group_by: none}"),
            ("`eval_args: group_by`",),
        ),
        ("NNCF", ("--conv_kernel_size=500",), ("NNCF", "`conv_kernel_size`: 500")),
        ("BPR", ("--eval_args={mode: labeled}",), ("labeled", "value metrics")),
        (
            "BPR",
            ("--eval_args={mode: {valid: labeled, test: full}}",),
            ("labeled", "value metrics"),
        ),
        (
            "BPR",
            ("--metrics=[GAUC]", "--valid_metric=GAUC", "--ndcg_hits=True"),
            ("`ndcg_hits`", "GAUC"),
        ),
        (
            "NeuMF",
            ("--eval_args={mode: labeled}", "--metrics=[AUC]", "--valid_metric=AUC"),
            ("labeled", "`label`", "tiny.inter"),
        ),
        ("BPR", ("--item_inter_num_interval=[90,inf)", *RANDOM), ("item_inter_num",)),
        ("RaCT", (), ("RaCT",)),
    ],
)
def test_settings(
    model: str, argv: tuple[str, ...], parts: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    assert_refused(run_main(tiny_data, tmp_path, model, *argv, name="x"), *parts)


def test_existing_run_name_is_left_alone(tiny_data: Path, tmp_path: Path) -> None:
    first = run_main(tiny_data, tmp_path, "Pop", name="x")
    assert first.code == 0, first.err
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    again = run_main(tiny_data, tmp_path, "BPR", name="x")
    assert again.code == 2
    (line,) = again.err.splitlines()
    assert line.startswith("error: ")
    assert str(first.folder) in line
    assert "--run_name" in line
    assert before == {p: p.read_bytes() for p in first.folder.rglob("*") if p.is_file()}


def test_output_dir_that_is_a_file(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    run = run_main(tiny_data, tmp_path, "Pop", name="x")
    assert run.code == 2
    (line,) = run.err.splitlines()
    assert "--output_dir" in line


def test_a_loss_that_is_not_finite_stops_the_run(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--init_std=1e30", name="x")
    assert run.code == 1
    assert "the training loss is" in run.err.splitlines()[-1]
    assert "learning_rate" in run.err.splitlines()[-1]


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_logger_that_is_not_installed(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "Pop", "--log_wandb=True", name="x")
    assert_refused(run, "`log_wandb`", "pip install wandb")


def test_an_unexpected_error_leaves_its_traceback_in_the_log(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, *arguments: object, **named: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("recbole_painvrl.training.base.RunTrainerMixin.fit", broken)
    run = run_main(tiny_data, tmp_path, "BPR", name="x")
    assert run.code == 1
    assert "RuntimeError: two lines" in run.err
    assert "Traceback" in (run.folder / "train.log").read_text()


@pytest.mark.skipif(find_spec("faiss") is not None, reason="faiss is installed")
def test_a_model_whose_package_is_missing(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "NCL", "--num_clusters=5", name="x")
    # NCL asks for the package in its first epoch only.
    assert run.code == 2
    assert "the package `faiss` is needed" in run.err
    assert run.err.splitlines()[-1].endswith("type `pip install faiss-cpu`")


def test_negatives_of_the_loader_never_become_positives(tiny_data: Path, tmp_path: Path) -> None:
    """RecBole's loader appends the negatives of a pointwise model to its batch."""
    given = "--train_neg_sample_args={distribution: uniform, sample_num: 1}"
    for model in ("UltraGCN", "BM3", "SLMRec"):
        run = run_main(tiny_data, tmp_path, model, given, name="x")
        assert_refused(run, "`train_neg_sample_args`", "leave")
    argv = ("--sampling=users", "--train_neg_sample_args={sample_num: 3}")
    run = run_main(tiny_data, tmp_path, "LATTICE", *argv, name="x")
    assert_refused(run, "`train_neg_sample_args`", "its own negatives")
