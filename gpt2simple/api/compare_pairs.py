"""Several models trained on the same pairs and tested alike; `comparison` goes from one to the next.

The pairs are read once, and the seed splits them in the same way for each model. Knows no arithmetic of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.api.comparison import (
    Candidate,
    SplitComparison,
    common_length,
    rates_in_words,
    require_whole,
    shapes_of,
    write,
)
from gpt2simple.api.pairs import PAIRS
from gpt2simple.api.request import TrainingCall
from gpt2simple.api.result import FinetuneResult
from gpt2simple.api.session import Session
from gpt2simple.data.pair_split import open_pairs
from gpt2simple.data.prompt_template import last_message
from gpt2simple.errors import DataError
from gpt2simple.evaluation.outputs.comparison import ComparePairsResult, PairsRow, Prompt, shown_prompts
from gpt2simple.evaluation.outputs.metrics import require_text_metrics
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.settings import ComparePairsSettings, PairSettings, PairTextSettings, SessionSettings, to_json
from gpt2simple.storage.contents import counted


def compare_on_pairs(
    dataset: Any,
    candidates: Sequence[Candidate],
    settings: ComparePairsSettings,
    texts: PairTextSettings,
    name: str,
    place: SessionSettings,
) -> ComparePairsResult:
    """Compare models on pairs. Called again with the same pairs and settings, it continues where it stopped.

    Args:
        dataset: as for ``finetune``. candidates: from ``candidates_of``.
        name: of the comparison's folder; the runs' names begin with it.
        place: folders of models and runs, and how to compute.

    Raises:
        BackendError: sacrebleu or rouge-score is missing.
        SettingsError: one of the models reads fewer tokens than ``max_length``.
        DataError: no pair is held out. RunError: a comparison of that name has other pairs or settings.
        KeyboardInterrupt: a model's training was interrupted; called again, it continues from there.
    """
    require_text_metrics()
    data = open_pairs(dataset, texts)
    split = data.split(settings.seed)
    held_out = split.test or split.validation
    if not held_out:
        raise DataError(
            "Models are compared on pairs that training never saw, but none are held out. Set test_split or "
            "validation_split above 0, or give a test_file."
        )
    shapes = shapes_of(candidates, Path(place.model_dir))
    training = {**settings.common(), "max_length": common_length(settings.max_length, shapes)}
    comparison = SplitComparison(
        folder=Path(place.checkpoint_dir) / name,
        place=place,
        asked={
            "task": PAIRS.name,
            **training,
            "lora_rank": settings.lora_rank,
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
    rows = tuple(_row(candidate, shapes[candidate.model], comparison) for candidate in candidates)
    prompts: dict[Any, Prompt] = {}  # each once
    for number, pair in enumerate(held_out):
        prompts.setdefault(pair.messages, Prompt(number, last_message(pair.messages), pair.completion))
    result = ComparePairsResult(
        rows=rows,
        text=f"Pairs: {len(split.train):,} to train on and {len(held_out):,} in {rows[0].part}; the same for all.",
        budget=f"Each model: {counted(rows[0].steps, 'step')} of up to {counted(settings.batch_size, 'pair')}, "
        f"{settings.epochs:g} passes over the training pairs, up to {training['max_length']} tokens of each pair, "
        f"{rates_in_words(settings.learning_rate, candidates)}, seed {settings.seed}.{settings.adapters_in_words()} "
        "Outputs: the most probable token each time.",
        asked=comparison.asked,
        chosen_by=not comparison.tested,
        prompts=shown_prompts(list(prompts.values())),
        **comparison.files,
    )
    write(result)
    return result


def _row(candidate: Candidate, config: ModelConfig, comparison: SplitComparison) -> PairsRow:
    data = comparison.data

    def train_and_test(session: Session, training: Mapping[str, Any]) -> tuple[FinetuneResult, Any]:
        how = {**to_json(data.settings), **training, "sample_every": 0}
        result = session.train(TrainingCall(PAIRS, data, how, None))
        require_whole(result, candidate)
        return result, session.evaluate(data, part="test" if comparison.tested else "held_out")

    def about(result: FinetuneResult, _settings: PairSettings) -> dict[str, Any]:
        return {"validation_bits_per_byte": result.best_bits_per_byte}

    row: PairsRow = comparison.trained_row(candidate, config, PairsRow, train_and_test, about, metric="bits_per_byte")
    return row
