"""Estimates of the memory and time of a training step.

Counts the tensors that `network` and `optimizer` keep; calibrated against measured peaks (benchmarks/).
"""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.attention import FEW_PLACES
from gpt2simple.gpt2.network.loss import LOSS_ROWS, SLICE_BYTES
from gpt2simple.settings import TrainingSettings

_PROGRAM = 950_000_000  # bytes: Python, TensorFlow (437 MB of which are mapped files), graphs and compiled XLA code
_PROGRAM_ON_GPU = 100_000_000  # working memory of the products; the rest of the program is not in the GPU's memory
_GAPS = 1.06  # allocator overhead: TensorFlow held 2.34 GB for tensors of 2.20 GB
_MARGIN = 0.9  # usable share of the free memory
_PER_ELEMENT, _PER_PARAMETER = 2.2, 3.1  # exponentials that take as long as what a step does to one of them
_SECONDS_PER_LAYER = 0.004  # to start a layer's operations, forward and backward


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak bytes of a step by purpose.

    Activations peak when the loss is computed, gradients at the end of the backward pass: not at the same time.
    Compared with measured peaks on a CPU only; a GPU holds the same tensors (benchmarks/gpu_check.py compares there).
    """

    weights: int
    optimizer: int
    gradients: int
    activations: int
    program: int

    @property
    def total(self) -> int:
        return self.program + round(_GAPS * (self.weights + self.optimizer + max(self.gradients, self.activations)))


def estimate_memory(
    config: ModelConfig, settings: TrainingSettings, window: int, dtype_bytes: int, *,
    gradient_checkpointing: bool, on_gpu: bool = False, targets: int | None = None,
) -> MemoryEstimate:  # fmt: skip
    """Peak memory of training with these settings.

    Args:
        window: tokens per window. dtype_bytes: 2 or 4, of the matrix products.
        gradient_checkpointing: whether activations of blocks are recomputed. on_gpu: whether a GPU's memory is meant.
        targets: of a packed batch, at most, where the last block computes these alone; None: all tokens are targets.
    """
    rows, width = settings.batch_size * window, config.n_embd
    parameters, embedding = config.parameters, config.n_vocab * width
    matrices = parameters - embedding
    # Per row of a block: float32 input and middle; two norms, queries, keys, values, attention, 2 x 4 in the MLP.
    per_block = rows * width * (2 * 4 + (2 + 4 + 8) * dtype_bytes)
    kept = rows * width * 4 * config.n_layer + per_block if gradient_checkpointing else per_block * config.n_layer
    # Logits and their gradient, some rows of it in float32 twice, and the head's matrix if it is a copy.
    head = 2 * min(SLICE_BYTES, rows * config.n_vocab * dtype_bytes) + 8 * min(rows, LOSS_ROWS) * config.n_vocab
    head += embedding * dtype_bytes if dtype_bytes < 4 else 0
    if targets is not None and targets <= FEW_PLACES:  # scores, their softmax and its gradient, with all keys
        head += 3 * 4 * config.n_head * targets * rows
    gradients = matrices * dtype_bytes + 4 * embedding + per_block
    if settings.accumulate_gradients > 1:
        gradients += 4 * parameters
        head += 4 * parameters
    slots = 0 if settings.optimizer == "sgd" else 2
    program = _PROGRAM_ON_GPU if on_gpu else _PROGRAM
    return MemoryEstimate(4 * parameters, 4 * slots * parameters, gradients, kept + head, program)


def choose_gradient_checkpointing(
    config: ModelConfig, settings: TrainingSettings, window: int, dtype_bytes: int, free: int | None, *,
    on_gpu: bool = False, targets: int | None = None,
) -> tuple[bool, str | None]:  # fmt: skip
    """Whether to recompute activations, and a message if memory decides this or is insufficient.

    Args:
        free: bytes available; None: unknown, without prediction. on_gpu: whether these are a GPU's.
        targets: as for ``estimate_memory``.
    """
    plain, saving = (
        estimate_memory(
            config, settings, window, dtype_bytes, gradient_checkpointing=on, on_gpu=on_gpu, targets=targets
        ).total
        for on in (False, True)
    )
    requested = settings.gradient_checkpointing
    gradient_checkpointing = requested if requested is not None else free is not None and plain > _MARGIN * free
    needed = saving if gradient_checkpointing else plain
    if free is not None and needed > _MARGIN * free:
        more = "" if gradient_checkpointing else ", gradient_checkpointing=True"
        short = "of the GPU are free; it may fail" if on_gpu else "are free; the system may stop it"
        return gradient_checkpointing, (
            f"Training will need about {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB {short}. To reduce memory: "
            f"a smaller batch_size, a shorter window{more}, or a smaller model_name."
        )
    if gradient_checkpointing and requested is None:
        return True, (
            f"Gradient checkpointing is on: training needs about {saving / 1e9:.1f} GB with it, "
            f"{plain / 1e9:.1f} GB without it."
        )
    return gradient_checkpointing, None


def estimate_seconds_per_step(
    config: ModelConfig, settings: TrainingSettings, window: int, product_rate: float, element_rate: float | None, *,
    gradient_checkpointing: bool = False,
) -> float:  # fmt: skip
    """Estimated seconds per optimizer step: of its products, its element-wise operations, and of starting them all.

    The weights of the three were fitted to steps of 0.04 to 3.6 s, of 4 to 124 million parameters in float32 and
    bfloat16, on two cores of an Intel Xeon; no estimate was further off than 20 %.

    Args:
        window: tokens per window. gradient_checkpointing: whether activations of blocks are recomputed.
        product_rate: floating-point operations per second of a large matrix product on this device.
        element_rate: exponentials per second; None: products alone, the least that a step takes (on a GPU).
    """
    micro_batches = settings.accumulate_gradients
    tokens = settings.batch_size * micro_batches * window
    head = config.n_vocab * config.n_embd
    attention = config.n_layer * window * config.n_embd  # half of the square: causal
    blocks = config.parameters - config.n_ctx * config.n_embd - head + attention
    passes = 8.0 if gradient_checkpointing else 6.0  # forward twice, backward
    products = tokens * (passes * blocks + 6.0 * head) / product_rate
    if element_rate is None:
        return products
    per_token = config.n_layer * (16 * config.n_embd + 2 * config.n_head * window) + 3 * config.n_vocab
    elements = _PER_ELEMENT * tokens * per_token + _PER_PARAMETER * config.parameters
    return products + elements / element_rate + _SECONDS_PER_LAYER * config.n_layer * micro_batches
