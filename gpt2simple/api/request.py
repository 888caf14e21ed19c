"""What a call asks for: fine-tuning settings completed by those of the run it continues, and generation settings.

Everything here is checked before anything is loaded.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import folder_config, model_config_of, name_of_config
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.layout import RUN_FILE
from gpt2simple.runs.resume import begins_with, continues, with_recorded
from gpt2simple.runs.writer import RunDirectory
from gpt2simple.settings import FinetuneSettings, GenerateSettings, SessionSettings, TextSettings
from gpt2simple.settings.fields import is_text
from gpt2simple.settings.session import DEFAULT_MODEL

if TYPE_CHECKING:  # it loads TensorFlow, which checking a request does not need
    from gpt2simple.backend.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a call asks for, its settings completed by the run's where it continues one.

    Attributes:
        weights_from: the folder of the model that a new run begins with; None: the one that ``model_name`` names.
    """

    dataset: Any
    model_name: str
    weights_from: Path | None
    settings: FinetuneSettings
    text: TextSettings
    precision: str  # dtype name of the products
    seed: int
    callbacks: Sequence[Any]  # tf_keras's
    messages: tuple[str, ...] = ()  # for the user


def complete_request(
    run: RunDirectory,
    dataset: Any,
    finetune: Mapping[str, Any],
    text: Mapping[str, Any],
    callbacks: Sequence[Any],
    *,
    session: SessionSettings,
    precision: Precision,
    next_seed: Callable[[], int],
) -> Request:
    """The request that a call makes of a run.

    Args:
        run: the run's folder, which need not hold a run yet.
        finetune, text: the settings that the user gave by name; the others are the run's, or the defaults.
        session: whose model begins a new run; None: the run's, that of the folder which ``restore_from`` names, or the
            default.
        precision: the session's; the run's replaces it, unless the user asked for it by name.
        next_seed: draws a seed for a new run that was given none.

    Raises:
        RunError: ``restore_from`` does not fit what is there. SettingsError: its model is not the one named.
        CheckpointError: it holds none.
    """
    if continues(run, finetune.get("restore_from", "latest")):
        recorded = run.info.description
        chosen = precision.training
        used = chosen if precision.named else recorded.environment.get("precision", chosen)
        return Request(
            dataset=dataset,
            model_name=session.model_name or recorded.model_name,
            weights_from=None,
            settings=with_recorded(recorded.settings, finetune),
            text=with_recorded(recorded.text_settings, text),
            precision=used,
            seed=recorded.seed,
            callbacks=callbacks,
            messages=() if used == chosen else (_stays_in(used, chosen),),
        )
    settings = FinetuneSettings(**finetune)
    folder = begins_with(run, settings.restore_from, overwrite=settings.overwrite)
    return Request(
        dataset=dataset,
        model_name=(session.model_name or DEFAULT_MODEL) if folder is None else _name_of(folder, session),
        weights_from=folder,
        settings=settings,
        text=TextSettings(**text),
        precision=precision.training,
        seed=settings.seed if settings.seed is not None else next_seed(),
        callbacks=callbacks,
    )


def _name_of(folder: Path, session: SessionSettings) -> str:
    """The name under which a run records the model of a folder: as given, as recorded there, its size, or the folder.

    Raises:
        SettingsError: a model of another shape was named. CheckpointError: the folder holds none.
    """
    config, model_name = folder_config(folder), session.model_name
    if model_name is None:
        return _recorded_name(folder) or name_of_config(config) or str(folder)
    named = model_config_of(model_name, Path(session.model_dir))
    if named != config:
        raise SettingsError(
            f"{folder}, which the run is to begin with, holds a model of {_in_words(config)}; model_name is "
            f"{model_name!r}, a model of {_in_words(named)}. Leave model_name out, or name the model that the folder "
            "comes from."
        )
    return model_name


def _recorded_name(folder: Path) -> str | None:
    with contextlib.suppress(RunError):  # a torn run.json: the model beside it may be whole
        return RunInfo.read(folder).description.model_name if (folder / RUN_FILE).is_file() else None
    return None


def _in_words(config: ModelConfig) -> str:
    return (
        f"{config.n_layer} layers of width {config.n_embd} with {config.n_head} heads, {config.n_ctx} tokens of "
        f"context and a vocabulary of {config.n_vocab}"
    )


def _stays_in(used: str, chosen: str) -> str:
    return f"The run was begun in {used} and goes on in it; precision={chosen!r}, said by name, would change that."


def drawn_seed() -> int:
    """A seed for whoever gave none."""
    return secrets.randbelow(2**31)


Seeds = Callable[[], int]  # draws a seed for a call that was given none


def asked_for(prefix: Any, given: Mapping[str, Any], next_seed: Seeds) -> tuple[list[str], GenerateSettings]:
    """The prefixes and the settings of a call.

    Args:
        prefix: one or several; None is an empty one. given: the settings by name.

    Raises:
        SettingsError: the prefix is no text, or a setting is unknown or out of range.
    """
    prefixes, settings = prefixes_of(prefix), GenerateSettings(**given)
    return prefixes, settings if settings.seed is not None else replace(settings, seed=next_seed())


def asked_for_one(prefix: Any, given: Mapping[str, Any], next_seed: Seeds) -> tuple[list[str], GenerateSettings]:
    """The same for a call that writes one text and tells nothing of it.

    Raises:
        SettingsError: also where several texts are asked for, or logprobs.
    """
    refuse_logprobs(given)
    prefixes, settings = asked_for(prefix, given, next_seed)
    if settings.nsamples != 1:
        raise SettingsError(
            f"nsamples is {settings.nsamples}; stream() writes one text. Use generate(nsamples={settings.nsamples})."
        )
    if len(prefixes) != 1:
        raise SettingsError(f"prefix holds {len(prefixes)} texts; stream() writes one text. Use pieces(prefix).")
    return prefixes, settings


def prefixes_of(prefix: Any) -> list[str]:
    """The prefixes of a call.

    Raises:
        SettingsError: it is neither None, nor a string, nor several.
    """
    if prefix is None or isinstance(prefix, str):
        return [prefix or ""]
    prefixes = list(prefix) if isinstance(prefix, Iterable) else [prefix]
    if not all(isinstance(text, str) for text in prefixes):
        raise SettingsError(f"prefix is {prefix!r}; expected a string or a list of strings.")
    return prefixes


def refuse_logprobs(given: Mapping[str, Any]) -> None:
    """Raise SettingsError where a call that gives texts alone is asked for what they cannot carry."""
    if given.get("logprobs"):
        raise SettingsError(
            "logprobs is True, and this call gives texts alone. session.samples(...) gives each text with the "
            "log-probabilities of its tokens, and so does gpt2simple generate --json."
        )


def require_delim(delim: Any) -> None:
    """Raise SettingsError where what is to stand between samples is no text."""
    if not is_text(delim):
        raise SettingsError(f"sample_delim is {delim!r}; expected a string of valid Unicode.")
