"""Per-user metrics and the figures that planted data allow."""
