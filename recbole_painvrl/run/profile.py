"""Where the time of a run goes, per stage and phase (``--profile=True``).

What is measured is wrapped for the duration of the run and then restored: a run without a profile
executes none of this.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from logging import getLogger
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from recbole_painvrl.atomic import write_json
from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.environments import full as full_models
from recbole_painvrl.environments.content import ContentEnvironmentModel
from recbole_painvrl.models.painvrl import joint_step, mask_learner
from recbole_painvrl.training.protocols import MakesFinal
from recbole_painvrl.training.user_batches import UserBatches

if TYPE_CHECKING:
    from recbole_painvrl.run.runner import Run

PROFILE = "profile.json"
PHASES = ("loader", "negatives", "forward", "backward", "optimiser", "evaluation", "saving")
_OTHER = "other"
_OUTSIDE = "outside the stages"


class Profile:
    """Seconds of every phase of every stage; a phase inside another interrupts it.

    Args:
        device: a GPU is waited for whenever a phase begins or ends.
    """

    def __init__(self, device: torch.device) -> None:
        self._wait = device.type == "cuda"
        self._start = self._since = self._now()
        self._stage, self._phases = _OUTSIDE, [_OTHER]
        self.seconds: dict[str, dict[str, float]] = {}

    def _now(self) -> float:
        if self._wait:
            torch.cuda.synchronize()
        return time.perf_counter()

    def _note(self) -> None:
        """Give the time since the last change to the phase that ran."""
        now = self._now()
        phases = self.seconds.setdefault(self._stage, defaultdict(float))
        phases[self._phases[-1]] += now - self._since
        self._since = now

    def begin(self, phase: str) -> None:
        """From here on ``phase`` runs."""
        self._note()
        self._phases.append(phase)

    def end(self) -> None:
        """The phase is over; the one that it interrupted goes on."""
        self._note()
        self._phases.pop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside belongs to a stage."""
        self._note()
        outer, self._stage = self._stage, name
        try:
            yield
        finally:
            self._note()
            self._stage = outer

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted as ``phase``."""

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.begin(phase)
            try:
                return function(*arguments, **keywords)
            finally:
                self.end()

        return call

    def result(self) -> dict[str, Any]:
        """``profile.json``: seconds in all, and per stage of every phase that occurred."""
        self._note()
        stages = {
            name: {"seconds": sum(phases.values()), "phases": dict(phases)}
            for name, phases in self.seconds.items()
        }
        return {"seconds": self._since - self._start, "stages": stages}


class _TimedLoader:
    """Iterates a loader and counts what a batch takes to come as ``loader``."""

    def __init__(self, loader: Loader, profile: Profile) -> None:
        self._loader, self._profile = loader, profile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        following = self._profile.timed("loader", iter(self._loader).__next__)
        while True:
            try:
                batch = following()
            except StopIteration:
                return
            yield batch


@contextmanager
def profiled(run: Run) -> Iterator[None]:
    """Profile a run if its configuration says so: a table in the log, ``profile.json``.

    Args:
        run: built and not yet executed.
    """
    if not run.config["profile"]:
        yield
        return
    profile = Profile(torch.device(run.config["device"]))
    with ExitStack() as stack:
        _wrap(run, profile, stack)
        yield
    result = profile.result()
    write_json(run.folder / PROFILE, result)
    for line in table(result):
        getLogger("recbole_painvrl").info("%s", line)


def _wrap(run: Run, profile: Profile, stack: ExitStack) -> None:
    trainer = run.trainer
    run.train_loader = _TimedLoader(run.train_loader, profile)
    _wrap_trainer(trainer, profile, stack)
    if isinstance(trainer, MakesFinal) and trainer.make_final is not None:
        make = trainer.make_final

        def made(*arguments: Any) -> tuple[Any, Any]:
            other, loader = make(*arguments)
            _wrap_trainer(other, profile, stack)
            return other, _TimedLoader(loader, profile)

        _replace(trainer, "make_final", made, stack)
    for owner, name, phase in (
        (NegativeSampler, "draw", "negatives"),
        (UserBatches, "draw", "loader"),
        (mask_learner, "joint_losses", "forward"),
        (joint_step, "irm_loss", "forward"),
        (ContentEnvironmentModel, "_batch_loss", "forward"),
        (ContentEnvironmentModel, "_scores_and_likelihood", "evaluation"),
        (full_models, "batch_loss", "forward"),
        (full_models.PlainUltraGCN, "score", "evaluation"),
        (torch.autograd, "backward", "backward"),
        (torch.autograd, "grad", "backward"),
        (trainer.pipeline, "save", "saving"),
        (trainer.pipeline, "_keep", "saving"),
    ):
        _replace(owner, name, profile.timed(phase, getattr(owner, name)), stack)
    before = register_optimizer_step_pre_hook(lambda *_: profile.begin("optimiser"))
    after = register_optimizer_step_post_hook(lambda *_: profile.end())
    stack.callback(before.remove)
    stack.callback(after.remove)
    measure = trainer.stage_log.measure

    @contextmanager
    def measured(name: str, *arguments: Any) -> Iterator[dict[str, Any]]:
        with measure(name, *arguments) as entry, profile.stage(name):
            yield entry

    _replace(trainer.stage_log, "measure", measured, stack)


def _wrap_trainer(trainer: Any, profile: Profile, stack: ExitStack) -> None:
    """Time what is a trainer's own: of the run, and of another final model."""
    for owner, name, phase in (
        # RecBole's RecVAE calls it by itself; MMSSL has a loss function of its trainer.
        (trainer.model, "calculate_loss", "forward"),
        (trainer, "evaluate", "evaluation"),
        (trainer, "_save_checkpoint", "saving"),
    ):
        _replace(owner, name, profile.timed(phase, getattr(owner, name)), stack)
    watched = trainer.guard.watched
    timed = functools.partial(profile.timed, "forward")
    _replace(trainer.guard, "watched", lambda loss: watched(timed(loss)), stack)


def _replace(owner: Any, name: str, value: Any, stack: ExitStack) -> None:
    """Set an attribute until the stack closes."""
    missing = object()
    own = vars(owner).get(name, missing)
    setattr(owner, name, value)
    if own is missing:
        stack.callback(delattr, owner, name)
    else:
        stack.callback(setattr, owner, name, own)


def table(result: dict[str, Any]) -> list[str]:
    """Lines of a table: seconds per stage, and the fraction of every phase."""
    found = {phase for stage in result["stages"].values() for phase in stage["phases"]}
    phases = [phase for phase in (*PHASES, _OTHER) if phase in found]
    width = max(len(name) for name in result["stages"])
    lines = [f"{'stage':<{width}} {'seconds':>9}" + "".join(f" {phase:>10}" for phase in phases)]
    for name, stage in result["stages"].items():
        total = stage["seconds"]
        shares = (stage["phases"].get(phase, 0.0) / total if total else 0.0 for phase in phases)
        cells = "".join(f" {share:>10.1%}" for share in shares)
        lines.append(f"{name:<{width}} {total:>9.2f}{cells}")
    return lines
