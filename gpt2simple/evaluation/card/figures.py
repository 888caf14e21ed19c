"""The figures on a model card, from what a run's files hold: its evaluations, reports on it, and saved evaluations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.classification.page import GENERATOR as ON_CLASSES
from gpt2simple.evaluation.intervals import wilson
from gpt2simple.evaluation.outputs.page import GENERATOR as ON_OUTPUTS
from gpt2simple.evaluation.report.page import GENERATOR as ON_TEXT
from gpt2simple.runs.records import ClassifierFigures, EvaluationRecord, LanguageFigures
from gpt2simple.storage.contents import quoted, read_json, reason

REPORT_FILE = "report.json"  # of `report`, in the run's folder
HELD_OUT = "the held-out part of the training data"

# Of saved evaluations, which name the user's files where the part is not one of training's.
_PARTS = {
    "the held-out part": HELD_OUT,
    "the validation part": HELD_OUT,
    "the test part": "the test part, held out from training and from choosing the step",
    "the training part": "the part that it was trained on",
}
_OTHER_TEXT = "texts that were given for evaluation"

# By the names that results have: the hub's name of the metric, ours, digits after the point.
_METRICS = {
    "loss": ("loss", "Loss, nats per {target}", 4),
    "perplexity": ("perplexity", "Perplexity", 2),
    "bits_per_byte": ("bits_per_byte", "Bits per byte", 4),
    "accuracy": ("accuracy", "Accuracy", 4),
    "f1": ("f1", "F1, mean over the classes", 4),
    "log_loss": ("log_loss", "Log loss, nats per text", 4),
    "calibration_error": ("expected_calibration_error", "Expected calibration error", 4),
    "exact_match": ("exact_match", "Exact match", 4),
    "token_f1": ("f1", "Token F1", 4),
    "bleu": ("bleu", "BLEU", 2),
    "chrf": ("chrf", "chrF", 2),
    "rouge1": ("rouge1", "ROUGE-1", 4),
    "rouge2": ("rouge2", "ROUGE-2", 4),
    "rouge_l": ("rougeL", "ROUGE-L", 4),
}


@dataclass(frozen=True, kw_only=True)
class CardFigure:
    """A figure.

    Attributes:
        metric: as the hub calls it. name: for people. value: rounded.
        spread: how sure it is: a 95 % interval or a standard error, in words; "": not known.
    """

    metric: str
    name: str
    value: float
    spread: str = ""


@dataclass(frozen=True, kw_only=True)
class FigureGroup:
    """Figures on one part of the data.

    Attributes:
        part: which, for people. how: how they were found, a sentence or more.
    """

    part: str
    how: str
    figures: tuple[CardFigure, ...]


def of_training(record: EvaluationRecord, tokens_of: str = "") -> FigureGroup:
    """The figures that training found on the held-out part at a step.

    Args:
        tokens_of: what the tokens of the loss belong to, if not to a whole text, such as "completions".
    """
    found = record.figures
    values = {name: _figure(name, value, target=_target(found)) for name, value in found.scalars().items()}
    if isinstance(found, ClassifierFigures):
        interval = wilson(found.correct, found.texts)
        counted = f"{found.texts:,} texts"
        values["accuracy"] = _figure("accuracy", found.accuracy, interval=vars(interval))
    else:
        assert isinstance(found, LanguageFigures)
        counted = f"{found.target_tokens:,} tokens" + (f" of {tokens_of}" if tokens_of else "")
    how = f"Evaluated during training, at step {record.step:,}, on {counted}; such evaluations choose the best step."
    return FigureGroup(part=HELD_OUT, how=how, figures=tuple(values.values()))


def of_best_step(figures: Mapping[str, Any]) -> FigureGroup | None:
    """The same as far as run.json keeps them of the best step, where the file of all evaluations is gone."""
    found = tuple(_figure(name, value) for name, value in figures.items() if name in _METRICS and _is_number(value))
    how = "Evaluated during training; such evaluations choose the best step."
    return FigureGroup(part=HELD_OUT, how=how, figures=found) if found else None


def _target(figures: Any) -> str:
    return "text" if isinstance(figures, ClassifierFigures) else "token"


def of_report(
    run: Path, step: int | None, last_step: int | None
) -> tuple[FigureGroup | None, Mapping[str, Any] | None]:
    """The figures of a report in a run's folder, and how much the run's samples copied; None: no such report is there.

    Args:
        step: that the figures must be of. last_step: of the run; a report that was written before it has other samples.
    """
    try:
        values = read_json(run / REPORT_FILE)
    except (OSError, ValueError):
        return None, None
    generator = values.get("generator")
    if generator in (ON_CLASSES, ON_OUTPUTS) and values.get("step") == step and isinstance(values.get("result"), dict):
        return of_result(values["result"]), None
    if generator == ON_TEXT and isinstance(runs := values.get("runs"), list) and len(runs) == 1:
        with contextlib.suppress(KeyError, TypeError):
            memorisation = runs[0]["memorisation"]
            if runs[0]["verdict"]["step"] == last_step and isinstance(memorisation, dict):
                return None, memorisation
    return None, None


def of_file(path: Path, run_name: str) -> FigureGroup:
    """The figures of an evaluation that was saved as JSON.

    Raises:
        SettingsError: the file is no evaluation of this run's model.
    """
    try:
        values = read_json(path)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"evaluation is {str(path)!r}, which cannot be read ({reason(error)}); expected what `gpt2simple evaluate "
            "... --json` printed, in a file."
        ) from error
    outputs = values.get("outputs")
    model = (outputs if isinstance(outputs, dict) else values).get("model")
    if not isinstance(model, str) or (found := of_result(values)) is None:
        raise SettingsError(
            f"evaluation is {str(path)!r}, which holds no figures of an evaluation; expected what `gpt2simple evaluate "
            "... --json` printed, in a file."
        )
    if not model.startswith(f"{run_name} ("):
        raise SettingsError(
            f"evaluation is {str(path)!r}, an evaluation of {quoted(model)}, and the run is {run_name!r}. Evaluate "
            "that run, or leave evaluation out."
        )
    return found


def of_result(values: Mapping[str, Any]) -> FigureGroup | None:
    """The figures of an evaluation in its JSON form; None: it holds none."""
    outputs = values.get("outputs")
    if isinstance(outputs, dict):
        figures = (*_of_text(values), *_of_outputs(outputs))
        counted = f"{outputs['outputs']:,} outputs" if type(outputs.get("outputs")) is int else ""
        part = outputs.get("part")
    elif "confusion" in values:
        figures = tuple(_of_classes(values))
        counted = f"{values['texts']:,} texts" if type(values.get("texts")) is int else ""
        part = values.get("part")
    else:
        figures = tuple(_of_text(values))
        counted = f"{values['tokens']:,} tokens" if type(values.get("tokens")) is int else ""
        part = values.get("text")
    if not figures:
        return None
    protocol = values.get("protocol")
    how = f"Evaluated after training{f', on {counted}' if counted else ''}."
    how += f" Protocol: {protocol}." if isinstance(protocol, str) else ""
    return FigureGroup(part=_part(part), how=how, figures=tuple(figures))


def _part(described: Any) -> str:
    return next((ours for begin, ours in _PARTS.items() if str(described).startswith(begin)), _OTHER_TEXT)


def _of_text(values: Mapping[str, Any]) -> Iterator[CardFigure]:
    error = values.get("standard_error")
    for name in ("loss", "perplexity", "bits_per_byte", "accuracy"):
        if _is_number(values.get(name)):
            yield _figure(name, values[name], error=error if name == "loss" else None)


def _of_classes(values: Mapping[str, Any]) -> Iterator[CardFigure]:
    for name in ("accuracy", "f1", "log_loss", "calibration_error"):
        if _is_number(values.get(name)):
            yield _figure(name, values[name], interval=values.get("interval") if name == "accuracy" else None)


def _of_outputs(values: Mapping[str, Any]) -> Iterator[CardFigure]:
    for name in ("exact_match", "f1", "bleu", "chrf", "rouge1", "rouge2", "rouge_l"):
        found = values.get(name)
        if isinstance(found, Mapping) and _is_number(found.get("value")):
            yield _figure("token_f1" if name == "f1" else name, found["value"], interval=found.get("interval"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _figure(name: str, value: float, *, interval: Any = None, error: Any = None, target: str = "token") -> CardFigure:
    metric, shown, digits = _METRICS[name]
    spread = ""
    if isinstance(interval, Mapping) and _is_number(interval.get("low")) and _is_number(interval.get("high")):
        spread = f"95% interval: {interval['low']:.{digits}f} to {interval['high']:.{digits}f}"
    elif _is_number(error):
        spread = f"standard error: {error:.{digits}f}"
    return CardFigure(metric=metric, name=shown.format(target=target), value=round(value, digits), spread=spread)
