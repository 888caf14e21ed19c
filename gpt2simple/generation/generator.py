"""Samples from a model: one stream of pieces, and the list that collects it.

Holds the decode copy of the weights and sets up each call: token ids of the prefixes, the sampling chain, the rows.
Knows no files, no run folders and no terminal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import SettingsError
from gpt2simple.generation.batch import RowBatch
from gpt2simple.generation.samples import Collector, Piece, Sample
from gpt2simple.generation.sampling import Chain, forbid, sampling_chain
from gpt2simple.generation.scheduler import Growing, Writer
from gpt2simple.generation.text import BadWords, TextStream
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.decode_weights import DecodeWeights, decode_weights, draft_of, draft_pays
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings import GenerateSettings

logger = logging.getLogger(__name__)

# Rows written at the same time when the user does not choose.
_ROWS_ON_CPU = 8

_ROWS_ON_GPU = 32


class Generator:
    """Writes texts with a model's weights as they are now; later training does not reach it.

    Args:
        variables: the model's, by canonical name.
        config: the model's.
        tokenizer: the model's.
        precision: of the decode copy: "float32", "bfloat16", "float16" or "int8" (weights only).

    Raises:
        SettingsError: there is no such precision.
    """

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        config: ModelConfig,
        tokenizer: Tokenizer,
        *,
        precision: str = "float32",
    ) -> None:
        self._weights: DecodeWeights | None = decode_weights(variables, config, precision)
        self._may_draft = draft_pays(self._weights)
        self._draft: DecodeWeights | None = None
        self._config = config
        self._tokenizer = tokenizer
        # A model may have more rows than its tokenizer has tokens; those that spell nothing are never drawn.
        self._drawable = min(config.n_vocab, tokenizer.vocab_size)
        self._token_bytes = [tokenizer.decode_bytes([token]) for token in range(self._drawable)]

    def close(self) -> None:
        """Free the decode copy of the weights; a closed generator writes no more."""
        self._weights = self._draft = None

    def generate(self, prefixes: Sequence[str], settings: GenerateSettings) -> list[Sample]:
        """The finished samples, those of the first prefix first; see `stream`."""
        collector = Collector(prefixes, settings.nsamples)
        for piece in self.stream(prefixes, settings):
            collector.add(piece)
        return collector.samples

    def stream(self, prefixes: Sequence[str], settings: GenerateSettings) -> Iterator[Piece]:
        """Text as it is written, the pieces of several samples in turn.

        Args:
            prefixes: one or more; each gets `settings.nsamples` samples. An empty one starts from the end of text.
            settings: how to draw and when to stop.

        Raises:
            SettingsError: there is no prefix, or the generator is closed.
        """
        if self._weights is None:
            raise SettingsError("This generator was closed and holds no weights; make a new one.")
        if not prefixes:
            raise SettingsError('prefixes is empty; give at least one, such as [""].')
        samples = self._samples(prefixes, settings)
        batch = RowBatch(
            self._weights,
            self._config,
            rows=min(settings.batch_size or _default_rows(), len(samples)),
            longest=max(len(growing.prompt) for growing in samples) + settings.length,
            draft=self._found_draft,
        )
        return Writer(
            batch,
            samples,
            settings,
            chain=self._chain(settings),
            end_of_text=self._tokenizer.end_of_text,
            token_bytes=self._token_bytes.__getitem__,
        ).pieces()

    def _found_draft(self) -> DecodeWeights | None:
        """Made when it is first of use: it takes memory, and a moment."""
        if self._draft is None and self._may_draft and self._weights is not None:
            self._draft = draft_of(self._weights)
        return self._draft

    def _samples(self, prefixes: Sequence[str], settings: GenerateSettings) -> list[Growing]:
        stops = settings.stop if settings.truncate is None else (*settings.stop, settings.truncate)
        samples: list[Growing] = []
        for prefix in prefixes:
            prompt = self._tokenizer.encode(prefix) or [self._tokenizer.end_of_text]
            if len(prompt) > self._config.n_ctx:
                logger.info(
                    f"The prefix has {len(prompt)} tokens, more than the model's window of {self._config.n_ctx}: "
                    f"only the last {self._config.n_ctx} are read."
                )
            for _ in range(settings.nsamples):
                growing = Growing(sample=len(samples), prefix=prefix, prompt=prompt, text=TextStream(stops))
                samples.append(growing)
        return samples

    def _chain(self, settings: GenerateSettings) -> Chain:
        bad_words = BadWords(settings.bad_words, self._token_bytes) if settings.bad_words else None
        chain = sampling_chain(settings, self._tokenizer.end_of_text, bad_words)
        if self._drawable == self._config.n_vocab:
            return chain
        surplus = range(self._drawable, self._config.n_vocab)
        return lambda logits, tokens, new: chain(forbid(logits, surplus), tokens, new)


def _default_rows() -> int:
    return _ROWS_ON_GPU if tf.config.list_logical_devices("GPU") else _ROWS_ON_CPU
