"""What a model card is made of: the facts of a run, read from its folder. What is not known there stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.evaluation.card.figures import FigureGroup, of_best_step, of_report, of_training
from gpt2simple.evaluation.verdict import judge
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import hub_record
from gpt2simple.gpt2.hub.registry import find
from gpt2simple.gpt2.hub.repository import named_commit
from gpt2simple.runs import metrics
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.records import StepRecord
from gpt2simple.runs.resume import RANDOM
from gpt2simple.settings import FinetuneSettings, to_json
from gpt2simple.settings.pairs import LOSS_ON
from gpt2simple.settings.tasks import LANGUAGE_MODELING

_OF_A_MODEL = ("latest", "best", "fresh")  # restore_from of a run that began with its model's own weights
_TOKENS_OF = dict(zip(LOSS_ON, ("completions", "prompts and completions"), strict=True))


@dataclass(frozen=True, kw_only=True)
class BaseFacts:
    """The model that a run began with.

    Attributes:
        name: for people, as a noun phrase.
        repo, revision: on the hub; None: it is not there, or not known to be. license: as the hub abbreviates it.
    """

    name: str
    repo: str | None = None
    revision: str | None = None
    license: str | None = None


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """The facts of a run's model.

    Attributes:
        name: of the run. task: as run.json has it. config: of the model as exported, an adapter merged.
        step: whose weights they are. is_best: whether that has the lowest held-out loss; None: nothing says so.
        base: what it began with. was_adapter: rank of the adapter that was merged; 0: there was none.
        settings, environment, data: as recorded, the settings with the values that defaults stand for.
        trained: the record of that step. groups: figures, those with least to choose by last.
        verdict: on the run's curves, a sentence or two; "": there is none.
        memorisation: of the run's samples, as a report has it; None: no report has any.
    """

    name: str
    task: str
    config: ModelConfig
    step: int | None
    is_best: bool | None
    base: BaseFacts
    was_adapter: int
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    data: Mapping[str, Any]
    seed: int | None
    trained: StepRecord | None
    steps_per_epoch: float | None
    groups: tuple[FigureGroup, ...]
    verdict: str
    memorisation: Mapping[str, Any] | None


def card_facts(
    run: RunFolder, config: ModelConfig, step: int | None, *, model_dir: Path, more: FigureGroup | None = None
) -> CardFacts:
    """The facts of a run.

    Args:
        run: which. config: of its model, an adapter merged. step: whose weights are exported; None: not known.
        model_dir: where the models of the hub lie, which say by what licence.
        more: figures of an evaluation that was saved elsewhere.
    """
    if not run.exists:  # gpt-2-simple's, which records nothing
        nothing: dict[str, Any] = {"settings": {}, "environment": {}, "data": {}, "seed": None, "groups": ()}
        return CardFacts(
            name=run.path.name, task=LANGUAGE_MODELING, config=config, step=run.legacy_step, is_best=None,
            base=BaseFacts(name="a GPT-2, by gpt-2-simple"), was_adapter=0, trained=None, steps_per_epoch=None,
            verdict="", memorisation=None, **nothing,
        )  # fmt: skip
    info, recorded = run.info, metrics.read(run.path)
    described, mark = info.description, run.best_mark()
    step = step if step is not None else (mark.step if mark is not None else info.latest_step)
    evaluation = next((record for record in recorded.evaluations if record.step == step), None)
    of_reports, memorisation = of_report(run.path, step, recorded.steps[-1].step if recorded.steps else None)
    settings = described.settings
    if evaluation is not None:
        held_out: FigureGroup | None = of_training(evaluation, _TOKENS_OF.get(getattr(settings, "loss_on", ""), ""))
    else:
        held_out = of_best_step(mark.figures) if mark is not None and mark.step == step else None
    groups = [more, of_reports, held_out]
    judged = judge(recorded, settings) if isinstance(settings, FinetuneSettings) else None
    return CardFacts(
        name=run.path.name,
        task=described.task,
        config=config,
        step=step,
        is_best=None if mark is None else mark.step == step,
        base=base_of(info, model_dir),
        was_adapter=settings.lora_rank,
        settings={**to_json(settings.in_effect(config.parameters)), **to_json(described.text_settings)},
        environment=described.environment,
        data=described.data_summary,
        seed=described.seed,
        trained=next((record for record in reversed(recorded.steps) if record.step <= (step or 0)), None),
        steps_per_epoch=recorded.starts[-1].steps_per_epoch if recorded.starts else None,
        groups=tuple(group for group in groups if group is not None),
        verdict="" if judged is None else f"{judged.title}. {judged.explanation}",
        memorisation=memorisation,
    )


def base_of(info: RunInfo, model_dir: Path) -> BaseFacts:
    """The model that a run began with, as far as it is on record."""
    described = info.description
    began, name = described.settings.restore_from, described.model_name
    known, of_hub = find(name), named_commit(name)
    shown = name if of_hub is not None else f"GPT-2 {name}" if known is not None else Path(name).name
    if known is not None and known.built_in:
        shown = f"{name}, the small GPT-2 inside gpt2simple"
    if began == RANDOM:
        return BaseFacts(name=f"random weights, in the shape of {shown}")
    if began not in _OF_A_MODEL:
        return BaseFacts(name=f"the weights of another fine-tuned model or folder, in the shape of {shown}")
    if known is not None:
        return BaseFacts(
            name=shown, repo=known.hub_repo or None, revision=known.hub_revision or None, license=known.license
        )
    if of_hub is None:
        return BaseFacts(name=f"{shown}, a model of its author's own")
    record = hub_record(of_hub, model_dir)
    return BaseFacts(
        name=of_hub.repo, repo=of_hub.repo, revision=of_hub.revision, license=record.license if record else None
    )
