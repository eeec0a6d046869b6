"""Grids of runs: cells, who runs them, and the tables made of them."""

# Of `ablate`, in the order of the paper.
PARTS = ("losses", "recall_curve", "environments", "choices")
