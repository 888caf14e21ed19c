"""A dataset as training and evaluation need it: the encoded text, split into a training and a held-out part.

Every function that trains, evaluates or compares gets its text here, so that the same text and settings always give the
same split.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gpt2simple.data.batches import checked_window
from gpt2simple.data.corpus import Corpus
from gpt2simple.data.encode import Progress, encode_corpus, no_progress
from gpt2simple.data.sources import checked_source
from gpt2simple.data.split import Split, split
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings

# From a title to a context in which a function of bytes read and all bytes shows how far the text is encoded.
ProgressBar = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedText:
    """An encoded text and its split.

    Attributes:
        corpus: the dataset.
        validation: the user's own text to hold out (``validation_file``); None: a share of the dataset is held out.
        settings: how it was read.
        window: tokens of context in training.
    """

    corpus: Corpus
    validation: Corpus | None
    settings: TextSettings
    window: int

    @cached_property
    def split(self) -> Split:
        """The part to train on and the held-out part; made on first use, when the caller has checked the texts.

        Raises:
            DataError: nothing would be left to train on.
        """
        return split(self.corpus, self.settings, self.window, validation=self.validation)

    @property
    def no_held_out_reason(self) -> str | None:
        """Why nothing is held out, a sentence for the user; None: something is."""
        if self.split.held_out is not None:
            return None
        return self.split.messages[0] if self.split.messages else "validation_split is 0."


def check_texts(dataset: Any, settings: TextSettings) -> None:
    """Look at what ``prepare_text`` will read: see ``sources.checked_source``, and its errors."""
    checked_source(dataset, settings)
    if settings.validation_file is not None:
        checked_source(settings.validation_file, settings)


def prepare_text(
    dataset: Any,
    settings: TextSettings,
    tokenizer: Tokenizer,
    window: int | None,
    *,
    n_ctx: int,
    progress: ProgressBar | None = None,
) -> PreparedText:
    """The dataset and the validation text, encoded or found in the cache.

    Args:
        dataset: whatever ``finetune`` takes, or a Corpus that this tokenizer has encoded.
        window: tokens of context in training; None: as many as the model reads. Decides whether a short held-out part
            is worth having.
        n_ctx: the most tokens that the model reads.
        progress: shows how far each text is encoded; not called for a Corpus.

    Raises:
        SettingsError: the window is longer than the model's, the encoding is unknown, or the template is invalid.
        DataError: the dataset or ``validation_file`` is missing, cannot be read or holds no text.
        StorageError: the cache cannot be written.
    """
    window = checked_window(window, n_ctx)

    def encoded(source: Any, title: str) -> Corpus:
        with nullcontext(no_progress) if progress is None else progress(title) as show:
            return encode_corpus(source, tokenizer, settings, progress=show)

    own = settings.validation_file
    return PreparedText(
        corpus=dataset if isinstance(dataset, Corpus) else encoded(dataset, "Encoding"),
        validation=None if own is None else encoded(own, "Encoding validation_file"),
        settings=settings,
        window=window,
    )
