"""Language modelling as the task of a fine-tuning call: a text, cut into windows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gpt2simple.api.request import TaskKind
from gpt2simple.api.tasks import SAMPLE_EVERY, Prepared
from gpt2simple.data.batches import Batch, TrainingWindows, evaluation_batches
from gpt2simple.data.prepare import ProgressBar, check_texts, prepare_text
from gpt2simple.data.summary import summary
from gpt2simple.settings import FinetuneSettings, GenerateSettings, TextSettings
from gpt2simple.settings.tasks import LANGUAGE_MODELING

if TYPE_CHECKING:
    from gpt2simple.api.request import Request
    from gpt2simple.generation.generator import Generator
    from gpt2simple.gpt2.model import LoadedModel

logger = logging.getLogger(__name__)
# Of one evaluated batch: short windows one by one take half as long again; one of 1,024 stays alone for its memory.
_EVALUATION_TOKENS = 1536
_SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_k": 40}  # of the samples written during training


def _open(dataset: Any, settings: TextSettings) -> Any:
    check_texts(dataset, settings)
    return dataset


def _prepare(request: Request, loaded: LoadedModel, progress: ProgressBar) -> Prepared:
    """The text encoded, split and cut into windows."""
    from gpt2simple.training.data import TrainingData  # here: these load TensorFlow
    from gpt2simple.training.plan import HELD_OUT_ROWS
    from gpt2simple.training.task import LanguageModeling

    settings, of_text = request.settings, request.text
    assert isinstance(settings, FinetuneSettings)
    assert isinstance(of_text, TextSettings)
    text = prepare_text(
        request.dataset, of_text, loaded.tokenizer, settings.window, n_ctx=loaded.config.n_ctx, progress=progress
    )
    windows = TrainingWindows(text.split.train, text.window, settings.batch_size, request.seed)
    if windows.message is not None:
        logger.info(windows.message)
    held_out = text.split.held_out
    batches: tuple[Batch, ...] = ()
    if held_out is not None:
        rows = max(settings.batch_size, _EVALUATION_TOKENS // windows.window)
        batches = tuple(
            evaluation_batches(held_out, windows.window, rows, at_most=HELD_OUT_ROWS, devices=request.replicas)
        )
    held_out_tokens = sum(int(batch.loss_mask.sum()) for batch in batches)
    if held_out is not None and held_out_tokens < held_out.targets:
        part = f"{held_out_tokens} of {held_out.targets} held-out tokens"
        logger.info(f"Evaluations during training use {part}, evenly spaced.")

    def sample(generator: Generator, step: int) -> str:
        wanted = GenerateSettings(length=settings.sample_length, seed=request.seed + step, **_SAMPLING)
        return generator.generate([""], wanted)[0].text

    return Prepared(
        task=LanguageModeling(loaded.tokenizer.byte_lengths),
        data=TrainingData(
            micro_batch=windows.batch,
            epoch_at=windows.epoch_at,
            accumulate=settings.accumulate_gradients,
            held_out=batches,
        ),
        summary=summary(text.corpus, text.split, loaded.config.parameters),
        rows_per_epoch=windows.windows_per_epoch,
        held_out_rows=sum(int(batch.loss_mask.any(axis=1).sum()) for batch in batches),
        row_tokens=windows.window,
        longest_row=windows.window,
        train_tokens=text.split.train.tokens,
        held_out_tokens=held_out_tokens,
        fingerprint=text.corpus.fingerprint,
        validation_fingerprint=None if text.validation is None else text.validation.fingerprint,
        sample=sample,
        sample_every=SAMPLE_EVERY if settings.sample_every is None else settings.sample_every,
    )


LANGUAGE = TaskKind(name=LANGUAGE_MODELING, open=_open, labels=lambda _: (), prepare=_prepare)
