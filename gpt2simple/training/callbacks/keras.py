"""The user's own Keras callbacks, made acceptable to the `fit` of tf_keras.

There are two Keras: tf_keras, which trains here, and Keras 3, which `import keras` and `tf.keras` give. Their callbacks
have the same methods, but `fit` asks each for one that only its own kind has. Knows callbacks; nothing of this
package's training.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from gpt2simple.backend.tensorflow import keras, loaded_keras3
from gpt2simple.errors import SettingsError

_MOMENTS = tuple(f"on_{mode}_{edge}" for mode in ("train", "test", "predict") for edge in ("begin", "end"))
_BATCH_MOMENTS = tuple(f"on_{mode}_batch_{edge}" for mode in ("train", "test", "predict") for edge in ("begin", "end"))


def adapt_callbacks(callbacks: Any) -> list[Any]:
    """The callbacks as a list that the `fit` of tf_keras accepts.

    Args:
        callbacks: None, one callback, or several: tf_keras callbacks pass as they are, Keras 3 ones are wrapped.

    Raises:
        SettingsError: something among them is no callback object.
    """
    if callbacks is None:
        return []
    several = isinstance(callbacks, Iterable) and not isinstance(callbacks, (str, bytes, dict))
    return [_adapted(callback) for callback in (callbacks if several else [callbacks])]


def _adapted(callback: Any) -> Any:
    if isinstance(callback, keras.callbacks.Callback):
        return callback
    keras3 = loaded_keras3()
    if keras3 is not None and isinstance(callback, keras3.callbacks.Callback):
        return Keras3Callback(callback, keras3.callbacks.Callback)
    raise SettingsError(_complaint(callback))


def _complaint(callback: Any) -> str:
    if inspect.isclass(callback):
        return (
            f"callbacks holds the class {callback.__name__}; expected an object of it. Write {callback.__name__}(...)."
        )
    if inspect.isroutine(callback):
        name = getattr(callback, "__name__", repr(callback))
        return (
            f"callbacks holds the function {name}; expected a Keras callback. "
            f"Write keras.callbacks.LambdaCallback(on_epoch_end={name})."
        )
    return (
        f"callbacks holds {callback!r} ({type(callback).__name__}); expected objects of keras.callbacks.Callback. "
        "Make it a subclass of keras.callbacks.Callback, or leave it out."
    )


class Keras3Callback(keras.callbacks.Callback):
    """A Keras 3 callback in the form that tf_keras calls.

    ``self.model`` of the wrapped callback is the model being trained, so that ``self.model.stop_training = True`` stops
    it, and a stop asked for elsewhere can be read there.

    Args:
        wrapped: the callback.
        base: Keras 3's ``Callback``, to tell which methods the user wrote.
    """

    def __init__(self, wrapped: Any, base: type) -> None:
        super().__init__()
        self.wrapped = wrapped
        for moment in (*_MOMENTS, *_BATCH_MOMENTS, "on_epoch_begin", "on_epoch_end"):
            setattr(self, moment, getattr(wrapped, moment))
        self._written = {name for name in dir(base) if name.startswith("on_") and _differs(wrapped, base, name)}

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.wrapped.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.wrapped.set_params(params)

    # `fit` asks these three, and brings every batch's numbers from the device where the answer is yes.

    def _implements_train_batch_hooks(self) -> bool:
        aliases = {"on_batch_begin", "on_batch_end"}
        return bool(self._written & {"on_train_batch_begin", "on_train_batch_end", *aliases})

    def _implements_test_batch_hooks(self) -> bool:
        return bool(self._written & {"on_test_batch_begin", "on_test_batch_end"})

    def _implements_predict_batch_hooks(self) -> bool:
        return bool(self._written & {"on_predict_batch_begin", "on_predict_batch_end"})


def _differs(wrapped: Any, base: type, name: str) -> bool:
    """Whether the callback has a method of its own there, by its class or (LambdaCallback) by assignment."""
    return getattr(getattr(wrapped, name), "__func__", None) is not getattr(base, name)
