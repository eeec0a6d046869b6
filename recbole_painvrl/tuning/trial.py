"""A trial: a run that trains and validates, and is pruned if it is hopeless."""

from __future__ import annotations

import io
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from typing import Any

from optuna import TrialPruned
from optuna.trial import Trial
from recbole.utils import init_seed

from recbole_painvrl.atomic import write_json
from recbole_painvrl.errors import WriteError
from recbole_painvrl.locks import remove_run
from recbole_painvrl.run.folder import CONFIG, versions
from recbole_painvrl.run.logs import run_log
from recbole_painvrl.run.result import described
from recbole_painvrl.run.resume import can_resume, stored_config, stored_settings
from recbole_painvrl.run.runner import Run
from recbole_painvrl.tuning.front import is_hopeless, is_rung
from recbole_painvrl.tuning.study import FOLDER, REASON, Search, TrialError, rung_name

RESULT = "trial.json"


class Watch:
    """Compares a trial with the others after 4, 8, 16... validations of its last stage.

    Args:
        search: the search.
        trial: this trial.
        trainer: of its run.
        valid_loader: the IID validation split.
    """

    def __init__(self, search: Search, trial: Trial, trainer: Any, valid_loader: Any) -> None:
        self.search, self.trial = search, trial
        self.trainer, self.valid_loader = trainer, valid_loader
        self.best = [0.0] * len(search.plan.parts)

    def __call__(self, score: float, result: Any) -> None:
        """Called after every validation.

        Raises:
            TrialPruned: to end the training.
        """
        # Trials are compared in the stage that trains the evaluated model, or its first candidate.
        first = next(iter(getattr(self.trainer, "candidates", ())), None)
        if self.trainer.stage not in ("train", f"final {first}" if first else "final"):
            return
        # Another final model has a trainer of its own.
        trainer = self.trainer.evaluated
        validations = len(trainer.train_loss_dict) // trainer.eval_step
        for known in (result, trainer.best_valid_result or {}):
            self._see([known.get(name) for name in self._names()])
        if not is_rung(validations):
            return
        self._recall(trainer.history, validations)
        if len(self.best) > 1 and self._names()[1] not in result:
            shifted = trainer.ood_valid(self.valid_loader)
            self._see([None, shifted[self.search.plan.metric]])
        self.trial.set_user_attr(rung_name(validations), self.best)
        if is_hopeless(self.best, self.search.peers(self.trial.number, validations)):
            raise TrialPruned(f"hopeless after {validations} validations")

    def _recall(self, history: Sequence[Mapping[str, Any]], validations: int) -> None:
        """See again what a process saw from which this one has resumed the trial."""
        for epoch in history:
            self._see([epoch.get("valid", {}).get(name) for name in self._names()])
        # Without `ood` in the rule, the OOD split is evaluated at the rungs alone.
        for rung in filter(is_rung, range(validations)):
            self._see(self.trial.user_attrs.get(rung_name(rung), self.best))

    def _names(self) -> tuple[str, str]:
        return self.search.plan.metric, f"ood_{self.search.plan.metric}"

    def _see(self, values: list[Any]) -> None:
        seen = zip(self.best, values, strict=False)
        self.best = [old if new is None else max(old, float(new)) for old, new in seen]


def run_trial(search: Search, trial: Trial) -> list[float]:
    """Run a trial and return its objectives.

    Args:
        search: the search.
        trial: of the search.

    Raises:
        TrialPruned: the trial is hopeless.
        TrialError: the trial failed.
        KeyboardInterrupt: the trial was stopped and can be resumed.
        WriteError: the disk is full; the trial can be resumed.
    """
    plan = search.plan
    params = {name: domain.suggest(trial, name) for name, domain in plan.space.items()}
    folder = search.folder(trial)
    trial.set_user_attr(FOLDER, str(folder))

    try:
        values, found = _validated(search, trial, params)
    except TrialPruned as error:
        trial.set_user_attr(REASON, str(error))
        # Checkpoints of pruned trials are not needed and would fill the disk.
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        raise
    except WriteError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        trial.set_user_attr(REASON, reason)
        raise TrialError(reason) from error
    record = {"trial": trial.number, "params": params, **found, "versions": versions()}
    write_json(folder / RESULT, record)
    trial.set_user_attr("seconds", round(found["seconds"], 1))
    return values


def _validated(
    search: Search, trial: Trial, params: dict[str, Any]
) -> tuple[list[float], dict[str, Any]]:
    """Objectives of a trained configuration; its validation metrics, data and costs."""
    folder = search.folder(trial)
    resume, config = None, search.plan.config(params, folder.name)
    if can_resume(folder):
        # With its stored settings: the number of workers, and so of threads, may have changed. The
        # data are where this command finds them, perhaps in another working directory.
        resume, path = folder, folder / CONFIG
        data_path = str(Path(config["data_path"]).parent)
        config = stored_config(path, {**stored_settings(path), "data_path": data_path})
    else:
        # Left by a trial that was killed before its first checkpoint.
        remove_run(folder)
    # Output of the run goes to its train.log; the console shows the search.
    with redirect_stderr(io.StringIO()), run_log() as log, ExitStack() as held:
        init_seed(config["seed"], config["reproducibility"])
        run = Run(config, log, held, resume, time.perf_counter())
        run.trainer.on_valid = Watch(search, trial, run.trainer, run.valid_loader)
        try:
            metrics = run.validate()
        except KeyboardInterrupt:
            run.trainer.pipeline.save_unsaved()
            raise
    values = [metrics[part][search.plan.metric] for part in search.plan.parts]
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"the validation metric is {value}")
    seconds, peak = run.trainer.pipeline.spent()
    found = {"metrics": metrics, "seconds": seconds, "peak_memory_mb": peak}
    return values, found | described(run.dataset)
