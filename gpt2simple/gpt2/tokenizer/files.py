"""Vocabulary files: read in any of the three usual layouts, written so that transformers (4 and 5) opens them.

Knows the files of Hugging Face's fast and slow tokenizers and of OpenAI's release; not how text is encoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import LARGEST_SIZE
from gpt2simple.gpt2.formats.validate import checkpoint_errors, read_json_object, read_text
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT, Vocabulary, to_bytes, to_symbols
from gpt2simple.storage.contents import quoted, reason
from gpt2simple.storage.files import atomic_write

_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a model folder.

    Raises:
        CheckpointError: no complete layout is there, or a file is damaged or of another kind of tokenizer.
    """
    with checkpoint_errors(folder):
        return _read(folder)


def _read(folder: Path) -> Vocabulary:
    name = _end_of_text_name(folder)
    if (folder / "tokenizer.json").is_file():
        return _from_fast_file(folder / "tokenizer.json", name)
    for vocabulary, merges in _PAIRS:
        present = [file for file in (vocabulary, merges) if (folder / file).is_file()]
        if len(present) == 2:
            return _from_pair(folder / vocabulary, folder / merges, name)
        if present:
            absent = merges if present == [vocabulary] else vocabulary
            raise CheckpointError(
                f"{folder} holds {present[0]} but no {absent}; both are needed. "
                "Copy the missing file from where the model came from."
            )
    raise CheckpointError(
        f"{folder} holds no vocabulary: expected tokenizer.json, or vocab.json and merges.txt, or encoder.json and "
        "vocab.bpe. Copy them from where the model came from, or download the model again."
    )


def _from_fast_file(path: Path, name: str) -> Vocabulary:
    content = read_json_object(path)
    model = content.get("model") or {}
    _refuse_other_rules(path, content, model)
    try:
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        added = {str(token["content"]): token["id"] for token in content.get("added_tokens") or ()}
        return _assemble(path, model["vocab"], merges, added, name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a BPE tokenizer.json ({reason(error)}). Copy or download it again."
        ) from error


def _refuse_other_rules(path: Path, content: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Raise where the file has an option that would give other ids than GPT-2's rule."""
    before = content.get("pre_tokenizer") or {}
    found = []
    if model.get("type", "BPE") != "BPE":
        found.append(f"a {str(model.get('type'))[:40]} model")
    if before.get("type") != "ByteLevel" or not before.get("use_regex", True):
        found.append(f"the pre-tokenizer {str(before.get('type'))[:40]}")
    if before.get("add_prefix_space"):
        found.append("add_prefix_space")
    if content.get("normalizer"):
        found.append("a normalizer")
    options = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
    found += [option for option in options if model.get(option)]
    if found:
        raise CheckpointError(
            f"{path} uses {', '.join(found)}; GPT-2's tokenizer is a byte-level BPE without it. "
            "Choose a model that has GPT-2's kind of tokenizer."
        )


def _from_pair(vocabulary: Path, merges: Path, name: str) -> Vocabulary:
    lines = read_text(merges).split("\n")
    pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    added_file = vocabulary.parent / "added_tokens.json"
    added = read_json_object(added_file) if vocabulary.name == "vocab.json" and added_file.is_file() else {}
    return _assemble(vocabulary, read_json_object(vocabulary), pairs, added, name)


def _assemble(
    path: Path, vocab: Mapping[str, Any], merges: Iterable[tuple[str, ...]], added: Mapping[str, Any], name: str
) -> Vocabulary:
    special = {content: _id(path, content, index) for content, index in added.items()}
    ids: dict[bytes, int] = {}
    for symbols, value in vocab.items():
        index, token = _id(path, symbols, value), to_bytes(symbols)
        if token is None or symbols == name or symbols in special:
            special[symbols] = index
        else:
            ids[token] = index
    return Vocabulary(ids=ids, merges=tuple(_pair(path, m) for m in merges), special=special, end_of_text_name=name)


def _id(path: Path, symbols: str, index: Any) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < LARGEST_SIZE:
        raise CheckpointError(
            f"{path} gives {quoted(symbols)} the id {quoted(index)}; expected a number below {LARGEST_SIZE:,}. "
            "Copy or download it again."
        )
    return index


def _pair(path: Path, symbols: tuple[str, ...]) -> tuple[bytes, bytes]:
    left, right = (to_bytes(part) for part in symbols) if len(symbols) == 2 else (None, None)
    if not left or not right:
        raise CheckpointError(
            f"{path.parent} holds a merge {' '.join(symbols)[:80]!r}; expected two tokens of a byte-level BPE. Copy or "
            "download its vocabulary again."
        )
    return left, right


def _end_of_text_name(folder: Path) -> str:
    """The name of the end token: ``eos_token`` of tokenizer_config.json where there is one, else GPT-2's."""
    path = folder / "tokenizer_config.json"
    named = read_json_object(path).get("eos_token") if path.is_file() else None
    if isinstance(named, Mapping):
        named = named.get("content")
    return named if isinstance(named, str) else END_OF_TEXT


def write_vocabulary(vocabulary: Vocabulary, folder: Path, *, max_length: int | None) -> None:
    """Write tokenizer.json, tokenizer_config.json, vocab.json and merges.txt into ``folder``.

    Args:
        max_length: the longest context of the model in tokens, for tools that ask the tokenizer; None leaves it out.

    Raises:
        StorageError: the folder cannot be written.
    """
    vocab = {to_symbols(token): index for token, index in vocabulary.ids.items()}
    vocab[vocabulary.end_of_text_name] = vocabulary.end_of_text
    vocab = dict(sorted(vocab.items(), key=lambda item: item[1]))
    merges = [(to_symbols(left), to_symbols(right)) for left, right in vocabulary.merges]
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
    atomic_write(folder / "vocab.json", _dumps(vocab))
    atomic_write(folder / "merges.txt", "\n".join(lines))
    atomic_write(folder / "tokenizer.json", _dumps(_fast_file(vocabulary, vocab, merges)))
    atomic_write(folder / "tokenizer_config.json", _dumps(_configuration(vocabulary, max_length), indent=2))


def _fast_file(vocabulary: Vocabulary, vocab: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The content of tokenizer.json."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = sorted(vocabulary.special.items(), key=lambda item: item[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": name, **flags} for name, index in special],
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


def _configuration(vocabulary: Vocabulary, max_length: int | None) -> dict[str, Any]:
    """The content of tokenizer_config.json: GPT-2 uses its one special token for every purpose."""
    end = vocabulary.end_of_text_name
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "add_bos_token": False,
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": None,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
        **({} if max_length is None else {"model_max_length": max_length}),
    }


def _dumps(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
