"""One call of generation: samples wait, get a row, grow token by token, end, and give their row to the next.

Combines the other modules of this package. Files, run folders and the terminal are left to its callers.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpt2simple.generation.batch import CachedBatch
from gpt2simple.generation.samples import TextChunk
from gpt2simple.generation.sampling import Chain, Logits, draw, draw_key, greedy, log_probability
from gpt2simple.generation.text import TextStream
from gpt2simple.gpt2.model import not_finite
from gpt2simple.settings import GenerateSettings


@dataclass(kw_only=True)
class ActiveSample:
    """A sample that is waiting or being generated."""

    number: int
    prefix: str
    prompt: list[int]
    text: TextStream
    started: float = 0.0  # on the clock of time.perf_counter, when the prompt was first read
    new: list[int] = field(default_factory=list)  # tokens drawn
    finish_reason: str | None = None
    unsent: list[int] = field(default_factory=list)  # tokens drawn since the last chunk
    unsent_logprobs: list[float] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """The whole text, prompt included."""
        return self.prompt + self.new


class Scheduler:
    """Generates the samples of one call.

    Args:
        batch: the rows to generate in.
        samples: what to generate, in the order of their numbers.
        settings: how to sample and when to stop.
        chain: the filters of those settings.
        end_of_text: the token that ends a sample.
        token_bytes: the bytes of a token.
    """

    def __init__(
        self, batch: CachedBatch, samples: Sequence[ActiveSample], settings: GenerateSettings, *,
        chain: Chain, end_of_text: int, token_bytes: Callable[[int], bytes],
    ) -> None:  # fmt: skip
        self._batch = batch
        self._waiting = deque(samples)
        self._active: dict[int, ActiveSample] = {}  # by row
        self._settings, self._chain = settings, chain
        self._choose = draw if settings.temperature > 0 else greedy
        self._seed = secrets.randbits(63) if settings.seed is None else settings.seed
        self._end_of_text, self._token_bytes = end_of_text, token_bytes

    def chunks(self) -> Iterator[TextChunk]:
        """Every chunk, as soon as its text is certain."""
        if self._settings.include_prefix:
            yield from (self._chunk(sample, sample.prefix) for sample in self._waiting if sample.prefix)
        while True:
            yield from self._admit()
            if not self._active:
                return
            yield from self._advance()
            self._shrink()

    def _admit(self) -> Iterator[TextChunk]:
        """Give free rows to waiting samples; a sample may end with its first token and free its row again."""
        free = [row for row in range(self._batch.rows) if row not in self._active]
        while free and self._waiting:
            row, sample = free.pop(0), self._waiting.popleft()
            sample.started = time.perf_counter()
            yield from self._append(sample, self._batch.prefill(row, sample.prompt))
            if sample.finish_reason is None:
                self._active[row] = sample
            else:
                self._batch.release(row)
                free.insert(0, row)

    def _advance(self) -> Iterator[TextChunk]:
        """One more token for every active row; several at once for a row that is alone and has a draft model."""
        full = [row for row in self._active if self._batch.is_full(row)]
        if not full and self._batch.can_draft():
            yield from self._advance_by_draft()
            return
        fed = {row: sample.new[-1] for row, sample in self._active.items() if row not in full}
        logits = self._batch.step(fed) if fed else {}
        # After the step, which writes one slot in every row: between a new prefill and its next token that is a gap.
        logits |= {row: self._batch.slide(row, self._active[row].tokens) for row in full}
        for row, sample in list(self._active.items()):
            yield from self._append(sample, logits[row])
            self._release_if_finished(row)

    def _advance_by_draft(self) -> Iterator[TextChunk]:
        """The accepted draft tokens and one more, all drawn from the exact logits, as they would be without a draft."""
        ((row, sample),) = self._active.items()
        certain, drafted = sample.new[-1], self._draft(sample)
        accepted = 0
        for logits, proposal in zip(self._batch.verify([certain, *drafted]), [*drafted, None], strict=True):
            yield from self._append(sample, logits)
            accepted += 1
            if sample.finish_reason is not None or sample.new[-1] != proposal:
                break
        self._batch.accept(accepted)
        self._release_if_finished(row)

    def _draft(self, sample: ActiveSample) -> list[int]:
        """The tokens that the draft model proposes, drawn as `_append` will draw them."""
        drafted: list[int] = []
        token = sample.new[-1]
        most = min(self._batch.most_drafted, self._settings.length - len(sample.new) - 1)
        while len(drafted) < most and token != self._end_of_text:
            token = self._next_token(sample, self._batch.draft(token, len(drafted)), drafted)
            drafted.append(token)
        return drafted

    def _release_if_finished(self, row: int) -> None:
        if self._active[row].finish_reason is not None:
            del self._active[row]
            self._batch.release(row)

    def _shrink(self) -> None:
        if self._waiting or not self._active:
            return
        remaining = max(self._settings.length - len(sample.new) for sample in self._active.values())
        if (moved := self._batch.shrink(list(self._active), remaining)) is not None:
            self._active = {moved[row]: sample for row, sample in self._active.items()}

    def _next_token(self, sample: ActiveSample, logits: Logits, drafted: Sequence[int] = ()) -> int:
        """The token that follows a sample's text and some drafted tokens."""
        new = len(sample.new) + len(drafted)
        candidates = self._chain(logits, [*sample.tokens, *drafted], new)
        token = self._choose(candidates.logits, draw_key(self._seed, sample.number, new), candidates.tokens)
        if not np.isfinite(logits if token is None else logits[token]).all():
            raise not_finite("The probability of a token")
        return self._end_of_text if token is None else token  # where all are forbidden, the sample ends

    def _append(self, sample: ActiveSample, logits: Logits) -> Iterator[TextChunk]:
        """Draw a sample's next token, and yield the text that it makes certain."""
        settings = self._settings
        token = self._next_token(sample, logits)
        sample.new.append(token)
        sample.unsent.append(token)
        if settings.logprobs:
            sample.unsent_logprobs.append(log_probability(logits, token))
        ended, full = token == self._end_of_text, len(sample.new) >= settings.length
        data = b"" if ended else self._token_bytes(token)
        text = sample.text.add(data, may_stop=len(sample.new) >= settings.min_length, last=ended or full)
        if sample.text.stopped:
            sample.finish_reason = "stop"
        elif ended or full:
            sample.finish_reason = "end_of_text" if ended else "length"
        if text or sample.finish_reason is not None:
            yield self._chunk(sample, text)

    def _chunk(self, sample: ActiveSample, text: str) -> TextChunk:
        chunk = TextChunk(
            sample=sample.number,
            text=text,
            tokens=tuple(sample.unsent),
            logprobs=tuple(sample.unsent_logprobs) if self._settings.logprobs else None,
            prompt_tokens=len(sample.prompt),
            finish_reason=sample.finish_reason,
            seconds=None if sample.finish_reason is None else time.perf_counter() - sample.started,
        )
        sample.unsent.clear()
        sample.unsent_logprobs.clear()
        return chunk
