"""Which devices and machines train together: chosen, and connected before TensorFlow computes anything."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpt2simple._version import __version__
from gpt2simple.backend import devices
from gpt2simple.backend.cluster import VARIABLE, Cluster, read_cluster, split_address
from gpt2simple.backend.lost_peers import naming_lost_peers, wait_until_open
from gpt2simple.backend.packages import tensorflow_version
from gpt2simple.backend.replicas import ONE, Replicas, mirrored, start_replicas
from gpt2simple.backend.roll_call import NUMBER_OF_GPUS, call_roll
from gpt2simple.backend.tensorflow import has_computed, join_workers, own_context, quiet_stderr, tf
from gpt2simple.errors import BackendError, SettingsError

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 27  # for all workers to get from the roll call to TensorFlow's own first sum: all end within 30
_CHIEF_SECONDS = 10.0  # for the chief's server to listen

_joined: tuple[Cluster, Replicas] | None = None  # a process joins its workers once


def joins(wanted: str, cluster: Cluster | None) -> bool:
    """Whether a setting stands for training with other workers.

    Args:
        cluster: the one in TF_CONFIG, if it names one.

    Raises:
        SettingsError: multiworker was asked for where there are no other workers.
    """
    workers = 1 if cluster is None else cluster.count
    if wanted == "multiworker" and workers == 1:
        raise SettingsError(
            f"strategy is multiworker, but {VARIABLE} {'is not set' if cluster is None else 'names one worker'}. Set "
            "it on every worker, as docs/several.md shows; or try it on this machine: `gpt2simple finetune ... "
            "--workers 2`."
        )
    return wanted in ("auto", "multiworker") and workers > 1


def on_one_machine(wanted: str | None) -> str:
    """The strategy of a call that the workers of TF_CONFIG do not share: all but fine-tuning.

    Nothing asks TensorFlow for its devices here: it reads its options when it is first asked, see `devices.start`.

    Raises:
        SettingsError: multiworker was asked for.
    """
    if wanted == "multiworker":
        raise SettingsError(
            "strategy is multiworker, which is for fine-tuning alone: all other calls compute on one machine. Choose "
            "auto, single or mirrored, or leave strategy out."
        )
    return "single" if wanted == "single" else "mirrored"


@own_context()
def start(wanted: str, threads: int | None) -> tuple[str, Replicas]:
    """Get this process ready to compute: what computes, in words, and the replicas that train together.

    Args:
        wanted: the setting ``strategy``. threads: CPU threads for a computation; None: all cores.

    Raises:
        SettingsError: TF_CONFIG is wrong or missing. WorkerError: a worker is absent or was started differently.
        BackendError: TensorFlow has been used here before, so that no workers can be joined, or other threads.
    """
    cluster = None if wanted in ("single", "mirrored") else read_cluster(os.environ)
    if joins(wanted, cluster):
        assert cluster is not None
        return _with_workers(cluster, threads)
    device = devices.start(threads)
    found = [] if wanted == "single" or (wanted == "auto" and not devices.has_gpu()) else _local_devices()
    if len(found) < 2:
        return device, ONE
    return _together(found), mirrored(tuple(found))


def _local_devices() -> list[str]:
    """All GPUs, or else the parts into which the program has divided the CPU; by TensorFlow's names."""
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


def _together(names: Sequence[str]) -> str:
    short = [name.rpartition("device:")[2] for name in names]
    return f"{len(short)} devices of this machine together ({', '.join(short)})"


def _with_workers(cluster: Cluster, threads: int | None) -> tuple[str, Replicas]:
    global _joined
    if _joined is not None:
        _require_same(cluster, _joined[0])
        return _in_words(cluster, devices.start(threads), _joined[1]), _joined[1]
    if has_computed():
        raise BackendError(
            "TensorFlow has computed in this process already, and can no longer join other workers. Call "
            'gpt2simple.start_session(strategy="multiworker") before anything else that computes; or choose '
            'strategy="single", which leaves TF_CONFIG alone.'
        )
    _tell_of_open_port(cluster)
    made = list[Any]()

    def join() -> None:
        call_roll(cluster, _versions())
        made.append(_join(cluster))

    device = devices.start(threads, join)
    replicas = start_replicas(
        made[0], worker=cluster.index, names=[cluster.name(number) for number in range(cluster.count)],
        naming_lost_peers=functools.partial(naming_lost_peers, cluster),
    )  # fmt: skip
    _joined = cluster, replicas
    return _in_words(cluster, device, replicas), replicas


def _join(cluster: Cluster) -> Any:
    with naming_lost_peers(cluster), usual_signals(), quiet_stderr():
        began = time.monotonic()
        if not cluster.is_chief:  # whose server the others ask first; TensorFlow 2.18 may never hear an answer else
            wait_until_open(cluster.addresses[0], _CHIEF_SECONDS)
        left = _JOIN_SECONDS - round(time.monotonic() - began)
        return join_workers(cluster.addresses, cluster.index, max(left, 1))  # 0 would be no limit


def _require_same(cluster: Cluster, joined: Cluster) -> None:
    if cluster != joined:
        raise BackendError(
            f"{VARIABLE} has changed, but this process has joined other workers ({', '.join(joined.addresses)}), and "
            "stays with them until it ends. Restart Python."
        )


def _in_words(cluster: Cluster, device: str, replicas: Replicas) -> str:
    if len(replicas.devices) > 1:
        device = _together(replicas.devices)
    role = "as the chief, " if cluster.is_chief else "as "
    return f"{device}, {role}{cluster.name(cluster.index)}, with {', '.join(map(cluster.name, cluster.peers))}"


def _versions() -> Mapping[str, str]:
    """What must be the same on all workers for them to compute the same."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "Python": python, "TensorFlow": tensorflow_version() or "unknown", "gpt2simple": __version__,
        NUMBER_OF_GPUS: str(len(devices.found_gpus())),
    }  # fmt: skip


def _tell_of_open_port(cluster: Cluster) -> None:
    """Say that anyone who reaches TensorFlow's port can use it: it asks for no password, on every network."""
    _, port = split_address(cluster.own_address)
    what = (
        f"while it trains, TensorFlow listens on port {port} of every network of this machine, without a password and "
        "unencrypted: whoever reaches it can read the text and run programs as you."
    )
    if cluster.is_local:
        logger.info(f"Note: {what} On a machine or network that others use, let a firewall close the port.")
        return
    hosts = ", ".join(dict.fromkeys(split_address(cluster.addresses[number])[0] for number in cluster.peers))
    logger.warning(
        f"WARNING: {what} Train only in a network that you trust, or through a VPN, and let the firewall open port "
        f"{port} to {hosts} alone."
    )


@contextlib.contextmanager
def usual_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process in the block, in which TensorFlow waits and Python handles no signal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # None: set by a library, which cannot be put back. One that is ignored stays so.
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    changed = {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}
    for number in changed:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
