"""Reports of runs: tables, figures and the HTML page."""
