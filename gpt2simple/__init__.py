"""Fine-tune GPT-2 on a text file and generate text with it.

    import gpt2simple

    gpt2simple.finetune("script.txt")
    gpt2simple.generate()

Importing the package does not load TensorFlow: each public name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

from gpt2simple import errors
from gpt2simple._version import __version__

# The module of each public name. tests/project/test_public_names.py has a copy, so that additions show in review.
_HOME = {
    "CheckpointError": "errors",
    "CompareSettings": "settings",
    "EvaluateSettings": "settings",
    "ExportSettings": "settings",
    "FinetuneSettings": "settings",
    "GenerateSettings": "settings",
    "Gpt2SimpleError": "errors",
    "Session": "api.session",
    "TextSettings": "settings",
    "answer": "api.functions",
    "check": "api.check",
    "classify": "api.functions",
    "compare": "api.functions",
    "compare_classifiers": "api.functions",
    "download_gpt2": "gpt2.hub.download",
    "encode_csv": "api.prepare",
    "encode_dataset": "api.prepare",
    "evaluate": "api.functions",
    "export": "api.export",
    "finetune": "api.functions",
    "finetune_classifier": "api.functions",
    "generate": "api.functions",
    "generate_to_file": "api.functions",
    "is_gpt2_downloaded": "gpt2.hub.download",
    "load_gpt2": "api.functions",
    "make_tokenizer": "api.prepare",
    "push": "api.push",
    "report": "api.functions",
    "reset_session": "api.functions",
    "score": "api.functions",
    "start_session": "api.functions",
}

__all__ = ["__version__", "errors", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gpt2simple' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"gpt2simple.{_HOME[name]}"), name)
    importlib.import_module("gpt2simple.api.console").show_messages()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
