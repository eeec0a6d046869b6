"""Every law of ``recbole_painvrl.testing`` for every model and some more of RecBole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import SHORT_STAGES

from recbole_painvrl.testing import ModelLaws, Subject

# Widths that no feature matrix of the tests has.
_SMALL = ("--embedding_size=6", "--content_embedding_size=5", "--init_std=0.3", "--n_neighbours=3")
_VBPR = ("--embedding_size=6", "--content_embedding_size=5")
_MMREC = (*_VBPR, "--form=mmrec", "--regularizer=norm")
_MMSSL = (
    *("--embedding_size=6", "--n_heads=2", "--train_batch_size=64"),
    "--discriminator_columns=40",
)
_SIX, _RELEASED = "--embedding_size=6", "--preset=released"
_KNN = (_SIX, "--knn_k=4")
_GRCN = (_SIX, "--content_size=5")
_MGAT = ("--embedding_size=4", "--latent_size=3")
_SLMREC = (_SIX, "--train_batch_size=128")
# All co-users: which of two users with as many common items counts depends on their numbers.
_CO_USERS = ("--embedding_size=5", "--user_neighbours=200")
_WALK = (
    "--alpha=0.7",
    "--beta=0.3",
    "--popularity_prior=0.02",
    "--content_weight=0.4",
    "--knn_k=5",
)
_ULTRAGCN_IDS = Subject("UltraGCN", (*_SMALL, "--modalities=[]"))


def _with_features(
    model: str, settings: tuple[str, ...], ids_only: Subject | None = None
) -> Subject:
    return Subject(model, settings, ids_only, uses_features=True)


# MMGCN has no ID-only form: every one of its networks starts from features.
SUBJECTS = {
    "UltraGCN": _with_features("UltraGCN", _SMALL, _ULTRAGCN_IDS),
    "UltraGCN, ID-only": _ULTRAGCN_IDS,
    "PaInvRL": _with_features("PaInvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS),
    "InvRL": _with_features("InvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS),
    "VBPR": _with_features("VBPR", _VBPR, Subject("VBPR", (*_VBPR, "--modalities=[]"))),
    "VBPR, MMRec": _with_features("VBPR", _MMREC, Subject("VBPR", (*_MMREC, "--modalities=[]"))),
    "MMGCN": _with_features("MMGCN", (_SIX,)),
    "MMGCN, released": _with_features("MMGCN", (_SIX, "--train_ids=False", "--latent_size=11")),
    "MMSSL": _with_features(
        "MMSSL", _MMSSL, Subject("MMSSL", (*_MMSSL, "--modality_residual_weight=0.0"))
    ),
    "MMSSL, released": _with_features("MMSSL", (_RELEASED, *_MMSSL)),
    "BM3": _with_features("BM3", (_SIX, "--score_content=0.5")),
    "DRAGON": _with_features("DRAGON", (*_CO_USERS, "--knn_k=4")),
    "DualGNN": _with_features("DualGNN", _CO_USERS),
    "EliMRec": _with_features("EliMRec", (_SIX,)),
    "EliMRec, plain": _with_features("EliMRec", (_SIX, "--score=plain")),
    "FREEDOM": Subject("FREEDOM", _KNN),
    "GRCN": _with_features("GRCN", (*_GRCN, "--routing=True")),
    "GRCN, released": _with_features("GRCN", (_RELEASED, *_GRCN)),
    "LATTICE": _with_features("LATTICE", _KNN),
    "LATTICE, released": Subject("LATTICE", (_RELEASED, *_KNN, "--item_layers=2")),
    "LGMRec": _with_features("LGMRec", (_SIX, "--n_hyperedges=3")),
    "MGAT": _with_features("MGAT", _MGAT),
    "MGAT, released": _with_features("MGAT", (_RELEASED, *_MGAT)),
    "MGCN": _with_features("MGCN", _KNN),
    "MICRO": _with_features("MICRO", _KNN),
    "MICRO, released": Subject("MICRO", (_RELEASED, *_KNN)),
    "SLMRec": _with_features("SLMRec", _SLMREC),
    "SLMRec, dropout": _with_features("SLMRec", (*_SLMREC, "--ssl_task=FD")),
    "SLMRec, masking": Subject(
        "SLMRec", (*_SLMREC, "--ssl_task=FM", "--mask_false_negatives=True", "--score=cosine")
    ),
    "ContentEASE, whitened": Subject(
        "ContentEASE", ("--form=whitened", "--reg_weight=2.0"), learns=False
    ),
    "ContentEASE, bilinear": Subject(
        "ContentEASE",
        ("--form=bilinear", "--reg_weight=5.0", "--feature_reg_weight=0.5"),
        learns=False,
    ),
    "ContentEASE, joint": Subject(
        "ContentEASE", ("--form=joint", "--reg_weight=5.0", "--feature_weight=3.0"), learns=False
    ),
    "RP3beta": Subject("RP3beta", _WALK, learns=False),
    "RP3beta, neighbours": Subject("RP3beta", ("--form=knn", "--knn_k=5"), learns=False),
    "BPR": Subject("BPR", (_SIX,)),
    "LightGCN": Subject("LightGCN", (_SIX,)),
    "ItemKNN": Subject("ItemKNN", learns=False),
}
# Two dimensions, and enough training to learn two groups by heart. Released forms are shaped by
# their faults (frozen ids, dead graphs), so only the intended ones must.
_BOARD = ("--embedding_size=2", "--learning_rate=0.05", "--epochs=60")
_FOUR = (*_BOARD, "--embedding_size=4")
_SLOW = ("--learning_rate=0.02", "--epochs=60")
_ULTRAGCN = (*_BOARD, "--content_embedding_size=2", "--embedding_reg_weight=0.1", "--init_std=0.1")
_QUICK = ("--learning_rate=0.1", "--epochs=25")
# With some draws of negatives, of either loader, this one still misses one pair of sixty.
_STREAM = ("--fast_loader=False",)
FIT = {
    **dict.fromkeys(["UltraGCN", "UltraGCN, ID-only", "PaInvRL", "InvRL"], _ULTRAGCN),
    "VBPR": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", "--epochs=120"),
    "VBPR, MMRec": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", *_STREAM),
    "MMGCN": (*_BOARD, "--embedding_size=6", "--learning_rate=0.02"),
    "MMSSL": (*_BOARD, "--embedding_size=4", "--train_batch_size=20", *_QUICK),
    "BM3": (*_BOARD, "--embedding_size=6", "--score_content=0.0"),
    **dict.fromkeys(["DRAGON", "DualGNN", "EliMRec", "EliMRec, plain", "SLMRec"], _FOUR),
    **dict.fromkeys(["FREEDOM", "LATTICE", "LGMRec", "MGCN", "MICRO", "LightGCN"], _BOARD),
    **dict.fromkeys(["GRCN", "MGAT"], _SLOW),
    "ContentEASE, joint": ("--feature_weight=0.1",),
    "RP3beta": ("--content_weight=0.0",),
    "BPR": (*_BOARD, "--epochs=100", "--weight_decay=0.01"),
    "ItemKNN": ("--epochs=1", "--k=5"),
}


def _stops_gradients(*_: Any) -> None:
    pytest.skip("the loss stops gradients; see test_bm3.py")


for _name, _subject in SUBJECTS.items():
    _class = "Test" + "".join(filter(str.isalnum, _name))
    _members = {"subject": replace(_subject, fit=FIT.get(_name)), "__module__": __name__}
    if _name == "BM3":
        _members["test_gradients_are_derivatives"] = _stops_gradients
    globals()[_class] = type(_class, (ModelLaws,), _members)
