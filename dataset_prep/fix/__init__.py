"""Faults of the data, and what repairs them."""
