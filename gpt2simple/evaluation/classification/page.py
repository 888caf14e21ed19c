"""The page of a classification: one HTML file that needs neither network nor scripts."""

from __future__ import annotations

from collections.abc import Mapping

from gpt2simple.evaluation.classification.figure import classification_figure
from gpt2simple.evaluation.classification.metrics import BESIDE_HEADS, CLASS_HEADS, MOST_LISTED, ClassificationResult
from gpt2simple.evaluation.html import picture_address, render, value_rows
from gpt2simple.evaluation.memorisation import shortened
from gpt2simple.storage.outputs import OutputKind

GENERATOR = "gpt2simple classification"  # by which a page is recognised, and may be replaced by the next one
CLASSIFICATION_PAGE = OutputKind(
    "a classification page of gpt2simple", b"<!doctype html>", f'name="generator" content="{GENERATOR}"'.encode()
)
_LONGEST_TEXT = 600  # characters of a mistake
# What the box of the conclusion looks like, by the outcome of the main comparison.
_BOXES = {"better": "", "no difference": "overfitted", "worse": "overfitted", "cannot say": "cannot_say"}


def classification_page(
    result: ClassificationResult, *, title: str, curves_png: bytes | None = None,
    settings: Mapping[str, object] | None = None,
) -> str:  # fmt: skip
    """The page of a result.

    Args:
        title: of the page. curves_png: the loss curves of training, a picture; None: not shown.
        settings: with which the classifier was trained, by name; None: not shown.
    """
    main = result.main_comparison()
    return render(
        "classification.html",
        title=title,
        generator=GENERATOR,
        result=result,
        box=_BOXES[main.outcome] if main else "not_measured",
        beside=(BESIDE_HEADS, result.beside_rows()),
        classes=(CLASS_HEADS, result.class_rows()),
        confusion=_confusion(result) if len(result.classes) <= MOST_LISTED else [],
        bins=[(f"{mean:.3f}", f"{share:.3f}", f"{texts:,}") for mean, share, texts in result.calibration_bins],
        picture=picture_address(classification_figure(result)),
        curves=picture_address(curves_png) if curves_png else "",
        mistakes=[(mistake, shortened(mistake.text, _LONGEST_TEXT)) for mistake in result.mistakes],
        settings=value_rows(settings or {}),
    )


def _confusion(result: ClassificationResult) -> list[tuple[str, ...]]:
    return [(one.name, *map("{:,}".format, row)) for one, row in zip(result.classes, result.confusion, strict=True)]
