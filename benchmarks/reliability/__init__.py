"""Runs that are killed, repeated and loaded with large data (docs/reliability.md)."""
