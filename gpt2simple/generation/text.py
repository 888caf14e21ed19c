"""From the bytes of tokens to text in chunks: whole characters only, stop strings found across tokens.

The chunks of a sample join to exactly what decoding all of its tokens at once gives, cut at the stop string.
Independent of the model and of sampling.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import numpy as np


class TextStream:
    """One sample's text as it grows.

    Args:
        stops: strings that end the sample; they are not part of it.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        # Bytes that are not UTF-8 become U+FFFD, just as when the whole text is decoded at once.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops = tuple(stops)
        self._held = ""  # decoded, but perhaps the beginning of a stop string
        self.stopped = False

    def add(self, data: bytes, *, may_stop: bool = True, last: bool = False) -> str:
        """The text that is certain now, possibly empty.

        Args:
            data: the next token's bytes.
            may_stop: whether a stop string that ends here counts.
            last: nothing follows, so everything held back is returned.
        """
        text = self._held + self._decoder.decode(data, final=last)
        starts = [start for stop in self._stops if (start := text.find(stop)) >= 0]
        if may_stop and starts:
            self.stopped, self._held = True, ""
            return text[: min(starts)]
        held = 0 if last else self._beginning_of_stop(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _beginning_of_stop(self, text: str) -> int:
        """Length of the longest suffix of the text that begins a stop string without completing it."""
        longest = min(len(text), max((len(stop) for stop in self._stops), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(len(stop) > length and stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0


class BadWords:
    """Which tokens would complete a forbidden word, however it is split into tokens.

    Args:
        words: strings that must not be written.
        token_bytes: the bytes of each token by id.
    """

    def __init__(self, words: Sequence[str], token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        spelled = [word.encode() for word in words]
        self._longest = max(map(len, spelled))
        whole = [i for i, data in enumerate(token_bytes) if any(word in data for word in spelled)]
        self._always = np.asarray(whole, dtype=np.int64)  # (n,)
        # Where the text ends with the first part of a word, no token may begin with the rest.
        self._after: dict[bytes, list[np.ndarray]] = {}
        for word in spelled:
            for cut in range(1, len(word)):
                rest = word[cut:]
                tokens = [i for i, data in enumerate(token_bytes) if data.startswith(rest)]
                self._after.setdefault(word[:cut], []).append(np.asarray(tokens, dtype=np.int64))

    def __call__(self, tokens: Sequence[int]) -> np.ndarray:
        """Ids that must not follow some tokens."""
        tail = self._tail(tokens)
        found = [self._always]
        for start, rests in self._after.items():
            if tail.endswith(start):
                found += rests
        return np.concatenate(found)  # (n,)

    def _tail(self, tokens: Sequence[int]) -> bytes:
        """The last bytes of the text, as many as the first part of a word can have."""
        tail = b""
        for token in reversed(tokens):
            if len(tail) >= self._longest:
                break
            tail = self._token_bytes[token] + tail
        return tail
