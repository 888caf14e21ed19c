"""A session: one model in memory with its tokenizer, run, precision and random seed; a user names each once."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2simple.api.console import reading_bar, show_messages
from gpt2simple.api.evaluate import EvaluationResult, evaluation_of, score_with
from gpt2simple.api.loading import fits, is_of_run, merged_model, read_folder, read_for_training
from gpt2simple.api.pairs import template_of, write_chat_template, written
from gpt2simple.api.request import GenerateRequest, Request, TrainingCall, complete_request, new_seed
from gpt2simple.api.result import Classification, FinetuneResult
from gpt2simple.api.source import BaseModel, Run, Source, found_on_disk
from gpt2simple.api.workers import Team, kind_for_all, of_call, request_for_all, require_one_process
from gpt2simple.backend import strategies
from gpt2simple.backend.memory import release
from gpt2simple.backend.precision import choose_precision
from gpt2simple.backend.tensorflow import each_in_own_context, own_context
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.token_scores import TextScore
from gpt2simple.generation.generator import Generator
from gpt2simple.generation.samples import Sample, TextChunk
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.hub.locate import canonical_name, is_same_model, model_folder, pinned_name
from gpt2simple.gpt2.model import LoadedModel, require_language_model
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.folder import RunFolder, Which, read_named_model
from gpt2simple.runs.layout import existing_run_path, run_path
from gpt2simple.runs.records import TrainingCallback
from gpt2simple.runs.resume import continues
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import (
    ClassifierSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    LabelledTextSettings,
    SessionSettings,
    TextSettings,
    accepts,
    build,
)  # fmt: skip
from gpt2simple.settings.classify import LABELS, ClassifySettings
from gpt2simple.settings.pairs import ANSWERS, PAIR_COLUMNS, PAIR_TEXTS, PAIR_TRAINING
from gpt2simple.settings.session import DEFAULT_MODEL, DEFAULT_RUN
from gpt2simple.storage.disk import require_space
from gpt2simple.storage.outputs import check_unused, output_folder

if TYPE_CHECKING:
    from gpt2simple.gpt2.container import TFGPT2LMHeadModel

logger = logging.getLogger(__name__)


class Session:
    """One model in memory, and everything needed to work with it; made by ``start_session``.

    Several sessions may exist at once. As a context manager, a session closes itself.
    """

    @accepts(SessionSettings)
    def __init__(self, model_name: str | Path | None = None, **settings: Any) -> None:
        """Choose device and precision; the model is loaded on first use. Arguments as for ``start_session``."""
        model = None if model_name is None else os.fspath(model_name)
        self._settings = opened = SessionSettings(model_name=model, **settings)
        show_messages()
        device, self._replicas = strategies.start(opened.strategy, opened.threads)
        self._precision = choose_precision(opened.precision)
        self._model_dir, self._checkpoint_dir = Path(opened.model_dir), Path(opened.checkpoint_dir)
        self._run_name = opened.run_name if opened.run_name is not None else DEFAULT_RUN
        named = canonical_name(opened.model_name) if opened.model_name is not None else None
        # Only a model: that model. Both: the run, or while it does not exist, the model that it will start from.
        self._source: Source = (
            BaseModel(named) if named is not None and opened.run_name is None else Run(self._run_name, model_name=named)
        )
        self._seeds = None if opened.seed is None else np.random.default_rng(opened.seed)
        self._loaded: LoadedModel | None = None
        self._cached_generator: Generator | None = None
        self._merged: Any = None  # the Keras model of a model with an adapter
        self._closed = False
        self._logged: set[str] = set()
        logger.info(f"Computing on {device}, {self._precision.in_words}.")

    @property
    def run_name(self) -> str:
        """The run that ``finetune`` writes and ``load`` reads; ``generate`` uses the weights in memory."""
        return self._run_name

    @run_name.setter
    def run_name(self, name: str) -> None:
        named = SessionSettings(run_name=name).run_name  # raises for what is no text
        self._run_name = name = DEFAULT_RUN if named is None else named
        if self._loaded is None and isinstance(self._source, Run):
            self._source = Run(name, model_name=self._source.model_name)

    @property
    def run_dir(self) -> Path:
        """The folder of the session's run, which need not exist yet."""
        return run_path(self._checkpoint_dir, self.run_name)

    @property
    def model_name(self) -> str:
        """The model's name: as given, else that of the run, else "124M"."""
        if self._source.model_name is not None:
            return self._source.model_name
        run = RunFolder(self.run_dir)
        return run.info.description.model_name if run.exists else DEFAULT_MODEL

    @property
    @own_context()
    def model(self) -> TFGPT2LMHeadModel:
        """The `TFGPT2LMHeadModel` itself; its variables are float32 at any precision.

        Where there is no transformers 4 it is a Keras model with the same variables, and a message says so. Of a model
        with an adapter it is a copy of both merged, and a message tells its size first.
        """
        from gpt2simple.gpt2.container import container_of, why_not_transformers  # here: loads Keras

        if reason := why_not_transformers():
            self._log_once(reason)
        loaded = self._in_memory()
        if loaded.config.lora is not None:
            self._merged = self._merged or merged_model(loaded)
        return self._merged or container_of(loaded)

    @property
    @own_context()
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._in_memory().tokenizer

    @property
    @own_context()
    def context_length(self) -> int:
        """The tokens that the model can look at."""
        return self._in_memory().config.n_ctx

    @property
    def precision(self) -> str:
        """The dtype of matrix products in training."""
        return self._precision.training

    @accepts(FinetuneSettings, TextSettings, PAIR_TEXTS, PAIR_TRAINING)
    def finetune(self, dataset: Any, *, callbacks: Any = None, **settings: Any) -> FinetuneResult:
        """Fine-tune the session's model on a text or on pairs; afterwards the session holds the run's best weights.

        Continues the run if it exists: ``steps`` is the run's total, and omitted settings are the run's.

        Args:
            dataset: a text file, pairs of prompt and completion, or any other source listed in the README.
            callbacks: your own Keras callbacks, one or several, from tf_keras or Keras 3.
            settings: see below.

        Raises:
            SettingsError, DataError, RunError, StorageError, TrainingError, DownloadError, CheckpointError.
        """
        kind = kind_for_all(Team(self._replicas), dataset, settings, RunFolder(self.run_dir))
        return self.train(TrainingCall(kind, dataset, settings, callbacks))

    @accepts(ClassifierSettings, LabelledTextSettings)
    def finetune_classifier(
        self, dataset: Any, *, control: bool = False, callbacks: Any = None, **settings: Any
    ) -> FinetuneResult:
        """Fine-tune the session's model to tell classes of texts apart, and test it; otherwise as ``finetune``.

        Args:
            dataset, control: as for ``gpt2simple.finetune_classifier``. callbacks: as for ``finetune``.
            settings: see below.
        """
        from gpt2simple.api.control import train_classifier  # here: few need it

        if control:
            require_one_process(self._replicas)
        return train_classifier(self, dataset, settings, callbacks, control=control)

    @accepts()
    @own_context()
    def train(self, request: TrainingCall) -> FinetuneResult:
        """``finetune`` for any task."""
        self._require_open()
        team = Team(self._replicas)
        with team.replicas.naming_lost_peers(), contextlib.ExitStack() as signals, contextlib.ExitStack() as folder:
            # Raises before anything is loaded or written.
            callbacks = team.together(request.check, lambda _: of_call(request, self._settings.precision))
            run = team.together(lambda: folder.enter_context(team.run_folder(self.run_dir)))
            complete = partial(
                complete_request, request.kind, run, request.dataset, request.of_training, request.of_text, callbacks,
                session=replace(self._settings, model_name=self._source.model_name),
                precision=self._precision, next_seed=self._next_seed,
            )  # fmt: skip
            result = self._train(team, run, request_for_all(team, request, complete, callbacks), signals)
            team.replicas.barrier()
            return result

    def _train(self, team: Team, run: RunWriter, request: Request, signals: contextlib.ExitStack) -> FinetuneResult:
        from gpt2simple.api.finetune import finetune_run

        try:
            loaded = team.together(lambda: self._load_for_training(run, request))
            request = replace(request, model_name=pinned_name(request.model_name, self._model_dir))
            self._drop_generator()
            callbacks, sample = self._callbacks(request)
            result = finetune_run(request, loaded, run, callbacks, sample, reading_bar, signals, team)
        except BaseException:
            self._free()  # half-trained weights: the next call loads those from before
            raise
        finally:
            release()  # the optimizer's moments are twice the model
        self._source = Run(self.run_name, model_name=request.model_name)
        return result

    def _callbacks(self, request: Request) -> tuple[list[TrainingCallback], Callable[..., str]]:
        """The callbacks of a run, and a function from its data and a step to a sample; `compat` has its own."""
        from gpt2simple.api.finetune import training_sampler
        from gpt2simple.training.callbacks.base import standard_callbacks

        return standard_callbacks(self.run_dir), training_sampler(self._new_generator)

    def _load_for_training(self, run: RunWriter, request: Request) -> LoadedModel:
        """A model of the right size; for a new run, with the weights that it starts from."""
        name, begins_with = request.model_name, request.weights_from
        goes_on = bool(run.checkpoints()) and continues(run, request.settings.restore_from)
        goes_on = goes_on and is_same_model(name, run.info.description.model_name)
        if begins_with is None:
            is_it = self._can_take(run) if goes_on else self._source == BaseModel(name) and not request.random_weights
            if self._loaded is not None and is_it and fits(self._loaded, request, goes_on=goes_on):
                return self._loaded
            begins_with = self.run_dir if goes_on else model_folder(name, self._model_dir)
        self._free()  # before another is in memory
        self._loaded = read_for_training(request, begins_with, run, goes_on=goes_on, model_dir=self._model_dir)
        self._loaded.devices = self._replicas.devices
        return self._loaded

    def _can_take(self, run: RunFolder) -> bool:
        """Whether the weights of a run fit the model in memory, which then has the same tokens."""
        return self._loaded is not None and run.exists and is_of_run(self._loaded, run, self._source.model_name)

    @accepts(GenerateSettings)
    def generate(self, prefix: str | Iterable[str] | None = "", *, prompt: Any = None, **settings: Any) -> list[str]:
        """Generate texts, as a list of strings; the samples of the first prefix come first.

        Args:
            prefix: the text to start from; with several prefixes, each gets ``nsamples`` samples. "" starts a new text.
            prompt: in place of it, for a run on pairs: texts or conversations; the samples are the completions alone.
            settings: see below.

        Raises:
            SettingsError: a setting is out of range, or ``logprobs`` is true, which ``samples`` returns.
        """
        request = GenerateRequest.of(prefix, settings, prompt=prompt, texts_alone=True)
        return [sample.text for sample in self.samples_of(request)]

    @accepts(GenerateSettings)
    def samples(self, prefix: str | Iterable[str] | None = "", *, prompt: Any = None, **settings: Any) -> list[Sample]:
        """Generate texts as ``Sample`` objects: text, tokens, finish reason, log-probabilities, seconds."""
        return self.samples_of(GenerateRequest.of(prefix, settings, prompt=prompt))

    @accepts(ANSWERS)
    def answer(self, prompts: Any, **settings: Any) -> list[str]:
        """``gpt2simple.answer`` by the session's run."""
        return [sample.text for sample in self.samples_of(GenerateRequest.of_answers(prompts, settings))]

    def require_template(self) -> None:
        """Raise SettingsError unless the session's run was trained on pairs, RunError if there is no such run."""
        template_of(self._source_run())

    @accepts(GenerateSettings)
    def stream(self, prefix: str | Iterable[str] | None = "", **settings: Any) -> Iterator[str]:
        """Yield one text piece by piece as it is generated, never splitting a character. ``nsamples`` must be 1."""
        request = GenerateRequest.of(prefix, settings, texts_alone=True)
        request.require_one_text()
        return (piece.text for piece in self.pieces_of(request) if piece.text)

    @accepts(GenerateSettings)
    def pieces(self, prefix: str | Iterable[str] | None = "", **settings: Any) -> Iterator[TextChunk]:
        """Yield several texts piece by piece as they are generated; each piece carries its sample's number."""
        return self.pieces_of(GenerateRequest.of(prefix, settings))

    @own_context()
    def samples_of(self, request: GenerateRequest) -> list[Sample]:
        """``samples`` for a request that was checked before the session was opened."""
        request = self._ready(request)
        return self._generator().generate(request.prefixes, request.settings)

    def pieces_of(self, request: GenerateRequest) -> Iterator[TextChunk]:
        """``pieces`` for such a request."""
        with own_context():
            request = self._ready(request)
            pieces = self._generator().stream(request.prefixes, request.settings)
        return each_in_own_context(pieces)

    def _ready(self, request: GenerateRequest) -> GenerateRequest:
        request = written(request, self._source_run())
        if request.message is not None:
            self._log_once(request.message)
        return replace(request, settings=request.settings_with(self._next_seed))

    @accepts(EvaluateSettings, TextSettings, LABELS, PAIR_COLUMNS)
    @own_context()
    def evaluate(self, dataset: Any, **settings: Any) -> EvaluationResult:
        """Evaluate the session's model: on a text (loss ...), a classifier on labelled texts (F1 ...), or on pairs.

        Computed in float32, so that figures compare with published ones, unless a precision was named.

        Args:
            dataset: a text file, folder, or any other source listed in the README.
            settings: see below.

        Raises:
            SettingsError: a setting is out of range. DataError: nothing to evaluate, or not the run's text.
            RunError: the run was split in another way.
        """
        wanted, run = build(EvaluateSettings, settings), self._source_run()
        self._require_open()
        evaluation = evaluation_of(run)
        dataset = evaluation.check(dataset, wanted, settings, run)  # before anything is loaded
        loaded = self._in_memory()
        return evaluation.run(
            loaded, dataset, wanted, settings, model=self.model_name, precision=self._measuring_precision(),
            run=self._source_run(),
        )  # fmt: skip

    @accepts(ClassifySettings)
    @own_context()
    def classify(self, texts: str | Iterable[str], **settings: Any) -> list[Classification]:
        """``gpt2simple.classify`` by the session's run, which must be a classifier's."""
        from gpt2simple.api.classifier import checked_texts, classify_texts

        wanted, given = build(ClassifySettings, settings), checked_texts(texts)
        loaded, precision = self._in_memory(), self._measuring_precision()
        return classify_texts(loaded, given, wanted, run=self._source_run(), precision=precision)

    @accepts()
    @own_context()
    def score(self, texts: str | Iterable[str]) -> list[TextScore]:
        """The log-probability of each token of each text; texts are scored separately.

        Args:
            texts: one or more, none of them empty.

        Raises:
            DataError: a text is empty.
        """
        given = [texts] if isinstance(texts, str) else texts
        return score_with(self._in_memory(), given, precision=self._measuring_precision())

    def _measuring_precision(self) -> str:
        if self._precision.measuring != self._precision.training:
            self._log_once(
                "Evaluating in float32, for comparison with published results; set precision to change that."
            )
        return self._precision.measuring

    @accepts()
    @own_context()
    def load(self, checkpoint: str = "best") -> None:
        """Load the weights of the session's run.

        Args:
            checkpoint: "best" (lowest held-out loss) or "latest".

        Raises:
            RunError: the run does not exist, or has no usable checkpoint.
        """
        self._require_open()
        source = Run(self.run_name, checkpoint, self._source.model_name)
        existing_run_path(self._checkpoint_dir, self.run_name)  # raises, naming the runs that exist
        self._load(source)

    @accepts()
    def load_on_first_use(self, checkpoint: str) -> None:
        """Name the weights that are loaded on first use, "best" or "latest", if the session has a run."""
        if isinstance(self._source, Run):
            self._source = replace(self._source, checkpoint=checkpoint)

    @accepts()
    def use_model(self, model_name: str | Path) -> None:
        """Switch to a model that is not fine-tuned; new runs start from it."""
        self._require_open()
        source = BaseModel(canonical_name(os.fspath(model_name)))
        if source != self._source:
            self._free()
        self._source = source

    def reset(self) -> Session:
        """Close this session and return a new one with the same settings."""
        self.close()
        return Session(**vars(self._settings))

    @accepts()
    @own_context()
    def save(self, folder: str | Path) -> Path:
        """Save the model in memory with its tokenizer, for this package and transformers; returns the folder.

        An adapter is merged into its model, one matrix at a time, in float32.

        Raises:
            SettingsError: the folder is not empty. StorageError: it cannot be written, or the disk has no room.
        """
        target = Path(folder)
        check_unused(target)  # before a model is loaded
        loaded = self._in_memory()
        require_space(target, 4 * loaded.config.parameters, f"Saving the model in {target}")
        with output_folder(target) as new:
            write_model_folder(new, loaded.config, loaded.read, loaded.tokenizer)
            write_chat_template(new, self._source_run())
        return target

    def close(self) -> None:
        """Free the model's memory; a closed session cannot be used any more."""
        self._free()
        self._closed = True

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_memory(self) -> LoadedModel:
        """The model, loaded on first use."""
        self._require_open()
        return self._loaded if self._loaded is not None else self._load(self._source)

    def _load(self, source: Source) -> LoadedModel:
        """Load the weights of a source. If that fails, the next call loads those from before."""
        found = found_on_disk(source, self._checkpoint_dir)
        if isinstance(found, Run):
            which: Which = found.checkpoint  # type: ignore[assignment]
            return self._run_folder(found).read_model(which, lambda folder: self._open(found, folder))
        named = model_folder(found.model_name, self._model_dir)
        return read_named_model(named, lambda folder: self._open(found, folder))

    def _open(self, found: Source, folder: Path) -> LoadedModel:
        self._drop_generator()
        loaded, run = self._loaded, self._run_folder(found) if isinstance(found, Run) else None
        if loaded is not None and run is not None and self._can_take(run):
            self._loaded = None  # until it is whole
            loaded.refill(folder)
        else:
            loaded = None
            self._free()  # before another is in memory
            loaded = read_folder(folder, run, model_dir=self._model_dir)
            loaded.devices = self._replicas.devices
        self._loaded, self._source = loaded, found
        return loaded

    def _source_run(self) -> RunFolder | None:
        """The run that the weights come from, if they come from one; it need not exist."""
        return self._run_folder(self._source) if isinstance(self._source, Run) else None

    def _run_folder(self, source: Run) -> RunFolder:
        return RunFolder(run_path(self._checkpoint_dir, source.name))

    def _generator(self) -> Generator:
        if self._cached_generator is None:
            self._cached_generator = self._new_generator()
        return self._cached_generator

    def _new_generator(self) -> Generator:
        loaded = self._in_memory()
        require_language_model(loaded, "generate")
        precision = self._precision.decoding(kept=loaded.kept_precision)
        return Generator(loaded.for_decoding, loaded.config, loaded.tokenizer, precision, loaded.devices)

    def _drop_generator(self) -> None:
        self._merged = None
        if self._cached_generator is not None:
            self._cached_generator.close()
            self._cached_generator = None

    def _free(self) -> None:
        """Free the model's memory; the next call loads the session's source again."""
        self._drop_generator()
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
            gc.collect()  # a tenth of a second: not where there was none

    def _next_seed(self) -> int:
        return new_seed() if self._seeds is None else int(self._seeds.integers(2**31))

    def _log_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            logger.info(message)

    def _require_open(self) -> None:
        if self._closed:
            raise SettingsError("This session is closed. Start another one with gpt2simple.start_session(...).")
