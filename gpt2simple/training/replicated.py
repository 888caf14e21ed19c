"""Training steps and evaluations on several replicas, each with variables of its own that stay equal.

Each replica computes the gradients of its share of a step. They are summed, and every replica makes the same update by
the sum. The first replica of a worker has the model's variables, and the others copies, which are made when they are
first needed and are gone with the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gpt2simple.backend.replicas import Replicas
from gpt2simple.backend.sharing import copied
from gpt2simple.backend.tensorflow import Tensor, Variable, tf
from gpt2simple.data.batches import Batch
from gpt2simple.data.share import StepShare
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces, xla_compiled
from gpt2simple.training.compiled import Batches, Recipe, Steps, StepVariables
from gpt2simple.training.row_gradient import dense
from gpt2simple.training.step import evaluation_sums


class ReplicatedSteps(Steps):
    """The steps and evaluations of the replicas of this worker.

    Args:
        recipe, weights, seed: as for `Steps`. shares: what each replica of this worker takes of a step.
    """

    def __init__(
        self, recipe: Recipe, weights: Mapping[str, Variable], seed: Tensor, replicas: Replicas,
        shares: Sequence[StepShare],
    ) -> None:  # fmt: skip
        super().__init__(recipe, weights, seed)
        self._replicas, self._shares = replicas, tuple(shares)
        self._further_weights: list[dict[str, Variable]] | None = None
        self._further: list[StepVariables] | None = None

    def bind(self, variables: StepVariables, numbers: Tensor, data: Batches) -> Callable[..., dict[str, Tensor]]:
        """As `Steps.bind`; of the data, the arrays [R, A', B', T] and the target tokens of the whole step."""
        if self._further is None:
            self._further = [
                StepVariables(weights, *copied(tuple(variables[1:]), device))
                for weights, device in zip(self._weights_of_others(), self._replicas.devices[1:], strict=True)
            ]
        compiled = replicated_step(self._recipe, self._replicas, self._shares, shapes_of(variables.weights, data[0]))
        step = compiled.bind((variables, *self._further), numbers, self._seed)

        def take(*arrays: Tensor) -> dict[str, Tensor]:
            with self._replicas.naming_lost_peers():
                return step(*arrays)

        return take

    def sums(self, batches: Sequence[Batch]) -> list[np.ndarray]:
        """As `Steps.sums`: each replica takes every so many of the batches of one shape."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for number, batch in enumerate(batches):
            by_shape.setdefault(batch.inputs.shape, []).append(number)
        found: dict[int, np.ndarray] = {}
        for numbers in by_shape.values():
            for start in range(0, len(numbers), self._replicas.count):
                # Of the last ones some replicas compute one again that another has.
                places = [start + number for number in self._replicas.numbers]
                own = [numbers[min(place, len(numbers) - 1)] for place in places]
                results = self._sums_of([batches[number] for number in own])
                found |= {
                    number: sums
                    for place, number, sums in zip(places, own, results, strict=True)
                    if place < len(numbers)
                }
        width = 0 if not batches else len(results[0])
        table = np.zeros((len(batches), width))  # (batches, K)
        for number, sums in found.items():
            table[number] = sums
        return list(self._replicas.sum(table))

    def _sums_of(self, batches: Sequence[Batch]) -> list[np.ndarray]:
        """The sums (K,) over a batch for each replica of this worker."""
        if len(batches) == 1:
            return super().sums(batches)
        weights = [self._weights, *self._weights_of_others()]
        data = [tuple(tf.constant(array) for array in batch.arrays) for batch in batches]
        compiled = _replicated_evaluation(self._recipe, self._replicas, shapes_of(self._weights, data[0][0]))
        return [sums.numpy() for sums in compiled(weights, data)]

    def _weights_of_others(self) -> list[dict[str, Variable]]:
        if self._further_weights is None:
            self._further_weights = [copied(dict(self._weights), device) for device in self._replicas.devices[1:]]
        return self._further_weights


def replicated_step(recipe: Recipe, replicas: Replicas, shares: Sequence[StepShare], shapes: Shapes) -> Compiled:
    """A function (StepVariables of each replica here, numbers, seed, *arrays, tokens) -> logs that takes a step.

    The arrays are [R, A', B', T] for R replicas here; tokens: target tokens of the whole step, float32 scalar.
    """
    # Gradients and update are compiled as two on a GPU: what sums the gradients is outside XLA.
    compiled_part = xla_compiled if recipe.by_xla else (lambda function: function)

    def of_replica(
        share: StepShare, is_first: bool, variables: StepVariables, numbers: Tensor, seed: Tensor, tokens: Tensor,
        *data: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        def gradients(
            variables: StepVariables, numbers: Tensor, seed: Tensor, tokens: Tensor, data: Batches
        ) -> tuple[Tensor, dict[str, Tensor]]:
            nats, _, found = recipe.whole_step(variables, numbers, seed, share).gradients(data, tokens)
            return nats, {name: tf.cast(dense(gradient), tf.float32) for name, gradient in found.items()}

        def update(
            variables: StepVariables, numbers: Tensor, seed: Tensor, tokens: Tensor, nats: Tensor, rate: Tensor,
            gradients: dict[str, Tensor],
        ) -> dict[str, Tensor]:  # fmt: skip
            variables.optimizer.rate.visible.assign(rate)
            step = recipe.whole_step(variables, numbers, seed, share)
            return step.end(step.rate(), nats, tokens, gradients)

        nats, own = compiled_part(gradients)(variables, numbers, seed, tokens, data)
        # The rate that callbacks see and change is that of the first replica, everywhere.
        visible = variables.optimizer.rate.visible
        rate = tf.identity(visible) if is_first else tf.zeros([])
        nats, rate, *summed = replicas.all_reduce([nats, rate, *own.values()])
        return compiled_part(update)(variables, numbers, seed, tokens, nats, rate, dict(zip(own, summed, strict=True)))

    def step(variables: Sequence[StepVariables], numbers: Tensor, seed: Tensor, *data: Tensor) -> dict[str, Tensor]:
        traces["train", recipe.config, shapes] += 1
        *arrays, tokens = data
        arguments = [
            (share, number == 0, of_one, numbers, seed, tokens, *(array[place] for array in arrays))
            for place, (share, number, of_one) in enumerate(zip(shares, replicas.numbers, variables, strict=True))
        ]
        return replicas.run(of_replica, arguments)[0]

    about = "train on replicas", recipe.config, recipe.dtype.name, shapes, recipe.packed, tuple(shares)
    return kept_functions.find(
        ("train", recipe, shapes, replicas, tuple(shares)),
        lambda: Compiled(step, about, by_xla=False, quiet=False, captures=True),
        recipe.config.n_layer * len(shares),
    )


def _replicated_evaluation(recipe: Recipe, replicas: Replicas, shapes: Shapes) -> Compiled:
    """A function (weights of each replica here, arrays of a batch for each) -> the task's sums (K,) of each."""
    config, dtype, task, packed = recipe.config, recipe.dtype, recipe.task, recipe.packed

    def evaluate(weights: Sequence[dict[str, Variable]], data: Sequence[Batches]) -> list[Tensor]:
        traces["evaluate", config, shapes] += 1
        return replicas.run(
            lambda weights, *own: evaluation_sums(weights, config, dtype, task, own, packed),
            [(of_one, *own) for of_one, own in zip(weights, data, strict=True)],
        )

    about = "evaluate on replicas", config, dtype.name, shapes, packed, len(replicas.numbers)
    return kept_functions.find(
        ("evaluate", config, dtype, task, recipe.by_xla, shapes, packed, replicas),
        lambda: Compiled(evaluate, about, by_xla=False, quiet=False, captures=True),
        config.n_layer * len(replicas.numbers) / 4,
    )
