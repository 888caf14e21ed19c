"""The Keras model around a model's variables: transformers' `TFGPT2LMHeadModel`, or one of our own where there is none.

It only holds the variables, for the user and the user's callbacks. Nothing here computes with its layers; their dropout
is off, as training has a stateless dropout of its own (`gpt2.network`). transformers 5 has no classes for TensorFlow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from gpt2simple.backend import packages
from gpt2simple.backend.keras import keras
from gpt2simple.backend.tensorflow import Tensor, Variable, importing, quiet_stderr, tf
from gpt2simple.gpt2.config import BLOCK_WEIGHTS, CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.formats.names import KERAS_LEAF, to_keras
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.gpt2.network.loss import class_logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.variables import make_variables, random_weights

if TYPE_CHECKING:
    from transformers import TFGPT2LMHeadModel

_MODEL_NAME = to_keras("wte.weight").split("/")[0]


def make_container(variables: Mapping[str, Variable], config: ModelConfig) -> TFGPT2LMHeadModel | GPT2Container:
    """A Keras model that holds these variables, by canonical name, and no other weights.

    For a classifier it is a `TFGPT2ForSequenceClassification`.
    """
    of_transformers = _transformers_classes()
    if of_transformers is None or config.lora is not None:  # which transformers' model has no room for
        return GPT2Container(variables, config)
    config_class, language_class, classifier_class = of_transformers
    model_class = classifier_class if config.labels else language_class
    # Which token ends a text is up to the tokenizer; GPT-2 gives it the last id.
    values = config.to_huggingface(end_of_text=config.n_vocab - 1)
    values.update(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")  # layers take the policy of the program that is running
    try:
        with quiet_stderr():  # the first use of a TF class of transformers writes a line
            model = model_class(config_class(**values), name=_MODEL_NAME)
        with contextlib.ExitStack() as given:
            for name in variables:
                if "add_weight" not in vars(layer := _layer(model, name)):
                    layer.add_weight = partial(_given, variables, name.rpartition(".")[0])
                    given.callback(delattr, layer, "add_weight")
            if config.labels:
                model.score.build([None, None, config.n_embd])
            model.build_in_name_scope()
    finally:
        keras.mixed_precision.set_global_policy(before)
    return model


def _given(variables: Mapping[str, Variable], layer: str, attribute: str = "", *_: Any, **options: Any) -> Variable:
    """What a layer gets that asks Keras for a new weight: its variable."""
    return variables[f"{layer}.{KERAS_LEAF[options.get('name', attribute)]}"]


def container_of(loaded: LoadedModel) -> Any:
    """The Keras model around the variables of a loaded model, the same one at each call."""
    if loaded.container is None:
        loaded.container = make_container(loaded.variables, loaded.config)
    return loaded.container


def merged_container(loaded: LoadedModel) -> Any:
    """A new Keras model with the weights of a loaded model, merged with its adapter, in variables of its own."""
    config = replace(loaded.config, lora=None)
    return make_container(make_variables(config, loaded.read), config)


def why_not_transformers() -> str | None:
    """Why a model is not a `TFGPT2LMHeadModel`, in a sentence; None where it is one."""
    if _transformers_classes() is not None:
        return None
    found = packages.version("transformers")
    having = "transformers is not installed" if found is None else f"transformers {found} has no TFGPT2LMHeadModel"
    return (
        f"{having}: the model is a Keras model of gpt2simple with the same variables. transformers 4.57 has that "
        "class; nothing else here needs it."
    )


def build_model(config: ModelConfig, *, seed: int | None = None, initializer_range: float = 0.02) -> Any:
    """A GPT-2 with random weights; arguments as ``random_weights``."""
    value = random_weights(config, seed=seed, initializer_range=initializer_range)
    return make_container(make_variables(config, value), config)


def named_variables(model: Any) -> dict[str, Variable]:
    """The variables of a container by canonical name, in canonical order.

    A variable may have a leading 1 that its canonical shape lacks: Keras keeps GPT-2's biases as [1, F].
    """
    if isinstance(model, GPT2Container):
        return dict(model.by_name)
    names = ["wte.weight", "wpe.weight"]
    names += [f"h.{number}.{name}" for number in range(len(model.transformer.h)) for name in BLOCK_WEIGHTS]
    names += ["ln_f.weight", "ln_f.bias", *([CLASSIFIER_HEAD] if hasattr(model, "score") else [])]
    return {name: getattr(_layer(model, name), to_keras(name).rpartition("/")[2]) for name in names}


def model_config(model: Any) -> ModelConfig:
    """The config that a container was made with."""
    return model.config if isinstance(model, GPT2Container) else ModelConfig.from_huggingface(model.config.to_dict())


def _layer(model: Any, name: str) -> Any:
    """The layer of transformers' model that holds the weight of a canonical name."""
    if name == CLASSIFIER_HEAD:
        return model.score
    body, path = model.transformer, name.rpartition(".")[0]
    if path.startswith("h."):
        _, number, path = path.split(".", 2)
        body = body.h[int(number)]
    return attrgetter(path)(body)


@lru_cache(maxsize=1)
def _transformers_classes() -> tuple[Any, Any, Any] | None:
    """Config, language model and classifier."""
    found = packages.version("transformers")
    if found is None or int(found.split(".")[0]) > 4:
        return None
    with importing():
        try:
            from transformers import GPT2Config, TFGPT2ForSequenceClassification, TFGPT2LMHeadModel
        except ImportError:  # a broken installation
            return None
    # Without TensorFlow (USE_TF=0, say) transformers puts something in the place of the class.
    if not issubclass(TFGPT2LMHeadModel, keras.Model):
        return None
    return GPT2Config, TFGPT2LMHeadModel, TFGPT2ForSequenceClassification


class Output(NamedTuple):
    """What a container returns.

    Attributes:
        logits: float32 [B, T, V]; of a classifier [B, C].
    """

    logits: Tensor


class GPT2Container(keras.Model):
    """A GPT-2 as a Keras model, with the variables of a `TFGPT2LMHeadModel` under their names.

    Attributes:
        config: of the model.
        by_name: the variables by canonical name.
    """

    def __init__(self, variables: Mapping[str, Variable], config: ModelConfig) -> None:
        super().__init__(name=_MODEL_NAME)
        self.config = config
        self.by_name = dict(variables)
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Output:
        """The logits of the next token after each of the inputs, int32 [B, T].

        Of a classifier those of the classes after the last token that is not the end of text, as in transformers.
        """
        batch, time = inputs.shape
        weights = flat_weights(self.by_name)
        states = hidden_states(weights, tf.cast(inputs, tf.int32), self.config)  # (B * T, E)
        if self.config.labels:
            is_text = tf.cast(inputs, tf.int32) != self.config.n_vocab - 1  # (B, T)
            last = tf.reduce_max(tf.where(is_text, tf.range(time), 0), axis=1)  # (B,)
            pooled = tf.gather(states, tf.range(batch) * time + last)  # (B, E)
            return Output(class_logits(pooled, weights[CLASSIFIER_HEAD]))
        embedding = tf.cast(weights["wte.weight"], tf.float32)  # (V, E)
        logits = tf.matmul(states, embedding, transpose_b=True)  # (B * T, V)
        return Output(tf.reshape(logits, [batch, time, self.config.n_vocab]))
