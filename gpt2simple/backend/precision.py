"""The precision that a session works in, and why: from the GPU, or from the flags of the processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpt2simple.backend.devices import found_gpus
from gpt2simple.backend.speed import best_in_turns, timed_product
from gpt2simple.backend.tensorflow import uses_onednn

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


_WORTHWHILE = 1.3  # times faster than float32, for 16 bits to be chosen on a CPU


@dataclass(frozen=True)
class Precision:
    """A precision for training, generating and measuring, and why it was chosen.

    Attributes:
        training: dtype name of the matrix products. generating: the same where the user chose it, or "int8"; else
            float32 on a CPU. measuring: the same where the user chose it, else float32, in which published figures are.
        reason: of the choice for training, one clause for the user.
        named: whether the user chose that of training.
    """

    training: str
    generating: str
    reason: str
    named: bool = False

    @property
    def measuring(self) -> str:
        return self.training if self.named else "float32"

    def decoding(self, *, kept: str) -> str:
        """The precision to generate in with weights that are kept in one: in 16 and 8 bits as for training."""
        return self.generating if kept == "float32" else self.training

    @property
    def in_words(self) -> str:
        """What is used and why, to follow "Computing on ..."."""
        if self.generating == self.training:
            return f"in {self.training}: {self.reason}"
        generating = f"in {self.generating} for generating text"
        if self.generating == "int8":
            generating = "with int8 weights for generating text, as requested,"
        return f"{generating} and in {self.training} for training: {self.reason}"


def choose_precision(requested: str) -> Precision:
    """The precision that a session works in.

    Args:
        requested: "auto", "float32", "bfloat16", "float16", or "int8" (for generating; training is then as "auto").
    """
    if requested not in ("auto", "int8"):
        return Precision(requested, requested, "as requested", named=True)
    gpus = found_gpus()
    chosen, reason = precision_for_capability(gpus[0].capability) if gpus else _for_this_processor()
    # On a CPU float32 is exact, faster than 16 bits for several texts and, thanks to its draft, nearly as fast for one.
    generating = "int8" if requested == "int8" else chosen if gpus else "float32"
    return Precision(chosen, generating, reason)


def precision_for_capability(capability: tuple[int, int] | None) -> tuple[str, str]:
    """The precision for a GPU of this CUDA compute capability, and why."""
    if capability is None:
        return "float32", "the GPU does not report its capability"
    label = f"a GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return "bfloat16", f"{label} has bfloat16 units"
    if capability >= (7, 0):
        return "float16", f"{label} has float16 units; the loss is scaled"
    return "float32", f"{label} has no units for 16 bits"


def _for_this_processor() -> tuple[str, str]:
    # Only oneDNN multiplies with the units that the flags name; TF_ENABLE_ONEDNN_OPTS=0 turns it off.
    return precision_for_processor(read_flags() if uses_onednn() else None, _measured_gain)


def precision_for_processor(flags: frozenset[str] | None, measured_gain: Callable[[], float]) -> tuple[str, str]:
    """The precision for a CPU, and why: by its flags, which no other program can change, before any measurement.

    Args:
        flags: of the processor; None: unknown, or of no use.
        measured_gain: how many times faster bfloat16 products are than those in float32; called only without flags.
    """
    if flags is not None:
        units = next((name for name in BFLOAT16_UNITS if name in flags), None)
        if units is None:
            return "float32", "this processor has no bfloat16 units"
        return "bfloat16", f"this processor has bfloat16 units ({units})"
    gain = measured_gain()
    if gain >= _WORTHWHILE:
        return "bfloat16", f"measured here, its products are {gain:.1f} times as fast as those in float32"
    return "float32", f"measured here, products in bfloat16 are only {gain:.1f} times as fast"


def _measured_gain() -> float:
    single, half = best_in_turns([timed_product("float32"), timed_product("bfloat16")])
    return single / half
