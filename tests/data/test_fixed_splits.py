"""Splits that come as files, by whatever name, and settings that a protocol does not read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID
from recbole_painvrl.errors import UserError

THREE = "--benchmark_filename=[train, valid, test]"


@pytest.fixture
def build(tiny_data: Path, tmp_path: Path, tiny_config: MakeConfig) -> Any:
    """Builds the dataset ``tiny`` from a copy that a test may change, its folder in ``root``."""
    root = Path(shutil.copytree(tiny_data, tmp_path / "copy"))

    def make(*argv: str) -> ModalityDataset:
        return ModalityDataset(tiny_config("BPR", *argv, data=root))

    make.root = root  # type: ignore[attr-defined]
    return make


def pairs(split: Any) -> list[tuple[int, int]]:
    table = split.inter_feat
    return list(zip(table["user_id"].tolist(), table["item_id"].tolist(), strict=True))


def test_benchmark_filename_is_the_protocol_files(build: Any) -> None:
    for name in ("ood", "ood_valid"):
        (build.root / "tiny" / f"tiny.{name}.inter").unlink()
    named = build(THREE)
    assert named.protocol == "files"
    found, expected = named.build_parts(), build("--protocol=files").build_parts()
    assert {name: pairs(part) for name, part in found.items()} == {
        name: pairs(part) for name, part in expected.items()
    }
    assert named.split_diagnostics["cold_dropped"]


def test_a_repeated_pair_of_the_training_file_is_in_one_split(build: Any) -> None:
    folder = build.root / "tiny"
    expected = {name: pairs(part) for name, part in build("--protocol=files").build_parts().items()}
    path = folder / "tiny.train.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows, *rows, *rows]) + "\n")
    found = {name: pairs(part) for name, part in build("--protocol=files").build_parts().items()}
    assert {name: sorted(one) for name, one in found.items()} == {
        name: sorted(one) for name, one in expected.items()
    }
    (folder / "tiny.valid.inter").unlink()
    held_out = build("--protocol=files").build_parts()
    assert not set(pairs(held_out[TRAIN])) & set(pairs(held_out[VALID]))


def test_files_of_other_names_in_the_order_of_the_splits(build: Any) -> None:
    folder = build.root / "tiny"
    expected = {name: pairs(part) for name, part in build(THREE).build_parts().items()}
    for name, other in (("train", "a"), ("valid", "b"), ("test", "c")):
        (folder / f"tiny.{name}.inter").rename(folder / f"tiny.{other}.inter")
    parts = build("--benchmark_filename=[a, b, c]").build_parts()
    assert {name: pairs(part) for name, part in parts.items()} == expected


def test_two_files_are_training_and_test(build: Any) -> None:
    two = build("--benchmark_filename=[train, test]", "--validation_share=0").build_parts()
    three = build(THREE).build_parts()
    assert set(two) == {TRAIN, TEST}
    assert pairs(two[TRAIN]) == pairs(three[TRAIN])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((THREE, "--user_inter_num_interval=[500,inf)"), "`user_inter_num_interval`"),
        ((THREE, "--protocol=popularity"), "`benchmark_filename`.*protocol `popularity`"),
        (("--benchmark_filename=[train]",), "`benchmark_filename`.*expected the files"),
        (("--benchmark_filename=[train, nothing]",), "tiny.nothing.inter: no such file"),
        (("--protocol=popularity", "--eval_args={split: {LS: test_only}}"), "`eval_args: split`"),
        (("--protocol=popularity", "--eval_args={split: {RS: [7, 2, 1]}}"), "`eval_args: split`"),
        (("--protocol=files", "--eval_args={order: TO}"), "`eval_args: order`"),
        (("--protocol=iid_ood", "--eval_args={group_by: none}"), "`eval_args: group_by`"),
    ],
)
def test_what_a_protocol_would_ignore(argv: tuple[str, ...], message: str, build: Any) -> None:
    with pytest.raises(UserError, match=message):
        build(*argv)


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("{RS: [0.8, 0.2]}", {TRAIN, TEST}),
        ("{RS: [8, 1, 1]}", {TRAIN, VALID, TEST}),
        ("{LS: test_only}", {TRAIN, TEST}),
    ],
)
def test_splits_without_validation(split: str, names: set[str], build: Any) -> None:
    dataset = build("--protocol=random", f"--eval_args={{split: {split}}}")
    parts = dataset.build_parts()
    assert set(parts) == names
    assert sum(map(len, parts.values())) == dataset.inter_num


def test_a_folder_called_ml_100k_is_read(build: Any) -> None:
    shutil.copytree(build.root / "tiny", build.root / "ml-100k")
    for path in (build.root / "ml-100k").glob("tiny.*"):
        path.rename(path.with_name(path.name.replace("tiny", "ml-100k")))
    mine = build("--dataset=ml-100k", "--protocol=random")
    assert mine.folder == build.root / "ml-100k"
    assert mine.inter_num == build("--protocol=random").inter_num
    shutil.rmtree(build.root / "ml-100k")
    assert build("--dataset=ml-100k", "--protocol=random").inter_num == 100_000
