"""What `compare` trains models for: a text or pairs, whichever the dataset holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gpt2simple.api.compare import compare_models
from gpt2simple.api.compare_pairs import compare_on_pairs
from gpt2simple.api.language import LANGUAGE
from gpt2simple.api.pairs import PAIRS, kind_by_content
from gpt2simple.settings import ComparePairsSettings, CompareSettings, PairTextSettings, TextSettings


class ComparedTask(NamedTuple):
    """How models are compared on one task.

    Attributes:
        settings, texts: how they are trained, and how the dataset is read.
        run: takes the dataset, what is compared, both settings, the comparison's name and where models and runs are.
    """

    settings: type
    texts: type
    run: Callable[..., Any]


_TASKS = {
    LANGUAGE.name: ComparedTask(CompareSettings, TextSettings, compare_models),
    PAIRS.name: ComparedTask(ComparePairsSettings, PairTextSettings, compare_on_pairs),
}


def compared_task(dataset: Any, given: Mapping[str, Any]) -> ComparedTask:
    """The task that a dataset is for.

    Args:
        given: the settings of the call, by name.

    Raises:
        SettingsError: a setting is for the other task. DataError: the dataset is missing, or fits two formats.
    """
    return _TASKS[kind_by_content(dataset, given, CompareSettings, ComparePairsSettings).name]
