"""Words hashed many at a time are those that the pattern finds."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data import words
from gpt2simple.data.words import BASE, WORD, hashed_units, spans_hash

WORDS = """The KING'S 2nd café, naïve Ünï x² 我愛GPT2模型。 日本のカメラ ภาษาไทย हिन्दी کتاب‌ها 안녕 שָׁלוֹם \u0301a ❤\ufe0f
👩\u200d💻 1+1=2 Ǆ straße internationalisation"""
pieces = st.sampled_from([*WORDS.split(), "x" * 16, "y" * 64 + "z", "é" * 70, "ß", "好", "ก", " ", "\n", ".", "_"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(pieces, max_size=30).map("".join), min_size=1, max_size=4))
def test_words_are_those_of_the_pattern(texts: list[str]) -> None:
    found = hashed_units(texts)
    expected = [WORD.findall(words.folded(text)) for text in texts]
    flat = [word for of_text in expected for word in of_text]
    hashes = found.hashes[found.words].tolist()
    assert len(hashes) == len(flat)
    assert len(set(zip(flat, hashes, strict=True))) == len(set(flat)) == len(set(hashes))
    counts = np.diff(np.append(0, np.cumsum(found.words))[found.bounds])
    assert counts.tolist() == list(map(len, expected))


def test_plain_text_has_the_same_words_by_the_quick_rule() -> None:
    plain = "".join(filter(words._PLAIN_TEXT.fullmatch, map(chr, range(0x3000))))
    assert {"é", "Ж", "ω", "’", "€"} <= set(plain)
    text = "".join(f"a{character}b {character} " for character in plain)
    assert words._PLAIN_WORD.findall(text) == words.WORD.findall(text)


@pytest.mark.parametrize("same", ["CAFÉ", "cafe\u0301", "«café»", "Café!"])
def test_case_form_and_punctuation_make_no_difference(same: str) -> None:
    assert hashed_units([same]).hashes.tolist() == hashed_units(["café"]).hashes.tolist()
    assert hashed_units([unicodedata.normalize("NFD", same)]).hashes.tolist() == hashed_units(["café"]).hashes.tolist()


def test_symbols_count_but_are_no_words() -> None:
    plus, minus = hashed_units(["1 + 1"]), hashed_units(["1 − 1"])
    assert plus.words.tolist() == [True, False, True]
    assert plus.hashes[1] != minus.hashes[1]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 20))
def test_the_hash_of_a_text_does_not_depend_on_where_it_was_cut(values: list[int], cut: int) -> None:
    units = np.array(values, np.uint64)
    cut = min(cut, len(units))
    whole = spans_hash(units, np.array([0, len(units)])).tolist()
    first, second = spans_hash(units, np.array([0, cut, len(units)])).tolist()
    assert whole == [(first + second * pow(BASE, cut, 1 << 64)) % (1 << 64)]
