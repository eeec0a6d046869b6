"""Datasets with modalities, the protocols that split them, and loaders over the splits."""
