"""Random weights, and folders that hold them in every layout, written by other means than the package's own.

Imports TensorFlow only in the functions that write its layouts, so that the scripts beside the golden files can use the
rest in an environment without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.hub.registry import resolve

if TYPE_CHECKING:
    from transformers import TFGPT2LMHeadModel

CONFIG_124M = resolve("124M").config
PARITY_CONFIG = ModelConfig(n_vocab=257, n_ctx=32, n_embd=16, n_head=2, n_layer=2)
PARITY_IDS = np.random.RandomState(1).randint(0, 257, (2, 14))

Weights = Mapping[str, np.ndarray]


def random_weights(config: ModelConfig = PARITY_CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights by canonical name, spread 0.1, biases and gains random too: a swapped one changes the logits.

    RandomState's numbers are frozen by numpy's promise, so golden files made from them stay valid.
    """
    draw = np.random.RandomState(seed)
    weights = {name: 0.1 * draw.standard_normal(dims) for name, dims in canonical_shapes(config).items()}
    for name in weights:
        if "ln_" in name and name.endswith(".weight"):
            weights[name] += 1.0
    return {name: value.astype(np.float32) for name, value in weights.items()}


def canonical_weights(model: TFGPT2LMHeadModel) -> dict[str, np.ndarray]:
    """The weights of a model by canonical name, in canonical shape."""
    from gpt2simple.gpt2.container import named_variables
    from tests.helpers.models import weight_reader

    read = weight_reader(model)
    return {name: read(name) for name in named_variables(model)}


def write_config(folder: Path, config: ModelConfig = PARITY_CONFIG, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_huggingface(config.n_vocab - 1) | changes))


def write_hparams(folder: Path, config: ModelConfig = PARITY_CONFIG) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")
    (folder / "hparams.json").write_text(json.dumps({key: getattr(config, key) for key in keys}))


def pytorch_names(weights: Weights, *, prefix: str = "transformer.", masks: bool = False) -> dict[str, np.ndarray]:
    """The weights under PyTorch's names, with the mask buffers that older files carry."""
    named = {prefix + name: value for name, value in weights.items()}
    if masks:
        context = weights["wpe.weight"].shape[0]
        for name in weights:
            if name.endswith("attn.c_attn.weight"):
                layer = prefix + name.removesuffix(".c_attn.weight")
                named[f"{layer}.bias"] = np.tril(np.ones((1, 1, context, context), np.float32))
                named[f"{layer}.masked_bias"] = np.float32(-1e4).reshape(())
    return named


def write_pytorch(
    folder: Path,
    weights: Weights,
    config: ModelConfig = PARITY_CONFIG,
    *,
    prefix: str = "transformer.",
    masks: bool = False,
    dtype: str = "float32",
    shards: int = 1,
) -> None:
    """A Hugging Face folder as PyTorch's transformers writes it, by the safetensors library."""
    import ml_dtypes
    from safetensors.numpy import save_file

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    named = {
        name: np.ascontiguousarray(value.astype(kind))
        for name, value in pytorch_names(weights, prefix=prefix, masks=masks).items()
    }
    write_config(folder, config)
    if shards == 1:
        save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
        return
    places = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(named)}
    for file in set(places.values()):
        part = {name: value for name, value in named.items() if places[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(value.nbytes for value in named.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_keras(folder: Path, weights: Weights, *, safetensors: bool) -> None:
    """A folder as transformers' TensorFlow classes save it: `model.safetensors` with TF names, or `tf_model.h5`."""
    from gpt2simple.gpt2.container import build_model
    from tests.helpers.models import assign_weights

    model = build_model(PARITY_CONFIG, seed=0)
    assign_weights(model, weights)
    model.save_pretrained(folder, safe_serialization=safetensors)


def write_tf1(folder: Path, weights: Weights, config: ModelConfig = PARITY_CONFIG, *, name: str = "model.ckpt") -> None:
    """A folder as TensorFlow 1's Saver writes it: OpenAI's with `model.ckpt`, gpt-2-simple's with `model-7`."""
    write_hparams(folder, config)
    write_tf1_arrays(folder, tf1_names(weights), name=name)


def write_tf1_arrays(folder: Path, arrays: Weights, *, name: str = "model.ckpt") -> None:
    """The files of a TensorFlow 1 checkpoint, its variables under the names given."""
    from gpt2simple.backend.tensorflow import quiet_stderr, tf

    v1 = tf.compat.v1
    with quiet_stderr(), tf.Graph().as_default(), v1.Session() as session:
        for tf1_name, value in arrays.items():
            # from a placeholder: a graph cannot hold constants of two gigabytes
            source = v1.placeholder(tf.float32, value.shape)
            variable = v1.get_variable(tf1_name, initializer=source, use_resource=False)
            session.run(variable.initializer, {source: value})
        step = v1.Variable(7, name="global_step")  # what training leaves beside the weights
        session.run(step.initializer)
        v1.train.Saver().save(session, str(folder / name), write_meta_graph=False)


def tf1_names(weights: Weights) -> dict[str, np.ndarray]:
    """The weights under OpenAI's names, the projections' matrices with their leading 1."""
    named = {}
    for name, value in weights.items():
        *path, leaf = name.split(".")
        if path[0] == "h":
            path = [f"h{path[1]}", *path[2:]]
        norm = path[-1].startswith("ln_")
        if path[0] not in ("wte", "wpe"):
            path.append({"weight": "g" if norm else "w", "bias": "b"}[leaf])
        named["/".join(["model", *path])] = value[None] if path[-1] == "w" else value
    return named
