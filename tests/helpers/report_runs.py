"""A run's folder as training leaves it, but for the weights: made from curves and samples with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt2simple.data.encode import encode_corpus
from gpt2simple.runs import samples
from gpt2simple.runs.description import RunDescription, RunInfo
from gpt2simple.runs.records import EvaluationRecord, LanguageFigures, RunPlan, SampleRecord, StepRecord
from gpt2simple.settings import FinetuneSettings, TextSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer

OVERTRAINED = [4.0, 3.5, 3.2, 3.4, 3.8, 4.4]
HEALTHY = [4.0, 3.5, 3.2, 3.0, 2.9, 2.85]


def make_run(folder: Path, text: Path, held_out: list[float], written: list[str], **settings: Any) -> Path:
    """A run on ``text`` with a look at the held-out text and a sample every 10 steps.

    Args:
        held_out: losses in nats per token. written: the samples. settings: of the run.
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
    _write_metrics(folder, held_out)
    callback = samples.SampleFiles(folder)
    for number, sample in enumerate(written, start=1):
        callback.on_sample(SampleRecord(step=10 * number, text=sample))
    return folder


def _write_metrics(folder: Path, held_out: list[float]) -> None:
    plan = RunPlan(
        model_name="small", run_dir=folder, first_step=0, last_step=None, steps_per_epoch=20.0, tokens_per_step=64,
        parameters=8_000, train_tokens=2_000, held_out_tokens=100, print_every=10,
    )  # fmt: skip
    lines = [{"kind": "start", **{k: v for k, v in vars(plan).items() if k != "run_dir"}}]
    for step in range(1, 10 * len(held_out) + 1):
        record = StepRecord(
            step=step, epoch=step / 20, loss=5.0 - 0.05 * step, smoothed_loss=5.0, learning_rate=1e-4,
            gradient_norm=1.0, tokens=64 * step, seconds=float(step), tokens_per_second=64.0,
        )  # fmt: skip
        lines.append(record.to_json())
        if step % 10 == 0:
            loss = held_out[step // 10 - 1]
            look = EvaluationRecord(
                step=step, epoch=step / 20, train_loss=5.0,
                figures=LanguageFigures(nats=100 * loss, target_tokens=100, target_bytes=300),
                is_best=loss == min(held_out[: step // 10]), seconds=1.0,
            )  # fmt: skip
            lines.append(look.to_json())
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
