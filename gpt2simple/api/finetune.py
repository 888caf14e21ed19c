"""One fine-tuning call, from the text and the run folder to the result.

Brings the parts together: reads and splits the text, decides where the run starts, builds the trainer, saves its
checkpoints, reports to the observers. Knows no arithmetic of training and prints nothing.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2simple.api.request import Request
from gpt2simple.backend import devices, speed
from gpt2simple.backend.memory import free_memory
from gpt2simple.backend.tensorflow import library_versions, tf
from gpt2simple.data.batches import TrainingWindows, evaluation_batches
from gpt2simple.data.corpus import Corpus
from gpt2simple.data.encode import Progress as Reading
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.split import Split, split
from gpt2simple.data.summary import DataSummary, summary
from gpt2simple.errors import SettingsError
from gpt2simple.generation.generator import Generator
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.records import EndRecord, Observer, RunPlan
from gpt2simple.runs.resume import Start, decide_start
from gpt2simple.runs.writer import RunDirectory
from gpt2simple.settings import GenerateSettings
from gpt2simple.training.checkpoint import RunKeeper, model_files, restore
from gpt2simple.training.interrupt import stop_on_signals
from gpt2simple.training.loop import run as run_loop
from gpt2simple.training.memory import choose_checkpointing, estimate_seconds_per_step
from gpt2simple.training.plan import StepPlan, Work, plan_steps
from gpt2simple.training.state import Progress
from gpt2simple.training.trainer import build_trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """How a fine-tuning call ended.

    Attributes:
        run_dir: the run's folder, which ``generate`` and other tools open.
        steps: optimizer steps of the run in total.
        reason: "finished", "patience" (held-out loss stopped falling), "interrupted", "callback" or "done" (there was
            nothing left to do).
        best_step: the step with the lowest held-out loss, which ``generate`` uses; 0: the model was better before
            training, and ``generate`` uses the last step; None: nothing was held out.
        best_loss: held-out nats per token there. best_bits_per_byte: the same, comparable between tokenizers.
        train_loss: smoothed training loss at the end, nats per token.
        seconds: training time of the run so far.
    """

    run_dir: Path
    steps: int
    reason: str
    best_step: int | None
    best_loss: float | None
    best_bits_per_byte: float | None
    train_loss: float
    seconds: float

    def summary(self) -> str:
        """The result in a few lines for people."""
        ended = {
            "finished": "finished",
            "patience": "stopped: held-out loss no longer falls",
            "interrupted": "interrupted, and saved",
            "callback": "stopped by a callback",
            "done": "was done already",
        }[self.reason]
        lines = [f"{self.run_dir} {ended} at step {self.steps} ({self.seconds:.0f} s of training)."]
        if self.best_loss is not None:
            lines.append(self._best())
        lines.append(f"Training loss at the end {self.train_loss:.3f} nats/token.")
        lines.append(f"Curves: {self.run_dir / 'loss.png'}; samples: {self.run_dir / 'samples'}.")
        return "\n".join(lines)

    def _best(self) -> str:
        figures = f"{self.best_loss:.3f} nats/token ({self.best_bits_per_byte:.3f} bits/byte)"
        if self.best_step == 0:  # of which no checkpoint is kept: it is the model that training began with
            return (
                f"Held-out loss was lowest before training, {figures}: the model has got no better. generate() uses "
                f"the last step, {self.steps}; a lower learning_rate or more text may help."
            )
        return f"Best held-out loss {figures} at step {self.best_step}; generate() uses that step."

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {**asdict(self), "run_dir": str(self.run_dir)}

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"


def before_start(text: DataSummary, plan: StepPlan, seconds_per_step: float) -> Iterator[str]:
    """The remarks, one after the other.

    Args:
        text: the summary of the text. plan: where the run ends.
        seconds_per_step: estimated, on this device.
    """
    yield text.text()
    step, epoch = duration(seconds_per_step), duration(seconds_per_step * plan.steps_per_epoch)
    if plan.endless:
        yield f"A step takes about {step} here, a pass over the text about {epoch}; the run ends when you stop it."
    elif plan.last_step is None:
        yield (
            f"A step takes about {step} here, a pass over the text about {epoch}; the run ends when held-out loss "
            "stops falling, often after 2 to 6 passes."
        )
    else:
        yield (
            f"{plan.last_step} steps are {plan.last_step / plan.steps_per_epoch:.1f} passes over the text and take "
            f"about {duration(seconds_per_step * plan.last_step)} here."
        )


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    if seconds < 5400.0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


ReadingBar = Callable[[str], AbstractContextManager[Reading]]

_TRAINING_SAMPLE: dict[str, Any] = {"temperature": 0.7, "top_k": 40}

_MOST_HELD_OUT_WINDOWS = 64  # per look while training; more would cost longer than it tells


@dataclass(frozen=True, kw_only=True)
class Material:
    """The text, ready to be trained on."""

    corpus: Corpus
    parts: Split
    windows: TrainingWindows
    held_out: tuple[Any, ...]
    held_out_tokens: int
    held_out_bytes: int
    summary: DataSummary
    validation: Corpus | None  # the user's own text to hold out


def finetune_run(
    request: Request,
    loaded: LoadedModel,
    run: RunDirectory,
    observer: Observer,
    sample: Callable[[int], str],
    reading: ReadingBar,
) -> FinetuneResult:
    """Train the loaded model in a run folder that is locked and repaired; afterwards it holds the run's best weights.

    Args:
        request: what to do. loaded: whose variables are trained; it holds what a new run begins with.
        run: where checkpoints go. observer: is told what happens.
        sample: step -> what the model writes.
        reading: title -> a context in which a function of bytes read and all bytes shows how far the text is encoded.
    """
    for notice in request.notices:
        logger.info(notice)
    material = read_material(request, loaded, reading)
    plan = plan_steps(request.settings, material.windows.windows_per_epoch, _rows(material.held_out))
    checkpointing, remark = _checkpointing(request, loaded, material)
    description = _description(request, material, loaded, checkpointing=checkpointing)
    start = decide_start(run, description, total_steps=plan.last_step)
    for message in start.messages:
        logger.info(message)
    if start.kind == "done":
        assert start.checkpoint is not None
        progress = Progress.from_json(start.checkpoint.state["progress"])
        _load_best(run, loaded)
        return _result(run.path, progress, "done")
    if remark:
        logger.info(remark)
    _log_before_start(request, loaded, plan, material)
    trainer, progress = _prepare(request, loaded, run, start, description, plan, checkpointing=checkpointing)
    work = Work(
        batch=material.windows.batch,
        epoch_at=material.windows.epoch_at,
        accumulate=request.settings.accumulate_gradients,
        held_out=material.held_out,
        target_bytes=material.held_out_bytes,
        sample=sample,
    )
    keeper = RunKeeper(run, loaded, trainer, observer, keep=request.settings.max_checkpoints)
    observer.on_start(_announced(request, run.path, progress, plan, material, loaded))
    # Beyond the loop, which has its own: Ctrl-C in the moment after the last step must not leave a run that is done
    # without its mark, or the session without a model.
    with stop_on_signals():
        reason = "failed"
        try:
            reason = run_loop(trainer, work, plan, progress, keeper, observer, request.callbacks)
        finally:
            run.mark_ended(reason)
            hint = _resume_hint(request, run.path, reason, progress)
            observer.on_end(
                EndRecord(step=progress.step, reason=reason, best_step=progress.best_step, resume_hint=hint)
            )
        _load_best(run, loaded)
    return _result(run.path, progress, reason)


def training_sampler(request: Request, new_generator: Callable[[], Generator]) -> Callable[[int], str]:
    """What shows the user how the model writes at a step: a function from the step to a text."""

    def sample(step: int) -> str:
        generator = new_generator()
        try:
            length = request.settings.sample_length
            wanted = GenerateSettings(length=length, seed=request.seed + step, **_TRAINING_SAMPLE)
            return generator.generate([""], wanted)[0].text
        finally:
            generator.close()

    return sample


def read_material(request: Request, loaded: LoadedModel, reading: ReadingBar) -> Material:
    """The text encoded, split and cut into windows.

    Raises:
        DataError: there is nothing to learn from. SettingsError: the window is longer than the model's.
    """
    settings, config, tokenizer = request.settings, loaded.config, loaded.tokenizer
    window = settings.window or config.n_ctx
    if window > config.n_ctx:
        raise SettingsError(
            f"window is {window}; this model reads at most {config.n_ctx} tokens. Leave window out, or give up to "
            f"{config.n_ctx}."
        )
    with reading("Encoding") as progress:
        corpus = encode_corpus(request.dataset, tokenizer, request.text, progress=progress)
    validation = None
    if request.text.validation_file is not None:
        with reading("Encoding validation_file") as progress:
            validation = encode_corpus(request.text.validation_file, tokenizer, request.text, progress=progress)
    parts = split(corpus, request.text, window, validation=validation)
    windows = TrainingWindows(parts.train, window, settings.batch_size, request.seed)
    if windows.message:
        logger.info(windows.message)
    held_out = _held_out_batches(parts, windows.window, settings.batch_size)
    held_out_tokens = sum(int(batch[2].sum()) for batch in held_out)
    if parts.held_out is not None and held_out_tokens < parts.held_out.targets:
        logger.info(
            f"Of {parts.held_out.targets} held-out tokens, {held_out_tokens}, evenly spread, are looked at in training."
        )
    held_out_bytes = sum(int(tokenizer.byte_lengths[b[1]][b[2] > 0].sum()) for b in held_out)
    return Material(
        corpus=corpus,
        parts=parts,
        windows=windows,
        held_out=held_out,
        held_out_tokens=held_out_tokens,
        held_out_bytes=held_out_bytes,
        summary=summary(corpus, parts, config.parameters),
        validation=validation,
    )


def _held_out_batches(parts: Split, window: int, batch_size: int) -> tuple[Any, ...]:
    if parts.held_out is None:
        return ()
    most = max(_MOST_HELD_OUT_WINDOWS // batch_size, 1)
    return tuple(evaluation_batches(parts.held_out, window, batch_size, at_most=most))


def _rows(batches: Sequence[Any]) -> int:
    return sum(len(batch[0]) for batch in batches)


def _checkpointing(request: Request, loaded: LoadedModel, material: Material) -> tuple[bool, str | None]:
    """Whether blocks are computed twice, and a remark; how much memory a GPU has free is not known."""
    free = None if devices.has_gpu() else free_memory()
    dtype_bytes = tf.as_dtype(request.precision).size
    return choose_checkpointing(loaded.config, request.settings, material.windows.window, dtype_bytes, free)


def _description(request: Request, material: Material, loaded: LoadedModel, *, checkpointing: bool) -> RunDescription:
    validation = material.validation
    return RunDescription(
        model_name=request.model_name,
        settings=request.settings,
        text_settings=request.text,
        data_fingerprint=material.corpus.fingerprint,
        validation_fingerprint=validation.fingerprint if validation is not None else None,
        data_summary=material.summary.to_json(),
        tokenizer_fingerprint=loaded.tokenizer.fingerprint,
        seed=request.seed,
        environment={
            **library_versions(),
            "precision": request.precision,
            "device": devices.device_name(),
            "gradient_checkpointing": "on" if checkpointing else "off",
            **devices.thread_counts(),
        },
    )


def _prepare(
    request: Request,
    loaded: LoadedModel,
    run: RunDirectory,
    start: Start,
    description: RunDescription,
    plan: StepPlan,
    *,
    checkpointing: bool,
) -> tuple[Any, Progress]:
    """The trainer with the weights, moments and figures that the run starts from, and the folder made ready."""
    if start.checkpoint is not None:
        loaded.refill(start.checkpoint.path)
    trainer = build_trainer(
        loaded.model,
        loaded.variables,
        loaded.config,
        request.settings,
        dtype=tf.as_dtype(request.precision),
        seed=request.seed,
        last_step=plan.last_step,
        checkpointing=checkpointing,
        compile_whole_step=devices.compiles_whole_step(),
    )
    if start.checkpoint is None:
        overwrite = request.settings.overwrite and request.settings.restore_from not in ("latest", "best")
        run.create(description, model_files(loaded), overwrite=overwrite)
        return trainer, Progress()
    progress = restore(trainer, start.checkpoint)
    run.rewind(start.step)
    run.describe(description, start.step, start.changes)
    return trainer, progress


def _log_before_start(request: Request, loaded: LoadedModel, plan: StepPlan, material: Material) -> None:
    seconds = estimate_seconds_per_step(
        loaded.config, request.settings, material.windows.window, speed.product_rate(request.precision)
    )
    for line in before_start(material.summary, plan, seconds):
        logger.info(line)


def _announced(
    request: Request, path: Path, progress: Progress, plan: StepPlan, material: Material, loaded: LoadedModel
) -> RunPlan:
    settings, windows = request.settings, material.windows
    return RunPlan(
        model_name=request.model_name,
        run_dir=path,
        first_step=progress.step,
        last_step=plan.last_step,
        steps_per_epoch=plan.steps_per_epoch,
        tokens_per_step=windows.window * settings.batch_size * settings.accumulate_gradients,
        parameters=loaded.config.parameters,
        train_tokens=material.parts.train.tokens,
        held_out_tokens=material.held_out_tokens,
        print_every=settings.print_every,
    )


def _load_best(run: RunDirectory, loaded: LoadedModel) -> None:
    best = run.best(weights_only=True)
    if best is not None:
        loaded.refill(best.path)


def _resume_hint(request: Request, path: Path, reason: str, progress: Progress) -> str:
    if reason in ("finished", "patience"):
        return f"To go on: finetune(..., run_name={path.name!r}, steps={progress.step + max(progress.step, 100)})."
    return f"To go on: call finetune again with the same text and run_name={path.name!r}."


def _result(path: Path, progress: Progress, reason: str) -> FinetuneResult:
    return FinetuneResult(
        run_dir=path,
        steps=progress.step,
        reason=reason,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
        best_bits_per_byte=progress.best_bits_per_byte,
        train_loss=progress.smoothed_loss,
        seconds=progress.seconds,
    )
