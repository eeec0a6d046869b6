"""One learnt mask, and the final model trained under each form and control of it.

    python -m benchmarks.mask_form --datasets planted --seeds 5
    python -m benchmarks.mask_form --datasets planted --seeds 5 --tests

Backbone, environments and mask are trained once per seed; then the final model is trained once
per mask with the same random numbers, so that only the mask differs. The table has validation
figures; ``--tests`` adds those of the tests, which were measured at the same time. With
``--trainings`` the final model is trained several times per mask, and metrics are means over them:
the epoch is chosen on IID validation, so one training says little about the OOD test. Whatever is
in ``--output`` is not trained again. ``--data`` holds the real data sets (docs/reproduction.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import command_line, print_table, spread
from benchmarks.quality import EMBEDDED, PLANTED, generated
from recbole_painvrl.atomic import write_json
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.evaluation.planted import mask_scores, planted_truth
from recbole_painvrl.functional.mask_controls import control_masks
from recbole_painvrl.functional.mask_form import best_form, cut_by_modality
from recbole_painvrl.models.painvrl.final_stage import FinalStage
from recbole_painvrl.run.logs import run_log
from recbole_painvrl.run.runner import Run
from recbole_painvrl.seeds import generator
from recbole_painvrl.training.pipeline import Context, Pipeline
from recbole_painvrl.training.state import global_rng, restore_global_rng

_SCORE = "ndcg@10"
MASKS = ("ones", "learnt", "binary", "oracle", "uniform", "permuted", "zeros")


def main() -> None:
    """Train what is missing, then print the tables as Markdown."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--output", type=Path, default=Path("runs/mask-form"))
    parser.add_argument("--datasets", nargs="+", default=[PLANTED])
    parser.add_argument("--model", default="PaInvRL", choices=["PaInvRL", "InvRL"])
    parser.add_argument("--protocol", default="files")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=1, help="of the final model per mask")
    parser.add_argument("--masks", nargs="*", choices=MASKS, default=list(MASKS))
    parser.add_argument("--settings", nargs="*", default=[], help="further name=value of the runs")
    parser.add_argument("--tests", action="store_true", help="show the tests, too")
    given = parser.parse_args()
    for dataset in given.datasets:
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        found = [averaged(_finals(given, dataset, seed), given.trainings) for seed in seeds]
        print(f"\n{dataset}, {given.protocol}, {given.model}, seeds {seeds[0]} to {seeds[-1]}\n")
        names = ("valid", "ood_valid", *(("iid", "test", "ood") if given.tests else ()))
        print_table(("mask", *names, "gap closed"), rows(found, names))


def rows(found: list[dict[str, Any]], names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """NDCG@10 of every mask over the seeds, and the share of the OOD gap to the oracle's."""
    for mask in (*MASKS, "auto"):
        chosen = [(one, _of(one, mask)) for one in found]
        metrics = [one["masks"][name]["metrics"] for one, name in chosen if name]
        if not metrics:
            continue
        cells = [spread([m[name][_SCORE] for m in metrics if name in m]) for name in names]
        gaps = [
            [one["masks"][name]["metrics"]["ood"][_SCORE] for name in ("ones", by, "oracle")]
            for one, by in chosen
            if by and "ood" in names and {"ones", "oracle"} <= set(one["masks"])
        ]
        low, reached, high = (
            (sum(column) for column in zip(*gaps, strict=True)) if gaps else (0, 0, 0)
        )
        share = f"{(reached - low) / (high - low):.0%}" if high > low else ""
        label = mask if len(metrics) == len(found) else f"{mask}, {len(metrics)} of {len(found)}"
        yield (label, *cells, share)


def _of(one: dict[str, Any], mask: str) -> str | None:
    """The mask that was trained under this name, or that ``auto`` takes; None where none was."""
    trained: dict[str, Any] = one["masks"]
    if mask != "auto":
        return mask if mask in trained else None
    names = ["ones", "zeros", "binary" if "binary" in one["auto"] else "learnt"]
    if not set(names) <= set(trained):
        return None
    scores = {name: trained[name]["metrics"]["valid"][_SCORE] for name in names}
    return best_form(scores, "binary")


def _finals(given: argparse.Namespace, dataset: str, seed: int) -> dict[str, Any]:
    """Metrics of the final model under every mask, of one seed."""
    name = f"{given.model}-{dataset}-{given.protocol}-{seed}".lower()
    path = given.output / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"masks": {}}
    wanted = [(mask, number) for number in range(given.trainings) for mask in given.masks]
    generates = dataset in (EMBEDDED, PLANTED)
    data = generated(dataset, seed, given.output) if generates else given.data
    words = [
        f"--model={given.model}", f"--protocol={given.protocol}", f"--data_path={data}",
        f"--dataset={'ml-trailers' if dataset == EMBEDDED else dataset}", f"--seed={seed}",
        f"--output_dir={given.output}", "--show_progress=False", "--mask_form=auto",
        *(f"--{setting}" for setting in given.settings),
    ]  # fmt: skip
    folder = given.output / name
    resumes = (folder / "checkpoint" / "last.safetensors").is_file()
    words += [] if resumes else [f"--run_name={name}"]
    with run_log() as log, ExitStack() as held:
        config = config_from_arguments(words)
        run = Run(config, log, held, folder if resumes else None, time.perf_counter())
        finals = Finals(run)
        learnt = finals.learnt()
        if found.get("kept", learnt["kept"]) != learnt["kept"]:
            sys.exit(f"{path}: made under another rule of the cut; give another --output")
        found |= learnt
        write_json(path, found)
        for mask, number in wanted:
            if mask in finals.masks and _key(mask, number) not in found["masks"]:
                print(name, mask, number, flush=True)
                trained = [one for one in MASKS if _key(one, number) in found["masks"]]
                same = finals.same(mask, trained)
                found["masks"][_key(mask, number)] = (
                    found["masks"][_key(same, number)] if same else finals.train(mask, number)
                )
                write_json(path, found)
    return found


def _key(mask: str, number: int) -> str:
    """Name of a training in the file; the first training has the name of its mask."""
    return f"{mask} {number}" if number else mask


def averaged(found: dict[str, Any], trainings: int) -> dict[str, Any]:
    """The results of one seed, with the means of the metrics over the trainings of a mask."""
    masks = {}
    for mask in MASKS:
        every = [found["masks"].get(_key(mask, number)) for number in range(trainings)]
        if all(every):
            metrics = [one["metrics"] for one in every]
            means = {
                part: {_SCORE: sum(one[part][_SCORE] for one in metrics) / trainings}
                for part in metrics[0]
            }
            masks[mask] = {"metrics": means}
    return {**found, "masks": masks}


class Finals:
    """A run whose mask is learnt, and which trains its final model under several masks."""

    def __init__(self, run: Run) -> None:
        self.run, self.trainer = run, run.trainer
        context: Any = Context(self.trainer, run.train_loader, run.valid_loader)
        self.context = context
        learning = takewhile(
            lambda stage: not stage.name.startswith("final"), self.trainer.stages()
        )
        self.trainer.pipeline.run(learning, context)
        self.form = self.trainer.form_stage
        self.mask: Tensor = self.trainer.mask_stages[-1].mask
        truth = planted_truth(run.train)
        self.truth = truth
        slices = run.model.modality_slices
        columns = None
        if truth is not None:
            columns = {name: torch.tensor(one) for name, one in truth.columns.items()}
        parts = {name: self.mask[part] for name, part in slices.items()}
        controls = control_masks(parts, columns, generator(run.model.seed, "mask controls"))
        self.masks = {name: torch.cat(list(one.values())) for name, one in controls.items()}
        self.masks["binary"] = cut_by_modality(self.mask, slices)[0]
        self._draws = self._state()
        # A final training is not resumed: if it was interrupted, it starts again.
        self.trainer.pipeline = Pipeline(
            self.trainer, run.folder / "checkpoint" / "final.safetensors"
        )

    def learnt(self) -> dict[str, Any]:
        """The mask, its cut and its scores against planted truth."""
        import numpy as np

        slices = self.run.model.modality_slices
        found = {
            "mask": {name: self.mask[part].tolist() for name, part in slices.items()},
            "kept": self.masks["binary"].tolist(),
            "form": self.form.figures,
            "auto": list(self.form.candidates),
        }
        if self.truth is not None:
            rng = np.random.default_rng(0)
            found["auc"] = mask_scores(self.mask, self.truth, slices, rng)["overall"]["auc"]
        return found

    def same(self, mask: str, trained: list[str]) -> str | None:
        """A mask with the same values under which the final model is trained."""
        equal = (one for one in trained if torch.equal(self.masks[one], self.masks[mask]))
        return next(equal, None)

    def train(self, name: str, number: int = 0) -> dict[str, Any]:
        """Validation and test metrics of a training of the final model under a mask.

        Training 0 has the random numbers of the run, others have their own.
        """
        self._restore()
        run, start = self.run, time.perf_counter()
        run.model.seed = run.config["seed"] + 1000 * number
        if number:
            for one in (run.train_loader.generator, run.model.negatives.generator):
                one.manual_seed(run.model.seed)
        assert run.valid is not None
        stage = FinalStage(f"final {name}", self.masks[name].to(self.trainer.device))
        self.trainer.pipeline.begin(self.context)
        self.trainer.pipeline.run_stage(stage, self.context)
        seconds = time.perf_counter() - start
        found = {"valid": self.trainer.evaluate(run.valid_loader, load_best_model=False)}
        if "ood_valid" in run.valid.further:
            found["ood_valid"] = self.trainer.ood_valid(run.valid_loader)
        metrics = {
            part: {key: float(value) for key, value in values.items()}
            for part, values in found.items()
        }
        run.tests.unlock()
        for test in run.tests.names:
            metrics[run._public_name(test)] = run.evaluate_test(test)[0]
        return {
            "metrics": metrics,
            "seconds": round(seconds, 1),
            "epochs": len(stage.context.trainer.history),
        }

    def _state(self) -> tuple[Any, ...]:
        """All generators that the training of a final model draws from."""
        model = self.run.model
        return (
            global_rng(),
            self.run.train_loader.generator.get_state(),
            model.negatives.generator.get_state(),
        )

    def _restore(self) -> None:
        restore_global_rng(self._draws[0])
        self.run.train_loader.generator.set_state(self._draws[1])
        self.run.model.negatives.generator.set_state(self._draws[2])


if __name__ == "__main__":
    main()
