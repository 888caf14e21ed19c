"""A small model, a byte tokenizer and a text, for tests of this package and of programs that use it.

Everything is created from a seed, without the network or permanent files. Only `small_model` loads TensorFlow.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2simple.gpt2.config import ModelConfig

if TYPE_CHECKING:
    from gpt2simple.gpt2.container import TFGPT2LMHeadModel
    from gpt2simple.gpt2.tokenizer import Tokenizer

# 256 bytes and the end-of-text token; everything else is as small as a meaningful test of GPT-2 allows.
SMALL_CONFIG = ModelConfig(n_vocab=257, n_ctx=32, n_embd=16, n_head=2, n_layer=2)


def small_model(seed: int = 0) -> TFGPT2LMHeadModel:
    """A GPT-2 of `SMALL_CONFIG` with random weights, reproducible by seed.

    The weights have a standard deviation of 0.1 instead of GPT-2's 0.02, with which every position would predict nearly
    the same token and comparing outputs would prove little.
    """
    from gpt2simple.gpt2.container import build_model  # here, so that importing this module loads no TensorFlow

    return build_model(SMALL_CONFIG, seed=seed, initializer_range=0.1)


def byte_tokenizer() -> Tokenizer:
    """A tokenizer whose token ids are the bytes of the UTF-8 text, and 256 for `<|endoftext|>`."""
    from gpt2simple.gpt2.tokenizer import Tokenizer  # here: the Rust library is slow to load

    with tempfile.TemporaryDirectory() as folder:
        write_byte_vocabulary(Path(folder))
        return Tokenizer.load(Path(folder))


def write_byte_vocabulary(folder: Path) -> None:
    """Write `vocab.json` and `merges.txt` of the byte tokenizer into an existing folder."""
    from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT, SYMBOLS  # here: as above

    vocabulary = {symbol: byte for byte, symbol in enumerate(SYMBOLS)} | {END_OF_TEXT: 256}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


_WHO = ("the baker", "my neighbour", "a tired sailor", "the zoë-café cat", "old Marta", "the lighthouse keeper")
_DOES = ("mends", "carries", "forgets", "paints", "sells", "looks for")
_WHAT = ("a red umbrella", "the last lamp", "seven letters", "her brother's boat", "an empty cage", "£5 of salt")
_WHEN = ("before dawn", "every winter", "when it rains", "at the harbour", "without a word", "in the long evening")


def sample_text(sentences: int = 200, seed: int = 0) -> str:
    """A text that resembles English, with patterns that a small model can learn.

    Args:
        sentences: how many, about 50 bytes each; every fifth is followed by a blank line.
        seed: chooses the words; the same seed gives the same text.
    """
    draw = random.Random(seed)
    lines = []
    for number in range(1, sentences + 1):
        who, does, what, when = (draw.choice(words) for words in (_WHO, _DOES, _WHAT, _WHEN))
        line = f"{who} {does} {what} {when}."
        lines.append(line[0].upper() + line[1:] + ("\n" if number % 5 == 0 else ""))
    return "\n".join(lines) + "\n"
