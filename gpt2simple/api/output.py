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
from gpt2simple.storage.files import GrowingFile, free_name

logger = logging.getLogger(__name__)
SAMPLE_DELIM = "=" * 20 + "\n"


class Turns:
    """A buffer that puts samples in order: holds back the pieces of a sample until all samples before it are done."""

    def __init__(self) -> None:
        self._turn = 0  # the first sample that is not done: its pieces pass at once
        self._held: dict[int, deque[TextChunk]] = {}  # by sample, in order of arrival

    def add(self, piece: TextChunk) -> None:
        """Add the next piece of any sample."""
        self._held.setdefault(piece.sample, deque()).append(piece)

    def ready(self) -> Iterator[TextChunk]:
        """The pieces that may pass now; those not taken from the iterator stay in the buffer."""
        while pieces := self._held.get(self._turn):
            piece = pieces.popleft()
            yield piece
            if piece.finish_reason is not None:  # afterwards: an interruption here still belongs to this sample
                del self._held[self._turn]
                self._turn += 1

    def finished_later(self) -> list[list[TextChunk]]:
        """The pieces of each finished sample that waits for an unfinished one; for use when no more will come."""
        later = [pieces for number, pieces in sorted(self._held.items()) if number > self._turn]
        return [list(pieces) for pieces in later if pieces[-1].finish_reason is not None]


def require_delim(delim: Any) -> None:
    """Raise SettingsError if the delimiter is not a valid string."""
    if not is_text(delim):
        raise SettingsError(f"sample_delim is {delim!r}; expected a string of valid Unicode.")


def new_file(path: str | Path) -> GrowingFile:
    """A new file for samples under a name that the user chose.

    Raises:
        SettingsError: the name exists or is not valid. StorageError: the file cannot be created.
    """
    try:
        if not str(path):
            raise ValueError
        return GrowingFile(Path(path))
    except (TypeError, ValueError):  # from pathlib or the system, for an invalid name
        raise SettingsError(f"destination_path is {path!r}; expected the name of a file.") from None
    except FileExistsError:
        raise SettingsError(
            f"{path} exists, and is not overwritten. Name another destination_path, or move it away."
        ) from None


def new_file_in(folder: Path) -> GrowingFile:
    """A new file for samples in a folder, named after the time; no two processes get the same.

    Raises:
        StorageError: the file cannot be created.
    """
    path = folder / f"gpt2simple_{datetime.now():%Y%m%d_%H%M%S}.txt"
    while True:
        with contextlib.suppress(FileExistsError):  # another process may have been faster
            return GrowingFile(free_name(path, "_"))


def show(pieces: Iterable[TextChunk], total: int, delim: str, write: Callable[[str], None]) -> None:
    """Write samples in order, the first unfinished one while it is generated.

    Args:
        pieces: of `total` samples.
        delim: written after each sample if there are several.
        write: writes text at once.
    """
    out = _Outflow(total, delim, write, live=True)
    try:
        out.run(pieces)
    except BrokenPipeError:  # the reader has closed the pipe
        raise
    except BaseException as error:
        if total > 1:
            cut = f"; number {out.cut} is cut short." if out.cut else "."
            logger.info(f"Stopped with {out.finished} of {total} samples finished{cut}")
        elif not isinstance(error, OSError):  # which already says that the text could not be written
            logger.info("Stopped: the text is cut short.")
        raise


def save(pieces: Iterable[TextChunk], total: int, delim: str, file: GrowingFile) -> None:
    """Write samples to a file in order, each as soon as it and those before it are finished; only whole samples.

    Arguments as for ``show``. If interrupted, finished samples that waited for an unfinished one are written too.
    """
    try:
        _Outflow(total, delim, file.append, live=False).run(pieces)
    except BaseException:
        kept = f"they are in {file.path}" if file.parts else f"{file.path} was not kept"
        logger.info(f"Stopped with {file.parts} of {total} samples finished; {kept}.")
        raise


class _Outflow:
    """Writes samples in order.

    Attributes:
        finished: number of whole samples written. cut: number, from 1, of the sample that stays half-written.
    """

    def __init__(self, total: int, delim: str, write: Callable[[str], None], *, live: bool) -> None:
        self._write = write
        self._live = live
        self._end = "\n" + (delim if total > 1 else "")
        self._turns = Turns()
        self._waiting = ""  # text of the current sample, if only whole ones are written
        self._begun = False  # whether a sample is half-written
        self.finished = 0
        self.cut: int | None = None

    def run(self, pieces: Iterable[TextChunk]) -> None:
        """Write all samples; if interrupted, finished ones are written before the error is raised again."""
        try:
            for piece in pieces:
                self._turns.add(piece)
                for ready in self._turns.ready():
                    self._put(ready)
        except OSError:  # nothing more can be written
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                self._put_finished()
            raise

    def _put(self, piece: TextChunk) -> None:
        self._waiting += piece.text
        done = piece.finish_reason is not None
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
        for pieces in self._turns.finished_later():
            self._write("".join(piece.text for piece in pieces) + self._end)
            self.finished += 1
