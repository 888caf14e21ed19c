"""What the processor says that it can do, where the system tells it. Knows no TensorFlow."""

from __future__ import annotations

from pathlib import Path

# The instructions that multiply bfloat16, the fastest first. AVX-NE-CONVERT only converts it.
BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")


def read_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """The flags of an x86 processor; None where they cannot be read.

    Linux has them for x86 under "flags". Those of other processors have other names ("Features") and meanings, and are
    not given: whether TensorFlow uses what an Arm processor has there depends on how it was built.

    Args:
        cpuinfo: the system's description of its processors.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # macOS, Windows, or a container that hides it
        return None
    for line in text.splitlines():  # one for each core, all alike
        name, _, values = line.partition(":")
        if name.strip() == "flags":
            return frozenset(values.split()) or None
    return None
