"""Samples from a model: one stream of text chunks, and the list that collects it.

Holds the decode copy of the weights and sets up each call: token ids of the prefixes, the sampling chain, the rows.
Files, run folders and the terminal are left to its callers.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.sharing import Copies, as_they_come
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import SettingsError
from gpt2simple.generation.batch import CachedBatch, FindDraft
from gpt2simple.generation.samples import Collector, Sample, TextChunk
from gpt2simple.generation.sampling import sampling_chain
from gpt2simple.generation.scheduler import ActiveSample, Scheduler
from gpt2simple.generation.text import BadWords, TextStream
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.adapted import AdaptedWeights
from gpt2simple.gpt2.network.decode_weights import DecodeWeights, decode_weights, draft_of, draft_pays
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings import GenerateSettings

logger = logging.getLogger(__name__)

# Rows generated in parallel when the user does not choose.
_ROWS_ON_CPU = 8
_ROWS_ON_GPU = 32


class Generator:
    """Generates texts with a copy of a model's current weights; later training does not affect it.

    Weights with an adapter among them are not copied: it generates with those of the moment.

    Args:
        weights: of the model, by canonical name: variables, or what is read from an open checkpoint.
        config, tokenizer: of the model.
        precision: of the decode copy: "float32", "bfloat16", "float16" or "int8" (weights only); with an adapter,
            of the products.
        devices: that share more samples than one generates at a time, by TensorFlow's names; the first has the weights.

    Raises:
        SettingsError: there is no such precision.
    """

    def __init__(
        self, weights: Mapping[str, Any], config: ModelConfig, tokenizer: Tokenizer, precision: str = "float32",
        devices: Sequence[str] = (),
    ) -> None:  # fmt: skip
        adapted = AdaptedWeights.of(weights, precision)
        copied = decode_weights(weights, config, precision) if adapted is None else None
        self._weights: DecodeWeights | AdaptedWeights | None = adapted or copied
        self._devices = devices
        self._may_draft = copied is not None and draft_pays(copied)
        self._draft: DecodeWeights | None = None
        self._draft_lock = threading.Lock()
        self._config = config
        self._tokenizer = tokenizer
        # The embedding may have more rows than the tokenizer has tokens; those of no token are never drawn.
        self._no_token = tokenizer.without_token(config.n_vocab).tolist()
        self._token_bytes = [tokenizer.decode_bytes([token]) for token in range(tokenizer.vocab_size)]

    def close(self) -> None:
        """Free the decode copy of the weights; a closed generator cannot generate."""
        with self._draft_lock:
            self._weights = self._draft = None

    def generate(self, prefixes: Sequence[str], settings: GenerateSettings) -> list[Sample]:
        """The finished samples, those of the first prefix first; see `stream`."""
        collector = Collector(prefixes, settings.nsamples)
        for chunk in self.stream(prefixes, settings):
            collector.add(chunk)
        return collector.samples

    def stream(self, prefixes: Sequence[str], settings: GenerateSettings) -> Iterator[TextChunk]:
        """Text as it is generated, the chunks of several samples interleaved.

        Args:
            prefixes: one or more; each gets `settings.nsamples` samples. An empty one starts from the end of text.
            settings: how to sample and when to stop.

        Raises:
            SettingsError: there is no prefix, or the generator is closed.
        """
        weights = self._weights
        if weights is None:
            raise SettingsError("This generator was closed and has no weights; make a new one.")
        if not prefixes:
            raise SettingsError('prefixes is empty; give at least one, such as [""].')
        samples = self._samples(prefixes, settings)
        rows = settings.batch_size or (_ROWS_ON_GPU if has_gpu() else _ROWS_ON_CPU)
        shares = _shares(samples, min(len(self._devices), -(-len(samples) // rows)))
        if len(shares) == 1:
            return self._chunks(weights, samples, settings, rows, self._get_draft)
        copies = Copies(weights, self._devices)
        devices, streams = self._devices[: len(shares)], list[Iterator[TextChunk]]()
        for place, (device, share) in enumerate(zip(devices, shares, strict=True)):
            with tf.device(device):
                streams.append(self._chunks(copies.at(place), share, settings, rows, lambda: None))
        return as_they_come(streams, devices)

    def _chunks(
        self, weights: DecodeWeights | AdaptedWeights, samples: Sequence[ActiveSample], settings: GenerateSettings,
        rows: int, draft: FindDraft,
    ) -> Iterator[TextChunk]:  # fmt: skip
        """The text of some samples, of which at most so many grow at a time, on the device of the caller."""
        longest = max(len(sample.prompt) for sample in samples) + settings.length
        batch = CachedBatch(weights, self._config, rows=min(rows, len(samples)), longest=longest, draft=draft)
        end_of_text = self._tokenizer.end_of_text
        bad_words = BadWords(settings.bad_words, self._token_bytes) if settings.bad_words else None
        chain = sampling_chain(settings, end_of_text, bad_words, never=self._no_token)
        return Scheduler(
            batch, samples, settings, chain=chain, end_of_text=end_of_text, token_bytes=self._token_bytes.__getitem__
        ).chunks()

    def _get_draft(self) -> DecodeWeights | None:
        """The draft model, made when it is first used because it takes memory and time."""
        with self._draft_lock:  # another thread may ask too, see `CachedBatch`
            if self._draft is None and self._may_draft and isinstance(self._weights, DecodeWeights):
                self._draft = draft_of(self._weights)
            return self._draft

    def _samples(self, prefixes: Sequence[str], settings: GenerateSettings) -> list[ActiveSample]:
        stops = settings.stop if settings.truncate is None else (*settings.stop, settings.truncate)
        samples: list[ActiveSample] = []
        for prefix in prefixes:
            prompt = self._tokenizer.encode(prefix) or [self._tokenizer.end_of_text]
            if len(prompt) > self._config.n_ctx:
                logger.info(
                    f"The prefix has {len(prompt)} tokens, more than the model's window of {self._config.n_ctx}: "
                    f"only the last {self._config.n_ctx} are read."
                )
            for _ in range(settings.nsamples):
                samples.append(ActiveSample(number=len(samples), prefix=prefix, prompt=prompt, text=TextStream(stops)))
        return samples


def _shares(samples: Sequence[ActiveSample], count: int) -> list[Sequence[ActiveSample]]:
    """Nearly equal parts, those that follow each other together: several of one prefix share one prefill."""
    count = max(count, 1)
    bounds = [len(samples) * number // count for number in range(count + 1)]
    return [samples[start:end] for start, end in itertools.pairwise(bounds)]
