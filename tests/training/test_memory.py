"""The estimate before a run: against counts by hand, and what it advises."""

import pytest

from gpt2simple.backend.memory import free_memory
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.lora import adapter_parameters
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.memory import (
    choose_gradient_checkpointing,
    estimate_memory,
    estimate_seconds_per_step,
    with_adapter,
)
from tests.helpers.weight_layouts import CONFIG_124M

PARAMETERS = 124_439_808
GB = 1e9


def estimate(settings=None, dtype_bytes=4, gradient_checkpointing=False):
    return estimate_memory(
        CONFIG_124M, settings or FinetuneSettings(), 1024, dtype_bytes, gradient_checkpointing=gradient_checkpointing
    )


def test_weights_and_moments_are_four_bytes_each():
    found = estimate()
    assert found.weights == 4 * PARAMETERS
    assert found.optimizer == 8 * PARAMETERS
    assert estimate(FinetuneSettings(optimizer="sgd")).optimizer == 0
    assert found.total > found.weights + found.optimizer + max(found.gradients, found.activations)


def test_in_16_bits_gradients_matrices_are_half_as_large_and_weights_are_not():
    matrices = PARAMETERS - 50257 * 768
    single, half = estimate(), estimate(dtype_bytes=2)
    assert half.weights == single.weights
    per_block = 1024 * 768 * 14
    assert single.gradients - half.gradients == 2 * (matrices + per_block)


def test_accumulation_keeps_the_sums_beside_the_new_gradients():
    assert estimate(FinetuneSettings(accumulate_gradients=2)).gradients - estimate().gradients == 4 * PARAMETERS


def test_attention_at_a_few_targets_is_counted():
    settings = FinetuneSettings(batch_size=64)
    every, few = (
        estimate_memory(CONFIG_124M, settings, 50, 4, gradient_checkpointing=False, targets=targets).activations
        for targets in (None, 64)
    )
    assert few - every == 3 * 4 * 12 * 64 * (64 * 50)  # scores, softmax, gradient: float32 [12 heads, 64, 3,200]
    many = estimate_memory(CONFIG_124M, settings, 50, 4, gradient_checkpointing=False, targets=129)
    assert many.activations == every  # computed in blocks, as all tokens are


def test_activations_grow_with_rows_and_shrink_with_checkpointing():
    one, four = estimate(), estimate(FinetuneSettings(batch_size=4))
    rows = 1024 * 768
    per_layer = (four.activations - one.activations) / 3 / 12
    assert per_layer == pytest.approx((8 + 14 * 4) * rows)  # what the comment on a block adds up to
    assert estimate(gradient_checkpointing=True).activations < 0.7 * one.activations


def test_a_step_of_124m_is_of_the_measured_size():
    """Within 8 % of the peaks of 1 x 1,024 tokens that were seen (benchmarks/results)."""
    assert estimate(dtype_bytes=2).total == pytest.approx(3.4 * GB, rel=0.08)


def choose(free, **settings):
    return choose_gradient_checkpointing(CONFIG_124M, FinetuneSettings(**settings), 1024, 4, free)


def test_with_enough_memory_nothing_is_recomputed_or_said():
    assert choose(64 * GB) == (False, None)
    assert choose(None) == (False, None)  # unknown: nothing is predicted


def test_recomputing_is_chosen_where_that_makes_it_fit():
    plain, saving = (estimate(FinetuneSettings(batch_size=4), gradient_checkpointing=c).total for c in (False, True))
    gradient_checkpointing, remark = choose((plain + saving) / 2 / 0.9, batch_size=4)
    assert gradient_checkpointing
    assert remark is not None
    assert remark.startswith("Gradient checkpointing is on: training needs about ")


def test_a_warning_names_the_settings_that_help():
    gradient_checkpointing, remark = choose(1 * GB)
    assert gradient_checkpointing
    assert remark is not None
    assert "1.0 GB are free; the system may stop it. To reduce memory: a smaller batch_size, " in remark
    assert "gradient_checkpointing=True" not in remark
    off, remark = choose(1 * GB, gradient_checkpointing=False)
    assert not off
    assert "a shorter window, gradient_checkpointing=True, or a smaller model_name." in remark


LARGE = ModelConfig(n_vocab=50257, n_ctx=1024, n_embd=1280, n_head=20, n_layer=36)


def test_frozen_weights_have_no_moments_and_take_what_their_precision_takes():
    full, *bases = (
        estimate_memory(config, FinetuneSettings(), 1024, 2, gradient_checkpointing=True)
        for config in (LARGE, *(with_adapter(LARGE, base) for base in ("float32", "bfloat16", "int8")))
    )
    adapter = adapter_parameters(with_adapter(LARGE, "int8"))
    matrices, embedding = 36 * 12 * 1280**2, 50257 * 1280
    others = LARGE.parameters - matrices - embedding
    assert [each.weights - 4 * (adapter + others) for each in bases] == [
        4 * (matrices + embedding), 2 * (matrices + embedding), matrices + 2 * embedding
    ]  # fmt: skip
    assert {each.optimizer for each in bases} == {8 * adapter}
    # The head of a base in float32 takes what it takes in full; of another no copy is made, and fewer scores are held.
    assert bases[0].activations == full.activations > bases[1].activations == bases[2].activations
    assert full.total > bases[0].total > bases[1].total > bases[2].total


@pytest.mark.parametrize(
    ("sizes", "base", "measured"),
    [
        ((50257, 1024, 1024, 16, 24), "bfloat16", 2.16),
        ((50257, 1024, 1280, 20, 36), "int8", 2.65),
        ((50257, 1024, 1600, 25, 48), "int8", 3.84),
    ],
)
def test_a_run_with_an_adapter_is_of_the_measured_size(sizes, base, measured):
    """Peaks of the whole process in 1 x 1,024 tokens (benchmarks/lora_memory.py), within 15 %."""
    config = ModelConfig(**dict(zip(("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"), sizes, strict=True)))
    found = estimate_memory(with_adapter(config, base), FinetuneSettings(), 1024, 2, gradient_checkpointing=True)
    assert found.total / GB == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(
    ("free", "dtype_bytes", "named"),
    [
        (6.0, 2, "What fits: lora_rank=16, with about "),
        (6.0, 4, 'What fits: lora_rank=16, base_precision="bfloat16", with about '),
        (3.2, 2, 'What fits: lora_rank=16, base_precision="int8", with about '),
    ],
)
def test_a_warning_names_the_adapter_that_fits(free, dtype_bytes, named):
    _, remark = choose_gradient_checkpointing(LARGE, FinetuneSettings(), 1024, dtype_bytes, free * GB)
    assert remark is not None
    assert named in remark
    assert f"{free} GB are free; the system may stop it. What fits" in remark
    assert float(remark.split("with about ")[1].split(" GB")[0]) < 0.9 * free
    assert "GB. To reduce memory: a smaller batch_size, " in remark


def test_a_warning_of_a_run_with_an_adapter_names_a_smaller_base_if_there_is_one():
    asked = FinetuneSettings(), 1024, 2, 3.2 * GB
    _, remark = choose_gradient_checkpointing(with_adapter(LARGE, "bfloat16"), *asked)
    assert remark is not None
    assert 'What fits: base_precision="int8", with about 2.' in remark
    _, remark = choose_gradient_checkpointing(with_adapter(LARGE, "int8"), *asked[:3], 2.0 * GB)
    assert remark is not None
    assert "What fits" not in remark


@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ({"takes_adapter": False}, {}),
        ({}, {"restore_from": "random"}),
        ({}, {"train_last_n_layers": 2}),
        ({}, {"only_train_transformer_layers": True}),
    ],
)
def test_no_adapter_is_named_to_a_run_that_cannot_take_one(how, settings):
    asked = LARGE, FinetuneSettings(**settings), 1024, 2, 6.0 * GB
    _, remark = choose_gradient_checkpointing(*asked, **how)
    assert remark is not None
    assert "What fits" not in remark
    _, remark = choose_gradient_checkpointing(with_adapter(LARGE, "bfloat16"), *asked[1:4], 3.2 * GB, **how)
    assert remark is not None
    assert 'What fits: base_precision="int8", with about 2.' in remark


def test_gradient_checkpointing_is_named_where_it_was_refused_and_is_needed():
    refused = FinetuneSettings(gradient_checkpointing=False)
    _, remark = choose_gradient_checkpointing(LARGE, refused, 1024, 2, 5.0 * GB)
    assert remark is not None
    assert "What fits: lora_rank=16, gradient_checkpointing=True, with about " in remark
    _, remark = choose_gradient_checkpointing(LARGE, refused, 1024, 2, 6.0 * GB)
    assert remark is not None
    assert "What fits: lora_rank=16, with about " in remark


def test_a_step_of_an_adapter_computes_no_gradients_of_frozen_weights():
    full, lora = (
        estimate_seconds_per_step(config, FinetuneSettings(), 1024, 1e12, None, gradient_checkpointing=False)
        for config in (CONFIG_124M, with_adapter(CONFIG_124M, "bfloat16"))
    )
    assert lora == pytest.approx(full * 4 / 6)


def test_on_a_gpu_the_program_takes_none_of_its_memory_and_a_warning_names_the_gpu():
    on_cpu = estimate()
    on_gpu = estimate_memory(CONFIG_124M, FinetuneSettings(), 1024, 4, gradient_checkpointing=False, on_gpu=True)
    assert on_cpu.total - on_gpu.total == 850_000_000
    asked = CONFIG_124M, FinetuneSettings(), 1024, 4
    assert choose_gradient_checkpointing(*asked, on_cpu.total, on_gpu=True) == (False, None)
    _, remark = choose_gradient_checkpointing(*asked, 0.3 * GB, on_gpu=True)
    assert remark is not None
    assert "but only 0.3 GB of the GPU are free; it may fail. To reduce memory: " in remark


def test_what_was_asked_for_is_done():
    assert choose(64 * GB, gradient_checkpointing=True) == (True, None)


def test_free_memory_is_a_number_of_bytes():
    found = free_memory(0)
    assert found is not None
    assert 10_000_000 < found < 1 << 50


def test_seconds_follow_from_operations_and_speed():
    """6 operations a token and weight; attention adds half of its square. 1,024 tokens of 124M: 0.82 TFLOP."""
    one, two = FinetuneSettings(), FinetuneSettings(accumulate_gradients=2)
    products = estimate_seconds_per_step(CONFIG_124M, one, 1024, 1e12, None)
    assert products == pytest.approx(0.82, rel=0.02)
    assert estimate_seconds_per_step(CONFIG_124M, two, 1024, 1e12, None) == pytest.approx(2 * products)
    saving = estimate_seconds_per_step(CONFIG_124M, one, 1024, 1e12, None, gradient_checkpointing=True)
    assert saving == pytest.approx(products + 2 * 1024 * (85e6 + 12 * 1024 * 768) / 1e12, rel=0.01)
    whole, slower = (estimate_seconds_per_step(CONFIG_124M, one, 1024, 1e12, rate) for rate in (1e9, 5e8))
    assert slower - whole == pytest.approx(whole - products, rel=0.1)  # but for what starting the operations takes
    assert whole < estimate_seconds_per_step(CONFIG_124M, two, 1024, 1e12, 1e9) < 2 * whole  # weights change once


@pytest.mark.parametrize(
    ("sizes", "window", "product_rate", "measured"),
    [
        ((4096, 512, 192, 6, 6), 512, 1397e9, 0.107),
        ((4096, 512, 192, 6, 6), 64, 1397e9, 0.036),
        ((2048, 512, 384, 6, 6), 512, 313e9, 0.276),
        ((50257, 1024, 768, 12, 12), 256, 1397e9, 0.582),
        ((50257, 1024, 768, 12, 12), 1024, 1397e9, 1.497),
        ((50257, 1024, 768, 12, 12), 1024, 313e9, 3.582),
    ],
)
def test_seconds_are_about_what_steps_took(sizes, window, product_rate, measured):
    """On two cores of an Intel Xeon with units for bfloat16, 1.62e9 exponentials per second; 2026-11-26."""
    config = ModelConfig(**dict(zip(("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"), sizes, strict=True)))
    seconds = estimate_seconds_per_step(config, FinetuneSettings(), window, product_rate, 1.62e9)
    assert 0.8 < seconds / measured < 1.25
