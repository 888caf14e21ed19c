"""One report on a classifier or on pairs: its figures on what training never saw, as a page, numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.api.report import page_path
from gpt2simple.api.session import Session
from gpt2simple.errors import DataError, RunError
from gpt2simple.evaluation.classification.figure import classification_figure
from gpt2simple.evaluation.classification.metrics import ClassificationResult
from gpt2simple.evaluation.classification.page import CLASSIFICATION_PAGE, classification_page
from gpt2simple.evaluation.classification.page import GENERATOR as CLASSES
from gpt2simple.evaluation.html import picture_of, shown_in_notebook
from gpt2simple.evaluation.outputs.figure import outputs_figure
from gpt2simple.evaluation.outputs.page import GENERATOR as OUTPUTS
from gpt2simple.evaluation.outputs.page import OUTPUTS_PAGE, outputs_page
from gpt2simple.evaluation.outputs.result import PairResult
from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.figure import PICTURE, loss_figure, to_png
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path
from gpt2simple.settings import to_json
from gpt2simple.settings.tasks import CLASSIFICATION, PAIRS
from gpt2simple.storage.contents import json_text
from gpt2simple.storage.outputs import OutputKind, check_output, write_output


@dataclass(frozen=True, kw_only=True)
class FiguresReport:
    """A report on figures that was written.

    Attributes:
        path: the page. json_path: its numbers. picture: the figures as PNG.
        result: the figures. step: whose weights they are of; None: not known.
    """

    path: Path
    json_path: Path
    picture: Path
    result: ClassificationResult | PairResult
    step: int | None = None

    def summary(self) -> str:
        """The figures, and the paths of the files."""
        return f"{self.result.summary()}\nReport: {self.path}; numbers: {self.json_path}; figure: {self.picture}."

    def to_json(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        files = {"path": str(self.path), "picture": str(self.picture)}
        return {**files, "step": self.step, "result": self.result.to_json()}

    def _repr_html_(self) -> str:
        figure = shown_in_notebook(
            after=[f"Report: {self.path}"],
            picture=picture_of(self.picture),
            shows="The figures, as a picture; the tables have the numbers.",
        )
        return self.result._repr_html_() + figure


class _Kind(NamedTuple):
    """How the figures of a task are shown.

    Attributes:
        page: of the HTML file. generator: by which its numbers are recognised.
        draw: the result -> a picture. write: the result, title, curves as PNG, settings -> the page.
    """

    page: OutputKind
    generator: str
    draw: Callable[[Any], bytes]
    write: Callable[[Any, str, bytes, dict[str, Any]], str]

    @property
    def numbers(self) -> OutputKind:
        """The kind of the JSON file."""
        return OutputKind(f"the numbers of {self.page.name}", b"{", f'"generator": "{self.generator}"'.encode())


def _page_on_classes(result: ClassificationResult, title: str, curves: bytes, settings: dict[str, Any]) -> str:
    return classification_page(result, title=title, curves_png=curves, settings=settings)


def _page_on_outputs(result: PairResult, title: str, curves: bytes, settings: dict[str, Any]) -> str:
    return outputs_page(result.outputs, title=title, measured=result.measured(), curves_png=curves, settings=settings)


_KINDS = {
    CLASSIFICATION: _Kind(CLASSIFICATION_PAGE, CLASSES, classification_figure, _page_on_classes),
    PAIRS: _Kind(OUTPUTS_PAGE, OUTPUTS, lambda result: outputs_figure(result.outputs), _page_on_outputs),
}


def reports_figures(run_name: str, checkpoint_dir: Path) -> bool:
    """Whether a run is of a task whose figures are reported: a classifier, or a model of pairs.

    Raises:
        RunError: there is no such run; the message names those that exist.
    """
    run = RunFolder(existing_run_path(checkpoint_dir, run_name))
    return run.exists and run.info.description.task in _KINDS


def write_figures_report(
    run_name: str, *, checkpoint_dir: Path, dataset: Any, destination: Path | None
) -> FiguresReport:
    """Evaluate a run on the test part of its data, or without one on the validation part, and write that.

    Args:
        dataset: the labelled texts, or pairs, of the run; None: the files that it recorded.
        destination: the page; None: ``report.html`` in the run's folder.

    Raises:
        DataError: the texts cannot be found, or are not the run's. RunError: no part of them was held out.
        SettingsError: a file of these names is not from an earlier report. BackendError: an extra is missing.
    """
    run = RunFolder(existing_run_path(checkpoint_dir, run_name))
    described = run.info.description
    kind = _KINDS[described.task]
    target = page_path(destination, run.path)
    numbers, picture = target.with_suffix(".json"), target.with_suffix(".png")
    for path, of_file in ((target, kind.page), (numbers, kind.numbers), (picture, PICTURE)):  # before the work
        check_output(path, of_file)
    if not (part := _unseen(described.data_summary)):
        raise RunError(f"{run.path} held no texts out to test or validate with, so there are no figures to report.")
    recorded = metrics.read(run.path)
    if not recorded.starts or not recorded.steps:
        raise RunError(f"{run.path} has recorded no step, so there is nothing to report. Train it first.")
    with Session(run_name=run_name, checkpoint_dir=checkpoint_dir, strategy="single") as session:
        result: Any = session.evaluate(_recorded(described.data_summary) if dataset is None else dataset, part=part)
    title = f"{run_name}: {described.model_name}"
    plan = recorded.starts[-1]
    curves = loss_figure(
        Curves.of(recorded.steps, recorded.evaluations), title=title, steps_per_epoch=plan.steps_per_epoch,
        target=plan.target,
    )  # fmt: skip
    settings = {**to_json(described.settings), "seed": described.seed}
    write_output(picture, PICTURE, kind.draw(result))
    write_output(target, kind.page, kind.write(result, title, to_png(curves), settings))
    best = run.best_mark()
    step = run.info.latest_step if best is None else best.step
    report = FiguresReport(path=target, json_path=numbers, picture=picture, result=result, step=step)
    text = json_text({"generator": kind.generator, **report.to_json()}, indent=1)
    write_output(numbers, kind.numbers, text + "\n")
    return report


def _unseen(summary: Mapping[str, Any]) -> str | None:
    """The part of the texts that training saw least of, by what was found: a folder's parts are in no setting."""
    for part, name in (("test", "test"), ("held_out", "validation")):
        if summary.get(f"{name}_texts") or summary.get(f"{name}_pairs"):
            return part
    return None


def _recorded(summary: Any) -> list[str]:
    sources = [*map(str, summary.get("sources", ()))]
    if not summary.get("files") or not sources:
        raise DataError("The run learned from texts that no file holds. Give them as dataset (--dataset).")
    return sources
