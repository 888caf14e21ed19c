"""How a fine-tuning call ended, as people read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpt2simple.api.result import FinetuneResult

RESULT = FinetuneResult(
    run_dir=Path("checkpoint/run1"), steps=80, reason="patience", best_step=50, best_loss=3.25, best_bits_per_byte=1.5,
    evaluations_since_best=3, train_loss=2.0, seconds=60.0,
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


@pytest.mark.parametrize(
    ("evaluations", "times"),
    [(0, "not been evaluated since"), (1, "not improved in one evaluation"), (2, "not improved in two evaluations")],
)
def test_a_run_interrupted_after_a_few_steps_is_not_said_to_have_failed(evaluations: int, times: str) -> None:
    early = replace(RESULT, best_step=0, steps=12, reason="interrupted", evaluations_since_best=evaluations)
    assert (
        f"Held-out loss was 3.250 nats/token (1.500 bits/byte) before training and has {times}: too few steps to tell "
        "whether the model improves. generate() uses the last step, 12."
    ) in early.summary()
    assert "did not improve" not in early.summary()


def test_the_unit_of_the_training_loss_is_the_task_s() -> None:
    unmeasured = replace(RESULT, best_step=None, best_loss=None, best_bits_per_byte=None)
    assert "Final training loss: 2.000 nats/token." in unmeasured.summary()
    assert "Final training loss: 2.000 nats/text." in replace(unmeasured, target="text").summary()


def test_without_held_out_text_nothing_is_called_best() -> None:
    assert (
        "held-out"
        not in replace(RESULT, best_step=None, best_loss=None, best_bits_per_byte=None, reason="done").summary()
    )


def test_a_samples_folder_is_named_only_where_there_is_one(tmp_path: Path) -> None:
    result = replace(RESULT, run_dir=tmp_path)
    assert f"Curves: {tmp_path / 'loss.png'}." in result.summary()
    (tmp_path / "samples").mkdir()
    assert f"Curves: {tmp_path / 'loss.png'}; samples: {tmp_path / 'samples'}." in result.summary()
