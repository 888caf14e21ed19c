"""Exact match and token F1 on cases worked out by hand from SQuAD's rules."""

from __future__ import annotations

import pytest

from gpt2simple.evaluation.outputs.answers import exact_match, normalised, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel Tower!\n", "eiffel tower"),
        ("An apple, a pear and the fig.", "apple pear and fig"),
        ("theatre and another", "theatre and another"),  # articles are whole words
        ("U.S.A.", "usa"),  # punctuation goes first, so no letter is an article
        ("A.", ""),
        ("self-made (1999)", "selfmade 1999"),
        ("", ""),
        ("«Déjà vu» — the end", "«déjà vu» — end"),  # the punctuation of ASCII alone
        ("巴黎是法国的首都。", "巴黎是法国的首都。"),
        ("the-a", "thea"),
    ],
)
def test_texts_are_normalised_as_squad_does(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_an_output_matches_if_it_equals_any_reference() -> None:
    assert exact_match("the Seine.", ["Thames", "Seine"])
    assert not exact_match("the river Seine", ["Thames", "Seine"])
    assert exact_match("", ["The."])
    assert not exact_match("", ["Seine"])


@pytest.mark.parametrize(
    ("output", "references", "expected"),
    [
        ("the cat sat", ["A cat sat down"], 4 / 5),  # 2 of 2 and 2 of 3 tokens
        ("cat cat cat", ["cat dog"], 2 / 5),  # a token counts as often as both have it
        ("cat", ["dog", "black cat", "cat and dog"], 2 / 3),
        ("CAT!", ["cat"], 1.0),
        ("", ["cat"], 0.0),
        ("cat", [""], 0.0),
        ("The", ["a"], 1.0),  # neither has a token
        ("巴黎", ["巴黎是法国的首都"], 0.0),  # each is one token
        ("巴黎", ["巴黎"], 1.0),
    ],
)
def test_token_f1_by_hand(output: str, references: list[str], expected: float) -> None:
    assert token_f1(output, references) == pytest.approx(expected, abs=1e-15)
