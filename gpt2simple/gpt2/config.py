"""The numbers that make one GPT-2 differ from another, and the weights that every block of any of them has.

Knows the parameter count and the two JSON forms (Hugging Face's config.json, OpenAI's hparams.json).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt2simple.errors import CheckpointError
from gpt2simple.storage.contents import quoted

# What a config may claim, far above any GPT-2's: a larger number is damage, and would cost time and memory before the
# weights show that it is.
LARGEST_SIZE = 1 << 24  # of the vocabulary, the context or the width
_MOST_LAYERS = 1000

CLASSIFIER_HEAD = "score.weight"  # of a classifier: [in, out], without a bias
_CLASSIFIER = "GPT2ForSequenceClassification"
_FEWEST_LABELS, _MOST_LABELS = 2, 10_000

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
class Lora:
    """Low-rank adaptation: the model's own weights stay as they are, and some projections get two small matrices each.

    Attributes:
        rank: r, rows and columns between the two. alpha: what they compute is multiplied by alpha / rank.
        targets: the projections that have them, of PROJECTIONS.
        base: how the model's own weights are kept in memory: float32, bfloat16 or int8; embeddings are bfloat16
            beside int8, and vectors and positions float32 in any case.
        rows: how many tokens, the last of the vocabulary, have a row of the embedding that is trained: new ones.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    base: str = "float32"
    rows: int = 0

    @property
    def scale(self) -> float:
        """The factor of what the two matrices compute."""
        return self.alpha / self.rank


def _invalid(why: str) -> CheckpointError:
    return CheckpointError(f"This is no valid GPT-2 config: {why}. Check config.json or hparams.json.")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a GPT-2, and the labels where it is a classifier.

    Attributes:
        labels: names of the classes, in the order of the head's outputs; empty: a language model.
        lora: how an adapter changes it; None: it has none.
    """

    n_vocab: int  # V, tokens in the vocabulary
    n_ctx: int  # the longest T, tokens of context
    n_embd: int  # E, width
    n_head: int  # H
    n_layer: int  # L
    layer_norm_epsilon: float = 1e-5
    labels: tuple[str, ...] = ()
    lora: Lora | None = None

    def __post_init__(self) -> None:
        for name, most in (("n_vocab", LARGEST_SIZE), ("n_ctx", LARGEST_SIZE), ("n_embd", LARGEST_SIZE),
                           ("n_head", LARGEST_SIZE), ("n_layer", _MOST_LAYERS)):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise _invalid(f"{name} is {quoted(value)}; expected a whole number from 1 to {most:,}")
        if self.n_embd % self.n_head:
            raise _invalid(f"n_embd is {self.n_embd}; expected a multiple of n_head, which is {self.n_head}")
        epsilon = self.layer_norm_epsilon
        if not isinstance(epsilon, (int, float)) or isinstance(epsilon, bool) or not 0 < epsilon < 1:
            raise _invalid(f"layer_norm_epsilon is {quoted(epsilon)}; expected a number between 0 and 1")

    @property
    def head_width(self) -> int:
        """D, the width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def parameters(self) -> int:
        """Trainable parameters, the tied head counted once."""
        e = self.n_embd
        per_layer = sum(math.prod(e * n for n in units) for units in BLOCK_WEIGHTS.values())
        return self.n_vocab * e + self.n_ctx * e + self.n_layer * per_layer + 2 * e + len(self.labels) * e

    @classmethod
    def from_hparams(cls, values: Mapping[str, Any]) -> ModelConfig:
        """From OpenAI's hparams.json."""
        try:
            return cls(**{k: values[k] for k in ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")})
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
                f"config.json says model_type {quoted(kind)}; this package loads GPT-2 models (model_type 'gpt2'). "
                "Choose a GPT-2 checkpoint."
            )
        for name, allowed in _REFUSED_UNLESS.items():
            value = values.get(name, allowed[0])
            if value not in allowed:
                raise CheckpointError(
                    f"config.json sets {name} to {quoted(value)}, a GPT-2 variant that this package does not support "
                    f"(expected {allowed[0]!r}). Choose a plain GPT-2 checkpoint."
                )
        inner = values.get("n_inner")
        width = values.get("n_embd", 768)
        if inner is not None and isinstance(width, int) and inner != 4 * width:
            raise CheckpointError(
                f"config.json sets n_inner to {quoted(inner)}; plain GPT-2 has 4 x n_embd. "
                "Choose a plain GPT-2 checkpoint."
            )
        return cls(
            n_vocab=values.get("vocab_size", 50257),
            n_ctx=values.get("n_positions", values.get("n_ctx", 1024)),
            n_embd=width,
            n_head=values.get("n_head", 12),
            n_layer=values.get("n_layer", 12),
            layer_norm_epsilon=values.get("layer_norm_epsilon", 1e-5),
            labels=_labels(values),
        )

    def to_huggingface(self, end_of_text: int) -> dict[str, Any]:
        """The values of Hugging Face's config.json, readable by transformers 4 and 5.

        Args:
            end_of_text: id of the token that ends and starts a document.
        """
        values = {
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
        if not self.labels:
            return values
        return values | {
            "architectures": [_CLASSIFIER],
            "id2label": {str(number): name for number, name in enumerate(self.labels)},
            "label2id": {name: number for number, name in enumerate(self.labels)},
            # transformers takes the logits at the last token that is not this one. No text ends in it: see
            # `data.labelled`.
            "pad_token_id": end_of_text,
            "problem_type": "single_label_classification",
        }


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes from config.json; none where it is no classifier's."""
    if _CLASSIFIER not in (values.get("architectures") or ()):
        return ()
    named = values.get("id2label") or {str(number): f"LABEL_{number}" for number in range(values.get("num_labels", 2))}
    try:
        labels = tuple(named[str(number)] for number in range(len(named)))
    except (KeyError, TypeError):
        raise _invalid(f"id2label is {quoted(named)}; expected a name for each number from 0") from None
    if len(set(labels)) < len(labels) or not all(isinstance(name, str) for name in labels):
        raise _invalid(f"id2label is {quoted(named)}; expected names that differ")
    if not _FEWEST_LABELS <= len(labels) <= _MOST_LABELS:
        raise _invalid(f"id2label has {len(labels):,} entries; expected {_FEWEST_LABELS} to {_MOST_LABELS:,}")
    return labels
