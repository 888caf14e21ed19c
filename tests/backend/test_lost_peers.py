"""TensorFlow's errors about other workers become one that names the worker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gpt2simple.backend import lost_peers
from gpt2simple.backend.cluster import Cluster, local_addresses
from gpt2simple.backend.lost_peers import lost_peer, naming_lost_peers
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import DataError, WorkerError

REFUSED = (
    "Collective ops is aborted by: failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1\n"
    "Additional GRPC error information from remote target /job:worker/replica:0/task:{} while calling "
    "/tensorflow.WorkerService/RecvBuf:"
)
IS_DOWN = "Collective ops is aborted by: cluster check alive failed, /job:worker/replica:0/task:{} is down\nThe error"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the other workers are told."""
    reasons: list[str] = []
    monkeypatch.setattr(lost_peers, "abort_collectives", reasons.append)
    monkeypatch.setattr(lost_peers, "_LAST_SECONDS", 0.0)
    return reasons


@pytest.fixture
def three() -> Iterator[Cluster]:
    """The first of three workers, all of which listen."""
    addresses = local_addresses(3)
    servers = [socket.create_server(("", int(address.rpartition(":")[2]))) for address in addresses]
    yield Cluster(addresses, 0)
    for server in servers:
        server.close()


def raised(cluster: Cluster, error: Exception) -> str:
    with pytest.raises(WorkerError) as caught, naming_lost_peers(cluster):
        raise error
    assert caught.value.__cause__ is error
    return str(caught.value)


@pytest.mark.parametrize("kind", [tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError])
def test_the_worker_that_is_down_is_named(three: Cluster, told: list[str], kind: type) -> None:
    assert raised(three, kind(None, None, IS_DOWN.format(2))) == (
        f"Worker 2 ({three.addresses[2]}) has ended, hangs or cannot be reached, and training cannot go on without it. "
        "Its own messages say more. To continue: start all workers again with the same command."
    )
    assert told == ["/job:worker/replica:0/task:2 is lost"]


def test_a_closed_port_tells_more_than_who_was_asked_last(told: list[str]) -> None:
    addresses = local_addresses(3)
    with socket.create_server(("", int(addresses[1].rpartition(":")[2]))):
        assert lost_peer(REFUSED.format(1), Cluster(addresses, 0)) == 2


def test_who_was_asked_last_is_named_where_all_listen(three: Cluster) -> None:
    assert lost_peer(REFUSED.format(1), three) == 1
    assert lost_peer(REFUSED.format(0), three) is None
    assert lost_peer("Socket closed", three) is None


def test_of_two_the_other_is_named(three: Cluster) -> None:
    assert lost_peer("Socket closed", Cluster(three.addresses[:2], 1)) == 0


def test_what_is_not_known_is_not_named(three: Cluster, told: list[str]) -> None:
    said = raised(three, tf.errors.UnavailableError(None, None, "Socket closed"))
    assert said.startswith("Another worker has ended, hangs or cannot be reached, ")
    assert told == ["/job:worker/replica:0/task:0 is lost"]


def test_workers_that_do_not_come_to_the_strategy(three: Cluster, told: list[str]) -> None:
    said = raised(three, RuntimeError("Timeout waiting for the cluster, timeout is 30 seconds"))
    assert said.startswith("Another worker has ended")


def test_a_port_that_was_taken_in_between(three: Cluster, told: list[str]) -> None:
    said = raised(three, tf.errors.UnknownError(None, None, "Could not start gRPC server"))
    assert said == (
        f"This process is worker 0 ({three.own_address}), but TensorFlow cannot listen on its port: another program "
        "has taken it. End that, or choose another port, on every worker. To continue: start all workers again with "
        "the same command."
    )


@pytest.mark.parametrize(
    "error",
    [DataError("no text"), tf.errors.InternalError(None, None, "XLA failed"), RuntimeError("odd"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_what_they_are_and_the_others_learn_of_them(
    three: Cluster, told: list[str], error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, naming_lost_peers(three):
        raise error
    assert caught.value is error
    assert told == ["/job:worker/replica:0/task:0 is lost"]


def test_an_error_that_names_a_worker_stays(three: Cluster, told: list[str]) -> None:
    with pytest.raises(WorkerError, match=r"^worker 1 has another text$"), naming_lost_peers(three):
        raise WorkerError("worker 1 has another text")
    assert told == []


def test_a_block_that_ends_well(three: Cluster, told: list[str]) -> None:
    with naming_lost_peers(three):
        threading.Event().wait(0)
    assert told == []
