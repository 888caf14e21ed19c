"""One report, from the names of runs to the files: reads the records of the runs and finds their training text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple.data.cache import TextCache, cache_folder
from gpt2simple.data.corpus import Corpus
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.prepare import prepare_text
from gpt2simple.data.sources import checked_source
from gpt2simple.data.texts import texts_of
from gpt2simple.errors import DataError, Gpt2SimpleError, RunError, SettingsError
from gpt2simple.evaluation.html import picture_of, render
from gpt2simple.evaluation.memorisation import TrainingText
from gpt2simple.evaluation.report.data import RunReport, run_report
from gpt2simple.evaluation.report.page import GENERATOR, REPORT_NUMBERS, REPORT_PAGE, page
from gpt2simple.evaluation.report.side_by_side import in_words, runs_figure
from gpt2simple.gpt2.formats.reader import read_config
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.figure import PICTURE, loss_figure, to_png, to_svg
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path
from gpt2simple.settings import FinetuneSettings, TextSettings
from gpt2simple.settings.tasks import LANGUAGE_MODELING
from gpt2simple.storage.contents import json_text
from gpt2simple.storage.outputs import check_output, write_output


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """A report that was written.

    Attributes:
        path: the page. json_path: its data as JSON. pictures: the loss curves of each run as PNG.
        side_by_side: all runs in one figure, as PNG; None: there is one run.
        runs: the data of the page.
    """

    path: Path
    json_path: Path
    pictures: tuple[Path, ...]
    side_by_side: Path | None = None
    runs: tuple[RunReport, ...]

    def summary(self) -> str:
        """Each run's verdict in a few lines, and the paths of the files."""
        parts = [f"{run.name}: {run.verdict.summary()}" for run in self.runs]
        copied = [f"{run.name}: {run.memorisation.summary()}" for run in self.runs if run.memorisation is not None]
        return "\n".join([*parts, *copied, f"Report: {self.path}; numbers: {self.json_path}."])

    def to_json(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        return {
            "path": str(self.path),
            "pictures": [str(path) for path in self.pictures],
            "side_by_side": str(self.side_by_side) if self.side_by_side is not None else None,
            "runs": [run.to_json() for run in self.runs],
        }

    def _repr_html_(self) -> str:
        picture = picture_of(self.side_by_side or self.pictures[0])
        return render("verdicts.html", runs=self.runs, picture=picture, shows=in_words(self.runs), path=self.path)


def write_report(
    run_names: Sequence[str], *, checkpoint_dir: Path, dataset: Any, destination: Path | None
) -> ReportResult:
    """Write a report on runs: a page, a JSON file, a picture for each run, and of several one with all.

    Args:
        dataset: the training text of the runs; None: the encoded copy in the cache, or the sources that they recorded.
        destination: the page; None: ``report.html`` in the run's folder, or beside the runs if there are several. An
            existing report is replaced, any other file is not.

    Raises:
        RunError: there is no such run, or it has no steps yet. SettingsError: a file of these names is not from
            an earlier report. StorageError: the files cannot be written.
    """
    if not run_names:
        raise SettingsError("No run was named. Name at least one, such as run1.")
    folders = [existing_run_path(checkpoint_dir, name) for name in dict.fromkeys(run_names)]
    target = page_path(destination, folders[0] if len(folders) == 1 else checkpoint_dir)
    numbers = target.with_suffix(".json")
    one, names = len(folders) == 1, [folder.name for folder in folders]
    pictures = [target.with_name(f"{target.stem}.png" if one else f"{target.stem}-{name}.png") for name in names]
    side_by_side = None if one else target.with_suffix(".png")
    drawn = [*pictures, *([] if side_by_side is None else [side_by_side])]
    kinds = {target: REPORT_PAGE, numbers: REPORT_NUMBERS, **dict.fromkeys(drawn, PICTURE)}
    for path, kind in kinds.items():  # before the work
        check_output(path, kind)
    if dataset is not None:
        checked_source(dataset, None)  # how it is read, each run has recorded
    runs = [_report_on(folder, dataset) for folder in folders]
    charts = []
    for run, picture in zip(runs, pictures, strict=True):
        title = f"{run.name}: {run.info.description.model_name}"
        figure = loss_figure(run.curves, title=title, steps_per_epoch=run.steps_per_epoch)
        write_output(picture, PICTURE, to_png(figure))
        charts.append(to_svg(figure))
    all_runs = ""
    if side_by_side is not None:
        figure = runs_figure(runs)
        write_output(side_by_side, PICTURE, to_png(figure))
        all_runs = to_svg(figure)
    write_output(target, REPORT_PAGE, page(runs, charts, all_runs))
    result = ReportResult(
        path=target, json_path=numbers, pictures=tuple(pictures), side_by_side=side_by_side, runs=tuple(runs)
    )
    text = json_text({"generator": GENERATOR, **result.to_json()}, indent=1)
    write_output(numbers, REPORT_NUMBERS, text + "\n")
    return result


def page_path(destination: Path | None, folder: Path) -> Path:
    """Where a report's page goes: ``destination``, or without one ``report.html`` in the folder.

    Raises:
        SettingsError: it has the name of one of the files beside the page, or none.
    """
    target = destination or folder / "report.html"
    if not target.name or target.suffix.lower() in (".json", ".png"):
        raise SettingsError(f"destination_path is {str(target)!r}; expected the name of an HTML file, such as r.html.")
    return target


def _report_on(folder: Path, dataset: Any) -> RunReport:
    run = RunFolder(folder)
    if not run.exists:
        raise RunError(
            f"{folder} was trained by gpt-2-simple, which records no losses, so there is nothing to report. Continue "
            "fine-tuning it with this package to record losses."
        )
    if run.info.description.task != LANGUAGE_MODELING:
        raise RunError(
            f"{folder} is a run of {run.info.description.task}, and a report on several runs is about language models. "
            f"Report on it alone: report({folder.name!r})."
        )
    try:
        return run_report(folder, run.info, training_text(folder, run.info, dataset))
    except DataError as error:
        return run_report(folder, run.info, None, f"The training text was not found: {error}")


def training_text(folder: Path, info: RunInfo, dataset: Any) -> TrainingText:
    """The training text of a run, indexed, with its held-out part.

    Args:
        folder: the run's, with its tokenizer. dataset: as for ``write_report``.

    Raises:
        DataError: the text cannot be found, or is not the run's.
    """
    described, tokenizer = info.description, Tokenizer.load(folder)
    of_training, of_text = described.settings, described.text_settings
    assert isinstance(of_training, FinetuneSettings)
    assert isinstance(of_text, TextSettings)
    corpus = _corpus(info, of_text, dataset, tokenizer)
    if corpus.fingerprint != described.data_fingerprint:
        raise DataError("The dataset is not the text that the run was trained on. Give that text.")
    parts = prepare_text(corpus, of_text, tokenizer, of_training.window, n_ctx=read_config(folder).n_ctx).split
    held_out = texts_of(parts.held_out, tokenizer) if parts.held_out is not None else []
    return TrainingText(texts_of(parts.train, tokenizer), held_out)


def _corpus(info: RunInfo, settings: TextSettings, dataset: Any, tokenizer: Tokenizer) -> Corpus:
    described = info.description
    if dataset is not None:
        return encode_corpus(dataset, tokenizer, settings)
    sources = tuple(described.data_summary.get("sources", ()))
    cached = TextCache(cache_folder(settings)).open(described.data_fingerprint, sources, 0)
    if cached is not None:
        return cached
    try:
        return encode_corpus(list(sources), tokenizer, settings)
    except Gpt2SimpleError as error:
        raise DataError(f"{error} Give the training text as dataset (--dataset).") from error
