"""Damaged and hostile files for every reader, which must load them correctly or refuse them."""
