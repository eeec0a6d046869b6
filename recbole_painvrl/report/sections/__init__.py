"""Sections of the page: each function returns the values of its template."""
