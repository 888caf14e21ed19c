"""The text of a dataset without encoding it: for training a tokenizer, and for whoever wants to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpt2simple.data.cuts import parts_of
from gpt2simple.data.pieces import documents
from gpt2simple.data.plain import check_encoding
from gpt2simple.data.sources import open_source
from gpt2simple.settings.text import TextSettings

_PART_CHARACTERS = 1 << 17


def read_texts(
    dataset: Any,
    settings: TextSettings | None = None,
    *,
    notify: Callable[[str], None],
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[str]:
    """The text of all documents in order, long ones in parts that no word reaches across, in bounded memory.

    Args:
        notify: takes remarks for the user.
        progress: is told bytes read and all bytes (None: unknown) after each part.

    Raises:
        DataError: the dataset is missing or cannot be read, or holds token ids (.npz).
        SettingsError: the encoding or template is none.
    """
    settings = settings or TextSettings()
    check_encoding(settings.encoding)
    source = open_source(dataset, None, settings, notify)
    for part in parts_of(documents(source.pieces()), _PART_CHARACTERS):
        yield part.text
        if progress is not None:
            progress(source.bytes_read(), source.total_bytes())
