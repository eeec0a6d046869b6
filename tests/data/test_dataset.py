"""The RecBole dataset with modalities: protocols end to end, splits in files, clear errors."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import MakeConfig, id_pairs

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import OOD, OOD_VALID, TEST, TRAIN, VALID
from recbole_painvrl.errors import UserError

EVERY = {TRAIN, VALID, TEST, OOD_VALID, OOD}


def pairs(dataset: Any) -> set[tuple[str, str]]:
    table = dataset.inter_feat
    users = dataset.id2token(dataset.uid_field, table[dataset.uid_field])
    items = dataset.id2token(dataset.iid_field, table[dataset.iid_field])
    return set(zip(users, items, strict=True))


def pairs_in(path: Path) -> set[tuple[str, str]]:
    lines = path.read_text().splitlines()[1:]
    return {tuple(line.split("\t")[:2]) for line in lines}  # type: ignore[misc]


@pytest.mark.parametrize("protocol", ["random", "files", "iid_ood", "popularity"])
def test_protocols(protocol: str, tiny_config: MakeConfig, own_data: Path) -> None:
    argv = (f"--protocol={protocol}", "--split_epochs=1", "--split_rounds=2")
    dataset = ModalityDataset(tiny_config("UltraGCN", *argv, data=own_data))
    parts = dataset.build_parts()
    assert dataset.protocol == protocol
    assert set(parts) == ({TRAIN, VALID, TEST} if protocol == "random" else EVERY)
    found = {name: pairs(part) for name, part in parts.items()}
    for one, other in itertools.combinations(found, 2):
        assert not found[one] & found[other]
    for name, part in parts.items():
        assert part.field2id_token is dataset.field2id_token or (
            part.field2token_id[part.iid_field] == dataset.field2token_id[dataset.iid_field]
        )
        assert len(part) == dataset.split_diagnostics["sizes"][name]
        assert part.inter_feat[part.iid_field].min() >= 1
    assert (own_data / "tiny" / "splits").is_dir() == (protocol == "iid_ood")


def test_files_protocol_is_the_files(tiny_config: MakeConfig, tiny_data: Path) -> None:
    parts = ModalityDataset(tiny_config("UltraGCN")).build_parts()
    for name, part in parts.items():
        assert pairs(part) == pairs_in(tiny_data / "tiny" / f"tiny.{name}.inter")


def test_files_that_are_not_read_are_named(
    tiny_config: MakeConfig, own_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = own_data / "tiny"
    (folder / "tiny.valid.inter").rename(folder / "tiny.validation.inter")
    shutil.copy(folder / "tiny.test.inter", folder / "tiny.iid.inter")
    ModalityDataset(tiny_config("UltraGCN", data=own_data))
    assert "not read: tiny.iid.inter, tiny.validation.inter; the splits are" in caplog.text
    caplog.clear()
    (folder / "tiny.test.inter").unlink()
    (folder / "tiny.validation.inter").unlink()
    ModalityDataset(tiny_config("UltraGCN", data=own_data))
    assert "not read" not in caplog.text


@pytest.mark.parametrize(("name", "words"), [("valid", "a validation split"), ("test", "an IID")])
def test_recbole_needs_validation_and_an_iid_test(
    name: str, words: str, tiny_config: MakeConfig, own_data: Path
) -> None:
    (own_data / "tiny" / f"tiny.{name}.inter").unlink()
    dataset = ModalityDataset(tiny_config("UltraGCN", "--validation_share=0", data=own_data))
    with pytest.raises(UserError, match=f"entry points need {words}"):
        dataset.build()


def test_files_protocol_without_validation_file(tiny_config: MakeConfig, own_data: Path) -> None:
    (own_data / "tiny" / "tiny.valid.inter").unlink()
    dataset = ModalityDataset(tiny_config("UltraGCN", data=own_data))
    parts = dataset.build_parts()
    training_file = pairs_in(own_data / "tiny" / "tiny.train.inter")
    assert pairs(parts[TRAIN]) | pairs(parts[VALID]) == training_file
    assert not pairs(parts[TRAIN]) & pairs(parts[VALID])
    assert len(parts[VALID]) == pytest.approx(0.1 * len(training_file), abs=1)
    counts = f"{len(parts[VALID])} of {len(training_file)} interactions"
    assert dataset.split_diagnostics["valid"].startswith(counts)


def test_the_iid_test_may_be_called_iid(tiny_config: MakeConfig, own_data: Path) -> None:
    folder = own_data / "tiny"
    expected = pairs_in(folder / "tiny.test.inter")
    (folder / "tiny.test.inter").rename(folder / "tiny.iid.inter")
    parts = ModalityDataset(tiny_config("UltraGCN", data=own_data)).build_parts()
    assert set(parts) == EVERY
    assert pairs(parts[TEST]) == expected


def test_features_follow_the_tokens(tiny_config: MakeConfig, tiny_data: Path) -> None:
    dataset = ModalityDataset(tiny_config("UltraGCN"))
    assert set(dataset.features.slices) == {"visual", "acoustic"}
    assert not dataset.features.matrix[0].any()
    for modality, columns in dataset.features.slices.items():
        stored = np.load(tiny_data / "tiny" / "features" / f"{modality}.npy")
        rows = (tiny_data / "tiny" / "features" / f"{modality}.items.tsv").read_text().split("\n")
        for line in rows[1:20]:
            row, token = line.split("\t")
            number = dataset.field2token_id[dataset.iid_field][token]
            expected = stored[int(row)] / np.linalg.norm(stored[int(row)])
            found = dataset.features.matrix[number, columns].numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_chosen_modalities(tiny_config: MakeConfig) -> None:
    one = ModalityDataset(tiny_config("UltraGCN", "--modalities=[acoustic]"))
    assert one.features.slices == {"acoustic": slice(0, 8)}
    none = ModalityDataset(tiny_config("UltraGCN", "--modalities=[]"))
    assert none.features.slices == {}
    with pytest.raises(UserError, match=r"no modality `acustic`.*did you mean `acoustic`"):
        ModalityDataset(tiny_config("UltraGCN", "--modalities=[acustic]"))


def test_time_protocol_needs_times(tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match="protocol `time` needs a column `timestamp`"):
        ModalityDataset(tiny_config("UltraGCN", "--protocol=time"))


def test_rows_without_user_or_item_go_and_no_others(build: Any, own_data: Path) -> None:
    path = own_data / "tiny" / "tiny.inter"
    lines = path.read_text().splitlines()
    rest = lines[0].split("\t")[2:]
    lines[3] = "\t".join(["", "i1", *["0"] * len(rest)])
    lines[-1] = "\t".join(["u1", "", *["0"] * len(rest)])
    path.write_text("\n".join(lines) + "\n")
    kept = {tuple(line.split("\t")[:2]) for line in [*lines[1:3], *lines[4:-1]]}
    assert pairs(build("--protocol=random")) == kept


THREE = "--benchmark_filename=[train, valid, test]"


@pytest.fixture
def build(own_data: Path, tiny_config: MakeConfig) -> Any:
    """Builds the dataset ``tiny`` of ``own_data``."""
    return lambda *argv: ModalityDataset(tiny_config("BPR", *argv, data=own_data))


def splits(dataset: ModalityDataset) -> dict[str, list[tuple[int, int]]]:
    """Pairs of every split by internal ids, in its order."""
    return {name: id_pairs(part) for name, part in dataset.build_parts().items()}


def test_benchmark_filename_is_the_protocol_files(build: Any, own_data: Path) -> None:
    for name in ("ood", "ood_valid"):
        (own_data / "tiny" / f"tiny.{name}.inter").unlink()
    named = build(THREE)
    assert named.protocol == "files"
    assert splits(named) == splits(build("--protocol=files"))
    assert named.split_diagnostics["cold_dropped"]


def test_a_repeated_pair_of_the_training_file_is_in_one_split(build: Any, own_data: Path) -> None:
    folder = own_data / "tiny"
    expected = splits(build("--protocol=files"))
    path = folder / "tiny.train.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows, *rows, *rows]) + "\n")
    found = splits(build("--protocol=files"))
    assert {name: sorted(one) for name, one in found.items()} == {
        name: sorted(one) for name, one in expected.items()
    }
    (folder / "tiny.valid.inter").unlink()
    held_out = splits(build("--protocol=files"))
    assert not set(held_out[TRAIN]) & set(held_out[VALID])


def test_files_of_other_names_in_the_order_of_the_splits(build: Any, own_data: Path) -> None:
    folder = own_data / "tiny"
    expected = splits(build(THREE))
    for name, other in (("train", "a"), ("valid", "b"), ("test", "c")):
        (folder / f"tiny.{name}.inter").rename(folder / f"tiny.{other}.inter")
    assert splits(build("--benchmark_filename=[a, b, c]")) == expected


def test_two_files_are_training_and_test(build: Any) -> None:
    two = splits(build("--benchmark_filename=[train, test]", "--validation_share=0"))
    assert set(two) == {TRAIN, TEST}
    assert two[TRAIN] == splits(build(THREE))[TRAIN]


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


def test_a_folder_called_ml_100k_is_read(build: Any, own_data: Path) -> None:
    shutil.copytree(own_data / "tiny", own_data / "ml-100k")
    for path in (own_data / "ml-100k").glob("tiny.*"):
        path.rename(path.with_name(path.name.replace("tiny", "ml-100k")))
    mine = build("--dataset=ml-100k", "--protocol=random")
    assert mine.folder == own_data / "ml-100k"
    assert mine.inter_num == build("--protocol=random").inter_num
    shutil.rmtree(own_data / "ml-100k")
    assert build("--dataset=ml-100k", "--protocol=random").inter_num == 100_000
