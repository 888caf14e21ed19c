"""The batches of a run: for training steps and for evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch, PackedShape


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The training and evaluation batches of a run.

    Attributes:
        micro_batch: number of a micro-batch since the run started -> its arrays, each (B, T). A pure
            function, so that the step number alone determines the position in the data.
        epoch_at: number of micro-batches taken -> epochs completed.
        accumulate: micro-batches per optimizer step.
        held_out: batches of an evaluation; empty: nothing is held out.
        packed: what all batches have in common that hold several texts a row; those of a step are of one width.
            None: all batches are of the same shape, each row one text.
    """

    micro_batch: Callable[[int], Batch]
    epoch_at: Callable[[int], float]
    accumulate: int
    held_out: tuple[Batch, ...]
    packed: PackedShape | None = None

    def epoch(self, step: int) -> float:
        """Epochs completed after ``step`` optimizer steps."""
        return self.epoch_at(step * self.accumulate)

    def step_batches(self, step: int) -> tuple[np.ndarray, ...]:
        """The micro-batches of the step that follows ``step`` completed ones, each array (A, B, T)."""
        parts = [self.micro_batch(step * self.accumulate + number) for number in range(self.accumulate)]
        return tuple(np.stack(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True))  # (A, B, T)


@contextmanager
def steps_dataset(data: TrainingData, steps_done: Callable[[], int]) -> Iterator[Any]:
    """A `tf.data.Dataset` of the steps' batches (A, B, T), prefetched while the device computes; for this block only.

    Args:
        steps_done: returns the completed steps; called at the start of each `fit`.
    """
    first = data.micro_batch(0)
    rows, length = first.inputs.shape
    shape = (data.accumulate, rows, length if data.packed is None else None)  # (A, B, T)

    # TensorFlow keeps every generator for the life of the process, and with it whatever the generator refers to.
    held = [(data, steps_done)]

    def steps() -> Iterator[tuple[np.ndarray, ...]]:
        source, done = held[0]
        step = done()
        while True:
            yield source.step_batches(step)
            step += 1

    signature = tuple(tf.TensorSpec(shape, array.dtype) for array in first.arrays)
    # Autotuning has nothing to tune, and its thread, which sleeps for up to a minute, would delay the end.
    options = tf.data.Options()
    options.autotune.enabled = False
    try:
        yield tf.data.Dataset.from_generator(steps, output_signature=signature).prefetch(4).with_options(options)
    finally:
        held.clear()
