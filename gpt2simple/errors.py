"""The exceptions that users meet, in one tree.

::

    Gpt2SimpleError
    ├── SettingsError      (also ValueError)   an invalid setting or argument
    ├── DataError          (also ValueError)   a text that cannot be read or has nothing to train on
    ├── DownloadError                          a model that could not be downloaded
    ├── UploadError                            a model that could not be uploaded
    ├── CheckpointError                        unusable weights, vocabulary or model folder
    ├── RunError                               a run that is missing or does not allow the operation
    │   └── RunLockedError                     another process is writing to the run
    ├── StorageError       (also OSError)      the disk is full or a file cannot be written
    ├── TrainingError                          training cannot continue (diverged, out of memory)
    ├── WorkerError                            another process of a training is missing, lost, or does something else
    └── BackendError                           TensorFlow is missing, unsupported or set up differently

Every message says what is wrong with the value received, what was expected or found, and what to do next.
This module imports nothing else from the package.
"""

from __future__ import annotations

# What to do about a copy of the package that is too old or incomplete. It is on no package index.
INSTALL_AGAIN = "Update your copy of gpt2simple's repository, and in it run `pip install --force-reinstall .`."
_MOST_CHARACTERS = 1500  # of a message: what it quotes may be a whole text
_LAST_CHARACTERS = 500  # of a longer one, which say what to do


class Gpt2SimpleError(Exception):
    """Base class of every error that this package raises deliberately.

    A long message is cut in the middle, and half a surrogate pair, which cannot be printed, is shown as its code.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in arguments))


def printable(message: str) -> str:
    """A message with its middle cut out if it is long, and codes for what cannot be printed."""
    if len(message) > _MOST_CHARACTERS:
        message = f"{message[: _MOST_CHARACTERS - _LAST_CHARACTERS]} [...] {message[-_LAST_CHARACTERS:]}"
    return message.encode("utf-8", "backslashreplace").decode("utf-8")


class SettingsError(Gpt2SimpleError, ValueError):
    """An argument or setting is unknown, out of range, or contradicts another one."""


class DataError(Gpt2SimpleError, ValueError):
    """A dataset is missing, unreadable, wrongly encoded or empty."""


class DownloadError(Gpt2SimpleError):
    """A model could not be downloaded, or the files received differ from the published ones."""


class UploadError(Gpt2SimpleError):
    """A model could not be uploaded."""


class CheckpointError(Gpt2SimpleError):
    """A folder holds no usable model, or one that this package does not support."""


class RunError(Gpt2SimpleError):
    """A run folder does not exist, belongs to another text or model, or cannot be resumed."""


class RunLockedError(RunError):
    """Another process is writing to the same run."""


class StorageError(Gpt2SimpleError, OSError):
    """A file could not be written: no space, no permission, or the device failed."""


class TrainingError(Gpt2SimpleError):
    """Training had to stop: it diverged, or there is not enough memory."""


class WorkerError(Gpt2SimpleError):
    """Another process that trains together with this one is missing, was lost, or was started differently."""


class BackendError(Gpt2SimpleError):
    """TensorFlow or a companion package is missing, unsupported or already configured differently."""
