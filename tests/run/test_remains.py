"""A list of items whose feature matrix is missing, for models and runs that do not read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import run_main

from recbole_painvrl.data import dataset
from recbole_painvrl.data.features import available_modalities
from recbole_painvrl.errors import UserError
from recbole_painvrl.inference.loading import load_run

WORDS = "visual.npy: no such file, but visual.items.tsv"


def test_a_model_without_features_runs(own_data: Path, tmp_path: Path) -> None:
    """It was refused, as if it read them."""
    (own_data / "tiny" / "features" / "visual.npy").unlink()
    done = run_main(own_data, tmp_path, "BPR", name="r")
    assert done.code == 0, done.err
    assert done.err.count(WORDS) == 1 and "is left out" in done.err
    assert list(done.result["modalities"]) == ["acoustic"]
    assert load_run(done.folder).dataset.features.slices.keys() == {"acoustic"}
    options = ("--protocol=iid_ood", "--split_environment_model=content")
    done = run_main(own_data, tmp_path, "BPR", *options, name="split")
    assert done.code == 2 and WORDS in done.err


def test_a_run_that_did_without_it_opens(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of an earlier version, which left it out."""
    matrix = own_data / "tiny" / "features" / "visual.npy"
    content = matrix.read_bytes()
    matrix.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "all_modalities", lambda folder, _: available_modalities(folder))
        done = run_main(own_data, tmp_path, "UltraGCN", name="r")
    assert load_run(done.folder).dataset.features.slices.keys() == {"acoustic"}
    matrix.write_bytes(content)
    done = run_main(own_data, tmp_path, "UltraGCN", name="both")
    matrix.unlink()
    with pytest.raises(UserError, match=WORDS):
        load_run(done.folder)
