"""Vocabulary files: read in any of the three usual layouts, written so that transformers (4 and 5) opens them.

Knows the files of Hugging Face's fast and slow tokenizers and of OpenAI's release; not how text is encoded.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import LARGEST_SIZE
from gpt2simple.gpt2.formats.validate import checkpoint_errors, read_json_object, read_text
from gpt2simple.gpt2.tokenizer.added import FLAGS, AddedToken
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT, Vocabulary, to_bytes, to_symbols
from gpt2simple.storage.contents import quoted, reason
from gpt2simple.storage.files import atomic_write

_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder holds files of a vocabulary, of any layout."""
    return any((folder / name).is_file() for name in ("tokenizer.json", *itertools.chain(*_PAIRS)))


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a model folder.

    Raises:
        CheckpointError: no complete layout is there, or a file is damaged or of another kind of tokenizer.
    """
    with checkpoint_errors(folder):
        return _read(folder)


def _read(folder: Path) -> Vocabulary:
    fast = folder / "tokenizer.json"
    if fast.is_file():
        return _from_fast_file(fast)
    for vocabulary, merges in _PAIRS:
        present = [file for file in (vocabulary, merges) if (folder / file).is_file()]
        if len(present) == 2:
            return _from_pair(folder / vocabulary, folder / merges)
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


def _from_fast_file(path: Path) -> Vocabulary:
    content = read_json_object(path)
    model = content.get("model") or {}
    _refuse_other_rules(path, content, model)
    try:
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        return _assemble(path, model["vocab"], merges, content.get("added_tokens") or ())
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


def _from_pair(vocabulary: Path, merges: Path) -> Vocabulary:
    lines = read_text(merges).split("\n")
    pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    return _assemble(vocabulary, read_json_object(vocabulary), pairs, ())


def _assemble(
    path: Path, vocab: Mapping[str, Any], merges: Iterable[tuple[str, ...]], declared: Iterable[Mapping[str, Any]]
) -> Vocabulary:
    configuration, roles, older = (
        read_json_object(path.parent / name) if (path.parent / name).is_file() else {}
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    )
    with checkpoint_errors(path.parent):
        added = _added_tokens(path, [*declared, *_declared_elsewhere(configuration, roles, older)])
    end = _end_of_text_name(configuration, roles)
    pairs = tuple(_pair(path, m) for m in merges)
    made = {left + right for left, right in pairs} | {bytes([byte]) for byte in range(256)}
    ids: dict[bytes, int] = {}
    for symbols, value in vocab.items():
        index, token = _id(path, symbols, value), to_bytes(symbols)
        if symbols in added:
            added[symbols] = replace(added[symbols], id=index)
        if token in made or not (token is None or symbols == end or symbols in added):
            ids[token or b""] = index
        elif symbols not in added:
            added[symbols] = AddedToken(id=index, in_text=symbols == end)
    return Vocabulary(ids=ids, merges=pairs, added=added, end_of_text_name=end)


def _added_tokens(path: Path, declared: Iterable[Mapping[str, Any]]) -> dict[str, AddedToken]:
    """Added tokens by their spellings; where one is declared several times, as first declared."""
    added: dict[str, AddedToken] = {}
    for entry in declared:
        name, flags = str(entry["content"]), {flag: bool(entry.get(flag)) for flag in FLAGS}
        added.setdefault(name, AddedToken(id=_id(path, name, entry["id"]), **flags))
    return added


def _declared_elsewhere(
    configuration: Mapping[str, Any], roles: Mapping[str, Any], older: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """The added tokens that transformers 4 writes beside a vocabulary, in any of its versions.

    Args:
        configuration: of tokenizer_config.json, whose ``added_tokens_decoder`` has ids and flags.
        roles: of special_tokens_map.json: flags, or only spellings. older: of added_tokens.json: only ids.
    """
    for index, entry in (configuration.get("added_tokens_decoder") or {}).items():
        yield {**entry, "id": int(index)}
    several = (value if isinstance(value, list) else [value] for value in roles.values())
    special = {_spelling(value): value if isinstance(value, Mapping) else {} for values in several for value in values}
    for name, index in older.items():
        is_special = name in special
        yield {
            "normalized": not is_special,
            **special.get(name, {}),
            "special": is_special,
            "content": name,
            "id": index,
        }


def _spelling(value: Any) -> Any:
    return value.get("content") if isinstance(value, Mapping) else value


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


def _end_of_text_name(*files: Mapping[str, Any]) -> str:
    """The name of the end token: ``eos_token`` in the first of some files that has one, else GPT-2's."""
    names = (_spelling(content.get("eos_token")) for content in files)
    return next((name for name in names if isinstance(name, str)), END_OF_TEXT)


def write_vocabulary(vocabulary: Vocabulary, folder: Path, *, max_length: int | None, pads: bool) -> None:
    """Write tokenizer.json, tokenizer_config.json, vocab.json and merges.txt into ``folder``.

    Args:
        max_length: the longest context of the model in tokens, for tools that ask the tokenizer; None leaves it out.
        pads: whether the end of text is the token for padding; else there is none.

    Raises:
        StorageError: the folder cannot be written.
    """
    vocab = {to_symbols(token): index for token, index in vocabulary.ids.items()}
    # All of them: whatever is not in here, the tokenizers library numbers itself, without gaps.
    vocab |= {name: token.id for name, token in vocabulary.added.items()}
    vocab = dict(sorted(vocab.items(), key=lambda item: item[1]))
    merges = [(to_symbols(left), to_symbols(right)) for left, right in vocabulary.merges]
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
    atomic_write(folder / "vocab.json", _dumps(vocab))
    atomic_write(folder / "merges.txt", "\n".join(lines))
    atomic_write(folder / "tokenizer.json", _dumps(_fast_file(vocabulary, vocab, merges)))
    atomic_write(folder / "tokenizer_config.json", _dumps(_configuration(vocabulary, max_length, pads=pads), indent=2))


def _fast_file(vocabulary: Vocabulary, vocab: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The content of tokenizer.json."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, **entry} for index, entry in _added_entries(vocabulary).items()],
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


def _added_entries(vocabulary: Vocabulary) -> dict[int, dict[str, Any]]:
    """The added tokens as tokenizer files have them, by their ids."""
    tokens = sorted(vocabulary.added.items(), key=lambda item: item[1].id)
    return {token.id: {"content": name, **token.flags} for name, token in tokens if token.in_text}


def _configuration(vocabulary: Vocabulary, max_length: int | None, *, pads: bool) -> dict[str, Any]:
    """The content of tokenizer_config.json: GPT-2 uses its end of text for every purpose."""
    end = vocabulary.end_of_text_name
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "add_bos_token": False,
        "added_tokens_decoder": _added_entries(vocabulary),  # for transformers' slow tokenizer
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end if pads else None,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
        **({} if max_length is None else {"model_max_length": max_length}),
    }


def _dumps(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
