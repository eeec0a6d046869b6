"""Grids of runs: cells, who runs them, and the tables made of them."""
