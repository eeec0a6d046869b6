"""Laws that every recommender obeys, the project's, RecBole's and yours, as pytest tests.

A test module of your package needs two lines::

    class TestMyModel(ModelLaws):
        subject = Subject("MyModel", ("--embedding_size=6",), uses_features=True)

Needs pytest. The laws run on small planted datasets, which they make themselves.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from recbole_painvrl.config import SafeConfig, config_from_arguments
from recbole_painvrl.testing.data import datasets
from recbole_painvrl.testing.laws import (
    MakeConfig,
    Subject,
    a_gpu_gives_the_same,
    batch_does_not_matter,
    columns_may_be_permuted,
    gradients_are_derivatives,
    learns_a_checkerboard,
    padding_is_nobody,
    predict_is_full_sort_predict,
    relabelling_permutes,
    saved_and_loaded_is_the_same,
    zero_features_are_ids_only,
)

__all__ = ["MakeConfig", "ModelLaws", "Subject"]


class ModelLaws:
    """All laws of one model as tests; inherit it and set ``subject``.

    Attributes:
        subject: the model under test.
    """

    subject: ClassVar[Subject]

    @pytest.fixture
    def make(
        self,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> MakeConfig:
        """A function that makes configurations; if a setting is repeated, the last value counts."""
        # RecBole reads the command line, draws from global generators and writes where it stands.
        monkeypatch.setattr(sys, "argv", ["pytest"])
        monkeypatch.chdir(tmp_path)
        # Importing RecBole's SINE enables it, which makes the backward ten times slower.
        torch.autograd.set_detect_anomaly(False)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        self.data = datasets(tmp_path_factory.getbasetemp())

        def make(model: str, *argv: str, data: Path | None = None) -> SafeConfig:
            words = [
                f"--model={model}",
                "--dataset=tiny",
                f"--data_path={data or self.data / 'plain'}",
                f"--output_dir={tmp_path / 'runs'}",
                "--epochs=2",
                "--show_progress=False",
                "--use_gpu=False",
                *argv,
            ]
            last = {word.partition("=")[0]: word for word in words}
            return config_from_arguments(list(last.values()))

        return make

    def test_predict_is_full_sort_predict(self, make: MakeConfig) -> None:
        """Both ways of scoring agree."""
        predict_is_full_sort_predict(self.subject, make)

    def test_batch_does_not_matter(self, make: MakeConfig) -> None:
        """A user's scores are the same alone and among others."""
        batch_does_not_matter(self.subject, make)

    def test_saved_and_loaded_is_the_same(self, make: MakeConfig, tmp_path: Path) -> None:
        """A checkpoint brings the scores back."""
        saved_and_loaded_is_the_same(self.subject, make, tmp_path)

    def test_relabelling_permutes(self, make: MakeConfig) -> None:
        """Other internal numbers of users and items permute the scores."""
        relabelling_permutes(self.subject, make, self.data / "shuffled")

    def test_a_gpu_gives_the_same(self, make: MakeConfig) -> None:
        """No tensor is on the wrong device, and training on a GPU is that on the CPU."""
        a_gpu_gives_the_same(self.subject, make)

    def test_padding_is_nobody(self, make: MakeConfig) -> None:
        """The padding rows change nothing."""
        padding_is_nobody(self.subject, make)

    def test_columns_may_be_permuted(self, make: MakeConfig) -> None:
        """Feature columns have no order."""
        if not self.subject.uses_features:
            pytest.skip("its scores do not use features")
        columns_may_be_permuted(self.subject, make)

    def test_zero_features_are_ids_only(self, make: MakeConfig) -> None:
        """Without content the model is its ID-only form."""
        if self.subject.ids_only is None:
            pytest.skip("it has no ID-only form")
        zero_features_are_ids_only(self.subject, make)

    def test_gradients_are_derivatives(self, make: MakeConfig) -> None:
        """The gradient of the loss agrees with central differences."""
        if not self.subject.learns:
            pytest.skip("no gradient trains it")
        gradients_are_derivatives(self.subject, make)

    def test_learns_a_checkerboard(self, make: MakeConfig) -> None:
        """Two groups are learnt by heart."""
        if self.subject.fit is None:
            pytest.skip("it does not have to learn this (`fit`)")
        learns_a_checkerboard(self.subject, make, self.data / "board", *self.subject.fit)
