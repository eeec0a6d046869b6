"""Damaged and hostile files for every reader: loaded correctly, or refused by name."""
