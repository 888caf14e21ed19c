"""What a session writes and measures, by a process of so many virtual devices: `python -m tests.helpers.shared_calls`.

Its arguments are the number of devices and the calls, as JSON; it prints what came of each, and to which devices
weights were copied.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers.paths import ROOT


def computed(folder: Path, devices: int, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """What the process prints: "results", "copied" and "devices"."""
    command = [sys.executable, "-m", "tests.helpers.shared_calls", str(devices), json.dumps(calls)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main(devices: int, calls: list[dict[str, Any]]) -> None:
    import gpt2simple
    from gpt2simple.backend import sharing
    from gpt2simple.backend.tensorflow import tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    original, copies = sharing.copied, list[str]()

    def counted(values: Any, device: str) -> Any:
        copies.append(device.rpartition("device:")[2])
        return original(values, device)

    sharing.copied = counted
    results = []
    for call in calls:
        session = gpt2simple.start_session(strategy="mirrored", precision="float32", **call["session"])
        found = getattr(session, call["function"])(*call.get("arguments", ()), **call["settings"])
        results.append(found if isinstance(found, list) else found.to_json())
        session.close()
    names = [name.name for name in tf.config.list_logical_devices("CPU")]
    places = list(sharing.in_order(lambda _, item: (tf.constant(item) + 1).device[-5:], range(2), names))
    print(json.dumps({"results": results, "copied": copies, "devices": places}))


if __name__ == "__main__":
    _main(int(sys.argv[1]), json.loads(sys.argv[2]))
