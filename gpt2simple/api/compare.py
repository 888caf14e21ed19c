"""Several language models fine-tuned on the same text and evaluated alike; `comparison` goes from one to the next.

The text is split once, with the first model's tokenizer, into two files that all models read: the split is the same for
all vocabularies. Knows no arithmetic of training.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpt2simple.api.comparison import Candidate, Comparison, rates_in_words, require_whole, shapes_of, write
from gpt2simple.api.request import GenerateRequest
from gpt2simple.backend.memory import PeakMemory
from gpt2simple.data.prepare import check_texts, prepare_text
from gpt2simple.data.texts import texts_of
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.evaluation.memorisation import TrainingText
from gpt2simple.evaluation.report.language_models import CompareResult, CompareRow
from gpt2simple.evaluation.verdict import judge
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import model_folder, recorded_name
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs import metrics
from gpt2simple.runs.folder import RunFolder
from gpt2simple.settings import CompareSettings, FinetuneSettings, SessionSettings, TextSettings, former_names
from gpt2simple.settings.tasks import LANGUAGE_MODELING
from gpt2simple.storage.files import atomic_write

logger = logging.getLogger(__name__)
_EPOCHS = 4  # if no token budget is given
_LONGEST_WINDOW = 256


@dataclass(frozen=True, kw_only=True)
class LanguageComparison(Comparison):
    """What is the same for all language models."""

    train_tokens: int  # counted by the first model's tokenizer
    window: int
    steps: int
    settings: CompareSettings
    cache_dir: str | None  # of encoded texts

    @property
    def train(self) -> Path:
        """The text that the models are trained on."""
        return self.folder / "train.jsonl"

    @property
    def held_out(self) -> Path:
        """The text that they are evaluated on."""
        return self.folder / "held-out.jsonl"

    @cached_property
    def training_text(self) -> TrainingText:
        """Both, indexed, to find copied passages in samples."""
        return TrainingText(_lines(self.train), _lines(self.held_out))


def compare_models(
    dataset: Any,
    candidates: Sequence[Candidate],
    settings: CompareSettings,
    text: TextSettings,
    name: str,
    place: SessionSettings,
) -> CompareResult:
    """Compare models. Called again with the same text and settings, it continues where it stopped.

    Args:
        dataset: as for fine-tuning. candidates: from ``candidates_of``.
        name: of the comparison's folder; the runs' names begin with it.
        place: folders of models and runs, and how to compute.

    Raises:
        SettingsError: a window that is too long for one of the models.
        DataError: nothing can be held out. RunError: a comparison of that name has another text or other settings.
        KeyboardInterrupt: a model's training was interrupted; called again, it continues from there.
    """
    check_texts(dataset, text)
    shapes = shapes_of(candidates, Path(place.model_dir))
    first = model_folder(candidates[0].model, Path(place.model_dir))
    comparison = _prepared(dataset, first, shapes, settings, text, Path(place.checkpoint_dir) / name, place)
    rows = [_row(candidate, shapes[candidate.model], comparison) for candidate in candidates]
    return _written(rows, candidates, comparison)


def _prepared(
    dataset: Any,
    first: Path,
    shapes: dict[str, ModelConfig],
    settings: CompareSettings,
    text: TextSettings,
    folder: Path,
    place: SessionSettings,
) -> LanguageComparison:
    shortest = min(shape.n_ctx for shape in shapes.values())
    window = settings.window or min(shortest, _LONGEST_WINDOW)
    if window > shortest:
        raise SettingsError(
            f"window is {window}; one of the models reads at most {shortest} tokens. Use a smaller window."
        )
    tokenizer = Tokenizer.load(first)
    prepared = prepare_text(dataset, text, tokenizer, window, n_ctx=shortest)
    corpus, validation, parts = prepared.corpus, prepared.validation, prepared.split
    if parts.held_out is None:
        raise DataError(
            f"Models are compared by their held-out loss, but nothing is held out. {prepared.no_held_out_reason}"
        )
    budget = settings.tokens or _EPOCHS * parts.train.tokens
    asked = {
        "task": LANGUAGE_MODELING,
        **settings.common(),
        "lora_rank": settings.lora_rank,
        "tokens": budget,
        "window": window,
        "validation_split": text.validation_split,
        "precision": place.precision,
        "text": corpus.fingerprint,
        "validation_file": None if validation is None else validation.fingerprint,
    }
    comparison = LanguageComparison(
        folder=folder,
        train_tokens=parts.train.tokens,
        window=window,
        steps=max(-(-budget // (window * settings.batch_size)), settings.evaluations),  # rounded up to whole steps
        settings=settings,
        place=place,
        cache_dir=text.cache_dir,
        asked=asked,
    )
    comparison.begin(former_names(CompareSettings))
    for path, tokens in ((comparison.train, parts.train), (comparison.held_out, parts.held_out)):
        lines = "".join(json.dumps(document) + "\n" for document in texts_of(tokens, tokenizer))
        if not path.is_file() or path.read_bytes() != lines.encode():
            atomic_write(path, lines)
    return comparison


def _lines(path: Path) -> list[str]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _row(candidate: Candidate, config: ModelConfig, comparison: LanguageComparison) -> CompareRow:
    """The results of a model, read if an earlier call has saved them."""
    key = {
        "settings": {**comparison.settings.common(), **candidate.training},
        "steps": comparison.steps,
        "window": comparison.window,
        "texts": [path.stat().st_mtime_ns for path in (comparison.train, comparison.held_out)],
    }

    def measure() -> CompareRow:
        logger.info(f"{candidate.label}: {config.parameters:,} parameters, {comparison.steps} steps.")
        return _measured(candidate, config, comparison)

    return comparison.row(candidate, key, CompareRow, measure)


def _measured(candidate: Candidate, config: ModelConfig, comparison: LanguageComparison) -> CompareRow:
    wanted = comparison.settings
    every = max(comparison.steps // wanted.evaluations, 1)
    with comparison.session(candidate, wanted.seed) as session, PeakMemory() as memory:
        result = session.finetune(
            str(comparison.train), validation_file=str(comparison.held_out), steps=comparison.steps,
            window=comparison.window, batch_size=wanted.batch_size, learning_rate=wanted.learning_rate,
            eval_every=every, save_every=every, sample_every=0, seed=wanted.seed, cache_dir=comparison.cache_dir,
            **candidate.training,
        )  # fmt: skip
        require_whole(result, candidate)
        measured: Any = session.evaluate(
            str(comparison.held_out), window=comparison.window, cache_dir=comparison.cache_dir
        )
        texts = [sample.text for sample in session.samples_of(GenerateRequest(("",), wanted.samples))]
        run_dir = session.run_dir
    recorded = metrics.read(run_dir)
    tokens_of = {record.step: record.tokens for record in recorded.steps}
    settings = RunFolder(run_dir).info.description.settings
    assert isinstance(settings, FinetuneSettings)
    verdict = judge(recorded, settings)
    assert verdict is not None, run_dir
    found = comparison.training_text.find_copies(texts)
    first = recorded.evaluations[0] if recorded.evaluations else None
    return CompareRow(
        model_name=recorded_name(candidate.model),
        run_name=comparison.run_name(candidate),
        method=candidate.method,
        parameters=config.parameters,
        tokens_per_parameter=verdict.tokens_per_parameter,
        steps=result.steps,
        best_step=result.best_step or 0,
        bits_per_byte=measured.bits_per_byte,
        loss=measured.loss,
        standard_error=measured.standard_error,
        windows=measured.windows,
        base_bits_per_byte=first.figures.scalars()["bits_per_byte"] if first is not None and first.step == 0 else None,
        gap=verdict.gap,
        verdict=verdict.title,
        copied_share=found.share,
        copied_interval=found.interval,
        natural_share=found.natural_share,
        longest_copy=found.longest.words if found.longest else 0,
        seconds=result.seconds,
        memory_bytes=None if result.reason == "done" else memory.bytes,
        samples=found.samples,
        copied_spans=tuple(found.copied_spans(number) for number in range(len(texts))),
        evaluations=tuple(
            (float(tokens_of.get(each.step, 0)), each.figures.scalars()["bits_per_byte"])
            for each in recorded.evaluations
        ),
    )


def _written(rows: list[CompareRow], candidates: Sequence[Candidate], comparison: LanguageComparison) -> CompareResult:
    settings = comparison.settings
    tokens = comparison.steps * comparison.window * settings.batch_size
    result = CompareResult(
        rows=tuple(rows),
        text=f"Training text: {comparison.train_tokens:,} tokens of {rows[0].model_name}, the same text for all.",
        budget=f"Each model: {comparison.steps:,} steps of {settings.batch_size} windows of "
        f"{comparison.window} tokens, {tokens:,} tokens in all, {rates_in_words(settings.learning_rate, candidates)}."
        f"{settings.adapters_in_words()}",
        asked=comparison.asked,
        **comparison.files,
    )
    write(result)
    return result
