"""The callbacks of a training that takes several calls of Keras `fit`. Knows nothing of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt2simple._backend import keras


class Hooks(keras.callbacks.CallbackList):
    """Callbacks that are told once that training begins, and once that it ends.

    Each `fit` has stretches of one length, and a training needs several; `EarlyStopping` and its like would begin anew
    with each.

    Args:
        callbacks: in the order in which they are called.
        trainer: the model. epochs, steps: of the training and of an epoch, as callbacks may ask for them.
    """

    def __init__(self, callbacks: Sequence[Any], trainer: Any, *, epochs: int, steps: int) -> None:
        super().__init__(list(callbacks), add_history=True, model=trainer, verbose=0, epochs=epochs, steps=steps)
        self._check_timing = False  # else Keras warns of callbacks slower than a step: looking at held-out text is
        self._has_begun = False
        self._last_logs: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._has_begun:
            self._has_begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._last_logs = logs  # of a `fit`; another may follow

    def end_training(self) -> None:
        """Tell the callbacks that training has ended."""
        super().on_train_end(self._last_logs)
