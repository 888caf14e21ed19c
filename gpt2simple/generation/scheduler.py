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
from gpt2simple.generation.sampling import Chain, Logits, draw, draw_key, log_probability, take_likeliest
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
        """One more token for every live row; several at once for a row that is alone and has a draft."""
        full = [row for row in self._live if self._batch.is_full(row)]
        if not full and self._batch.can_guess():
            yield from self._advance_by_guesses()
            return
        fed = {row: grown.new[-1] for row, grown in self._live.items() if row not in full}
        logits = self._batch.step(fed) if fed else {}
        # After the step: it writes a slot of every row, which would part a re-read row from its next token.
        logits |= {row: self._batch.slide(row, self._live[row].tokens) for row in full}
        for row, grown in list(self._live.items()):
            yield from self._take(grown, logits[row])
            self._end(row)

    def _advance_by_guesses(self) -> Iterator[Piece]:
        """The tokens that the draft guesses right and one more, all drawn from the exact logits as without a draft."""
        ((row, grown),) = self._live.items()
        certain, guesses = grown.new[-1], self._guesses(grown)
        taken = 0
        for logits, guess in zip(self._batch.check([certain, *guesses]), [*guesses, None], strict=True):
            yield from self._take(grown, logits)
            taken += 1
            if grown.finish_reason is not None or grown.new[-1] != guess:
                break
        self._batch.keep(taken)
        self._end(row)

    def _guesses(self, grown: Growing) -> list[int]:
        """The tokens that the draft would write next, drawn as `_take` will draw them."""
        guesses: list[int] = []
        token = grown.new[-1]
        most = min(self._batch.most_guesses, self._settings.length - len(grown.new) - 1)
        while len(guesses) < most and token != self._end_of_text:
            token = self._drawn(grown, self._batch.guess(token, len(guesses)), guesses)
            guesses.append(token)
        return guesses

    def _end(self, row: int) -> None:
        """Free a row whose sample has ended."""
        if self._live[row].finish_reason is not None:
            del self._live[row]
            self._batch.release(row)

    def _shrink(self) -> None:
        if self._waiting or not self._live:
            return
        remaining = max(self._settings.length - len(grown.new) for grown in self._live.values())
        if (moved := self._batch.shrink(list(self._live), remaining)) is not None:
            self._live = {moved[row]: grown for row, grown in self._live.items()}

    def _drawn(self, grown: Growing, logits: Logits, guesses: Sequence[int] = ()) -> int:
        """The token that follows a sample's text and some guesses."""
        new = len(grown.new) + len(guesses)
        filtered = self._chain(logits, [*grown.tokens, *guesses], new)
        token = self._choose(filtered, draw_key(self._seed, grown.sample, new))
        return self._end_of_text if token is None else token  # where all are forbidden, the sample ends

    def _take(self, grown: Growing, logits: Logits) -> Iterator[Piece]:
        """Draw a sample's next token and give out what text becomes certain by it."""
        settings = self._settings
        token = self._drawn(grown, logits)
        grown.new.append(token)
        grown.unsent.append(token)
        if settings.logprobs:
            grown.unsent_logprobs.append(log_probability(logits, token))
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
