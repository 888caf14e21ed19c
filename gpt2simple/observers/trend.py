"""Whether the held-out loss of a run still falls, judged the same way by the console and by the picture.

Knows evaluation records only. It does not decide when a run stops: that is the training loop's patience.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpt2simple.records import EvaluationRecord

# As many looks as `early_stopping_patience` has by default, so that a run which goes to its end on purpose is told the
# same as one that would have stopped there.
LOOKS_WITHOUT_GAIN = 3


class HeldOutTrend:
    """The best look at the held-out text so far, and how many came after it.

    Args:
        evaluations: looks of earlier sessions, in order of steps.
    """

    def __init__(self, evaluations: Iterable[EvaluationRecord] = ()) -> None:
        self.best: EvaluationRecord | None = None
        self.latest: EvaluationRecord | None = None
        self.looks_since_best = 0
        for record in evaluations:
            self.add(record)

    def add(self, record: EvaluationRecord) -> None:
        """Take the next look into account. The record itself says whether it is the best: so do the checkpoints."""
        self.latest = record
        if self.best is None or record.is_best:
            self.best = record
            self.looks_since_best = 0
        else:
            self.looks_since_best += 1

    @property
    def has_stopped_falling(self) -> bool:
        return self.has_stopped_after(LOOKS_WITHOUT_GAIN)

    def has_stopped_after(self, looks: int) -> bool:
        """The same for a run whose own patience is shorter: it ends after so many looks, and shows no more."""
        return self.looks_since_best >= min(looks, LOOKS_WITHOUT_GAIN)
