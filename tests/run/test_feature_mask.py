"""A learnt mask on the features of any model: what it does, who may use it, where it is kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import SHORT_STAGES, Finished, Killed, MakeConfig, killing, result_of, run_main

from recbole_painvrl import load_run
from recbole_painvrl.cli.run import main
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.feature_mask import COPY, read_feature_mask
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments import benchmark
from recbole_painvrl.experiments.options import GROUPS, GridOptions, group_members, models_of
from recbole_painvrl.experiments.planning import Plan, Row
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.inference.vectors import content_vectors
from recbole_painvrl.run import runner
from recbole_painvrl.run.build import build_model
from recbole_painvrl.run.feature_mask import takes_feature_mask, training_hash
from recbole_painvrl.run.opening import opening
from recbole_painvrl.specs import specs

SMALL = ("--embedding_size=6",)


@pytest.fixture(scope="module")
def masked(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that learns a mask."""
    output = tmp_path_factory.mktemp("mask")
    return run_main(tiny_data, output, "PaInvRL", *SMALL, *SHORT_STAGES, name="mask")


def test_features_are_multiplied(masked: Finished, tiny_config: MakeConfig) -> None:
    config = tiny_config("VBPR", *SMALL, f"--feature_mask={masked.folder}")
    dataset = ModalityDataset(config)
    model = build_model(config, dataset.build_parts()[TRAIN])
    arrays = masked.arrays("mask")
    mask = torch.from_numpy(np.concatenate([arrays[name] for name in dataset.features.slices]))
    torch.testing.assert_close(model.features, dataset.features.matrix * mask)
    assert mask.std() > 0
    # New items bring features that no mask has touched.
    new = dataset.features.matrix[1:4]
    expected = model.content_vectors(new * mask)
    torch.testing.assert_close(content_vectors(model, new), expected.detach())


def test_a_mask_of_ones_changes_nothing(tiny_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "ones.npz"
    np.savez(path, visual=np.ones(16), acoustic=np.ones(8))
    plain, same = (
        run_main(tiny_data, tmp_path, "FREEDOM", *SMALL, *extra, name=name)
        for name, extra in (("plain", ()), ("ones", (f"--feature_mask={path}",)))
    )
    assert plain.result["hashes"]["weights"] == same.result["hashes"]["weights"]
    assert plain.result["metrics"] == same.result["metrics"]


@pytest.mark.parametrize(
    ("visual", "acoustic", "said"),
    [
        (0.0, 0.0, "all 24 columns dropped, so the model has no features"),
        (1.0, 1.0, "all 24 columns kept, so it changes nothing"),
        (0.75, 0.0, "8 of 24 columns dropped, mean weight 0.500"),
    ],
)
def test_a_run_says_what_its_mask_does(
    visual: float, acoustic: float, said: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    path = tmp_path / "given.npz"
    np.savez(path, visual=np.full(16, visual), acoustic=np.full(8, acoustic))
    config = tiny_config("VBPR", *SMALL, f"--feature_mask={path}")
    dataset = ModalityDataset(config)
    dataset.build_parts()
    assert f"feature mask of {path}: {said}\n" in opening(config, dataset, tmp_path)


def test_a_run_keeps_its_mask(masked: Finished, tiny_data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(masked.folder, moved)
    mask = f"--feature_mask={moved}"
    run = run_main(tiny_data, tmp_path, "FREEDOM", *SMALL, mask, name="masked")
    assert run.code == 0, run.err
    assert run.result["hashes"]["feature_mask"] == file_hash(run.folder / COPY)
    shutil.rmtree(moved)
    loaded = load_run(run.folder)
    matrix = loaded.dataset.features.matrix
    arrays = masked.arrays("mask")
    slices = loaded.dataset.features.slices
    for name, columns in slices.items():
        expected = matrix[:, columns] * torch.from_numpy(arrays[name])
        torch.testing.assert_close(loaded.model.features[:, columns], expected)
    valid = loaded.result["metrics"]["valid"]
    assert valid == run.result["metrics"]["valid"]
    np.savez(run.folder / COPY, **{name: 1 - arrays[name] for name in slices})
    with pytest.raises(UserError, match="is not the mask"):
        load_run(run.folder)


def test_a_resumed_run_has_the_mask_that_it_kept(
    masked: Finished, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given"
    shutil.copytree(masked.folder, given)
    words = (*SMALL, f"--feature_mask={given}")
    whole = run_main(tiny_data, tmp_path, "VBPR", *words, name="whole")
    with killing(2):
        run_main(tiny_data, tmp_path, "VBPR", *words, name="killed")
    shutil.rmtree(given)
    killed = whole.folder.with_name("killed")
    kept = np.load(killed / COPY)
    for said in ("other feature_mask (", "feature_mask.npz is missing"):
        if said.startswith("other"):
            np.savez(killed / COPY, **{name: 1 - kept[name] for name in kept.files})
        else:
            (killed / COPY).unlink()
        assert main([f"--resume={killed}", "--show_progress=False"]) == 2
        assert said in capsys.readouterr().err
    shutil.copy(whole.folder / COPY, killed)
    assert main([f"--resume={killed}", "--show_progress=False"]) == 0
    resumed = result_of(killed)
    assert resumed["metrics"] == whole.result["metrics"]
    assert resumed["hashes"] == whole.result["hashes"]


def test_a_run_that_can_be_resumed_has_its_mask(
    masked: Finished, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is killed while it writes its first file of settings."""

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(runner, "write_config", killed)
    with pytest.raises(Killed):
        run_main(tiny_data, tmp_path, "VBPR", f"--feature_mask={masked.folder}", name="x")
    (copy,) = tmp_path.glob(f"**/x/{COPY}")
    assert file_hash(copy) and not (copy.parent / "config.yaml").exists()


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("BPR", (), "uses no features"),
        ("VBPR", ("--modalities=[]",), "uses no features"),
        ("PaInvRL", (), "learns its own mask"),
        ("RP3beta", (), "uses no features"),
        ("BM3", ("--content_weight=0.0",), "uses no features"),
        ("VBPR", ("--protocol=popularity",), "other training interactions"),
        ("VBPR", ("--protocol=random",), "other training interactions"),
    ],
)
def test_refused(
    model: str,
    settings: tuple[str, ...],
    said: str,
    masked: Finished,
    tiny_data: Path,
    tmp_path: Path,
) -> None:
    mask = f"--feature_mask={masked.folder}"
    run = run_main(tiny_data, tmp_path, model, *settings, mask, name="no")
    assert run.code == 2
    assert said in run.err
    assert run.err.count("\n") == 1
    assert not run.folder.exists()


@pytest.mark.parametrize(
    ("model", "settings", "takes"),
    [
        ("RP3beta", ("content_weight=0.0",), False),
        ("RP3beta", ("content_weight=0.1",), True),
        ("RP3beta", ("form=knn",), True),
        ("BM3", ("score_content=0.0",), True),
        ("FREEDOM", ("item_layers=0", "content_weight=0.0"), False),
        ("FREEDOM", ("item_layers=0",), True),
        ("FREEDOM", ("content_weight=0.0",), True),
        ("LATTICE", ("item_layers=0",), False),
        ("LATTICE", ("raw_graph_weight=1.0",), True),
        ("MICRO", ("item_layers=0",), False),
        ("MGCN", ("item_layers=0",), True),
        ("ContentEASE", ("feature_weight=0.0",), True),
        ("ContentEASE", ("form=joint", "feature_weight=0.0"), False),
        ("VBPR", ("modalities=[]",), False),
        ("InvRL", ("seed=1",), False),
    ],
)
def test_whoever_reads_features_takes_a_mask(
    model: str, settings: tuple[str, ...], takes: bool, tiny_config: MakeConfig
) -> None:
    words = (f"--{setting}" for setting in settings)
    assert takes_feature_mask(tiny_config(model, *words)) == takes


def hashed(pairs: list[str], users: str = "ab", items: str = "xyz") -> str:
    """The hash of pairs such as ``ax``; internal numbers are places in ``users`` and ``items``."""
    tokens = {"user": np.array(["[PAD]", *users]), "item": np.array(["[PAD]", *items])}
    table = {
        name: torch.tensor([list(tokens[name]).index(pair[place]) for pair in pairs])
        for place, name in enumerate(tokens)
    }
    train: Any = SimpleNamespace(
        uid_field="user", iid_field="item", field2id_token=tokens, inter_feat=table
    )
    return training_hash(train)


def test_training_interactions_are_known_by_their_ids_in_any_order() -> None:
    whole = hashed(["ax", "az", "bz"])
    assert hashed(["bz", "ax", "az"], "ba", "yzx") == whole
    others = [hashed(["ax", "bx", "bz"]), hashed(["ax", "az"]), hashed(["cx", "cz", "dz"], "cd")]
    assert whole not in others


def test_a_mask_learnt_on_other_interactions_is_refused(
    masked: Finished, own_data: Path, tmp_path: Path
) -> None:
    path = own_data / "tiny" / "tiny.train.inter"
    head, *rows = path.read_text().splitlines()
    mask = f"--feature_mask={masked.folder}"
    # The same interactions in another order are the same; one less is not.
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    same = run_main(own_data, tmp_path, "VBPR", *SMALL, mask, name="same")
    assert same.code == 0, same.err
    path.write_text("\n".join([head, *rows[1:]]) + "\n")
    run = run_main(own_data, tmp_path, "VBPR", *SMALL, mask, name="no")
    assert run.code == 2
    assert "other training interactions" in run.err


def test_other_features_than_those_of_the_mask_are_a_warning(
    masked: Finished, own_data: Path, tmp_path: Path
) -> None:
    """The number of columns is the same, and only their order is not."""
    mask, said = f"--feature_mask={masked.folder}", "have changed since the mask"
    same = run_main(own_data, tmp_path, "VBPR", *SMALL, mask, name="same")
    assert same.code == 0 and said not in same.err, same.err
    path = own_data / "tiny" / "features" / "visual.npy"
    np.save(path, np.load(path)[:, ::-1].copy())
    other = run_main(own_data, tmp_path, "VBPR", *SMALL, mask, name="other")
    assert other.code == 0 and said in other.err, other.err


def test_a_split_by_other_features_is_refused(own_data: Path, tmp_path: Path) -> None:
    """With environments of content the training split depends on the modalities."""
    by_content = (
        *("--protocol=iid_ood", "--split_environment_model=content", "--split_epochs=1"),
        "--split_rounds=1",
    )
    run = run_main(own_data, tmp_path, "PaInvRL", *SMALL, *SHORT_STAGES, *by_content, name="mask")
    words = (*by_content, f"--feature_mask={run.folder}", "--modalities=[visual]")
    other = run_main(own_data, tmp_path, "VBPR", *words, name="x")
    assert (other.code, "other training interactions" in other.err) == (2, True), other.err


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"visual": np.ones(16)}, "no mask of modality `acoustic`"),
        ({"visual": np.ones(15), "acoustic": np.ones(8)}, "expected \\(16,\\)"),
        ({"visual": np.full(16, 1.5), "acoustic": np.ones(8)}, "outside"),
        ({"visual": np.full(16, np.nan), "acoustic": np.ones(8)}, "outside"),
        (None, "does not exist"),
    ],
)
def test_files_that_are_no_mask(
    arrays: dict[str, np.ndarray] | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "mask.npz"
    if arrays is not None:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    slices = {"visual": slice(0, 16), "acoustic": slice(16, 24)}
    with pytest.raises(UserError, match=said):
        read_feature_mask(path, slices)


def test_groups_of_models() -> None:
    assert set(group_members("all")) >= set(specs())
    assert set(group_members("paper")) >= {"PaInvRL", "InvRL", "MMSSL", "LightGCN", "Pop"}
    assert "FREEDOM" in group_members("graph")
    assert "VBPR" not in group_members("multimodal"), "VBPR has an ID-only form"
    for group in GROUPS:
        models = models_of(group)
        assert list(models) == list(dict.fromkeys(models))
    assert next(iter(models_of("FREEDOM,paper"))) == "FREEDOM"
    assert list(models_of("paper,BPR")).count("BPR") == 1


def test_a_benchmark_with_and_without_the_mask(
    masked: Finished, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row] = []

    def planned(
        options: GridOptions, plan: Plan, found: list[Row], methods: object
    ) -> list[GridRun]:
        rows.extend(found)
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "run_grid", planned)
    settings = (f"--data_path={tiny_data}",)
    options = GridOptions("tiny", "2", tmp_path, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        benchmark.benchmark(options, "FREEDOM,BPR,PaInvRL", None, str(masked.folder))
    assert [row.label for row in rows] == ["FREEDOM", "BPR", "PaInvRL", "FREEDOM, masked"]
    runs = [run for row in rows for run in row.runs]
    assert len({run.folder for run in runs}) == 8
    given = [f"--feature_mask={masked.folder}" in run.arguments for run in runs]
    assert given == [False] * 6 + [True] * 2
    with pytest.raises(UserError, match="none of BPR has features"):
        benchmark.benchmark(options, "BPR", None, str(masked.folder))
