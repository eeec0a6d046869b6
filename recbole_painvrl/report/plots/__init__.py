"""Figures of a report, one file per group; matplotlib is needed from here on."""
