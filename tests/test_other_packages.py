"""A model of another package is run, recommended from, compared and searched like ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MODEL = '''
from pathlib import Path
from pydantic import Field
from torch import nn
from recbole_painvrl import ModelSpec
from recbole_painvrl.config.base import Settings
from recbole_painvrl.functional.pairwise import bpr_loss
from recbole_painvrl.models.pairwise import PairwiseRecommender


class TinySettings(Settings):
    """A factorisation of features alone."""

    width: int = Field(ge=1, description="Columns of the vectors.")


class Tiny(PairwiseRecommender):
    """Users by projected features."""

    settings_class = TinySettings

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.users = nn.Embedding(self.n_users, self.settings.width)
        self.projection = nn.Linear(self.features.shape[1], self.settings.width)

    def tables(self):
        return self.users.weight, self.projection(self.features)

    def content_vectors(self, features):
        return self.projection(features)

    def calculate_loss(self, interaction):
        users, items = self.tables()
        user, positive, negative = self.triples(interaction)
        scores = [(users[user] * items[one]).sum(dim=1) for one in (positive, negative)]
        return self.note("bpr", bpr_loss(*scores))


FILES = Path(__file__).parent / "properties"
SPEC = ModelSpec("Tiny", Tiny, TinySettings, needs_modalities=True, properties=FILES)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, and the metadata that pip would have written for it."""
    root = tmp_path_factory.mktemp("site")
    home = root / "tiny_models"
    for folder, content in (("model", {"width": 8, "learning_rate": 0.01}), ("search", None)):
        (home / "properties" / folder).mkdir(parents=True)
        file = home / "properties" / folder / "Tiny.yaml"
        file.write_text(yaml.safe_dump(content or {"width": {"choices": [4, 8]}}))
    (home / "properties" / "preset" / "Tiny").mkdir(parents=True)
    (home / "properties" / "preset" / "Tiny" / "wide.yaml").write_text("width: 16\n")
    (home / "__init__.py").write_text("")
    (home / "models.py").write_text(MODEL)
    return root


@pytest.fixture(scope="module")
def installed(package: Path) -> Path:
    info = package / "tiny_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n")
    points = "[recbole_painvrl.models]\nTiny = tiny_models.models:SPEC\n"
    (info / "entry_points.txt").write_text(points)
    return package


def call(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "recbole_painvrl", *words], capture_output=True, text=True,
        cwd=folder, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def test_by_its_name_in_a_module(package: Path, tmp_path: Path, tiny_data: Path) -> None:
    """Nothing is installed; later commands find the model by what the run folder says."""
    common = ["--dataset=tiny", f"--data_path={tiny_data}", "--show_progress=False", "--epochs=2"]
    words = ["--model=tiny_models.models:Tiny", "--preset=wide", "--run_name=r", *common]
    done = call(package, tmp_path, "run", *words)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/r/result.json").read_text())
    assert result["model"] == "Tiny"
    config = yaml.safe_load((tmp_path / "runs/r/config.yaml").read_text())
    assert (config["width"]["value"], config["width"]["from"]) == (16, "preset wide")
    for command in (
        "recommend runs/r --users all --k 3 --out recs.csv",
        "export runs/r --what embeddings --out vectors.safetensors",
        "report runs/r --output page.html",
    ):
        done = call(package, tmp_path, *command.split())
        assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "runs/r/result.json").read_text())["command"]
    assert any("tiny_models.models:Tiny" in word for word in again)
    # A grid compares it with RecBole's models, under the name that it has in a report.
    done = call(
        package, tmp_path, "benchmark", "--models=tiny_models.models:Tiny,BPR", "--seeds=1",
        "--set=tiny_models.models:Tiny.width=4", "--output=grid", *common[:2], "--epochs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| Tiny |" in done.stdout
    (folder,) = (tmp_path / "grid" / "cells").glob("Tiny-tiny-seed0-*/")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["width"]["value"] == 4
    done = call(
        package, tmp_path, "tune", "--model=tiny_models.models:Tiny", "--trials=1", "--epochs=1",
        *common[:2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "tune-Tiny-tiny" / "best.yaml").is_file()


def test_what_is_wrong_is_one_line(package: Path, tmp_path: Path, tiny_data: Path) -> None:
    common = ["run", "--dataset=tiny", f"--data_path={tiny_data}"]
    for words, message in (
        (["--model=tiny_models.models:Tiny", "--width=0"], "`width`: found 0"),
        (["--model=tiny_models.models:Tiny", "--widht=4"], "did you mean `width`?"),
        (["--model=tiny_models.models:Tiny", "--modalities=[]"], "at least one"),
        (["--model=tiny_models.models:Other"], "cannot be imported"),
        (["--model=tiny_models.nothing:Tiny"], "cannot be imported"),
        (["--model=pathlib:Path"], "has no ModelSpec"),
    ):
        done = call(package, tmp_path, *common, *words)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_its_property_file_is_checked_like_ours(package: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(package, tmp_path / "site"))
    file = site / "tiny_models" / "properties" / "model" / "Tiny.yaml"
    words = ["run", "--model=tiny_models.models:Tiny", "--dataset=planted"]
    file.write_text("widht: 8\nwidth: 8\n")
    done = call(site, tmp_path, *words)
    assert done.returncode == 2 and "did you mean `width`?" in done.stderr, done.stderr
    file.unlink()
    done = call(site, tmp_path, *words)
    assert done.returncode == 2 and f"{file}: no such file" in done.stderr, done.stderr
    done = call(
        site, tmp_path, "run", "--model=BPR", "--model_from=tiny_models.models:Tiny",
        "--dataset=planted",
    )  # fmt: skip
    assert done.returncode == 2 and "`model_from`: found" in done.stderr, done.stderr


def test_an_installed_package(installed: Path, tmp_path: Path, tiny_data: Path) -> None:
    """Its entry point is enough for every command."""
    common = ["--dataset=tiny", f"--data_path={tiny_data}", "--epochs=1"]
    done = call(
        installed, tmp_path, "tune", "--model=Tiny", *common, "--trials=2", "--output=search"
    )
    assert done.returncode == 0, done.stderr
    done = call(installed, tmp_path, "run", "--model=Tinny", *common)
    assert "did you mean `Tiny`?" in done.stderr
