"""Where a fine-tuning call starts: anew, from a checkpoint, or not at all because the run is done.

Knows run folders and descriptions; loads no tensor and writes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2simple.errors import RunError
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.continuing import changes_of_course, require_continuable
from gpt2simple.runs.description import RunDescription, RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.settings import FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fine-tuning call begins with.

    Attributes:
        kind: "fresh": a new run; "legacy": a new run beside gpt-2-simple's files, from their weights; "continue": from
            ``checkpoint``; "done": the run is as long as was asked for.
        step: optimizer steps done before the first one of this call.
        checkpoint: what to restore; None for "fresh" and "legacy".
        weights_from: the model folder that a new run begins with; None: the model that was named.
        changes: settings that now change the course of training: name to (before, now).
        notices: sentences for the user, in order.
    """

    kind: Literal["fresh", "legacy", "continue", "done"]
    step: int = 0
    checkpoint: StepCheckpoint | None = None
    weights_from: Path | None = None
    changes: Mapping[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)
    notices: tuple[str, ...] = ()


def continues(run: RunFolder, restore_from: str) -> bool:
    """Whether a call with this ``restore_from`` goes on with what is in the folder, so that settings left out are the
    run's."""
    return restore_from in ("latest", "best") and bool(run.checkpoints())


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
    if continues(run, restore_from):
        return _continued(run, wanted, total_steps)
    folder = begins_with(run, restore_from, overwrite=wanted.settings.overwrite)
    if restore_from not in ("latest", "best") or folder is None:
        return Start(kind="fresh", weights_from=folder)
    legacy = run.legacy_step
    assert legacy is not None, folder
    notice = (
        f"Continuing gpt-2-simple's checkpoint of step {legacy} in {run.path}; "
        "its files stay as they are, ours go beside them."
    )
    return Start(kind="legacy", step=legacy, weights_from=folder, notices=(notice,))


def begins_with(run: RunFolder, restore_from: str, *, overwrite: bool) -> Path | None:
    """The model folder whose weights a new run begins with; None: those of the model that was named.

    Args:
        run: where the run will lie. It does not continue what is there, see ``continues``.

    Raises:
        RunError: ``restore_from`` does not fit what is there, or names no folder.
    """
    if restore_from in ("latest", "best"):
        if run.legacy_step is None and restore_from == "best":
            raise RunError(
                f'restore_from is "best", and {run.path} has no checkpoint to continue from. '
                "Leave restore_from out to start a run, or name the run_name of one that exists."
            )
        return None if run.legacy_step is None else run.path
    if run.checkpoints() and not overwrite:
        raise RunError(
            f"{run.path} holds a run already, at step {run.checkpoints()[-1].step}, and restore_from={restore_from!r} "
            "would replace it. Add overwrite=True to do so, leave restore_from out to continue it, "
            "or choose another run_name."
        )
    return None if restore_from == "fresh" else _model_folder(run, Path(restore_from))


def _model_folder(run: RunFolder, path: Path) -> Path:
    if not path.is_dir():
        raise RunError(
            f'restore_from is {str(path)!r}; expected "latest", "best", "fresh", or the path of a model folder, '
            "and there is no such folder. Correct it, or leave it out to continue the run."
        )
    if run.checkpoints() and path.resolve().is_relative_to(run.path.resolve()):
        raise RunError(
            f"restore_from is {str(path)!r}, inside the run {run.path} that would be replaced. "
            "Choose another run_name for the run that starts from it."
        )
    return path


def _continued(run: RunFolder, wanted: RunDescription, total_steps: int | None) -> Start:
    info = run.info
    require_continuable(run.path, info.description, wanted)
    checkpoint = run.best() if wanted.settings.restore_from == "best" else run.latest()
    assert checkpoint is not None, "checkpoints exist, and latest() raises where all are damaged"
    if done := _why_done(run, info, checkpoint.step, total_steps, wanted.settings):
        return Start(kind="done", step=checkpoint.step, checkpoint=checkpoint, notices=(done,))
    course = changes_of_course(info.description, wanted)
    notices = _continuing_notices(run, checkpoint.step, course, info.description, wanted)
    return Start(kind="continue", step=checkpoint.step, checkpoint=checkpoint, changes=course, notices=notices)


def _why_done(
    run: RunFolder, info: RunInfo, step: int, total_steps: int | None, settings: FinetuneSettings
) -> str | None:
    ways = 'or restore_from="fresh" with overwrite=True to start anew, or another run_name.'
    if total_steps is not None:
        if step < total_steps:
            return None
        return (
            f"{run.path} is done: it has {step} steps, and {total_steps} were asked for (steps count the run's total). "
            f"Give more steps to go on, such as steps={step + max(total_steps, 100)}, {ways}"
        )
    patience = info.description.settings.early_stopping_patience
    if info.ended != "patience" or settings.early_stopping_patience > patience or settings.restore_from == "best":
        return None
    return (
        f"{run.path} is done: its held-out loss stopped falling, at step {step}. Give steps to go on all the same, "
        f"such as steps={2 * step}, or a larger early_stopping_patience than {patience}, {ways}"
    )


def _continuing_notices(
    run: RunFolder,
    step: int,
    course: Mapping[str, tuple[Any, Any]],
    recorded: RunDescription,
    wanted: RunDescription,
) -> tuple[str, ...]:
    notices = [f"Continuing {run.path} from step {step}."]
    if course:
        what = ", ".join(f"{name} {after!r} instead of {before!r}" for name, (before, after) in course.items())
        notices.append(f"From step {step} on: {what}. The run will not equal one that had this from the start.")
    before, after = recorded.environment, wanted.environment
    # What a run's file does not say, an older version did not record yet.
    differing = [n for n in sorted(before.keys() & after.keys()) if before[n] != after[n] and n not in course]
    if differing:
        what = ", ".join(f"{name} {after[name]} instead of {before[name]}" for name in differing)
        notices.append(f"The run goes on with {what}; it may differ in the last digits from one that kept them.")
    return tuple(notices)
