"""A run by real processes that train together on this machine, or on two virtual devices of one: `python -m
tests.helpers.replicated_runs CALLS`.

CALLS is a file with the calls of a process, as JSON, and where it leaves what came of each: its result, and the weights
that the session holds afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.backend.cluster import Cluster, local_addresses
from tests.helpers.paths import ROOT

_SECONDS = 300  # at most; a worker whose peer is gone would wait for long


@dataclass
class Ended:
    """What is left of a process: its exit code, its messages, and the results and weights of its calls."""

    code: int
    messages: str
    results: list[dict[str, Any]]
    weights: list[dict[str, np.ndarray]]


def call(dataset: str, run_name: str, *, function: str = "finetune", **settings: Any) -> dict[str, Any]:
    """A call of a session; ``stop``: (worker, step, "callback" or a signal's name), how and where it is stopped."""
    return {"dataset": dataset, "run_name": run_name, "function": function, "settings": settings}


def one_process(folder: Path, *calls: Mapping[str, Any], devices: int = 1) -> Ended:
    """The calls by one process, on so many virtual devices."""
    return _finish(*_start(folder, calls, f"one-{devices}", {"devices": devices}))


def several_processes(folder: Path, *calls: Mapping[str, Any], workers: int = 2, **of_one: Any) -> list[Ended]:
    """The calls by several processes; of_one: number of a worker as "worker_1" -> its calls, where they are others."""
    addresses = local_addresses(workers)
    started = [
        _start(folder, of_one.get(f"worker_{n}", calls), f"worker-{n}", {"addresses": addresses, "index": n})
        for n in range(workers)
    ]
    return [_finish(*each) for each in started]


def _start(
    folder: Path, calls: Sequence[Mapping[str, Any]], name: str, how: Mapping[str, Any]
) -> tuple[subprocess.Popen[str], Path]:
    place = folder / name
    place.mkdir(exist_ok=True)
    for old in place.glob("*.npz"):
        old.unlink()
    (place / "calls.json").write_text(json.dumps({**how, "calls": calls, "place": str(place)}))
    command = [sys.executable, "-m", "tests.helpers.replicated_runs", str(place / "calls.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(place / "cache")}
    with (place / "messages").open("w") as messages:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=messages, stdout=messages, text=True)
    return process, place


def _finish(process: subprocess.Popen[str], place: Path) -> Ended:
    try:
        process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    messages = (place / "messages").read_text(encoding="utf-8", errors="replace")
    kept = sorted(place.glob("*.npz"))
    weights = [dict(np.load(path)) for path in kept]
    results = [json.loads(path.with_suffix(".json").read_text()) for path in kept]
    return Ended(process.returncode, messages, results, weights)


def furthest(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """The largest difference between weights by name."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name].astype(np.float64) - other[name].astype(np.float64)).max()) for name in one)


def _main(path: str) -> None:
    wanted = json.loads(Path(path).read_text())
    import gpt2simple  # here: after the environment is set
    from gpt2simple.backend.keras import keras
    from gpt2simple.backend.tensorflow import tf

    index, addresses, devices = wanted.get("index", 0), wanted.get("addresses", []), wanted.get("devices", 1)
    if addresses:
        os.environ["TF_CONFIG"] = Cluster(tuple(addresses), index).to_json()
    elif devices > 1:
        configurations = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], configurations)
    strategy = "mirrored" if devices > 1 else "auto"

    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        """Stops the run after a step, counted from 1, of this process."""

        def __init__(self, step: int, how: str) -> None:
            super().__init__()
            self.left, self.how = step, how

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.left -= 1
            if self.left == 0 and self.how == "callback":
                self.model.stop_training = True
            elif self.left == 0:
                os.kill(os.getpid(), getattr(signal, self.how))

    place = Path(wanted["place"])
    # All but the chief are given a folder of their own, which stays empty: workers need not share a disk.
    folder = place / "checkpoint" if index else Path("checkpoint")
    for number, each in enumerate(wanted["calls"]):
        settings = dict(each["settings"])
        stopping, step, how = settings.pop("stop", (None, 0, ""))
        callbacks = [Stop(step, how)] if stopping == index else []
        with gpt2simple.start_session(
            model_name="small",
            run_name=each["run_name"],
            precision="float32",
            checkpoint_dir=folder,
            strategy=strategy,
        ) as session:
            result = getattr(session, each["function"])(each["dataset"], callbacks=callbacks, **settings)
            held = {name: variable.numpy() for name, variable in session._in_memory().variables.items()}
        told = {name: value for name, value in result.to_json().items() if name not in ("test", "control")}
        (place / f"{number}.json").write_text(json.dumps(told))
        np.savez(place / f"{number}.npz", **held)
    assert not index or not folder.exists() or not any(folder.rglob("*")), "only the chief writes"


if __name__ == "__main__":
    _main(sys.argv[1])
