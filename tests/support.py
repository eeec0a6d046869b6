"""Short runs, small datasets and other help that several test modules share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

from recbole_painvrl.cli.run import main
from recbole_painvrl.config import SafeConfig
from recbole_painvrl.config.layers import Layer, internal_layers, merge
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.functional.mask_form import Cut
from recbole_painvrl.models.invrl import InvRLSettings
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings
from recbole_painvrl.run.build import build, build_trainer
from recbole_painvrl.training import pipeline

MakeConfig = Callable[..., SafeConfig]

# Designs of the dataset `tiny`, and of the small one that has the name of those in the docs.
TINY = PlantedDesign(
    n_users=120,
    n_items=90,
    min_interactions=15,
    max_interactions=20,
    modalities={"visual": 16, "acoustic": 8},
)
PAGES = PlantedDesign(
    n_users=40, n_items=60, min_interactions=10, max_interactions=12, modalities={"visual": 4}
)
# A whole PaInvRL run in a second, whatever the defaults become.
STAGES_ALONE = (
    "--backbone_epochs=2",
    "--environment_rounds=3",
    "--environment_restarts=2",
    "--mask_epochs=2",
)
SHORT_STAGES = (*STAGES_ALONE, "--mask_form=soft")


@contextmanager
def every_mask_is_cut() -> Iterator[None]:
    """The mask of every modality counts as two groups, which two epochs do not form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cut, "two_groups", property(lambda cut: cut.threshold is not None))
        yield


@contextmanager
def empty_figures() -> Iterator[None]:
    """The figures of a report are empty: drawing them takes seconds."""
    from recbole_painvrl.report.plots.style import Figures
    from recbole_painvrl.report.render import Drawing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figures, "write", lambda *given: Drawing(given[-1], "0 0 1 1", ""))
        yield


def quick(data_path: Path, output_dir: Path, dataset: str = "tiny") -> list[str]:
    """Arguments of a short run on the CPU, quiet, with its run folder in ``output_dir``."""
    return [
        f"--dataset={dataset}",
        f"--data_path={data_path}",
        f"--output_dir={output_dir / 'runs'}",
        "--epochs=2",
        "--show_progress=False",
        "--use_gpu=False",
    ]


def last_values(words: Iterable[str]) -> list[str]:
    """Settings ``--name=value``; of those that are given twice the last holds."""
    return list({word.partition("=")[0]: word for word in words}.values())


def replaced(words: list[str], options: list[str]) -> list[str]:
    """A command with other values of some options, ``--name=value``, which may not occur twice."""
    names = {option.partition("=")[0] for option in options}
    kept, left = [], iter(words)
    for word in left:
        if word in names:
            next(left)
        elif word.partition("=")[0] not in names:
            kept.append(word)
    return [*kept, *options]


def planted_data(design: PlantedDesign, root: Path, name: str = "tiny") -> Path:
    """Write a planted dataset into a folder of dataset folders; that folder."""
    write_dataset(generate_planted(design, name), root / name)
    return root


def shipped_settings(model: str = "PaInvRL", preset: str | None = None, **values: Any) -> Any:
    """The settings of the shipped files and a preset, but for the values given."""
    chosen = [] if preset is None else [Layer("test", {"preset": preset})]
    shipped = merge(internal_layers(model, "planted", chosen))[0]
    own = {"PaInvRL": PaInvRLSettings, "InvRL": InvRLSettings}[model]
    # Other names are ignored there.
    assert values.keys() <= own.model_fields.keys(), values
    return own.from_config({**shipped, **values})


def with_values(settings: Any, **values: Any) -> Any:
    """The same settings with other values, also ones outside their bounds."""
    assert all(hasattr(settings, name) for name in values), values
    return settings.model_copy(update=values)


def trainer_of(config: SafeConfig) -> tuple[Any, Any, Any]:
    """A trainer without TensorBoard, and the loaders of training and validation."""
    built = build(config)
    trainer: Any = build_trainer(config, built.model)
    trainer.tensorboard.close()
    train, valid = (built.parts[name] for name in (TRAIN, VALID))
    return (
        trainer,
        training_loader(config, train),
        evaluation_loader(config, [train], valid, "valid"),
    )


def write_inter(root: Path, name: str, columns: str, rows: Iterable[str]) -> Path:
    """Write interactions, one a line, into a folder of dataset folders; that folder."""
    (root / name).mkdir(parents=True)
    (root / name / f"{name}.inter").write_text("\n".join([columns, *rows]) + "\n")
    return root


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """The content of a JSON or YAML file, which is written back as it was changed."""
    text = path.read_text()
    content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    yield content
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))


def id_pairs(split: Any) -> list[tuple[int, int]]:
    """(user, item) of every row of a split by internal ids, in its order."""
    table = split.inter_feat
    return list(zip(table["user_id"].tolist(), table["item_id"].tolist(), strict=True))


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, TensorBoard's names cut to their folder."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {"tensorboard" if name.startswith("tensorboard/") else name for name in names}


def assert_means(per_user: Any, metrics: dict[str, dict[str, float]]) -> None:
    """The means of per_user.parquet are the test metrics of result.json."""
    tests = {name: values for name, values in metrics.items() if name != "valid"}
    assert set(per_user["test_set"]) == set(tests)
    for name, values in tests.items():
        rows = per_user[per_user["test_set"] == name]
        assert not rows["user_id"].duplicated().any()
        assert "[PAD]" not in set(rows["user_id"])
        for metric, value in values.items():
            assert rows[metric].mean() == pytest.approx(value, abs=1e-6)


def result_of(folder: Path) -> Any:
    """``result.json`` of a run, read as strictly as JSON is defined."""

    def refuse(name: str) -> None:
        raise AssertionError(f"result.json holds {name}")

    return json.loads((folder / "result.json").read_text(), parse_constant=refuse)


@dataclass(frozen=True)
class Finished:
    """A run through the command line: exit code, what it printed, and its folder."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def result(self) -> Any:
        """``result.json``."""
        return result_of(self.folder)

    @property
    def per_user(self) -> pd.DataFrame:
        """``per_user.parquet``."""
        return pd.read_parquet(self.folder / "per_user.parquet")

    def arrays(self, name: str) -> dict[str, Any]:
        """Arrays of ``mask.npz`` or ``environments.npz``."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as archive:
            return dict(archive)

    def weights(self, name: str = "best") -> dict[str, Tensor]:
        """Tensors of a checkpoint."""
        return load_file(self.folder / "checkpoint" / f"{name}.safetensors")


def run_main(data_path: Path, output_dir: Path, model: str, *argv: str, name: str) -> Finished:
    """Run a model on the tiny dataset by the command line's ``main`` into ``runs/name``."""
    return run_command(f"--model={model}", *quick(data_path, output_dir), *argv, name=name)


def run_command(*argv: str, name: str) -> Finished:
    """Run the command line's ``main`` with a run name; ``--output_dir`` must be among ``argv``.

    Of settings that are given twice the last holds.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*last_values(argv), f"--run_name={name}"])
    (parent,) = (word.partition("=")[2] for word in argv if word.startswith("--output_dir="))
    return Finished(code, out.getvalue(), err.getvalue(), Path(parent) / name)


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def kill_at(save: int, before: bool, patch: pytest.MonkeyPatch) -> None:
    """From now on, the n-th save kills, before or after the file is in place."""
    original, count = pipeline.write_checkpoint, 0

    def write(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == save and before:
            raise Killed
        original(*arguments)
        if count == save:
            raise Killed

    patch.setattr(pipeline, "write_checkpoint", write)
    # Saving every epoch, however small its share of the time.
    patch.setattr(pipeline, "_SAVING_FRACTION", 1e9)


@contextmanager
def killing(save: int, before: bool = False) -> Iterator[None]:
    """What is done inside is killed at its n-th save, before or after the file is in place."""
    with pytest.MonkeyPatch.context() as patch:
        kill_at(save, before, patch)
        with pytest.raises(Killed):
            yield
