"""Settings of which one stands in place of another: both together are refused, and a given one drops a kept one."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.settings import FinetuneSettings, TextSettings
from gpt2simple.settings.alternatives import without_replaced


@pytest.mark.parametrize(
    ("cls", "both", "message"),
    [
        (FinetuneSettings, {"steps": 3, "epochs": 1.0}, r"^steps is 3 and epochs is 1\.0; give one of the two\.$"),
        (
            FinetuneSettings,
            {"only_train_transformer_layers": True, "train_last_n_layers": 1},
            r"^only_train_transformer_layers and train_last_n_layers were both given; give one of the two\.$",
        ),
        (TextSettings, {"column": "a", "template": "{b}"}, r"^column and template were both given; give one of the t"),
    ],
)
def test_both_together_are_refused(cls: type, both: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        cls(**both)


@pytest.mark.parametrize(
    ("kept", "given", "left"),
    [
        ({"steps": 5, "seed": 1}, {"epochs": 2.0}, {"seed": 1}),
        ({"epochs": 2.0}, {"steps": None}, {"epochs": 2.0}),
        ({"train_last_n_layers": 1}, {"only_train_transformer_layers": True}, {}),
        ({"train_last_n_layers": 1}, {"only_train_transformer_layers": False}, {"train_last_n_layers": 1}),
        ({"lora_alpha": 4.0, "base_precision": "int8", "lora_rank": 8}, {"lora_rank": 0}, {"lora_rank": 8}),
        ({"lora_alpha": 4.0}, {"lora_rank": 4}, {"lora_alpha": 4.0}),
        ({"template": "{a}"}, {"column": "a"}, {}),
        ({"prompt_column": "a", "separator": "="}, {"pair_format": "messages"}, {}),
        ({"prompt_column": "a", "separator": "="}, {"pair_format": "prompt-completion"}, {"separator": "="}),
        ({"pair_format": "alpaca"}, {"completion_column": "b"}, {}),
    ],
)
def test_a_given_one_drops_those_that_it_stands_in_place_of(
    kept: dict[str, Any], given: dict[str, Any], left: dict[str, Any]
) -> None:
    assert without_replaced(kept, given) == left
