"""Where patience would have ended a run that went on: for other intervals between looks, and other patience.

Plain arithmetic over what the looks of such a run saw. Looking changes nothing in training, so a run that looks often
tells what one that looks seldom would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

MULTIPLES = (1, 2, 4, 8)  # of the interval at which the run looked
PATIENCES = (1, 2, 3, 5)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a run would have ended.

    Attributes:
        every: steps between looks. patience: looks without a better one.
        step: where it stops; None: the looks do not reach so far.
        best_step, best_bits_per_byte: of the best look until then.
    """

    every: int
    patience: int
    step: int | None
    best_step: int
    best_bits_per_byte: float

    def in_words(self) -> str:
        ended = "does not stop" if self.step is None else f"stops at {self.step}"
        return f"{self.best_bits_per_byte:.3f} at {self.best_step}, {ended}"


def stop_of(looks: Mapping[int, float], every: int, patience: int) -> Stop:
    """How a run would have ended that saw only every so-manieth of these looks.

    Args:
        looks: step -> held-out bits per byte, in order, from step 0 on.
    """
    seen = [(step, bits) for step, bits in looks.items() if step % every == 0]
    best_step, best, waited = *seen[0], 0
    for step, bits in seen[1:]:
        waited += 1
        if bits < best:
            best_step, best, waited = step, bits, 0
        if waited == patience:
            return Stop(every=every, patience=patience, step=step, best_step=best_step, best_bits_per_byte=best)
    return Stop(every=every, patience=patience, step=None, best_step=best_step, best_bits_per_byte=best)


def stops_of(looks: Mapping[int, float]) -> list[Stop]:
    """How the run would have ended with each interval and each patience."""
    interval = list(looks)[1]
    return [stop_of(looks, multiple * interval, patience) for multiple in MULTIPLES for patience in PATIENCES]


def markdown(stops: Sequence[Stop]) -> str:
    """The stops as a table: an interval a row, a patience a column."""
    lines = [
        f"| evaluated every | {' | '.join(f'patience {patience}' for patience in PATIENCES)} |",
        f"| --- |{' --- |' * len(PATIENCES)}",
    ]
    for every in dict.fromkeys(stop.every for stop in stops):
        row = [stop.in_words() for stop in stops if stop.every == every]
        lines.append(f"| {every} steps | {' | '.join(row)} |")
    return "\n".join(lines)


def to_json(stops: Sequence[Stop]) -> list[dict[str, float | None]]:
    """The stops as JSON values."""
    return [asdict(stop) for stop in stops]
