"""Subcommands of ``python -m recbole_painvrl``: one module each, with ``command`` and ``main``."""

from __future__ import annotations

# Name -> what it does, in the order in which people need them.
COMMANDS = {
    "run": "train and evaluate one model (the same as run_recbole.py)",
    "benchmark": "a table of models x seeds with significance, as the paper's Table 2",
    "ablate": "the paper's Table 3, Fig. 2 and Fig. 4, and ablations of our own choices",
    "report": "one HTML page about one or several runs",
    "tune": "search settings on IID and OOD validation together",
    "recommend": "the best items for your users, with your own ids",
    "export": "embeddings, mask or representations of a run, with your own ids",
    "settings": "what can be set for a model, with defaults and presets",
    "doctor": "what is installed, what would fail and what to type",
    "completion": "completion of commands, models, datasets and settings by the tab key",
}
# These need neither PyTorch nor RecBole.
LIGHT = frozenset({"doctor", "completion"})
