"""run(2k) == run(k) + resume(k), wherever the run was killed, also inside a save."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Killed, MakeConfig, kill_at, killing, result_of, run_main, trainer_of

from recbole_painvrl.cli.run import main
from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.training import pipeline
from recbole_painvrl.training.checkpoint import read_checkpoint
from recbole_painvrl.training.guard import Guard

CPU = torch.device("cpu")
NEEDS_FAISS = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="RecBole's NCL needs faiss"
)

STAGES = (
    "--backbone_epochs=2",
    "--environment_rounds=4",
    "--mask_epochs=2",
    "--mask_batch_size=128",
    "--outer_rounds=2",
    "--mask_form=soft",
)
# Negatives of BPR come from numpy's global generator, those of UltraGCN from its own.
MODELS: Mapping[str, tuple[str, ...]] = {
    "PaInvRL": STAGES,
    "InvRL": STAGES,
    "UltraGCN": (),
    "MMSSL": (),
    "BPR": (),
    "ItemKNN": (),
    # RecBole's, with state beside weights and one optimiser: a count of steps, two optimisers,
    # losses per diffusion step, clusters.
    "MultiVAE": (),
    "MacridVAE": (),
    "RecVAE": (),
    "DiffRec": (),
    "LDiffRec": (),
    "NCL": ("--num_clusters=5", "--m_step=2"),
}


Outcome = tuple[dict[str, Any], dict[str, bytes]]


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """Result and files of an uninterrupted run of a model, made once."""

    @functools.cache
    def run(model: str) -> Outcome:
        place = tmp_path_factory.mktemp(model)
        finished = run_main(tiny_data, place, model, *MODELS[model], name="whole")
        assert finished.code == 0, finished.err
        return outcome(finished.folder)

    return run


def outcome(folder: Path) -> Outcome:
    """What must not depend on the interruption."""
    result = result_of(folder)
    kept = {key: result.get(key) for key in ("metrics", "split", "planted")}
    kept["stages"] = [
        {key: value for key, value in stage.items() if key not in ("seconds", "peak_memory_mb")}
        for stage in result["stages"]
    ]
    files = {
        path.name: path.read_bytes()
        for path in sorted((folder / "checkpoint").iterdir())
        if path.name != "last.safetensors"
    }
    for path in folder.glob("*.npz"):
        files[path.name] = path.read_bytes()
        with np.load(path) as arrays:
            files.update({f"{path.name}/{name}": arrays[name].tobytes() for name in arrays.files})
    return kept, files


def killed_at(data: Path, place: Path, model: str, save: int, before: bool = False) -> Path:
    """Folder of a run that was killed at its n-th save, before or after the file is in place."""
    with killing(save, before):
        run_main(data, place, model, *MODELS[model], name="killed")
    return place / "runs" / "killed"


@pytest.mark.parametrize(
    ("model", "save", "before"),
    [
        *[("PaInvRL", save, save % 2 == 0) for save in (2, 5, 8, 11, 15)],
        # Inside the second mask stage, whose weights have grown.
        ("InvRL", 10, True),
        ("UltraGCN", 3, False),
        *[("BPR", save, save % 2 == 1) for save in (2, 3)],
        ("ItemKNN", 2, False),
        *[(m, 2, False) for m in ("MultiVAE", "MacridVAE", "RecVAE", "DiffRec", "LDiffRec")],
        pytest.param("NCL", 2, False, marks=NEEDS_FAISS),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(
    model: str,
    save: int,
    before: bool,
    whole: Callable[[str], Outcome],
    tiny_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = whole(model)
    folder = killed_at(tiny_data, tmp_path, model, save, before)
    assert not (folder / "result.json").exists()
    code = main([f"--resume={folder}", "--show_progress=False"])
    assert code == 0, capsys.readouterr().err
    got = outcome(folder)
    assert got[0] == expected[0]
    assert got[1].keys() == expected[1].keys()
    assert [name for name in got[1] if got[1][name] != expected[1][name]] == []


@pytest.mark.parametrize("model", ["PaInvRL", "BPR"])
def test_a_run_killed_at_every_second_save_arrives(
    model: str,
    whole: Callable[[str], Outcome],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = killed_at(tiny_data, tmp_path, model, 2)
    resumes, code = 0, None
    while code is None:
        resumes += 1
        assert resumes < 50, "a resumed run does not get on"
        with monkeypatch.context() as inner, contextlib.suppress(Killed):
            kill_at(2, False, inner)
            code = main([f"--resume={folder}", "--show_progress=False"])
    assert code == 0
    assert resumes > 1
    assert outcome(folder) == whole(model)


def test_seconds_and_memory_are_those_of_all_processes(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as first:
        first.setattr(pipeline.Pipeline, "spent", lambda _: (1000.0, 50_000.0))
        folder = killed_at(tiny_data, tmp_path, "BPR", 2)
    assert main([f"--resume={folder}", "--show_progress=False"]) == 0
    result = result_of(folder)
    assert 1000 < result["seconds"] < 2000
    assert result["peak_memory_mb"] == 50_000
    assert "goes on after the 100" in (folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("model", "stage"),
    [("PaInvRL", "final"), ("PaInvRL", "mask 1"), ("BPR", "train"), ("MMSSL", "train")],
)
def test_ctrl_c_saves_the_epochs_since_the_last_save(
    model: str,
    stage: str,
    whole: Callable[[str], Outcome],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupting(done: Callable[..., Any]) -> Callable[..., Any]:
        """The same, but Ctrl-C comes when the second epoch of the stage has changed the weights."""
        seen = 0

        def call(owner: Any, *arguments: Any) -> Any:
            nonlocal seen
            outcome = done(owner, *arguments)
            seen += not isinstance(owner, Guard) or owner._trainer.stage == stage
            if seen == 2:
                raise KeyboardInterrupt
            return outcome

        return call

    with monkeypatch.context() as inner:
        # Saving would always take too long, but for the first time and at the end of a stage.
        inner.setattr(pipeline, "_SAVING_FRACTION", 1e-9)
        owner, name = (MaskLearner, "run_epoch") if "mask" in stage else (Guard, "check_weights")
        inner.setattr(owner, name, interrupting(getattr(owner, name)))
        stopped = run_main(tiny_data, tmp_path, model, *MODELS[model], name="stopped")
    assert stopped.code == 1
    _, state = read_checkpoint(stopped.folder / "checkpoint" / "last.safetensors", CPU)
    assert state["stage"] == stage
    if "mask" not in stage:
        assert state["stages"][stage]["counters"]["start_epoch"] == 1
    assert main([f"--resume={stopped.folder}", "--show_progress=False"]) == 0
    assert outcome(stopped.folder) == whole(model)


def test_what_cannot_be_resumed(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(tiny_data, tmp_path, "ItemKNN", name="whole")
    capsys.readouterr()
    for argv, found in (
        (["--resume=runs/none"], "no run to resume"),
        (["--resume=runs/whole"], "the run is complete"),
        (["--resume=runs/whole", "--epochs=9"], "`epochs`: a resumed run keeps its settings"),
    ):
        assert main(argv) == 2
        line = capsys.readouterr().err
        assert found in line and line.count("\n") == 1


def test_a_second_fit_trains_again(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """As RecBole's trainers do, which its own search relies on."""
    config = tiny_config("BPR", f"--checkpoint_dir={tmp_path / 'saved'}")
    trainer, train, valid = trainer_of(config)
    first = trainer.fit(train, valid)
    trainer.epochs, trainer.start_epoch = 4, 2
    second = trainer.fit(train, valid)
    assert first is not None and second is not None
    assert len(trainer.stage_log.entries) == 2
    assert sorted(trainer.train_loss_dict) == [0, 1, 2, 3]


@pytest.mark.parametrize("save", [2, 3])
def test_a_second_fit_after_a_resumed_one_trains_again(
    save: int, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """It returned the first result at once, whether the training was begun or finished before."""
    config = tiny_config("BPR", "--epochs=2", f"--checkpoint_dir={tmp_path / 'saved'}")
    config["run_folder"] = str(tmp_path)
    trainer, train, valid = trainer_of(config)
    with killing(save):
        trainer.fit(train, valid)
    again, train, valid = trainer_of(config)
    again.pipeline.load()
    again.fit(train, valid)
    again.epochs, again.start_epoch = 4, 2
    again.fit(train, valid)
    assert {2, 3} <= again.train_loss_dict.keys()


def test_a_second_fit_of_all_stages_begins_anew(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backbone has all features, and not the mask and the weights of the final model."""
    config = tiny_config("PaInvRL", f"--checkpoint_dir={tmp_path / 'saved'}", *STAGES)
    trainer, train, valid = trainer_of(config)
    initial = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    seen, original = [], BackboneStage.prepare

    def prepare(self: BackboneStage, context: Any) -> None:
        original(self, context)
        seen.append({name: value.clone() for name, value in trainer.model.state_dict().items()})

    monkeypatch.setattr(BackboneStage, "prepare", prepare)
    for _ in range(2):
        trainer.fit(train, valid)
    assert len(seen) == 2
    for state in seen:
        assert all(torch.equal(value, initial[name]) for name, value in state.items())
