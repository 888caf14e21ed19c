"""Which devices and machines train together."""

from __future__ import annotations

import re
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import gpt2simple
from gpt2simple.backend import strategies
from gpt2simple.backend.cluster import Cluster, local_addresses
from gpt2simple.backend.replicas import ONE
from gpt2simple.errors import BackendError, SettingsError, WorkerError
from tests.helpers.messages import collected_messages

TWO = Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), 0)
ALONE = Cluster(("10.0.0.1:2222",), 0)


@pytest.mark.parametrize(
    ("wanted", "cluster", "joins"),
    [
        ("auto", None, False), ("auto", TWO, True), ("auto", ALONE, False), ("single", TWO, False),
        ("mirrored", TWO, False), ("mirrored", None, False), ("multiworker", TWO, True),
    ],
)  # fmt: skip
def test_who_joins_the_workers(wanted: str, cluster: Cluster | None, joins: bool) -> None:
    assert strategies.joins(wanted, cluster) is joins


@pytest.mark.parametrize(
    ("wanted", "gpus", "together"),
    [("auto", 0, 0), ("auto", 1, 0), ("auto", 2, 2), ("mirrored", 2, 2), ("mirrored", 0, 0), ("single", 2, 0)],
)
def test_what_computes_together_on_one_machine(
    monkeypatch: pytest.MonkeyPatch, wanted: str, gpus: int, together: int
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    names = [f"GPU:{number}" for number in range(gpus)]
    monkeypatch.setattr(strategies.devices, "has_gpu", lambda: gpus > 0)
    monkeypatch.setattr(strategies, "_local_devices", lambda: names or ["CPU:0"])
    monkeypatch.setattr(strategies, "mirrored", lambda found: SimpleNamespace(count=len(found)))
    words, replicas = strategies.start(wanted, None)
    assert replicas.count == max(together, 1)
    assert words.startswith("2 devices of this machine together (GPU:0, GPU:1)") is bool(together)


@pytest.mark.parametrize(("cluster", "why"), [(None, "is not set"), (ALONE, "names one worker")])
def test_multiworker_needs_other_workers(cluster: Cluster | None, why: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"^strategy is multiworker, but TF_CONFIG {why}\. Set it on every worker, as docs/several"
    ):
        strategies.joins("multiworker", cluster)


def test_calls_that_train_nothing_stay_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, TWO)
    found = [strategies.on_one_machine(wanted) for wanted in (None, "auto", "mirrored", "single")]
    assert found == ["mirrored"] * 3 + ["single"]
    with pytest.raises(
        SettingsError, match=r"^strategy is multiworker, which is for fine-tuning alone: all other calls"
    ):
        strategies.on_one_machine("multiworker")


def test_generating_and_evaluating_refuse_workers() -> None:
    for call in (gpt2simple.answer, gpt2simple.evaluate, gpt2simple.classify, gpt2simple.score):
        with pytest.raises(SettingsError, match=r"^strategy is multiworker, which is for fine-tuning alone"):
            call("a text", strategy="multiworker")


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^strategy is 'both'; expected 'auto', 'single', 'mirrored' or 'multiworker'"
    ):
        gpt2simple.start_session("tiny", strategy="both")


def set_config(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    monkeypatch.setenv("TF_CONFIG", cluster.to_json())


def test_single_and_mirrored_leave_tf_config_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{")
    assert strategies.start("single", None)[1] is ONE
    assert strategies.start("mirrored", None)[1] is ONE
    with pytest.raises(SettingsError, match=r"^The environment variable TF_CONFIG is no JSON"):
        strategies.start("auto", None)


def test_workers_cannot_be_joined_once_something_was_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, TWO)
    monkeypatch.setattr(strategies, "has_computed", lambda: True)
    with pytest.raises(BackendError, match=r"^TensorFlow has computed in this process already, and can no longer join"):
        strategies.start("auto", None)


def test_an_absent_worker_ends_the_start_before_tensorflow_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = local_addresses(2)
    set_config(monkeypatch, Cluster(addresses, 0))
    monkeypatch.setattr(strategies, "has_computed", lambda: False)
    monkeypatch.setattr(strategies, "join_workers", lambda *_: pytest.fail("TensorFlow would wait for an hour"))
    monkeypatch.setattr(strategies.devices, "start", lambda threads, join: join())
    call_roll = strategies.call_roll
    monkeypatch.setattr(strategies, "call_roll", lambda *given: call_roll(*given, seconds=0.3))
    with pytest.raises(
        WorkerError, match=rf"^Worker 1 \({re.escape(addresses[1])}\) did not come within 0 seconds: nothing"
    ):
        strategies.start("auto", None)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a process does that joins, but for the others and TensorFlow."""
    done: list[Any] = []
    strategy = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(strategies, "_joined", None)
    monkeypatch.setattr(strategies, "has_computed", lambda: False)
    monkeypatch.setattr(strategies, "call_roll", lambda *given: done.append(given))
    monkeypatch.setattr(strategies, "join_workers", lambda *given: (done.append(given), strategy)[1])
    monkeypatch.setattr(strategies, "start_replicas", lambda _, **how: SimpleNamespace(devices=("CPU",), how=how))

    def start(threads: int | None, before: Any = None) -> str:
        if before is not None:
            before()
        return "CPU"

    monkeypatch.setattr(strategies.devices, "start", start)
    return done


def test_workers_are_met_then_joined_once(monkeypatch: pytest.MonkeyPatch, joined: list[Any]) -> None:
    set_config(monkeypatch, TWO)
    words, replicas = strategies.start("auto", 1)
    assert words == "CPU, as the chief, worker 0 (10.0.0.1:2222), with worker 1 (10.0.0.2:2222)"
    assert replicas.how.pop("naming_lost_peers").args == (TWO,)
    assert replicas.how == {"worker": 0, "names": ["worker 0 (10.0.0.1:2222)", "worker 1 (10.0.0.2:2222)"]}
    (cluster, versions), join = joined
    assert (cluster, sorted(versions)) == (TWO, ["Python", "TensorFlow", "a number of GPUs of", "gpt2simple"])
    assert join == (TWO.addresses, 0, 27)
    assert strategies.start("multiworker", 1) == (words, replicas)
    assert len(joined) == 2
    set_config(monkeypatch, Cluster(("a:1", "b:2"), 1))
    with pytest.raises(
        BackendError, match=r"^TF_CONFIG has changed, but this process has joined other workers \(10\.0"
    ):
        strategies.start("auto", 1)


def test_the_open_port_is_told(monkeypatch: pytest.MonkeyPatch, joined: list[Any]) -> None:
    set_config(monkeypatch, TWO)
    with collected_messages() as messages:
        strategies.start("auto", None)
    assert messages == [
        "WARNING: while it trains, TensorFlow listens on port 2222 of every network of this machine, without a "
        "password and unencrypted: whoever reaches it can read the text and run programs as you. Train only in a "
        "network that you trust, or through a VPN, and let the firewall open port 2222 to 10.0.0.2 alone."
    ]


def test_the_open_port_on_one_machine(monkeypatch: pytest.MonkeyPatch, joined: list[Any]) -> None:
    set_config(monkeypatch, Cluster(("localhost:2222", "127.0.0.1:2223"), 1))
    waited_for: list[str] = []
    monkeypatch.setattr(strategies, "wait_until_open", lambda address, seconds: waited_for.append(address))
    with collected_messages() as messages:
        words, _ = strategies.start("auto", None)
    assert words == "CPU, as worker 1 (127.0.0.1:2223), with worker 0 (localhost:2222)"
    assert messages[0].startswith("Note: while it trains, TensorFlow listens on port 2223 of every network")
    assert waited_for == ["localhost:2222"]


def test_all_gpus_of_a_worker_are_named(monkeypatch: pytest.MonkeyPatch, joined: list[Any]) -> None:
    names = tuple(f"/job:worker/replica:0/task:0/device:GPU:{number}" for number in range(2))
    monkeypatch.setattr(strategies, "start_replicas", lambda *_, **__: SimpleNamespace(devices=names))
    set_config(monkeypatch, TWO)
    words, _ = strategies.start("auto", None)
    assert words.startswith("2 devices of this machine together (GPU:0, GPU:1), as the chief, worker 0 (10.0.0.1:2222)")


def test_signals_have_their_usual_effect_in_the_block_and_their_handlers_after_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, handler := lambda *_: None)
    try:
        with strategies.usual_signals():
            inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert inside == [signal.SIG_DFL] * 2
        assert signal.getsignal(signal.SIGTERM) is handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with strategies.usual_signals():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_signals_alone() -> None:
    seen: list[Any] = []

    def look() -> None:
        with strategies.usual_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
