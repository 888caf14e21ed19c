"""Records of an invented run, and a run's folder, but for the weights, with curves and samples of known answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gpt2simple.data.encode import encode_corpus
from gpt2simple.runs import samples
from gpt2simple.runs.description import RunDescription, RunInfo
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.records import EndRecord, EvaluationRecord, LanguageFigures, RunPlan, SampleRecord, StepRecord
from gpt2simple.settings import FinetuneSettings, TextSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer

# Losses on held-out text in nats per token, at every tenth step.
OVERTRAINED = [4.0, 3.5, 3.2, 3.4, 3.8, 4.4]
HEALTHY = [4.0, 3.5, 3.2, 3.0, 2.9, 2.85]


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


def make_run(folder: Path, text: Path, held_out: list[float], written: list[str], **settings: Any) -> Path:
    """The folder of a run on a text.

    Args:
        held_out: losses at every tenth step. written: samples, one every ten steps. settings: of the run.
    """
    folder.mkdir(parents=True)
    tokenizer = byte_tokenizer()
    tokenizer.save(folder)
    (folder / "config.json").write_text(json.dumps(SMALL_CONFIG.to_huggingface(256)))
    of_text = TextSettings(cache_dir=str(folder.parent / "cache"))
    corpus = encode_corpus(str(text), tokenizer, of_text)
    description = RunDescription(
        model_name="small <model>",
        settings=FinetuneSettings(**settings),
        text_settings=of_text,
        data_fingerprint=corpus.fingerprint,
        data_summary={"sources": [str(text)], "documents": 1, "tokens": corpus.tokens},
        tokenizer_fingerprint=tokenizer.fingerprint,
        seed=1,
        environment={"tensorflow": "2"},
    )
    RunInfo(description=description, model_files={}, created="now", updated="now").write(folder)
    metrics, sample_files = MetricsFiles(folder), samples.SampleFiles(folder)
    metrics.on_start(plan(folder, last_step=None))
    for number in range(1, 10 * len(held_out) + 1):
        metrics.on_step(step(number, 5.0 - 0.05 * number, smoothed=5.0))
        if number % 10 == 0:
            before = held_out[: number // 10]
            metrics.on_evaluation(evaluation(number, before[-1], is_best=before[-1] == min(before), train_loss=5.0))
    metrics.on_end(end(10 * len(held_out)))
    for number, text_of_sample in enumerate(written, start=1):
        sample_files.on_sample(sample(10 * number, text_of_sample))
    return folder
