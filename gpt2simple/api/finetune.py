"""One fine-tuning call, from the text and the run folder to the result.

Prepares the text, decides where the run starts, builds the trainer and runs the training loop.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpt2simple.api.request import Request
from gpt2simple.api.result import FinetuneResult
from gpt2simple.api.tasks import Prepared, Summary
from gpt2simple.api.workers import Team
from gpt2simple.backend import devices, speed
from gpt2simple.backend.memory import free_memory
from gpt2simple.backend.packages import versions
from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.prepare import ProgressBar
from gpt2simple.data.share import batch_of_one, idle_message
from gpt2simple.errors import TrainingError
from gpt2simple.generation.generator import Generator
from gpt2simple.gpt2.container import container_of
from gpt2simple.gpt2.formats.adapter import adapter_files
from gpt2simple.gpt2.formats.huggingface import model_files
from gpt2simple.gpt2.hub.locate import recorded_name
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves, call_after_divergence
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.records import EndRecord, RunPlan, TrainingCallback
from gpt2simple.runs.resume import Start, continues, decide_start, require_control
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import TrainingSettings
from gpt2simple.storage.contents import counted, json_digest
from gpt2simple.training.callbacks.base import CallbackGroup
from gpt2simple.training.checkpoint import Checkpointer, NoCheckpoints, RunCheckpointer, restore
from gpt2simple.training.interrupt import stop_on_signals
from gpt2simple.training.loop import train
from gpt2simple.training.memory import choose_gradient_checkpointing, estimate_seconds_per_step, weight_bytes
from gpt2simple.training.plan import StepPlan, plan_steps
from gpt2simple.training.state import TrainerState
from gpt2simple.training.trainer import Trainer, build_trainer

logger = logging.getLogger(__name__)


def before_start(
    text: Summary, plan: StepPlan, seconds_per_step: float, *, at_least: bool = False, control: Path | None = None
) -> Iterator[str]:
    """The messages before the first step: a summary of the text, and how long training will take.

    Args:
        text: the summary. plan: where the run ends. seconds_per_step: estimated, on this device.
        at_least: whether a step may take much longer than that, as on a GPU.
        control: the run that follows as a control; None: none does.
    """
    yield text.text()
    about = "at least" if at_least else "about"
    step, epoch = duration(seconds_per_step), duration(seconds_per_step * plan.steps_per_epoch)
    if plan.endless:
        yield f"A step takes {about} {step} here, an epoch {about} {epoch}; the run ends when you stop it."
    elif plan.last_step is None:
        yield (
            f"A step takes {about} {step} here, an epoch {about} {epoch}; the run ends when held-out loss stops "
            "improving, often after 2 to 6 epochs."
        )
    else:
        yield (
            f"{counted(plan.last_step, 'step')} ({plan.last_step / plan.steps_per_epoch:.1f} "
            f"epochs) take {about} {duration(seconds_per_step * plan.last_step)} in all on this device."
        )
    if control is not None:
        both = "" if plan.last_step is None else f", {about} {duration(2 * seconds_per_step * plan.last_step)} together"
        yield f"Two runs: this one, then its control, {control.name}, the same training from random weights{both}."


def duration(seconds: float) -> str:
    """A time in a readable unit."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    if seconds < 5400.0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run that is about to train: the request, the model, its data and the folder."""

    request: Request
    loaded: LoadedModel
    folder: RunWriter
    prepared: Prepared
    plan: StepPlan
    gradient_checkpointing: bool

    def description(self) -> RunDescription:
        request = self.request
        return RunDescription(
            model_name=recorded_name(request.model_name),
            settings=request.settings,
            text_settings=request.text,
            data_fingerprint=self.prepared.fingerprint,
            validation_fingerprint=self.prepared.validation_fingerprint,
            data_summary=self.prepared.summary.to_json(),
            tokenizer_fingerprint=self.loaded.tokenizer.fingerprint,
            seed=request.seed,
            parameters=self.loaded.config.parameters,
            environment={
                **versions(),
                "precision": request.precision,
                "device": devices.device_name(),
                "replicas": str(request.replicas),
                "gradient_checkpointing": "on" if self.gradient_checkpointing else "off",
                **devices.thread_counts(),
            },
        )

    def in_common(self) -> dict[str, Any]:
        """What must be the same for all workers of the run, by name."""
        config = replace(self.loaded.config, labels=())
        return {
            "model": repr(config),
            "tokenizer": self.loaded.tokenizer.fingerprint,
            "text": self.prepared.fingerprint,
            "held-out text": self.prepared.validation_fingerprint,
            "list of classes": json_digest(list(self.loaded.config.labels)),
        }

    def announcement(self, first_step: int) -> RunPlan:
        settings = self.request.settings
        return RunPlan(
            model_name=recorded_name(self.request.model_name),
            run_dir=self.folder.path,
            first_step=first_step,
            last_step=self.plan.last_step,
            steps_per_epoch=self.plan.steps_per_epoch,
            tokens_per_step=round(self.prepared.row_tokens * settings.batch_size * settings.accumulate_gradients),
            parameters=self.loaded.config.parameters,
            train_tokens=self.prepared.train_tokens,
            held_out_tokens=self.prepared.held_out_tokens,
            print_every=settings.print_every,
            target=self.prepared.target,
            function=self.request.kind.function,
        )

    def seconds_per_step(self) -> float:
        """Estimated, on this device."""
        return estimate_seconds_per_step(
            self.loaded.config, _of_one_replica(self.request), round(self.prepared.row_tokens),
            speed.product_rate(self.request.precision), None if devices.has_gpu() else speed.element_rate(),
            gradient_checkpointing=self.gradient_checkpointing,
        )  # fmt: skip

    def resume_hint(self, reason: str, step: int) -> str:
        """What to call to continue; empty where the error that ended the run says it."""
        name, function = self.folder.path.name, self.request.kind.function
        if isinstance(sys.exception(), TrainingError):
            return ""
        recorded = metrics.read(self.folder.path)
        curves = Curves.of(recorded.steps, recorded.evaluations)
        if reason != "finished" and curves.kind() == "diverged":
            best = curves.trend.best
            call = call_after_divergence(best.step if best else None, function=function)
            return f"Training diverged. To continue: {call}."
        if reason in ("finished", "patience"):
            return f"To continue: {function}(..., run_name={name!r}, steps={step + max(step, 100)})."
        return f"To continue: call {function} again with the same text and run_name={name!r}."


def finetune_run(
    request: Request,
    loaded: LoadedModel,
    folder: RunWriter,
    callbacks: Sequence[TrainingCallback],
    sample: Callable[[Prepared, int], str],
    progress: ProgressBar,
    signals: ExitStack,
    team: Team,
) -> FinetuneResult:
    """Train the loaded model in a run folder that is locked and repaired; afterwards it holds the run's best weights.

    With several workers each calls this; all but the chief leave the folder alone.

    Args:
        request: what to train, and how. loaded: the model to train, with the initial weights of a new run.
        folder: for checkpoints. callbacks: receive the records of the run, on the chief.
        sample: the data of the run and a step -> generated text. progress: shows the progress of encoding the text.
        signals: closed when all is done, or before a test; a signal that comes after the last step takes its effect
            then.
    """
    _log(request.messages)
    run, memory_message = team.together(
        lambda: _prepare(request, loaded, folder, progress, team), lambda made: made[0].in_common()
    )
    description = run.description()

    def decide() -> Start:
        if request.control is not None:
            require_control(RunFolder(request.control), description)
        return decide_start(folder, description, total_steps=run.plan.last_step)

    decided, told = team.of_chief(decide, lambda start: _to_tell(start, folder))
    start = decided or Start(kind="fresh")
    _log(start.messages)
    if told["done"] is not None:
        state = TrainerState.from_json(told["done"])
        _load_best(folder, loaded, team)
        return _result(run, team, state, "done", signals, told["run_dir"])
    _log([memory_message])
    if team.is_chief:
        settings = request.settings
        _log([idle_message(request.replicas, settings.batch_size, settings.accumulate_gradients)])
        _log(
            before_start(
                run.prepared.summary, run.plan, run.seconds_per_step(), at_least=devices.has_gpu(),
                control=request.control,
            )
        )  # fmt: skip
    trainer, state = team.together(lambda: _start(run, start, description, team))
    state = _same_for_all(team, loaded, trainer, state)
    checkpointer: Checkpointer = NoCheckpoints()
    callback = CallbackGroup(callbacks if team.is_chief else ())
    if team.is_chief:
        checkpointer = RunCheckpointer(folder, loaded, trainer, keep=request.settings.max_checkpoints)
    callback.on_start(run.announcement(state.step))
    # The loop handles signals itself; this covers those after its last step, which must not leave a finished run
    # unmarked or the session without a model.
    signals.enter_context(stop_on_signals())
    reason = "failed"
    try:
        reason = train(
            trainer, run.prepared.data, run.plan, state, checkpointer, callback, request.callbacks,
            sample=lambda step: sample(run.prepared, step) if team.is_chief else "",
        )  # fmt: skip
    finally:
        if team.is_chief:
            folder.mark_ended(reason)
            hint = run.resume_hint(reason, state.step)
            callback.on_end(EndRecord(step=state.step, reason=reason, best_step=state.best_step, resume_hint=hint))
    _load_best(folder, loaded, team)
    return _result(run, team, state, reason, signals, told["run_dir"])


def _to_tell(start: Start, folder: RunWriter) -> dict[str, Any]:
    """What the chief tells the other workers: the run's folder, and its state if it is done."""
    done = None
    if start.kind == "done":
        assert start.checkpoint is not None
        done = start.checkpoint.state["progress"]
    return {"done": done, "run_dir": str(folder.path)}


def _same_for_all(team: Team, loaded: LoadedModel, trainer: Trainer, state: TrainerState) -> TrainerState:
    """The chief's state, and its weights, moments and counters in the variables of all workers."""

    def counted() -> dict[str, Any]:
        return {"progress": state.to_json(), "trainer": trainer.counters()}

    _, told = team.of_chief(counted, lambda values: values)
    if team.is_chief:
        state_of_all = state
    else:
        state_of_all = TrainerState.from_json(told["progress"])
        trainer.set_counters(told["trainer"])
    for part in loaded.parts():
        team.share(part)
    team.share(lambda: trainer.optimizer.state().values())
    return state_of_all


def training_sampler(new_generator: Callable[[], Generator]) -> Callable[[Prepared, int], str]:
    """A function from a run's data and a step to what the model writes then."""

    def sample(prepared: Prepared, step: int) -> str:
        assert prepared.sample is not None, "a sample of a task that has none"
        with closing(new_generator()) as generator:  # it lives only as long as this takes
            return prepared.sample(generator, step)

    return sample


def _prepare(
    request: Request, loaded: LoadedModel, folder: RunWriter, progress: ProgressBar, team: Team
) -> tuple[_Run, str | None]:
    """The run with its data, and a message about memory, if any.

    Raises:
        DataError: the text is empty or too short. SettingsError: the window is longer than the model's context.
    """
    settings, config = request.settings, loaded.config
    prepared = request.kind.prepare(request, loaded, progress)
    if request.replicas > 1:
        prepared = replace(prepared, data=prepared.data.shared(request.replicas, team.replicas.numbers))
    packed = prepared.data.packed
    plan = plan_steps(
        settings, prepared.rows_per_epoch, prepared.held_out_rows, sample_every=prepared.sample_every,
    )  # fmt: skip
    goes_on = continues(folder, settings.restore_from)
    gradient_checkpointing, message = choose_gradient_checkpointing(
        config, _of_one_replica(request), prepared.longest_row, tf.as_dtype(request.precision).size,
        free_memory(weight_bytes(config)), on_gpu=devices.has_gpu(), targets=packed and packed.targets,
        takes_adapter=request.control is None and not (goes_on and folder.checkpoints()),
    )  # fmt: skip
    run = _Run(
        request=request, loaded=loaded, folder=folder, prepared=prepared, plan=plan,
        gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    return run, message


def _of_one_replica(request: Request) -> TrainingSettings:
    """The settings of a run with the batch that one of its replicas computes, for estimates."""
    settings = request.settings
    rows, micro_batches = batch_of_one(request.replicas, settings.batch_size, settings.accumulate_gradients)
    return replace(settings, batch_size=rows, accumulate_gradients=micro_batches)


def _start(run: _Run, start: Start, description: RunDescription, team: Team) -> tuple[Trainer, TrainerState]:
    """The trainer and state that the run starts from; prepares the run folder, on the chief."""
    request, loaded = run.request, run.loaded
    if start.checkpoint is not None:
        loaded.refill(start.checkpoint.path)
    trainer = build_trainer(
        container_of(loaded) if request.callbacks else None,  # importing transformers takes a second
        loaded.variables,
        loaded.config,
        request.settings,
        run.prepared.task,
        dtype=tf.as_dtype(request.precision),
        seed=request.seed,
        last_step=run.plan.last_step,
        gradient_checkpointing=run.gradient_checkpointing,
        compile_whole_step=devices.compiles_whole_step(),
        packed=run.prepared.data.packed,
        replicas=team.replicas,
        shares=run.prepared.data.shares,
    )
    if not team.is_chief:
        return trainer, TrainerState()
    if start.checkpoint is None:
        settings = request.settings
        overwrite = settings.overwrite and settings.restore_from not in ("latest", "best")
        if start.kind == "fresh" and start.weights_from is not None:  # for a call that goes on from step 0
            recorded = replace(settings, restore_from=str(start.weights_from))
            description = replace(description, settings=recorded)
        files = {**model_files(loaded.config, loaded.tokenizer), **run.prepared.files}
        if loaded.base is not None:
            files |= adapter_files(loaded.config, loaded.base, dropout=settings.lora_dropout)
        run.folder.create(description, files, overwrite=overwrite)
        return trainer, TrainerState()
    state = restore(trainer, start.checkpoint)
    run.folder.rewind(start.step)
    began = run.folder.info.description.settings.restore_from  # which stays on record
    description = replace(description, settings=replace(request.settings, restore_from=began))
    run.folder.describe(description, start.step, start.changes)
    return trainer, state


def _log(messages: Iterable[str | None]) -> None:
    for message in filter(None, messages):
        logger.info(message)


def _load_best(folder: RunWriter, loaded: LoadedModel, team: Team) -> None:
    """Load the best weights, on all workers."""
    if team.is_chief and (best := folder.best(weights_only=True)) is not None:
        loaded.refill(best.path)
    team.share(loaded.parts()[-1])


def _result(
    run: _Run, team: Team, state: TrainerState, reason: str, signals: ExitStack, run_dir: str
) -> FinetuneResult:
    # The chief's reason, as its run.json has it: a signal to another one may have come in a step that was the last.
    _, (train_loss, reason) = team.of_chief(lambda: (_training_loss(run.folder.path, state), reason), list)
    test, found = run.prepared.test, None
    if test is not None and reason != "interrupted":
        try:
            signals.close()  # all is saved, and a test may take minutes
            found = test(run.loaded, Path(run_dir).name)
        except KeyboardInterrupt:
            reason = "interrupted"
    return FinetuneResult(
        run_dir=Path(run_dir),
        steps=state.step,
        reason=reason,
        best_step=state.best_step,
        best_loss=state.best.get("loss"),
        best_bits_per_byte=state.best.get("bits_per_byte"),
        best_accuracy=state.best.get("accuracy"),
        evaluations_since_best=state.evaluations_since_best,
        train_loss=train_loss,
        seconds=state.seconds,
        target=run.prepared.target,
        test=found,
    )


def _training_loss(run_dir: Path, state: TrainerState) -> float:
    """Training loss at the end, as loss.png and reports have it; the running mean where the run's records are gone."""
    steps = metrics.read(run_dir).steps
    return float(Curves.of(steps, ()).drawn()[2][-1]) if steps else state.smoothed_loss
