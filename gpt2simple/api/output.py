"""Generated text on its way to the screen or a file: samples in order, each as soon as possible; to files only whole.

Knows no session, and prints nothing by itself: the caller passes a function that writes.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.generation.samples import TextChunk
from gpt2simple.settings.fields import is_text
from gpt2simple.storage.files import GrowingFile

logger = logging.getLogger(__name__)
SAMPLE_DELIM = "=" * 20 + "\n"


class InOrder:
    """Chunks of several samples, released sample by sample in order."""

    def __init__(self) -> None:
        self._current = 0  # the first unfinished sample: its chunks are released at once
        self._held: dict[int, deque[TextChunk]] = {}  # by sample, in order of arrival

    def add(self, chunk: TextChunk) -> None:
        """Add the next chunk of any sample."""
        self._held.setdefault(chunk.sample, deque()).append(chunk)

    def ready(self) -> Iterator[TextChunk]:
        """The chunks that can be released now; those not consumed stay held."""
        while chunks := self._held.get(self._current):
            chunk = chunks.popleft()
            yield chunk
            if chunk.finish_reason is not None:  # afterwards: an interruption here still belongs to this sample
                del self._held[self._current]
                self._current += 1

    def finished_later(self) -> list[list[TextChunk]]:
        """The chunks of each finished sample that waits for an unfinished one; to be called when no more will come."""
        later = [chunks for number, chunks in sorted(self._held.items()) if number > self._current]
        return [list(chunks) for chunks in later if chunks[-1].finish_reason is not None]


def whole_texts(chunks: Iterable[TextChunk]) -> Iterator[str]:
    """The text of each sample, in order, when it and those before it are finished."""
    in_order, text = InOrder(), ""
    for chunk in chunks:
        in_order.add(chunk)
        for ready in in_order.ready():
            text += ready.text
            if ready.finish_reason is not None:
                yield text
                text = ""


def require_delim(delim: Any) -> None:
    """Raise SettingsError if the delimiter between samples is not a string."""
    if not is_text(delim):
        raise SettingsError(f"sample_delim is {delim!r}; expected a string of valid Unicode.")


def new_file(path: str | Path) -> GrowingFile:
    """A new file for samples, with a name that the user chose.

    Raises:
        SettingsError: it exists, or the name is invalid. StorageError: the file cannot be created.
    """
    try:
        if not str(path):
            raise ValueError
        return GrowingFile(Path(path))
    except (TypeError, ValueError):  # what pathlib and the system raise for invalid names
        raise SettingsError(f"destination_path is {path!r}; expected the name of a file.") from None
    except FileExistsError:
        raise SettingsError(
            f"{path} exists, and is not overwritten. Name another destination_path, or move it away."
        ) from None


def new_file_in(folder: Path) -> GrowingFile:
    """A new file for samples in a folder, named by date and time, with a number if that name is taken.

    Raises:
        StorageError: the file cannot be created.
    """
    return GrowingFile(folder / f"gpt2simple_{datetime.now():%Y%m%d_%H%M%S}.txt", numbered=True)


def show(chunks: Iterable[TextChunk], total: int, delim: str, write: Callable[[str], None]) -> None:
    """Write samples in order, the first unfinished one as it grows.

    Args:
        chunks: the chunks of `total` samples.
        delim: written after each sample if there are several.
        write: writes text at once.
    """
    out = _Output(total, delim, write, live=True)
    try:
        out.run(chunks)
    except BrokenPipeError:  # the reader has seen enough
        raise
    except BaseException as error:
        if total > 1:
            cut = f"; number {out.cut} is cut short." if out.cut else "."
            logger.info(f"Stopped with {out.finished} of {total} samples finished{cut}")
        elif not isinstance(error, OSError):  # an OSError already says that the text could not be written
            logger.info("Stopped: the text is cut short.")
        raise


def save(chunks: Iterable[TextChunk], total: int, delim: str, file: GrowingFile) -> None:
    """Write samples to a file in order, each as soon as it and those before it are finished, and only whole.

    Arguments as ``show``. If this is interrupted, finished samples that waited for an unfinished one are written too.
    """
    try:
        _Output(total, delim, file.append, live=False).run(chunks)
    except BaseException:
        kept = f"they are in {file.path}" if file.parts else f"{file.path} was not kept"
        logger.info(f"Stopped with {file.parts} of {total} samples finished; {kept}.")
        raise


class _Output:
    """Writes the chunks of samples in order.

    Attributes:
        finished: samples written completely. cut: number, from 1, of the sample that was cut short.
    """

    def __init__(self, total: int, delim: str, write: Callable[[str], None], *, live: bool) -> None:
        self._write = write
        self._live = live
        self._end = "\n" + (delim if total > 1 else "")
        self._chunks = InOrder()
        self._waiting = ""  # text of the current sample, if only whole ones are written
        self._begun = False  # whether a sample is partly written
        self.finished = 0
        self.cut: int | None = None

    def run(self, chunks: Iterable[TextChunk]) -> None:
        """Write all; if this is interrupted, what is finished is written before the error propagates."""
        try:
            for chunk in chunks:
                self._chunks.add(chunk)
                for ready in self._chunks.ready():
                    self._put(ready)
        except OSError:  # the destination accepts no more
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                self._put_finished()
            raise

    def _put(self, chunk: TextChunk) -> None:
        self._waiting += chunk.text
        done = chunk.finish_reason is not None
        if done or self._live:
            text, self._waiting = self._waiting + (self._end if done else ""), ""
            self._begun = self._live
            self._write(text)
            self._begun = not done
            self.finished += done

    def _put_finished(self) -> None:
        if self._begun:
            self.cut = self.finished + 1
            self._write(self._end)
        for chunks in self._chunks.finished_later():
            self._write("".join(chunk.text for chunk in chunks) + self._end)
            self.finished += 1
