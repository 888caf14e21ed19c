"""What may change when a run goes on, and what may not.

Three kinds of settings, and why:

* ``FREE``: they decide how long, how often and what is shown, not what is computed. They change silently; the run
  still equals one that had them from the start.
* ``CHANGES_THE_COURSE``: the run can go on with another value, and people want to (a lower rate, more dropout), but
  it no longer equals any run in one go. They change with a notice and are recorded in run.json. ``steps`` and
  ``epochs`` belong here when the schedule is not constant, because it stretches over them.
* every other setting fixes what the saved position, random streams or optimizer tensors mean (``batch_size``,
  ``window``, ``seed``, ``optimizer`` ...): another value is refused, with the ways on.

A setting that the call leaves out keeps the run's value, not the default. Knows settings and descriptions; no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gpt2simple.errors import RunError
from gpt2simple.runs.description import RunDescription
from gpt2simple.settings import FinetuneSettings, from_json, to_json

SettingsT = TypeVar("SettingsT")

FREE = frozenset(
    {
        "steps", "epochs", "eval_every", "early_stopping_patience", "save_every", "max_checkpoints", "sample_every",
        "sample_length", "print_every", "restore_from", "overwrite",
    }
)  # fmt: skip
CHANGES_THE_COURSE = frozenset(
    {
        "learning_rate", "schedule", "warmup_steps", "weight_decay", "clip_norm", "dropout", "gradient_checkpointing",
    }
)  # fmt: skip
_FREE_OF_THE_TEXT = frozenset({"cache_dir"})
_NOT_INHERITED = ("restore_from", "overwrite")  # they are about one call


def with_recorded(recorded: SettingsT, given: Mapping[str, Any]) -> SettingsT:
    """The settings of a call that continues a run: those given, and the run's for those left out.

    ``steps`` and ``epochs`` are one choice: who gives one of them drops the other.

    Args:
        recorded: from ``RunInfo.description``.
        given: what the call said, by name.

    Raises:
        SettingsError: a value out of range, or values that contradict each other.
    """
    kept = {name: value for name, value in to_json(recorded).items() if name not in _NOT_INHERITED}
    if given.get("steps") is not None or given.get("epochs") is not None:
        kept["steps"] = kept["epochs"] = None
    if given.get("only_train_transformer_layers") or given.get("train_last_n_layers") is not None:
        kept["only_train_transformer_layers"], kept["train_last_n_layers"] = False, None
    if "column" in given or "template" in given:
        kept["column"] = kept["template"] = None
    merged = {**kept, **given}
    return from_json(type(recorded), {k: v for k, v in merged.items() if k in to_json(recorded)})


def require_continuable(path: Path, recorded: RunDescription, wanted: RunDescription) -> None:
    """Return if a call may go on with a run.

    Args:
        path: the run's folder, for messages.
        recorded: what the run is.
        wanted: what the call asks for.

    Raises:
        RunError: another model, tokenizer or text, or a setting that cannot change half-way; the ways on are named.
    """
    _require_same_model(path, recorded, wanted)
    _require_same_text(path, recorded, wanted)
    _require_changeable(path, _changed_settings(recorded, wanted.settings))


def changes_of_course(recorded: RunDescription, wanted: RunDescription) -> dict[str, tuple[Any, Any]]:
    """The settings that differ and change the course of training from here on: name to (before, now)."""
    changed = _changed_settings(recorded, wanted.settings)
    return {name: pair for name, pair in changed.items() if _changes_the_course(name, wanted.settings)}


def _require_same_model(path: Path, recorded: RunDescription, wanted: RunDescription) -> None:
    if recorded.model_name != wanted.model_name:
        raise RunError(
            f"{path} is a run of the model {recorded.model_name}, and this call names {wanted.model_name}. "
            + _ways_on(f"model_name={recorded.model_name!r} to continue it")
        )
    if recorded.tokenizer_fingerprint != wanted.tokenizer_fingerprint:
        raise RunError(
            f"{path} was trained with another tokenizer than this model's: its token ids mean other text. "
            + _ways_on("the model and tokenizer it began with to continue it")
        )


def _require_same_text(path: Path, recorded: RunDescription, wanted: RunDescription) -> None:
    before, after = to_json(recorded.text_settings), to_json(wanted.text_settings)
    changed = [n for n in after if before[n] != after[n] and n not in _FREE_OF_THE_TEXT]
    if changed:
        raise RunError(
            f"{path} reads its text with {_listed(before, changed)}, and this call with {_listed(after, changed)}: "
            "other text would be trained on or held out. " + _ways_on(f"{_listed(before, changed)} to continue it")
        )
    if recorded.data_fingerprint != wanted.data_fingerprint:
        raise RunError(
            f"{path} was trained on another text than this call names (or the text has changed since). "
            + _ways_on("the text it began with to continue it")
        )
    held_out = recorded.validation_fingerprint
    if held_out is not None and held_out != wanted.validation_fingerprint:
        raise RunError(
            f"{path} measured its held-out loss on another text than validation_file now holds, so its best loss could "
            "not be compared. " + _ways_on("the validation_file it began with to continue it")
        )


def _changed_settings(recorded: RunDescription, wanted: FinetuneSettings) -> dict[str, tuple[Any, Any]]:
    before = {**to_json(recorded.settings), "seed": recorded.seed}  # the seed drawn, where the call gave none
    after = {**to_json(wanted), "seed": recorded.seed if wanted.seed is None else wanted.seed}
    return {n: (before[n], after[n]) for n in after if before[n] != after[n] and n not in _NOT_INHERITED}


def _require_changeable(path: Path, changes: Mapping[str, tuple[Any, Any]]) -> None:
    fixed = [name for name in changes if name not in FREE | CHANGES_THE_COURSE]
    if fixed:
        before = {name: pair[0] for name, pair in changes.items()}
        after = {name: pair[1] for name, pair in changes.items()}
        raise RunError(
            f"{path} was begun with {_listed(before, fixed)}, and this call gives {_listed(after, fixed)}: its "
            "saved position and optimizer do not fit that. "
            + _ways_on(f"{_listed(before, fixed)} to continue it")
            + f" With another run_name, restore_from={str(path)!r} starts from what this run has learned."
        )


def _changes_the_course(name: str, settings: FinetuneSettings) -> bool:
    return name in CHANGES_THE_COURSE or (name in ("steps", "epochs") and settings.schedule != "constant")


def _ways_on(same: str) -> str:
    return (
        f"Give {same}, or another run_name for a run of its own, "
        'or restore_from="fresh" with overwrite=True to replace this run.'
    )


def _listed(values: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name}={values[name]!r}" for name in names)
