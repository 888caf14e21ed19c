"""Several models on the same pairs: how well each predicts completions, what each writes, and which are better.

A difference counts only where the approximate randomisation test over the same pairs shows it, with p multiplied by the
number of such tests: the best of several models is ahead of the others by chance too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from gpt2simple.evaluation.intervals import FEWEST_TEXTS, Interval, bootstrap
from gpt2simple.evaluation.outputs.metrics import NAMES, Figure, figure_rows
from gpt2simple.evaluation.outputs.page import cut
from gpt2simple.evaluation.outputs.result import CompletionLoss, PairResult
from gpt2simple.evaluation.paired import PairedDifference
from gpt2simple.evaluation.report.comparison import ModelRow, ModelsCompared, Table
from gpt2simple.evaluation.report.figure import models_figure
from gpt2simple.runs.figure import Figure as Drawing
from gpt2simple.settings.pairs import COMPLETION
from gpt2simple.storage.contents import counted, json_text, parse_json

BESIDE_HEADS = ("model", "beside", "bits/byte of completions", "token F1 of outputs")
TRAINING_HEADS = (
    "model", "parameters", "best step", "validation loss", "validation bits/byte", "time", "memory", "verdict",
)  # fmt: skip
_MOST_SHOWN = 8  # prompts of the page
_FIGURES = 2  # that two models are compared by


class Prompt(NamedTuple):
    """A prompt of the page: its number in the part, from 0, its text, and what would be right."""

    number: int
    text: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class OutputScore:
    """What a model wrote for one prompt.

    Attributes:
        number: of the first pair with that prompt in the part, from 0.
        output: what the model wrote. f1: of its tokens, 0 to 1. is_completion: whether it equals a training completion.
    """

    number: int
    output: str
    f1: float
    exact_match: bool
    is_completion: bool


@dataclass(frozen=True, kw_only=True)
class PairsRow(ModelRow):
    """One model, and its figures on the test part, or without one on the validation part.

    Attributes:
        validation_loss, validation_bits_per_byte: of the completions at the best step; None: not evaluated.
        part: the pairs of the figures, in words. truncated, left_out: pairs that did not fit as a whole, or not at all.
        loss: nats per token of the completions.
        figures: of the outputs, by their names for people. empty: outputs of nothing but white space.
        repeats: outputs that equal a training completion. repeating_references: references that do.
        memorised: why the outputs are called repeated from training, a sentence; "": they are not.
        notes: what else to know of the figures.
        completions: how each completion that fits was predicted. outputs: what was written for each prompt.
        evaluations: step, loss and bits per byte of each evaluation.
    """

    validation_loss: float | None
    validation_bits_per_byte: float | None
    part: str
    truncated: int
    left_out: int
    loss: float
    figures: dict[str, Figure]
    empty: int
    repeats: int
    repeating_references: int
    memorised: str
    notes: tuple[str, ...]
    completions: tuple[CompletionLoss, ...]
    outputs: tuple[OutputScore, ...]
    evaluations: tuple[tuple[int, float, float], ...]

    @classmethod
    def of(cls, found: PairResult, **about: Any) -> Self:
        """The row of a result whose outputs were compared with training; ``about`` gives the fields that it lacks."""
        outputs, copies = found.outputs, found.outputs.copies
        assert copies is not None
        return cls(
            part=outputs.part,
            truncated=found.truncated,
            left_out=found.left_out,
            loss=found.loss,
            figures=outputs.figures(),
            empty=outputs.empty,
            repeats=copies.repeated,
            repeating_references=copies.references,
            memorised=copies.sentence() if copies.is_memorised else "",
            notes=outputs.notes,
            completions=found.losses,
            outputs=tuple(
                OutputScore(
                    number=number, output=one.output, f1=one.f1, exact_match=one.exact_match,
                    is_completion=one.copy is not None and one.copy.is_completion,
                )
                for number, one in zip(found.numbers, outputs.scored, strict=True)
            ),
            **about,
        )  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        figures = {
            name: Figure(value=one["value"], interval=one["interval"] and Interval(**one["interval"]))
            for name, one in values["figures"].items()
        }
        completions = tuple(CompletionLoss(*one) for one in values["completions"])
        outputs = tuple(OutputScore(**one) for one in values["outputs"])
        return super().from_json({**values, "figures": figures, "completions": completions, "outputs": outputs})

    @cached_property
    def bits_per_byte(self) -> Figure:
        """Of the completions, with its bootstrap interval."""
        nats = np.array([(one.nats, one.text_bytes) for one in self.completions])  # [N, 2]

        def bits(sums: np.ndarray) -> np.ndarray:  # [2] -> [1]
            return sums[:1] / math.log(2) / max(sums[1], 1)

        interval = bootstrap(nats, bits)[0] if len(nats) >= FEWEST_TEXTS else None
        return Figure(value=float(bits(nats.sum(axis=0))[0]), interval=interval)

    @property
    def f1(self) -> Figure:
        """Of the outputs' tokens, 0 to 1."""
        return self.figures[NAMES["f1"]]

    def figure_cells(self) -> dict[str, str]:
        """Its figures as text, by their names."""
        bits = self.bits_per_byte
        interval = f" ({bits.interval.text('.3f')})" if bits.interval else ""
        shown = {
            "bits/byte of completions": f"{bits.value:.3f}{interval}",
            "loss of completions": f"{self.loss:.4f} nats/token",
        }
        for name, value, interval in figure_rows(self.figures):
            shown[name] = f"{value} ({'no interval' if interval == 'withheld' else interval})"
        shown["outputs that equal a training completion"] = (
            f"{self.repeats:,} of {len(self.outputs):,} (references: {self.repeating_references:,})"
        )
        return shown | {"empty outputs": f"{self.empty:,} of {len(self.outputs):,}"}

    def training_cells(self) -> list[str]:
        """How it was trained, as text under ``TRAINING_HEADS``."""
        return [
            self.label,
            f"{self.parameters:,}",
            self.step_cell(),
            "" if self.validation_loss is None else f"{self.validation_loss:.3f}",
            "" if self.validation_bits_per_byte is None else f"{self.validation_bits_per_byte:.3f}",
            *self.cost_cells(),
            self.verdict,
        ]


class Beside(NamedTuple):
    """A model beside another one: the bits per byte of completions, and the token F1 of outputs."""

    completions: PairedDifference
    outputs: PairedDifference


@dataclass(frozen=True, kw_only=True)
class ComparePairsResult(ModelsCompared[PairsRow]):
    """Several models on the same pairs.

    Attributes:
        chosen_by: whether the best steps were chosen by the pairs of the figures, as there is no test part.
        prompts: those that the page shows.
    """

    template: ClassVar[str] = "pairs.html"
    title: ClassVar[str] = "Models compared"
    figure_title: ClassVar[str] = "Token F1 and learning curves"
    figure_shows: ClassVar[str] = "Token F1 of each model's outputs with its 95% interval; validation loss by step."

    chosen_by: bool
    prompts: tuple[Prompt, ...]

    @property
    def best(self) -> PairsRow:
        """The model that predicts the completions best; of equal ones that with the higher token F1."""
        return min(self.rows, key=_rank)

    @property
    def best_other(self) -> PairsRow:
        """The best of the other models."""
        return min((row for row in self.rows if row is not self.best), key=_rank)

    def beside(self, row: PairsRow, other: PairsRow) -> Beside:
        """A model beside another one, on the pairs that fit both."""
        names = row.label, other.label
        if names not in self._known:
            self._known[names] = self._compared(row, other)
        return self._known[names]

    @cached_property
    def _known(self) -> dict[tuple[str, str], Beside]:
        return {}

    def _compared(self, row: PairsRow, other: PairsRow) -> Beside:
        its = {one.number: one for one in other.completions}
        both = [(one, its[one.number]) for one in row.completions if one.number in its]
        bits = np.array([(mine.nats - theirs.nats) / math.log(2) for mine, theirs in both])  # [N]
        sizes = np.array([mine.text_bytes for mine, _ in both], np.float64)  # [N]
        wrote = {one.number: one.f1 for one in other.outputs}
        f1 = np.array([one.f1 - wrote[one.number] for one in row.outputs if one.number in wrote])  # [prompts]
        name, tests = other.label, self._tests
        return Beside(
            PairedDifference.of(name, bits, sizes, tests=tests, lower_is_better=True),
            PairedDifference.of(name, f1, np.ones(len(f1)), tests=tests),
        )

    @property
    def _learned(self) -> str:
        """What the loss of training and validation counts."""
        return "completions" if self.asked.get("loss_on", COMPLETION) == COMPLETION else "prompts and completions"

    @property
    def _tests(self) -> int:
        return _FIGURES * math.comb(len(self.rows), 2)

    @property
    def box(self) -> str:
        return "" if self.beside(self.best, self.best_other).completions.outcome == "better" else "cannot_say"

    def conclusion(self) -> str:
        best = self.best
        bits = best.bits_per_byte
        interval = f" (95% interval: {bits.interval.text('.3f')})" if bits.interval else ""
        return f"{best.label} has the lowest loss on {best.part}: {bits.value:.3f} bits/byte{interval}."

    def notes(self) -> tuple[str, ...]:
        best, other = self.best, self.best_other
        found = self.beside(best, other)
        said = [
            found.completions.sentence(best.label, "predicts completions better than", "bits/byte"),
            found.outputs.sentence(best.label, "writes better outputs than", "token F1"),
            f"As there are {self._tests} tests, p is multiplied by {self._tests} (Bonferroni).",
        ]
        if self.chosen_by:
            said.append(
                "There is no test part. The best step of each model was chosen by the validation part, so its figures "
                "are likely to be better than on new pairs."
            )
        for row in self.rows:
            if row.memorised:
                said.append(f"{row.label}: {row.memorised}")
            if row.truncated:
                said.append(f"{row.label} read only the end of {counted(row.truncated, 'prompt')}.")
            if row.left_out:
                said.append(
                    f"{row.label}: {counted(row.left_out, 'pair')} did not fit and had to be left out. Its "
                    "figures are of the others; tests are over the pairs that fit both models."
                )
        return (*said, *dict.fromkeys(note for row in self.rows for note in row.notes))

    def tables(self) -> list[Table]:
        cells = [row.figure_cells() for row in self.rows]
        figures = [[name, *(cell[name] for cell in cells)] for name in cells[0]]
        caption = (
            "In brackets: 95% intervals. Bits per byte compare models with different vocabularies; nats per token do "
            "not. Intervals and tests say what other pairs of this kind may give; another seed may make a larger "
            "difference."
        )
        beside = [
            [row.label, other.label, *(one.cell() for one in self.beside(row, other))]
            for row, other in itertools.combinations(self.rows, 2)
        ]
        tests = "In brackets: the difference, and p of the approximate randomisation test over the same pairs."
        training = (
            f"Validation: at the best step, the loss of {self._learned} in nats per token. Verdict: what the loss "
            "curves show. Memory: of the process, or of the GPU, at its peak."
        )
        return [
            Table(f"On {self.rows[0].part}", ("", *(row.label for row in self.rows)), figures, caption),
            Table("Beside each other", BESIDE_HEADS, beside, tests),
            Table("Training", TRAINING_HEADS, [row.training_cells() for row in self.rows], training),
        ]

    def shown(self) -> list[tuple[Prompt, list[tuple[str, OutputScore | None]]]]:
        """The prompts of the page, each with every model's output; None: the pair did not fit."""
        by_number = {
            row.label: {one.number: replace(one, output=cut(one.output)) for one in row.outputs} for row in self.rows
        }
        return [
            (
                prompt._replace(text=cut(prompt.text), reference=cut(prompt.reference)),
                [(name, pairs.get(prompt.number)) for name, pairs in by_number.items()],
            )
            for prompt in self.prompts
        ]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        values = super().to_json()
        for row, shown in zip(self.rows, values["rows"], strict=True):
            shown["bits_per_byte"] = asdict(row.bits_per_byte)
        beside = [
            {"model": row.label, **{name: asdict(one) for name, one in self.beside(row, other)._asdict().items()}}
            for row, other in itertools.combinations(self.rows, 2)
        ]
        found: dict[str, Any] = parse_json(json_text({**values, "beside": beside}))
        return {**found, "conclusion": self.conclusion(), "notes": list(self.notes())}

    def figure(self) -> Drawing:
        """Token F1 with its interval, and validation loss by step."""
        lines = {
            row.label: ([step for step, _, _ in row.evaluations], [bits for _, _, bits in row.evaluations])
            for row in self.rows
        }
        shown = [(row.label, row.f1.value, row.f1.interval) for row in self.rows]
        return models_figure(
            shown, (), lines, part=self.rows[0].part, measured="token F1", loss_unit=f"bits per byte of {self._learned}"
        )


def shown_prompts(every: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Some of the prompts of a part, evenly spaced, whatever the models made of them."""
    places = np.unique(np.linspace(0, len(every) - 1, min(_MOST_SHOWN, len(every))).round().astype(np.int64))
    return tuple(every[place] for place in places.tolist())


def _rank(row: PairsRow) -> tuple[float, float]:
    return row.bits_per_byte.value, -row.f1.value
