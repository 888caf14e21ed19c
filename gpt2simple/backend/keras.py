"""The only module that imports tf_keras: for training, and for the model that a session gives."""

from __future__ import annotations

import sys
from types import ModuleType

from gpt2simple.backend.packages import missing_package
from gpt2simple.backend.tensorflow import importing

with importing():
    try:
        import tf_keras as keras
    except ImportError as error:
        raise missing_package(error) from error


def loaded_keras3() -> ModuleType | None:
    """Keras 3 if this process has imported it (as has anyone who passes one of its callbacks), else None.

    It is not imported here: that would lengthen every start for something few use.
    """
    return sys.modules.get("keras")


__all__ = ["keras", "loaded_keras3"]
