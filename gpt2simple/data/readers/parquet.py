"""Parquet files: each row is a document. Needs pyarrow, which is imported when such a file is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from gpt2simple.data.documents import TextPart
from gpt2simple.data.readers.fields import record_chooser
from gpt2simple.errors import DataError
from gpt2simple.settings.text import ReadingSettings
from gpt2simple.storage.contents import reason

_ROWS_AT_ONCE = 1024


def read_parquet(name: str, stream: BinaryIO, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document for each row, read in bounded memory.

    Raises:
        DataError: pyarrow is not installed, the file is damaged, or it has no such column.
    """
    try:
        from pyarrow import ArrowException, parquet  # here: an extra, which most users lack
    except ImportError as error:
        raise DataError(
            f"{name} is a Parquet file, and reading it needs pyarrow. Run `pip install pyarrow`."
        ) from error
    chooser = record_chooser(name, settings)
    try:
        file = parquet.ParquetFile(stream)
        number = 0
        columns = chooser.needed(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                yield from chooser.parts(row, f"row {number}")
                number += 1
        chooser.finish()
    except DataError:
        raise
    except (ArrowException, OSError) as error:
        why = f"is not a readable Parquet file ({reason(error)}). Copy or download it again."
        raise DataError(f"{name} {why}") from error
    except (ValueError, ArithmeticError) as error:  # bytes that are no UTF-8, a time that Python's calendar lacks
        why = f"holds a value that cannot be read ({reason(error)}). Name the column of the text (column=...)"
        raise DataError(f"{name} {why}, or repair that value.") from error
