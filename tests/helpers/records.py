"""Records of an invented run, for the tests of whoever watches one."""

from __future__ import annotations

import math
from pathlib import Path

from gpt2simple.runs.records import EndRecord, EvaluationRecord, LanguageFigures, RunPlan, SampleRecord, StepRecord


def plan(run_dir: Path, *, first_step: int = 0, last_step: int | None = 100, print_every: int = 10) -> RunPlan:
    return RunPlan(
        model_name="tiny", run_dir=run_dir, first_step=first_step, last_step=last_step, steps_per_epoch=40.0,
        tokens_per_step=256, parameters=3_000_000, train_tokens=10_240, held_out_tokens=1_000, print_every=print_every,
    )  # fmt: skip


def step(number: int, loss: float = 3.5, smoothed: float | None = None) -> StepRecord:
    return StepRecord(
        step=number, epoch=number / 40, loss=loss, smoothed_loss=loss if smoothed is None else smoothed,
        learning_rate=1e-4, gradient_norm=0.5, tokens=number * 256, seconds=number * 0.5, tokens_per_second=512.0,
    )  # fmt: skip


def evaluation(number: int, loss: float, *, is_best: bool, train_loss: float = 3.0) -> EvaluationRecord:
    figures = LanguageFigures(nats=loss * 1_000, target_tokens=1_000, target_bytes=4_000)
    return EvaluationRecord(
        step=number, epoch=number / 40, figures=figures, train_loss=train_loss, is_best=is_best, seconds=number * 0.5,
    )  # fmt: skip


def sample(number: int, text: str = "HAMLET. To be.") -> SampleRecord:
    return SampleRecord(step=number, text=text)


def end(number: int, reason: str = "finished", best_step: int | None = None) -> EndRecord:
    return EndRecord(step=number, reason=reason, best_step=best_step, resume_hint="Run finetune() again to go on.")


def overfitted_run(n_steps: int = 600, every: int = 50) -> tuple[list[StepRecord], list[EvaluationRecord]]:
    """A run whose held-out loss is lowest at step 200 and rises from there while training loss goes on falling."""
    steps, evaluations, best = [], [], math.inf
    for number in range(1, n_steps + 1):
        mean = 0.6 + 4.0 * math.exp(-number / 150)
        noise = 0.25 * math.sin(number * 12.9898) * math.cos(number * 78.233)
        steps.append(step(number, mean + noise, smoothed=mean + 0.05))
        if number % every == 0:
            held_out = 2.6 + 2.2 * math.exp(-number / 70) + 0.0022 * max(0, number - 200)
            evaluations.append(evaluation(number, held_out, is_best=held_out < best, train_loss=mean))
            best = min(best, held_out)
    return steps, evaluations
