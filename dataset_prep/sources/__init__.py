"""One module per source of data."""
