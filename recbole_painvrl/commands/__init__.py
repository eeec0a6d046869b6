"""Subcommands of ``python -m recbole_painvrl``."""
