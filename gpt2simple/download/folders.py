"""When a folder counts as holding a model: by the names of its files.

Does not open the weights; whether they fit the config is found out when they are loaded.
"""

from __future__ import annotations

import json
from pathlib import Path


def holds_model(folder: Path) -> bool:
    """Whether a folder has the files of a loadable model, in Hugging Face's or OpenAI's layout."""
    return holds_hub_model(folder) or holds_openai_model(folder)


def holds_hub_model(folder: Path) -> bool:
    """Whether a folder has config.json, a vocabulary and weights (one file, shards with their index, or HDF5)."""
    return _has(folder, "config.json") and _has_vocabulary(folder) and _has_hub_weights(folder)


def _has_vocabulary(folder: Path) -> bool:
    """Whether a folder has vocab.json with merges.txt, or tokenizer.json."""
    return _has(folder, "tokenizer.json") or _has(folder, "vocab.json", "merges.txt")


def holds_openai_model(folder: Path) -> bool:
    """Whether a folder has the five files that loading a TensorFlow 1 checkpoint takes.

    ``checkpoint`` and ``model.ckpt.meta`` (the graph of the program that wrote it) are not read.
    """
    return _has(
        folder,
        "hparams.json",
        "encoder.json",
        "vocab.bpe",
        "model.ckpt.index",
        "model.ckpt.data-00000-of-00001",
    )


def _has_hub_weights(folder: Path) -> bool:
    if _has(folder, "model.safetensors") or _has(folder, "tf_model.h5"):
        return True
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        shards = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # no index, or one that loading will refuse
        return False
    return bool(shards) and _has(folder, *shards)


def _has(folder: Path, *names: str) -> bool:
    paths = [folder / name for name in names]
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)
