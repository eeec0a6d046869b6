"""Sections of a report, one file each: figures and tables in, HTML out."""
