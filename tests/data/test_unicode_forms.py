"""Ids that differ only by their Unicode normalisation."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from support import MakeConfig, write_inter

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.features import aligned_features
from recbole_painvrl.data.folder import write_features
from recbole_painvrl.errors import UserError

NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


def test_users_and_items_that_look_the_same_are_named(
    tmp_path: Path, tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """One user was two, and nothing was said."""
    rows = [f"u{n % 5}\ti{n}" for n in range(30)] + [f"{NFC}\ti1", f"{NFD}\ti2", "u1\t\u00fc"]
    data = write_inter(tmp_path / "data", "t", "user_id:token\titem_id:token", rows)
    with caplog.at_level("WARNING", "recbole_painvrl"):
        assert ModalityDataset(tiny_config("BPR", "--dataset=t", data=data)).user_num == 8
    (line,) = [one.getMessage() for one in caplog.records if "Unicode" in one.getMessage()]
    assert "1 ids in `user_id`" in line and r"'caf\xe9' and 'cafe\u0301'" in line


def test_features_of_ids_in_another_form_are_refused(tmp_path: Path) -> None:
    """With `unknown_items: ignore` the item had no features."""
    path = tmp_path / "features" / "visual.npy"
    path.parent.mkdir()
    write_features(path, np.ones((3, 2), np.float32), ["a", NFD, "\u00fc"])
    with pytest.raises(UserError, match=r"1 item ids differ .* first 'cafe.u0301' in place of"):
        aligned_features(tmp_path, "visual", {"[PAD]": 0, "a": 1, NFC: 2}, 3, "zero", "ignore")
    known = {"[PAD]": 0, "a": 1, NFD: 2, NFC: 3}
    found = aligned_features(tmp_path, "visual", known, 4, "zero", "ignore")
    assert (found.n_missing, found.n_unknown) == (1, 1)
