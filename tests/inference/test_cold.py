"""Items that training has not seen, through their content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from serving_support import MakeRun, everybody, lists
from support import run_main

from recbole_painvrl.errors import UserError
from recbole_painvrl.inference.cold import mapped_vectors, read_new_items
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.inference.request import Request, recommend
from recbole_painvrl.inference.scoring import Scorer
from recbole_painvrl.inference.vectors import content_vectors, score_tables

MODELS = [
    ("UltraGCN",),
    ("PaInvRL",),
    ("VBPR", "--feature_scale=3.0"),
    ("VBPR", "--preset=mmrec"),
]


def write_items(folder: Path, features: dict[str, tuple[Any, list[str]]]) -> Path:
    (folder / "features").mkdir(parents=True)
    for name, (matrix, tokens) in features.items():
        np.save(folder / "features" / f"{name}.npy", np.asarray(matrix, dtype=np.float32))
        rows = "".join(f"{row}\t{token}\n" for row, token in enumerate(tokens))
        (folder / "features" / f"{name}.items.tsv").write_text("row\titem_id\n" + rows)
    return folder


def twins(run: Any, items: list[int], scale: float = 3.0) -> dict[str, tuple[Any, list[str]]]:
    """New items with the features of old ones, multiplied: only directions count."""
    matrix = run.dataset.features.matrix[items].numpy()
    return {
        name: (scale * matrix[:, part], [f"new{i}" for i in items])
        for name, part in run.dataset.features.slices.items()
    }


@pytest.mark.parametrize("words", MODELS, ids=" ".join)
def test_the_score_is_the_trained_one_without_its_id_term(
    words: tuple[str, ...], finished: MakeRun, tmp_path: Path
) -> None:
    run, items, users = load_run(finished(*words)), [3, 8, 40], torch.arange(1, 30)
    new = read_new_items(write_items(tmp_path / "new", twins(run, items)), run)
    found = Scorer(run, "as-trained", new).known(users)
    model = run.model
    trained = found[:, items]
    if words[0] == "VBPR":
        size = model.settings.embedding_size
        ids = model.user_embedding.weight[users, :size] @ model.item_embedding.weight[items].T
        if model.has_bias:
            ids = ids + model.item_bias[items]
    else:
        ids = model.user_id_embedding.weight[users] @ model.item_id_embedding.weight[items].T
    assert found.shape == (29, run.dataset.item_num + 3)
    assert torch.allclose(found[:, -3:], trained - ids.detach(), atol=1e-5)
    # The other scores are untouched.
    assert torch.allclose(found[:, :-3], Scorer(run).known(users))


def test_contentease_scores_new_items_as_known_ones(finished: MakeRun, tmp_path: Path) -> None:
    run, items, users = load_run(finished("ContentEASE")), [3, 8, 40], torch.arange(1, 30)
    new = read_new_items(write_items(tmp_path / "new", twins(run, items)), run)
    scorer = Scorer(run, "as-trained", new)
    found = scorer.known(users)
    assert torch.allclose(found[:, -3:], found[:, items], atol=1e-5)
    with pytest.raises(UserError, match="by items of training"):
        scorer.new([torch.tensor([3])])


def test_whitened_scores_of_unseen_items_are_those_of_their_rows(
    victim: str, own_data: Path, tmp_path: Path
) -> None:
    done = run_main(own_data, tmp_path, "ContentEASE", "--form=whitened", name="x")
    run, users = load_run(done.folder), torch.arange(1, 20)
    content = Scorer(run, "content")
    assert content.n_unseen == 1
    assert torch.equal(content.known(users), Scorer(run).known(users))
    mapped = Scorer(run, "content", map_features=1.0).known(users)
    number = run.dataset.field2token_id["item_id"][victim]
    changed = (mapped != content.known(users)).any(dim=0)
    assert changed.nonzero().flatten().tolist() == [number]


@pytest.mark.parametrize(
    "words",
    [("BM3",), ("BM3", "MASK"), ("LightGCN", "--modalities=[visual,acoustic]")],
    ids=" ".join,
)
def test_a_ridge_regression_gives_vectors_of_new_items(
    words: tuple[str, ...], finished: MakeRun, tmp_path: Path
) -> None:
    mask = np.linspace(0.2, 0.9, 24)
    if "MASK" in words:
        np.savez(tmp_path / "mask.npz", visual=mask[:16], acoustic=mask[16:])
        words = (words[0], f"--feature_mask={tmp_path / 'mask.npz'}")
    run, items, users = load_run(finished(*words)), [3, 8, 40], torch.arange(1, 30)
    folder = write_items(tmp_path / "new", twins(run, items))
    new = read_new_items(folder, run)
    with pytest.raises(UserError, match="--map-features"):
        Scorer(run, "as-trained", new)
    found = Scorer(run, "as-trained", new, map_features=0.5).known(users)
    user_table, item_table = (table.detach().double() for table in score_tables(run.model))
    features = run.dataset.features.matrix.double().numpy()
    if run.dataset.features.mask is not None:
        features = features * run.dataset.features.mask.numpy()
    weight = np.sqrt(np.bincount(run.parts["train"].inter_feat["item_id"], minlength=91))
    # The penalty as further rows of the least-squares problem.
    rows = np.vstack([weight[:, None] * features, np.sqrt(0.5) * np.eye(features.shape[1])])
    targets = np.zeros((len(rows), item_table.shape[1]))
    targets[:91] = weight[:, None] * item_table.numpy()
    vectors = features[items] @ np.linalg.lstsq(rows, targets, rcond=None)[0]
    expected = user_table[users] @ torch.from_numpy(vectors).T
    torch.testing.assert_close(found[:, -3:].double(), expected, rtol=1e-3, atol=1e-6)
    assert torch.equal(found[:, :-3], Scorer(run).known(users))
    request = Request(str(tmp_path), str(tmp_path / "x.csv"), "all", new_items=str(folder))
    recommend(replace(request, run=str(finished(*words)), map_features=0.5))
    assert len(pd.read_csv(tmp_path / "x.csv"))


def test_a_map_needs_features(finished: MakeRun, tmp_path: Path) -> None:
    run = load_run(finished("BPR", "--modalities=[]"))
    with pytest.raises(UserError, match="has no features"):
        Scorer(run, "content", map_features=1.0)
    with pytest.raises(UserError, match="has no features"):
        read_new_items(tmp_path, run)
    known = load_run(finished("BM3"))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="expected a number above 0"):
            Scorer(known, "content", map_features=wrong)
    request = Request(str(finished("BM3")), str(tmp_path / "x.csv"), "all", map_features=1.0)
    with pytest.raises(UserError, match="nothing to map"):
        recommend(request)


def test_a_map_reads_no_columns_that_the_learnt_mask_drops(finished: MakeRun) -> None:
    run = load_run(finished("PaInvRL"))
    run.model.set_mask(torch.cat([torch.ones(16), torch.zeros(8)]))
    features, degrees = run.dataset.features.matrix[3:6], torch.ones(run.dataset.item_num)
    found = mapped_vectors(run, features, degrees, 1.0)
    without = torch.cat([features[:, :16], torch.zeros(3, 8)], dim=1)
    torch.testing.assert_close(found, mapped_vectors(run, without, degrees, 1.0))
    run.model.set_mask(torch.zeros(24))
    with pytest.raises(UserError, match="leaves no features"):
        mapped_vectors(run, features, degrees, 1.0)


def test_new_items_can_be_recommended_and_known_ones_stay(
    finished: MakeRun, tmp_path: Path
) -> None:
    folder = finished("PaInvRL")
    run = load_run(folder)
    given = twins(run, [1, 2, 3])
    for name, (matrix, tokens) in given.items():
        tokens[2] = str(run.dataset.field2id_token["item_id"][3])
        given[name] = (matrix, tokens)
    write_items(tmp_path / "new", given)
    (tmp_path / "only").write_text("new1\nnew2\n")
    request = Request(str(folder), str(tmp_path / "x.csv"), "all", str(tmp_path / "only"),
                      new_items=str(tmp_path / "new"), k=5)  # fmt: skip
    summary = recommend(request)
    assert "2 new items are scored through their content" in summary
    assert "1 items of" in summary and "keep their trained vectors" in summary
    found = pd.read_csv(tmp_path / "x.csv", dtype=str)
    assert len(found) == 2 * len(everybody(run))
    assert set(found["item_id"]) == {"new1", "new2"}


@pytest.fixture
def victim(own_data: Path) -> str:
    """An item of ``own_data`` whose training interactions are taken away."""
    path = own_data / "tiny" / "tiny.train.inter"
    lines = path.read_text().splitlines(keepends=True)
    column = lines[0].strip().split("\t").index("item_id:token")
    victim = lines[1].split("\t")[column].strip()
    path.write_text("".join(x for x in lines if x.split("\t")[column].strip() != victim))
    return victim


def test_an_item_of_the_dataset_without_training(
    victim: str, own_data: Path, tmp_path: Path
) -> None:
    """Its trained vectors are noise: by content it scores as a new item with its features."""
    done = run_main(own_data, tmp_path, "UltraGCN", "--w2=3.0", name="x")
    assert done.code == 0, done.err
    run = load_run(done.folder)
    number = run.dataset.field2token_id["item_id"][victim]
    new = read_new_items(write_items(tmp_path / "new", twins(run, [5, number])), run)
    users = torch.arange(1, 20)
    content = Scorer(run, "content", new)
    assert content.n_unseen == 1
    found = content.known(users)
    assert torch.allclose(found[:, number], found[:, -1], atol=1e-6)
    assert not torch.allclose(Scorer(run).known(users)[:, number], found[:, -1], atol=1e-6)
    # So it is for a user whom training has not seen, who has the item or has not.
    own = torch.tensor([2, 9, 30])
    folded = content.new([own, torch.cat([own, torch.tensor([number])])])
    assert folded.shape == (2, run.dataset.item_num + 2)
    assert not torch.allclose(folded[:, -2], folded[:, -1])
    assert torch.allclose(folded[:, number], folded[:, -1], atol=1e-6)
    assert folded[1, number] > folded[0, number]
    # An item without interactions counts alike, whether the dataset has it or not.
    twin = content.new([torch.cat([own, torch.tensor([len(content.tokens) - 1])])])
    assert torch.allclose(twin, folded[1:], atol=1e-5)
    n = run.dataset.item_num - 1
    assert victim not in set(lists(Scorer(run, "leave-out"), n, "none")["item_id"])
    assert victim in set(lists(Scorer(run, "as-trained"), n, "none")["item_id"])
    request = Request(str(done.folder), str(tmp_path / "x.csv"), "all")
    assert "1 items of the dataset without a training interaction" in recommend(request)


def test_an_unseen_item_that_is_left_out_is_not_listed_for_its_name(
    victim: str, own_data: Path, tmp_path: Path
) -> None:
    done, only = run_main(own_data, tmp_path, "BPR", name="x"), tmp_path / "only"
    run = load_run(done.folder)
    other = next(t for t in run.dataset.field2token_id["item_id"] if t not in ("[PAD]", victim))
    only.write_text(f"{victim}\n{other}\n")
    request = Request(str(done.folder), str(tmp_path / "x.csv"), "all", str(only))
    recommend(request)
    assert set(pd.read_csv(tmp_path / "x.csv", dtype=str)["item_id"]) == {str(other)}
    only.write_text(f"{victim}\n")
    with pytest.raises(UserError, match="none of its 1 items can be recommended"):
        recommend(request)


@pytest.mark.parametrize("rule", ["zero", "mean"])
def test_a_missing_modality_is_treated_as_in_training(
    rule: str, finished: MakeRun, tmp_path: Path
) -> None:
    run = load_run(finished("UltraGCN", f"--missing_modality={rule}"))
    given = twins(run, [4, 5])
    name = next(iter(given))
    matrix, tokens = given[name]
    given[name] = (matrix[:1], tokens[:1])
    new = read_new_items(write_items(tmp_path / "new", given), run)
    part = run.dataset.features.slices[name]
    table = run.dataset.features.matrix
    mean = table[1:, part].sum(dim=0)
    expected = mean / mean.norm() if rule == "mean" else torch.zeros_like(mean)
    assert torch.allclose(new.features[1, part], expected, atol=1e-6)
    assert torch.allclose(new.features[0], table[4], atol=1e-6)
    outside = torch.ones(table.shape[1], dtype=torch.bool)
    outside[part] = False
    assert torch.allclose(new.features[1, outside], table[5, outside], atol=1e-6)


def test_what_fills_a_missing_modality_is_no_content_of_a_new_item(
    finished: MakeRun, tmp_path: Path
) -> None:
    """In a model that knows what an item has."""
    run = load_run(finished("GRCN", "--missing_modality=mean"))
    given = twins(run, [4, 5])
    name = next(iter(given))
    given[name] = (given[name][0][:1], given[name][1][:1])
    new = read_new_items(write_items(tmp_path / "new", given), run)
    users = torch.arange(1, 30)
    found = Scorer(run, "as-trained", new).known(users)[:, -1]
    part = run.dataset.features.slices[name]
    bare = new.features[1:].clone()
    bare[:, part] = 0
    assert new.features[1, part].any()
    by_user = score_tables(run.model)[0][users]
    scores = []
    for row in (bare, new.features[1:]):
        vectors = content_vectors(run.model, row)
        scores.append((by_user @ vectors.T).squeeze(1))
    torch.testing.assert_close(found, scores[0])
    assert not torch.allclose(found, scores[1])


def test_what_new_items_lack_says_nothing_of_unseen_ones(
    victim: str, own_data: Path, tmp_path: Path
) -> None:
    """Both kinds have the scores that each has without the other."""
    done = run_main(own_data, tmp_path, "GRCN", "--missing_modality=mean", name="x")
    run, users = load_run(done.folder), torch.arange(1, 20)
    assert victim in run.dataset.field2token_id["item_id"]
    given = twins(run, [4, 5])
    name = next(iter(given))
    given[name] = (given[name][0][:1], given[name][1][:1])
    new = read_new_items(write_items(tmp_path / "new", given), run)
    unseen, alone = Scorer(run, "content"), Scorer(run, "as-trained", new)
    found = Scorer(run, "content", new).known(users)
    assert unseen.n_unseen == 1
    torch.testing.assert_close(found[:, :-2], unseen.known(users))
    torch.testing.assert_close(found[:, -2:], alone.known(users)[:, -2:])


def test_faulty_folders(finished: MakeRun, tmp_path: Path) -> None:
    run = load_run(finished("UltraGCN"))
    given = twins(run, [4, 5])
    first, second = given
    with pytest.raises(UserError, match=f"needs features/{second}.npy"):
        read_new_items(write_items(tmp_path / "a", {first: given[first]}), run)
    matrix, tokens = given[first]
    narrow = {**given, first: (matrix[:, 1:], tokens)}
    with pytest.raises(UserError, match=r"columns, the run was trained on"):
        read_new_items(write_items(tmp_path / "b", narrow), run)
    old = [str(token) for token in run.dataset.field2id_token["item_id"][1:3]]
    known = {name: (values, old) for name, (values, _) in given.items()}
    with pytest.raises(UserError, match="all of its 2 items are in the dataset already"):
        read_new_items(write_items(tmp_path / "c", known), run)
    strict = load_run(finished("UltraGCN", "--missing_modality=error"))
    gap = {**given, first: (matrix[:1], tokens[:1])}
    with pytest.raises(UserError, match="1 of 2 items have no row"):
        read_new_items(write_items(tmp_path / "d", gap), strict)


@pytest.mark.parametrize("words", [("BPR",), ("MMGCN",), ("UltraGCN", "--modalities=[]")])
def test_models_that_cannot_say_so(
    words: tuple[str, ...], finished: MakeRun, tmp_path: Path
) -> None:
    for more in ({"new_items": str(tmp_path)}, {"unseen_items": "content"}):
        request = Request(str(finished(*words)), str(tmp_path / "x.csv"), "all", **more)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=f"this run of {words[0]}"):
            recommend(request)
