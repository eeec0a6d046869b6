"""One stage per file: backbone, environments, mask, final; ``painvrl.py`` runs them in turn."""
