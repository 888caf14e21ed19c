"""`TFGPT2LMHeadModel`: build it from a config, fill it from a checkpoint, name its variables.

The model is a plain container here: its variables are float32 whatever the global Keras policy says, and its own
dropout is off, because training has a stateless dropout of its own (`gpt2.network`). It is independent of file
layouts (`gpt2.formats` provides arrays by canonical name), precision and training.

Each variable is made from its value, one tensor at a time. transformers' own way, random numbers for every layer first,
costs time and consumes TensorFlow's global random state. And TensorFlow's allocator never returns memory on a CPU, so
tensors that are made only to be overwritten leave gaps that the process keeps: 0.2 GB for 355M during training.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np

from gpt2simple.backend.tensorflow import GPT2Config, Tensor, TFGPT2LMHeadModel, Variable, keras, quiet_stderr, tf
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import BLOCK_WEIGHTS, ModelConfig
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.formats.reader import WeightSource
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.storage.contents import quoted

ReadValue = Callable[[str], Tensor | np.ndarray]  # canonical name -> the value, of its canonical shape
_MODEL_NAME = "tfgpt2lm_head_model"  # the name that transformers gives to the first model of a process


def build_model(config: ModelConfig, *, seed: int | None = None, initializer_range: float = 0.02) -> TFGPT2LMHeadModel:
    """A GPT-2 with random weights.

    Matrices and embeddings are normal with a standard deviation of `initializer_range`, divided by sqrt(2L) for the
    two projections of each layer that add to the residual stream (Radford et al. 2019, section 2.3); biases are zero,
    layer norms the identity. No global random state is read or advanced.

    Args:
        config: what to build.
        seed: 0 or more; the same seed gives the same weights. None: a random one.
        initializer_range: standard deviation.
    """
    key = secrets.randbits(31) if seed is None else seed
    residual = initializer_range / math.sqrt(2 * config.n_layer)
    shapes = canonical_shapes(config)
    numbers = {name: number for number, name in enumerate(shapes)}

    def initial(name: str) -> Tensor:
        if name.endswith(".bias"):
            return tf.zeros(shapes[name])
        if _is_norm(name):
            return tf.ones(shapes[name])
        spread = residual if name.endswith(".c_proj.weight") else initializer_range
        return _normal(tf.constant(shapes[name]), tf.constant([key, numbers[name]]), tf.constant(spread))

    return _make_model(config, initial)


@tf.function(
    input_signature=[tf.TensorSpec([2], tf.int32), tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.float32)]
)
def _normal(shape: Tensor, seed: Tensor, spread: Tensor) -> Tensor:
    """A matrix of normal random numbers; as a graph, which scales it in place: eagerly there would be three copies."""
    return tf.random.stateless_normal(shape, seed=seed, stddev=spread)


def load_model(folder: Path) -> TFGPT2LMHeadModel:
    """The model in a folder, in any layout.

    Raises:
        CheckpointError: the folder contains no usable GPT-2.
    """
    with open_checkpoint(folder) as source:
        return _make_model(source.config, source.read)


def named_variables(model: TFGPT2LMHeadModel) -> dict[str, Variable]:
    """The model's variables by canonical name, in canonical order.

    A variable may have a leading 1 that its canonical shape lacks: Keras keeps GPT-2's biases as [1, F].
    """
    body = model.transformer
    found = {"wte.weight": body.wte.embeddings, "wpe.weight": body.wpe.embeddings}
    for i, block in enumerate(body.h):
        for name in BLOCK_WEIGHTS:
            path = name.replace("weight", "gamma").replace("bias", "beta") if _is_norm(name) else name
            found[f"h.{i}.{name}"] = attrgetter(path)(block)
    return found | {"ln_f.weight": body.ln_f.gamma, "ln_f.bias": body.ln_f.beta}


def model_config(model: TFGPT2LMHeadModel) -> ModelConfig:
    """The config that a model was built with."""
    return ModelConfig.from_huggingface(model.config.to_dict())


def assign_weights(model: TFGPT2LMHeadModel, weights: Mapping[str, np.ndarray] | WeightSource) -> None:
    """Overwrite every variable of a model, one tensor at a time.

    Args:
        model: the model to fill.
        weights: arrays of canonical shapes by canonical name, or an open checkpoint.

    Raises:
        CheckpointError: a tensor is missing or has another shape than the model's; the model may be half filled.
    """
    variables = named_variables(model)
    expected = canonical_shapes(model_config(model))
    for name, variable in variables.items():
        if not isinstance(weights, WeightSource) and name not in weights:
            raise CheckpointError(
                f"The weight {name} is not among the {len(weights)} given. Give every weight of the model."
            )
        value = weights.read(name) if isinstance(weights, WeightSource) else weights[name]
        if value.shape != expected[name]:
            raise CheckpointError(
                f"The weight {name} has shape {list(value.shape)}; this model has {list(expected[name])}. "
                "Load it into a model of that shape."
            )
        variable.assign(value.reshape(variable.shape))


def weight_reader(model: TFGPT2LMHeadModel) -> Callable[[str], np.ndarray]:
    """A function from a canonical name to that weight as a float32 array of its canonical shape."""
    return partial(_read_weight, named_variables(model))


def _read_weight(variables: Mapping[str, Variable], name: str) -> np.ndarray:
    value = variables[name].numpy()
    return value.reshape(-1) if name.endswith(".bias") else value  # Keras: [1, F]


def _make_model(config: ModelConfig, value: ReadValue) -> TFGPT2LMHeadModel:
    """A model whose variables are made from their values.

    Args:
        config: what to build.
        value: of a weight; called once for each, when its variable is made.
    """
    # Which token ends a text is up to the tokenizer; GPT-2 gives it the last id.
    values = config.to_huggingface(end_of_text=config.n_vocab - 1)
    values.update(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    with _float32_policy():
        with quiet_stderr():  # the first use of a device and of a TF class of transformers each write a line there
            tf.zeros([])
            model = TFGPT2LMHeadModel(GPT2Config(**values), name=_MODEL_NAME)
        body = model.transformer
        for path, layer in (("wte", body.wte), ("wpe", body.wpe)):
            layer.embeddings_initializer = _initializer(value, f"{path}.weight")
        for i, block in enumerate(body.h):
            for path, parent in ((f"h.{i}.attn", block.attn), (f"h.{i}.mlp", block.mlp)):
                _build_projections(parent, f"{model.name}/transformer/{block.name}/{parent.name}", value, path)
        model.build_in_name_scope()
        for layer in (body.wte, body.wpe):
            layer.embeddings_initializer = keras.initializers.Zeros()  # the other one would keep the checkpoint
    for name, variable in named_variables(model).items():
        if _is_norm(name):  # made by Keras; too small to leave gaps
            variable.assign(value(name))
    return model


def _is_norm(name: str) -> bool:
    return name.split(".")[-2].startswith("ln_")


def _initializer(value: ReadValue, name: str) -> Callable[..., Tensor]:
    """A Keras initializer that returns the weight of a name; a bias gets the leading 1 that Keras expects."""
    return lambda shape, dtype=None: tf.reshape(value(name), shape)


def _build_projections(parent: keras.layers.Layer, scope: str, value: ReadValue, path: str) -> None:
    """Build the projections of an attention or MLP layer; their class initialises with random numbers only.

    Args:
        parent: the layer that holds them.
        scope: its name scope, so that the variables get the names that transformers gives them.
        value: of a weight by canonical name.
        path: the canonical name of the parent.
    """
    for layer in (parent.c_fc if hasattr(parent, "c_fc") else parent.c_attn, parent.c_proj):
        weight, bias = (_initializer(value, f"{path}.{layer.name}.{kind}") for kind in ("weight", "bias"))
        with tf.name_scope(f"{scope}/{layer.name}/"):
            layer.weight = layer.add_weight("weight", shape=[layer.nx, layer.nf], initializer=weight)
            layer.bias = layer.add_weight("bias", shape=[1, layer.nf], initializer=bias)
        layer.built = True


@contextmanager
def _float32_policy() -> Iterator[None]:
    """Build float32 layers whatever the process's Keras policy is, and leave that policy as it was."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _require_rows(folder: Path, tokenizer: Tokenizer, config: ModelConfig) -> None:
    if tokenizer.vocab_size > config.n_vocab:
        without = [name for name, index in tokenizer.added.items() if index >= config.n_vocab]
        raise CheckpointError(
            f"The tokenizer in {folder} has ids up to {tokenizer.vocab_size - 1}, and the model's embedding has only "
            f"{config.n_vocab} rows{f': none for {quoted(without[0])}' if without else ''}. Put the tokenizer files "
            "that came with the model there, or remove the added tokens that it was not trained with."
        )


def _read_with_rows(
    read: ReadValue, config: ModelConfig, spelled: Mapping[int, Sequence[int]], name: str
) -> Tensor | np.ndarray:
    """A weight of a checkpoint, in the embedding with rows for new tokens: each the mean of the tokens that spelled it.

    A new token's logit is then the mean of theirs, so that before training it is nowhere more probable than all of them
    are, and two new tokens differ from the start. Rows that no token has are zero.

    Args:
        read: of the checkpoint. config: of the new model. spelled: ids in the checkpoint's vocabulary by new id.
    """
    weight = read(name)
    if name != "wte.weight" or not spelled:
        return weight
    rows = np.zeros((config.n_vocab, config.n_embd), dtype=np.float32)  # (V, E)
    rows[: len(weight)] = weight
    for index, tokens in spelled.items():
        rows[index] = weight[tokens].mean(axis=0)
    return rows


def not_finite(what: str) -> CheckpointError:
    """The error where a model whose weights are finite computes NaN or infinity: its values exceed the range."""
    return CheckpointError(
        f"{what} is not finite (NaN or infinity): the model's weights are too large for the arithmetic. Use "
        'precision="float32" if another was used, or another checkpoint.'
    )


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, with its config and tokenizer.

    Attributes:
        model: its variables are float32 whatever the precision.
        variables: the same by canonical name.
    """

    model: TFGPT2LMHeadModel
    variables: dict[str, Variable]
    config: ModelConfig
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path, special_tokens: Iterable[str] = ()) -> LoadedModel:
        """The model of a folder in any layout.

        Args:
            special_tokens: spellings of tokens that the model gets where it does not have them yet.

        Raises:
            CheckpointError: the folder contains no usable model, or a tokenizer that is not this model's.
            SettingsError: a special token is the end of text, or a token of ordinary text.
        """
        base = Tokenizer.load(folder)  # first: it is quick, and what is missing most often
        with open_checkpoint(folder) as source:
            _require_rows(folder, base, source.config)
            tokenizer = base.with_added(special_tokens)
            config = replace(source.config, n_vocab=max(source.config.n_vocab, tokenizer.vocab_size))
            spelled = {index: base.encode(name) for name, index in tokenizer.added.items() if name not in base.added}
            model = _make_model(config, partial(_read_with_rows, source.read, config, spelled))
        return cls(model, named_variables(model), config, tokenizer)

    def read(self, name: str) -> np.ndarray:
        """One weight, by its canonical name, as a float32 array of its canonical shape."""
        return _read_weight(self.variables, name)

    def refill(self, folder: Path) -> None:
        """Load the weights of another folder with a model of the same config.

        Raises:
            CheckpointError: it contains no model, or one of another config.
        """
        with open_checkpoint(folder) as source:
            assign_weights(self.model, source)
