"""The workers that train together, as TF_CONFIG names them. Knows nothing of TensorFlow.

::

    TF_CONFIG='{"cluster": {"worker": ["192.168.1.10:2222", "192.168.1.11:2222"]},
                "task": {"type": "worker", "index": 0}}'

The cluster is the same on every worker, the index is a worker's own.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt2simple.errors import SettingsError

VARIABLE = "TF_CONFIG"
_LOOPBACK = "localhost"
_KINDS = ("chief", "worker")  # a chief is worker 0, as for TensorFlow
_EXAMPLE = (
    '\'{"cluster": {"worker": ["192.168.1.10:2222", "192.168.1.11:2222"]}, "task": {"type": "worker", "index": 0}}\', '
    "with the index 1 on the second worker"
)


@dataclass(frozen=True)
class Cluster:
    """Workers, and which of them this process is.

    Attributes:
        addresses: host:port of each worker. index: the number of this one; 0 is the chief.
    """

    addresses: tuple[str, ...]
    index: int

    def to_json(self) -> str:
        """The value of TF_CONFIG."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run."""
        return self.index == 0

    @property
    def own_address(self) -> str:
        """Where the others reach this worker."""
        return self.addresses[self.index]

    @property
    def peers(self) -> list[int]:
        """The numbers of the other workers."""
        return [number for number in range(self.count) if number != self.index]

    @property
    def is_local(self) -> bool:
        """Whether all workers talk over this machine's loopback."""
        return all(is_loopback(split_address(address)[0]) for address in self.addresses)

    def name(self, number: int) -> str:
        """A worker, for messages: "worker 1 (192.168.1.11:2222)"."""
        return f"worker {number} ({self.addresses[number]})"


def capitalized(text: str) -> str:
    """A sentence that begins with a worker's name; `str.capitalize` would change the letters of its address."""
    return text[:1].upper() + text[1:]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by a name or number that no other machine can have."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == _LOOPBACK


def split_address(address: str) -> tuple[str, int]:
    """Host and port of host:port or [IPv6]:port.

    Raises:
        ValueError: it is no such address.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    is_bare_ipv6 = ":" in host and not address.startswith("[")
    if not colon or not host or is_bare_ipv6 or not port.isascii() or not port.isdecimal():
        raise ValueError(address)
    if not 1 <= int(port) <= 65535 or any(character.isspace() or character == "/" for character in host):
        raise ValueError(address)
    return host, int(port)


def read_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster in TF_CONFIG; None where the variable is not set, or names no workers.

    Raises:
        SettingsError: it is not as expected.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise _wrong("is no JSON object")
    if not found.get("cluster"):  # TensorFlow too takes that for one process alone
        return None
    jobs = _jobs(found["cluster"])
    addresses = tuple(address for kind in _KINDS for address in jobs.get(kind, ()))
    return Cluster(addresses, _own_number(found.get("task"), jobs))


def _jobs(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, dict):
        raise _wrong("has a cluster that is no object")
    if others := [kind for kind, listed in given.items() if kind not in _KINDS and listed]:
        raise _wrong(
            f"has tasks of type {', '.join(map(repr, others))} in its cluster; only workers train here, there are no "
            "parameter servers and no evaluators"
        )
    for kind, addresses in given.items():
        if not isinstance(addresses, list):
            raise _wrong(f"has a cluster whose {kind!r} is no list of addresses")
        for address in addresses:
            _require_address(address)
    jobs = {kind: addresses for kind, addresses in given.items() if addresses}
    if len(jobs.get("chief", ())) > 1:
        raise _wrong(f"names {len(jobs['chief'])} chiefs; there is one")
    listed = [address for addresses in jobs.values() for address in addresses]
    if twice := next((address for address in listed if listed.count(address) > 1), None):
        raise _wrong(f"names the address {twice} twice; every worker has its own")
    if not listed:
        raise _wrong("names no worker")
    return jobs


def _require_address(address: Any) -> None:
    try:
        split_address(address if isinstance(address, str) else "")
    except ValueError:
        raise _wrong(f"names the address {address!r}; expected host:port, with a port from 1 to 65535") from None


def _own_number(task: Any, jobs: Mapping[str, list[str]]) -> int:
    if not isinstance(task, dict):
        raise _wrong('does not say which worker this is: it has no "task"')
    kind, number = task.get("type"), task.get("index")
    if kind not in _KINDS:
        raise _wrong(f"gives this process a task of type {kind!r}; expected 'worker'")
    if isinstance(number, str) and number.isascii() and number.isdecimal():  # as scripts write it
        number = int(number)
    listed = len(jobs.get(kind, ()))
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < listed:
        expected = f"a whole number from 0 to {listed - 1}" if listed else f"a cluster with a {kind!r}"
        raise _wrong(f"gives this process the index {number!r} among {listed} of type {kind!r}; expected {expected}")
    return number + (kind == "worker" and bool(jobs.get("chief")))


def _wrong(what: str) -> SettingsError:
    return SettingsError(
        f"The environment variable {VARIABLE} {what}. Set it to {_EXAMPLE}; or unset it, or choose the strategy "
        "single, to train in this process alone."
    )


def local_addresses(count: int) -> tuple[str, ...]:
    """Addresses for workers on this machine, with ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
