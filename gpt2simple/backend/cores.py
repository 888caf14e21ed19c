"""How many cores this process may use. Knows nothing of TensorFlow."""

from __future__ import annotations

import os


def usable_cores() -> int | None:
    """The cores that the system lets this process use, on systems that say so, else all; None: not known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
