"""The gradients of one optimizer step, over one or more micro-batches, and the sums of an evaluation.

The task computes the loss from the hidden states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, forget_gradients, in_xla, tf
from gpt2simple.data.batches import PackedShape
from gpt2simple.data.share import StepShare
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.attention import Packing
from gpt2simple.gpt2.network.dropout import DropoutKey, RowsOf
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.training.row_gradient import RowGradient, dense, row_gradient
from gpt2simple.training.task import Rows, Task

Gradients = Mapping[str, Tensor | RowGradient]  # by canonical name


class ModelStep:
    """Computes the gradients of a step, for one model or, as a compiled step, for any of its shape.

    Args:
        variables: all variables of the model, by canonical name. trained: names of those to train.
        config: of the model. dtype: of the matrix products. task: computes the loss.
        dropout_rate, adapter_dropout_rate: 0 to 0.9. seed: of the dropout masks, from ``dropout_seed``.
        gradient_checkpointing: whether activations of blocks are recomputed to save memory.
        packed: where rows hold several texts; None: they hold one.
        share: what it is given of each step; None: all.
    """

    def __init__(
        self,
        variables: Mapping[str, Variable],
        trained: frozenset[str],
        config: ModelConfig,
        dtype: DType,
        task: Task,
        *,
        dropout_rate: float,
        adapter_dropout_rate: float = 0.0,
        seed: Tensor,
        gradient_checkpointing: bool,
        packed: PackedShape | None = None,
        share: StepShare | None = None,
    ) -> None:
        self.variables, self._trained = dict(variables), trained
        self._config, self._dtype, self._task = config, dtype, task
        self._dropout_rate, self._adapter_dropout_rate, self._seed = dropout_rate, adapter_dropout_rate, seed
        self._gradient_checkpointing, self._packed, self._share = gradient_checkpointing, packed, share
        cut = share is not None and share.cuts_rows
        self._rows = RowsOf(share.first_row, share.n_rows, share.rows) if share is not None and cut else None

    def gradients(
        self, batches: Sequence[Tensor], step: Tensor, loss_scale: Tensor, of_step: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Gradients]:
        """Summed nats, number of target tokens, and the gradients of ``loss_scale * nats / tokens`` by name.

        That of an embedding may be a `RowGradient`.

        Args:
            batches: the arrays of A micro-batches, each [A, B, T]; see `Batch`.
            step: int scalar, optimizer steps done.
            loss_scale: float32 scalar.
            of_step: float32 scalar, target tokens of the whole step; None: those of the batches.
        """
        count = batches[0].shape[0]
        tokens = tf.reduce_sum(batches[2]) if of_step is None else of_step  # ()
        scale = loss_scale / tokens  # ()
        # Number of the first micro-batch, ().
        first = tf.cast(step, tf.int32) * (count if self._share is None else self._share.micro_batches)
        if self._share is not None:
            first += self._share.first
        if count == 1:
            nats, gradients = self._of_micro_batch([array[0] for array in batches], scale, first)  # (), by name
            return nats, tokens, gradients
        zeros = {name: tf.zeros(_flat_shape(self.variables[name])) for name in sorted(self._trained)}

        def add(number: Tensor, total: Tensor, sums: dict[str, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            nats, new = self._of_micro_batch([array[number] for array in batches], scale, first + number)
            return number + 1, total + nats, {k: sums[k] + tf.cast(dense(new[k]), tf.float32) for k in sums}

        _, nats, gradients = tf.while_loop(
            lambda number, *_: number < count, add, (0, tf.zeros([]), zeros), parallel_iterations=1
        )
        return nats, tokens, gradients

    def _of_micro_batch(self, batch: Sequence[Tensor], scale: Tensor, position: Tensor) -> tuple[Tensor, Gradients]:
        """Summed nats and gradients of one micro-batch, of arrays [B, T]."""
        weights = flat_weights(self.variables)
        trained = {name: weights[name] for name in sorted(self._trained)}
        key, of_adapter = (
            DropoutKey(rate, self._seed, position, self._rows) if rate > 0.0 else None
            for rate in (self._dropout_rate, self._adapter_dropout_rate)
        )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(trained.values()))
            rows = _rows(
                weights, batch, self._config, self._dtype, self._packed, dropout=key, adapter_dropout=of_adapter,
                gradient_checkpointing=self._gradient_checkpointing,
            )._replace(saves_memory=self._gradient_checkpointing)  # fmt: skip
        nats, d_states, of_head = self._task.gradients(self.variables, rows, scale, self._trained)  # (), (N, E)
        found = tape.gradient(rows.states, list(trained.values()), output_gradients=d_states)
        forget_gradients()
        of_blocks = dict(zip(trained, found, strict=True))
        sums = {name: _sum(of_blocks[name], of_head.get(name)) for name in trained}
        if "wte.weight" in of_head:  # may end in padding; a slice of the first rows shares its memory
            sums["wte.weight"] = tf.slice(sums["wte.weight"], [0, 0], self.variables["wte.weight"].shape)  # (V, E)
        return nats, sums


def evaluation_sums(
    variables: Mapping[str, Variable], config: ModelConfig, dtype: DType, task: Task, data: Sequence[Tensor],
    packed: PackedShape | None = None,
) -> Tensor:  # fmt: skip
    """The task's sums (K,) over one held-out batch, without dropout; data: its arrays [B, T]."""
    # Blocks that are recomputed are one function: less memory for the graph, and nothing is differentiated here.
    rows = _rows(flat_weights(variables), data, config, dtype, packed, gradient_checkpointing=config.lora is not None)
    forget_gradients()
    return task.evaluation_sums(variables, rows)


def _rows(
    weights: Mapping[str, Tensor], batch: Sequence[Tensor], config: ModelConfig, dtype: DType,
    packed: PackedShape | None, **how: Any,
) -> Rows:  # fmt: skip
    """The input of the head for one batch, of arrays [B, T]; how: further arguments of ``hidden_states``."""
    inputs, targets, loss_mask = batch[:3]
    if packed is None:
        return Rows.of(hidden_states(weights, inputs, config, dtype, **how), targets, loss_mask)
    packing = Packing(batch[3][0], packed.longest)
    if packed.targets is None:
        states = hidden_states(weights, inputs, config, dtype, packing=packing, **how)  # (T, E)
        return Rows.of(states, targets, loss_mask)
    # Where the row has fewer targets, other places follow, which the loss mask leaves out.
    most = min(packed.targets, inputs.shape[1])
    places = tf.math.top_k(tf.cast(loss_mask[0] > 0.0, tf.float32), most).indices  # (K,)
    states = hidden_states(weights, inputs, config, dtype, packing=packing, places=places, **how)  # (K, E)
    return Rows.of(states, tf.gather(targets[0], places), tf.gather(loss_mask[0], places))


def _flat_shape(variable: Variable) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


def _sum(of_blocks: Tensor | None, of_head: Tensor | None) -> Tensor | RowGradient:
    """The sum of the two gradients of a weight; that of embedding rows is an IndexedSlices."""
    if isinstance(of_blocks, tf.IndexedSlices):
        if of_head is None:
            return row_gradient(of_blocks)
        values = tf.reshape(of_blocks.values, [-1, of_head.shape[-1]])  # (N, E)
        add_to_rows = _add_to_rows_in_xla if in_xla() else _add_to_rows
        return add_to_rows(of_head, tf.reshape(of_blocks.indices, [-1]), values)
    if of_blocks is None or of_head is None:  # only one of the two uses this weight
        return of_head if of_blocks is None else of_blocks
    return of_blocks + tf.cast(of_head, of_blocks.dtype)


def _add_to_rows(dense: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """An array [V, E] with values [N, E] added to its rows [N], summed in float32 and rounded once.

    TensorFlow updates the array in place, as it has no other use; other ways need a second array of this size, when
    memory use is at its peak.
    """
    changed, indices = tf.unique(rows)  # (U,), (N,)
    sums = tf.math.unsorted_segment_sum(tf.cast(values, tf.float32), indices, tf.size(changed))  # (U, E)
    sums += tf.cast(tf.gather(dense, changed), tf.float32)  # (U, E)
    return tf.tensor_scatter_nd_update(dense, changed[:, None], tf.cast(sums, dense.dtype))  # (V, E)


def _add_to_rows_in_xla(dense: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """As ``_add_to_rows``, for XLA, which has no `unique`."""
    sums = tf.tensor_scatter_nd_add(tf.cast(dense, tf.float32), rows[:, None], tf.cast(values, tf.float32))  # (V, E)
    return tf.cast(sums, dense.dtype)
