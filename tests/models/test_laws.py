"""Every law of ``recbole_painvrl.testing`` for the paper's models and some more of RecBole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import SHORT_STAGES

from recbole_painvrl.testing import ModelLaws, Subject

# Widths that no feature matrix of the tests has.
_SMALL = ("--embedding_size=6", "--content_embedding_size=5", "--init_std=0.3", "--n_neighbours=3")
_VBPR = ("--embedding_size=6", "--content_embedding_size=5")
_MMREC = (*_VBPR, "--form=mmrec", "--regularizer=norm")
_MMSSL = (
    "--embedding_size=6",
    "--n_heads=2",
    "--train_batch_size=64",
    "--discriminator_columns=40",
)
_ULTRAGCN_IDS = Subject("UltraGCN", (*_SMALL, "--modalities=[]"))
# MMGCN has no ID-only form: every one of its networks starts from features.
SUBJECTS = {
    "UltraGCN": Subject("UltraGCN", _SMALL, _ULTRAGCN_IDS, uses_features=True),
    "UltraGCN, ID-only": _ULTRAGCN_IDS,
    "PaInvRL": Subject("PaInvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS, uses_features=True),
    "InvRL": Subject("InvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS, uses_features=True),
    "VBPR": Subject(
        "VBPR", _VBPR, Subject("VBPR", (*_VBPR, "--modalities=[]")), uses_features=True
    ),
    "VBPR, MMRec": Subject(
        "VBPR", _MMREC, Subject("VBPR", (*_MMREC, "--modalities=[]")), uses_features=True
    ),
    "MMGCN": Subject("MMGCN", ("--embedding_size=6",), uses_features=True),
    "MMGCN, released": Subject(
        "MMGCN",
        ("--embedding_size=6", "--train_ids=False", "--latent_size=11"),
        uses_features=True,
    ),
    "MMSSL": Subject(
        "MMSSL",
        _MMSSL,
        Subject("MMSSL", (*_MMSSL, "--modality_residual_weight=0.0")),
        uses_features=True,
    ),
    "MMSSL, released": Subject("MMSSL", ("--preset=released", *_MMSSL), uses_features=True),
    "BPR": Subject("BPR", ("--embedding_size=6",)),
    "LightGCN": Subject("LightGCN", ("--embedding_size=6",)),
    "ItemKNN": Subject("ItemKNN", learns=False),
}
# Two dimensions, and enough training to learn two groups by heart. Released forms are shaped by
# their faults (frozen ids, dead graphs), so only the intended ones must.
_BOARD = ("--embedding_size=2", "--learning_rate=0.05", "--epochs=60")
_ULTRAGCN = (*_BOARD, "--content_embedding_size=2", "--embedding_reg_weight=0.1", "--init_std=0.1")
_QUICK = ("--learning_rate=0.1", "--epochs=25")
# With some draws of negatives, of either loader, this one still misses one pair of sixty.
_STREAM = ("--fast_loader=False",)
FIT = {
    "UltraGCN": _ULTRAGCN,
    "UltraGCN, ID-only": _ULTRAGCN,
    "PaInvRL": _ULTRAGCN,
    "InvRL": _ULTRAGCN,
    "VBPR": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", "--epochs=120"),
    "VBPR, MMRec": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", *_STREAM),
    "MMGCN": (*_BOARD, "--embedding_size=6", "--learning_rate=0.02"),
    "MMSSL": (*_BOARD, "--embedding_size=4", "--train_batch_size=20", *_QUICK),
    "BPR": (*_BOARD, "--epochs=100", "--weight_decay=0.01"),
    "LightGCN": _BOARD,
    "ItemKNN": ("--epochs=1", "--k=5"),
}

# RecBole builds its sparse matrices by a deprecated constructor.
pytestmark = pytest.mark.filterwarnings("ignore:torch.sparse.SparseTensor")

for _name, _subject in SUBJECTS.items():
    _class = "Test" + "".join(filter(str.isalnum, _name))
    _members = {"subject": replace(_subject, fit=FIT.get(_name)), "__module__": __name__}
    globals()[_class] = type(_class, (ModelLaws,), _members)
