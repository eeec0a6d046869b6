"""The protocols by which a dataset is split."""
