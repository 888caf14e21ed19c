"""The replicas that make a training step together, on `tf.distribute`, which nothing else here uses.

A replica is a device with variables of its own. A worker is a process, which has one replica or, where a machine has
several GPUs, one on each. Every worker calls the methods here in the same order; each call waits for the others.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from gpt2simple.backend.tensorflow import Tensor, part_of_name, tf

ResultT = TypeVar("ResultT")

# Of gradients that are summed as one array: each is copied into it, so that all as one would take their memory again.
_PACK_BYTES = 32 << 20


class Replicas:
    """What is there, and what they do together. This class is one replica alone: it computes nothing.

    Attributes:
        count: of all replicas. devices: those of this worker, by TensorFlow's names; empty: wherever it computes.
        workers: how many there are. worker: which one this is; 0 is the chief, which alone writes files.
    """

    count = 1
    devices: tuple[str, ...] = ()
    workers = 1
    worker = 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes files and shows progress."""
        return self.worker == 0

    @property
    def numbers(self) -> range:
        """The replicas of this worker, among all."""
        here = max(len(self.devices), 1)
        return range(self.worker * here, (self.worker + 1) * here)

    def name(self, worker: int) -> str:
        """A worker, for messages."""
        return f"worker {worker}"

    def run(self, function: Callable[..., ResultT], arguments: Sequence[Sequence[Any]]) -> list[ResultT]:
        """The function of each replica of this worker, in a graph: what it returns for the arguments of each."""
        return [function(*arguments[0])]

    def all_reduce(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Float32 tensors summed over all replicas; called in a function that ``run`` runs, and in no other inside."""
        return list(tensors)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """An array, float32 or float64, summed over all workers."""
        return array

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it is set on any worker."""
        return flags

    def gather(self, value: Any) -> list[Any]:
        """A JSON value of each worker, by its number."""
        return [value]

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """The chief's array, float32; those of others say its shape."""
        return array

    def barrier(self) -> None:
        """Return when all workers have come here: from then on each may end.

        One that ended at once after a sum would take with it what another is still to receive of that sum.
        """

    def naming_lost_peers(self) -> contextlib.AbstractContextManager[None]:
        """A block in which TensorFlow's errors about other workers become a `WorkerError` that names one."""
        return contextlib.nullcontext()


ONE = Replicas()


class _Together(Replicas):
    """The replicas of a strategy."""

    def __init__(
        self, strategy: Any, worker: int, names: Sequence[str],
        naming_lost_peers: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:  # fmt: skip
        self._strategy, self._names, self._naming_lost_peers = strategy, names, naming_lost_peers
        self.count, self.devices = strategy.num_replicas_in_sync, tuple(strategy.extended.worker_devices)
        self.worker, self.workers = worker, len(names)
        self._options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=_PACK_BYTES)
        self._sum = tf.function(self._sum_of_workers, autograph=False)

    def name(self, worker: int) -> str:
        return self._names[worker]

    def run(self, function: Callable[..., ResultT], arguments: Sequence[Sequence[Any]]) -> list[ResultT]:
        # Each replica is traced in a thread of its own.
        names = [part_of_name(str(place)) for place in range(len(arguments))]

        def of_replica() -> ResultT:
            number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
            place = int(number) - self.numbers[0]
            with names[place]:
                return function(*arguments[place])

        return list(self._strategy.experimental_local_results(self._strategy.run(of_replica)))

    def all_reduce(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        context = tf.distribute.get_replica_context()
        placed = [tf.identity(tensor) for tensor in tensors]  # an argument of a graph has no device yet
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, placed, options=self._options))

    def sum(self, array: np.ndarray) -> np.ndarray:
        if self.workers == 1:
            return array
        with self.naming_lost_peers():
            return self._sum(tf.constant(array)).numpy()

    def _sum_of_workers(self, array: Tensor) -> Tensor:
        """One replica of each worker has the array, the others zeros."""
        arguments = [(array if place == 0 else tf.zeros_like(array),) for place in range(len(self.devices))]
        return self.run(lambda own: self.all_reduce([own])[0], arguments)[0]

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        return tuple(bool(number) for number in self.sum(np.array(flags, np.float32)))

    def gather(self, value: Any) -> list[Any]:
        written = np.frombuffer(json.dumps(value).encode(), np.uint8)  # (n,)
        sizes = np.zeros(self.workers)
        sizes[self.worker] = len(written)
        sizes = self.sum(sizes)  # (workers,)
        # Of a few widths, as each is a graph of its own.
        width = 1 << int(sizes.max()).bit_length()
        texts = np.zeros((self.workers, width), np.float32)
        texts[self.worker, : len(written)] = written
        texts = self.sum(texts)  # (workers, width)
        return [
            json.loads(text[: int(size)].astype(np.uint8).tobytes()) for text, size in zip(texts, sizes, strict=True)
        ]

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        return self.sum(array if self.is_chief else np.zeros_like(array))

    def barrier(self) -> None:
        if self.workers > 1:
            # Whoever is here has all of the sums before; that another has ended since, after this one, does not matter.
            with contextlib.suppress(tf.errors.OpError, RuntimeError):
                self._sum(tf.zeros([1]))

    def naming_lost_peers(self) -> contextlib.AbstractContextManager[None]:
        return self._naming_lost_peers()


def start_replicas(
    strategy: Any, *, worker: int = 0, names: Sequence[str] = ("worker 0",),
    naming_lost_peers: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Replicas:  # fmt: skip
    """The replicas of a strategy.

    Args:
        strategy: a `MirroredStrategy`, or a `MultiWorkerMirroredStrategy` that has met its peers.
        worker: the number of this process. names: of all processes, for messages.
        naming_lost_peers: makes the block of `Replicas.naming_lost_peers`.
    """
    return _Together(strategy, worker, names, naming_lost_peers)


@functools.cache  # steps are compiled for the replicas themselves, and the next session compiles nothing
def mirrored(devices: tuple[str, ...]) -> Replicas:
    """A replica on each of these devices of this machine, such as "GPU:0"."""
    return start_replicas(tf.distribute.MirroredStrategy(list(devices)))
