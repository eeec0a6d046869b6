"""One run from configuration to run folder."""
