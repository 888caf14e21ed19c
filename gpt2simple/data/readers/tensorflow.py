"""Texts that come through TensorFlow: a `tf.data.Dataset`, or a dataset of the tensorflow-datasets catalogue.

Imported only when such a source is met.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from gpt2simple.backend.tensorflow import quiet_stderr
from gpt2simple.data.documents import TextPart
from gpt2simple.data.files import CATALOGUE
from gpt2simple.data.readers.fields import RecordChooser, record_chooser
from gpt2simple.errors import DataError
from gpt2simple.settings.text import ReadingSettings
from gpt2simple.storage.contents import json_digest

logger = logging.getLogger(__name__)
_SHOWN_CHARACTERS = 1000  # of a builder's error; instructions for downloads by hand are that long


def read_tf_data(dataset: Any, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document for each string of a ``tf.data.Dataset``, whose elements are strings, dictionaries or tuples.

    Raises:
        DataError: the elements hold no strings.
    """
    chooser = record_chooser("the tf.data.Dataset", settings)
    for number, element in enumerate(dataset.as_numpy_iterator()):
        yield from _documents(element, chooser, f"element {number}")
    chooser.finish()


class CatalogueText:
    """A split of a tensorflow-datasets dataset, named ``tfds:name[/config][:split]``; train where none is named."""

    def __init__(self, name: str, settings: ReadingSettings) -> None:
        """Find the dataset, and download and prepare it where that has not been done.

        Raises:
            DataError: there is no such dataset, split or text feature.
        """
        self._name, self._settings = name, settings
        dataset_name, _, split = name.removeprefix(CATALOGUE).partition(":")
        try:
            with quiet_stderr():
                self._builder = tfds.builder(dataset_name)
        except (tfds.core.DatasetNotFoundError, ValueError, FileNotFoundError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"tensorflow-datasets has no dataset {dataset_name!r} ({reason}). Names are listed at "
                "https://www.tensorflow.org/datasets/catalog; your own are found through TFDS_DATA_DIR."
            ) from error
        self._prepare(dataset_name)
        self._split = self._checked_split(dataset_name, split)

    def content_key(self) -> str:
        """Identifies the prepared examples: dataset, version, split, and the files they lie in."""
        files = sorted(Path(self._builder.data_dir).iterdir())
        state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return json_digest([str(self._builder.info.full_name), self._split, state])

    def parts(self) -> Iterator[TextPart]:
        """One document for each example."""
        chooser = record_chooser(self._name, self._settings, self._classes())
        examples = tfds.as_numpy(self._builder.as_dataset(split=self._split, shuffle_files=False))
        for number, example in enumerate(examples):
            yield from _documents(example, chooser, f"example {number}")
        chooser.finish()

    def _classes(self) -> dict[str, list[str]]:
        """The names of the classes of each feature that holds numbers of classes."""
        features = self._builder.info.features
        found = features.items() if isinstance(features, Mapping) else ()
        return {name: list(feature.names) for name, feature in found if isinstance(feature, tfds.features.ClassLabel)}

    def _prepare(self, dataset_name: str) -> None:
        if self._builder.info.splits:
            return
        logger.info(f"{dataset_name} is downloaded and prepared by tensorflow-datasets; this happens once.")
        try:
            self._builder.download_and_prepare()
        except Exception as error:  # builders are other people's code and fail in every way
            raise DataError(
                f"tensorflow-datasets could not prepare {dataset_name} ({type(error).__name__}: "
                f"{str(error).strip()[:_SHOWN_CHARACTERS]}). Follow what it says, or check the connection, and start "
                "again; or give the text as files."
            ) from error

    def _checked_split(self, dataset_name: str, split: str) -> str:
        splits = self._builder.info.splits
        available = list(splits)
        chosen = split or ("train" if "train" in available else available[0])
        try:
            examples, reason = splits[chosen].num_examples, "it holds no example"
        except (ValueError, KeyError, AssertionError, NotImplementedError) as error:
            examples, reason = 0, str(error).strip().partition("\n")[0]
        if not examples:
            first = f"{CATALOGUE}{dataset_name}:{available[0]}"
            raise DataError(
                f"{self._name} names the split {chosen!r} ({reason}); the dataset has {', '.join(available)}. "
                f"Name one of them: {first}, or a part of it: {first}[:50%]"
            )
        return chosen


def _documents(element: Any, chooser: RecordChooser, place: str) -> Iterator[TextPart]:
    record = _as_record(element, place)
    arrays = {name: value for name, value in record.items() if isinstance(value, np.ndarray) and value.ndim}
    if not _is_batch(record, arrays):
        lists = {name: value.tolist() for name, value in arrays.items()}
        yield from chooser.parts(record | lists, place)
        return
    for row in range(len(next(iter(arrays.values())))):
        values = {name: v[row].tolist() if v.ndim > 1 else v[row] for name, v in arrays.items()}
        yield from chooser.parts(record | values, place)


def _is_batch(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an element is several examples at once; one example may hold arrays too, but beside a text."""
    texts = {name for name, value in record.items() if _is_text(value)}
    # Lists of unequal length are for the chooser to refuse.
    return texts <= arrays.keys() and len({len(value) for value in arrays.values()}) == 1


def _as_record(element: Any, place: str) -> dict[str, Any]:
    """An element as names and values: a dictionary as it is, a tuple by position, a string alone."""
    if isinstance(element, Mapping):
        record = dict(element)
    elif isinstance(element, (tuple, list)):
        record = {str(position): value for position, value in enumerate(element)}
    else:
        record = {"text": element}
    if not any(_is_text(value) for value in record.values()):
        kinds = ", ".join(f"{name!r}: {type(value).__name__}" for name, value in record.items())
        raise DataError(
            f"The dataset's {place} holds no text ({kinds}). Give a dataset whose elements are strings or contain one."
        )
    return record


def _is_text(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "OSU"
    return isinstance(value, (bytes, str))
