"""What is installed, what would fail and what to type; nothing here needs PyTorch or RecBole."""

# Datasets that need no download.
BUILT_IN = ("ml-trailers", "planted", "ml-100k")
