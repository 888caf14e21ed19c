"""What chance alone makes of counts: whether two classifiers differ on the same texts.

Takes the texts as drawn independently, as ``evaluation.intervals`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpt2simple.storage.contents import counted

FEWEST_DISCORDANT = 10  # fewer texts are no evidence, whichever way they fall
LEVEL = 0.05  # a difference that chance makes this often or more often is none


def binomial_p(successes: int, trials: int, probability: float = 0.5) -> float:
    """The two-sided p-value of the exact binomial test: twice the smaller tail, at most 1."""
    if probability <= 0.0 or probability >= 1.0:
        return 1.0 if successes == trials * round(probability) else 0.0
    tails = (range(successes + 1), range(successes, trials + 1))
    return min(1.0, 2 * min(math.fsum(_chance(k, trials, probability) for k in tail) for tail in tails))


def _chance(k: int, trials: int, probability: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
    return math.exp(ways + k * math.log(probability) + (trials - k) * math.log1p(-probability))


_SUBJECTS = {
    "bag of words": "The bag of words",
    "majority class": "Always naming the majority class",
    "random weights": "The same model with random weights",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model beside a baseline, or another model, on the same texts (McNemar's exact test).

    Attributes:
        baseline: its name.
        model_only, baseline_only: texts that only one of the two classified correctly, the discordant pairs.
        p_value: how often chance alone makes a difference as large, where both are equally good, in any of the tests.
        outcome: "better" or "worse", of the model; "no difference" was shown; "cannot say": too few discordant pairs.
    """

    baseline: str
    model_only: int
    baseline_only: int
    p_value: float
    outcome: str

    @classmethod
    def of(cls, baseline: str, model_only: int, baseline_only: int, *, tests: int = 1) -> Comparison:
        """The comparison that these counts of discordant pairs make, one of so many ``tests`` (Bonferroni)."""
        discordant = model_only + baseline_only
        p_value = min(1.0, tests * binomial_p(model_only, discordant))
        if discordant < FEWEST_DISCORDANT:
            outcome = "cannot say"
        elif p_value >= LEVEL:
            outcome = "no difference"
        else:
            outcome = "better" if model_only > baseline_only else "worse"
        return cls(
            baseline=baseline, model_only=model_only, baseline_only=baseline_only, p_value=p_value, outcome=outcome
        )

    def sentence(self, model: str = "", other_model: str = "") -> str:
        """Which of the two is better, with the counts that say so.

        Args:
            model: its name, where there are several. other_model: the name of that in place of the baseline.
        """
        subject = other_model or _SUBJECTS.get(self.baseline, f"The baseline {self.baseline}")
        other = other_model or subject[0].lower() + subject[1:]
        this = model or "the model"
        found = counted(self.model_only, "text")
        counts = f"only {this} classified {found} correctly, and only {other} {self.baseline_only:,}"
        if self.outcome == "cannot say":
            number = self.model_only + self.baseline_only
            return (
                f"Whether {this} is better than {other} cannot be told: {counts}. Those are {number} discordant "
                f"pairs, and a judgement needs {FEWEST_DISCORDANT}."
            )
        evidence = f"{counts} (McNemar's exact test, p {p_text(self.p_value)})."
        if self.outcome == "better":
            return f"{model or 'The model'} is better than {other}: {evidence}"
        if self.outcome == "worse":
            return f"{subject} is better than {this}: {evidence}"
        return f"{subject} is as good, as far as these texts show: {evidence}"

    def cell(self) -> str:
        """The same in a few words, for a table."""
        counts = f"({self.model_only:,} to {self.baseline_only:,}"
        if self.outcome == "cannot say":
            return f"no difference shown {counts}, too few)"
        outcome = "no difference shown" if self.outcome == "no difference" else self.outcome
        return f"{outcome} {counts}, p {p_text(self.p_value)})"


def p_text(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"
