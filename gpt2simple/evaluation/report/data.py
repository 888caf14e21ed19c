"""What a report says of one run, gathered from its folder: every number that the page shows, and its JSON form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.errors import RunError
from gpt2simple.evaluation.memorisation import MemorisationReport, TrainingText
from gpt2simple.evaluation.verdict import Verdict, judge
from gpt2simple.runs import metrics, samples
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.records import EvaluationRecord, SampleRecord
from gpt2simple.settings import to_json

# How many of a run's last samples say whether it knew its text by heart: those of early steps copy nothing anyway.
_JUDGED_SAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One run.

    Attributes:
        name: of its folder. info: its run.json.
        steps, train, smooth: the training loss of each step drawn and its mean around it, nats per token [N].
        looks: at the held-out text. verdict: on all of these.
        samples: what the model wrote in training. memorisation: of them, in the same order; None where the training
            text is not to be had, and then ``missing`` says why.
        steps_per_epoch: of the run. tokens, seconds: of training.
    """

    name: str
    info: RunInfo
    steps: np.ndarray
    train: np.ndarray
    smooth: np.ndarray
    looks: tuple[EvaluationRecord, ...]
    verdict: Verdict
    samples: tuple[SampleRecord, ...]
    memorisation: MemorisationReport | None
    missing: str
    steps_per_epoch: float
    tokens: int
    seconds: float

    @property
    def curves(self) -> Curves:
        """The curves again, for the picture."""
        curves = Curves()
        curves.steps.extend(self.steps.tolist())
        curves.train.extend(self.train.tolist())
        for look in self.looks:
            curves.add_evaluation(look)
        return curves

    def to_json(self) -> dict[str, Any]:
        """The run's numbers as JSON values; what is no number becomes null."""
        described = self.info.description
        return {
            "name": self.name,
            "model_name": described.model_name,
            "verdict": self.verdict.to_json(),
            "training": {
                "tokens": self.tokens,
                "seconds": self.seconds,
                "steps_per_epoch": self.steps_per_epoch,
                "steps": self.steps.tolist(),
                "loss": _finite(self.train),
                "smoothed_loss": _finite(self.smooth),
            },
            "held_out": [look.to_json() for look in self.looks],
            "samples": [sample.to_json() for sample in self.samples],
            "memorisation": self.memorisation.to_json() if self.memorisation else None,
            "memorisation_missing": self.missing or None,
            "data": dict(described.data_summary),
            "settings": to_json(described.settings),
            "text_settings": to_json(described.text_settings),
            "environment": dict(described.environment),
            "seed": described.seed,
        }


def _finite(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _memorisation(text: TrainingText | None, written: list[SampleRecord]) -> MemorisationReport | None:
    if text is None or not written:
        return None
    return text.look_for([sample.text for sample in written], judged=_JUDGED_SAMPLES)


def _why_no_samples(info: RunInfo, steps: int) -> str:
    """Why a run has none: it was to write none, it ended before the first, or they were deleted."""
    every = info.description.settings.sample_every
    if every == 0:
        return "The run wrote no samples (sample_every=0), so there is nothing to look at."
    if every is not None and every <= steps:
        return "The samples that the run wrote are no longer in its folder, so there is nothing to look at."
    due = "none was due by then, or they were deleted" if every is None else f"one was due every {every:,}"
    return (
        f"There are no samples to look at: the run took {steps:,} steps, and {due}. With "
        f"sample_every={max(steps // 5, 1)} it would have written five."
    )


def gather(run_dir: Path, info: RunInfo, text: TrainingText | None, missing: str = "") -> RunReport:
    """What there is to say of a run.

    Args:
        info: its run.json. text: what it learned from, for the share of its samples that is copied.
        missing: why ``text`` is None, a sentence.

    Raises:
        RunError: the run has taken no step yet.
    """
    recorded = metrics.read(run_dir)
    verdict = judge(recorded, info.description.settings)
    if verdict is None:
        raise RunError(
            f"{run_dir} has recorded no step yet, so there is nothing to report. Train it first: "
            f"gpt2simple.finetune(..., run_name={run_dir.name!r})."
        )
    written = samples.read(run_dir)
    steps, train, smooth = Curves.of(recorded.steps, recorded.evaluations).drawn()
    return RunReport(
        name=run_dir.name,
        info=info,
        steps=steps,
        train=train,
        smooth=smooth,
        looks=tuple(recorded.evaluations),
        verdict=verdict,
        samples=tuple(written),
        memorisation=_memorisation(text, written),
        missing=missing if written else _why_no_samples(info, recorded.steps[-1].step),
        steps_per_epoch=recorded.starts[-1].steps_per_epoch,
        tokens=recorded.steps[-1].tokens,
        seconds=recorded.steps[-1].seconds,
    )
