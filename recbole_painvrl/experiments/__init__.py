"""Grids of runs: planning, execution and tables."""

# Experiments of `ablate`, in the order of the paper.
PARTS = ("losses", "recall_curve", "environments", "choices", "controls")
