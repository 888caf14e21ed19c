"""One call of generation: samples wait, get a row, grow token by token, end, and give their row to the next.

Puts the parts of this package together. Knows no files, no run folders and no terminal.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gpt2simple.generation.batch import RowBatch
from gpt2simple.generation.samples import Piece
from gpt2simple.generation.sampling import Chain, Scores, draw, log_probability, take_likeliest, uniform
from gpt2simple.generation.text import TextStream
from gpt2simple.settings import GenerateSettings


@dataclass(kw_only=True)
class Growing:
    """A sample that waits or is being written."""

    sample: int
    prefix: str
    prompt: list[int]
    text: TextStream
    started: float = 0.0  # on the clock of time.perf_counter, when the prompt was first read
    new: list[int] = field(default_factory=list)  # tokens drawn
    finish_reason: str | None = None
    unsent: list[int] = field(default_factory=list)  # tokens drawn since the last piece
    unsent_logprobs: list[float] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """The whole text, prompt included."""
        return self.prompt + self.new


class Writer:
    """Writes the samples of one call.

    Args:
        batch: the rows to write in.
        samples: what to write, in the order of their numbers.
        settings: how to draw and when to stop.
        chain: the filters of those settings.
        end_of_text: the token that ends a sample.
        token_bytes: the bytes that a token spells.
    """

    def __init__(
        self,
        batch: RowBatch,
        samples: Sequence[Growing],
        settings: GenerateSettings,
        *,
        chain: Chain,
        end_of_text: int,
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._batch = batch
        self._waiting = deque(samples)
        self._live: dict[int, Growing] = {}  # by row
        self._settings = settings
        self._chain = chain
        self._choose = draw if settings.temperature > 0 else take_likeliest
        self._seed = secrets.randbits(63) if settings.seed is None else settings.seed
        self._end_of_text = end_of_text
        self._token_bytes = token_bytes

    def pieces(self) -> Iterator[Piece]:
        """Every piece, in the order in which they become certain."""
        if self._settings.include_prefix:
            yield from (self._piece(grown, grown.prefix) for grown in self._waiting if grown.prefix)
        while True:
            yield from self._admit()
            if not self._live:
                return
            yield from self._advance()
            self._shrink()

    def _admit(self) -> Iterator[Piece]:
        """Give free rows to waiting samples; a sample may end with its first token and free its row again."""
        free = [row for row in range(self._batch.rows) if row not in self._live]
        while free and self._waiting:
            row, grown = free.pop(0), self._waiting.popleft()
            grown.started = time.perf_counter()
            yield from self._take(grown, self._batch.read(row, grown.prompt))
            if grown.finish_reason is None:
                self._live[row] = grown
            else:
                self._batch.release(row)
                free.insert(0, row)

    def _advance(self) -> Iterator[Piece]:
        """One more token for every live row."""
        full = [row for row in self._live if self._batch.is_full(row)]
        fed = {row: grown.new[-1] for row, grown in self._live.items() if row not in full}
        scores = self._batch.step(fed) if fed else {}
        # After the step: it writes a slot of every row, which would part a re-read row from its next token.
        scores |= {row: self._batch.slide(row, self._live[row].tokens) for row in full}
        for row, grown in list(self._live.items()):
            yield from self._take(grown, scores[row])
            if grown.finish_reason is not None:
                del self._live[row]
                self._batch.release(row)

    def _shrink(self) -> None:
        if self._waiting or not self._live:
            return
        remaining = max(self._settings.length - len(grown.new) for grown in self._live.values())
        if (moved := self._batch.shrink(list(self._live), remaining)) is not None:
            self._live = {moved[row]: grown for row, grown in self._live.items()}

    def _take(self, grown: Growing, scores: Scores) -> Iterator[Piece]:
        """Draw a sample's next token and give out what text becomes certain by it."""
        settings = self._settings
        filtered = self._chain(scores.logits, grown.tokens, len(grown.new))
        place = self._choose(filtered, uniform(self._seed, grown.sample, len(grown.new)))
        token = self._end_of_text if place is None else scores.token(place)  # where all are forbidden, the sample ends
        grown.new.append(token)
        grown.unsent.append(token)
        if settings.logprobs:
            grown.unsent_logprobs.append(log_probability(scores.logits, token))
        ended, full = token == self._end_of_text, len(grown.new) >= settings.length
        data = b"" if ended else self._token_bytes(token)
        text = grown.text.add(data, may_stop=len(grown.new) >= settings.min_length, last=ended or full)
        if grown.text.stopped:
            grown.finish_reason = "stop"
        elif ended or full:
            grown.finish_reason = "end_of_text" if ended else "length"
        if text or grown.finish_reason is not None:
            yield self._piece(grown, text)

    def _piece(self, grown: Growing, text: str) -> Piece:
        piece = Piece(
            sample=grown.sample,
            text=text,
            tokens=tuple(grown.unsent),
            logprobs=tuple(grown.unsent_logprobs) if self._settings.logprobs else None,
            prompt_tokens=len(grown.prompt),
            finish_reason=grown.finish_reason,
            seconds=None if grown.finish_reason is None else time.perf_counter() - grown.started,
        )
        grown.unsent.clear()
        grown.unsent_logprobs.clear()
        return piece
