"""InvRL (Du et al., MM '22): the final model. The stages before it are in training/."""

from __future__ import annotations

from typing import Any

from recbole_painvrl.config import InvRLSettings
from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models import ultragcn
from recbole_painvrl.models.base import require_modalities
from recbole_painvrl.models.memory import FLOAT, Sizes
from recbole_painvrl.models.ultragcn import UltraGCN
from recbole_painvrl.seeds import MASK_PURPOSES
from recbole_painvrl.specs import ModelSpec


class InvRL(UltraGCN):
    """UltraGCN on ``Phi = m (.) f``, with m learnt from a plain sum of two losses.

    The mask descends, in the notation of PaInvRL's Eq. 10 and 11 and with the plain gate
    ``mu = clip(m + eps, 0, 1)`` in place of attention,

        mean_e L^e + alpha || Var_e(dL^e / dW) (.) mu ||_F^2 + lambda || m - 1/2 ||^2

    where alpha (``irm_weight``) and lambda (half of ``mask_decay``) grow by ``weight_growth``
    after every outer round. W takes the gradient of the same sum. Everything else is shared with
    PaInvRL: ``StagedTrainer`` runs both, and only the settings differ.

    Args:
        config: RecBole configuration; the settings are ``InvRLSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality: there would be nothing to mask.

    Deviations:
        The paper's text was not at hand, only its abstract, PaInvRL's account of it and the
        released code. Where these differ the default is the method as described, and the preset
        ``released`` is the code:

        * environments are found on Psi of the mask learnt so far; the code uses all of f
          (``environment_features: full``), so that its masks never reach its environments;
        * the mask goes on from round to round; the code starts anew (``mask_reset``), as the
          search for environments always does;
        * the penalty holds the gate of the loss; the code's is without noise and clipping
          (``penalty_gate: plain``), and its m leaves [0, 1] while it is learnt
          (``mask_clipping: in_use``);
        * the variance is a mean over environments; the code sums (``variance``);
        * environment models of one optimiser; the code trains their tables with Adagrad and
          their W with Adam (``environment_learner: mixed``);
        * in the code's final model item ids decay twice (``item_id_reg_factor: 2``) and W ten
          times (``projection_reg_weight``), beta counts fully (``eta: 1``) and there is no
          item-item term (``kappa: 0``).

        Sizes, epochs and regularisation of the defaults are those of PaInvRL. Of the code these
        are not carried over: the noise drawn per environment and not per step, the incomplete
        last step of an epoch, the L1 term of weight 0.01 on W (.) m in the environment models
        (its gradient is about 4e-7), their doubled decay of item ids and their own negatives per
        positive (here a pool; the rest is in ``FullEnvironmentModel``), learnt word vectors
        (features are dense here), and training items ranked with score 1e-5. Its NDCG is
        ``ndcg_hits``; epochs are chosen by RecBole's.
    """

    settings_class: Any = InvRLSettings
    learns_mask = True

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "there would be nothing to mask")

    def parameter_groups(
        self, embedding_reg_weight: float | None = None, projection_reg_weight: float | None = None
    ) -> list[dict[str, Any]]:
        """As UltraGCN's; in the final model, which names no weights, item ids decay by a factor."""
        users, items, *content = super().parameter_groups(
            embedding_reg_weight, projection_reg_weight
        )
        if embedding_reg_weight is None:
            items["weight_decay"] *= self.settings.item_id_reg_factor
        return [users, items, *content]


def staged_memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """UltraGCN's, and what searching environments and learning the mask take."""
    parts = ultragcn.memory(sizes, settings)
    content, width = settings["content_embedding_size"], sizes.width
    n_environments = settings["n_environments"]
    # Reach of every pair in every environment, with the gathered rows and gradients.
    reach = n_environments * width * (4 * settings["environment_batch_size"] + 2 * 8192)
    kept = settings["environment_restarts"] * 4 * n_environments * content * width
    batch, negatives = settings["mask_batch_size"], settings["mask_negatives"]
    pairs = n_environments * batch
    drawn = pairs * (1 + settings["n_neighbours"])
    shared = settings["negative_sampling"] == "shared"
    drawn += negatives if shared else pairs * negatives
    local = min(sizes.items, drawn)
    # Features of the step's items twice, and per environment, part and kind of pair A_e.
    tables = local * (2 * width + 12 * n_environments * content)
    attention = pairs * (negatives + settings["n_neighbours"] + 1)
    attention *= 8 * (settings["attention_hidden_size"] or 0)
    own_vectors = pairs * settings["n_neighbours"] * content * 6
    own_vectors += 0 if shared else pairs * negatives * content * 6
    return {
        **parts,
        "environments": FLOAT * (reach + kept + sizes.items * width + sizes.interactions * 6),
        "mask": FLOAT * (tables + attention + own_vectors),
    }


def staged_purposes(outer_rounds: int) -> list[str]:
    """Generators of the stages, by number of the outer round."""
    names = ["final initial values"]
    for number in range(1, outer_rounds + 1):
        names.append(f"environments {number}")
        names += [f"mask {number} {purpose}" for purpose in (*MASK_PURPOSES, "negatives")]
    return names


SPEC = ModelSpec(
    "InvRL",
    InvRL,
    InvRLSettings,
    trainer="recbole_painvrl.training.staged:StagedTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values", "negatives"}),
    purposes=staged_purposes,
    memory=staged_memory,
    colour=1,
    paper="Du et al., MM '22: invariant representation learning for multimedia recommendation",
)
