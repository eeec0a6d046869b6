"""Datasets with planted truth: synthetic data, and MovieLens with planted features."""

from recbole_painvrl.data.planted.synthetic import PlantedDesign, generate_planted

__all__ = ["PlantedDesign", "generate_planted"]
