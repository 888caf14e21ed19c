"""Devices of one machine that work at the same time; here the threads, each on the same device."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from gpt2simple.backend.sharing import as_they_come, copied, in_order
from gpt2simple.backend.tensorflow import tf

CPU = "CPU:0"
TWO = (CPU, CPU)


def test_results_come_in_the_order_of_the_items_from_a_thread_for_each_device() -> None:
    threads: list[set[int]] = [set(), set()]

    def compute(place: int, item: int) -> int:
        threads[place].add(threading.get_ident())
        time.sleep(0.01 if place == 0 else 0.0)
        return item * item

    assert list(in_order(compute, range(9), TWO)) == [n * n for n in range(9)]
    (first,), (second,) = threads
    assert len({first, second, threading.get_ident()}) == 3


def test_items_are_asked_for_when_they_are_needed() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    results = in_order(lambda _, item: item, items(), TWO)
    assert next(results) == 0
    assert len(asked) == 4
    results.close()  # type: ignore[attr-defined]
    assert len(asked) == 4


@pytest.mark.parametrize("devices", [(), (CPU,)])
def test_one_device_or_none_computes_in_the_callers_thread(devices: tuple[str, ...]) -> None:
    found = set(in_order(lambda place, _: (place, threading.get_ident()), range(3), devices))
    assert found == {(0, threading.get_ident())}


def test_what_an_item_raises_is_raised() -> None:
    def compute(place: int, item: int) -> int:
        return 1 // (3 - item)

    results = in_order(compute, range(100), TWO)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_streams_run_at_the_same_time_and_each_keeps_its_order() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def stream(name: str) -> Iterator[tuple[str, int]]:
        meeting.wait()
        yield from ((name, number) for number in range(5))

    found = list(as_they_come([stream("a"), stream("b")], TWO))
    assert sorted(found) == [(name, number) for name in "ab" for number in range(5)]
    assert [number for name, number in found if name == "a"] == list(range(5))


def test_a_stream_that_nobody_reads_any_more_ends() -> None:
    made = [0, 0]

    def endless(place: int) -> Iterator[int]:
        while True:
            made[place] += 1
            yield place
            time.sleep(0.001)

    values = as_they_come([endless(0), endless(1)], TWO)
    assert next(values) in (0, 1)
    values.close()  # type: ignore[attr-defined]
    before = list(made)
    time.sleep(0.05)
    assert made == before


def test_a_stream_that_fails_ends_the_others() -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    def endless() -> Iterator[int]:
        while True:
            yield 2
            time.sleep(0.001)

    with pytest.raises(ValueError, match="broken"):
        list(as_they_come([fails(), endless()], TWO))
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(run)")]


def test_where_the_program_has_switched_tensorflow_2_off_one_thread_computes_all() -> None:
    from gpt2simple.backend.tensorflow import own_context

    tf.compat.v1.disable_resource_variables()
    try:
        with own_context():
            assert set(in_order(lambda *_: threading.get_ident(), range(3), TWO)) == {threading.get_ident()}
            assert list(as_they_come([iter("ab"), iter("cd")], TWO)) == list("abcd")
    finally:
        tf.compat.v1.enable_resource_variables()


def test_what_is_copied_has_the_same_values_and_is_copied_once() -> None:
    variable, tensor = tf.Variable([1.0, 2.0], name="pair"), tf.constant([3, 4])
    copies = copied({"a": variable, "b": [variable, tensor]}, CPU)
    assert copies["a"] is copies["b"][0]
    assert copies["a"].name == "pair:0"
    variable.assign([0.0, 0.0])
    assert copies["a"].numpy().tolist() == [1.0, 2.0]
    assert copies["b"][1].numpy().tolist() == [3, 4]
