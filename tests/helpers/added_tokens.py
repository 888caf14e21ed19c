"""The byte tokenizer with added tokens of every kind, saved by transformers in the layouts of its versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt2simple.testing import byte_tokenizer

# Ids from 257 on, in this order.
ADDED: dict[str, dict[str, bool]] = {
    "<speaker1>": {},
    "<speaker10>": {},
    "<spk 2>": {"lstrip": True, "rstrip": True},
    "Moon": {"single_word": True},
}
SPECIAL = ("<A>", "<pad>")
TEXTS = (
    "<speaker1> hi <speaker10>x\n<A>hi<pad>",
    "<speaker1",
    "é<speaker1>漢<A>",
    "  <A>  \n",
    "x<spk 2>y",
    "a <spk 2> b\n\n<spk 2> \n",
    "aMoon Moon Moonx Moon.",
)


def save_as(layout: str, folder: Path) -> Any:
    """Write the folder with transformers, and return its tokenizer.

    Args:
        layout: "fast", "slow": without tokenizer.json, or "older": also without the flags of tokenizer_config.json.
    """
    from transformers import AddedToken, GPT2Tokenizer, GPT2TokenizerFast

    byte_tokenizer().save(folder / "plain")
    tokenizer = (GPT2TokenizerFast if layout == "fast" else GPT2Tokenizer).from_pretrained(folder / "plain")
    tokenizer.add_tokens([AddedToken(name, **flags) for name, flags in ADDED.items()])
    tokenizer.add_special_tokens({"additional_special_tokens": [SPECIAL[0]], "pad_token": SPECIAL[1]})
    tokenizer.save_pretrained(folder)
    if layout == "older":
        path = folder / "tokenizer_config.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        del values["added_tokens_decoder"]
        path.write_text(json.dumps(values), encoding="utf-8")
    return tokenizer
