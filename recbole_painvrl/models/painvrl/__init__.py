"""PaInvRL (Huang et al., MM '23), one stage one file.

=========================  ============================================================
``settings.py``            all settings, with what InvRL shares
``model.py``               backbone and final model on ``Phi = m (.) f`` (Eq. 26)
``environment_stage.py``   heterogeneous identification (Eq. 2, 9, 25)
``mask_learner.py``        one joint step of the mask (Eq. 10 to 19), without RecBole
``mask_stage.py``          the mask stage of a run: log, figures, warnings
``trainer.py``             the order of the stages (Algorithm 1)
``memory.py``              memory needed, before anything is built
=========================  ============================================================
"""

from recbole_painvrl.models.painvrl.model import SPEC, PaInvRL
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings

__all__ = ["SPEC", "PaInvRL", "PaInvRLSettings"]
