"""Settings of generation: what they take, and what is said of what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.generation.sampling import draw, sampling_chain
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
        ("", r" is \('',\); expected strings of valid Unicode, none of them empty\."),
        (["a", 1], r" is \('a', 1\); expected strings of valid Unicode, none of them empty\."),
        ([10**5000, np.zeros(2)], r" is \(.{1,80}; expected strings of valid Unicode, none of them empty\."),
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


HALF = "\udcff"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncate": ""}, r"^truncate is ''; expected a string that is not empty\.$"),
        ({"truncate": HALF}, r"^truncate is '\\udcff'; expected a string of valid Unicode\.$"),
        ({"truncate": 5}, r"^truncate is 5; expected str\.$"),
        ({"stop": HALF}, r"^stop is \('\\udcff',\); expected strings of valid Unicode, none of them empty\.$"),
        ({"bad_words": ["a", HALF]}, r"^bad_words is \('a', '\\udcff'\); expected strings of valid Unicode, none of"),
        ({"temperature": 1e-300}, r"^temperature is 1e-300; expected 0 or at least 1e-06\.$"),
        ({"temperature": 1e300}, r"^temperature is 1e\+300; expected a finite number, at least 0\.0 and at most 10000"),
        ({"temperature": float("nan")}, r"^temperature is nan; expected a finite number"),
        ({"repetition_penalty": 0.0}, r"^repetition_penalty is 0\.0; expected a finite number, at least 1e-06 and at"),
        ({"repetition_penalty": 1e300}, r"^repetition_penalty is 1e\+300; expected a finite number, at least 1e-06"),
    ],
)
def test_what_would_write_nothing_or_nonsense_is_refused(settings: dict[str, Any], message: str) -> None:
    """An empty truncate cut every text to nothing; a temperature of 1e-300 wrote exclamation marks."""
    with pytest.raises(SettingsError, match=message):
        GenerateSettings(**settings)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [1e-6, 1e6])
@pytest.mark.parametrize("penalty", [1e-6, 1e6])
def test_the_extremes_that_are_taken_leave_numbers(temperature: float, penalty: float) -> None:
    settings = GenerateSettings(temperature=temperature, repetition_penalty=penalty, top_p=0.9)
    logits = np.linspace(-300, 300, 50, dtype=np.float32)
    filtered = sampling_chain(settings, end_of_text=0)(logits, [3, 40], 0).logits
    assert np.isfinite(filtered.max())
    assert draw(filtered, 5) is not None
