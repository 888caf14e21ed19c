"""The exceptions that users meet, in one tree.

::

    Gpt2SimpleError
    ├── SettingsError      (also ValueError)   a value that a setting or argument does not take
    ├── DataError          (also ValueError)   a text that cannot be read or holds nothing to learn from
    ├── DownloadError                          a model that could not be fetched
    ├── CheckpointError                        weights, vocabulary or a model folder that cannot be used
    ├── RunError                               a run folder that does not allow what was asked
    │   └── RunLockedError                     another process is writing it
    ├── StorageError       (also OSError)      the disk is full or a file cannot be written
    ├── TrainingError                          training cannot go on (non-finite loss, out of memory)
    └── BackendError                           TensorFlow is missing, too old, or already set up otherwise

Every message says what is wrong with the value received, what was expected or is there, and what to do next.
This module knows nothing of the rest of the package.
"""

from __future__ import annotations


class Gpt2SimpleError(Exception):
    """The root: catch it to catch every error this package raises on purpose."""


class SettingsError(Gpt2SimpleError, ValueError):
    """An argument or setting is unknown, out of range, or contradicts another one."""


class DataError(Gpt2SimpleError, ValueError):
    """A dataset is missing, unreadable, wrongly encoded or empty."""


class DownloadError(Gpt2SimpleError):
    """A model could not be downloaded or what arrived is not what was published."""


class CheckpointError(Gpt2SimpleError):
    """A folder holds no usable model, or one that this package must refuse."""


class RunError(Gpt2SimpleError):
    """A run folder does not exist, belongs to another text or model, or cannot be resumed."""


class RunLockedError(RunError):
    """Another process is writing the same run."""


class StorageError(Gpt2SimpleError, OSError):
    """A file could not be written: no space, no permission, or the device failed."""


class TrainingError(Gpt2SimpleError):
    """Training had to stop: the loss is not finite, or the memory does not suffice."""


class BackendError(Gpt2SimpleError):
    """TensorFlow or a companion is missing, unsupported, or was set up differently before."""
