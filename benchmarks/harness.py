"""What benchmarks share: facts about machine and process, medians with spread, the result file, the last JSON line."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def environment(*packages: str) -> dict[str, Any]:
    """Machine, Python, commit and the versions of some installed packages."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
    }


def median_and_spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of some figures."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "runs": len(values)}


def finish(name: str, facts: dict[str, Any], result: dict[str, Any]) -> Path:
    """Write `results/<date>-<commit>-<machine>-<name>.json` and print the same as the last line.

    Args:
        name: of the benchmark.
        facts: from `environment`.
        result: what was measured, as JSON values.
    """
    document = {"benchmark": name, **facts, **result}
    machine = re.sub(r"\W+", "-", str(facts["cpu"])).strip("-").lower()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{facts['date']}-{facts['commit']}-{facts['cores']}core-{machine}-{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document))
    return path


def process_memory(line: str) -> int:
    """Bytes of this process on Linux: VmRSS now, VmHWM at most.

    getrusage would tell the parent's highest memory where that is higher; it serves where the parent is small.
    """
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, f"no {line} in /proc/self/status"
    return int(found[1]) * 1024


def _commit() -> str:
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=RESULTS.parent).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
