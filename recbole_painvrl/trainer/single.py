"""Trainer of the single-stage models."""

from recbole_painvrl.trainer.base import RunTrainer


class UltraGCNTrainer(RunTrainer):
    """One stage, RecBole's ``fit``; L2 is the model's coupled weight decay."""
