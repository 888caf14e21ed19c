"""Estimates of the memory and time of a training step.

Counts the tensors that `network` and `optimizer` keep; calibrated against measured peaks (benchmarks/).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gpt2simple.gpt2.config import BLOCK_WEIGHTS, PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.lora import adapter_parameters
from gpt2simple.gpt2.network.attention import FEW_PLACES
from gpt2simple.gpt2.network.loss import LOSS_ROWS, slice_bytes
from gpt2simple.settings import TrainingSettings

_PROGRAM = 950_000_000  # bytes: Python, TensorFlow (437 MB of which are mapped files), graphs and compiled XLA code
_ADAPTED_LAYER = 8_000_000  # what a layer adds to it beside an adapter: graphs, and gaps between tensors
_PROGRAM_ON_GPU = 100_000_000  # working memory of the products; the rest of the program is not in the GPU's memory
_SUGGESTED_RANK = 16
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # of a number of a frozen matrix
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
    embedding = config.n_vocab * width
    trained = config.parameters if config.lora is None else adapter_parameters(config)
    # Per row of a block: float32 input and middle; two norms, queries, keys, values, attention, 2 x 4 in the MLP.
    per_block = rows * width * (2 * 4 + (2 + 4 + 8) * dtype_bytes)
    kept = rows * width * 4 * config.n_layer + per_block if gradient_checkpointing else per_block * config.n_layer
    # Logits and their gradient, some rows of it in float32 twice, and the head's matrix if it is a copy.
    base = "float32" if config.lora is None else config.lora.base
    saves = base == "int8" or (gradient_checkpointing and base != "float32")  # as in `task`; an upper bound there
    slices = min(slice_bytes(embedding, _embedding_bytes(config), least=saves), rows * config.n_vocab * dtype_bytes)
    head = 2 * slices + 8 * min(rows, LOSS_ROWS) * config.n_vocab
    head += embedding * dtype_bytes if dtype_bytes < 4 and not saves else 0
    if targets is not None and targets <= FEW_PLACES:  # scores, their softmax and its gradient, with all keys
        head += 3 * 4 * config.n_head * targets * rows
    if config.lora is None:
        gradients = (trained - embedding) * dtype_bytes + 4 * embedding + per_block
    else:
        gradients = 4 * trained + per_block
    if settings.accumulate_gradients > 1:
        gradients += 4 * trained
        head += 4 * trained
    slots = 0 if settings.optimizer == "sgd" else 2
    program = _PROGRAM_ON_GPU if on_gpu else _PROGRAM + (_ADAPTED_LAYER * config.n_layer if config.lora else 0)
    return MemoryEstimate(weight_bytes(config), 4 * slots * trained, gradients, kept + head, program)


def weight_bytes(config: ModelConfig) -> int:
    """The bytes of a model's variables (`variables.make_variables`)."""
    if config.lora is None:
        return 4 * config.parameters
    embedding = config.n_vocab * config.n_embd
    matrices = config.n_layer * sum(
        math.prod(config.n_embd * n for n in BLOCK_WEIGHTS[f"{name}.weight"]) for name in PROJECTIONS
    )
    each = _BYTES[config.lora.base]
    others = config.parameters - embedding - matrices + adapter_parameters(config)
    return each * matrices + _embedding_bytes(config) * embedding + 4 * others


def _embedding_bytes(config: ModelConfig) -> int:
    """Of a number of the embedding, which is not kept as whole numbers."""
    return 4 if config.lora is None else max(_BYTES[config.lora.base], 2)


def choose_gradient_checkpointing(
    config: ModelConfig, settings: TrainingSettings, window: int, dtype_bytes: int, free: int | None, *,
    on_gpu: bool = False, targets: int | None = None, takes_adapter: bool = True,
) -> tuple[bool, str | None]:  # fmt: skip
    """Whether to recompute activations, and a message if memory decides this or is insufficient.

    Args:
        free: bytes available; None: unknown, without prediction. on_gpu: whether these are a GPU's.
        targets: as for ``estimate_memory``. takes_adapter: whether the run could train an adapter, if it does not.
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
        unasked = (False, True) if requested is False else (True,)
        for (named, other), on in itertools.product(_leaner(config, settings, dtype_bytes, takes_adapter), unasked):
            its = estimate_memory(
                other, settings, window, dtype_bytes, gradient_checkpointing=on, on_gpu=on_gpu, targets=targets
            ).total
            if its <= _MARGIN * free:
                also = more if on else ""
                short += f". What fits: {named}{also}, with about {its / 1e9:.1f} GB"
                break
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


def with_adapter(config: ModelConfig, base: str) -> ModelConfig:
    """A config with an adapter on all projections, its own if it has one; base: see `Lora`."""
    new = Lora(rank=_SUGGESTED_RANK, alpha=2.0 * _SUGGESTED_RANK, targets=tuple(PROJECTIONS))
    return replace(config, lora=replace(config.lora or new, base=base))


def _leaner(
    config: ModelConfig, settings: TrainingSettings, dtype_bytes: int, takes_adapter: bool
) -> Iterator[tuple[str, ModelConfig]]:
    """Settings that need less memory than those of a config, and the configs that they give; the largest first."""
    if config.lora is None and not (takes_adapter and settings.fits_adapter):
        return
    rank = [f"lora_rank={_SUGGESTED_RANK}"] if config.lora is None else []
    kept = 4 if config.lora is None else _BYTES[config.lora.base]
    for base in ("bfloat16", "int8"):
        if _BYTES[base] < kept:
            is_automatic = base == "bfloat16" and dtype_bytes == 2 and rank
            named = [*rank, *([] if is_automatic else [f'base_precision="{base}"'])]
            yield ", ".join(named), with_adapter(config, base)


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
    # Forward, once or twice, and backward; the gradients of frozen weights are not computed.
    back, trained = (4.0, config.parameters) if config.lora is None else (2.0, adapter_parameters(config))
    passes = back + (4.0 if gradient_checkpointing else 2.0)
    products = tokens * (passes * blocks + (back + 2.0) * head) / product_rate
    if element_rate is None:
        return products
    per_token = config.n_layer * (16 * config.n_embd + 2 * config.n_head * window) + 3 * config.n_vocab
    elements = _PER_ELEMENT * tokens * per_token + _PER_PARAMETER * trained
    return products + elements / element_rate + _SECONDS_PER_LAYER * config.n_layer * micro_batches
