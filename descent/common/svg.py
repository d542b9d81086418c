"""A line chart as SVG, for a page or a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from descent.common.arrays import Floats
from descent.common.i18n import _
from descent.common.numbers import number

BLUE, ORANGE = "#1f77b4", "#e08214"  # training and validation
_EDGE = 48
_MOST_DOTS = 60


@dataclass(frozen=True)
class Curve:
    """A line from (n,) steps to (n,) values; what is not finite is left out. name: for the legend."""

    steps: Floats
    values: Floats
    name: str = ""
    colour: str = BLUE
    dots: bool = False

    def finite(self) -> "Curve":
        kept = np.isfinite(self.values)
        return Curve(self.steps[kept], self.values[kept], self.name, self.colour, self.dots)


def line_chart(curves: Sequence[Curve], title: str, width: int = 640, height: int = 320) -> str:
    """Return the curves over one another. The value axis is logarithmic if all values are above 0 and span a decade.

    title and names may come from a file: they are escaped.
    """
    drawn = [curve.finite() for curve in curves]
    values = np.concatenate([np.empty(0), *(curve.values for curve in drawn)]).astype(np.float64)
    steps = np.concatenate([np.empty(0), *(curve.steps for curve in drawn)]).astype(np.float64)
    logarithmic = len(values) > 0 and values.min() > 0 and values.max() / values.min() > 10
    heights = np.log10(values) if logarithmic else values
    low, high = (number(float(values.min())), number(float(values.max()))) if len(values) else ("", "")
    last = f"{int(steps.max()):,}" if len(steps) else ""
    bottom, right = height - _EDGE, width - _EDGE
    shown = escape(_("{title} (log axis)", title=title) if logarithmic else title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{_EDGE},{_EDGE} V{bottom} H{right}" fill="none" stroke="#888"/>',
    ]
    for curve in drawn:
        across = _spread(curve.steps, steps, width)
        up = height - _spread(np.log10(curve.values) if logarithmic else curve.values, heights, height)
        lines += _line(curve, across, up)
    lines.append(f'<text x="{_EDGE}" y="{_EDGE // 2}">{shown}</text>')
    named = [curve for curve in drawn if curve.name]
    for row, curve in enumerate(named):
        place = f'x="{right}" y="{_EDGE // 2 + 14 * row}" text-anchor="end" fill="{curve.colour}"'
        lines.append(f"<text {place}>{escape(curve.name)}</text>")
    lines += [
        f'<text x="{_EDGE - 4}" y="{_EDGE + 4}" text-anchor="end">{high}</text>',
        f'<text x="{_EDGE - 4}" y="{bottom + 4}" text-anchor="end">{low}</text>',
        f'<text x="{right}" y="{bottom + 18}" text-anchor="end">{last}</text>',
        "</svg>\n",
    ]
    return "\n".join(lines)


def _line(curve: Curve, across: Floats, up: Floats) -> list[str]:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    line = f'<polyline points="{points}" fill="none" stroke="{curve.colour}" stroke-width="1.5"/>'
    if not curve.dots or len(across) > _MOST_DOTS:
        return [line]
    dots = zip(across, up, strict=True)
    return [line, *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{curve.colour}"/>' for x, y in dots)]


def _spread(values: Floats, all_values: Floats, size: int) -> Floats:
    """Map values to the plot's width or height, from edge to edge of all that is drawn."""
    low, high = (all_values.min(), all_values.max()) if len(all_values) else (0.0, 1.0)
    return _EDGE + (values - low) / ((high - low) or 1.0) * (size - 2 * _EDGE)
