"""The numbers that make one GPT-2 differ from another, and the weights that every block of any of them has.

Knows the parameter count and the two JSON forms (Hugging Face's config.json, OpenAI's hparams.json).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt2simple.errors import CheckpointError

# Options of transformers' GPT2Config that would make the same weights mean something else.
_REFUSED_UNLESS = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}


# The weights of a block in canonical order, with their shapes in units of the width E; matrices are [in, out].
# Canonical names begin with the number of the block, as in `h.0.ln_1.weight`.
BLOCK_WEIGHTS: dict[str, tuple[int, ...]] = {
    "ln_1.weight": (1,), "ln_1.bias": (1,),
    "attn.c_attn.weight": (1, 3), "attn.c_attn.bias": (3,),
    "attn.c_proj.weight": (1, 1), "attn.c_proj.bias": (1,),
    "ln_2.weight": (1,), "ln_2.bias": (1,),
    "mlp.c_fc.weight": (1, 4), "mlp.c_fc.bias": (4,),
    "mlp.c_proj.weight": (4, 1), "mlp.c_proj.bias": (1,),
}  # fmt: skip

# The linear maps among them: the first part of their names, and their outputs in units of E.
PROJECTIONS = {name.removesuffix(".weight"): units[1] for name, units in BLOCK_WEIGHTS.items() if len(units) == 2}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a GPT-2."""

    n_vocab: int  # V, tokens in the vocabulary
    n_ctx: int  # the longest T, tokens of context
    n_embd: int  # E, width
    n_head: int  # H
    n_layer: int  # L
    layer_norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        numbers = (self.n_vocab, self.n_ctx, self.n_embd, self.n_head, self.n_layer)
        if any(not isinstance(n, int) or n < 1 for n in numbers) or self.n_embd % self.n_head:
            raise CheckpointError(
                f"{self} is not a valid GPT-2 config: sizes must be positive integers, n_embd a multiple of n_head. "
                "Check config.json or hparams.json."
            )

    @property
    def head_width(self) -> int:
        """D, the width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def parameters(self) -> int:
        """Trainable parameters, the tied head counted once."""
        e = self.n_embd
        per_layer = sum(math.prod(e * n for n in units) for units in BLOCK_WEIGHTS.values())
        return self.n_vocab * e + self.n_ctx * e + self.n_layer * per_layer + 2 * e

    @classmethod
    def from_hparams(cls, values: Mapping[str, Any]) -> ModelConfig:
        """From OpenAI's hparams.json."""
        try:
            return cls(**{k: int(values[k]) for k in ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")})
        except KeyError as missing:
            raise CheckpointError(f"hparams.json has no {missing}. Restore the checkpoint's own file.") from None

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any]) -> ModelConfig:
        """From Hugging Face's config.json.

        Raises:
            CheckpointError: it describes another architecture, or a GPT-2 variant that computes something else.
        """
        kind = values.get("model_type")
        if kind != "gpt2":
            raise CheckpointError(
                f"config.json says model_type {kind!r}; this package loads GPT-2 models (model_type 'gpt2'). "
                "Choose a GPT-2 checkpoint."
            )
        for name, allowed in _REFUSED_UNLESS.items():
            value = values.get(name, allowed[0])
            if value not in allowed:
                raise CheckpointError(
                    f"config.json sets {name} to {value!r}, a GPT-2 variant that this package does not support "
                    f"(expected {allowed[0]!r}). Choose a plain GPT-2 checkpoint."
                )
        inner = values.get("n_inner")
        if inner is not None and inner != 4 * int(values.get("n_embd", 768)):
            raise CheckpointError(
                f"config.json sets n_inner to {inner}; plain GPT-2 has 4 x n_embd. Choose a plain GPT-2 checkpoint."
            )
        return cls(
            n_vocab=int(values.get("vocab_size", 50257)),
            n_ctx=int(values.get("n_positions", values.get("n_ctx", 1024))),
            n_embd=int(values.get("n_embd", 768)),
            n_head=int(values.get("n_head", 12)),
            n_layer=int(values.get("n_layer", 12)),
            layer_norm_epsilon=float(values.get("layer_norm_epsilon", 1e-5)),
        )

    def to_huggingface(self, end_of_text: int) -> dict[str, Any]:
        """The values of Hugging Face's config.json, readable by transformers 4 and 5.

        Args:
            end_of_text: id of the token that ends and starts a document.
        """
        return {
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.1,
            "bos_token_id": end_of_text,
            "embd_pdrop": 0.1,
            "eos_token_id": end_of_text,
            "initializer_range": 0.02,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "model_type": "gpt2",
            "n_ctx": self.n_ctx,
            "n_embd": self.n_embd,
            "n_head": self.n_head,
            "n_layer": self.n_layer,
            "n_positions": self.n_ctx,
            "resid_pdrop": 0.1,
            "tie_word_embeddings": True,
            "vocab_size": self.n_vocab,
        }
