"""The batches of a run: for training steps and for evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch, PackedShape
from gpt2simple.data.share import StepShare, step_shares, target_count


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
        shares: what the replicas of this worker take of each step; empty: it takes all, alone.
    """

    micro_batch: Callable[[int], Batch]
    epoch_at: Callable[[int], float]
    accumulate: int
    held_out: tuple[Batch, ...]
    packed: PackedShape | None = None
    shares: tuple[StepShare, ...] = ()

    def epoch(self, step: int) -> float:
        """Epochs completed after ``step`` optimizer steps."""
        return self.epoch_at(step * self.accumulate)

    def step_batches(self, step: int) -> tuple[np.ndarray, ...]:
        """The micro-batches of the step that follows ``step`` completed ones, each array (A, B, T).

        With shares those of the R replicas of this worker, (R, A', B', T), and the target tokens of the whole step, ().
        """
        parts = [self.micro_batch(step * self.accumulate + number) for number in range(self.accumulate)]
        whole = tuple(np.stack(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True))  # (A, B, T)
        if not self.shares:
            return whole
        own = zip(*(share.of(whole) for share in self.shares), strict=True)
        return (*(np.stack(arrays) for arrays in own), np.asarray(target_count(whole)))

    def evaluated(self, number: int) -> list[Batch]:
        """A micro-batch as an evaluation reads it: of several texts a row, one row at a time.

        Else in the shape of the batches held out, where rows are as long: for it the evaluation is compiled.
        """
        batch = self.micro_batch(number)
        rows, length = self.held_out[0].inputs.shape if self.held_out else batch.inputs.shape
        if self.packed is not None:
            rows = 1
        elif length != batch.inputs.shape[1]:
            rows = len(batch.inputs)
        missing = -len(batch.inputs) % rows
        arrays = [np.pad(array, ((0, missing), (0, 0))) for array in batch.arrays]  # (B', T), the last rows empty
        return [Batch(*(array[row : row + rows] for array in arrays)) for row in range(0, len(arrays[0]), rows)]

    def shared(self, replicas: int, numbers: range) -> TrainingData:
        """The same with the shares of these of so many replicas."""
        shares = step_shares(replicas, self.accumulate, len(self.micro_batch(0).inputs))
        return replace(self, shares=tuple(shares[number] for number in numbers))


@contextmanager
def steps_dataset(data: TrainingData, steps_done: Callable[[], int]) -> Iterator[Any]:
    """A `tf.data.Dataset` of the steps' batches (A, B, T), prefetched while the device computes; for this block only.

    Args:
        steps_done: returns the completed steps; called at the start of each `fit`.
    """
    first = data.step_batches(0)
    any_width = data.packed is not None

    # TensorFlow keeps every generator for the life of the process, and with it whatever the generator refers to.
    held = [(data, steps_done)]

    def steps() -> Iterator[tuple[np.ndarray, ...]]:
        source, done = held[0]
        step = done()
        while True:
            yield source.step_batches(step)
            step += 1

    shapes = [(*array.shape[:-1], None) if any_width and array.ndim else array.shape for array in first]
    signature = tuple(tf.TensorSpec(shape, array.dtype) for shape, array in zip(shapes, first, strict=True))
    # Autotuning has nothing to tune, and its thread, which sleeps for up to a minute, would delay the end.
    options = tf.data.Options()
    options.autotune.enabled = False
    try:
        yield tf.data.Dataset.from_generator(steps, output_signature=signature).prefetch(4).with_options(options)
    finally:
        held.clear()
