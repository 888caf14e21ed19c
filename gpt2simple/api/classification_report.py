"""One report on a classifier: its figures on texts that training never saw, as a page, numbers and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.api.report import page_path
from gpt2simple.api.session import Session
from gpt2simple.errors import DataError, RunError
from gpt2simple.evaluation.classification.figure import classification_figure
from gpt2simple.evaluation.classification.metrics import ClassificationResult
from gpt2simple.evaluation.classification.page import CLASSIFICATION_PAGE, GENERATOR, classification_page
from gpt2simple.evaluation.html import render
from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.figure import PICTURE, loss_figure, to_png
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path
from gpt2simple.settings import LabelledTextSettings, to_json
from gpt2simple.settings.tasks import CLASSIFICATION
from gpt2simple.storage.contents import json_text
from gpt2simple.storage.outputs import OutputKind, check_output, write_output

_NUMBERS = OutputKind("the numbers of a classification page", b"{", f'"generator": "{GENERATOR}"'.encode())


@dataclass(frozen=True, kw_only=True)
class ClassificationReport:
    """A report on a classifier that was written.

    Attributes:
        path: the page. json_path: its numbers. picture: confusion matrix and calibration curve, as PNG.
        result: the figures.
    """

    path: Path
    json_path: Path
    picture: Path
    result: ClassificationResult

    def summary(self) -> str:
        """The figures, and the paths of the files."""
        return f"{self.result.summary()}\nReport: {self.path}; numbers: {self.json_path}; figure: {self.picture}."

    def to_json(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        return {"path": str(self.path), "picture": str(self.picture), "result": self.result.to_json()}

    def _repr_html_(self) -> str:
        return render("summary.html", text=self.summary())


def is_of_classifier(run_name: str, checkpoint_dir: Path) -> bool:
    """Whether a run is a classifier's.

    Raises:
        RunError: there is no such run; the message names those that exist.
    """
    run = RunFolder(existing_run_path(checkpoint_dir, run_name))
    return run.exists and run.info.description.task == CLASSIFICATION


def write_classification_report(
    run_name: str, *, checkpoint_dir: Path, dataset: Any, destination: Path | None
) -> ClassificationReport:
    """Evaluate a run's classifier on the test part of its texts, or without one on the validation part, and write that.

    Args:
        dataset: the labelled texts of the run; None: the files that it recorded.
        destination: the page; None: ``report.html`` in the run's folder.

    Raises:
        DataError: the texts cannot be found, or are not the run's. RunError: no part of them was held out.
        SettingsError: a file of these names is not from an earlier report. BackendError: scikit-learn is missing.
    """
    run = RunFolder(existing_run_path(checkpoint_dir, run_name))
    described = run.info.description
    texts = described.text_settings
    assert isinstance(texts, LabelledTextSettings)
    target = page_path(destination, run.path)
    numbers, picture = target.with_suffix(".json"), target.with_suffix(".png")
    for path, kind in ((target, CLASSIFICATION_PAGE), (numbers, _NUMBERS), (picture, PICTURE)):  # before the work
        check_output(path, kind)
    if not (part := _unseen(texts)):
        raise RunError(f"{run.path} held no texts out to test or validate with, so there are no figures to report.")
    recorded = metrics.read(run.path)
    if not recorded.starts or not recorded.steps:
        raise RunError(f"{run.path} has recorded no step, so there is nothing to report. Train it first.")
    with Session(run_name=run_name, checkpoint_dir=checkpoint_dir) as session:
        result: Any = session.evaluate(_recorded(described.data_summary) if dataset is None else dataset, part=part)
    title = f"{run_name}: {described.model_name}"
    plan = recorded.starts[-1]
    curves = loss_figure(
        Curves.of(recorded.steps, recorded.evaluations), title=title, steps_per_epoch=plan.steps_per_epoch,
        target=plan.target,
    )  # fmt: skip
    settings = {**to_json(described.settings), "seed": described.seed}
    page = classification_page(result, title=title, curves_png=to_png(curves), settings=settings)
    write_output(picture, PICTURE, classification_figure(result))
    write_output(target, CLASSIFICATION_PAGE, page)
    report = ClassificationReport(path=target, json_path=numbers, picture=picture, result=result)
    write_output(numbers, _NUMBERS, json_text({"generator": GENERATOR, **report.to_json()}, indent=1) + "\n")
    return report


def _unseen(texts: LabelledTextSettings) -> str | None:
    """The part of the texts that training saw least of."""
    if texts.test_split or texts.test_file is not None:
        return "test"
    return "held_out" if texts.validation_split or texts.validation_file is not None else None


def _recorded(summary: Any) -> list[str]:
    sources = [*map(str, summary.get("sources", ()))]
    if not summary.get("files") or not sources:
        raise DataError("The run learned from texts that no file holds. Give them as dataset (--dataset).")
    return sources
