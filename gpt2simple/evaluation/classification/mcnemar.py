"""Whether two classifiers differ on the same texts (McNemar's exact test)."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.evaluation.significance import FEWEST_DISCORDANT, binomial_p, outcome_of, p_text
from gpt2simple.storage.contents import counted

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
        outcome = outcome_of(discordant, p_value, is_better=model_only > baseline_only)
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
