"""MMSSL (Wei et al., WWW '23): model, learnt graphs, adversary and trainer."""

from recbole_painvrl.models.mmssl.model import MMSSL, SPEC
from recbole_painvrl.models.mmssl.settings import MMSSLSettings

__all__ = ["MMSSL", "SPEC", "MMSSLSettings"]
