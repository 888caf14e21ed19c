"""A user's dataset as an encoded text: found in the cache, or encoded into it with all cores in bounded memory.

Two keys lead from a source to its text. The quick one (paths, sizes and times of change) spares reading a text again;
the certain one (digests of the content) finds it where files were copied or touched. Both include the tokenizer and the
settings that decide what the text is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.data.cache import TextCache, cache_folder
from gpt2simple.data.corpus import Corpus
from gpt2simple.data.documents import MayCut, TextPart, cut_anywhere, documents, split_long
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.data.sketches import PartHashes, part_hashes
from gpt2simple.data.sources import Source, open_source
from gpt2simple.errors import DataError, StorageError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings, reading_key
from gpt2simple.storage.disk import require_space
from gpt2simple.storage.locks import wait_for_lock
from gpt2simple.storage.temporary import remove

# Called now and then with the bytes of the source read so far, and all of them where that is known.
Progress = Callable[[int, int | None], None]
_TASK_CHARACTERS = 1 << 17
_RULES = 2  # version of the reading rules; raise it when the same source gives another text


def no_progress(done: int, total: int | None) -> None:
    """For callers that show none."""


def encode_corpus(
    dataset: Any, tokenizer: Tokenizer, settings: TextSettings | None = None, *, progress: Progress = no_progress
) -> Corpus:
    """The encoded text of a dataset.

    Args:
        dataset: whatever `sources.open_source` takes.
        progress: called while the text is encoded; not where it is in the cache.

    Raises:
        DataError: the dataset is missing, cannot be read, or holds nothing but white space.
        StorageError: the cache cannot be written.
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    settings = settings or TextSettings()
    check_encoding(settings.encoding)
    source = open_source(dataset, tokenizer, settings)
    cache = TextCache(cache_folder(settings))
    # Everything beside the source that decides what the encoded text is.
    salt = json.dumps([_RULES, tokenizer.fingerprint, *reading_key(settings)])
    find = partial(cache.find, names=source.names, files=len(source.paths))
    quick = _salted(source.quick_key(), salt)
    if quick and (corpus := find(quick)):
        return corpus
    certain = _salted(source.content_key(), salt)
    if certain is None:
        return _encode(source, cache, tokenizer, settings, progress)
    corpus = find(certain)
    if corpus is None:
        with wait_for_lock(cache.lock_path(certain), f"{source.names[0]} is being encoded by another process."):
            corpus = find(certain)  # another process may have been faster
            if corpus is None:
                corpus = _encode(source, cache, tokenizer, settings, progress)
                cache.remember(certain, corpus.fingerprint)
    remove(cache.lock_path(certain))  # whoever waits for it, or makes a new one, finds the text
    if quick:
        cache.remember(quick, corpus.fingerprint)
    return corpus


def _salted(key: str | None, salt: str) -> str | None:
    return hashlib.sha256(f"{key} {salt}".encode()).hexdigest() if key else None


def _encode(
    source: Source, cache: TextCache, tokenizer: Tokenizer, settings: TextSettings, progress: Progress
) -> Corpus:
    total = source.total_bytes()
    if total is not None:
        # English takes half its bytes as ids of two bytes each; a full disk while writing is an error all the same.
        require_space(cache_folder(settings), total // 2, "Encoding the text")
    with cache.writer(
        vocab_size=tokenizer.vocab_size, end_of_text=tokenizer.end_of_text, seed=tokenizer.fingerprint
    ) as writer:
        for encoded, hashes in _encoded(documents(source.parts()), tokenizer):
            for ids, utf8, characters, ends in encoded:
                writer.add(ids, utf8, characters, ends=ends)
            writer.add_hashes(hashes, [part.ends for part in encoded])
            progress(source.bytes_read(), total)
        if not writer.documents:
            names = ", ".join(source.names)
            raise DataError(f"{names} holds no text, or nothing but white space. Give a text to train on.")
        fingerprint = writer.finish()
    corpus = cache.open(fingerprint, source.names, len(source.paths))
    if corpus is None:
        raise StorageError(
            f"The encoded text was removed from {cache_folder(settings)}, or changed there, as soon as it was written. "
            "Leave that folder alone, or choose another (cache_dir), and run the same again."
        )
    return corpus


class _Encoded(NamedTuple):
    ids: np.ndarray
    utf8: bytes
    characters: int
    ends: bool


_Task = tuple[list[_Encoded], PartHashes]


def _encoded(parts: Iterable[TextPart], tokenizer: Tokenizer) -> Iterator[_Task]:
    """The parts in their order, encoded and hashed on all cores, some at a time."""
    # Threads, not processes: tiktoken releases the GIL, and threads need no fork and no __main__ guard.
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        waiting: deque[Future[_Task]] = deque()
        try:
            for task, begins in tasks(parts, tokenizer.may_cut):
                waiting.append(pool.submit(_work, tokenizer, task, begins))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def tasks(parts: Iterable[TextPart], may_cut: MayCut = cut_anywhere) -> Iterator[tuple[list[TextPart], list[int]]]:
    """Parts of documents, about `_TASK_CHARACTERS` at a time, and the characters of their documents before each."""
    task: list[TextPart] = []
    begins: list[int] = []
    size = begin = 0
    for part in split_long(parts, _TASK_CHARACTERS, may_cut=may_cut):
        task.append(part)
        begins.append(begin)
        size += len(part.text)
        begin = 0 if part.ends else begin + len(part.text)
        if size >= _TASK_CHARACTERS:
            yield task, begins
            task, begins, size = [], [], 0
    if task:
        yield task, begins


def _work(tokenizer: Tokenizer, task: list[TextPart], begins: list[int]) -> _Task:
    encoded = [_Encoded(tokenizer.encode_array(text), text.encode("utf-8"), len(text), ends) for text, ends in task]
    return encoded, part_hashes([part.text for part in task], begins)
