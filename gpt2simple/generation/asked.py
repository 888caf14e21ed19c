"""What a call of generation asks for: its prefixes and its settings, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.settings import GenerateSettings
from gpt2simple.settings.fields import is_text, split_by_class

Seeds = Callable[[], int]  # draws a seed for a call that was given none


def asked_for(prefix: Any, given: Mapping[str, Any], next_seed: Seeds) -> tuple[list[str], GenerateSettings]:
    """The prefixes and the settings of a call.

    Args:
        prefix: one or several; None is an empty one. given: the settings by name.

    Raises:
        SettingsError: the prefix is no text, or a setting is unknown or out of range.
    """
    prefixes = prefixes_of(prefix)
    (settings,) = split_by_class(given, GenerateSettings, function="generate", also=("prefix", "run_name"))
    if settings.get("seed") is None:
        settings["seed"] = next_seed()
    return prefixes, GenerateSettings(**settings)


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
