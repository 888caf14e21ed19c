"""The cache of encoded texts: same ids as in one piece, found again, shared, and whole after any accident."""

from __future__ import annotations

import functools
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from gpt2simple.data import encode as encode_module
from gpt2simple.data.cache import TextWriter, cache_folder
from gpt2simple.data.documents import END_MARK, TextPart
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.file_types import FileType
from gpt2simple.data.readers.plain import read_plain
from gpt2simple.data.sources import _Files
from gpt2simple.errors import DataError, StorageError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.settings.text import TextSettings
from gpt2simple.testing import sample_text
from tests.helpers.texts import encode, texts_of

TRAINED = Tokenizer.train([sample_text(500)], 400)


@functools.cache
def text_of_several_tasks() -> str:
    """Threads encode 131,072 characters at a time."""
    text = sample_text(13_000)
    assert len(text) > 5 * 131_072
    return text


def entries(cache: Path) -> list[str]:
    return sorted(p.name for p in (cache / "texts").iterdir())


def test_a_text_is_encoded_again_for_other_added_tokens(tmp_path: Path) -> None:
    with_tokens = TRAINED.with_added(["<a b>"])
    (tmp_path / "a.txt").write_text("<a b>the house\n" * 20_000)
    found = [encode(tmp_path / "a.txt", tmp_path / "cache", tokenizer=each) for each in (TRAINED, with_tokens, TRAINED)]
    assert found[0].fingerprint == found[2].fingerprint != found[1].fingerprint
    assert np.count_nonzero(found[1].ids == with_tokens.added["<a b>"]) == 20_000


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_large_text_in_parts_has_the_ids_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    text = text_of_several_tasks()
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    seen: list[tuple[int, int | None]] = []
    how = TextSettings(cache_dir=str(tmp_path / "cache"))
    corpus = encode_corpus(path, TRAINED, how, progress=lambda done, total: seen.append((done, total)))
    assert corpus.ids[1:-1].tolist() == TRAINED.encode(text)
    assert (corpus.bytes, corpus.characters) == (len(text.encode()), len(text))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_ids_take_two_bytes_or_four(tmp_path: Path) -> None:
    assert encode(["a"], tmp_path / "cache").ids.dtype == np.uint16
    vocabulary = replace(TRAINED._vocabulary, added={END_MARK: AddedToken(id=70_000)})
    corpus = encode(["a"], tmp_path / "cache", tokenizer=Tokenizer(vocabulary))
    assert corpus.ids.dtype == np.uint32
    assert corpus.ids.tolist() == [70_000, TRAINED.encode("a")[0], 70_000]


# --- found again ---


def refuse_to_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the text was encoded again")

    monkeypatch.setattr(encode_module, "_encode", fail)


def old(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1e9, 1e9))
    return path


def never_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the times of files that were written a moment ago; whoever writes one again lets the clock tick first."""
    monkeypatch.setattr("gpt2simple.data.sources._SETTLED_NANOSECONDS", -(10**12))


def test_the_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never_too_new(monkeypatch)
    path = old(tmp_path / "a.txt", "some text")
    first = encode(path, tmp_path / "cache")
    refuse_to_encode(monkeypatch)
    monkeypatch.setattr("gpt2simple.data.sources.sha256_of", None)
    second = encode(path, tmp_path / "cache")
    assert isinstance(second.ids, np.memmap)
    assert second.fingerprint == first.fingerprint


def test_a_copied_or_touched_file_is_found_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(tmp_path / "a.txt", "some text")
    encode(path, tmp_path / "cache")
    refuse_to_encode(monkeypatch)
    os.utime(path)
    assert texts_of(encode(path, tmp_path / "cache")) == ["some text"]
    shutil.copy(path, tmp_path / "b.txt")
    assert texts_of(encode(tmp_path / "b.txt", tmp_path / "cache")) == ["some text"]


def test_equal_texts_have_one_fingerprint_and_one_entry(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = old(tmp_path / "a.txt", "some text")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"some text"))
    corpora = [encode(source, cache) for source in (path, tmp_path / "a.txt.gz", ["some text"], iter(["some text"]))]
    assert len({corpus.fingerprint for corpus in corpora}) == 1
    assert len(entries(cache)) == 1
    assert [corpus.files for corpus in corpora] == [1, 1, 0, 0]


def test_another_text_tokenizer_or_setting_is_another_entry(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = old(tmp_path / "a.csv", "text,more\nsome words!,café\n")
    fingerprints = [
        encode(path, cache, column="text").fingerprint,
        encode(path, cache, column="more").fingerprint,
        encode(path, cache, column="more", encoding="cp1252").fingerprint,
        encode(path, cache, column="text", tokenizer=TRAINED).fingerprint,
    ]
    old(path, "text,more\nother words,x\n")
    fingerprints.append(encode(path, cache, column="text").fingerprint)
    assert len(set(fingerprints)) == len(fingerprints) == len(entries(cache))


def test_a_file_rewritten_with_the_same_size_and_time_right_after_is_noticed(tmp_path: Path) -> None:
    """File systems count time in ticks: a file that was just written may change again without a new time."""
    path = tmp_path / "a.txt"
    path.write_text("first", encoding="utf-8")
    status = path.stat()
    assert texts_of(encode(path, tmp_path / "cache")) == ["first"]
    path.write_text("other", encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert texts_of(encode(path, tmp_path / "cache")) == ["other"]


@pytest.mark.parametrize("how", ["cp -p", "touch -r", "mv"])
def test_another_text_with_the_size_and_time_of_the_one_before_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    never_too_new(monkeypatch)
    path, other = old(tmp_path / "a.txt", "first"), old(tmp_path / "b.txt", "other")
    assert texts_of(encode(path, tmp_path / "cache")) == ["first"]
    time.sleep(0.05)
    if how == "cp -p":
        shutil.copy2(other, path)
    elif how == "touch -r":
        old(path, "other")
    else:
        other.rename(path)
    assert texts_of(encode(path, tmp_path / "cache")) == ["other"]


def test_a_file_that_goes_or_changes_while_it_is_looked_at_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, when in enumerate(("quick_key", "content_key", "parts")):
        for what in ("goes", "changes"):
            folder = tmp_path / f"{n}{what}"
            folder.mkdir()
            path, plain = old(folder / "a.txt", "some text"), getattr(_Files, when)

            def change(source: _Files, *, path: Path = path, what: str = what, plain: Any = plain) -> Any:
                old(path, "some other text") if what == "changes" else path.unlink()
                return plain(source)

            with monkeypatch.context() as patch:
                patch.setattr(_Files, when, change)
                with pytest.raises(DataError) as error:
                    encode(folder, folder / "cache")
            told = f"{path} cannot be read: No such file" if what == "goes" else f"{folder} changed while it was read."
            assert told in str(error.value)


def test_duplicates_are_counted(tmp_path: Path) -> None:
    corpus = encode(["a", "b", "a", "a", "c\r\n", "c\n"], tmp_path / "cache")
    assert (corpus.documents, corpus.duplicates) == (6, 3)


# --- where ---


def test_the_cache_lies_where_setting_environment_or_system_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder(TextSettings(cache_dir="here")) == Path("here")
    monkeypatch.setenv("GPT2SIMPLE_CACHE", str(tmp_path))
    assert cache_folder(TextSettings()) == tmp_path
    monkeypatch.delenv("GPT2SIMPLE_CACHE")
    monkeypatch.setattr(platformdirs, "PlatformDirs", Unix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder(TextSettings()) == tmp_path / "x" / "gpt2simple"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(TextSettings()) == Path.home() / ".cache" / "gpt2simple"
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    assert cache_folder(TextSettings()) == Path.home() / "Library" / "Caches" / "gpt2simple"
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: str(tmp_path / "Local"))
    monkeypatch.setattr(platformdirs, "PlatformDirs", Windows)
    assert cache_folder(TextSettings()) == tmp_path / "Local" / "gpt2simple"


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"Cannot write"):
        encode(["a"], tmp_path / "file")


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gpt2simple.data.cache.TextWriter.add", full)
    with pytest.raises(StorageError, match=r"the disk is full"):
        encode(["a"], tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


def test_a_text_that_is_removed_as_soon_as_it_is_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = TextWriter.finish

    def finish_and_remove(writer: TextWriter) -> str:
        fingerprint = finish(writer)
        shutil.rmtree(tmp_path / "cache")
        return fingerprint

    monkeypatch.setattr(TextWriter, "finish", finish_and_remove)
    with pytest.raises(StorageError, match=r"was removed from .*cache.* Leave that folder alone, or choose another"):
        encode(["a"], tmp_path / "cache")


# --- accidents ---


@pytest.mark.parametrize("file", ["ids.bin", "documents.npy", "grams.npy", "text.json"])
@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_damaged_entry_is_encoded_again(tmp_path: Path, file: str, content: bytes) -> None:
    cache = tmp_path / "cache"
    path = old(tmp_path / "a.txt", sample_text(50))
    encode(path, cache)
    (name,) = entries(cache)
    (cache / "texts" / name / file).unlink()
    (cache / "texts" / name / file).write_bytes(content)
    assert texts_of(encode(path, cache)) == [sample_text(50)]
    assert entries(cache) == [name]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1
    path.unlink()  # not in place: what is open stays as it is
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["texts/*/ids.bin", "texts/*/documents.npy", "texts/*/text.json", "keys/*.json"])
def test_a_changed_bit_anywhere_in_the_cache_is_noticed(tmp_path: Path, name: str) -> None:
    cache, path = tmp_path / "cache", old(tmp_path / "a.txt", "some text")
    whole = encode(path, cache)
    (file,) = cache.glob(name)
    content = file.read_bytes()
    for place in range(0, len(content), 1 if len(content) < 64 else 7):
        flip(file, place)
        again = encode(path, cache)
        assert texts_of(again) == ["some text"]
        assert (again.fingerprint, again.characters) == (whole.fingerprint, whole.characters)
        file.write_bytes(content)


@pytest.mark.parametrize("file", ["ids.bin", "documents.npy", "text.json", "key"])
def test_files_of_two_entries_that_were_swapped_are_noticed(tmp_path: Path, file: str) -> None:
    cache = tmp_path / "cache"
    paths = [old(tmp_path / "a.txt", "first"), old(tmp_path / "b.txt", "other")]
    for path in paths:
        encode(path, cache)
    one, two = sorted((cache / "keys").iterdir() if file == "key" else cache.glob(f"texts/*/{file}"))
    one.rename(tmp_path / "one")
    two.rename(one)
    (tmp_path / "one").rename(two)
    assert [texts_of(encode(path, cache)) for path in paths] == [["first"], ["other"]]


def test_an_entry_of_the_first_version_is_encoded_again(tmp_path: Path) -> None:
    """It had no digests; its fingerprint, which runs have recorded, stays."""
    cache, path = tmp_path / "cache", old(tmp_path / "a.txt", "some text")
    before = encode(path, cache).fingerprint
    (file,) = cache.glob("texts/*/text.json")
    about = json.loads(file.read_text())
    names = ("fingerprint", "dtype", "tokens", "documents", "characters", "end_of_text")
    file.write_text(json.dumps({"schema": 1, **{name: about[name] for name in names}}))
    (key,) = cache.glob("keys/*.json")
    key.write_text(json.dumps({"text": before}))
    again = encode(path, cache)
    assert (texts_of(again), again.fingerprint) == (["some text"], before)
    assert json.loads(file.read_text())["schema"] == 2


def test_a_damaged_key_is_no_obstacle(tmp_path: Path) -> None:
    path = old(tmp_path / "a.txt", "some text")
    encode(path, tmp_path / "cache")
    for key in (tmp_path / "cache" / "keys").iterdir():
        key.write_text("half a JS")
    assert texts_of(encode(path, tmp_path / "cache")) == ["some text"]


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(tmp_path / "a.txt", "some text")

    def read(name: str, stream: BinaryIO, settings: TextSettings) -> Iterator[TextPart]:
        yield from read_plain(name, stream, settings)
        with path.open("a") as file:
            file.write(" and more")

    monkeypatch.setattr("gpt2simple.data.files.file_type", lambda name, head: FileType("text", read))
    with pytest.raises(DataError, match=r"a\.txt changed while it was read. Wait until it is complete"):
        encode(path, tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


SLOW_ENCODER = """
import sys, time
from pathlib import Path
from gpt2simple.data import encode as module
from gpt2simple.settings.text import TextSettings
from gpt2simple.testing import byte_tokenizer

encoded, delay = module._encoded, float(sys.argv[3])
def slow(*arguments):
    for task in encoded(*arguments):
        yield task
        print("written", flush=True)
        time.sleep(delay)
module._encoded = slow
corpus = module.encode_corpus(sys.argv[1], byte_tokenizer(), TextSettings(cache_dir=sys.argv[2]))
print("done", corpus.fingerprint, corpus.tokens, flush=True)
"""


def start(path: Path, cache: Path, delay: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW_ENCODER, str(path), str(cache), str(delay)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_in_the_middle_the_next_start_is_correct(tmp_path: Path) -> None:
    path, cache = old(tmp_path / "a.txt", text_of_several_tasks()), tmp_path / "cache"
    with start(path, cache, delay=0.5) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()
    assert [name.startswith(".tmp-") for name in entries(cache)] == [True]
    assert texts_of(encode(path, cache)) == [text_of_several_tasks()]
    (name,) = entries(cache)  # and the leftover is gone
    assert not name.startswith(".tmp-")
    assert list((cache / "locks").iterdir()) == []


def test_a_second_process_waits_and_takes_the_first_ones_text(tmp_path: Path, messages: list[str]) -> None:
    path, cache = old(tmp_path / "a.txt", text_of_several_tasks()), tmp_path / "cache"
    with start(path, cache, delay=0.1) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "written\n"
        began = time.monotonic()
        corpus = encode(path, cache)
        assert texts_of(corpus) == [text_of_several_tasks()]
        rest = first.stdout.read().splitlines()
    assert rest[-1].split()[1] == corpus.fingerprint
    assert messages == [f"{path} is being encoded by another process. Waiting for it."]
    assert time.monotonic() - began > 0.2
    assert len(entries(cache)) == 1


def test_entries_say_what_they_are(tmp_path: Path) -> None:
    corpus = encode(["ab", "c"], tmp_path / "cache")
    (name,) = entries(tmp_path / "cache")
    about = json.loads((tmp_path / "cache" / "texts" / name / "text.json").read_text())
    assert about["fingerprint"] == corpus.fingerprint
    assert (about["tokens"], about["documents"], about["characters"]) == (6, 2, 3)
