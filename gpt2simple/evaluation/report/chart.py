"""A chart of lines as inline SVG, its colours those of the page around it. Knows numbers and labels only."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 460, 300

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 40

_MOST_POINTS = 400


@dataclass(frozen=True)
class Line:
    """A line of a chart: ``style`` is the class that the page's style sheet colours."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A point with a vertical line through it."""

    label: str
    x: float
    y: float


def chart(lines: Sequence[Line], *, title: str, x_label: str, y_label: str, mark: Mark | None = None) -> str:
    """The lines as an SVG element with a legend below; values that are not finite are left out.

    Args:
        title: says what the chart shows, for those who cannot see it.
    """
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if not points:
        return ""
    frame = _Frame.of([x for x, _ in points], [y for _, y in points])
    drawn = "".join(_drawn(line, frame) for line in lines)
    legend = "".join(f'<li><span class="key {line.style}"></span>{html.escape(line.label)}</li>' for line in lines)
    star = ""
    if mark is not None:
        x, y = frame.place(mark.x, mark.y)
        star = f'<path class="guide" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        star += f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
        legend += f'<li><span class="key best"></span>{html.escape(mark.label)}</li>'
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f'{frame.drawn(x_label, y_label)}{drawn}{star}</svg><ul class="legend">{legend}</ul></figure>'
    )


@dataclass(frozen=True)
class _Frame:
    """The ranges of both axes, and where their ticks are."""

    x_ticks: list[float]
    y_ticks: list[float]

    @classmethod
    def of(cls, x: Sequence[float], y: Sequence[float]) -> _Frame:
        return cls(ticks(min(x), max(x)), ticks(min(y), max(y)))

    def place(self, x: float, y: float) -> tuple[float, float]:
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        across = (x - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        up = (y - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return _LEFT + width * across, _TOP + height * (1.0 - up)

    def drawn(self, x_label: str, y_label: str) -> str:
        parts = []
        for value in self.y_ticks:
            _, y = self.place(self.x_ticks[0], value)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in self.x_ticks:
            x, _ = self.place(value, self.y_ticks[0])
            anchor = "end" if value == self.x_ticks[-1] else "middle"
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="{anchor}">{value:g}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">{html.escape(x_label)}</text>')
        parts.append(f'<text x="4" y="13">{html.escape(y_label)}</text>')
        return "".join(parts)


def _drawn(line: Line, frame: _Frame) -> str:
    stride = max(1, -(-len(line.x) // _MOST_POINTS))
    kept = sorted({*range(0, len(line.x), stride), len(line.x) - 1}) if len(line.x) else []
    places = [frame.place(line.x[i], line.y[i]) for i in kept if math.isfinite(line.y[i])]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return f'<polyline class="line {line.style}" points="{path}"/>{dots if line.dots or len(places) == 1 else ""}'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, two or more and about ``most``."""
    if high <= low:
        high = low + 1.0  # above: what is constant is most often a share of nothing
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
