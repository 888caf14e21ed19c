"""The requests of a call: fine-tuning settings, completed by those of the run it continues, and generation settings.

They are checked before anything is loaded.
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
from gpt2simple.settings import FinetuneSettings, GenerateSettings, SessionSettings, TextSettings, build
from gpt2simple.settings.session import DEFAULT_MODEL

if TYPE_CHECKING:  # it loads TensorFlow, which checking a request does not require
    from gpt2simple.backend.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to fine-tune; if it continues a run, the run's settings complete its own.

    Attributes:
        weights_from: the model folder that a new run starts from; None: that of ``model_name``.
    """

    dataset: Any
    model_name: str
    weights_from: Path | None
    settings: FinetuneSettings
    text: TextSettings
    precision: str  # dtype name of the matrix products
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
        run: the run's folder, which may not contain a run yet.
        finetune, text: the settings given in the call; the others come from the run, or are the defaults.
        session: its model_name is for a new run; None: the run's, that of the ``restore_from`` folder, or the default.
        precision: the session's; the run's replaces it unless the user set it explicitly.
        next_seed: draws a seed for a new run without one.

    Raises:
        RunError: ``restore_from`` does not fit the run. SettingsError: its model is not the one named.
        CheckpointError: it contains no model.
    """
    if continues(run, finetune.get("restore_from", "latest")):
        recorded = run.info.description
        chosen = precision.training
        used = chosen if precision.named else recorded.environment.get("precision", chosen)
        message = f"This run started in {used} and continues in {used}; pass precision={chosen!r} to change it."
        return Request(
            dataset=dataset,
            model_name=session.model_name or recorded.model_name,
            weights_from=None,
            settings=with_recorded(recorded.settings, finetune),
            text=with_recorded(recorded.text_settings, text),
            precision=used,
            seed=recorded.seed,
            callbacks=callbacks,
            messages=() if used == chosen else (message,),
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
        SettingsError: a model of another shape was named. CheckpointError: the folder contains no model.
    """
    config, model_name = folder_config(folder), session.model_name
    if model_name is None:
        return _recorded_name(folder) or name_of_config(config) or str(folder)
    named = model_config_of(model_name, Path(session.model_dir))
    if named != config:
        raise SettingsError(
            f"The run is to start from {folder}, which contains a model of {_shape(config)}; model_name is "
            f"{model_name!r}, a model of {_shape(named)}. Leave model_name out, or name the model that the folder was "
            "made from."
        )
    return model_name


def _recorded_name(folder: Path) -> str | None:
    with contextlib.suppress(RunError):  # run.json is damaged, but the model may be intact
        return RunInfo.read(folder).description.model_name if (folder / RUN_FILE).is_file() else None
    return None


def _shape(config: ModelConfig) -> str:
    return (
        f"{config.n_layer} layers of width {config.n_embd} with {config.n_head} heads, {config.n_ctx} tokens of "
        f"context and a vocabulary of {config.n_vocab}"
    )


def new_seed() -> int:
    """A random seed."""
    return secrets.randbelow(2**31)


@dataclass(frozen=True)
class GenerateRequest:
    """A request to generate.

    Attributes:
        prefixes: the starts of the texts. settings: for each prefix; if they have no seed, the session draws one.
    """

    prefixes: tuple[str, ...]
    settings: GenerateSettings

    @classmethod
    def of(cls, prefix: Any, given: Mapping[str, Any], *, texts_alone: bool = False) -> GenerateRequest:
        """The request of a call.

        Args:
            prefix: one or several; None: an empty one. given: settings by name; those of other classes are ignored.
            texts_alone: whether the call returns texts without their log-probabilities.

        Raises:
            SettingsError: the prefix is not a string, or a setting is out of range or has no effect.
        """
        if texts_alone and given.get("logprobs"):
            raise SettingsError(
                "logprobs is True, but this call returns only texts. Use session.samples(...) or gpt2simple generate "
                "--json, which return each text with the log-probabilities of its tokens."
            )
        texts = (prefix or "",) if prefix is None or isinstance(prefix, str) else prefix
        prefixes = tuple(texts) if isinstance(texts, Iterable) else (texts,)
        if not all(isinstance(text, str) for text in prefixes):
            raise SettingsError(f"prefix is {prefix!r}; expected a string or a list of strings.")
        return cls(prefixes, build(GenerateSettings, given))

    @property
    def total(self) -> int:
        """Number of samples over all prefixes."""
        return len(self.prefixes) * self.settings.nsamples

    def settings_with(self, new_seed: Callable[[], int]) -> GenerateSettings:
        """The settings, with a new seed if the call gave none."""
        return self.settings if self.settings.seed is not None else replace(self.settings, seed=new_seed())

    def number(self, n: int) -> GenerateRequest:
        """The request for the n-th of several files, from 0, each with another seed so that their texts differ."""
        seed = self.settings.seed
        return self if seed is None else replace(self, settings=replace(self.settings, seed=seed + n))

    def require_one_text(self) -> None:
        """Raise SettingsError if several texts are requested."""
        nsamples = self.settings.nsamples
        if nsamples != 1:
            raise SettingsError(f"nsamples is {nsamples}; stream() writes one text. Use generate(nsamples={nsamples}).")
        if self.total != 1:
            raise SettingsError(f"prefix holds {self.total} texts; stream() writes one text. Use pieces(prefix).")
