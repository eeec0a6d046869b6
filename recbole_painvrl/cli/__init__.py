"""Subcommands of ``python -m recbole_painvrl``: one module each, with its ``command``."""

from __future__ import annotations

# Name -> what it does, in the order of typical use.
COMMANDS = {
    "run": "train and evaluate one model (the same as run_recbole.py)",
    "benchmark": "compare models over seeds with significance tests (the paper's Table 2)",
    "ablate": "the paper's Table 3, Fig. 2 and Fig. 4, and ablations of implementation choices",
    "report": "write an HTML report of one or several runs",
    "tune": "search settings on IID and OOD validation",
    "recommend": "recommend items to users, with the ids of your data",
    "export": "export embeddings, mask or representations of a run",
    "settings": "list the settings of a model with defaults and presets",
    "doctor": "check the installation and suggest fixes",
    "completion": "shell completion of commands, models, datasets and settings",
}
# These need neither PyTorch nor RecBole.
LIGHT = frozenset({"doctor", "completion"})
