"""A session: what belongs together while somebody works with one model.

Owns the model, its tokenizer, the run's name and folder, precision and the source of seeds; a user names each once.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from gpt2simple.api.console import reading_bar, show_messages
from gpt2simple.api.evaluate import evaluate_text, score_with
from gpt2simple.api.finetune import FinetuneResult, finetune_run, training_sampler
from gpt2simple.api.request import (
    Request,
    asked_for,
    asked_for_one,
    complete_request,
    drawn_seed,
    refuse_logprobs,
)
from gpt2simple.backend import devices
from gpt2simple.backend.precision import choose_precision
from gpt2simple.backend.tensorflow import TFGPT2LMHeadModel
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.token_scores import TextScore
from gpt2simple.generation.generator import Generator
from gpt2simple.generation.samples import Sample, TextChunk
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.hub.locate import canonical_name, model_folder
from gpt2simple.gpt2.model import LoadedModel, read_weight
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path, is_run, run_path
from gpt2simple.runs.records import Observer
from gpt2simple.runs.resume import continues
from gpt2simple.runs.writer import RunDirectory, locked_run
from gpt2simple.settings import (
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    SessionSettings,
    TextSettings,
    accepts,
    build,
    pick,
)
from gpt2simple.settings.session import DEFAULT_MODEL, DEFAULT_RUN
from gpt2simple.training.callbacks.base import ObserverGroup, standard_observers
from gpt2simple.training.callbacks.keras import adapt_callbacks

logger = logging.getLogger(__name__)


class Session:
    """One model in memory, with everything that working with it needs. ``start_session`` makes one.

    Several may exist at once. Used as a context manager it closes itself.

    Attributes:
        run_name: the run that ``finetune`` writes and ``load`` reads; ``generate`` uses the model that is in memory.
    """

    @accepts(SessionSettings)
    def __init__(self, model_name: str | None = None, **settings: Any) -> None:
        """Choose the device and precision; the model is loaded when it is first needed. As ``start_session``."""
        self._settings = opened = SessionSettings(model_name=model_name, **settings)
        show_messages()
        device = devices.start(opened.threads)
        self._precision = choose_precision(opened.precision)
        self._model_name = canonical_name(opened.model_name) if opened.model_name is not None else None
        self.run_name = opened.run_name if opened.run_name is not None else DEFAULT_RUN
        self._model_dir, self._checkpoint_dir = Path(opened.model_dir), Path(opened.checkpoint_dir)
        # A run is opened when it was named, or when no model was: with a model alone, that model is meant.
        self._opens_run = opened.run_name is not None or opened.model_name is None
        self._seeds = None if opened.seed is None else np.random.default_rng(opened.seed)
        self._loaded: LoadedModel | None = None
        self._generator: Generator | None = None
        self._closed = False
        self._logged: set[str] = set()
        logger.info(f"Computing on {device}, {self._precision.in_words}.")

    @property
    def run_dir(self) -> Path:
        """The folder of the session's run, whether it exists yet or not."""
        return run_path(self._checkpoint_dir, self.run_name)

    @property
    def model_name(self) -> str:
        """The model's name: as given, else that of the run, else "124M"."""
        if self._model_name is None:
            return self._recorded_name()
        return self._model_name

    @property
    def model(self) -> TFGPT2LMHeadModel:
        """The `TFGPT2LMHeadModel` itself; its variables are float32 whatever the precision."""
        return self._load().model

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._load().tokenizer

    @property
    def precision(self) -> str:
        """The dtype of matrix products in training."""
        return self._precision.training

    @accepts(FinetuneSettings, TextSettings)
    def finetune(self, dataset: Any, *, callbacks: Any = None, **settings: Any) -> FinetuneResult:
        """The result of fine-tuning the session's model on a text; the session then holds the run's best weights.

        Goes on with the run if it exists: ``steps`` is the run's total, and settings left out are the run's.

        Args:
            dataset: a text file, folder, or any other source that the README lists.
            callbacks: your own Keras callbacks, one or several, of tf_keras or Keras 3.
            settings: see below.

        Raises:
            SettingsError, DataError, RunError, StorageError, TrainingError, DownloadError, CheckpointError.
        """
        of_training, of_text = pick(settings, FinetuneSettings), pick(settings, TextSettings)
        FinetuneSettings(**of_training)  # complain before anything is loaded or written
        TextSettings(**of_text)
        keras_callbacks = adapt_callbacks(callbacks)
        self._require_open()
        with locked_run(self.run_dir) as run:
            request = complete_request(
                run,
                dataset,
                of_training,
                of_text,
                keras_callbacks,
                session=replace(self._settings, model_name=self._model_name),
                precision=self._precision,
                next_seed=self._next_seed,
            )
            if request.precision != self._precision.training:
                self._log_once(f"Training in {request.precision}, as this run was begun.")
            return self._train(run, request)

    def _train(self, run: RunDirectory, request: Request) -> FinetuneResult:
        before = self._model_name, self._opens_run
        try:
            loaded = self._load_for_training(run, request)
            self._drop_generator()
            observers, sample = self._watchers(request)
            observer = ObserverGroup(observers)
            result = finetune_run(request, loaded, run, observer, sample, reading_bar)
        except BaseException:
            self._forget()  # half-trained weights: the next call loads what the session was opened with
            self._model_name, self._opens_run = before
            raise
        finally:
            gc.collect()  # the optimizer's moments are twice the model
        self._holds_base, self._opens_run = False, True
        return result

    def _watchers(self, request: Request) -> tuple[list[Observer], Callable[[int], str]]:
        """Who watches a run, and what shows how the model writes at a step; `compat` has its own."""
        return standard_observers(self.run_dir), training_sampler(request, self._new_generator)

    def _load_for_training(self, run: RunDirectory, request: Request) -> LoadedModel:
        """A model of the right shape; where the run begins anew, with the weights that it begins with."""
        if request.weights_from is not None:
            self._forget()  # before another is in memory
            self._model_name = request.model_name
            return self._hold(LoadedModel.load(request.weights_from))
        goes_on = continues(run, request.settings.restore_from)
        if goes_on and request.model_name == run.info.description.model_name:
            return self._hold(self._loaded or LoadedModel.load(self.run_dir))
        self._opens_run = False
        if self._loaded is not None and not self._holds_base:
            self._forget()
        self._model_name = request.model_name
        return self._load()

    @accepts(GenerateSettings)
    def generate(self, prefix: str | Sequence[str] | None = "", **settings: Any) -> list[str]:
        """Texts that the model writes, as a list of strings, the samples of the first prefix first.

        Args:
            prefix: what the texts start with; several prefixes give ``nsamples`` each; "" starts a text of its own.
            settings: see below.

        Raises:
            SettingsError: a setting is out of range, or logprobs, which texts alone cannot carry.
        """
        refuse_logprobs(settings)
        return [sample.text for sample in self.samples(prefix, **settings)]

    @accepts(GenerateSettings)
    def samples(self, prefix: str | Sequence[str] | None = "", **settings: Any) -> list[Sample]:
        """The same texts with what is known of each: tokens, why it ended, log-probabilities, seconds."""
        prefixes, wanted = asked_for(prefix, settings, self._next_seed)
        return self._writer().generate(prefixes, wanted)

    @accepts(GenerateSettings)
    def stream(self, prefix: str | None = "", **settings: Any) -> Iterator[str]:
        """The pieces of one text while it is written; never half a character. ``nsamples`` must be 1."""
        prefixes, wanted = asked_for_one(prefix, settings, self._next_seed)
        return (piece.text for piece in self._writer().stream(prefixes, wanted) if piece.text)

    @accepts(GenerateSettings)
    def pieces(self, prefix: str | Sequence[str] | None = "", **settings: Any) -> Iterator[TextChunk]:
        """The pieces of several texts in turn, each with its sample's number."""
        prefixes, wanted = asked_for(prefix, settings, self._next_seed)
        return self._writer().stream(prefixes, wanted)

    @accepts(EvaluateSettings, TextSettings)
    def evaluate(self, dataset: Any, **settings: Any) -> EvaluateResult:
        """How well the session's model predicts a text: loss, perplexity, bits per byte, accuracy.

        Computed in float32, to compare with published figures, unless the session was given a precision by name.

        Args:
            dataset: a text file, folder, or any other source that the README lists.
            settings: see below.

        Raises:
            SettingsError: out of range. DataError: nothing to measure, or not the run's text. RunError: not its parts.
        """
        wanted, of_text = build(EvaluateSettings, settings), pick(settings, TextSettings)
        TextSettings(**of_text)  # complain before anything is loaded
        loaded = self._load()
        return evaluate_text(
            loaded, dataset, wanted, of_text, model=self.model_name, precision=self._measuring_precision(),
            run=None if self._holds_base else self._run_folder(),
        )  # fmt: skip

    def score(self, texts: str | Iterable[str]) -> list[TextScore]:
        """The log-probability of each token of each text, every text on its own.

        Args:
            texts: one or more; none of them empty.

        Raises:
            DataError: a text is empty.
        """
        given = [texts] if isinstance(texts, str) else texts
        return score_with(self._load(), given, precision=self._measuring_precision())

    def _measuring_precision(self) -> str:
        if self._precision.measuring != self._precision.training:
            self._log_once("Measuring in float32, to compare with published figures; precision chooses another.")
        return self._precision.measuring

    def load(self, checkpoint: str = "best") -> None:
        """Take the weights of the session's run.

        Args:
            checkpoint: "best" (lowest held-out loss) or "latest".

        Raises:
            RunError: there is no such run, or no usable checkpoint in it.
        """
        self._require_open()
        self._drop_generator()
        folder = self._run_weights(checkpoint)
        recorded = self._recorded_name()
        if self._loaded is not None and recorded == self._model_name and self._run_folder().exists:
            self._loaded.refill(folder)
        else:
            self._forget()
            self._loaded = LoadedModel.load(folder)
        self._model_name, self._holds_base, self._opens_run = recorded, False, True

    def use_model(self, model_name: str) -> None:
        """Hold a model itself instead of what the session held; runs begun from now on begin with it."""
        self._require_open()
        name = canonical_name(model_name)
        if not (self._holds_base and name == self._model_name):
            self._forget()
        self._model_name, self._opens_run = name, False

    def reset(self) -> Session:
        """A new session with the same arguments; this one is closed."""
        self.close()
        return Session(**vars(self._settings))

    def save(self, folder: str | Path) -> Path:
        """The folder, now holding the model as it is, with its tokenizer, for this package and transformers.

        Raises:
            StorageError: it cannot be written. SettingsError: it holds other things.
        """
        loaded, target = self._load(), Path(folder)
        if target.exists() and any(target.iterdir()):
            raise SettingsError(f"{target} is not empty, and nothing in it is replaced. Name a new folder.")
        write_model_folder(target, loaded.config, lambda name: read_weight(loaded.model, name), loaded.tokenizer)
        return target

    def close(self) -> None:
        """Free the model's memory; a closed session does nothing more."""
        self._forget()
        self._closed = True

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    _holds_base = False  # whether the model in memory is the base model, untouched

    def _load(self) -> LoadedModel:
        self._require_open()
        if self._loaded is None:
            if self._opens_run and is_run(self.run_dir):
                self._loaded = LoadedModel.load(self._run_weights("best"))
                self._model_name = self._recorded_name()
            else:
                if self._opens_run and self._model_name is None:
                    existing_run_path(self._checkpoint_dir, self.run_name)  # raises, naming the runs that exist
                self._loaded = LoadedModel.load(model_folder(self.model_name, self._model_dir))
                self._holds_base = True
        return self._loaded

    def _hold(self, loaded: LoadedModel) -> LoadedModel:
        self._loaded, self._holds_base = loaded, False
        return loaded

    def _run_folder(self) -> RunFolder:
        return RunFolder(self.run_dir)

    def _recorded_name(self) -> str:
        run = self._run_folder()
        return run.info.description.model_name if run.exists else (self._model_name or DEFAULT_MODEL)

    def _run_weights(self, which: str) -> Path:
        """The folder with the weights of the run: a checkpoint of ours, or gpt-2-simple's own files."""
        if which not in ("best", "latest"):
            raise SettingsError(f'checkpoint is {which!r}; expected "best" or "latest".')
        existing_run_path(self._checkpoint_dir, self.run_name)  # raises, naming the runs that exist
        return self._run_folder().model_folder(which)  # type: ignore[arg-type]

    def _writer(self) -> Generator:
        if self._generator is None:
            self._generator = self._new_generator()
        return self._generator

    def _new_generator(self) -> Generator:
        loaded = self._load()
        return Generator(
            loaded.variables,
            loaded.config,
            loaded.tokenizer,
            precision=self._precision.generating,
        )

    def _drop_generator(self) -> None:
        if self._generator is not None:
            self._generator.close()
            self._generator = None

    def _forget(self) -> None:
        self._drop_generator()
        self._loaded = None
        gc.collect()

    def _next_seed(self) -> int:
        return drawn_seed() if self._seeds is None else int(self._seeds.integers(2**31))

    def _log_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            logger.info(message)

    def _require_open(self) -> None:
        if self._closed:
            raise SettingsError("This session is closed. Start another one with gpt2simple.start_session(...).")
