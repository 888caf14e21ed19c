"""The names and shapes of GPT-2's weights, what other layouts call them, and the files that they lie in.

Canonical names are PyTorch's without the `transformer.` prefix; canonical matrices are [in, out], as GPT-2's authors,
transformers' Conv1D and Keras all keep them: between layouts only names and leading 1s differ. Nothing is transposed
but a classifier's head, which PyTorch's files have as [out, in]. Opens no file but TensorFlow's pointer.
"""

from __future__ import annotations

import re
from pathlib import Path

from gpt2simple.gpt2.config import BLOCK_WEIGHTS, CLASSIFIER_HEAD, ModelConfig

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"  # names the shards where the weights lie in several files
KERAS_FILE = "tf_model.h5"
_POINTER = re.compile(r'^model_checkpoint_path:\s*"(?:.*[/\\])?(.*)"', re.MULTILINE)
_TF1_LEAF = {"w": "weight", "g": "weight", "b": "bias"}
KERAS_LEAF = {
    "weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "embeddings": "weight", "kernel": "weight",
}  # fmt: skip
_GGUF_LAYER = {
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm",
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
_KERAS_SCOPE = "tfgpt2lm_head_model/transformer"  # of the first model of a process
_LAYER = re.compile(r"h(?:_\._)?(\d+)")  # h0/attn/c_attn/w of TF1, h_._0/attn/c_attn/weight of Keras

# Causal masks that PyTorch keeps among the weights; the architecture implies them.
_MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def canonical_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each weight by canonical name, in canonical order: 4 + 12 L entries, one more for a classifier."""
    e = config.n_embd
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (config.n_vocab, e), "wpe.weight": (config.n_ctx, e)}
    for i in range(config.n_layer):
        shapes |= {f"h.{i}.{name}": tuple(e * n for n in units) for name, units in BLOCK_WEIGHTS.items()}
    shapes |= {"ln_f.weight": (e,), "ln_f.bias": (e,)}
    return shapes | {CLASSIFIER_HEAD: (e, len(config.labels))} if config.labels else shapes


def from_pytorch(name: str) -> str | None:
    """The canonical name of a tensor in a PyTorch file; None for a mask, which holds no weight.

    `lm_head.weight` keeps its name: it is for the reader to decide whether that head is tied.
    """
    name = name.removeprefix("transformer.")
    return None if _MASK.fullmatch(name) else name


def to_pytorch(name: str) -> str:
    """The name of a weight in the files we write, with the prefix that `GPT2LMHeadModel` itself writes."""
    return name if name == CLASSIFIER_HEAD else f"transformer.{name}"


def from_tf1(name: str) -> str:
    """The canonical name of an OpenAI variable: `model/h0/attn/c_attn/w` -> `h.0.attn.c_attn.weight`."""
    parts = name.removeprefix("model/").split("/")
    if parts[-1] in _TF1_LEAF:
        return ".".join([_layers(parts[:-1]), _TF1_LEAF[parts[-1]]])
    return f"{_layers(parts)}.weight"  # wte and wpe are variables without a leaf


def from_keras(name: str) -> str | None:
    """The canonical name of a Keras weight, however many scopes precede it; None if it is none of GPT-2's.

    `tfgpt2lm_head_model/transformer/h_._0/ln_1/gamma:0` -> `h.0.ln_1.weight`; older transformers wrote `wte/weight`
    where newer ones write `wte/embeddings`.
    """
    parts = name.removesuffix(":0").split("/")
    for start, part in enumerate(parts[:-1]):
        if part in ("wte", "wpe", "ln_f", "score") or part.startswith("h_._"):
            leaf = KERAS_LEAF.get(parts[-1])
            return f"{_layers(parts[start:-1])}.{leaf}" if leaf else None
    return None


def to_keras(name: str) -> str:
    """The name that transformers' TFGPT2LMHeadModel gives a variable: `h.0.ln_1.weight` -> `.../h_._0/ln_1/gamma`."""
    *layers, leaf = name.split(".")
    if layers[0] == "h":
        layers[:2] = [f"h_._{layers[1]}"]
    if layers[-1].startswith("ln_"):
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
    elif layers[-1] in ("wte", "wpe"):
        leaf = "embeddings"
    elif name == CLASSIFIER_HEAD:
        return f"{_KERAS_SCOPE.split('/')[0]}/score/kernel"
    return "/".join([_KERAS_SCOPE, *layers, leaf])


def to_gguf(name: str) -> str:
    """The name in a GGUF file: `h.0.attn.c_attn.weight` -> `blk.0.attn_qkv.weight`."""
    layer, _, leaf = name.rpartition(".")
    block = re.match(r"h\.(\d+)\.", layer)
    before = "" if block is None else f"blk.{block[1]}."
    return f"{before}{_GGUF_LAYER[layer if block is None else layer[block.end() :]]}.{leaf}"


def pointed_prefix(folder: Path) -> str | None:
    """The TensorFlow 1 checkpoint that the file ``checkpoint`` names, such as ``model-1000``.

    The path in it may be that of the machine it was written on; only its last part counts.

    Returns:
        "" where the file names none; None: there is no such file.
    """
    pointer = folder / "checkpoint"
    if not pointer.is_file():
        return None
    named = _POINTER.search(pointer.read_text(encoding="utf-8", errors="replace"))
    return named[1] if named else ""


def _layers(parts: list[str]) -> str:
    layer = _LAYER.fullmatch(parts[0])
    return ".".join(["h", layer.group(1), *parts[1:]] if layer else parts)
