"""How a fine-tuning call ended, as people read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpt2simple.api.finetune import FinetuneResult

RESULT = FinetuneResult(
    run_dir=Path("checkpoint/run1"), steps=80, reason="patience", best_step=50, best_loss=3.25, best_bits_per_byte=1.5,
    train_loss=2.0, seconds=60.0,
)  # fmt: skip


def test_the_best_step_is_the_one_that_generate_uses() -> None:
    assert (
        "Best held-out loss 3.250 nats/token (1.500 bits/byte) at step 50; generate() uses that step."
        in RESULT.summary()
    )


def test_a_model_that_was_better_before_training_is_said_to_be_so() -> None:
    told = replace(RESULT, best_step=0).summary()
    assert "Held-out loss was lowest before training, 3.250 nats/token (1.500 bits/byte)" in told
    assert "generate() uses the last step, 80" in told
    assert "uses that step" not in told


def test_without_held_out_text_nothing_is_called_best() -> None:
    assert (
        "held-out"
        not in replace(RESULT, best_step=None, best_loss=None, best_bits_per_byte=None, reason="done").summary()
    )
