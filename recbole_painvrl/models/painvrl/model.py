"""PaInvRL (Huang et al., MM '23): the final model. The stages before it are beside it."""

from __future__ import annotations

from recbole.data.dataset import Dataset

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models.base import require_modalities
from recbole_painvrl.models.painvrl.memory import staged_memory, staged_purposes
from recbole_painvrl.models.painvrl.settings import STAGED_SHARDING, PaInvRLSettings
from recbole_painvrl.models.ultragcn import UltraGCN
from recbole_painvrl.specs import ModelSpec


class PaInvRL(UltraGCN):
    """UltraGCN on the invariant representations ``Phi = m (.) f`` (Eq. 26).

    Before ``StagedTrainer`` has learnt the mask it is all ones, and the model is the backbone.

    Args:
        config: RecBole configuration; the settings are ``PaInvRLSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality: there would be nothing to mask.

    Deviations:
        See ``docs/method.md`` for every reading of the paper; the final model is trained from
        scratch on Phi, as Eq. 26 says, and W, the MLPs and the vectors of the mask stage are
        discarded.
    """

    settings_class = PaInvRLSettings
    settings: PaInvRLSettings
    learns_mask = True
    sharding = STAGED_SHARDING

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "there would be nothing to mask")


SPEC = ModelSpec(
    "PaInvRL",
    PaInvRL,
    PaInvRLSettings,
    trainer="recbole_painvrl.models.painvrl.trainer:StagedTrainer",
    needs_modalities=True,
    own_generators=frozenset({"initial values", "negatives"}),
    purposes=staged_purposes,
    memory=staged_memory,
    colour=0,
    groups=frozenset({"paper", "graph"}),
    paper="Huang et al., MM '23: Pareto invariant representation learning",
    url="https://arxiv.org/abs/2308.04706",
    idea="UltraGCN on features times a mask, learnt so that Pareto weights balance the "
    "loss and its variance over inferred environments.",
    ranks_cold_items=True,
)
