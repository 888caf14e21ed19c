"""The gradients of one optimizer step: of one or more micro-batches, added.

What the states are trained for is the task's affair. Knows no file and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple.backend.tensorflow import in_xla, tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.dropout import DropoutKey
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.training.task import Task


class Gradients:
    """Computes the gradients of a step for one model.

    Args:
        variables: all of the model's, by canonical name.
        trained: names of those to train.
        config: of the model. dtype: of the products.
        dropout_rate: 0 to 0.9. seed: int, of the dropout masks.
        checkpointing: whether blocks are computed twice to save memory.
        task: what the states are trained for.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        trained: frozenset[str],
        config: ModelConfig,
        dtype: Any,
        task: Task,
        *,
        dropout_rate: float,
        seed: int,
        checkpointing: bool,
    ) -> None:
        self._variables = dict(variables)
        self._trained = trained
        self._config, self._dtype, self._task = config, dtype, task
        self._dropout_rate, self._seed = dropout_rate, seed
        self._checkpointing = checkpointing

    def of_step(self, batches: tuple[Any, Any, Any], step: Any, loss_scale: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Summed nats, number of target tokens, and the gradients of ``loss_scale * nats / tokens``.

        Args:
            batches: inputs int32 [A, B, T], targets int32 [A, B, T], weights float32 [A, B, T]; A micro-batches.
            step: int scalar, optimizer steps done.
            loss_scale: float32 scalar.
        """
        inputs, targets, weights = batches
        count = inputs.shape[0]
        tokens = tf.reduce_sum(weights)
        scale = loss_scale / tokens
        first = tf.cast(step, tf.int32) * count
        if count == 1:
            nats, gradients = self._of_micro_batch(inputs[0], targets[0], weights[0], scale, first)
            return nats, tokens, gradients
        zeros = {name: tf.zeros(_flat_shape(self._variables[name])) for name in sorted(self._trained)}

        def add(number: Any, total: Any, sums: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
            nats, new = self._of_micro_batch(inputs[number], targets[number], weights[number], scale, first + number)
            return number + 1, total + nats, {k: sums[k] + tf.cast(new[k], tf.float32) for k in sums}

        _, nats, gradients = tf.while_loop(
            lambda number, *_: number < count, add, (0, tf.zeros([]), zeros), parallel_iterations=1
        )
        return nats, tokens, gradients

    def _of_micro_batch(
        self, inputs: Any, targets: Any, weights: Any, scale: Any, position: Any
    ) -> tuple[Any, dict[str, Any]]:
        weights_of_body = flat_weights(self._variables)
        wanted = {name: weights_of_body[name] for name in sorted(self._trained)}
        key = DropoutKey(self._dropout_rate, self._seed, position) if self._dropout_rate > 0.0 else None
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(wanted.values()))
            states = hidden_states(
                weights_of_body, inputs, self._config, self._dtype, dropout=key, checkpointing=self._checkpointing
            )
        nats, d_states, of_head = self._task.loss_gradients(
            self._variables,
            states,
            tf.reshape(targets, [-1]),
            tf.reshape(weights, [-1]),
            scale,
            trained=self._trained,
        )
        found = tape.gradient(states, list(wanted.values()), output_gradients=d_states)
        of_body = dict(zip(wanted, found, strict=True))
        sums = {name: _sum(of_body[name], of_head.get(name)) for name in wanted}
        if "wte.weight" in of_head:  # the head's may end in padding; sharing the memory, these rows are no copy
            sums["wte.weight"] = tf.slice(sums["wte.weight"], [0, 0], self._variables["wte.weight"].shape)
        return nats, sums


def _flat_shape(variable: Any) -> Any:
    shape = variable.shape
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


def _sum(of_body: Any, of_head: Any) -> Any:
    """The two gradients of a weight added; that of an embedding's rows arrives as IndexedSlices."""
    if isinstance(of_body, tf.IndexedSlices):
        if of_head is None:
            return tf.convert_to_tensor(of_body)
        values = tf.reshape(of_body.values, [-1, of_head.shape[-1]])
        return (_with_rows_compiled if in_xla() else _with_rows)(of_head, tf.reshape(of_body.indices, [-1]), values)
    if of_body is None or of_head is None:  # only one of the two uses this weight
        return of_head if of_body is None else of_body
    return of_body + tf.cast(of_head, of_body.dtype)


def _with_rows(dense: Any, rows: Any, values: Any) -> Any:
    """Values [n, E] added to rows [n] of an array [V, E] of few bytes: those of one row in float32, then once rounded.

    TensorFlow writes the changed rows to the array itself, which nobody else uses; every other way takes another array
    of this size, when memory is fullest.
    """
    changed, places = tf.unique(rows)
    sums = tf.math.unsorted_segment_sum(tf.cast(values, tf.float32), places, tf.size(changed))
    sums += tf.cast(tf.gather(dense, changed), tf.float32)
    return tf.tensor_scatter_nd_update(dense, changed[:, None], tf.cast(sums, dense.dtype))


def _with_rows_compiled(dense: Any, rows: Any, values: Any) -> Any:
    """The same within XLA, which knows no `unique`."""
    sums = tf.tensor_scatter_nd_add(tf.cast(dense, tf.float32), rows[:, None], tf.cast(values, tf.float32))
    return tf.cast(sums, dense.dtype)
