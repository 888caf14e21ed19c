"""Evaluating and generating on several devices of one machine at a time, each with a copy of the weights.

Nothing is summed over the devices, so that a thread for each is enough, without a strategy of TensorFlow's.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from gpt2simple.backend.tensorflow import may_compute_beside, own_context, tf

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
StructureT = TypeVar("StructureT")

_ITEMS_AHEAD = 2  # per device: one that it computes, one that waits for it


def copied(values: StructureT, device: str) -> StructureT:
    """A structure of variables and tensors of the same values, on a device such as "GPU:1"."""
    made: dict[int, Any] = {}  # what stands in it twice is copied once

    def copy(value: Any) -> Any:
        if id(value) not in made:
            is_variable = isinstance(value, tf.Variable)
            made[id(value)] = (
                tf.Variable(value, trainable=False, name=value.name.split(":")[0])
                if is_variable else tf.identity(value)
            )  # fmt: skip
        return made[id(value)]

    with tf.device(device):
        return tf.nest.map_structure(copy, values)


class Copies(Generic[StructureT]):
    """A structure of variables and tensors on several devices, copied to each when it is first asked for there.

    Args:
        values: on the first device. devices: as for `copied`.
    """

    def __init__(self, values: StructureT, devices: Sequence[str]) -> None:
        self._found, self._devices = {0: values}, devices

    def at(self, place: int) -> StructureT:
        """Those on the device of that place; asked for in one thread for each place."""
        if place not in self._found:
            self._found[place] = copied(self._found[0], self._devices[place])
        return self._found[place]


def in_order(
    function: Callable[[int, ItemT], ResultT], items: Iterable[ItemT], devices: Sequence[str]
) -> Iterator[ResultT]:
    """The results of a function for some items, in their order; the devices take the items in turn.

    Args:
        function: (place of the device among them, item) -> result.
        devices: one or none: everything is computed in the caller's thread.
    """
    if len(devices) < 2 or not may_compute_beside():
        yield from (function(0, item) for item in items)
        return

    def compute(place: int, item: ItemT) -> ResultT:
        with own_context(), tf.device(devices[place]):
            return function(place, item)

    with contextlib.ExitStack() as stack:
        pools = [ThreadPoolExecutor(1) for _ in devices]
        for pool in pools:
            stack.callback(pool.shutdown, cancel_futures=True)
        waiting: deque[Future[ResultT]] = deque()
        for number, item in enumerate(items):
            place = number % len(devices)
            waiting.append(pools[place].submit(compute, place, item))
            if len(waiting) == _ITEMS_AHEAD * len(devices):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def as_they_come(streams: Sequence[Iterator[ResultT]], devices: Sequence[str]) -> Iterator[ResultT]:
    """The values of several iterators, each iterator on a device of its own.

    One that raises ends all. Values that nobody asks for any more are not made, but for the next one of each.
    """
    if not may_compute_beside():
        for stream, device in zip(streams, devices, strict=True):
            yield from _on_device(stream, device)
        return
    made: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    is_unwanted = threading.Event()

    def run(stream: Iterator[ResultT], device: str) -> None:
        try:
            with own_context():
                for value in _on_device(stream, device):
                    made.put(("value", value))
                    if is_unwanted.is_set():
                        return
            made.put(("end", None))
        except BaseException as error:
            made.put(("error", error))

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in zip(streams, devices, strict=True)]
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            kind, value = made.get()
            if kind == "value":
                yield value
            elif kind == "end":
                running -= 1
            else:
                raise value
    finally:
        is_unwanted.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _on_device(stream: Iterator[ResultT], device: str) -> Iterator[ResultT]:
    """The values, each made on the device, which the code between them does not see."""
    ended = object()
    while True:
        with tf.device(device):
            value: Any = next(stream, ended)
        if value is ended:
            return
        yield value
