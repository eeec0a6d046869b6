"""Controls of a learnt mask: the same model trained with it and with masks that lack a part of it.

A run of PaInvRL learns the mask, once per seed. UltraGCN with the settings of PaInvRL's final model
is then trained with every control from the same initial values, so that rows differ by the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from recbole_painvrl.data.feature_mask import mask_file
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.planning import Plan, Row
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.functional.mask_controls import control_masks
from recbole_painvrl.reading import read_arrays
from recbole_painvrl.run.command import setting_text
from recbole_painvrl.run.folder import write_arrays
from recbole_painvrl.seeds import generator

SOURCE, MODEL, GROUP = "PaInvRL", "UltraGCN", "controls"
LABELS = {
    "learnt": "learnt mask",
    "soft": "learnt values, not cut",
    "uniform": "uniform, same mean",
    "permuted": "permuted in each modality",
    "ones": "all features (ones)",
    "zeros": "no features (zeros)",
    "oracle": "oracle mask",
}
# Names of what a configuration says about its model alone.
_OWN = ("model", "preset")
_USED, _TRUTH = "used/", "truth/"


def source_row(plan: Plan) -> Row:
    """The runs that learn the masks.

    Raises:
        UserError: their final model is not UltraGCN, which the rows of the controls train.
    """
    final = plan.config(plan.arguments(SOURCE, {}))["final_model"]
    if final not in (None, MODEL):
        raise UserError(
            f"`final_model`: found {final}, but the controls train {MODEL}; leave it out, or give "
            f"a run's mask to {final} by `benchmark --models={final} --feature-mask=RUN`"
        )
    return plan.row(f"{SOURCE} as configured", SOURCE, group=GROUP)


def control_rows(plan: Plan, source: Row) -> list[Row]:
    """A row per control, once every run that learns a mask has ended; before that, none.

    A seed whose run failed has no masks: its runs are missing from every row, for that reason.

    Raises:
        UserError: the configuration, or a mask file, is wrong.
    """
    if any(one.state() not in ("done", "failed") for one in source.runs):
        return []
    settings = final_settings(plan)
    files = {one: mask_files(one, plan.output) for one in source.runs if one.state() == "done"}
    known = [name for name in LABELS if any(name in found for found in files.values())]
    if not _cut(source):
        # Without a cut, the mask of the final model already has the learnt values.
        known = [name for name in known if name != "soft"]
    rows = []
    for name in known:
        runs = (
            plan.run(MODEL, one.seed, {**settings, "feature_mask": str(files[one][name])})
            if one in files
            else one
            for one in source.runs
        )
        rows.append(Row(LABELS[name], tuple(runs), GROUP))
    return rows


def final_settings(plan: Plan) -> dict[str, str]:
    """Settings with which UltraGCN is PaInvRL's final model, as text.

    These are the settings that both models have, and the weights of the loss (Eq. 3).
    """
    source = plan.config(plan.arguments(SOURCE, {}))
    values = {name: entry["value"] for name, entry in source.effective().items()}
    other = plan.config(plan.arguments(MODEL, {})).effective()
    values |= {"w1": 1.0, "w2": values["eta"], "w3": 1.0, "w4": values["eta"]}
    values |= {"negative_weight": 1.0, "item_item_weight": values["kappa"]}
    return {
        name: setting_text(name, values[name])
        for name, entry in other.items()
        if name in values and name not in _OWN and values[name] != entry["value"]
    }


def mask_files(run: GridRun, output: Path) -> dict[str, Path]:
    """Files with the controls of a finished run's mask, by name.

    The mask is that of the run's final model; if the final model has all features or none, it is
    the mask of learnt values. The control ``soft`` always has the learnt values.
    """
    arrays = read_arrays(mask_file(run.folder), "run it again")
    modalities = [name for name in arrays if "/" not in name]
    soft = {name: torch.from_numpy(arrays[name]).float() for name in modalities}
    used = {
        name: torch.from_numpy(arrays.get(_USED + name, arrays[name])).float()
        for name in modalities
    }
    constant = len(torch.cat(list(used.values())).unique()) == 1
    learnt = soft if constant else used
    truth = {
        name: torch.from_numpy(arrays[_TRUTH + name].astype("float32"))
        for name in modalities
        if _TRUTH + name in arrays
    }
    if all(bool(one.all()) for one in truth.values()):
        # No column in use is known to be spurious.
        truth = {}
    draws = generator(run.seed, "mask controls", "cpu")
    masks = control_masks(learnt, truth or None, draws) | {"soft": soft}
    files = {}
    for name, mask in masks.items():
        files[name] = output / "masks" / run.folder.name / f"{name}.npz"
        # Equal masks give equal bytes, so writing again changes nothing for runs that use the file.
        write_arrays(files[name], {modality: one.numpy() for modality, one in mask.items()})
    return files


def _cut(source: Row) -> list[int]:
    """Seeds whose final model has the mask cut in two."""
    done = [one for one in source.runs if one.state() == "done"]
    return [one.seed for one in done if one.result()["mask"]["used"] == "binary"]


def note(source: Row, labels: Sequence[str]) -> str:
    """What a reader of the table has to know."""
    done, cut = [one.seed for one in source.runs if one.state() == "done"], _cut(source)
    seeds = ", ".join(map(str, done))
    forms = ""
    if cut and len(cut) < len(done):
        forms = (
            f" It is cut in two on seeds {', '.join(map(str, cut))}; on the others, whose final "
            "model is not, it has the learnt values."
        )
    oracle = (
        "" if LABELS["oracle"] in labels else " No columns are known to be spurious: no oracle."
    )
    return (
        f"One mask per seed ({seeds}), learnt by {SOURCE} and used by every row of that seed: "
        f"{MODEL} with the settings and the initial values of one final model.{forms}{oracle} "
        f"{source.label} has other random numbers and the form of mask that it chose: its distance "
        "from the learnt mask is that of two trainings."
    )
