"""Adapts the user's Keras callbacks to the `fit` of tf_keras.

There are two versions of Keras: tf_keras, which this package trains with, and Keras 3, which `import keras` and
`tf.keras` provide. Their callbacks have the same public methods, but `fit` also calls private ones of tf_keras.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from gpt2simple.backend.keras import keras, loaded_keras3
from gpt2simple.errors import SettingsError
from gpt2simple.storage.contents import quoted

_HOOKS = tuple(
    f"on_{mode}_{edge}"
    for mode in ("train", "test", "predict", "train_batch", "test_batch", "predict_batch", "epoch")
    for edge in ("begin", "end")
)


def adapt_callbacks(callbacks: Any) -> list[Any]:
    """The callbacks as a list that the `fit` of tf_keras accepts.

    Args:
        callbacks: None, one callback, or several; those of tf_keras are unchanged, those of Keras 3 are wrapped.

    Raises:
        SettingsError: one of them is not a callback object.
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
    raise SettingsError(_problem_with(callback))


def _problem_with(callback: Any) -> str:
    if inspect.isclass(callback):
        return (
            f"callbacks contains the class {callback.__name__}; expected an instance. Write {callback.__name__}(...)."
        )
    if inspect.isroutine(callback):
        name = getattr(callback, "__name__", repr(callback))
        return (
            f"callbacks contains the function {name}; expected a Keras callback. "
            f"Write keras.callbacks.LambdaCallback(on_epoch_end={name})."
        )
    return (
        f"callbacks contains {quoted(callback)} ({type(callback).__name__}); expected instances of "
        "keras.callbacks.Callback. Make it a subclass of keras.callbacks.Callback, or leave it out."
    )


class Keras3Callback(keras.callbacks.Callback):
    """A Keras 3 callback wrapped for tf_keras.

    ``self.model`` of the wrapped callback is the model being trained: setting ``self.model.stop_training`` stops the
    run, and reading it shows whether something else has stopped it.

    Args:
        wrapped: the callback.
        base: Keras 3's ``Callback``, to find the methods that the callback overrides.
    """

    def __init__(self, wrapped: Any, base: type) -> None:
        super().__init__()
        self.wrapped = wrapped
        for hook in _HOOKS:
            setattr(self, hook, getattr(wrapped, hook))
        # By its class or, as in LambdaCallback, by assignment.
        self._overridden = {
            name
            for name in dir(base)
            if name.startswith("on_") and getattr(getattr(wrapped, name), "__func__", None) is not getattr(base, name)
        }

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.wrapped.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.wrapped.set_params(params)

    # `fit` calls these three; if one returns True, it copies the logs of every batch from the device.

    def _implements_train_batch_hooks(self) -> bool:
        aliases = {"on_batch_begin", "on_batch_end"}
        return bool(self._overridden & {"on_train_batch_begin", "on_train_batch_end", *aliases})

    def _implements_test_batch_hooks(self) -> bool:
        return bool(self._overridden & {"on_test_batch_begin", "on_test_batch_end"})

    def _implements_predict_batch_hooks(self) -> bool:
        return bool(self._overridden & {"on_predict_batch_begin", "on_predict_batch_end"})
