"""How text is generated: sampling, stopping, batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpt2simple.settings.fields import check, is_text, setting

# Logits divided or multiplied by more than this leave the range of float32.
_SMALLEST, _LARGEST = 1e-6, 1e6
_LISTS = ("bad_words", "stop")  # settings that hold several strings, and take one


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """How text is generated."""

    length: int = setting(200, "Most new tokens to write, per sample (the prefix is not counted).", minimum=1)
    min_length: int = setting(0, "Fewest new tokens before a sample may end.", minimum=0)
    temperature: float = setting(
        0.7, "Randomness: 0 always takes the likeliest token, 1 follows it.", minimum=0.0, maximum=_LARGEST
    )
    top_k: int = setting(0, "Draw only among this many likeliest tokens; 0: among all.", minimum=0)
    top_p: float = setting(
        0.0,
        "Draw only among the likeliest tokens that share this probability; 0 or 1: among all.",
        minimum=0.0,
        maximum=1.0,
    )
    min_p: float = setting(
        0.0, "Leave out tokens less likely than this share of the likeliest one; 0: none.", minimum=0.0, maximum=1.0
    )
    repetition_penalty: float = setting(
        1.0, "Above 1 makes tokens that already stand less likely.", minimum=_SMALLEST, maximum=_LARGEST
    )
    no_repeat_ngram_size: int = setting(0, "No sequence of this many tokens stands twice; 0: no such rule.", minimum=0)
    bad_words: tuple[str, ...] = setting((), "A word or phrase that is never written, or several.")
    stop: tuple[str, ...] = setting((), "A string that ends a sample and is not part of it, or several.")
    truncate: str | None = setting(None, "Cut a sample at the first occurrence of this string behind the prefix.")
    include_prefix: bool = setting(True, "Whether a sample starts with the prefix.")
    nsamples: int = setting(1, "Number of samples.", minimum=1)
    batch_size: int | None = setting(None, "Samples written at the same time; None chooses.", minimum=1)
    seed: int | None = setting(None, "Makes the draws repeatable; None draws anew each time.", minimum=0)
    logprobs: bool = setting(
        False, "Also give the log-probability (nats) of each token, in samples(), pieces() and --json."
    )

    def __post_init__(self) -> None:
        for name in _LISTS:
            object.__setattr__(self, name, _as_tuple(getattr(self, name)))  # frozen: for everybody but itself
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        found = []
        if 0 < self.temperature < _SMALLEST:
            found.append(f"temperature is {self.temperature!r}; expected 0 or at least {_SMALLEST}.")
        if self.min_length > self.length:
            found.append(f"min_length is {self.min_length}, more than length, {self.length}; lower it or raise length.")
        for name in _LISTS:
            if not all(word and is_text(word) for word in getattr(self, name)):
                found.append(
                    f"{name} is {getattr(self, name)!r}; expected strings of valid Unicode, none of them empty."
                )
        if self.truncate is not None and not (self.truncate and is_text(self.truncate)):
            found.append(f"truncate is {self.truncate!r}; expected a string of valid Unicode that is not empty.")
        return found


def _as_tuple(value: Any) -> Any:
    """One string as a tuple of it: taken for a sequence, it would be its letters. What is no text is left as it is."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value
