"""Completion by the tab key: lists read from files, and a script for the shell."""
