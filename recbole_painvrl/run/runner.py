"""A run: dataset, split, model, stages, locked tests, run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.feature_mask import COPY
from recbole_painvrl.data.folder import dataset_hash, file_hash
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import OOD, OOD_VALID, TEST, TRAIN, VALID, LockedTests
from recbole_painvrl.locks import run_lock
from recbole_painvrl.run.answer import answer, compared
from recbole_painvrl.run.build import build_data, build_model, build_trainer
from recbole_painvrl.run.checks import (
    check_environments,
    check_final_model,
    check_model,
    check_run,
    check_saved,
    check_settings,
)
from recbole_painvrl.run.command import command_again
from recbole_painvrl.run.feature_mask import (
    check_feature_mask,
    keep_feature_mask,
    training_hash,
    use_kept_mask,
)
from recbole_painvrl.run.folder import (
    config_hash,
    create_run_folder,
    origin,
    versions,
    write_arrays,
    write_config,
    write_per_user,
    write_result,
)
from recbole_painvrl.run.logs import RunLog, run_log, shows_bars
from recbole_painvrl.run.memory import check_memory, sizes_of
from recbole_painvrl.run.opening import edition, opening
from recbole_painvrl.run.profile import profiled
from recbole_painvrl.run.resume import how_to_go_on, take_up
from recbole_painvrl.run.shift import Popularity, shift_of_run
from recbole_painvrl.run.threads import cpu_threads, is_small
from recbole_painvrl.seeds import run_seeds
from recbole_painvrl.specs import spec_of
from recbole_painvrl.training.checkpoint import weights_hash
from recbole_painvrl.training.pipeline import Artefacts


def run(config: SafeConfig, resume: Path | None = None) -> dict[str, Any]:
    """Train and evaluate one model as configured; returns what ``result.json`` holds.

    Args:
        config: the configuration.
        resume: folder of an interrupted run with this configuration, to go on with.

    Raises:
        UserError: the input or the configuration is wrong.
    """
    start = time.perf_counter()
    # RecBole's SINE switches anomaly detection on for the whole process when it is imported.
    anomalies = torch.autograd.set_detect_anomaly(False)
    with run_log() as log, ExitStack() as held, anomalies:
        try:
            prepared = Run(config, log, held, resume, start)
            save = prepared.trainer.pipeline.save_unsaved
            with how_to_go_on(prepared.folder, save):
                return prepared.execute()
        except Exception as error:
            getLogger("recbole_painvrl").debug("the run ended with an error", exc_info=True)
            if log.file is not None:
                error.add_note(f"{log.file.baseFilename} has more")
            raise


# Usual width of an item's own vectors; only its order of magnitude matters.
_VECTOR_WIDTH = 128


class Run:
    """The objects of one run, in the order in which they come to be.

    Args:
        config: the configuration.
        log: where records go once the run folder exists.
        held: what stays held until the run ends: the lock of the folder.
        resume: folder to go on in, or None for a new one.
        start: when this process began with the run, by ``time.perf_counter``.
    """

    def __init__(
        self, config: SafeConfig, log: RunLog, held: ExitStack, resume: Path | None, start: float
    ) -> None:
        check_model(config)
        check_saved(config)
        check_settings(config)
        check_final_model(config)
        if resume is not None:
            use_kept_mask(config, resume)
        self.config = config
        self.dataset, parts = build_data(config)
        check_environments(config, parts[TRAIN])
        self.memory_needed = check_memory(
            str(config["model"]), sizes_of(self.dataset), config, config["device"].type == "cuda"
        )
        check_feature_mask(config, parts[TRAIN])
        self.train, self.valid = parts[TRAIN], parts.get(VALID)
        self.tests = LockedTests({name: parts[name] for name in (TEST, OOD) if name in parts})
        self.train_loader = training_loader(config, self.train)
        self.valid_loader: Loader | None = None
        if self.valid is not None:
            self.valid.further = {name: parts[name] for name in (OOD_VALID,) if name in parts}
            self.valid.history = [self.train]
            self.valid_loader = evaluation_loader(config, [self.train], self.valid, "valid")
        self.model = build_model(config, self.train)
        check_run(config, self.model, parts)
        self.folder = resume or create_run_folder(
            config["output_dir"], config["run_name"], config["model"], config["dataset"]
        )
        held.enter_context(run_lock(self.folder))
        log.write_to(self.folder / "train.log")
        config["run_folder"] = str(self.folder)
        config["checkpoint_dir"] = str(self.folder / "checkpoint")
        self.config_hash = config_hash(config.effective())
        # Before training, so that it is the hash of what was read.
        self.data_hash = dataset_hash(self.dataset.folder)
        if resume is None:
            write_config(self.folder, config.effective())
            keep_feature_mask(self.dataset, self.folder)
        self.trainer = build_trainer(config, self.model)
        now = origin(config, self.data_hash, self.config_hash)
        # Before an interrupted run is taken up, which moves it back.
        self.trainer.pipeline.start = start
        if resume is not None:
            take_up(self.folder, self.trainer.pipeline, now)
        self.trainer.pipeline.origin = now

    @property
    def _width(self) -> int:
        """Columns of an item's features and vectors, roughly."""
        return self.dataset.features.matrix.shape[1] + _VECTOR_WIDTH

    def execute(self) -> dict[str, Any]:
        """All stages, then the final evaluation, then the files."""
        threads = cpu_threads(self.config["n_threads"], self.dataset.item_num, self._width)
        with threads, profiled(self):
            return self._execute()

    def _execute(self) -> dict[str, Any]:
        log = getLogger("recbole_painvrl")
        log.info("%s", opening(self.config, self.dataset, self.folder))
        for line in self.memory_needed:
            log.info("%s", line)
        progress = shows_bars(self.config["show_progress"])
        self.trainer.fit(self.train_loader, self.valid_loader, show_progress=progress)
        report = self.trainer.artefacts()
        metrics: dict[str, dict[str, float]] = {}
        if self.valid_loader is not None:
            valid = self.trainer.evaluated.evaluate(self.valid_loader, load_best_model=False)
            metrics["valid"] = _floats(valid)
        self.tests.unlock()
        final = self._tested()
        metrics |= {name: values for name, (values, _) in final.items()}
        frames = [frame for _, frame in final.values()]
        write_per_user(self.folder, pd.concat(frames, ignore_index=True))
        if report.oracle is not None:
            tested = self._with_weights(report.oracle)
            report.planted["oracle"] = {name: values for name, (values, _) in tested.items()}
        result = self._result(metrics, report)
        result["shift"] = shift_of_run(self.dataset, self._parts(), self._popularity, metrics)
        for line in result["shift"]["sentences"]:
            # At the end of the run the summary says it on the console.
            log.debug("shift: %s", line)
        if report.mask:
            result |= self._answer(result, report, final)
        for name, arrays in report.arrays.items():
            write_arrays(self.folder / f"{name}.npz", arrays)
        write_result(self.folder, result)
        return result

    def validate(self) -> dict[str, dict[str, float]]:
        """Train, then evaluate on the validation parts alone; the tests stay locked."""
        assert self.valid is not None
        with cpu_threads(self.config["n_threads"], self.dataset.item_num, self._width):
            getLogger("recbole_painvrl").info("%s", opening(self.config, self.dataset, self.folder))
            self.trainer.fit(self.train_loader, self.valid_loader)
            valid = self.trainer.evaluated.evaluate(self.valid_loader, load_best_model=False)
            metrics = {VALID: _floats(valid)}
            if OOD_VALID in self.valid.further:
                metrics[OOD_VALID] = _floats(self.trainer.evaluated.ood_valid(self.valid_loader))
        return metrics

    def evaluate_test(self, name: str) -> tuple[dict[str, float], pd.DataFrame]:
        """Mean metrics of a test set and its metrics per user."""
        history = [part for part in (self.train, self.valid) if part is not None]
        loader = evaluation_loader(self.config, history, self.tests[name], "test")
        trainer = self.trainer.evaluated
        values = _floats(trainer.evaluate(loader, load_best_model=False))
        per_user = trainer.evaluator.per_user
        tokens = self.dataset.field2id_token[self.dataset.uid_field]
        users = [str(tokens[number]) for number in getattr(loader, "uid_list", [])]
        frame = pd.DataFrame({"user_id": users, **per_user} if per_user else {})
        frame.insert(0, "test_set", self._public_name(name))
        return values, frame

    def _tested(self) -> dict[str, tuple[dict[str, float], pd.DataFrame]]:
        """Metrics of every test set, and its metrics per user."""
        return {self._public_name(name): self.evaluate_test(name) for name in self.tests.names}

    def _with_weights(
        self, weights: dict[str, Tensor]
    ) -> dict[str, tuple[dict[str, float], pd.DataFrame]]:
        """The same of the model with other weights, such as those trained with the true mask."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        tested = self._tested()
        self.model.load_state_dict(own)
        return tested

    def _answer(
        self,
        result: dict[str, Any],
        report: Artefacts,
        final: dict[str, tuple[dict[str, float], pd.DataFrame]],
    ) -> dict[str, Any]:
        """What was found; metrics with all features where these were trained, too."""
        entries: dict[str, Any] = {}
        found = []
        if report.unmasked is not None:
            unmasked = self._with_weights(report.unmasked)
            entries["all_features"] = {name: values for name, (values, _) in unmasked.items()}
            metric = str(self.config["valid_metric"]).lower()
            found = compared(final, unmasked, metric, self.config["seed"])
        known = bool(self.config["known_environments"])
        final_model = self.config["final_model"]
        entries["answer"] = answer({**result, "final_model": final_model}, known, found)
        for line in entries["answer"]["lines"]:
            getLogger("recbole_painvrl").debug("answer: %s", line)
        return entries

    def _parts(self) -> dict[str, ModalityDataset]:
        """All splits, once the tests may be read."""
        valid = {} if self.valid is None else {VALID: self.valid}
        return {TRAIN: self.train, **valid, **{n: self.tests[n] for n in self.tests.names}}

    def _popularity(self, model: Popularity) -> dict[str, dict[str, float]]:
        """Test metrics of another model than the run's."""
        trainer = self.trainer.evaluated
        own, trainer.model = trainer.model, model
        tested = self._tested()
        trainer.model = own
        return {name: values for name, (values, _) in tested.items()}

    def _public_name(self, name: str) -> str:
        """The IID test is called ``iid`` where there is an OOD test beside it."""
        return "iid" if name == TEST and OOD in self.tests.names else name

    def _result(self, metrics: dict[str, dict[str, float]], report: Artefacts) -> dict[str, Any]:
        config = self.config
        seconds, peak = self.trainer.pipeline.spent()
        result = {
            "model": config["model"],
            "dataset": config["dataset"],
            "edition": edition(self.dataset),
            "protocol": self.dataset.protocol,
            "seed": config["seed"],
            "valid_metric": config["valid_metric"],
            "train_batch_size": config["train_batch_size"],
            "metrics": metrics,
            "data": {
                "users": self.dataset.user_num - 1,
                "items": self.dataset.item_num - 1,
                "interactions": sum(self.dataset.split_diagnostics["sizes"].values()),
            },
            "split": self.dataset.split_diagnostics,
            "modalities": self.dataset.features.counts,
            "stages": self.trainer.stage_log.entries,
            "seconds": seconds,
            "peak_memory_mb": peak,
            "threads": torch.get_num_threads(),
            "device": str(config["device"]),
            "versions": versions(),
            "seeds": self._seeds(),
            "hashes": {
                "data": self.data_hash,
                "train": training_hash(self.train),
                "config": self.config_hash,
                "weights": weights_hash(self.folder / "checkpoint" / "best.safetensors"),
            },
            "command": command_again(self.folder, self._threads_of_the_machine()),
            "run_folder": str(self.folder),
        }
        if self.dataset.features.mask is not None:
            result["hashes"]["feature_mask"] = file_hash(self.folder / COPY)
        if report.mask:
            result["mask"] = report.mask
        if report.planted:
            result["planted"] = report.planted
        return result

    def _threads_of_the_machine(self) -> int | None:
        """Threads that neither the user nor the data chose; None where they did."""
        given = self.config["n_threads"] or is_small(self.dataset.item_num, self._width)
        return None if given else torch.get_num_threads()

    def _seeds(self) -> dict[str, int]:
        outer_rounds = getattr(getattr(self.model, "settings", None), "outer_rounds", 1)
        config = self.config
        spec = spec_of(config["model"])
        if spec is None:
            return run_seeds(config["seed"], config["split_seed"])
        purposes = spec.purposes(outer_rounds) if spec.purposes else ()
        return run_seeds(config["seed"], config["split_seed"], spec.own_generators, purposes)


def _floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in metrics.items()}
