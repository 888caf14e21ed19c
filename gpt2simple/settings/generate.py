"""How text is generated: sampling, stopping, batches."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, is_text, setting, texts_to_tuples
from gpt2simple.storage.contents import quoted

# Groups of settings.
SAMPLES = "Samples"
SAMPLING = "Choice of tokens"

# Logits divided or multiplied by more than this leave the range of float32.
_SMALLEST, _LARGEST = 1e-6, 1e6
_LISTS = ("bad_words", "stop")  # settings that hold several strings, and take one


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """How text is generated."""

    length: int = setting(
        200,
        "Maximum number of new tokens per sample; the prefix is not counted.",
        minimum=1,
        group=SAMPLES,
        common=True,
    )
    min_length: int = setting(0, "Minimum number of new tokens before a sample may end.", minimum=0, group=SAMPLES)
    temperature: float = setting(
        0.7,
        "Sampling temperature: 0 takes the most likely token, 1 samples from the model's own distribution.",
        minimum=0.0,
        maximum=_LARGEST,
        group=SAMPLING,
        common=True,
    )
    top_k: int = setting(
        0, "Sample from this many most likely tokens; 0: from all.", minimum=0, group=SAMPLING, common=True
    )
    top_p: float = setting(
        0.0,
        "Nucleus sampling: sample from the most likely tokens with this total probability; 0 or 1: from all.",
        minimum=0.0,
        maximum=1.0,
        group=SAMPLING,
        common=True,
    )
    min_p: float = setting(
        0.0,
        "Exclude tokens below this fraction of the highest probability; 0: none.",
        minimum=0.0,
        maximum=1.0,
        group=SAMPLING,
    )
    repetition_penalty: float = setting(
        1.0,
        "Penalty on tokens already in the text: above 1, they become less likely; 1: off.",
        minimum=_SMALLEST,
        maximum=_LARGEST,
        group=SAMPLING,
    )
    no_repeat_ngram_size: int = setting(0, "No n-gram of this size is repeated; 0: off.", minimum=0, group=SAMPLING)
    bad_words: tuple[str, ...] = setting((), "Words or phrases that are never generated.", group=SAMPLING)
    stop: tuple[str, ...] = setting(
        (), "Stop strings: each ends a sample and is not part of it.", group=SAMPLES, common=True
    )
    truncate: str | None = setting(
        None, "Cut each sample at the first occurrence of this string after the prefix.", group=SAMPLES
    )
    include_prefix: bool = setting(True, "Whether samples begin with the prefix.", group=SAMPLES)
    nsamples: int = setting(1, "Samples per prefix.", minimum=1, group=SAMPLES, common=True)
    batch_size: int | None = setting(
        None, "Samples generated in parallel; None: up to 8 on a CPU, 32 on a GPU.", minimum=1, group=SAMPLES
    )
    seed: int | None = setting(
        None, "Random seed; None: a new one for each call.", minimum=0, group=SAMPLES, common=True
    )
    logprobs: bool = setting(
        False, "Also return the log-probability (nats) of each token, in samples(), pieces() and --json.", group=SAMPLES
    )

    def __post_init__(self) -> None:
        texts_to_tuples(self, *_LISTS)
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        found = []
        if 0 < self.temperature < _SMALLEST:
            found.append(f"temperature is {self.temperature!r}; expected 0 or at least {_SMALLEST}.")
        if self.min_length > self.length:
            found.append(f"min_length is {self.min_length}, more than length, {self.length}; lower it or raise length.")
        for name in _LISTS:
            if not all(is_text(word) and word for word in getattr(self, name)):
                found.append(
                    f"{name} is {quoted(getattr(self, name))}; expected strings of valid Unicode, none of them empty."
                )
        if self.truncate == "":
            found.append("truncate is ''; expected a string that is not empty.")
        return found
