"""Several models on the same texts, whatever they learn: a row for each, tables, a figure and a page.

Works on the numbers of a finished comparison and knows no task; `api.comparison` has the models trained and measured.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from gpt2simple.evaluation.html import picture_of, render, shown_in_notebook
from gpt2simple.runs.figure import Figure
from gpt2simple.settings import misfit
from gpt2simple.settings.compare import FULL, LORA

_SHOWN = {FULL: "", LORA: ", LoRA"}


class Table(NamedTuple):
    """A table of plain text, as terminals, notebooks and pages show it."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model, trained on the texts and measured at its best step, or at its last if step 0 was the best.

    Attributes:
        method: by which it was trained, "full" or "lora". parameters: of the model. steps: taken.
        best_step: with the best evaluation; 0: before training; None: nothing was held out to evaluate on.
        verdict: on the run, in a few words.
        seconds: of training. memory_bytes: peak during training, of the process or, on a GPU, of the
            GPU; None where the GPU does not report it, or an earlier call trained the model and lost its results.
    """

    model_name: str
    run_name: str
    parameters: int
    steps: int
    best_step: int | None
    verdict: str
    seconds: float
    memory_bytes: int | None
    method: str = FULL

    @property
    def label(self) -> str:
        """The model and its method, in a word or a few."""
        return labelled(self.model_name, self.method)

    @property
    def measured_step(self) -> int:
        """The step whose weights were measured; none are kept of step 0."""
        return self.best_step or self.steps

    def step_cell(self) -> str:
        """The best step as text."""
        if self.best_step == 0:
            return f"before training; measured: {self.steps:,}"
        return f"{self.best_step:,}" if self.best_step is not None else f"not known; measured: {self.steps:,}"

    def cost_cells(self) -> list[str]:
        """Time and memory as text."""
        memory = "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 1e9:.1f} GB"
        return [f"{self.seconds:.0f} s", memory]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The row that ``asdict`` and JSON made; lists become tuples again."""
        row = {field.name: _as_tuples(values[field.name]) for field in fields(cls)}
        if wrong := misfit(cls, row):
            raise ValueError(f"{wrong} is of another type")
        return cls(**row)


def labelled(model_name: str, method: str) -> str:
    """A model and the method by which it is trained, for people."""
    return model_name + _SHOWN[method]


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


RowT = TypeVar("RowT", bound=ModelRow)


@dataclass(frozen=True, kw_only=True)
class ModelsCompared(ABC, Generic[RowT]):
    """Several models on the same texts.

    Attributes:
        rows: in the order the models were named, and of each model in that of the methods.
        path: the page. json_path: every number. picture: the figure as PNG.
        text: description of the training texts. budget: how much each model learned from, a sentence.
        asked: the settings that all models share, as JSON values.
    """

    template: ClassVar[str]  # of the page
    title: ClassVar[str]  # of the page
    figure_title: ClassVar[str]
    figure_shows: ClassVar[str]  # a sentence, for those who cannot see it

    rows: tuple[RowT, ...]
    text: str
    budget: str
    path: Path
    json_path: Path
    picture: Path
    asked: Mapping[str, Any]

    @property
    @abstractmethod
    def best(self) -> RowT:
        """The best model, however little better it is."""

    @abstractmethod
    def conclusion(self) -> str:
        """The result in a sentence or a few."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """The rows as text."""

    @abstractmethod
    def figure(self) -> Figure:
        """The curves of all models in one figure."""

    @property
    def box(self) -> str:
        """The class of the box that the page has around the conclusion, as in style.css."""
        return ""

    def notes(self) -> tuple[str, ...]:
        """What else to know of the figures, sentences."""
        return ()

    def summary(self) -> str:
        """The tables and what follows from them."""
        lines = [self.text, self.budget]
        for table in self.tables():
            lines += ["", *_aligned([table.heads, *table.rows])]
        return "\n".join([*lines, "", self.conclusion(), *self.notes(),
                          f"Page: {self.path}; numbers: {self.json_path}."])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        about = {"text": self.text, "budget": self.budget, "asked": dict(self.asked), "best": self.best.label}
        return {**about, "rows": [asdict(row) for row in self.rows]}

    def _repr_html_(self) -> str:
        tables = [{"heads": one.heads, "rows": one.rows, "caption": one.title} for one in self.tables()]
        return shown_in_notebook(
            tables,
            after=[self.conclusion(), *self.notes(), f"Page: {self.path}"],
            picture=picture_of(self.picture),
            shows=self.figure_shows,
        )


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)
    return [line.rstrip() for line in lines]


def comparison_page(result: ModelsCompared[Any], chart: str) -> str:
    """One HTML file that needs neither network nor scripts, with the result's figure as SVG."""
    return render(result.template, title=result.title, result=result, svg=chart)
