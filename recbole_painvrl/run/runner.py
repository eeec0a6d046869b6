"""A run: dataset, split, model, stages, locked tests, run folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.utils import EvaluatorType
from torch import Tensor

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.shared import shared_data
from recbole_painvrl.data.splits.base import OOD, OOD_VALID, TEST, TRAIN, VALID, LockedTests
from recbole_painvrl.locks import run_lock
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.launch import local_size, world_size
from recbole_painvrl.run.answer import Evaluated, answer, compared
from recbole_painvrl.run.build import build_data, build_model, build_trainer
from recbole_painvrl.run.checks import (
    check_environments,
    check_model,
    check_run,
    check_saved,
    check_settings,
)
from recbole_painvrl.run.code import code_hash, run_code
from recbole_painvrl.run.feature_mask import (
    check_feature_mask,
    keep_feature_mask,
    use_kept_mask,
    warn_of_other_files,
)
from recbole_painvrl.run.final_model import check_final, final_config, final_trainer
from recbole_painvrl.run.folder import (
    config_hash,
    create_run_folder,
    origin,
    write_arrays,
    write_config,
    write_per_user,
    write_result,
)
from recbole_painvrl.run.identity import data_origin
from recbole_painvrl.run.logs import RunLog, run_log, shows_bars
from recbole_painvrl.run.memory import check_memory, sizes_of
from recbole_painvrl.run.opening import opening
from recbole_painvrl.run.processes import check_processes
from recbole_painvrl.run.profile import profiled
from recbole_painvrl.run.result import result_of
from recbole_painvrl.run.resume import how_to_go_on, keep_data_path, kept_hashes, take_up
from recbole_painvrl.run.shift import Popularity, shift_of_run
from recbole_painvrl.run.threads import cpu_threads, n_cpu_threads
from recbole_painvrl.training.pipeline import Artefacts
from recbole_painvrl.training.protocols import MakesFinal


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
            if world_size() > 1:
                check_processes(config)
            held.enter_context(group.joined(config["device"]))
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
        self.final = final_config(config, resume)
        if resume is not None:
            use_kept_mask(config, resume)
        self.config = config
        self.memory_needed: list[str] = []
        place = Path(config["output_dir"]) if resume is None else resume.parent
        self.dataset, parts = shared_data(config, self._data, place)
        self.train, self.valid = parts[TRAIN], parts.get(VALID)
        self.tests = LockedTests({name: parts[name] for name in (TEST, OOD) if name in parts})
        self.train_loader = training_loader(config, self.train)
        self.valid_loader = self._validation_loader(parts)
        if self.final is not None and resume is None:
            check_final(self.final, parts, config.idle)
        self.model = build_model(config, self.train)
        check_run(config, self.model, parts)
        data = group.from_first(lambda: data_origin(self.dataset))
        self.folder = group.from_first(lambda: self._open_folder(log, held, resume))
        config["run_folder"] = str(self.folder)
        config["checkpoint_dir"] = str(self.folder / "checkpoint")
        self.data_hash = data["data"]
        self.code_hash = run_code(config, code_hash())
        if resume is None and group.is_first():
            self._keep_settings()
        self.trainer = build_trainer(config, self.model)
        if isinstance(self.trainer, MakesFinal):
            self.trainer.make_final = partial(final_trainer, config, self.folder)
        self.kept_hashes = group.from_first(lambda: kept_hashes(self.folder))
        settings = config_hash(config.effective())
        threads = n_cpu_threads(config["n_threads"], self.dataset.item_num, self.width)
        now = origin(config, data, settings, self.code_hash, threads) | self.kept_hashes
        # Loading an interrupted run, below, moves it back by the time spent before.
        self.trainer.pipeline.start = start
        codes = [self.code_hash]
        if resume is not None:
            began = take_up(self.folder, self.trainer.pipeline, now)
            codes = began.get("codes", codes)
            if codes[-1] != self.code_hash:
                codes = [*codes, self.code_hash]
            if len(codes) > 1:
                # The run used several versions of the code: the hash of none of them describes it.
                self.code_hash = hashlib.sha256(" ".join(codes).encode()).hexdigest()
            if group.is_first():
                keep_data_path(self.folder, str(config["data_path"]))
        self.trainer.pipeline.origin = {**now, "codes": codes}

    def _data(self) -> tuple[ModalityDataset, dict[str, ModalityDataset]]:
        """Dataset and splits, checked."""
        config = self.config
        dataset, parts = build_data(config)
        check_environments(config, parts[TRAIN])
        self.memory_needed = check_memory(
            str(config["model"]),
            sizes_of(dataset),
            config,
            config["device"].type == "cuda",
            (group.size(), local_size() if group.size() > 1 else 1),
            self.final,
        )
        check_feature_mask(config, parts[TRAIN])
        return dataset, parts

    def _validation_loader(self, parts: Mapping[str, ModalityDataset]) -> Loader | None:
        if self.valid is None:
            return None
        self.valid.further = {name: parts[name] for name in (OOD_VALID,) if name in parts}
        self.valid.history = [self.train]
        return evaluation_loader(self.config, [self.train], self.valid, "valid")

    def _keep_settings(self) -> None:
        """Write what the run began with, for those who open or resume it."""
        config = self.config
        warn_of_other_files(config, self.data_hash)
        # Before config.yaml, which lists all settings: a resumed run cannot tell which ones
        # the user set, and these also apply to the final model.
        final_config(config, self.folder)
        # And the mask, since a folder with a config.yaml can be resumed.
        keep_feature_mask(self.dataset, self.folder)
        write_config(self.folder, config.effective())

    def _open_folder(self, log: RunLog, held: ExitStack, resume: Path | None) -> Path:
        """Make the folder of a new run, lock it, and write the log there."""
        config = self.config
        folder = resume or create_run_folder(
            config["output_dir"], config["run_name"], config["model"], config["dataset"]
        )
        held.enter_context(run_lock(folder))
        log.write_to(folder / "train.log")
        (folder / "checkpoint").mkdir(exist_ok=True)
        return folder

    @property
    def width(self) -> int:
        """Columns of an item's features and vectors, roughly."""
        return self.dataset.features.matrix.shape[1] + _VECTOR_WIDTH

    def execute(self) -> dict[str, Any]:
        """All stages, then the final evaluation, then the files."""
        threads = cpu_threads(self.config["n_threads"], self.dataset.item_num, self.width)
        with threads, profiled(self):
            return self._execute()

    def _execute(self) -> dict[str, Any]:
        log = getLogger("recbole_painvrl")
        if group.is_first():
            log.info("%s", opening(self.config, self.dataset, self.folder))
        for line in self.memory_needed:
            log.info("%s", line)
        progress = group.is_first() and shows_bars(self.config["show_progress"])
        self.trainer.fit(self.train_loader, self.valid_loader, show_progress=progress)
        report = self.trainer.artefacts()
        metrics: dict[str, dict[str, float]] = {}
        if self.valid_loader is not None:
            valid = self.trainer.evaluated.evaluate(self.valid_loader, load_best_model=False)
            metrics["valid"] = _floats(valid)
        self.tests.unlock()
        # Evaluations are made by all processes, the rest by the first.
        final = self._tested()
        others = {
            "oracle": self._with_weights(report.oracle),
            "all_features": self._with_weights(report.unmasked),
            "backbone": self._with_weights(report.backbone),
            "popularity": self._popularity(),
        }
        return group.from_first(lambda: self._write(metrics, report, final, others))

    def _write(
        self,
        metrics: dict[str, dict[str, float]],
        report: Artefacts,
        final: Evaluated,
        others: dict[str, Evaluated],
    ) -> dict[str, Any]:
        """Write the figures and arrays of the run, the result last."""
        log = getLogger("recbole_painvrl")
        metrics |= _metrics(final)
        self.trainer.evaluated.summary.write_tests(_metrics(final))
        frames = [frame for _, frame in final.values()]
        write_per_user(self.folder, pd.concat(frames, ignore_index=True))
        for name, arrays in report.arrays.items():
            write_arrays(self.folder / f"{name}.npz", arrays)
        if others["oracle"]:
            report.planted["oracle"] = _metrics(others["oracle"])
        result = result_of(self, metrics, report)
        popularity = _metrics(others["popularity"])
        valid = {} if self.valid is None else {VALID: self.valid}
        parts = {TRAIN: self.train, **valid, **{n: self.tests[n] for n in self.tests.names}}
        result["shift"] = shift_of_run(self.dataset, parts, popularity, metrics)
        for line in result["shift"]["sentences"]:
            # At the end of the run the summary says it on the console.
            log.debug("shift: %s", line)
        if report.mask:
            result |= self._answer(result, final, others)
        write_result(self.folder, result)
        return result

    def validate(self) -> dict[str, dict[str, float]]:
        """Train, then evaluate on the validation parts alone; the tests stay locked."""
        assert self.valid is not None
        with cpu_threads(self.config["n_threads"], self.dataset.item_num, self.width):
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
        numbers = group.gather_rows(loader.uid_list) if hasattr(loader, "uid_list") else None
        users = [] if numbers is None else [str(tokens[number]) for number in numbers]
        frame = pd.DataFrame({"user_id": users, **per_user} if per_user else {})
        frame.insert(0, "test_set", self._public_name(name))
        return values, frame

    def _tested(self) -> Evaluated:
        """Metrics of every test set, and its metrics per user."""
        return {self._public_name(name): self.evaluate_test(name) for name in self.tests.names}

    def _with_weights(self, weights: dict[str, Tensor] | None) -> Evaluated:
        """The same of the model with other weights, such as those trained with the true mask."""
        if weights is None:
            return {}
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        tested = self._tested()
        self.model.load_state_dict(own)
        return tested

    def _popularity(self) -> Evaluated:
        """The same of RecBole's Pop, where there is a shift to be told from it."""
        if OOD not in self.tests.names or self.config["eval_type"] != EvaluatorType.RANKING:
            return {}
        trainer = self.trainer.evaluated
        own, trainer.model = trainer.model, Popularity(self.train).to(self.config["device"])
        tested = self._tested()
        trainer.model = own
        return tested

    def _answer(
        self, result: dict[str, Any], final: Evaluated, others: dict[str, Evaluated]
    ) -> dict[str, Any]:
        """What was found, and the metrics of the models with which the final one is compared."""
        names = ("all_features", "backbone")
        entries: dict[str, Any] = {name: _metrics(others[name]) for name in names if others[name]}
        other = others["all_features"] or others["backbone"]
        metric, seed = str(self.config["valid_metric"]).lower(), self.config["seed"]
        found = compared(final, other, metric, seed) if other else []
        said = {**result, "final_model": self.config["final_model"]}
        known, same = bool(self.config["known_environments"]), bool(others["all_features"])
        entries["answer"] = answer(said, known, found, same)
        for line in entries["answer"]["lines"]:
            getLogger("recbole_painvrl").debug("answer: %s", line)
        return entries

    def _public_name(self, name: str) -> str:
        """The IID test is called ``iid`` where there is an OOD test beside it."""
        return "iid" if name == TEST and OOD in self.tests.names else name


def _metrics(evaluated: Evaluated) -> dict[str, dict[str, float]]:
    return {name: dict(values) for name, (values, _) in evaluated.items()}


def _floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in metrics.items()}
