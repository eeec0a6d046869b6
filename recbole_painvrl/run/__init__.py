"""One run from configuration to run folder."""

# The last file of a run: where it is, the run is complete.
RESULT = "result.json"
