"""The estimate before a run: against counts by hand, and what it advises."""

import pytest

from gpt2simple.backend.memory import free_memory
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.memory import choose_gradient_checkpointing, estimate_memory, estimate_seconds_per_step
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


def test_on_a_gpu_the_program_takes_none_of_its_memory_and_a_warning_names_the_gpu():
    on_cpu = estimate()
    on_gpu = estimate_memory(CONFIG_124M, FinetuneSettings(), 1024, 4, gradient_checkpointing=False, on_gpu=True)
    assert on_cpu.total - on_gpu.total == 850_000_000
    asked = CONFIG_124M, FinetuneSettings(), 1024, 4
    assert choose_gradient_checkpointing(*asked, on_cpu.total, on_gpu=True) == (False, None)
    _, remark = choose_gradient_checkpointing(*asked, 1 * GB, on_gpu=True)
    assert remark is not None
    assert "but only 1.0 GB of the GPU are free; it may fail. To reduce memory: " in remark


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
