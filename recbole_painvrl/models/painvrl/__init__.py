"""PaInvRL (Huang et al., MM '23), one stage one file.

========================  ============================================================
``settings.py``           all settings, with what InvRL shares
``model.py``              backbone and final model on ``Phi = m (.) f`` (Eq. 26)
``trainer.py``            the order of the stages (Algorithm 1)
``backbone_stage.py``     UltraGCN with all features, frozen afterwards
``environment_stage.py``  heterogeneous identification (Eq. 2, 9, 25)
``mask_stage.py``         the mask stage of a run: log, figures, warnings
``mask_learner.py``       one joint step of the mask (Eq. 10 to 19), without RecBole
``joint_step.py``         gradients of both losses, in one or several processes
``form_stage.py``         the form of the mask in the final model
``final_stage.py``        the final model, and the choice among masks
``other_final.py``        a final model other than UltraGCN
``artefacts.py``          arrays and planted scores for the run folder
``memory.py``             memory needed, before anything is built
========================  ============================================================
"""

from recbole_painvrl.models.painvrl.model import SPEC, PaInvRL
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings

__all__ = ["SPEC", "PaInvRL", "PaInvRLSettings"]
