"""The contents of a report on one run, read from its folder: every number on the page, and their JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.errors import RunError
from gpt2simple.evaluation.memorisation import MemorisationReport, TrainingText
from gpt2simple.evaluation.verdict import Verdict, judge
from gpt2simple.runs import metrics, samples
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.records import SampleRecord
from gpt2simple.settings import FinetuneSettings, to_json

# How many of a run's last samples decide whether the text was memorised: those of early steps copy nothing anyway.
_JUDGED_SAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """A run.

    Attributes:
        name: of its folder. info: its run.json.
        curves: training and held-out loss. verdict: on them.
        samples: what the model wrote during training. memorisation: of them, in the same order; None if there is no
            training text or no sample; ``missing`` then says why.
        steps_per_epoch: of the run. tokens, seconds: of training.
    """

    name: str
    info: RunInfo
    curves: Curves
    verdict: Verdict
    samples: tuple[SampleRecord, ...]
    memorisation: MemorisationReport | None
    missing: str
    steps_per_epoch: float
    tokens: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The run's numbers as JSON values, the training loss thinned out."""
        described = self.info.description
        steps, train, smooth = self.curves.drawn()
        values = {
            "name": self.name,
            "model_name": described.model_name,
            "verdict": self.verdict.to_json(),
            "training": {
                "tokens": self.tokens,
                "seconds": self.seconds,
                "steps_per_epoch": self.steps_per_epoch,
                "steps": steps.tolist(),
                "loss": train.tolist(),
                "smoothed_loss": smooth.tolist(),
            },
            "held_out": [evaluation.to_json() for evaluation in self.curves.held_out],
            "samples": [sample.to_json() for sample in self.samples],
            "memorisation": self.memorisation.to_json() if self.memorisation else None,
            "memorisation_missing": self.missing or None,
            "data": dict(described.data_summary),
            "settings": to_json(described.settings.in_effect(described.parameters)),
            "text_settings": to_json(described.text_settings),
            "environment": dict(described.environment),
            "seed": described.seed,
        }
        return values


def _why_no_samples(settings: FinetuneSettings, steps: int) -> str:
    """Why a run has no samples: sampling was off, it ended before the first one, or they were deleted."""
    every = settings.sample_every
    if every == 0:
        return "The run wrote no samples (sample_every=0), so memorisation cannot be measured."
    if every is not None and every <= steps:
        return "The samples that the run wrote are no longer in its folder, so memorisation cannot be measured."
    due = "none was due by then, or they were deleted" if every is None else f"one was due every {every:,}"
    return (
        f"There are no samples to measure memorisation with: the run took {steps:,} steps, and {due}. With "
        f"sample_every={max(steps // 5, 1)} it would have written five."
    )


def run_report(run_dir: Path, info: RunInfo, text: TrainingText | None, missing: str = "") -> RunReport:
    """The report on a run.

    Args:
        info: its run.json. text: what it was trained on, which its samples are compared with.
        missing: why ``text`` is None, a sentence.

    Raises:
        RunError: the run has taken no step yet.
    """
    recorded = metrics.read(run_dir)
    settings = info.description.settings
    assert isinstance(settings, FinetuneSettings)
    verdict = judge(recorded, settings)
    if verdict is None:
        raise RunError(
            f"{run_dir} has recorded no step yet, so there is nothing to report. Train it first: "
            f"gpt2simple.finetune(..., run_name={run_dir.name!r})."
        )
    written = tuple(samples.read(run_dir))
    memorisation = None
    if text is not None and written:
        memorisation = text.find_copies([sample.text for sample in written], judged=_JUDGED_SAMPLES)
    return RunReport(
        name=run_dir.name,
        info=info,
        curves=Curves.of(recorded.steps, recorded.evaluations),
        verdict=verdict,
        samples=written,
        memorisation=memorisation,
        missing=missing if written else _why_no_samples(settings, recorded.steps[-1].step),
        steps_per_epoch=recorded.starts[-1].steps_per_epoch,
        tokens=recorded.steps[-1].tokens,
        seconds=recorded.steps[-1].seconds,
    )
