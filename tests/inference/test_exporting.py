"""What is written: exports against scores and files of the run, lists in groups of rows."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pyarrow import parquet
from safetensors import safe_open
from safetensors.torch import load_file
from serving_support import MakeRun

from recbole_painvrl.errors import UserError, WriteError
from recbole_painvrl.inference import files
from recbole_painvrl.inference.exporting import KINDS, write_export
from recbole_painvrl.inference.files import write_recommendations
from recbole_painvrl.inference.loading import LoadedRun, load_run
from recbole_painvrl.inference.recommending import Recommended


def export(run: LoadedRun, what: str, path: Path) -> set[str]:
    return {file.name for file in write_export(path, KINDS[what](run), run)}


def tokens(run: LoadedRun, field: str) -> list[str]:
    return [str(token) for token in run.dataset.field2id_token[field][1:]]


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str)


@pytest.mark.parametrize(
    "model", ["PaInvRL", "VBPR", "MMGCN", "BM3", "ContentEASE", "BPR", "LightGCN"]
)
def test_products_of_embeddings_are_the_scores(
    model: str, finished: MakeRun, tmp_path: Path
) -> None:
    run = load_run(finished(model))
    names = export(run, "embeddings", tmp_path / "v.safetensors")
    assert names == {"v.safetensors", "v.users.tsv", "v.items.tsv"}
    found = load_file(tmp_path / "v.safetensors")
    n_users, n_items = run.dataset.user_num, run.dataset.item_num
    scores = run.model.full_sort_predict({"user_id": torch.arange(1, n_users)})
    expected = scores.detach().view(-1, n_items)[:, 1:]
    assert torch.allclose(found["users"] @ found["items"].T, expected, atol=1e-5)
    for field, name in (("user_id", "users"), ("item_id", "items")):
        ids = table(tmp_path / f"v.{name}.tsv")
        assert ids["row"].tolist() == [str(n) for n in range(len(found[name]))]
        assert ids[field].tolist() == tokens(run, field)
    with safe_open(tmp_path / "v.safetensors", framework="pt") as archive:
        assert archive.metadata()["model"] == model


def test_npy_holds_the_same(finished: MakeRun, tmp_path: Path) -> None:
    run = load_run(finished("PaInvRL"))
    for what in KINDS:
        export(run, what, tmp_path / f"{what}.safetensors")
        written = export(run, what, tmp_path / f"{what}.npy")
        for name, tensor in load_file(tmp_path / f"{what}.safetensors").items():
            assert f"{what}.{name}.npy" in written
            array = np.load(tmp_path / f"{what}.{name}.npy", allow_pickle=False)
            assert np.array_equal(array, tensor.numpy())


def test_mask_and_representations(finished: MakeRun, tmp_path: Path) -> None:
    run = load_run(finished("PaInvRL"))
    export(run, "mask", tmp_path / "m.safetensors")
    export(run, "representations", tmp_path / "r.safetensors")
    masks = load_file(tmp_path / "m.safetensors")
    both = load_file(tmp_path / "r.safetensors")
    features = run.dataset.features
    assert set(masks) == set(features.slices)
    with np.load(run.folder / "mask.npz", allow_pickle=False) as saved:
        for name, part in features.slices.items():
            assert np.array_equal(masks[name].numpy(), saved[name])
            rows = table(tmp_path / f"m.{name}.tsv")
            assert rows["modality"].unique().tolist() == [name]
            assert rows["column"].tolist() == [str(n) for n in range(part.stop - part.start)]
            f = features.matrix[1:, part]
            assert torch.equal(both["invariant"][:, part], f * masks[name])
            assert torch.equal(both["variant"][:, part], f * (1 - masks[name]))
    assert table(tmp_path / "r.items.tsv")["item_id"].tolist() == tokens(run, "item_id")
    with safe_open(tmp_path / "r.safetensors", framework="pt") as archive:
        columns = json.loads(archive.metadata()["columns"])
    assert columns == {name: [part.start, part.stop] for name, part in features.slices.items()}


def test_refusals(finished: MakeRun, tmp_path: Path) -> None:
    for what in ("mask", "representations"):
        with pytest.raises(UserError, match="UltraGCN learns no mask"):
            KINDS[what](load_run(finished("UltraGCN")))
    joint = ("ContentEASE", "--form=joint")
    for model, *argv in (("ItemKNN",), ("Pop",), ("NeuMF",), ("RP3beta",), ("EliMRec",), joint):
        with pytest.raises(UserError, match=f"{model}: its scores are not products"):
            KINDS["embeddings"](load_run(finished(model, *argv)))
    run = load_run(finished("BPR"))
    with pytest.raises(UserError, match=r"found v.pt, expected a name on .safetensors, .npy"):
        write_export(tmp_path / "v.pt", KINDS["embeddings"](run), run)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_what_was_there(
    finished: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of one run beside the vectors of another would look right and be wrong."""
    export(load_run(finished("BPR")), "embeddings", tmp_path / "v.safetensors")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = load_run(finished("LightGCN"))
    sync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        export(other, "embeddings", tmp_path / "v.safetensors")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_in_place_of_one_of_the_files_is_refused(
    finished: MakeRun, tmp_path: Path
) -> None:
    (tmp_path / "v.items.npy").mkdir()
    with pytest.raises(UserError, match=r"items\.npy is a folder"):
        export(load_run(finished("BPR")), "embeddings", tmp_path / "v.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["v.items.npy"]


def block(first: int, n_rows: int) -> Recommended:
    """One user's list of some rows."""
    rows = np.arange(first, first + n_rows)
    items = np.array([f"i{row}" for row in rows], dtype=object)
    users = np.full(n_rows, f"u{first}", dtype=object)
    ranks = np.arange(1, n_rows + 1, dtype=np.int32)
    return Recommended(users, items, ranks, rows.astype(np.float32), 1, 0)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([3, 4, 5, 2], [7, 5, 2]),
        ([5, 5], [5, 5]),
        ([2, 2], [4]),
        ([0, 6, 0], [6, 0]),
        ([], []),
    ],
)
def test_every_row_is_written_once(
    sizes: list[int], groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, in groups of at least 5 rows but for the last."""
    monkeypatch.setattr(files, "_GROUP_ROWS", 5)
    starts = np.cumsum([0, *sizes])
    blocks = [block(int(start), size) for start, size in zip(starts, sizes, strict=False)]
    write_recommendations(tmp_path / "x.parquet", iter(blocks))
    found = pd.read_parquet(tmp_path / "x.parquet")
    assert found["item_id"].tolist() == [f"i{row}" for row in range(sum(sizes))]
    assert found["score"].tolist() == list(range(sum(sizes)))
    written = parquet.ParquetFile(tmp_path / "x.parquet").metadata
    assert [written.row_group(n).num_rows for n in range(written.num_row_groups)] == groups
