"""Wrong input: exit code 2, one line that names what is wrong, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from support import SHORT_STAGES, Finished, run_command, run_main

from recbole_painvrl.__main__ import main as package_main
from recbole_painvrl.cli.run import main


@pytest.fixture
def own(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset that a test may spoil."""
    return Path(shutil.copytree(tiny_data, tmp_path / "own"))


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


def spoil_features(folder: Path, how: str) -> None:
    path = folder / "features" / "visual.npy"
    matrix = np.load(path)
    tokens = folder / "features" / "visual.items.tsv"
    if how == "nan":
        matrix[3, 5] = np.nan
    elif how == "inf":
        matrix[3, 5] = np.inf
    elif how == "rows":
        matrix = matrix[:-2]
    elif how == "unknown":
        rewrite(tokens, lambda lines: [*lines[:-1], lines[-1].split("\t")[0] + "\tnobody"])
    elif how == "duplicate":
        repeated = "1\t" + tokens.read_text().splitlines()[1].split("\t")[1]
        rewrite(tokens, lambda lines: [*lines[:2], repeated, *lines[3:]])
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "objects":
        np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    elif how == "no ids":
        tokens.unlink()
    else:
        np.save(path, matrix)


@pytest.mark.parametrize("model", ["PaInvRL", "BPR"])
@pytest.mark.parametrize(
    ("how", "parts"),
    [
        ("nan", ("visual.npy", "1 values are NaN or Inf", "row 3, column 5")),
        ("inf", ("visual.npy", "1 values are NaN or Inf", "row 3, column 5")),
        ("rows", ("visual.items.tsv", "rows")),
        ("unknown", ("visual.items.tsv", "not in the dataset", "nobody", "unknown_items")),
        ("duplicate", ("visual.items.tsv", "rows 0 and 1")),
        ("cut", ("visual.npy", "not a readable .npy file")),
        ("objects", ("visual.npy", "Python objects")),
        ("no ids", ("visual.items.tsv",)),
    ],
)
def test_features(how: str, parts: tuple[str, ...], model: str, own: Path, tmp_path: Path) -> None:
    spoil_features(own / "tiny", how)
    assert_refused(run_main(own, tmp_path, model, name="x"), *parts)


@pytest.mark.parametrize("split", ["train", "valid", "test", "ood"])
def test_empty_split(split: str, own: Path, tmp_path: Path) -> None:
    path = own / "tiny" / f"tiny.{split}.inter"
    rewrite(path, lambda lines: lines[:1])
    run = run_main(own, tmp_path, "BPR", name="x")
    assert_refused(run, str(path), "the file has no rows")


def test_a_split_of_cold_pairs_only(own: Path, tmp_path: Path) -> None:
    path = own / "tiny" / "tiny.test.inter"
    rewrite(path, lambda lines: [lines[0], "u0\tnever seen"])
    run = run_main(own, tmp_path, "UltraGCN", "--modalities=[]", name="x")
    assert_refused(run, str(own / "tiny"), "split `test`", "is empty", "without a training")


def test_dataset_that_does_not_exist(tmp_path: Path) -> None:
    arguments = ("--model=BPR", "--dataset=ml-trailer", f"--data_path={tmp_path}")
    run = run_command(*arguments, f"--output_dir={tmp_path / 'runs'}", name="x")
    assert_refused(
        run, "`ml-trailer`", "no folder", "did you mean `ml-trailers`?", "python -m dataset_prep"
    )


def test_dataset_folder_without_interactions(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ("--model=BPR", "--dataset=empty", f"--data_path={tmp_path}")
    run = run_command(*arguments, f"--output_dir={tmp_path / 'runs'}", name="x")
    assert_refused(run, "empty.inter")


@pytest.mark.parametrize("spoiled", ["no rows", "no header", "missing column", "binary"])
def test_interactions_that_cannot_be_read(spoiled: str, own: Path, tmp_path: Path) -> None:
    path = own / "tiny" / "tiny.inter"
    if spoiled == "no rows":
        rewrite(path, lambda lines: lines[:1])
    elif spoiled == "no header":
        rewrite(path, lambda lines: lines[1:])
    elif spoiled == "missing column":
        rewrite(path, lambda lines: [line.split("\t")[0] for line in lines])
    else:
        path.write_bytes(bytes(range(256)))
    run = run_main(own, tmp_path, "BPR", "--protocol=random", name="x")
    assert_refused(run, "tiny")


@pytest.mark.parametrize("where", ["train", "test"])
def test_split_file_that_cannot_be_read(where: str, own: Path, tmp_path: Path) -> None:
    path = own / "tiny" / f"tiny.{where}.inter"
    rewrite(path, lambda lines: ["user\titem", *lines[1:]])
    assert_refused(run_main(own, tmp_path, "BPR", name="x"), "tiny")


def test_fewer_interactions_than_environments(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "PaInvRL", "--n_environments=100000", name="x")
    assert_refused(run, "`n_environments`", "100000", "training interactions")


def test_select_on_a_part_that_the_protocol_lacks(tiny_data: Path, tmp_path: Path) -> None:
    argv = ("--select_on=ood", "--protocol=random")
    run = run_main(tiny_data, tmp_path, "BPR", *argv, name="x")
    assert_refused(run, "select_on: ood", "protocol `random`")


@pytest.mark.parametrize("protocol", ["files", "random"])
def test_known_environments_without_truth(protocol: str, own: Path, tmp_path: Path) -> None:
    if protocol == "files":
        shutil.rmtree(own / "tiny" / "truth")
    argv = (*SHORT_STAGES, "--known_environments=True", f"--protocol={protocol}")
    run = run_main(own, tmp_path, "PaInvRL", *argv, name="x")
    assert_refused(run, "planted environment")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--mask_epoch=3",), ("`mask_epoch`", "did you mean `mask_epochs`?")),
        (("--mask_epochs=many",), ("`mask_epochs`", "'many'", "an integer")),
        (("--mask_epochs=0",), ("`mask_epochs`", ">= 1")),
        (("--kappa=-1",), ("`kappa`",)),
        (("--preset=papr_literal",), ("`preset`", "did you mean `paper_literal`?")),
        (("--config_files=nowhere.yaml",), ("nowhere.yaml", "no such configuration file")),
        (("--protocol=tim",), ("`protocol`", "time")),
        (("--modalities=[]",), ("`modalities`", "UltraGCN")),
        (("--modalities=[smell]",), ("no modality `smell`",)),
        (("mask_epochs=3",), ("'mask_epochs=3'", "--setting=value")),
        (("--exclude_positives=True", "--negative_sampling=shared"), ("`exclude_positives`",)),
    ],
)
def test_settings(
    argv: tuple[str, ...], parts: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    assert_refused(run_main(tiny_data, tmp_path, "PaInvRL", *argv, name="x"), *parts)


def test_unknown_model(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "PaInvRl", name="x")
    assert_refused(run, "PaInvRl", "did you mean `PaInvRL`?")


def test_no_model(tmp_path: Path) -> None:
    arguments = ("--dataset=planted", f"--output_dir={tmp_path / 'runs'}")
    assert_refused(run_command(*arguments, name="x"), "`model`")


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


def test_damaged_manifest(own: Path, tmp_path: Path) -> None:
    (own / "tiny" / "manifest.json").write_text("{")
    assert_refused(run_main(own, tmp_path, "BPR", name="x"), "manifest.json")


def test_any_other_failure_is_exit_code_1(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("recbole_painvrl.models.ultragcn.UltraGCN.calculate_loss", fail)
    run = run_main(tiny_data, tmp_path, "UltraGCN", name="x")
    assert run.code == 1
    assert run.err.splitlines()[-1].startswith("error: ZeroDivisionError: a bug")
    assert "Traceback" not in run.err


def test_a_loss_that_is_not_finite_stops_the_run(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--init_std=1e30", name="x")
    assert run.code == 1
    assert "the training loss is" in run.err.splitlines()[-1]
    assert "learning_rate" in run.err.splitlines()[-1]


def test_help_and_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    assert "--model=PaInvRL --dataset=ml-trailers" in capsys.readouterr().out
    assert package_main(["train"]) == 2
    assert "error: unknown command `train`" in capsys.readouterr().err
    assert package_main([]) == 0


def test_result_of_a_refused_run_is_not_there(tiny_data: Path, tmp_path: Path) -> None:
    """result.json is written last: where it is, the run is complete."""
    run = run_main(tiny_data, tmp_path, "Pop", name="x")
    assert json.loads((run.folder / "result.json").read_text())["model"] == "Pop"
    newest = max(run.folder.rglob("*"), key=lambda path: path.stat().st_mtime_ns)
    assert newest in (run.folder / "result.json", run.folder / "train.log")


def test_parts_that_share_a_pair(own: Path, tmp_path: Path) -> None:
    train = (own / "tiny" / "tiny.train.inter").read_text().splitlines()[1:4]
    rewrite(own / "tiny" / "tiny.test.inter", lambda lines: lines + train)
    run = run_main(own, tmp_path, "BPR", name="x")
    assert_refused(run, "3 (user, item) pairs are in split `train` and in split `test`")


def test_rows_without_an_id(own: Path, tmp_path: Path) -> None:
    rewrite(own / "tiny" / "tiny.train.inter", lambda lines: [*lines, "\ti3"])
    run = run_main(own, tmp_path, "BPR", name="x")
    assert_refused(run, "1 rows of split `train` lack a user or an item")


def test_filters_that_files_would_ignore(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "BPR", "--item_inter_num_interval=[5,inf)", name="x")
    assert_refused(run, "`item_inter_num_interval`", "protocol `files`")


@pytest.mark.parametrize(
    ("model", "argv", "parts"),
    [
        ("Pop", ("--repeatable=True",), ("`repeatable`",)),
        ("BPR", ("--train_neg_sample_args=None",), ("`train_neg_sample_args`", "BPR")),
        ("NeuMF", ("--train_neg_sample_args=~",), ("`train_neg_sample_args`", "NeuMF")),
        (
            "UltraGCN",
            ("--train_neg_sample_args={sample_num: 5}",),
            ("`train_neg_sample_args`", "its own negatives"),
        ),
        ("BPR", ("--learner=sparse_adam",), ("`learner`",)),
        ("BPR", ("--enable_scaler=True",), ("`enable_scaler`",)),
        ("BPR", ("--eval_args={mode: uni500}",), ("uni500", "90 items")),
        ("BPR", ("--additional_feat_suffix=[emb]",), ("tiny.emb",)),
        ("MultiVAE", ("--shuffle=False",), ("`shuffle`",)),
        ("MultiVAE", ("--train_neg_sample_args={sample_num: 5}",), ("`train_neg_sample_args`",)),
        (
            "BPR",
            ("--protocol=random", "--eval_args={split: {LS: test_only}, group_by: none}"),
            ("`eval_args: group_by`",),
        ),
        ("NNCF", ("--conv_kernel_size=500",), ("NNCF", "`conv_kernel_size`: 500")),
        ("BPR", ("--eval_args={mode: labeled}",), ("labeled", "value metrics")),
        (
            "NeuMF",
            ("--eval_args={mode: labeled}", "--metrics=[AUC]", "--valid_metric=AUC"),
            ("labeled", "`label`", "tiny.inter"),
        ),
        ("BPR", ("--item_inter_num_interval=[90,inf)", "--protocol=random"), ("item_inter_num",)),
    ],
)
def test_settings_that_the_run_would_not_follow(
    model: str, argv: tuple[str, ...], parts: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    assert_refused(run_main(tiny_data, tmp_path, model, *argv, name="x"), *parts)


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_logger_that_is_not_installed(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "Pop", "--log_wandb=True", name="x")
    assert_refused(run, "`log_wandb`", "pip install wandb")


def test_optimiser_whose_decay_is_no_l2_term(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--learner=adamw", name="x")
    assert_refused(run, "`learner: adamw`")


def test_a_name_that_only_begins_like_resume(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "BPR", "--resumee=x", name="x")
    assert_refused(run, "unknown setting `resumee`", "`resume`")


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


def test_a_model_that_trains_in_several_processes(tiny_data: Path, tmp_path: Path) -> None:
    assert_refused(run_main(tiny_data, tmp_path, "RaCT", name="x"), "RaCT")


@pytest.mark.filterwarnings("ignore:torch.sparse.SparseTensor")
@pytest.mark.skipif(find_spec("faiss") is not None, reason="faiss is installed")
def test_a_model_whose_package_is_missing(tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "NCL", name="x")
    # NCL asks for the package in its first epoch only.
    assert run.code == 2
    assert "the package `faiss` is needed" in run.err
    assert run.err.splitlines()[-1].endswith("type `pip install faiss-cpu`")
