"""Every hyper-parameter, written once: default, meaning, unit and range.

API keywords, command-line options, their help and the saved run file all derive from these frozen dataclasses.
The package knows no TensorFlow and not how a setting is used.
"""

from gpt2simple.settings.arguments import accepts
from gpt2simple.settings.classify import ClassifierSettings, ClassifySettings, LabelledTextSettings
from gpt2simple.settings.compare import CompareClassifiersSettings, ComparePairsSettings, CompareSettings
from gpt2simple.settings.evaluate import EvaluateSettings
from gpt2simple.settings.export import ExportSettings
from gpt2simple.settings.fields import build, former_names, from_json, misfit, only, pick, to_json
from gpt2simple.settings.finetune import FinetuneSettings, TrainingSettings
from gpt2simple.settings.generate import GenerateSettings
from gpt2simple.settings.pairs import PairSettings, PairTextSettings
from gpt2simple.settings.session import SessionSettings
from gpt2simple.settings.text import ReadingSettings, TextSettings

__all__ = [
    "ClassifierSettings",
    "ClassifySettings",
    "CompareClassifiersSettings",
    "ComparePairsSettings",
    "CompareSettings",
    "EvaluateSettings",
    "ExportSettings",
    "FinetuneSettings",
    "GenerateSettings",
    "LabelledTextSettings",
    "PairSettings",
    "PairTextSettings",
    "ReadingSettings",
    "SessionSettings",
    "TextSettings",
    "TrainingSettings",
    "accepts",
    "build",
    "former_names",
    "from_json",
    "misfit",
    "only",
    "pick",
    "to_json",
]
