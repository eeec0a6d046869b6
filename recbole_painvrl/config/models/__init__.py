"""Settings of each of the plugin's models, one file per model."""

from recbole_painvrl.config.models.invrl import InvRLSettings
from recbole_painvrl.config.models.mmgcn import MMGCNSettings
from recbole_painvrl.config.models.mmssl import MMSSLSettings
from recbole_painvrl.config.models.painvrl import PaInvRLSettings
from recbole_painvrl.config.models.ultragcn import BackboneSettings, UltraGCNSettings
from recbole_painvrl.config.models.vbpr import VBPRSettings

__all__ = [
    "BackboneSettings",
    "InvRLSettings",
    "MMGCNSettings",
    "MMSSLSettings",
    "PaInvRLSettings",
    "UltraGCNSettings",
    "VBPRSettings",
]
