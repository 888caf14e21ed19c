"""GGUF files read back, by the gguf package, and what a small model is exported from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes, to_gguf
from gpt2simple.gpt2.network.cached import next_token_logits
from gpt2simple.gpt2.network.decode_weights import decode_weights
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.testing import sample_text

# Wide enough for q8_0, and with rows that no token has.
CONFIG = ModelConfig(n_vocab=300, n_ctx=48, n_embd=64, n_head=2, n_layer=2, layer_norm_epsilon=3e-5)


def tokenizer_with_merges() -> Tokenizer:
    """290 tokens, the end of text last."""
    tokenizer = Tokenizer.train([sample_text()], 290)
    assert tokenizer.vocab_size == 290
    return tokenizer


class GgufFile(NamedTuple):
    """The content of a file; ``types``, of the tensors, by their names there; ``weights`` by their canonical names."""

    keys: dict[str, Any]
    types: dict[str, str]
    shapes: dict[str, list[int]]
    weights: dict[str, np.ndarray]
    config: ModelConfig


def read_gguf(path: Path) -> GgufFile:
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    config = ModelConfig(
        n_vocab=len(keys["tokenizer.ggml.tokens"]),
        n_ctx=keys["gpt2.context_length"],
        n_embd=keys["gpt2.embedding_length"],
        n_head=keys["gpt2.attention.head_count"],
        n_layer=keys["gpt2.block_count"],
        layer_norm_epsilon=keys["gpt2.attention.layer_norm_epsilon"],
    )
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    weights = {}
    for name, shape in canonical_shapes(config).items():
        tensor = tensors[to_gguf(name)]
        values = gguf.quants.dequantize(np.array(tensor.data), tensor.tensor_type)
        weights[name] = values.T if name.startswith("h.") else values
        assert weights[name].shape == shape
    return GgufFile(
        keys=keys,
        types={name: tensor.tensor_type.name for name, tensor in tensors.items()},
        shapes={name: tensor.shape.tolist() for name, tensor in tensors.items()},
        weights=weights,
        config=config,
    )


def logits_of(weights: Any, config: ModelConfig, ids: np.ndarray) -> np.ndarray:
    """Our forward pass: logits [T, V] after each of some tokens [T]."""
    return next_token_logits(decode_weights(weights, config, "float32"), config, tf.constant(ids, tf.int32)).numpy()
