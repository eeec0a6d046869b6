"""Writes docs/models.md, a row per model, from the descriptions in recbole_painvrl/models/."""

from __future__ import annotations

from pathlib import Path

from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.config.describe import model_settings
from recbole_painvrl.config.properties import preset_names
from recbole_painvrl.experiments.options import GROUPS, group_members
from recbole_painvrl.models.memory import Sizes, short_size
from recbole_painvrl.run.memory import estimate
from recbole_painvrl.specs import ModelSpec, project_models, specs

HERE = Path(__file__).parent
# The Tiktok data of the paper: about 650,000 interactions, three modalities of 128 columns.
TIKTOK = Sizes(36_656, 76_085, 650_000, {"visual": 128, "acoustic": 128, "textual": 128})
_INTRODUCTION = """# Models

Written by `python -m docs.make_models` from the descriptions of the models.

`--model=NAME` runs a model, `python -m recbole_painvrl settings NAME` lists its settings, and
`benchmark --models` takes names and groups. RecBole's general recommenders (BPR, LightGCN, NGCF,
EASE, MultiVAE and 27 more, all except RaCT) run beside them with the same commands; NCL needs
`pip install faiss-cpu`. A model of your
own: [your-own-model.md](your-own-model.md).

- *features*: whether the model needs at least one modality, or also has an ID-only form
  (`--modalities=[]`). Every model takes any number of modalities under any name, and items
  without features.
- *cold items*: whether an item of the dataset without training interactions is ranked by its
  features in the tests (RP3beta with `content_weight` or `form: knn`, and BM3 with
  `score_content`, do that, too). `recommend` leaves such items out by default where their vectors
  are not made from features alone (`--unseen-items`); items that the dataset does not have
  (`--new-items`) need such vectors, or `--map-features`.
- *memory*: the estimate with default settings at the size of the paper's Tiktok data (36,656
  users, 76,085 items, 650,000 interactions, 3 x 128 columns); a run prints its own before it
  starts, and is refused if it does not fit.
- Training stops at the 11th evaluation in a row without improvement (`stopping_step: 10`; BM3: 30),
  with a preset after the number of the released code.
- Every model passes the laws of [testing](api/testing.md) that apply to it. Where features
  enter only what is computed before training or once an epoch (FREEDOM, the training-free models,
  the released LATTICE and MICRO) the law of permuted columns does not apply, and without an ID-only
  form that of zero features does not.
- Differences from paper and released code are under *Deviations* in the docstring of each class;
  the presets set what the released codes do, as far as their comments do not say otherwise
  (features, for example, always have rows of length 1).

Not offered by any setting:

- Scores by the tables of the last training step (the releases of GRCN, DualGNN, DRAGON, SLMRec,
  EliMRec and MGAT): they always come from the parameters.
- Epochs or settings chosen by test metrics (GRCN, SLMRec, MMRec's search), and rankings that
  leave out only the training items; MGAT's 1,000 sampled negatives.
- Random repetitions, drawn in every epoch, that fill up short lists of co-users (DualGNN, DRAGON):
  scores would depend on the draws; parameters that are regularised and never read (DualGNN).
- Dense matrices of items by items or users by users, and graph caches that ignore a setting.
- Row sums below 0 in graphs of cosines, which give NaN: such cosines count as 0.
- Negatives among the items of the training set alone (MMRec): RecBole draws among all items.
- Fresh draws at every evaluation (LGMRec; `gumbel_eval` repeats one draw), top-k item
  similarities in place of all (RP3beta), a width of its own for every modality (MGAT), and raw
  features as node inputs (DualGNN on its authors' TikTok data).
- Unused options: EliMRec's mean of the views, GRCN's other `weight_mode` and `fusion_mode`.
"""


def models_page() -> str:
    """The introduction, the table of models and the groups."""
    lines = [
        _INTRODUCTION,
        "| model | idea | paper | features | cold items | memory | settings | presets |",
        "|---|---|---|---|---|---|---|---|",
    ]
    known = specs()
    lines += [_row(known[name]) for name in project_models()]
    lines += ["", "Groups for `benchmark --models`:", ""]
    # Without models of other packages, which only this machine has.
    others = set(known) - set(project_models())
    for group in GROUPS:
        members = (name for name in group_members(group) if name not in others)
        lines.append(f"- `{group}`: {', '.join(members)}")
    return "\n".join(lines) + "\n"


def _row(spec: ModelSpec) -> str:
    config = config_from_arguments([f"--model={spec.name}", "--dataset=any", "--use_gpu=False"])
    needed = sum(estimate(spec.name, TIKTOK, config).values())
    presets = ", ".join(f"`{name}`" for name in preset_names(spec.name))
    cells = [
        spec.name,
        spec.idea,
        f"[{spec.paper}]({spec.url})" if spec.url else spec.paper,
        "needed" if spec.needs_modalities else "optional",
        "yes" if spec.ranks_cold_items else "no",
        short_size(needed),
        str(len(model_settings(spec.name))),
        presets or "-",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    (HERE / "models.md").write_text(models_page(), encoding="utf-8")
