"""Checks of the installation, without importing PyTorch or RecBole."""

# Datasets that need no download.
BUILT_IN = ("ml-trailers", "planted", "ml-100k")
