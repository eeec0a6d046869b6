"""Measurements behind the documentation; nothing here is imported by the package."""
