"""Settings that replace each other: giving one drops the others, where those are kept from a run or a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple.settings.finetune import OF_ADAPTERS
from gpt2simple.settings.pairs import PROMPT_COMPLETION


def without_replaced(kept: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``kept`` without those that the ones ``given`` stand in place of.

    Giving ``steps`` drops ``epochs``, and the reverse; likewise for the two settings that choose which layers are
    trained, for ``column`` and ``template``, and for the columns and the format of pairs.

    Args:
        kept, given: settings by name.
    """
    dropped: set[str] = set()
    if given.get("steps") is not None or given.get("epochs") is not None:
        dropped |= {"steps", "epochs"}
    if given.get("only_train_transformer_layers") or given.get("train_last_n_layers") is not None:
        dropped |= {"only_train_transformer_layers", "train_last_n_layers"}
    if given.get("lora_rank") == 0:
        dropped |= set(OF_ADAPTERS)
    if "column" in given or "template" in given:
        dropped |= {"column", "template"}
    if given.get("pair_format") is not None:
        dropped |= {"prompt_column", "completion_column"}
        if given["pair_format"] != PROMPT_COMPLETION:
            dropped.add("separator")  # which the others do not have
    if given.get("prompt_column") is not None or given.get("completion_column") is not None:
        dropped.add("pair_format")
    return {name: value for name, value in kept.items() if name not in dropped}
