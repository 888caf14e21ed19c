"""TF_CONFIG, read and checked."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from gpt2simple.backend.cluster import Cluster, capitalized, is_loopback, local_addresses, read_cluster, split_address
from gpt2simple.errors import SettingsError

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(cluster: Any, task: Any = None) -> dict[str, str]:
    own = {"type": "worker", "index": 0} if task is None else task
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": own})}


def test_workers_and_the_own_number() -> None:
    cluster = read_cluster(config({"worker": TWO}, {"type": "worker", "index": 1}))
    assert cluster == Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), 1)
    assert (cluster.count, cluster.is_chief, cluster.own_address, cluster.peers) == (2, False, TWO[1], [0])
    assert cluster.name(0) == "worker 0 (10.0.0.1:2222)"
    assert not cluster.is_local


def test_a_sentence_may_begin_with_a_name_and_keeps_the_letters_of_its_address() -> None:
    assert capitalized(Cluster(("Laptop:1",), 0).name(0)) == "Worker 0 (Laptop:1)"


def test_a_chief_comes_first_as_in_tensorflow() -> None:
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    chief, last = (read_cluster(config(jobs, {"type": kind, "index": n})) for kind, n in (("chief", 0), ("worker", 1)))
    assert (chief.addresses, chief.index, chief.is_chief) == (("a:1", "b:1", "c:1"), 0, True)
    assert (last.index, last.is_chief) == (2, False)


@pytest.mark.parametrize("text", ["", "  ", "{}", '{"cluster": {}}', '{"task": {"type": "worker", "index": 0}}'])
def test_nothing_to_join(text: str) -> None:
    assert read_cluster({"TF_CONFIG": text}) is None
    assert read_cluster({}) is None


def test_one_worker_is_a_cluster_of_one() -> None:
    assert read_cluster(config({"worker": ["localhost:1"]})) == Cluster(("localhost:1",), 0)


def test_an_index_may_be_written_as_text() -> None:
    assert read_cluster(config({"worker": TWO}, {"type": "worker", "index": "1"})).index == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"TF_CONFIG": "{"},
            r"^The environment variable TF_CONFIG is no JSON \(.*\)\. Set it to .*index 1 on the seco",
        ),
        ({"TF_CONFIG": "[" * 100_000}, r"is no JSON \("),
        ({"TF_CONFIG": "3"}, r"is no JSON object\. "),
        (config("a"), r"has a cluster that is no object\."),
        (config({"worker": TWO, "ps": ["c:1"]}), r"has tasks of type 'ps' in its cluster; only workers train here"),
        (config({"worker": TWO, "evaluator": ["c:1"]}), r"has tasks of type 'evaluator' in its cluster"),
        (config({"worker": "a:1"}), r"has a cluster whose 'worker' is no list of addresses\."),
        (config({"chief": ["a:1", "b:1"]}), r"names 2 chiefs; there is one\."),
        (config({"worker": ["a:1", "a:1"]}), r"names the address a:1 twice; every worker has its own\."),
        (config({"worker": [], "chief": []}), r"names no worker\."),
        (config({"worker": ["a"]}), r"names the address 'a'; expected host:port, with a port from 1 to 65535\."),
        (config({"worker": [3]}), r"names the address 3; expected host:port"),
        (config({"worker": TWO}, 3), r'does not say which worker this is: it has no "task"\.'),
        (config({"worker": TWO}, {"type": "ps", "index": 0}), r"a task of type 'ps'; expected 'worker'\."),
        (
            config({"worker": TWO}, {"type": "worker", "index": 2}),
            r"the index 2 among 2 of type 'worker'; expected a wh",
        ),
        (config({"worker": TWO}, {"type": "worker", "index": True}), r"the index True among 2 of type 'worker'"),
        (
            config({"worker": TWO}, {"type": "worker"}),
            r"the index None among 2 .*expected a whole number from 0 to 1\.",
        ),
        (
            config({"worker": TWO}, {"type": "chief", "index": 0}),
            r"index 0 among 0 of type 'chief'; expected a cluster",
        ),
    ],
)
def test_what_is_wrong_is_said(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_cluster(environment)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("a:1", ("a", 1)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("a.b-c:22", ("a.b-c", 22)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address", ["", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:b", "::1:80", "http://a:1", "a b:1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        split_address(address)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("laptop", False),
    ],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    assert Cluster((f"[{host}]:1" if ":" in host else f"{host}:1", "127.0.0.1:2"), 0).is_local is own


def test_what_is_written_is_read_and_local_ports_are_free() -> None:
    cluster = Cluster(local_addresses(2), 1)
    assert read_cluster({"TF_CONFIG": cluster.to_json()}) == cluster
    assert cluster.is_local
    for address in cluster.addresses:
        socket.create_server(("", split_address(address)[1])).close()
