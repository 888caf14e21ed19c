"""Settings of an adapter: its default learning rates, and what is said of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import PROJECTIONS
from gpt2simple.settings import ClassifierSettings, FinetuneSettings, PairSettings, TrainingSettings, from_json, to_json
from gpt2simple.settings.finetune import LORA_TARGETS


@pytest.mark.parametrize(
    ("cls", "parameters", "full", "lora"),
    [
        (FinetuneSettings, 124_000_000, 1e-4, 1e-3),
        (PairSettings, 124_000_000, 1e-4, 1e-3),
        (ClassifierSettings, 3_600_000, 2e-4, 2e-3),
        (ClassifierSettings, 124_000_000, 5e-5, 5e-4),
    ],
)
def test_an_adapter_has_a_default_learning_rate_of_its_own(
    cls: type[TrainingSettings], parameters: int, full: float, lora: float
) -> None:
    assert cls().rate_for(parameters) == full
    assert cls(lora_rank=4).rate_for(parameters) == pytest.approx(lora)
    assert cls(lora_rank=4, learning_rate=0.5).rate_for(parameters) == 0.5


def test_targets_are_the_projections_of_the_model() -> None:
    assert tuple(PROJECTIONS) == LORA_TARGETS


@pytest.mark.parametrize("cls", [FinetuneSettings, PairSettings, ClassifierSettings])
def test_targets_may_be_one_string_or_several(cls: type[TrainingSettings]) -> None:
    settings = cls(lora_rank=4, lora_targets="attn.c_attn")  # type: ignore[arg-type]
    assert settings.lora_targets == ("attn.c_attn",)
    assert from_json(cls, to_json(settings)) == settings


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lora_rank": -1}, r"lora_rank is -1; expected .* at least 0"),
    ({"lora_rank": 2000}, r"lora_rank is 2000; expected .* at most 1024"),
    ({"lora_alpha": 8.0}, r"lora_alpha was given, and lora_rank is 0, so there is no adapter; give both\."),
    ({"base_precision": "int8"}, r"base_precision was given, and lora_rank is 0, so there is no adapter; give both\."),
    ({"lora_rank": 4, "lora_alpha": 0.0}, r"lora_alpha is 0\.0; expected .*more than 0"),
    ({"lora_rank": 4, "lora_dropout": 1.0}, r"lora_dropout is 1\.0; expected .* at most 0\.9"),
    ({"lora_rank": 4, "base_precision": "int4"}, r"base_precision is 'int4'; expected .*int8"),
    (
        {"lora_rank": 4, "lora_targets": ["c_attn"]},
        r"lora_targets holds 'c_attn'; expected some of attn\.c_attn, attn\.c_proj, mlp\.c_fc, mlp\.c_proj\.",
    ),
    (
        {"lora_rank": 4, "train_last_n_layers": 2},
        r"train_last_n_layers and lora_rank were both given; an adapter is trained in all layers; give one of the two",
    ),
    (
        {"lora_rank": 4, "restore_from": "random"},
        r'restore_from is "random", and an adapter changes weights that have learned something; leave lora_rank out\.',
    ),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_an_adapter_that_cannot_be_is_explained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FinetuneSettings(**given).require_adapter()
