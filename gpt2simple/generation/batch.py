"""Rows of a batch over key/value caches: prefill, decoding, speculative decoding, shrinking, the end of the window.

Works on token ids and logits, not text. `CachedBatch` owns the caches and counts; `scheduler` decides which sample gets
a row and when it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from gpt2simple.backend.tensorflow import Tensor, start_beside, tf
from gpt2simple.generation.sampling import Logits
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network import adapted, cached, kv_cache
from gpt2simple.gpt2.network.adapted import AdaptedWeights
from gpt2simple.gpt2.network.decode_weights import DRAFT_TOKENS, DecodeWeights

logger = logging.getLogger(__name__)
FindDraft = Callable[[], DecodeWeights | None]
MOST_SIZES = 4  # compiled batch sizes per call
_WORTH_SHRINKING = 32  # tokens that must remain to be written for a smaller batch to be worth moving to


def batch_sizes(largest: int) -> tuple[int, ...]:
    """The sizes through which a batch shrinks, by halves: 8 -> 8, 4, 2, 1; at most four."""
    sizes = [largest]
    while sizes[-1] > 1 and len(sizes) < MOST_SIZES:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(sizes)


class CachedBatch:
    """The caches of some rows and the steps that advance them.

    Args:
        weights, config: of the model.
        rows: rows at the start.
        longest: most tokens that any row will contain, prompt and new ones; beyond the window it slides.
        draft: returns the weights of a draft model, or None if there is none.
    """

    def __init__(
        self, weights: DecodeWeights | AdaptedWeights, config: ModelConfig, *, rows: int, longest: int, draft: FindDraft
    ) -> None:
        self._weights, self._config, self._find_draft = weights, config, draft
        self._network = adapted if isinstance(weights, AdaptedWeights) else cached
        self._has_slid = False
        self.rows, self._sizes = rows, batch_sizes(rows)
        self._slots = kv_cache.cache_bucket(min(longest, config.n_ctx), config.n_ctx)
        self._caches = kv_cache.new_caches(config, rows, self._slots)
        self._bind()
        self._counts = np.zeros(rows, dtype=np.int32)  # (B,), tokens in each row's cache; 0: not in use
        self._slot = 0  # the ring's next slot
        self._last_prompt: tuple[tuple[int, ...], Logits, list[kv_cache.KeysValues]] | None = None
        self._longest = longest
        self._loaded: Callable[[], None] | None = None

    def _load_step(self) -> None:
        """Make the draft, and load from disk what advances the only row.

        Compiling is left for later: beside the prompt's reader it would take no less time, and 0.15 GB more.
        """
        weights = self._find_draft() or self._weights
        step = self._network.token_step(self._config, weights.dtypes, 1, self._slots)
        if step.is_known and not step.is_compiled:
            step(weights, kv_cache.new_caches(self._config, 1, self._slots), _numbers([0], [0], 0))

    def _wait_until_loaded(self) -> None:
        if self._loaded is not None:
            self._loaded()
            self._loaded = None

    def _bind(self) -> None:
        """Choose the compiled step for the number of rows."""
        weights = self._weights
        step = self._network.token_step(self._config, weights.dtypes, self.rows, self._slots)
        self._step = step.bind(weights, self._caches)
        self._draft_step: Callable[..., Tensor] | None = None

    def prefill(self, row: int, tokens: Sequence[int]) -> Logits:
        """Fill a row with the last tokens of a text, at most a window of them; the logits [V] of the next token."""
        if self.rows == 1 and self._last_prompt is None and self._longest > len(tokens) + 1:
            self._loaded = start_beside(self._load_step)  # while the prompt is read
        window = tuple(tokens[-self._config.n_ctx :])
        length = cached.prompt_bucket(len(window), self._config.n_ctx)
        if self._last_prompt is None or self._last_prompt[0] != window:
            padded = np.zeros(length, dtype=np.int32)  # (length,)
            padded[: len(window)] = window
            reader = self._network.prompt_reader(self._config, self._weights.dtypes, length)
            logits, keys_values = reader(self._weights, tf.constant(padded), tf.constant(len(window)))
            # Several samples of one prefix come one after another: they share one prefill.
            self._last_prompt = (window, logits.numpy(), keys_values)
        _, logits, keys_values = self._last_prompt  # (V,), L times [H, length, D]
        if self.rows == 1 or not self._counts.any():
            self._slot = len(window)  # the text starts in slot 0: a lone row's must, others fill fewer tiles
        first = (self._slot - len(window)) % self._slots
        writer = kv_cache.row_writer(self._config, self.rows, self._slots, length)
        writer(self._caches, keys_values, tf.constant(row), tf.constant(first))
        self._counts[row] = len(window)
        return logits

    def is_full(self, row: int) -> bool:
        """Whether a row has no room for another token."""
        return bool(self._counts[row] >= self._config.n_ctx)

    def slide(self, row: int, tokens: Sequence[int]) -> Logits:
        """Make room in a full row by reading the newer half of its text again; the logits [V] of the next token.

        Args:
            row: the row.
            tokens: its whole text, including the token that was to be fed next: this feeds it.
        """
        if not self._has_slid:
            self._has_slid = True
            logger.info(
                f"The text is longer than the model's window of {self._config.n_ctx} tokens: whenever the window is "
                "full, its older half is forgotten."
            )
        return self.prefill(row, tokens[-max(1, self._config.n_ctx // 2) :])

    def step(self, tokens: dict[int, int]) -> dict[int, Logits]:
        """Feed one token to each of some rows; the logits [V] of the next token, by row.

        The content of the other rows is lost.
        """
        self._wait_until_loaded()
        fed = np.zeros(self.rows, dtype=np.int32)  # (B,)
        for row, token in tokens.items():
            fed[row] = token
        logits = self._step(_numbers(fed, self._counts, self._slot)).numpy()  # (B, V)
        self._slot = (self._slot + 1) % self._slots
        for row in tokens:
            self._counts[row] += 1
        return {row: logits[row] for row in tokens}

    def can_draft(self) -> bool:
        """Whether `draft`, `verify`, `accept` may be used in place of `step`: there is one row, and a draft model."""
        if self.rows == 1 and self._draft_step is None and (draft := self._find_draft()) is not None:
            config, exact, slots = self._config, self._weights, self._slots
            self._draft_step = cached.token_step(config, draft.dtypes, 1, slots).bind(draft, self._caches)
            verify = cached.text_step(config, exact.dtypes, 1 + DRAFT_TOKENS, slots)
            must_compile, self._verify = not verify.is_compiled, verify.bind(exact, self._caches)
            if must_compile:  # while the draft's step is loaded; what this leaves is beyond the row's tokens
                self.verify([0])
            self._wait_until_loaded()
        return self._draft_step is not None

    @property
    def most_drafted(self) -> int:
        """How many tokens may be drafted before they are verified; few where the window is nearly full."""
        return min(DRAFT_TOKENS, self._config.n_ctx - int(self._counts[0]) - 1)

    def draft(self, token: int, drafted: int) -> Logits:
        """The draft model's logits [V] of the next token.

        Args:
            token: fed to the only row; it follows the row's text and the tokens drafted since the last verification.
            drafted: how many these are.
        """
        assert self._draft_step is not None
        count = self._counts[0] + drafted
        return self._draft_step(_numbers([token], [count], count)).numpy()[0]  # (V,)

    def verify(self, tokens: Sequence[int]) -> Logits:
        """The exact logits [T, V] after each of some tokens [T], fed at once to the only row.

        `accept` then sets how many of them stay.
        """
        fed = np.zeros(1 + DRAFT_TOKENS, dtype=np.int32)  # (1 + DRAFT_TOKENS,)
        fed[: len(tokens)] = tokens
        return self._verify(_numbers(fed, self._counts)).numpy()[: len(tokens)]  # (T, V)

    def accept(self, count: int) -> None:
        """Keep the first of the verified tokens in the row, and discard the others."""
        self._counts[0] += count
        self._slot = int(self._counts[0])

    def release(self, row: int) -> None:
        """Mark a row as no longer in use."""
        self._counts[row] = 0

    def shrink(self, in_use: Sequence[int], remaining: int) -> dict[int, int] | None:
        """Move the rows in use to a smaller batch if that is faster.

        The rule depends on counts only, not on what happens to be compiled: in reduced precision the same call must
        give the same text whatever ran before it.

        Args:
            in_use: the rows in use.
            remaining: most tokens that any of them may still generate.

        Returns:
            New row by old row; None if the batch is not changed.
        """
        size = min((size for size in self._sizes if size >= len(in_use)), default=self.rows)
        if size >= self.rows or remaining < _WORTH_SHRINKING:
            return None
        chosen = (list(in_use) + [0] * size)[:size]
        counts = np.where(np.arange(size) < len(in_use), self._counts[chosen], 0).astype(np.int32)  # (size,)
        slot = int(counts[0]) if size == 1 else self._slot  # a lone row's text starts in slot 0
        self._caches = kv_cache.select_rows(self._caches, chosen, self._config, shift=slot - self._slot)
        self._counts, self._slot, self.rows = counts, slot, size
        self._bind()
        return {old: new for new, old in enumerate(in_use)}


def _numbers(*parts: int | Sequence[int] | np.ndarray) -> Tensor:
    """Some integers in one array."""
    return tf.constant(np.concatenate([np.atleast_1d(part) for part in parts], dtype=np.int32))
