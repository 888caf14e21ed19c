"""What generation gives: pieces as they are written, samples when they are done. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What became certain of one sample: some text, perhaps its end.

    The `text` of a sample's pieces joins to `Sample.text`, and so do the tokens.
    """

    sample: int  # number in the call: samples of the first prefix first
    text: str  # whole characters; may be empty in a sample's last piece
    tokens: tuple[int, ...] = ()  # new tokens drawn since the sample's piece before
    logprobs: tuple[float, ...] | None = None  # nats, of those tokens under the unfiltered model; None: not asked for
    prompt_tokens: int = 0
    finish_reason: str | None = None  # in the last piece: "length", "end_of_text" or "stop"
    seconds: float | None = None  # in the last piece: from the first reading of the prompt to the end


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One finished sample."""

    text: str
    prefix: str
    tokens: tuple[int, ...]  # the new tokens, those of a stop string and the end of text included
    prompt_tokens: int
    finish_reason: str  # "length", "end_of_text" or "stop"
    logprobs: tuple[float, ...] | None  # nats, one per new token
    seconds: float  # from the first reading of its prompt to its end; the time that it waited for a row not counted

    @property
    def new_tokens(self) -> int:
        return len(self.tokens)

    @property
    def tokens_per_second(self) -> float:
        """This sample's new tokens over its seconds.

        Samples written side by side share the time: with eight rows each has about an eighth of the call's rate.
        """
        return self.new_tokens / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """The sample as plain JSON values."""
        values = asdict(self) | {"new_tokens": self.new_tokens, "tokens_per_second": self.tokens_per_second}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def join(pieces: Sequence[Piece], prefix: str) -> Sample:
    """The sample that some pieces make, the last of which ends it."""
    last = pieces[-1]
    assert last.finish_reason is not None, last
    assert last.seconds is not None, last
    logprobs = None if last.logprobs is None else tuple(x for piece in pieces for x in piece.logprobs or ())
    return Sample(
        text="".join(piece.text for piece in pieces),
        prefix=prefix,
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        prompt_tokens=last.prompt_tokens,
        finish_reason=last.finish_reason,
        logprobs=logprobs,
        seconds=last.seconds,
    )


class Collector:
    """Samples out of the pieces of a call.

    Args:
        prefixes: those of the call. nsamples: samples of each.
    """

    def __init__(self, prefixes: Sequence[str], nsamples: int) -> None:
        self._prefixes = prefixes
        self._nsamples = nsamples
        self._growing: dict[int, list[Piece]] = {}
        self._finished: dict[int, Sample] = {}

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        pieces = self._growing.setdefault(piece.sample, [])
        pieces.append(piece)
        if piece.finish_reason is not None:
            self._finished[piece.sample] = join(pieces, self._prefixes[piece.sample // self._nsamples])
            del self._growing[piece.sample]

    @property
    def samples(self) -> list[Sample]:
        """Those that are done, in the order of their numbers."""
        return [self._finished[number] for number in sorted(self._finished)]
