"""The figures of a model's outputs beside their references, with intervals, and what they do not show.

Exact match is a share and has Wilson's interval, which holds for any number of outputs. The other figures have
percentile bootstrap intervals: all of them over the same resampled outputs. Those are withheld where there are fewer
than 30 outputs, or fewer than five whose score differs from the commonest one: resampling then shows less spread than
there is, and none where all are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import regex

from gpt2simple.errors import DataError
from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.evaluation.intervals import FEWEST_TEXTS, RESAMPLES, SEED, Interval, bootstrap, wilson
from gpt2simple.evaluation.outputs.answers import exact_match, token_f1
from gpt2simple.evaluation.outputs.copies import Copy, CopyFigures, find_copies
from gpt2simple.evaluation.outputs.overlap import (
    Measure,
    bleu_tokenizer,
    mean,
    overlap_measures,
    require_text_metrics,
    share_without_spaces,
    words_of_bleu,
)
from gpt2simple.evaluation.tables import text_table
from gpt2simple.storage.contents import counted, json_text, parse_json

__all__ = ["Figure", "OutputFigures", "ScoredOutput", "output_figures", "require_text_metrics"]

HEADS = ("", "value", "95% interval")
NAMES = {
    "exact_match": "exact match", "f1": "token F1", "bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2", "rouge_l": "ROUGE-L",
}  # fmt: skip
_FORMS = {"exact match": ".1%", "BLEU": ".2f", "chrF": ".2f"}  # of the others: .3f
_SQUAD = "SQuAD: lower case, no punctuation, no articles, the best reference"
_FEWEST_OTHERS = 5  # outputs whose score differs from the commonest one
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_SEEN_BY_ROUGE = regex.compile("[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure and where it lies with 95 % confidence for other prompts of this kind; None: too little to say."""

    value: float
    interval: Interval | None


def figure_rows(figures: Mapping[str, Figure]) -> list[tuple[str, str, str]]:
    """Figures by their names for people as text, under ``HEADS``."""
    rows = []
    for shown, figure in figures.items():
        form = _FORMS.get(shown, ".3f")
        interval = figure.interval.text(form) if figure.interval else "withheld"
        rows.append((shown, f"{figure.value:{form}}", interval))
    return rows


@dataclass(frozen=True, kw_only=True)
class ScoredOutput:
    """An output beside what it answers.

    Attributes:
        prompt: None where it was not given. references: what would be right.
        exact_match, f1: with the best reference, f1 from 0 to 1.
        chrf: 0 to 100; None: not computed.
        copy: what it has in common with the training completions; None: not compared.
    """

    prompt: str | None
    references: tuple[str, ...]
    output: str
    exact_match: bool
    f1: float
    chrf: float | None
    copy: Copy | None


@dataclass(frozen=True, kw_only=True)
class OutputFigures:
    """How good outputs are beside their references.

    Attributes:
        model, part: descriptions of the model and of the prompts. outputs, references: how many. empty: outputs
            without a character that is no white space.
        exact_match: share of the outputs that equal a reference, 0 to 1, with Wilson's interval.
        f1: mean F1 of the tokens, 0 to 1.
        bleu, chrf: of all outputs together, 0 to 100, as sacrebleu's command prints them; None: not computed.
        rouge1, rouge2, rouge_l: mean F-measures, 0 to 1; None: not computed.
        signatures: how each was computed, by name.
        resamples, seed: of the bootstrap intervals, which all but that of exact match are.
        copies: what outputs repeat of the training completions; None: not compared.
        notes: what else to know of the figures, sentences.
        scored: each output in its order; not in JSON.
    """

    model: str
    part: str
    outputs: int
    references: int
    empty: int
    exact_match: Figure
    f1: Figure
    bleu: Figure | None = None
    chrf: Figure | None = None
    rouge1: Figure | None = None
    rouge2: Figure | None = None
    rouge_l: Figure | None = None
    signatures: dict[str, str]
    resamples: int
    seed: int
    copies: CopyFigures | None = None
    notes: tuple[str, ...] = ()
    scored: tuple[ScoredOutput, ...] = field(default=(), repr=False)

    def figures(self) -> dict[str, Figure]:
        """Those that were computed, by their names for people."""
        found = {shown: getattr(self, name) for name, shown in NAMES.items()}
        return {shown: figure for shown, figure in found.items() if figure is not None}

    def best(self, most: int) -> list[ScoredOutput]:
        """The outputs with the highest token F1, of equal ones those with the higher chrF, of these the earlier."""
        return sorted(self.scored, key=_rank, reverse=True)[:most]

    def worst(self, most: int) -> list[ScoredOutput]:
        """The outputs with the lowest token F1, of equal ones those with the lower chrF, of these the earlier."""
        return sorted(self.scored, key=_rank)[:most]

    def summary(self) -> str:
        """The figures in a few lines, how they were computed, and what they do not show."""
        lines = [self.headline(), *text_table([HEADS, *self.rows()]), "", *self.methods()]
        return "\n".join([*lines, *self.remarks()])

    def remarks(self) -> list[str]:
        """What the outputs repeat of the training completions, if they were compared, and the notes."""
        return [*([self.copies.sentence()] if self.copies else []), *self.notes]

    def headline(self) -> str:
        """What was written, how much of it is empty, and beside what it stands where that is more than a text each."""
        nothing = f", {self.empty:,} of them empty" if self.empty else ""
        beside = f", beside {self.references:,} references" if self.references > self.outputs else ""
        return f"{self.model} on {self.part}: {counted(self.outputs, 'output')}{nothing}{beside}"

    def rows(self) -> list[tuple[str, str, str]]:
        """The figures, under ``HEADS``."""
        return figure_rows(self.figures())

    def methods(self) -> list[str]:
        """How the figures and their intervals were computed, a line each."""
        by_method: dict[str, list[str]] = {}
        for name, signature in self.signatures.items():
            by_method.setdefault(signature, []).append(NAMES[name])
        given = any(figure.interval for name, figure in self.figures().items() if name != NAMES["exact_match"])
        intervals = (
            f"Intervals: exact match Wilson; the others bootstrap, {self.resamples:,} resamples, seed {self.seed}."
        )
        return [
            *(f"{', '.join(names)}: {signature}" for signature, names in by_method.items()),
            intervals if given else "Interval of exact match: Wilson.",
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values, without the outputs."""
        values = asdict(replace(self, scored=()))
        del values["scored"]
        copies = values.pop("copies")
        if self.copies:
            copies |= {"is_memorised": self.copies.is_memorised, "conclusion": self.copies.sentence()}
        found: dict[str, Any] = parse_json(json_text({**values, "copies": copies}))
        return found

    def _repr_html_(self) -> str:
        table = {"heads": HEADS, "rows": self.rows(), "caption": self.headline()}
        return shown_in_notebook([table], after=self.remarks())


def output_figures(
    outputs: Sequence[str], references: Sequence[str | Sequence[str]], *, model: str, part: str,
    prompts: Sequence[str] | None = None, completions: Sequence[str] | None = None, text_metrics: bool = True,
    resamples: int = RESAMPLES, seed: int = SEED,
) -> OutputFigures:  # fmt: skip
    """How good outputs are beside their references.

    Args:
        outputs: what the model wrote. references: of each output what would be right: a text, or one or more texts.
        model, part: descriptions. prompts: what the outputs answer; None: not shown.
        completions: of the training data, to find outputs that repeat them; None: not compared.
        text_metrics: whether to compute BLEU, chrF and ROUGE, which need an extra.
        resamples, seed: of the bootstrap intervals.

    Raises:
        BackendError: sacrebleu or rouge-score is missing and wanted.
        DataError: there is no output, an output without a reference, or no training completion in those given.
        ValueError: arguments do not fit together.
    """
    wanted = [(one,) if isinstance(one, str) else tuple(one) for one in references]
    _check(outputs, wanted, prompts)
    if text_metrics:
        require_text_metrics()
    matched = [exact_match(output, right) for output, right in zip(outputs, wanted, strict=True)]
    f1 = [token_f1(output, right) for output, right in zip(outputs, wanted, strict=True)]
    measures = {"exact_match": mean(matched, _SQUAD), "f1": mean(f1, _SQUAD)}
    if text_metrics:
        measures |= overlap_measures(outputs, wanted)
    figures = _with_intervals(measures, sum(matched), resamples, seed)
    copies, each_copy = find_copies(outputs, wanted, matched, completions) if completions is not None else (None, [])
    chrf = measures["chrf"].each.tolist() if text_metrics else []
    return OutputFigures(
        model=model,
        part=part,
        outputs=len(outputs),
        references=sum(map(len, wanted)),
        empty=sum(not output.strip() for output in outputs),
        **figures,
        signatures={name: measure.signature for name, measure in measures.items()},
        resamples=resamples,
        seed=seed,
        copies=copies,
        notes=tuple(_notes(figures, measures, wanted)),
        scored=tuple(
            ScoredOutput(
                prompt=prompts[i] if prompts is not None else None, references=wanted[i], output=outputs[i],
                exact_match=matched[i], f1=f1[i], chrf=chrf[i] if chrf else None,
                copy=each_copy[i] if each_copy else None,
            )
            for i in range(len(outputs))
        ),
    )  # fmt: skip


def _check(outputs: Sequence[str], references: Sequence[tuple[str, ...]], prompts: Sequence[str] | None) -> None:
    if len(outputs) != len(references) or (prompts is not None and len(prompts) != len(outputs)):
        given = f"{len(outputs)} outputs, {len(references)} lists of references"
        raise ValueError(f"{given}{'' if prompts is None else f' and {len(prompts)} prompts'} do not fit")
    if not outputs:
        raise DataError("There is no output to judge. Hold out more pairs or give a file of pairs to test on.")
    if (bare := next((i for i, right in enumerate(references, 1) if not right), None)) is not None:
        raise DataError(f"Output {bare:,} has no reference to compare it with. Give at least one for each prompt.")


def _with_intervals(measures: dict[str, Measure], matched: int, resamples: int, seed: int) -> dict[str, Figure]:
    """The figures by name, each with its interval or with None where there is too little for one."""
    outputs = len(measures["exact_match"].each)
    intervals: dict[str, Interval | None] = dict.fromkeys(measures)
    if outputs >= FEWEST_TEXTS:
        ends = np.cumsum([measure.statistics.shape[1] for measure in measures.values()])[:-1]

        def figures(sums: np.ndarray) -> np.ndarray:  # [S of all] -> [measures]
            parts = np.split(sums, ends)
            return np.array([one.of_sums(part) for one, part in zip(measures.values(), parts, strict=True)])

        statistics = np.concatenate([measure.statistics for measure in measures.values()], axis=1)  # [N, S of all]
        found = bootstrap(statistics, figures, resamples=resamples, seed=seed)
        intervals |= {
            name: interval
            for (name, measure), interval in zip(measures.items(), found, strict=True)
            if outputs - np.unique(measure.each, return_counts=True)[1].max() >= _FEWEST_OTHERS
        }
    intervals["exact_match"] = wilson(matched, outputs)
    return {name: Figure(value=one.value, interval=intervals[name]) for name, one in measures.items()}


def _notes(
    figures: dict[str, Figure], measures: dict[str, Measure], references: Sequence[tuple[str, ...]]
) -> list[str]:
    """What else to know of the figures."""
    outputs, said = len(references), []
    withheld = [NAMES[name] for name, figure in figures.items() if figure.interval is None]
    if withheld and outputs < FEWEST_TEXTS:
        said.append(
            f"Intervals are withheld: resampling {counted(outputs, 'output')} would make them too narrow, and it takes "
            f"{FEWEST_TEXTS}. So few say little of a model."
        )
    elif withheld:
        said.append(
            f"No interval of {', '.join(withheld)}: fewer than {_FEWEST_OTHERS} outputs have a score other than the "
            "commonest, too few to resample."
        )
    if "bleu" not in measures:
        return [*said, "BLEU, chrF and ROUGE were not computed."]
    tokenizer = bleu_tokenizer(references)
    token = "word" if tokenizer == "13a" else "token"
    short = int((words_of_bleu(measures["bleu"].statistics) < 4).sum())
    if short > outputs / 2:
        said.append(
            f"BLEU counts sequences of up to four {token}s, and {short:,} of {counted(outputs, 'output')} are shorter: "
            "it says little of these, and is 0 where all are."
        )
    letters = _LETTER.findall(" ".join(text for right in references for text in right).lower())
    seen = sum(map(bool, map(_SEEN_BY_ROUGE.match, letters)))
    if seen < 0.9 * len(letters):
        said.append(
            f"ROUGE knows the letters a to z and digits alone, {seen / len(letters):.0%} of those in the references, "
            "and takes all others for spaces. chrF counts the letters of any script."
        )
    if share_without_spaces(letters) > 0.1:
        blind, counts = "Token F1 takes", f"BLEU (tok:{tokenizer}) and chrF count"
        if tokenizer == "13a":
            blind, counts = "Token F1 and BLEU (tok:13a) take", "chrF counts"
        said.append(
            f"{blind} what stands between spaces and ASCII punctuation for a word, and these texts put few spaces "
            f"between words. {counts} characters."
        )
    return said


def _rank(one: ScoredOutput) -> tuple[float, float]:
    return one.f1, one.chrf or 0.0
