"""What a call of generation asks for: its prefixes and its settings, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.settings import GenerateSettings
from gpt2simple.settings.fields import split_by_class


def prefixes_of(prefix: str | Sequence[str] | None) -> list[str]:
    """The prefixes of a call; None is an empty one."""
    return [prefix or ""] if prefix is None or isinstance(prefix, str) else list(prefix)


def settings_of(given: Mapping[str, Any], next_seed: Callable[[], int]) -> GenerateSettings:
    """The settings of a call, by name; where no seed was given, a drawn one.

    Raises:
        SettingsError: one is unknown or out of range.
    """
    (settings,) = split_by_class(given, GenerateSettings, function="generate", also=("prefix", "run_name"))
    if settings.get("seed") is None:
        settings["seed"] = next_seed()
    return GenerateSettings(**settings)


def refuse_logprobs(given: Mapping[str, Any]) -> None:
    """Raise SettingsError where a call that gives texts alone is asked for what they cannot carry."""
    if given.get("logprobs"):
        raise SettingsError(
            "logprobs is True, and this call gives texts alone. session.samples(...) gives each text with the "
            "log-probabilities of its tokens, and so does gpt2simple generate --json."
        )
