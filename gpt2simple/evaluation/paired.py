"""Whether two models differ on the same pairs, or on the same windows of a text.

The test is the approximate randomisation test (Noreen 1989) of a mean difference.

Where both models were equally good, each pair's two values could as well be exchanged. So the signs of the differences
are drawn at random, many times, and p is how often their sum is as far from 0 as that which was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpt2simple.evaluation.intervals import FEWEST_TEXTS, SEED, Interval, bootstrap
from gpt2simple.evaluation.significance import FEWEST_DISCORDANT, outcome_of, p_text

DRAWS = 10_000  # of signs; p is 1 / 10,001 at least
_AT_ONCE = 1_000_000  # signs in memory


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """How far a model's figure lies from another model's on the same pairs, or windows.

    Attributes:
        other: the other model. pairs: or windows, that both were evaluated on.
        differing: those of them with different values.
        difference: of the model's figure from the other's. interval: its bootstrap interval; None: too few pairs.
        p_value: how often chance alone makes a difference as large, where both are equally good, in any of the tests.
        outcome: "better" or "worse", of the model; "no difference" was shown; "cannot say": too few pairs differ.
    """

    other: str
    pairs: int
    differing: int
    difference: float
    interval: Interval | None
    p_value: float
    outcome: str

    @classmethod
    def of(
        cls, other: str, differences: np.ndarray, weights: np.ndarray, *, tests: int, lower_is_better: bool = False
    ) -> PairedDifference:
        """The comparison of a figure that is a sum over pairs divided by the sum of their weights.

        Args:
            differences, weights: float [N], of each pair: what the model adds to the sum less what the other does; and
                its weight, the same for both.
            tests: how many are made, by which p is multiplied (Bonferroni).
        """
        differing, total = int(np.count_nonzero(differences)), float(differences.sum())
        p_value = min(1.0, tests * randomisation_p(differences))
        outcome = outcome_of(differing, p_value, is_better=(total < 0) == lower_is_better)
        statistics = np.stack([differences, weights], axis=1)  # [N, 2]
        return cls(
            other=other,
            pairs=len(differences),
            differing=differing,
            difference=total / float(weights.sum()) if len(weights) else 0.0,
            interval=bootstrap(statistics, lambda sums: sums[:1] / sums[1])[0] if differing >= FEWEST_TEXTS else None,
            p_value=p_value,
            outcome=outcome,
        )

    def sentence(self, model: str, verb: str, unit: str, of: str = "pairs") -> str:
        """Which of the two models is better, with the numbers that say so.

        Args:
            model: the model. verb: what the better one does, up to "than". unit, of: as of ``evidence``.
        """
        other, evidence = self.other, self.evidence(unit, of)
        if self.outcome == "cannot say":
            return f"Whether {model} {verb} {other} cannot be told: {evidence}."
        if self.outcome == "no difference":
            return f"That {model} {verb} {other}, or the reverse, is not shown: {evidence}."
        if self.outcome == "worse":
            return f"{other} {verb} {model}: {model} has {evidence}."
        return f"{model} {verb} {other}: {evidence}."

    def evidence(self, unit: str, of: str = "pairs") -> str:
        """The difference in this unit, with its interval and p.

        Args:
            of: what both were evaluated on, in the plural.
        """
        if self.outcome == "cannot say":
            return (
                f"their values differ on {self.differing} of {self.pairs:,} {of}, and a judgement needs "
                f"{FEWEST_DISCORDANT}"
            )
        interval = f" (95% interval: {self.interval.text('+.3f')})" if self.interval else ""
        test = f"approximate randomisation test over {self.pairs:,} {of}, p {p_text(self.p_value)}"
        return f"{self.difference:+.3f} {unit}{interval}; {test}"

    def cell(self) -> str:
        """The same in a few words, for a table."""
        if self.outcome == "cannot say":
            return f"no difference shown ({self.differing} pairs differ, too few)"
        outcome = "no difference shown" if self.outcome == "no difference" else self.outcome
        return f"{outcome} ({self.difference:+.3f}, p {p_text(self.p_value)})"


def randomisation_p(differences: np.ndarray, *, draws: int = DRAWS, seed: int = SEED) -> float:
    """The two-sided p-value of the test that the differences, float [N], are as often negative as positive.

    Args:
        draws: of signs. seed: of their random numbers; the same one gives the same value.
    """
    found = differences[differences != 0]  # (n,)
    if not len(found):
        return 1.0
    generator, reached = np.random.default_rng(seed), 0
    least = abs(found.sum()) * (1 - 1e-9)  # rounding must not hide a sum that is as large
    for start in range(0, draws, rows := max(_AT_ONCE // len(found), 1)):
        shape = (min(rows, draws - start), len(found))
        signs = generator.integers(0, 2, shape, np.int8) * 2.0 - 1.0  # (rows, n)
        reached += int((np.abs(signs @ found) >= least).sum())
    return (reached + 1) / (draws + 1)
