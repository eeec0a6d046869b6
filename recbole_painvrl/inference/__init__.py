"""Complete runs in use: loading, ranking, items and users that training has not seen."""
