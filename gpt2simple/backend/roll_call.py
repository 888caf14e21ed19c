"""Who is there, asked over plain sockets before TensorFlow starts: a missing worker would hang it without a word.

Every worker listens on its own address and asks at every address, its own included, until all have answered and asked.
Each tells its number, the workers that it knows, and its versions, as one line of JSON. Then the port is free again,
for TensorFlow. Knows nothing of TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gpt2simple.backend.cluster import Cluster, capitalized, split_address
from gpt2simple.errors import WorkerError

logger = logging.getLogger(__name__)

SECONDS = 55.0  # for all to come: whoever waits has ended within a minute
_ANSWER_SECONDS = 5.0  # for one question
_PAUSE_SECONDS = 0.2  # between two questions
_QUIET_SECONDS = 3.0  # before a message says who is waited for
_LAST_SECONDS = 2.0  # after a failure, for the others to learn why
_MOST_BYTES = 1 << 16
_PROGRAM = "gpt2simple"
NUMBER_OF_GPUS = "a number of GPUs of"
_INSTALL = "Install the same version on all workers."
_REMEDIES = {NUMBER_OF_GPUS: "Each must have as many: hide those beyond with CUDA_VISIBLE_DEVICES."}


def call_roll(cluster: Cluster, versions: Mapping[str, str], *, seconds: float = SECONDS) -> None:
    """Return when every worker of a cluster is there and was started alike.

    Args:
        versions: of what the workers must have in common. seconds: to wait for the others.

    Raises:
        WorkerError: a worker is absent or started differently, or this one's port is in use. It names the worker.
    """
    call = _RollCall(cluster, versions)
    with call.listening():
        call.wait(seconds)


class _RollCall:
    def __init__(self, cluster: Cluster, versions: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._own: dict[str, Any] = {
            "program": _PROGRAM,
            "index": cluster.index,
            "addresses": list(cluster.addresses),
            "versions": dict(versions),
            "process": secrets.token_hex(8),  # tells this process from another with its number
        }
        self._changed = threading.Condition()
        self._answered, self._asked = set[int](), set[int]()  # the peers that did
        self._reasons: dict[int, str] = {}  # why one has not answered
        self._problem: str | None = None
        self._is_over = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answer the others in the block.

        Raises:
            WorkerError: the port is in use.
        """
        with self._listen() as server:
            server.settimeout(_PAUSE_SECONDS)  # so that the thread sees the end
            answering = threading.Thread(target=self._answer_all, args=(server,), name="roll call", daemon=True)
            answering.start()
            try:
                yield
            finally:
                self._is_over = True
                answering.join()  # it must not take a connection that is meant for TensorFlow

    def wait(self, seconds: float) -> None:
        """Ask all until each has answered and asked.

        Raises:
            WorkerError: one is absent after these seconds, or different.
        """
        for number in range(self._cluster.count):
            threading.Thread(target=self._ask_until_known, args=(number,), name="roll call", daemon=True).start()
        start = time.monotonic()
        is_met = self._met_within(min(_QUIET_SECONDS, seconds))
        if not is_met and self._problem is None:
            who, why = self._missing()
            logger.info(f"Waiting up to {seconds:.0f} s for {who}: {why}.")
            is_met = self._met_within(start + seconds - time.monotonic())
        if self._problem is not None:
            self._met_within(_LAST_SECONDS, in_spite_of_problems=True)
            raise WorkerError(capitalized(self._problem))
        if not is_met:
            who, why = self._missing()
            raise WorkerError(
                f"{capitalized(who)} did not come within {seconds:.0f} seconds: {why}. Look at its own messages, at "
                "its address in TF_CONFIG, and whether a firewall lets the port through; then start all workers again, "
                "within that time of one another."
            )

    def _met_within(self, seconds: float, *, in_spite_of_problems: bool = False) -> bool:
        """Whether all have met, after waiting for that or for a problem."""

        def is_decided() -> bool:
            return self._has_met_all() or (self._problem is not None and not in_spite_of_problems)

        with self._changed:
            self._changed.wait_for(is_decided, max(seconds, 0.0))
            return self._has_met_all()

    def _has_met_all(self) -> bool:
        peers = set(self._cluster.peers)
        return peers <= self._answered and peers <= self._asked

    def _missing(self) -> tuple[str, str]:
        """The peers that have not been met, and why."""
        with self._changed:
            absent = [number for number in self._cluster.peers if number not in self._answered & self._asked]
            reasons = dict.fromkeys(map(self._reason, absent))  # of each kind one
            return ", ".join(map(self._cluster.name, absent)), "; ".join(reasons)

    def _reason(self, number: int) -> str:
        if number in self._answered:
            own = self._cluster.own_address
            return f"it answers, but has not reached this worker at {own} (a firewall here, or another route?)"
        return self._reasons.get(number, "no answer")

    def _listen(self) -> socket.socket:
        """A socket on this worker's port, at all addresses, as TensorFlow's will be.

        Raises:
            WorkerError: the port is in use, or not open to this user.
        """
        _, port = split_address(self._cluster.own_address)
        try:
            with contextlib.suppress(OSError):
                if socket.has_dualstack_ipv6():
                    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", port))
        except OSError as error:
            own = self._cluster.name(self._cluster.index)
            if error.errno != errno.EADDRINUSE:
                raise WorkerError(
                    f"This process is {own}, but cannot listen on port {port} ({error.strerror}). Choose another port "
                    "from 1024 to 65535 for it, on every worker."
                ) from error
            raise WorkerError(self._who_has_port(own, port)) from error

    def _who_has_port(self, own: str, port: int) -> str:
        with contextlib.suppress(OSError, ValueError):
            if self._question(("localhost", port)).get("index") == self._cluster.index:
                return _two_with_one_index(self._cluster)
        return (
            f"This process is {own}, but port {port} is in use here: by another program, or by a worker that has not "
            "ended. End that, or choose another port for this worker, on every worker; then start all workers again."
        )

    def _answer_all(self, server: socket.socket) -> None:
        while not self._is_over:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                threading.Thread(target=self._answer, args=(connection,), name="roll call", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(_ANSWER_SECONDS)
            told = _received(connection)
            _send(connection, self._own)
            self._learn(told, asked=True)

    def _ask_until_known(self, number: int) -> None:
        """Ask at the address of a worker; at the own one, to learn whether another worker is there."""
        while not self._is_over:
            try:
                told = self._question(split_address(self._cluster.addresses[number]))
            except (OSError, ValueError) as error:
                with self._changed:
                    self._reasons[number] = _why(error)
                time.sleep(_PAUSE_SECONDS)
                continue
            self._learn(told, expected=number)
            return

    def _question(self, address: tuple[str, int]) -> dict[str, Any]:
        """What the program at an address tells.

        Raises:
            OSError: it cannot be reached. ValueError: it is another program.
        """
        with socket.create_connection(address, timeout=_ANSWER_SECONDS) as connection:
            _send(connection, self._own)
            return _received(connection)

    def _learn(self, told: dict[str, Any], *, expected: int | None = None, asked: bool = False) -> None:
        """Note what a worker tells: at the address of the expected one, or when it asked."""
        with self._changed:
            problem = self._problem_of(told, expected)
            self._problem = self._problem or problem
            if problem is None or told["index"] in self._cluster.peers:
                (self._asked if asked else self._answered).add(told["index"] if expected is None else expected)
            self._changed.notify_all()

    def _problem_of(self, told: dict[str, Any], expected: int | None) -> str | None:
        cluster, own, index = self._cluster, self._own, told["index"]
        if told["addresses"] != own["addresses"]:
            who = "Another worker" if expected is None else f"The worker at {cluster.addresses[expected]}"
            return (
                f"{who} has another list of workers: {_listed(told['addresses'])}; here it is "
                f"{_listed(own['addresses'])}. Give all workers the same cluster in TF_CONFIG."
            )
        if index == cluster.index and told["process"] != own["process"]:
            return _two_with_one_index(cluster)
        if expected is not None and index != expected:
            return (
                f"At {cluster.addresses[expected]} answers a worker with the index {index}, expected {expected}. Give "
                "each worker its own index in TF_CONFIG: its place in the list of addresses, from 0."
            )
        for name, version in own["versions"].items():
            if (theirs := told["versions"].get(name)) != version:
                return (
                    f"{cluster.name(index)} has {name} {theirs}, this worker {version}. {_REMEDIES.get(name, _INSTALL)}"
                )
        return None


def _two_with_one_index(cluster: Cluster) -> str:
    return (
        f"Two workers have the index {cluster.index}: this process and another one are both "
        f"{cluster.name(cluster.index)}. Give each worker its own index in TF_CONFIG, from 0 to {cluster.count - 1}."
    )


def _listed(addresses: list[str]) -> str:
    return ", ".join(addresses)


def _send(connection: socket.socket, value: dict[str, Any]) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


def _received(connection: socket.socket) -> dict[str, Any]:
    """What a worker tells on a connection.

    Raises:
        OSError: it does not answer. ValueError: it is no worker.
    """
    with connection.makefile("rb") as file:
        line = file.readline(_MOST_BYTES)
    told = json.loads(line)
    if not isinstance(told, dict) or told.get("program") != _PROGRAM:
        raise ValueError("no worker")
    addresses, versions, index = told.get("addresses"), told.get("versions"), told.get("index")
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise ValueError("no addresses")
    if not isinstance(versions, dict) or not isinstance(index, int) or not 0 <= index < len(addresses):
        raise ValueError("no worker")
    told.setdefault("process", None)
    return told


def _why(error: OSError | ValueError) -> str:
    """Why a worker did not answer, in words."""
    if isinstance(error, socket.gaierror):
        return "no machine of that name is known here"
    if isinstance(error, TimeoutError):
        return "no answer (it is off or hangs, or a firewall is between)"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (not started, or it has ended)"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return "something else than a worker of gpt2simple answers there"
