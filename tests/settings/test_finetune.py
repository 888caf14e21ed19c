"""Settings of fine-tuning: special tokens, and what is said of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.settings import FinetuneSettings, from_json, to_json


@pytest.mark.parametrize("value", ["<a>", ["<a>"], ("<a>",)])
def test_special_tokens_may_be_one_string_or_several(value: Any) -> None:
    settings = FinetuneSettings(special_tokens=value)
    assert settings.special_tokens == ("<a>",)
    assert from_json(FinetuneSettings, to_json(settings)) == settings


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r"holds ''; expected strings of valid Unicode of 1 to 100 characters, not only white space\."),
        ([" \n"], r"holds ' \\n'; expected strings"),
        (["<a>", 1], r"holds 1; expected strings"),
        (["\ud800"], r"holds '\\ud800'; expected strings"),
        (["x" * 101], r"holds 'x+\.\.\.x+'; expected strings"),
        (["<a>", "<b>", "<a>"], r"holds '<a>' 2 times; give each once\."),
        ([f"<{n}>" for n in range(5000)], r"has 5,000 entries; expected at most 1,000\. .*`gpt2simple tokenizer`\."),
        (5, r"is 5; expected a string or a list of strings\."),
        ({"<a>": 1}, r"is {'<a>': 1}; expected a string or a list of strings\."),
        (None, r"is None; expected a string or a list of strings\."),
    ],
)
def test_special_tokens_that_cannot_be_are_explained(value: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^special_tokens {message}"):
        FinetuneSettings(special_tokens=value)


@pytest.mark.parametrize("other", [{"only_train_transformer_layers": True}, {"train_last_n_layers": 1}])
def test_special_tokens_need_an_embedding_that_is_trained(other: dict[str, Any]) -> None:
    (name,) = other
    with pytest.raises(SettingsError, match=rf"adds rows to the embedding, and {name} leaves it untrained; give one"):
        FinetuneSettings(special_tokens="<a>", **other)
