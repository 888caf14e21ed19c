"""Real processes that sum numbers over and over, and what befalls them: each fault ends the others with one line.

How long it takes is in docs/several.md; here it must only end.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from tests.helpers.workers import Worker, local_addresses, workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals"),
    pytest.mark.timeout(600),
]

ENDLESS = ["-m", "tests.helpers.worker_loop", "100000"]
AGAIN = "To continue: start all workers again with the same command."


def lost(worker: Worker) -> str:
    """What the others say of a worker."""
    return (
        f"Error: W{worker.name} has ended, hangs or cannot be reached, and training cannot go on without it. Its own "
        f"messages say more. {AGAIN}"
    )


def wait_for_all(started: list[Worker], phase: str) -> None:
    for worker in started:
        worker.wait_for(phase)


def test_workers_that_nothing_befalls() -> None:
    with workers(3, ["-m", "tests.helpers.worker_loop", "20"]) as started:
        assert [worker.end() for worker in started] == [0, 0, 0]
        assert [worker.lines[-1] for worker in started] == ["done\n"] * 3
        assert [worker.said for worker in started] == [[], [], []]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
@pytest.mark.parametrize(("count", "victim"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
def test_a_worker_that_is_killed_or_hangs(count: int, victim: int, number: signal.Signals) -> None:
    with workers(count, ENDLESS) as started:
        wait_for_all(started, "summing")
        started[victim].process.send_signal(number)
        others = [worker for worker in started if worker is not started[victim]]
        assert [worker.end() for worker in others] == [1] * (count - 1)
        assert [worker.said for worker in others] == [[lost(started[victim])]] * (count - 1)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_ends_between_the_roll_call_and_tensorflow(victim: int) -> None:
    """It stops where it would join; the other waits within TensorFlow, which ends by TensorFlow's own limit."""
    command = ["-c", "import os, runpy, sys\nsys.argv = ['worker_loop', '9', '60', '10']\n"
               "from gpt2simple.backend import strategies\n"
               "if os.environ.get('ENDS'): strategies.join_workers = lambda *_: os._exit(9)\n"
               "runpy.run_module('tests.helpers.worker_loop', run_name='__main__')"]  # fmt: skip
    addresses = local_addresses(2)
    started = [Worker(command, addresses, index, **({"ENDS": "1"} if index == victim else {})) for index in (0, 1)]
    assert started[victim].end() == 9
    assert started[1 - victim].end() == 1
    assert started[1 - victim].said == [lost(started[victim])]


def test_an_absent_worker() -> None:
    with workers(2, [*ENDLESS, "3"], present=[1]) as (alone,):
        assert alone.end() == 1
        (said,) = alone.said
        assert said.startswith("Error: Worker 0 (127.0.0.1:")
        assert ") did not come within 3 seconds: nothing listens there (not started, or it has ended)." in said


def test_a_port_in_use() -> None:
    addresses = local_addresses(2)
    with socket.create_server(("", int(addresses[1].rpartition(":")[2]))):
        worker = Worker(ENDLESS, addresses, 1)
        assert worker.end() == 1
    (said,) = worker.said
    assert said.startswith(f"Error: This process is w{worker.name}, but port ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("index", [0, 1])
def test_a_signal_during_the_roll_call(index: int, number: signal.Signals) -> None:
    with workers(2, ENDLESS, present=[index]) as (alone,):
        alone.wait_for("imported")
        alone.process.send_signal(number)
        assert alone.end() == (130 if number == signal.SIGINT else -number)
        assert "joining\n" not in alone.lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("index", [0, 1])
def test_a_signal_while_tensorflow_waits(index: int, number: signal.Signals) -> None:
    command = ["-c", "import tests.helpers.worker_loop as program\n"
               "program.call_roll = lambda *_, **__: None\n"
               "program.run(9, 60, 60)"]  # fmt: skip
    with workers(2, command, present=[index]) as (alone,):
        alone.wait_for("joining")
        with pytest.raises(subprocess.TimeoutExpired):  # it waits
            alone.process.wait(2)
        alone.process.send_signal(number)
        assert alone.end() == -number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("index", [0, 1])
def test_a_signal_to_one_stops_all_after_the_same_sum(index: int, number: signal.Signals) -> None:
    with workers(2, ENDLESS) as started:
        wait_for_all(started, "summing")
        started[index].process.send_signal(number)
        codes = [worker.end() for worker in started]
        assert codes[1 - index] == 0
        assert codes[index] == (130 if number == signal.SIGINT else -number)
        assert all("stopped\n" in worker.lines for worker in started)


@pytest.mark.parametrize("comes", [True, False])
def test_workers_part_when_all_have_come_and_one_that_has_ended_fails_nothing(comes: bool) -> None:
    command = ["-c", "import os, time\n"
               "import tests.helpers.worker_loop as program\n"
               "def add_up(replicas, sums, stop):\n"
               "    replicas.agree(False)\n"
               "    if not replicas.is_chief: time.sleep(2); print('came', time.time(), flush=True)\n"
               f"    if not replicas.is_chief and not {comes}: os._exit(0)\n"
               "    replicas.barrier()\n"
               "    print('parted', time.time(), flush=True)\n"
               "program.add_up = add_up\n"
               "program.run(1, 60, 30)\n"]  # fmt: skip
    with workers(2, command) as started:
        assert [worker.end() for worker in started] == [0, 0], [worker.errors for worker in started]
    times = [dict(line.split() for line in worker.lines if " " in line) for worker in started]
    assert float(times[0]["parted"]) > float(times[1]["came"])


def test_another_error_of_one_worker_ends_the_others_at_once() -> None:
    """Its process lives on, as a notebook does, so that nothing but what it tells can end them."""
    command = ["-c", "import os, time\n"
               "import tests.helpers.worker_loop as program\n"
               "add_up = program.add_up\n"
               "def fail(replicas, sums, stop):\n"
               "    add_up(replicas, 5, stop)\n"
               "    raise ValueError('no room')\n"
               "if os.environ.get('FAILS'): program.add_up = fail\n"
               "try: program.main(100000, 60, 30)\n"
               "except ValueError: print('failed', flush=True); time.sleep(600)\n"]  # fmt: skip
    addresses = local_addresses(3)
    started = [Worker(command, addresses, index, **({"FAILS": "1"} if index == 1 else {})) for index in range(3)]
    try:
        started[1].wait_for("failed")
        assert [started[0].end(), started[2].end()] == [1, 1]
        assert started[2].said == [lost(started[1])]
        assert started[0].said[0] in map(lost, started[1:])  # of the third it waits for, whose message says more
    finally:
        started[1].process.kill()
