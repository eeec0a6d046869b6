"""Texts of other scripts as features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prep_support import passed, prepare, write
from sklearn.feature_extraction.text import CountVectorizer

from dataset_prep.encoders.text import encode_texts, encode_words


@pytest.mark.parametrize(
    "texts",
    [
        ["राजा और शेर", "शेर", "राजा", "प्रेम कहानी", "युद्ध की कहानी"],
        ["ภาพยนตร์ รัก", "สงคราม รัก", "เรื่อง น้ำ", "สงคราม น้ำ"],
        ["কাহিনী যুদ্ধ", "রাজা", "রাজা কাহিনী", "যুদ্ধ প্রেম"],
        # With a zero-width joiner.
        ["\u0dc1\u0dca\u200d\u0dbb\u0dd3 ලංකා", "ලංකා", "රජා \u0dc1\u0dca\u200d\u0dbb\u0dd3", "රජා"],
    ],
    ids=["hindi", "thai", "bengali", "sinhala"],
)
def test_vowel_signs_belong_to_words(texts: list[str]) -> None:
    """The features are those of the same texts with every word replaced by a Latin one."""
    words = sorted({word for text in texts for word in text.split()})
    latin = {word: f"word{place:03}" for place, word in enumerate(words)}
    same = [" ".join(latin[word] for word in text.split()) for text in texts]
    found, expected = encode_texts(texts, "tfidf"), encode_texts(same, "tfidf")
    assert found.notes["words"] == len(words)
    assert not found.absent.any()
    likeness = expected.matrix @ expected.matrix.T
    np.testing.assert_allclose(found.matrix @ found.matrix.T, likeness, atol=1e-6)


def test_words_of_other_scripts_are_as_before() -> None:
    texts = [
        "Crème brûlée, l'été 3x a_b",
        "Ёлка й \u2764\ufe0fa b",
        "1\ufe0f\u20e3 קָפֶה قِصَّة",
        "한국 영화",
    ]
    counts = CountVectorizer(strip_accents="unicode").fit_transform(texts)
    np.testing.assert_array_equal(
        encode_texts(texts, "tfidf").matrix, encode_words(counts, 128).matrix
    )


@pytest.mark.parametrize(
    ("texts", "noted"),
    [
        (["霸王别姬电影", "花样年华", "重庆森林", "英雄 森林", "英雄"], True),
        (["red car", "blue car", "red bus", "alone", "blue bus"], False),
    ],
)
def test_texts_that_share_no_word_are_counted(
    tmp_path: Path, texts: list[str], noted: bool
) -> None:
    rows = [f"i{place},{text}" for place, text in enumerate(texts)]
    path = write(tmp_path / "t.csv", "\n".join(["item_id,plot", *rows]) + "\n")
    printed = passed(prepare("extract", "--text", f"plot={path}", "--output", tmp_path / "out")).out
    assert ("t.csv: 3 of 5 texts share no word with another" in printed) == noted
