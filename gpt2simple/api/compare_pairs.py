"""Several models trained on the same pairs and tested alike; `comparison` goes from one to the next.

The pairs are read once, and the seed splits them in the same way for each model. Knows no arithmetic of training.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.api.comparison import Comparison, checked_names, common_length, require_whole, write
from gpt2simple.api.pairs import PAIRS
from gpt2simple.api.request import TrainingCall
from gpt2simple.backend.memory import PeakMemory
from gpt2simple.data.pair_split import PairData, open_pairs
from gpt2simple.data.prompt_template import last_message
from gpt2simple.errors import DataError
from gpt2simple.evaluation.outputs.comparison import ComparePairsResult, PairsRow, Prompt, shown_prompts
from gpt2simple.evaluation.outputs.metrics import require_text_metrics
from gpt2simple.evaluation.verdict import verdict_title
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import folder_config, model_folder, recorded_name
from gpt2simple.runs import metrics
from gpt2simple.runs.folder import RunFolder
from gpt2simple.settings import ComparePairsSettings, PairTextSettings, SessionSettings, to_json
from gpt2simple.storage.contents import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PairsComparison(Comparison):
    """What is the same for all models."""

    data: PairData
    training: dict[str, Any]  # how each is trained, PairSettings by name
    tested: bool  # on a test part; False: on the validation part


def compare_on_pairs(
    dataset: Any,
    model_names: Sequence[str],
    settings: ComparePairsSettings,
    texts: PairTextSettings,
    name: str,
    place: SessionSettings,
) -> ComparePairsResult:
    """Compare models on pairs. Called again with the same pairs and settings, it continues where it stopped.

    Args:
        dataset: as for ``finetune``. name: of the comparison's folder; the runs' names begin with it.
        place: folders of models and runs, and how to compute.

    Raises:
        BackendError: sacrebleu or rouge-score is missing.
        SettingsError: fewer than two models, one named twice, or one reads fewer tokens than ``max_length``.
        DataError: no pair is held out. RunError: a comparison of that name has other pairs or settings.
        KeyboardInterrupt: a model's training was interrupted; called again, it continues from there.
    """
    require_text_metrics()
    names = checked_names(model_names, name)
    data = open_pairs(dataset, texts)
    split = data.split(settings.seed)
    held_out = split.test or split.validation
    if not held_out:
        raise DataError(
            "Models are compared on pairs that training never saw, but none are held out. Set test_split or "
            "validation_split above 0, or give a test_file."
        )
    shapes = {model: folder_config(model_folder(model, Path(place.model_dir))) for model in names}
    training = {**to_json(settings), "max_length": common_length(settings.max_length, shapes)}
    comparison = PairsComparison(
        folder=Path(place.checkpoint_dir) / name,
        place=place,
        asked={
            "task": PAIRS.name,
            **training,
            "validation_split": texts.validation_split,
            "test_split": texts.test_split,
            "precision": place.precision,
            "format": data.pairs.format,
            "separator": texts.separator,
            "end": texts.end,
            "text": data.fingerprint,
            "validation_file": data.validation_fingerprint,
        },
        data=data,
        training=training,
        tested=bool(split.test),
    )
    comparison.begin()
    rows = tuple(_row(model, shapes[model], comparison) for model in names)
    prompts: dict[Any, Prompt] = {}  # each once
    for number, pair in enumerate(held_out):
        prompts.setdefault(pair.messages, Prompt(number, last_message(pair.messages), pair.completion))
    result = ComparePairsResult(
        rows=rows,
        text=f"Pairs: {len(split.train):,} to train on and {len(held_out):,} in {rows[0].part}; the same for all.",
        budget=f"Each model: {counted(rows[0].steps, 'step')} of up to {counted(settings.batch_size, 'pair')}, "
        f"{settings.epochs:g} passes over the training pairs, up to {training['max_length']} tokens of each pair, "
        f"learning rate {settings.learning_rate:g}, seed {settings.seed}. Outputs: the most probable token each time.",
        asked=comparison.asked,
        chosen_by=not comparison.tested,
        prompts=shown_prompts(list(prompts.values())),
        **comparison.files,
    )
    write(result)
    return result


def _row(model: str, config: ModelConfig, comparison: PairsComparison) -> PairsRow:
    """The results of a model, read if an earlier call has saved them."""

    def measure() -> PairsRow:
        logger.info(f"{model}: {config.parameters:,} parameters.")
        return _measured(model, config, comparison)

    return comparison.row(model, comparison.asked, PairsRow, measure)


def _measured(model: str, config: ModelConfig, comparison: PairsComparison) -> PairsRow:
    data, training = comparison.data, comparison.training
    with comparison.session(model, training["seed"]) as session, PeakMemory() as memory:
        result = session.train(
            TrainingCall(PAIRS, data, {**to_json(data.settings), **training, "sample_every": 0}, None)
        )
        require_whole(result, model)
        found: Any = session.evaluate(data, part="test" if comparison.tested else "held_out")
        run_dir = session.run_dir
    recorded = metrics.read(run_dir)
    return PairsRow.of(
        found,
        model_name=recorded_name(model),
        run_name=comparison.run_name(model),
        parameters=config.parameters,
        steps=result.steps,
        best_step=result.best_step,
        validation_loss=result.best_loss,
        validation_bits_per_byte=result.best_bits_per_byte,
        verdict=verdict_title(recorded, RunFolder(run_dir).info.description.settings),
        seconds=result.seconds,
        memory_bytes=None if result.reason == "done" else memory.bytes,
        evaluations=tuple(
            (each.step, each.loss, each.figures.scalars()["bits_per_byte"]) for each in recorded.evaluations
        ),
    )
