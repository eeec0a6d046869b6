"""Settings of each of the plugin's models, one file per model."""

from recbole_painvrl.config.base import Settings
from recbole_painvrl.config.models.painvrl import PaInvRLSettings
from recbole_painvrl.config.models.ultragcn import BackboneSettings, UltraGCNSettings

__all__ = [
    "NEEDS_MODALITIES",
    "SCHEMAS",
    "BackboneSettings",
    "PaInvRLSettings",
    "UltraGCNSettings",
]

SCHEMAS: dict[str, type[Settings]] = {
    "PaInvRL": PaInvRLSettings,
    "UltraGCN": UltraGCNSettings,
}

# Models that learn about the features and have nothing to learn without any.
NEEDS_MODALITIES = frozenset({"PaInvRL"})
