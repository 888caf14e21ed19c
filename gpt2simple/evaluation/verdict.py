"""The verdict on a run from its loss curves: whether it overfitted, where it was best, and what to try next.

Computed from records and a few settings; reads no files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gpt2simple.data.summary import MEMORISED_BELOW
from gpt2simple.runs.curves import EVALUATIONS_WITHOUT_GAIN, Curves, call_after_divergence
from gpt2simple.runs.metrics import Metrics
from gpt2simple.runs.records import RunPlan
from gpt2simple.settings import FinetuneSettings, TrainingSettings
from gpt2simple.storage.contents import counted

_TITLES = {
    "diverged": "Diverged",
    "overfitted": "Overfitted",
    "at_its_best": "Stopped improving, not overfitted",
    "still_learning": "Still improving",
    "learned_nothing": "Never better than before training",
    "cannot_say": "Too early to tell",
    "not_measured": "Not evaluated",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run went.

    Attributes:
        kind: "diverged", "overfitted", "at_its_best", "still_learning", "learned_nothing", "cannot_say" or
            "not_measured"; `runs.curves.Curves.kind` says when it is which.
        explanation: why, in a sentence. advice: what to do next, sentences, the most useful first.
        step, epoch: the last ones. best_step, best_epoch: where held-out loss was lowest; 0: before training.
        best_loss, last_loss: held-out loss at the best step and at the end, nats per token.
        best_bits_per_byte: the best loss in bits per byte.
        train_loss: at the end, the mean of the last steps, nats per token.
        gap_at_best, gap: held-out loss minus training loss, at the best step and at the end.
        evaluations_since_best, steps_since_best: evaluations and steps after the best one.
        train_tokens, parameters, tokens_per_parameter: of the training text and the model.
    """

    kind: str
    explanation: str
    advice: tuple[str, ...]
    step: int
    epoch: float
    best_step: int | None
    best_epoch: float | None
    best_loss: float | None
    best_bits_per_byte: float | None
    last_loss: float | None
    train_loss: float | None
    gap_at_best: float | None
    gap: float | None
    evaluations_since_best: int
    steps_since_best: int | None
    train_tokens: int
    parameters: int
    tokens_per_parameter: float

    @property
    def title(self) -> str:
        """The verdict in a few words."""
        return _TITLES[self.kind]

    def summary(self) -> str:
        """The verdict in a few lines."""
        return "\n".join([f"{self.title}. {self.explanation}", *(f"- {sentence}" for sentence in self.advice)])

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {"title": self.title, **asdict(self), "advice": list(self.advice)}


def judge(metrics: Metrics, settings: FinetuneSettings) -> Verdict | None:
    """The verdict on what a run recorded; None if it has not taken a step.

    Args:
        settings: the run's, which decide what is worth trying next.
    """
    if not metrics.starts or not metrics.steps:
        return None
    plan, curves = metrics.starts[-1], Curves.of(metrics.steps, metrics.evaluations)
    best, last = curves.trend.best, curves.trend.latest
    steps, _, smooth = curves.drawn()
    kind = _kind(curves, plan, settings)
    step = metrics.steps[-1].step
    facts: dict[str, Any] = {
        "step": step,
        "epoch": metrics.steps[-1].epoch,
        "best_step": best.step if best else None,
        "best_epoch": best.epoch if best else None,
        "best_loss": best.loss if best else None,
        "best_bits_per_byte": best.figures.best().get("bits_per_byte") if best else None,
        "last_loss": last.loss if last else None,
        "train_loss": float(smooth[-1]),
        "gap_at_best": best.loss - float(np.interp(best.step, steps, smooth)) if best else None,
        "gap": last.loss - float(np.interp(last.step, steps, smooth)) if last else None,
        "evaluations_since_best": curves.trend.evaluations_since_best,
        "steps_since_best": step - best.step if best else None,
        "train_tokens": plan.train_tokens,
        "parameters": plan.parameters,
        "tokens_per_parameter": plan.train_tokens / plan.parameters,
    }
    lowest = float(np.nanmin(smooth))
    explained = _diverged(facts, lowest, curves) if kind == "diverged" else _explanation(kind, facts, curves)
    return Verdict(kind=kind, explanation=explained, advice=_advice(kind, facts, plan, settings), **facts)


def verdict_title(metrics: Metrics, settings: TrainingSettings) -> str:
    """The verdict on a run of any task, in a few words."""
    if not metrics.starts or not metrics.steps:
        return _TITLES["not_measured"]
    return _TITLES[_kind(Curves.of(metrics.steps, metrics.evaluations), metrics.starts[-1], settings)]


def _kind(curves: Curves, plan: RunPlan, settings: TrainingSettings) -> str:
    return curves.kind(settings.patience_until(plan.last_step) or EVALUATIONS_WITHOUT_GAIN)


def _diverged(facts: dict[str, Any], lowest: float, curves: Curves) -> str:
    """Why a run diverged; ``lowest`` is its lowest smoothed training loss."""
    train = f"from its lowest, {lowest:.3f}, to {facts['train_loss']:.3f} nats/token"
    if facts["best_step"] is None:
        return f"Training loss has risen {train}. No text was held out, or it was never evaluated."
    where = f"at step {facts['best_step']:,}" if facts["best_step"] else "before training"
    held_out = f"Held-out loss was lowest {where}, {facts['best_loss']:.3f} nats/token, and has risen to "
    if curves.is_ruined:
        return f"{held_out}{facts['last_loss']:.4g}: the last steps have ruined the model's weights."
    return (
        f"{held_out}{facts['last_loss']:.3f}; training loss has risen too, {train}: the model did not memorise the "
        "text, it got worse on all text."
    )


def _explanation(kind: str, facts: dict[str, Any], curves: Curves) -> str:
    if kind == "not_measured":
        return "No text was held out, or it was never evaluated, so learning cannot be distinguished from memorising."
    if kind == "cannot_say":
        times = len(curves.held_out)
        return (
            f"Held-out loss was evaluated {counted(times, 'time')} in {facts['step']:,} steps, too few "
            "to tell whether the model improves or memorises."
        )
    best = f"{facts['best_loss']:.3f} nats/token"
    if kind == "learned_nothing":
        return (
            f"Held-out loss was lowest before training ({best}) and ended at {facts['last_loss']:.3f}, while training "
            f"loss ended at {facts['train_loss']:.3f}: what the model learned does not generalise."
        )
    where = f"step {facts['best_step']:,} (epoch {facts['best_epoch']:.1f})"
    if kind == "overfitted":
        return (
            f"Held-out loss was lowest at {where}, {best}, and has risen to {facts['last_loss']:.3f} since, while "
            f"training loss ended at {facts['train_loss']:.3f}: after that step the model memorised the text."
        )
    if kind == "at_its_best":
        return f"Held-out loss was lowest at {where}, {best}, and has neither fallen nor clearly risen since."
    return f"Held-out loss was lowest at {where}, {best}, at or near the end: more steps may lower it further."


def _advice(kind: str, facts: dict[str, Any], plan: RunPlan, settings: FinetuneSettings) -> tuple[str, ...]:
    if kind == "not_measured":
        return ("Hold out text: validation_split=0.1, or a validation_file of your own.",)
    if kind == "still_learning":
        return (f"Train longer: finetune(..., steps={2 * facts['step']}), or leave out steps for automatic stopping.",)
    if kind == "cannot_say":
        return (
            f"Train longer: finetune(..., steps={max(2 * facts['step'], 100)}).",
            f"Or evaluate more often: eval_every={max(facts['step'] // 5, 1)}.",
        )
    if kind == "at_its_best":
        return (
            f"Use it: generate() uses step {facts['best_step']}.",
            "To improve further, add text of the same kind, or fine-tune a larger model.",
        )
    used, default = settings.rate_for(plan.parameters), replace(settings, learning_rate=None).rate_for(plan.parameters)
    lower = f"{min(used / 3, default):.1g}"
    rate = f"Lower the learning rate: learning_rate={lower} instead of {used:g}."
    if kind == "diverged":
        where = f"Continue from step {facts['best_step']}" if facts["best_step"] else "Start again"
        return (rate, f"{where}: {call_after_divergence(facts['best_step'], lower)}.")
    remedies = []
    if kind == "overfitted":
        remedies.append(
            f"Stop at step {facts['best_step']}: generate() already uses that step, and more training does not help."
        )
    if kind == "learned_nothing" or facts["best_epoch"] < 1.0:
        remedies.append(rate)
    if facts["tokens_per_parameter"] < MEMORISED_BELOW:
        remedies.append(
            f"Add text: there is one token for every {1 / facts['tokens_per_parameter']:,.0f} parameters, so the model "
            "can memorise the whole text."
        )
        remedies.append("Or use a smaller model, which has less capacity to memorise it.")
    else:
        remedies.append("Add text of the same kind: that helps most.")
    if settings.dropout == 0.0:
        remedies.append("Try dropout=0.1.")
    if settings.lora_rank:
        remedies.append(f"Train fewer parameters, such as lora_rank={max(settings.lora_rank // 4, 1)}.")
    elif settings.train_last_n_layers is None and not settings.only_train_transformer_layers:
        remedies.append("Train fewer layers, such as train_last_n_layers=2, or only_train_transformer_layers=True.")
    if rate not in remedies:
        remedies.append(rate)
    return tuple(remedies)
