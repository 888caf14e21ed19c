"""What generation returns: chunks of text as it is generated, and finished samples. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TextChunk:
    """The next part of a sample's text, perhaps its end.

    The `text` of a sample's chunks joins to `Sample.text`, and so do the tokens.
    """

    sample: int  # number in the call: samples of the first prefix first
    text: str  # whole characters; may be empty in a sample's last chunk
    tokens: tuple[int, ...] = ()  # new tokens drawn since the sample's previous chunk
    logprobs: tuple[float, ...] | None = None  # nats, of those tokens under the unfiltered model; None: not requested
    prompt_tokens: int = 0
    finish_reason: str | None = None  # in the last chunk: "length", "end_of_text" or "stop"
    seconds: float | None = None  # in the last chunk: from the first reading of the prompt to the end


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One finished sample."""

    text: str
    prefix: str
    tokens: tuple[int, ...]  # the new tokens, including those of a stop string and the end of text
    prompt_tokens: int
    finish_reason: str  # "length", "end_of_text" or "stop"
    logprobs: tuple[float, ...] | None  # nats, one per new token
    seconds: float  # from the first reading of its prompt to its end, without the time it waited for a row

    @property
    def new_tokens(self) -> int:
        return len(self.tokens)

    @property
    def tokens_per_second(self) -> float:
        """This sample's new tokens over its seconds.

        Samples generated in parallel share the time: with eight rows each has about an eighth of the call's rate.
        """
        return self.new_tokens / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """The sample as plain JSON values."""
        values = asdict(self) | {"new_tokens": self.new_tokens, "tokens_per_second": self.tokens_per_second}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _join(chunks: Sequence[TextChunk], prefix: str) -> Sample:
    """The sample of some chunks, the last of which ends it."""
    last = chunks[-1]
    assert last.finish_reason is not None, last
    assert last.seconds is not None, last
    return Sample(
        text="".join(chunk.text for chunk in chunks),
        prefix=prefix,
        tokens=tuple(token for chunk in chunks for token in chunk.tokens),
        prompt_tokens=last.prompt_tokens,
        finish_reason=last.finish_reason,
        logprobs=None if last.logprobs is None else tuple(x for chunk in chunks for x in chunk.logprobs or ()),
        seconds=last.seconds,
    )


class Collector:
    """Joins the chunks of a call into samples.

    Args:
        prefixes: of the call.
        nsamples: samples of each.
    """

    def __init__(self, prefixes: Sequence[str], nsamples: int) -> None:
        self._prefixes, self._nsamples = prefixes, nsamples
        self._chunks: dict[int, list[TextChunk]] = {}  # of unfinished samples, by number
        self._finished: dict[int, Sample] = {}

    def add(self, chunk: TextChunk) -> None:
        """Add the next chunk."""
        number = chunk.sample
        self._chunks.setdefault(number, []).append(chunk)
        if chunk.finish_reason is not None:
            self._finished[number] = _join(self._chunks.pop(number), self._prefixes[number // self._nsamples])

    @property
    def samples(self) -> list[Sample]:
        """The finished ones, in the order of their numbers."""
        return [self._finished[number] for number in sorted(self._finished)]
