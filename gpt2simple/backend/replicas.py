"""STAND-IN until the merge: the replicas that train together are in the other branch, with these names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt2simple.backend.tensorflow import tf


class Replicas:
    """What is there."""

    def __init__(self, strategy: Any = None, worker: int = 0, names: Sequence[str] = ("worker 0",)) -> None:
        self.strategy, self.worker, self.names = strategy, worker, tuple(names)
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync


ONE = Replicas()


def start_replicas(strategy: Any, *, worker: int = 0, names: Sequence[str] = ("worker 0",)) -> Replicas:
    """The replicas of a strategy."""
    return Replicas(strategy, worker, names)


def mirrored(devices: Sequence[str]) -> Replicas:
    """A replica on each of these devices."""
    return start_replicas(tf.distribute.MirroredStrategy(list(devices)))


_current = ONE


def use(replicas: Replicas) -> None:
    """From now on, sessions of this process train on these."""
    global _current
    _current = replicas
