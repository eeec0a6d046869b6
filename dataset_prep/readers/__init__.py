"""Readers of formats that more than one source meets."""
