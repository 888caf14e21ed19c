"""Writing a vocabulary so that this package and plain transformers (4 and 5) open it as a GPT-2 tokenizer.

Knows the files of Hugging Face's GPT-2 tokenizers; does not know how text is encoded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt2simple.storage import atomic_write
from gpt2simple.tokenizer.alphabet import to_symbols
from gpt2simple.tokenizer.vocabulary import Vocabulary


def write_vocabulary(vocabulary: Vocabulary, folder: Path, *, max_length: int | None) -> None:
    """Write tokenizer.json, tokenizer_config.json, vocab.json and merges.txt into ``folder``.

    Args:
        max_length: the longest context of the model in tokens, for tools that ask the tokenizer; None leaves it out.

    Raises:
        StorageError: the folder cannot be written.
    """
    by_id = sorted(vocabulary.ids.items(), key=lambda item: item[1])
    vocab = {to_symbols(token): index for token, index in by_id}
    vocab[vocabulary.end_of_text_name] = vocabulary.end_of_text
    vocab = dict(sorted(vocab.items(), key=lambda item: item[1]))
    merges = [(to_symbols(left), to_symbols(right)) for left, right in vocabulary.merges]
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
    atomic_write(folder / "vocab.json", _json(vocab))
    atomic_write(folder / "merges.txt", "\n".join(lines))
    atomic_write(folder / "tokenizer.json", _json(_fast_file(vocabulary, vocab, merges)))
    atomic_write(folder / "tokenizer_config.json", _json(_configuration(vocabulary, max_length), indent=2))


def _fast_file(vocabulary: Vocabulary, vocab: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The content of tokenizer.json."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(name, index) for name, index in sorted(vocabulary.special.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {**byte_level, "trim_offsets": False},
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }


def _added_token(name: str, index: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": index, "content": name, **flags}


def _configuration(vocabulary: Vocabulary, max_length: int | None) -> dict[str, Any]:
    """The content of tokenizer_config.json: GPT-2 uses its one special token for every purpose."""
    end = vocabulary.end_of_text_name
    configuration: dict[str, Any] = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "add_bos_token": False,
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": None,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
    }
    if max_length is not None:
        configuration["model_max_length"] = max_length
    return configuration


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
