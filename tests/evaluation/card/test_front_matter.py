"""The front matter is read by YAML readers as the values that it was made of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gpt2simple.evaluation.card.front_matter import front_matter

NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
SCALARS = st.one_of(st.booleans(), NUMBERS, TEXTS)
NAMES = st.from_regex(r"[a-z][a-z_-]{0,8}", fullmatch=True).filter(lambda name: yaml.safe_load(name) == name)
FLAT = st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(SCALARS, min_size=1)), min_size=1)
NESTED = st.dictionaries(NAMES, st.one_of(SCALARS, FLAT, st.lists(FLAT, min_size=1)), min_size=1)


def read(text: str) -> Any:
    """The values between the two lines of dashes."""
    empty, matter, rest = text.split("---\n")
    assert empty == rest == ""
    return yaml.safe_load(matter)


@given(NESTED)
def test_what_is_written_is_read(values: dict[str, Any]) -> None:
    assert read(front_matter(values)) == values


@pytest.mark.parametrize(
    "text",
    ["no", "1e5", "2026-11-27", "~", "a: b", "# c", "- d", '"e"', "---", "ß €", "12:30", "a\u2028b", "a\tb\x85c"],
)
def test_texts_stay_texts(text: str) -> None:
    assert read(front_matter({"name": text})) == {"name": text}


@pytest.mark.parametrize("number", [1e-05, 1.0, 3, 1e22, 0.1, 2.5e-7, -1e-9])
def test_numbers_stay_numbers(number: float) -> None:
    assert read(front_matter({"value": number})) == {"value": number}


def test_what_is_not_known_is_left_out() -> None:
    empty = {"a": None, "b": [], "c": {}, "d": "", "e": float("nan"), "f": {"g": None}, "h": [None, {"i": ()}], "j": 1}
    assert read(front_matter(empty)) == {"j": 1}
    assert read(front_matter({"flag": False, "zero": 0})) == {"flag": False, "zero": 0}
