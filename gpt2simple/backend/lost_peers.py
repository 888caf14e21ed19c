"""A worker that is lost while others wait for it: one error that names it, in place of TensorFlow's page."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator

from gpt2simple.backend.cluster import Cluster, capitalized, split_address
from gpt2simple.backend.tensorflow import abort_collectives, tf
from gpt2simple.errors import WorkerError

AGAIN = "To continue: start all workers again with the same command."
_KINDS = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.DeadlineExceededError,
    tf.errors.CancelledError, tf.errors.UnknownError, tf.errors.FailedPreconditionError, RuntimeError,
)  # fmt: skip
# What those about other workers say; other errors of these kinds are about something else.
_SIGNS = re.compile(
    r"[Cc]ollective (ops is aborted|has timed out)|[Ss]ocket closed|stopped sending heartbeats|cluster check alive|"
    r"failed to connect to all addresses|Connection (reset|refused)|remote target /job:|Timeout waiting for the cluster"
)
_PORT_IN_USE = "Could not start gRPC server"
_CAUSE = re.compile(r"/task:(\d+) (?:is down|has failed|is lost)")
_MENTIONED = re.compile(r"remote target /job:\w+(?:/replica:\d+)?/task:(\d+)")
_PROBE_SECONDS = 2.0
_PAUSE_SECONDS = 0.05  # between two probes
# Before this worker ends too, for others to see which one was the first: longer than between two health checks.
_LAST_SECONDS = 3.0


@contextlib.contextmanager
def naming_lost_peers(cluster: Cluster) -> Iterator[None]:
    """Raise WorkerError in place of TensorFlow's errors about other workers. Let them know if another error occurs.

    Raises:
        WorkerError: a worker ended, hangs, or cannot be reached. It names the worker, if TensorFlow tells which.
    """
    try:
        yield
    except WorkerError:
        raise
    except _KINDS as error:
        message = str(error)
        if _PORT_IN_USE in message:
            raise WorkerError(
                f"This process is {cluster.name(cluster.index)}, but TensorFlow cannot listen on its port: another "
                f"program has taken it. End that, or choose another port, on every worker. {AGAIN}"
            ) from error
        if _SIGNS.search(message) is None:
            _tell_others(cluster)
            raise
        lost = lost_peer(message, cluster)
        _tell_others(cluster, lost)
        who = "Another worker" if lost is None else capitalized(cluster.name(lost))
        raise WorkerError(
            f"{who} has ended, hangs or cannot be reached, and training cannot go on without it. Its own messages say "
            f"more. {AGAIN}"
        ) from error
    except BaseException:
        _tell_others(cluster)
        raise


def lost_peer(message: str, cluster: Cluster) -> int | None:
    """The worker that is lost, from TensorFlow's message or because its port is closed; None: not known."""
    peers = cluster.peers
    if named := [int(number) for number in _CAUSE.findall(message) if int(number) in peers]:
        return named[0]
    if closed := [number for number in peers if not _is_open(cluster.addresses[number])]:
        return closed[0]
    mentioned = [int(number) for number in _MENTIONED.findall(message) if int(number) in peers]
    if mentioned:
        return mentioned[0]
    return peers[0] if len(peers) == 1 else None


def _tell_others(cluster: Cluster, lost: int | None = None) -> None:
    """Have the workers that wait for this one learn who is missing: another, or this one itself."""
    abort_collectives(f"/job:worker/replica:0/task:{cluster.index if lost is None else lost} is lost")
    if len(cluster.peers) > (0 if lost is None else 1):
        time.sleep(_LAST_SECONDS)


def _is_open(address: str) -> bool:
    try:
        socket.create_connection(split_address(address), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def wait_until_open(address: str, seconds: float) -> None:
    """Return when a program listens there, or after so many seconds."""
    until = time.monotonic() + seconds
    while not _is_open(address) and time.monotonic() < until:
        time.sleep(_PAUSE_SECONDS)
