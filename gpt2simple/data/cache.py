"""Encoded texts on disk, shared by all runs: each one once, under the digest of its ids, read through memory maps.

::

    texts/<fingerprint>/   ids.bin  documents.npy  grams.npy  text.json      appears under this name when complete
    keys/<key>.json        a key of a source -> the fingerprint of its text
    locks/<key>.lock       held by the process that encodes it

Every file is checked against a digest when a text is opened, which for 200 MB of ids takes a few tenths of a second. A
damaged text, or one of an earlier version, is removed, and encoded again on its next use. Knows neither sources nor
tokenizers.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gpt2simple.data.corpus import Corpus
from gpt2simple.data.sketches import PartHashes, Sketches, SketchWriter
from gpt2simple.errors import StorageError
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import json_digest, read_json
from gpt2simple.storage.disk import make_folder, storage_errors, user_cache
from gpt2simple.storage.files import atomic_write, remove_folder, rename_folder, sha256_of
from gpt2simple.storage.temporary import remove_leftovers, temporary_name

_SCHEMA = 2
_FINGERPRINT = 2  # begins every fingerprint: a run is not continued where its text would be split in another way
_ARRAYS = ("documents.npy", "grams.npy")


def cache_folder(settings: TextSettings) -> Path:
    """Where encoded texts are kept: the setting, else $GPT2SIMPLE_CACHE, else the user's cache folder."""
    return user_cache() if settings.cache_dir is None else Path(settings.cache_dir).expanduser()


class TextCache:
    """The cache in one folder."""

    def __init__(self, folder: Path) -> None:
        self._texts, self._keys, self._locks = folder / "texts", folder / "keys", folder / "locks"

    def lock_path(self, key: str) -> Path:
        """The lock file of the process that encodes the source with this key."""
        return self._locks / f"{key[:32]}.lock"

    def find(self, key: str, names: tuple[str, ...], files: int) -> Corpus | None:
        """The text of a key; None where there is none, or a damaged one.

        Args:
            names, files: how the source is called now, for the Corpus.
        """
        try:
            found = read_json(self._keys / f"{key[:32]}.json")
            fingerprint = str(found["text"]) if found["key"] == key else ""
        except Exception:
            fingerprint = ""
        return self.open(fingerprint, names, files) if fingerprint else None

    def remember(self, key: str, fingerprint: str) -> None:
        """Make a key find a text from now on."""
        atomic_write(self._keys / f"{key[:32]}.json", json.dumps({"key": key, "text": fingerprint}), durable=False)

    def open(self, fingerprint: str, names: tuple[str, ...], files: int) -> Corpus | None:
        """The text with this fingerprint; None where it is missing or damaged."""
        return _open(self._texts / fingerprint[:32], fingerprint, names, files)

    @contextmanager
    def writer(self, *, vocab_size: int, end_of_text: int, seed: str) -> Iterator[TextWriter]:
        """Yield a writer for a new text; the text is in the cache when ``finish`` has been called.

        Args:
            vocab_size: decides whether ids take 2 or 4 bytes.
            seed: becomes part of the fingerprint: the tokenizer's.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        make_folder(self._texts)
        remove_leftovers(self._texts)
        with storage_errors(self._texts), temporary_name(self._texts) as temporary:
            temporary.mkdir()
            writer = TextWriter(temporary, self._texts, vocab_size=vocab_size, end_of_text=end_of_text, seed=seed)
            try:
                yield writer
            finally:
                writer.close()


class TextWriter:
    """Takes the ids of a text, document by document, in parts."""

    def __init__(self, folder: Path, texts: Path, *, vocab_size: int, end_of_text: int, seed: str) -> None:
        self._folder, self._texts = folder, texts
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._end_of_text = end_of_text
        self._end = np.array([end_of_text], dtype=self._dtype).tobytes()
        self._file = (folder / "ids.bin").open("wb", buffering=1 << 20)
        self._seed = seed
        self._fingerprint = hashlib.sha256(_salt(seed))
        self._tokens = self._characters = 0
        self._document = hashlib.blake2b(digest_size=8)
        self._document_bytes = 0
        self._starts, self._bytes, self._digests = array("q"), array("q"), array("Q")  # one number for each document
        self._start = 1
        self._sketches = SketchWriter()
        self._write(self._end)

    def add(self, ids: np.ndarray, utf8: bytes, characters: int, *, ends: bool) -> None:
        """Append a part of a document, and end the document there if so.

        Args:
            ids: token ids of the part [T].
            utf8: its text, as UTF-8.
            characters: its length in characters.
        """
        self._write(ids.astype(self._dtype, copy=False).tobytes())
        self._document.update(utf8)
        self._document_bytes += len(utf8)
        self._characters += characters
        if ends:
            self._write(self._end)
            self._starts.append(self._start)
            self._bytes.append(self._document_bytes)
            self._digests.append(int.from_bytes(self._document.digest(), "little"))
            self._document = hashlib.blake2b(digest_size=8)
            self._document_bytes = 0
            self._start = self._tokens

    def add_hashes(self, parts: PartHashes, ends: Sequence[bool]) -> None:
        """Append the hashes of parts that were added, and end a document after each for which ``ends`` says so."""
        self._sketches.add(parts, ends)

    @property
    def documents(self) -> int:
        """Documents that have ended."""
        return len(self._starts)

    def finish(self) -> str:
        """Put the text into the cache and return its fingerprint; one that is there already is kept."""
        fingerprint = self._fingerprint.hexdigest()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        sketches = self._sketches.finish()
        columns = (self._starts, self._bytes, self._digests, sketches.texts, sketches.counts)
        self._save("documents.npy", np.stack([np.frombuffer(numbers, dtype="<u8") for numbers in columns]))
        self._save("grams.npy", sketches.grams)
        about = {
            "schema": _SCHEMA,
            "fingerprint": fingerprint,
            "seed": self._seed,
            **{name: sha256_of(self._folder / name) for name in _ARRAYS},
            "dtype": self._dtype.str,
            "tokens": self._tokens,
            "documents": self.documents,
            "characters": self._characters,
            "end_of_text": self._end_of_text,
            "level": sketches.level,
        }
        text = json.dumps({**about, "text.json": json_digest(about)}, indent=2)
        atomic_write(self._folder / "text.json", text + "\n", durable=False)
        target = self._texts / fingerprint[:32]
        if target.exists() and _open(target, fingerprint) is None:
            remove_folder(target)
        if not target.exists():
            try:
                rename_folder(self._folder, target)
            except StorageError:
                if _open(target, fingerprint) is None:  # else another process was first, with the same text
                    raise
        return fingerprint

    def close(self) -> None:
        """Let go of the file; without ``finish`` the text is dropped."""
        self._file.close()

    def _save(self, name: str, values: np.ndarray) -> None:
        with (self._folder / name).open("wb") as file:
            np.save(file, values)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._fingerprint.update(data)
        self._tokens += len(data) // self._dtype.itemsize


def _salt(seed: str) -> bytes:
    return f"{_FINGERPRINT} {seed} ".encode()


def _open(folder: Path, fingerprint: str, names: tuple[str, ...] = (), files: int = 0) -> Corpus | None:
    try:
        about = read_json(folder / "text.json")
        recorded = about.pop("text.json")
        if (about["schema"], about["fingerprint"], json_digest(about)) != (_SCHEMA, fingerprint, recorded):
            return None
        if any(sha256_of(folder / name) != about[name] for name in _ARRAYS):
            return None
        # The fingerprint is the ids' digest.
        if sha256_of(folder / "ids.bin", _salt(about["seed"])) != fingerprint:
            return None
        rows, grams = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in _ARRAYS)  # (5, D), (G,)
        return Corpus(
            ids=np.memmap(folder / "ids.bin", dtype=about["dtype"], mode="r"),  # (N,)
            end_of_text=int(about["end_of_text"]),
            document_starts=rows[0].view(np.int64),
            document_bytes=rows[1].view(np.int64),
            document_digests=rows[2],
            sketches=Sketches(texts=rows[3], counts=rows[4].view(np.int64), grams=grams, level=int(about["level"])),
            characters=int(about["characters"]),
            files=files,
            sources=names,
            fingerprint=fingerprint,
        )
    except Exception:
        return None
