"""Where a fine-tuning call starts (fresh, from a checkpoint, or nowhere as the run is done), and what may change.

Three kinds of settings, and why:

* ``FREE``: they decide how long, how often and what is shown, not what is computed. They change silently; the run
  still equals one that had them from the start.
* ``CHANGES_TRAINING``: the run can continue with another value, and people want to (a lower rate, more dropout), but
  the result then differs from every uninterrupted run. They change with a message and are recorded in run.json.
  ``steps`` and ``epochs`` belong here when the schedule is not constant, because it stretches over them.
* every other setting fixes what the saved position, random streams or optimizer tensors mean (``batch_size``,
  ``window``, ``seed``, ``optimizer`` ...): another value is refused, and the message says what to do instead.

A setting that the call leaves out keeps the run's value, not the default. A run that has no checkpoint yet goes on
from step 0: nothing was learned, so everything may change, with a message. Knows run folders, settings and
descriptions; loads no tensor and writes nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from gpt2simple.errors import DataError, RunError
from gpt2simple.gpt2.hub.locate import is_same_model
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.description import RunDescription, RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import has_weights
from gpt2simple.settings import ReadingSettings, TrainingSettings, from_json, to_json
from gpt2simple.settings.alternatives import without_replaced

SettingsT = TypeVar("SettingsT")

RANDOM: Final = "random"
Origin = Path | Literal["random"] | None  # of a new run: a model folder, random weights, or the model that was named

FREE = frozenset({
    "steps", "epochs", "eval_every", "early_stopping_patience", "save_every", "max_checkpoints", "sample_every",
    "sample_length", "print_every", "restore_from", "overwrite", "early_stopping_metric",
})  # fmt: skip

CHANGES_TRAINING = frozenset({
    "learning_rate", "schedule", "warmup_steps", "weight_decay", "clip_norm", "dropout", "gradient_checkpointing",
    "lora_dropout", "base_precision",
})  # fmt: skip

_WITHOUT_EFFECT = frozenset[str](
    {"print_every", "save_every", "max_checkpoints", "gradient_checkpointing"}
)  # on results
_FREE_OF_THE_TEXT = frozenset({"cache_dir"})
_NOT_INHERITED = ("restore_from", "overwrite")  # they are about one call


def with_recorded(recorded: SettingsT, given: Mapping[str, Any]) -> SettingsT:
    """The settings of a call that continues a run: those given, and the run's for those left out.

    Alternatives replace each other, see ``without_replaced``.

    Args:
        recorded: from ``RunInfo.description``.
        given: the settings of the call, by name.

    Raises:
        SettingsError: a value out of range, or values that contradict each other.
    """
    kept = {name: value for name, value in to_json(recorded).items() if name not in _NOT_INHERITED}
    merged = {**without_replaced(kept, given), **given}
    return from_json(type(recorded), {k: v for k, v in merged.items() if k in to_json(recorded)})


def require_task(recorded: str, wanted: str, path: Path) -> None:
    """Return if a run is of the task that a call is for.

    Raises:
        RunError: it is of another one.
    """
    if recorded != wanted:
        raise RunError(
            f"{path} is a run of {recorded}, and this call is for {wanted}. Give another run_name for a run of its "
            'own, or restore_from="fresh" with overwrite=True to replace this run.'
        )


def require_same_parts(recorded: ReadingSettings, wanted: ReadingSettings, noun: str) -> None:
    """Return if a call divides labelled texts, or pairs, as a run did; the noun is "texts" or "pairs".

    Raises:
        RunError: it gives another share of one part.
    """
    for name in ("validation_split", "test_split"):
        before, after = getattr(recorded, name), getattr(wanted, name)
        if before != after:
            raise RunError(
                f"The run was trained with {name}={before!r}, and this call gives {after!r}: {noun} of training would "
                f"count as new ones. Leave {name} out."
            )


def require_same_data(
    recorded: RunDescription, fingerprint: str, validation_fingerprint: str | None, noun: str
) -> None:
    """Return if a call names the labelled texts, or pairs, of a run; the noun is "texts" or "pairs".

    Raises:
        DataError: it names others.
    """
    if (fingerprint, validation_fingerprint) != (recorded.data_fingerprint, recorded.validation_fingerprint):
        raise DataError(
            f"The dataset (with the files to validate and test with, if any) is not the {noun} that the run was "
            f"trained on, or has changed since, so its parts are unknown. Give the original {noun}, or evaluate all of "
            'these: part="all".'
        )


def require_continuable(path: Path, recorded: RunDescription, wanted: RunDescription) -> None:
    """Return if a call may continue a run.

    Args:
        path: the run's folder, for messages.
        recorded: what the run is.
        wanted: what the call asks for.

    Raises:
        RunError: another model, tokenizer or text, or a setting that cannot change half-way; the message lists what
            to do instead.
    """
    if difference := _difference(recorded, wanted):
        problem, needed = difference
        raise RunError(f"{path} {problem}. {_advice(needed)}")
    changes = _changed_settings(recorded, wanted)
    fixed = [name for name in changes if name not in FREE | CHANGES_TRAINING]
    if fixed:
        before, after = (listed({name: pair[i] for name, pair in changes.items()}, fixed) for i in (0, 1))
        raise RunError(
            f"{path} was started with {before}, and this call gives {after}: its saved position and optimizer state do "
            f"not fit that. {_advice(before)} With another run_name, restore_from={str(path)!r} starts from what this "
            "run has learned."
        )


def training_changes(recorded: RunDescription, wanted: RunDescription) -> dict[str, tuple[Any, Any]]:
    """The settings that differ and change the course of training from here on: name to (before, now)."""
    relevant = CHANGES_TRAINING | (set() if wanted.settings.schedule == "constant" else {"steps", "epochs"})
    changed = _changed_settings(recorded, wanted)
    return {name: pair for name, pair in changed.items() if name in relevant}


def require_control(run: RunFolder, main: RunDescription) -> None:
    """Return if a folder is free for the control of a run, or holds one that the call may continue or replace.

    Args:
        run: where the control lies or would lie. main: what the call asks for.

    Raises:
        RunError: it holds another run.
    """
    if not run.exists:
        return
    recorded, settings = run.info.description, main.settings
    replaces = settings.overwrite and settings.restore_from not in ("latest", "best")
    problem: str | None = "it did not start from random weights"
    if recorded.settings.restore_from == RANDOM:
        problem = None if replaces else _other_training(recorded, main, FREE | CHANGES_TRAINING)
    if problem is None:
        return
    raise RunError(
        f"The control would be the run {run.path}, which is there already and is another one: {problem}. Rename that "
        "folder, or give another run_name, or leave control out."
    )


def is_control(control: RunDescription, main: RunDescription) -> bool:
    """Whether one run is the training of the other from random weights."""
    return control.settings.restore_from == RANDOM and _other_training(control, main, _WITHOUT_EFFECT) is None


def _other_training(recorded: RunDescription, wanted: RunDescription, free: frozenset[str]) -> str | None:
    """How two trainings differ, but for these settings and where they begin; None: they do not."""
    if recorded.task != wanted.task:
        return f"it is a run of {recorded.task}"
    if difference := _difference(recorded, wanted):
        return f"it {difference[0]}"
    before = {**to_json(recorded.settings), "seed": recorded.seed}
    after = {**to_json(wanted.settings), "seed": wanted.seed}
    changed = [n for n in after if before[n] != after[n] and n not in {*free, *_NOT_INHERITED}]
    return f"it has {listed(before, changed)}, not {listed(after, changed)}" if changed else None


def _difference(recorded: RunDescription, wanted: RunDescription) -> tuple[str, str] | None:
    """How the model or text of a call differs from the run's, and what the call would need; None: it does not."""
    if not is_same_model(recorded.model_name, wanted.model_name):
        problem = f"is a run of the model {recorded.model_name}, and this call names {wanted.model_name}"
        return problem, f"model_name={recorded.model_name!r}"
    tokens = [to_json(each.settings).get("special_tokens") for each in (recorded, wanted)]
    if tokens[0] != tokens[1]:
        problem = f"was started with special_tokens={tokens[0]}, and this call gives {tokens[1]}"
        return f"{problem}: a run's vocabulary cannot change", f"special_tokens={tokens[0]}"
    if recorded.tokenizer_fingerprint != wanted.tokenizer_fingerprint:
        problem = "was trained with another tokenizer than this model's: its token ids mean other text"
        return problem, "the model and tokenizer it began with"
    before, after = to_json(recorded.text_settings), to_json(wanted.text_settings)
    changed = [n for n in after if before[n] != after[n] and n not in _FREE_OF_THE_TEXT]
    if changed:
        problem = f"reads its text with {listed(before, changed)}, and this call with {listed(after, changed)}"
        return f"{problem}: other text would be trained on or held out", listed(before, changed)
    if recorded.data_fingerprint != wanted.data_fingerprint:
        problem = "was trained on another text than this call names (or the text has changed since)"
        return problem, "the text it began with"
    # The first versions recorded the name of validation_file alone.
    known = recorded.validation_fingerprint is not None or before.get("validation_file") is None
    if known and recorded.validation_fingerprint != wanted.validation_fingerprint:
        problem = "measured its held-out loss on another text than this call holds out (validation_file, or the file "
        return f"{problem}of a folder), so its best loss could not be compared", "the held-out text it began with"
    return None


def _changed_settings(recorded: RunDescription, wanted: RunDescription) -> dict[str, tuple[Any, Any]]:
    """The settings that differ: name to (before, now), with the values that defaults stand for."""
    seed = recorded.seed if wanted.settings.seed is None else wanted.settings.seed
    both = ((recorded.settings, recorded.seed), (wanted.settings, seed))  # the seed drawn, where the call gave none
    before, after = (to_json(settings) | {"seed": seed} for settings, seed in both)
    was, now = (to_json(settings.in_effect(wanted.parameters)) | {"seed": seed} for settings, seed in both)
    changed = [n for n in after if before[n] != after[n] and n not in _NOT_INHERITED]
    return {n: (was[n], now[n]) for n in changed if was[n] != now[n]}


def _advice(same: str) -> str:
    own = "another run_name for a run of its own"
    return f'Give {same} to continue it, or {own}, or restore_from="fresh" with overwrite=True to replace this run.'


def listed(values: Mapping[str, Any], names: Iterable[str]) -> str:
    """Settings for a message: ``steps=100, seed=7``."""
    return ", ".join(f"{name}={values[name]!r}" for name in names)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fine-tuning call begins with.

    Attributes:
        kind: "fresh": a new run; "legacy": a new run beside gpt-2-simple's files, from their weights; "continue": from
            ``checkpoint``; "done": the run already has the steps of the call.
        step: optimizer steps done before the first one of this call.
        checkpoint: what to restore; None for "fresh" and "legacy".
        weights_from: what a new run begins with.
        changes: settings that now change the course of training: name to (before, now).
        messages: sentences for the user, in order.
    """

    kind: Literal["fresh", "legacy", "continue", "done"]
    step: int = 0
    checkpoint: StepCheckpoint | None = None
    weights_from: Origin = None
    changes: Mapping[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)
    messages: tuple[str, ...] = ()


def continues(run: RunFolder, restore_from: str) -> bool:
    """Whether a call with this ``restore_from`` continues the run there, so that settings left out are the run's.

    Also if it was stopped before its first checkpoint, unless the best one was asked for.
    """
    return bool(run.checkpoints()) if restore_from == "best" else restore_from == "latest" and run.exists


def decide_start(run: RunFolder, wanted: RunDescription, *, total_steps: int | None) -> Start:
    """Where this call starts. Writes nothing.

    Args:
        run: the folder, locked and repaired.
        wanted: what the call asks for, its settings completed by ``with_recorded`` where the run ``continues``.
        total_steps: the run's length, from ``steps`` or ``epochs``; None: until held-out loss stops falling.

    Raises:
        RunError: the folder holds another text, another model, or settings that cannot change half-way; or
            ``restore_from`` does not fit what is there.
    """
    restore_from = wanted.settings.restore_from
    goes_on = continues(run, restore_from)
    if goes_on and run.checkpoints():
        return _continued(run, wanted, total_steps)
    messages = _messages_at_step_0(run, wanted) if goes_on else ()
    folder = begins_with(run, restore_from, overwrite=wanted.settings.overwrite)
    legacy = run.legacy_step
    if restore_from not in ("latest", "best") or folder is None or legacy is None:
        return Start(kind="fresh", weights_from=folder, messages=messages)
    message = f"Continuing gpt-2-simple's checkpoint of step {legacy} in {run.path}; its files are kept, "
    messages = (f"{message}and new ones are added.", *messages[1:])
    return Start(kind="legacy", step=legacy, weights_from=folder, messages=messages)


def begins_with(run: RunFolder, restore_from: str, *, overwrite: bool) -> Origin:
    """What a new run begins with.

    Args:
        run: where the run will lie. It does not continue what is there, see ``continues``.

    Raises:
        RunError: ``restore_from`` does not fit what is there, or names no folder.
    """
    replaces = overwrite and restore_from not in ("latest", "best")
    if run.exists and not run.checkpoints() and has_weights(run.path) and not replaces:
        raise RunError(
            f"{run.path} holds a trained model whose checkpoints were removed, so training cannot continue. Start a "
            f"run from this model under another run_name, with restore_from={str(run.path)!r}, or replace it with "
            'restore_from="fresh" and overwrite=True.'
        )
    if restore_from in ("latest", "best"):
        if run.legacy_step is None and restore_from == "best":
            raise RunError(
                f'restore_from is "best", and {run.path} has no checkpoint to continue from. '
                "Leave restore_from out to start a run, or name the run_name of one that exists."
            )
        if run.legacy_step is not None:
            return run.path
        return _recorded_beginning(run) if run.exists else None
    if run.checkpoints() and not overwrite:
        raise RunError(
            f"{run.path} holds a run already, at step {run.checkpoints()[-1].step}, and restore_from={restore_from!r} "
            "would replace it. Add overwrite=True to do so, leave restore_from out to continue it, "
            "or choose another run_name."
        )
    if restore_from in ("fresh", RANDOM):
        return RANDOM if restore_from == RANDOM else None
    path = Path(restore_from)
    if not os.path.isdir(path):  # Path.is_dir() raises where a name is too long
        raise RunError(
            f'restore_from is {str(path)!r}; expected "latest", "best", "fresh", "random", or the path of a model '
            "folder, and there is no such folder. Correct it, or leave it out to continue the run."
        )
    if run.checkpoints() and path.resolve().is_relative_to(run.path.resolve()):
        raise RunError(
            f"restore_from is {str(path)!r}, inside the run {run.path} that would be replaced. "
            "Choose another run_name for the run that starts from it."
        )
    return path


def _recorded_beginning(run: RunFolder) -> Origin:
    """What a run without checkpoints was started from."""
    recorded = run.info.description.settings.restore_from
    if recorded in ("latest", "best", "fresh"):
        return None
    if recorded == RANDOM:
        return RANDOM
    if not Path(recorded).is_dir():
        raise RunError(
            f"{run.path} has no checkpoint yet and was started from the model folder {recorded!r}, which is not there "
            'any more. Put it back, or start over with restore_from="fresh", or another folder as restore_from.'
        )
    return Path(recorded)


def _messages_at_step_0(run: RunFolder, wanted: RunDescription) -> tuple[str, ...]:
    recorded = run.info.description
    changes = {n: pair for n, pair in _changed_settings(recorded, wanted).items() if n not in FREE}
    before, after = to_json(recorded.text_settings), to_json(wanted.text_settings)
    changes |= {n: (before[n], after[n]) for n in after if before[n] != after[n] and n not in _FREE_OF_THE_TEXT}
    if not is_same_model(recorded.model_name, wanted.model_name):
        changes["model_name"] = (recorded.model_name, wanted.model_name)
    messages = [f"Continuing {run.path} from step 0."]
    if changes:
        messages.append(f"It had no checkpoint yet, so it changes to: {_instead(changes)}.")
    if recorded.data_fingerprint != wanted.data_fingerprint:
        messages.append("It had no checkpoint yet, so it changes to this text, which is not the one it was started on.")
    return tuple(messages)


def _instead(changes: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} {after!r} instead of {before!r}" for name, (before, after) in changes.items())


def _continued(run: RunFolder, wanted: RunDescription, total_steps: int | None) -> Start:
    info = run.info
    require_continuable(run.path, info.description, wanted)
    checkpoint = run.best() if wanted.settings.restore_from == "best" else run.latest()
    assert checkpoint is not None, "checkpoints exist, and latest() raises where all are damaged"
    if done := _why_done(run, info, checkpoint.step, total_steps, wanted.settings):
        return Start(kind="done", step=checkpoint.step, checkpoint=checkpoint, messages=(done,))
    changes = training_changes(info.description, wanted)
    messages = _continuing_messages(run, checkpoint.step, changes, info.description, wanted)
    return Start(kind="continue", step=checkpoint.step, checkpoint=checkpoint, changes=changes, messages=messages)


def _why_done(
    run: RunFolder, info: RunInfo, step: int, total_steps: int | None, settings: TrainingSettings
) -> str | None:
    others = 'or restore_from="fresh" with overwrite=True to start over, or another run_name.'
    if total_steps is not None:
        if step < total_steps:
            return None
        return (
            f"{run.path} is done: it has {step} steps, and {total_steps} were requested (steps count the run's total). "
            f"Give more steps to continue, such as steps={step + max(total_steps, 100)}, {others}"
        )
    patience = info.description.settings.early_stopping_patience
    wanted = settings.early_stopping_patience
    more = wanted is None or (patience is not None and wanted > patience)
    if info.ended != "patience" or more or settings.restore_from == "best":
        return None
    return (
        f"{run.path} is done: its held-out loss stopped falling, at step {step}. Give steps to continue anyway, "
        f"such as steps={2 * step}, or a larger early_stopping_patience than {patience}, {others}"
    )


def _continuing_messages(
    run: RunFolder, step: int, changes: Mapping[str, tuple[Any, Any]], recorded: RunDescription, wanted: RunDescription
) -> tuple[str, ...]:
    messages = [f"Continuing {run.path} from step {step}."]
    if changes:
        messages.append(
            f"From step {step} on: {_instead(changes)}. The result will differ from a run that had this from the start."
        )
    before, after = recorded.environment, wanted.environment
    # What a run's file lacks, an older version did not record yet.
    differing = [n for n in sorted(before.keys() & after.keys()) if before[n] != after[n] and n not in changes]
    if differing:
        what = ", ".join(f"{name} {after[name]} instead of {before[name]}" for name in differing)
        messages.append(f"The run continues with {what}; it may differ in the last digits from one that kept them.")
    return tuple(messages)
