"""InvRL (Du et al., MM '22): the final model. Its stages are PaInvRL's."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from recbole.data.dataset import Dataset

from recbole_painvrl.config.base import ConfigLike, Idle
from recbole_painvrl.functional.attention import AttentionOutput
from recbole_painvrl.functional.pareto import GradientNormalization
from recbole_painvrl.models.base import require_modalities
from recbole_painvrl.models.painvrl.memory import staged_memory, staged_purposes
from recbole_painvrl.models.painvrl.settings import STAGED_SHARDING, StagedSettings
from recbole_painvrl.models.ultragcn import UltraGCN
from recbole_painvrl.specs import ModelSpec


class InvRLSettings(StagedSettings):
    """InvRL: ``L_ERM + alpha L_IRM + lambda / 2 |m - 1/2|^2`` on the plain gate."""

    weight_growth: float = Field(
        gt=0, description="Factor on irm_weight and mask_decay after every outer round."
    )
    environment_features: Literal["variant", "full"] = Field(
        description="Input of Gamma_e: Psi of the current mask (paper) or all of f (InvRL's code)."
    )
    penalty_gate: Literal["noisy", "plain"] = Field(
        description="Gate in L_IRM: m with noise, clipped, or m itself (InvRL's code)."
    )
    mask_clipping: Literal["every_step", "in_use"] = Field(
        description="Clip m to [0, 1] after every step, or only where it is used (InvRL's code)."
    )
    item_id_reg_factor: float = Field(
        ge=0, description="Factor on embedding_reg_weight of the item ids in the final model."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        *StagedSettings.idle,
        Idle(("weight_growth",), {"outer_rounds": (1,)}),
        Idle(("environment_features",), {"known_environments": (True,)}),
    )
    # Settings of PaInvRL that are constants here; without attention its others have no effect.
    loss_weighting: ClassVar = "fixed"
    gradient_normalization: ClassVar[GradientNormalization] = "none"
    projection_objective: ClassVar = "weighted"
    attention: ClassVar = False
    outer_gate: ClassVar = False
    attention_hidden_size: ClassVar = 0
    attention_output: ClassVar[AttentionOutput] = "identity"


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
        positive (here shared ones; the rest is in ``FullEnvironmentModel``), learnt word vectors
        (features are dense here), and training items ranked with score 1e-5. Its NDCG is
        ``ndcg_hits``; epochs are chosen by RecBole's.
    """

    settings_class = InvRLSettings
    settings: InvRLSettings
    learns_mask = True
    sharding = STAGED_SHARDING

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "there would be nothing to mask")

    def parameter_groups(
        self, embedding_reg_weight: float | None = None, projection_reg_weight: float | None = None
    ) -> list[dict[str, Any]]:
        """As UltraGCN's, in the final model (no weights given) with ``item_id_reg_factor``."""
        users, items, *content = super().parameter_groups(
            embedding_reg_weight, projection_reg_weight
        )
        if embedding_reg_weight is None:
            items["weight_decay"] *= self.settings.item_id_reg_factor
        return [users, items, *content]


SPEC = ModelSpec(
    "InvRL",
    InvRL,
    InvRLSettings,
    trainer="recbole_painvrl.models.painvrl.trainer:StagedTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values", "negatives"}),
    purposes=staged_purposes,
    memory=staged_memory,
    colour=1,
    groups=frozenset({"paper", "graph"}),
    paper="Du et al., MM '22: invariant representation learning for multimedia recommendation",
    url="https://doi.org/10.1145/3503161.3548405",
    idea="UltraGCN on features times a mask, learnt so that the loss is invariant over "
    "inferred environments.",
    ranks_cold_items=True,
)
