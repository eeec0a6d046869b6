"""Faults of the data and their repairs; filters."""
