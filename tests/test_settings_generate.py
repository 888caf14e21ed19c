"""Settings of generation: what they take, and what is said of what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.settings import GenerateSettings


@pytest.mark.parametrize("name", ["stop", "bad_words"])
@pytest.mark.parametrize(
    ("value", "held"),
    [("END", ("END",)), (["END"], ("END",)), (("a", "b"), ("a", "b")), ([], ()), ((), ())],
)
def test_strings_may_be_given_as_one_string_or_as_several(name: str, value: Any, held: tuple[str, ...]) -> None:
    """A plain string was once refused; its letters are not what anybody means."""
    assert getattr(GenerateSettings(**{name: value}), name) == held


@pytest.mark.parametrize("name", ["stop", "bad_words"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r" is \('',\); expected strings that are not empty\."),
        (["a", 1], r" is \('a', 1\); expected strings that are not empty\."),
        (5, r" is 5; expected a string or a list of strings\."),
        (b"END", r" is b'END'; expected a string or a list of strings\."),
        (None, r" is None; expected a string or a list of strings\."),
    ],
)
def test_what_is_no_string_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}{message}"):
        GenerateSettings(**{name: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_length": "9"}, r"^min_length is '9'; expected int\.$"),
        ({"length": None, "min_length": 3}, r"^length is None; expected int\.$"),
        ({"min_length": 9, "length": 8}, r"^min_length is 9, more than length, 8; lower it or raise length\.$"),
        ({"nsamples": 0, "top_p": 2.0}, r"^top_p is 2\.0; .* at most 1\.0\.\nnsamples is 0; .* at least 1\.$"),
    ],
)
def test_values_are_compared_only_where_each_is_fine_by_itself(settings: dict[str, Any], message: str) -> None:
    """A value of another kind once ended in the comparison's own TypeError."""
    with pytest.raises(SettingsError, match=message):
        GenerateSettings(**settings)
