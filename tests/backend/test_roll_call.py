"""The roll call on loopback: each fault is one error that names the worker, on every worker."""

from __future__ import annotations

import dataclasses
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gpt2simple.backend import roll_call
from gpt2simple.backend.cluster import Cluster, local_addresses
from gpt2simple.backend.roll_call import NUMBER_OF_GPUS, call_roll
from gpt2simple.errors import WorkerError
from tests.helpers.messages import collected_messages

VERSIONS = {"Python": "3.12", "TensorFlow": "2.21.0", "gpt2simple": "1.0"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_call, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(roll_call, "_LAST_SECONDS", 0.3)
    monkeypatch.setattr(roll_call, "_PAUSE_SECONDS", 0.02)


@pytest.fixture
def two() -> list[Cluster]:
    return cluster_of(2)


def cluster_of(count: int) -> list[Cluster]:
    """The same cluster as each of its workers sees it."""
    addresses = local_addresses(count)
    return [Cluster(addresses, index) for index in range(count)]


def outcomes(
    clusters: Sequence[Cluster], versions: Mapping[int, Mapping[str, str]] | None = None, *, seconds: float = 1.0
) -> list[str]:
    """What each worker says: "" if it goes on."""

    def call(place: int) -> str:
        try:
            call_roll(clusters[place], (versions or {}).get(place, VERSIONS), seconds=seconds)
        except WorkerError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(clusters)) as pool:
        return list(pool.map(call, range(len(clusters))))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_all_are_there_and_the_ports_are_free_again(count: int) -> None:
    clusters = cluster_of(count)
    assert outcomes(clusters, seconds=20) == [""] * count
    assert outcomes(clusters, seconds=20) == [""] * count


def test_one_that_comes_late_is_waited_for(two: list[Cluster]) -> None:
    with collected_messages() as messages, ThreadPoolExecutor(1) as pool:
        first = pool.submit(call_roll, two[0], VERSIONS, seconds=20)
        while not messages:
            threading.Event().wait(0.01)
        call_roll(two[1], VERSIONS, seconds=20)
        first.result()
    assert messages[0] == (
        f"Waiting up to 20 s for worker 1 ({two[1].own_address}): nothing listens there (not started, or it has ended)."
    )


def test_an_absent_worker_is_named_by_all_others() -> None:
    clusters = cluster_of(3)
    said = outcomes(clusters[:2])
    expected = (
        rf"^Worker 2 \({clusters[2].own_address}\) did not come within 1 seconds: nothing listens there \(not started, "
        r"or it has ended\)\. .* start all workers again, within that time of one another\.$"
    )
    assert [bool(re.match(expected, line)) for line in said] == [True, True]


def test_all_absent_workers_are_named() -> None:
    clusters = cluster_of(3)
    (said,) = outcomes(clusters[:1])
    names = ", ".join(f"orker {number} ({clusters[number].own_address})" for number in (1, 2)).replace(", o", ", wo")
    assert said.startswith(f"W{names} did not come within 1 seconds: nothing listens there (not started, or it has e")


def test_a_name_that_is_no_machine(two: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: tuple[str, int], **_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", connect)
    (said,) = outcomes([dataclasses.replace(two[0], addresses=(two[0].addresses[0], "no-such-machine:2222"))])
    assert said.startswith(
        "Worker 1 (no-such-machine:2222) did not come within 1 seconds: no machine of that name is known here. "
    )


def test_two_with_one_index_on_one_machine(two: list[Cluster]) -> None:
    said = outcomes([two[0], two[0]])
    expected = (
        f"Two workers have the index 0: this process and another one are both worker 0 ({two[0].own_address}). Give "
        "each worker its own index in TF_CONFIG, from 0 to 1."
    )
    assert expected in said


def test_two_with_one_index_on_two_machines(two: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second listens on its own machine, here another port, and reaches the first at what it takes for itself."""
    (other,) = local_addresses(1)
    call = roll_call._RollCall(two[0], VERSIONS)
    server = socket.create_server(("", int(other.rpartition(":")[2])))
    monkeypatch.setattr(call, "_listen", lambda: server)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(outcomes, [two[0]], seconds=20)
        with pytest.raises(WorkerError, match=r"^Two workers have the index 0: "), call.listening():
            call.wait(20)
        assert first.result()[0].startswith("Two workers have the index 0: ")


def test_a_worker_at_the_place_of_another() -> None:
    first, second, third = cluster_of(3)
    swapped = [dataclasses.replace(second, addresses=(first.own_address, third.own_address, second.own_address))]
    said = outcomes([first, *swapped], seconds=20)
    assert all("has another list of workers" in line for line in said)


def test_another_index_than_the_address_has(two: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of three on which two machines use one port: the third is told to be the second."""
    first, _, third = cluster_of(3)
    call = roll_call._RollCall(dataclasses.replace(third, index=1), VERSIONS)
    server = socket.create_server(("", int(third.own_address.rpartition(":")[2])))
    monkeypatch.setattr(call, "_listen", lambda: server)
    with ThreadPoolExecutor(1) as pool, call.listening():
        asking = pool.submit(outcomes, [first], seconds=20)
        with pytest.raises(
            WorkerError, match=rf"^At {third.own_address} answers a worker with the index 1, expected 2\."
        ):
            call.wait(20)
        assert "answers a worker with the index 1, expected 2. Give each worker its own index" in asking.result()[0]


def test_other_versions_are_told_on_both(two: list[Cluster]) -> None:
    with collected_messages() as messages:
        said = outcomes(two, {1: VERSIONS | {"TensorFlow": "2.20.0"}}, seconds=20)
    names = [f"Worker {peer} ({two[peer].own_address})" for peer in (1, 0)]
    assert messages == []  # that one is waited for
    assert said == [
        f"{names[0]} has TensorFlow 2.20.0, this worker 2.21.0. Install the same version on all workers.",
        f"{names[1]} has TensorFlow 2.21.0, this worker 2.20.0. Install the same version on all workers.",
    ]


def test_another_number_of_gpus_is_told_with_what_to_do(two: list[Cluster]) -> None:
    counts = [VERSIONS | {NUMBER_OF_GPUS: str(count)} for count in (2, 1)]
    said = outcomes(two, dict(enumerate(counts)), seconds=20)
    assert said[0] == (
        f"Worker 1 ({two[1].own_address}) has a number of GPUs of 1, this worker 2. Each must have as many: hide those "
        "beyond with CUDA_VISIBLE_DEVICES."
    )


def test_another_cluster_is_told_on_both(two: list[Cluster]) -> None:
    longer = dataclasses.replace(two[1], addresses=(*two[1].addresses, "127.0.0.1:9"))
    said = outcomes([two[0], longer], seconds=20)
    lists = [", ".join(cluster.addresses) for cluster in (two[0], longer)]
    for own, other, line in zip(lists, reversed(lists), said, strict=True):
        assert f" has another list of workers: {other}; here it is {own}. Give all workers the same" in line


@pytest.fixture
def taken(two: list[Cluster]) -> Iterator[socket.socket]:
    with socket.create_server(("", int(two[0].own_address.rpartition(":")[2]))) as server:
        yield server


def test_a_port_in_use(two: list[Cluster], taken: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_call, "_ANSWER_SECONDS", 0.1)
    port = taken.getsockname()[1]
    (said,) = outcomes([two[0]])
    assert said == (
        f"This process is worker 0 (127.0.0.1:{port}), but port {port} is in use here: by another program, or by a "
        "worker that has not ended. End that, or choose another port for this worker, on every worker; then start all "
        "workers again."
    )


def test_a_port_that_is_not_for_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    (said,) = outcomes([Cluster(("127.0.0.1:80", "127.0.0.1:81"), 0)])
    assert said.startswith("This process is worker 0 (127.0.0.1:80), but cannot listen on port 80 (Permission denied).")


def say(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(10)
                connection.sendall(answer)

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"[]\n", b'{"program": "gpt2simple"}\n', b"\xff\n", b"{" * 70_000,
        b'{"program": "gpt2simple", "addresses": ["a"], "versions": {}, "index": 3}\n',
    ],
    ids=["http", "nothing", "list", "object", "bytes", "long", "index"],
)  # fmt: skip
def test_another_program_at_the_place_of_a_worker(two: list[Cluster], taken: socket.socket, answer: bytes) -> None:
    threading.Thread(target=say(answer), args=(taken,), daemon=True).start()
    (said,) = outcomes([two[1]])
    assert re.match(
        rf"^Worker 0 \({two[0].own_address}\) did not come within 1 seconds: (something else than a worker of "
        r"gpt2simple answers there|Connection reset by peer|Broken pipe)\. ",
        said,
    )


def test_one_that_answers_and_never_asks(two: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    call = roll_call._RollCall(two[0], VERSIONS)
    with call.listening():
        (said,) = outcomes([two[1]])
    assert said.startswith(
        f"Worker 0 ({two[0].own_address}) did not come within 1 seconds: it answers, but has not reached this worker "
        f"at {two[1].own_address} (a firewall here, or another route?). "
    )
