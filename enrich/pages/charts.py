"""Charts as SVG text: stacked bars, lines with a limit, and single bars.

Pure: numbers and text in, markup out, everything escaped. No colours and no styles: the content-security policy allows
none inside a page, so each part has a class, and the stylesheet knows both colour schemes. Shapes only;
all text (axes, legend, times) stands beside the SVG as HTML, so that it neither shrinks nor stretches. The page has the
same numbers as a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1000, 200
# Between two bars, as a part of the room for one.
GAP = 0.18
_STEPS = (10, 12, 14, 16, 20, 24, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve or row of bars. css: the class that colours it; values: one for each span, None for no value."""

    name: str
    css: str
    values: tuple[float | None, ...]


def top_of(highest: float) -> float:
    """Return the end of an axis: the next round number, at least 4, whose half is a whole number, too."""
    if highest <= 4:
        return 4.0
    power = 10 ** math.floor(math.log10(highest))
    ends = (step * power / 10 for step in _STEPS)
    return float(next(end for end in ends if end >= highest and end % 2 == 0))


def stacked(series: Sequence[Series], labels: Sequence[str], *, title: str) -> str:
    """Return a stacked bar chart, one bar for each span, the first series at the bottom.

    labels: of each span, shown as a tooltip. title: a description for screen readers.
    """
    columns = list(zip(*(curve.values for curve in series), strict=True))
    top = top_of(max((sum(value or 0 for value in column) for column in columns), default=0))
    room = WIDTH / max(1, len(columns))
    parts = []
    for number, column in enumerate(columns):
        x, y = number * room + room * GAP / 2, float(HEIGHT)
        bars = []
        for curve, value in zip(series, column, strict=True):
            if value:
                height = value / top * HEIGHT
                y -= height
                bars.append(_rect(curve.css, x, y, room * (1 - GAP), height))
        description = ", ".join(
            f"{_number(value)} {curve.name}" for curve, value in zip(series, column, strict=True) if value
        )
        if bars:
            parts.append(f"<g><title>{escape(f'{labels[number]}: {description}')}</title>{''.join(bars)}</g>")
    return _svg(_grid() + "".join(parts), title)


def lines(series: Sequence[Series], labels: Sequence[str], *, limit: float | None, title: str) -> str:
    """Return a line chart, one line for each series, broken at missing values; a single value is a dot.

    limit: the value of a line across the chart; None for no line.
    """
    highest = max((value for curve in series for value in curve.values if value is not None), default=0.0)
    top = top_of(max(highest, limit or 0.0))
    parts = [_grid()]
    if limit is not None:
        y = _y(limit, top)
        parts.append(f'<line class="limit" x1="0" y1="{y}" x2="{WIDTH}" y2="{y}"/>')
    for curve in series:
        for run in _runs(curve.values):
            points = [(_x(number, len(curve.values)), _y(value, top)) for number, value in run]
            if len(points) == 1:
                (x, y) = points[0]
                points = [(x - 3, y), (x + 3, y)]
            path = " ".join(f"{x:g},{y:g}" for x, y in points)
            parts.append(f'<polyline class="{escape(curve.css)}" points="{path}"/>')
    room = WIDTH / max(1, len(labels))
    for number, label in enumerate(labels):
        description = ", ".join(
            f"{curve.name} {_number(value)} ms" for curve in series if (value := curve.values[number]) is not None
        )
        if description:
            rect = _rect("feel", number * room, 0, room, HEIGHT)
            parts.append(f"<g><title>{escape(f'{label}: {description}')}</title>{rect}</g>")
    return _svg("".join(parts), title)


def bar(value: float, highest: float, css: str) -> str:
    """Return a horizontal bar, as long as its share of the highest. The page shows the number beside it."""
    width = max(0.6, round(100 * value / highest, 2)) if value and highest else 0
    return (
        '<svg class="bar" width="100%" height="10" aria-hidden="true">'
        f'<rect class="{escape(css)}" width="{width}%" height="10" rx="2"/></svg>'
    )


def _svg(inside: str, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}">{inside}</svg>'
    )


def _grid() -> str:
    return "".join(f'<line class="grid" x1="0" y1="{y}" x2="{WIDTH}" y2="{y}"/>' for y in (0, HEIGHT // 2, HEIGHT))


def _rect(css: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{escape(css)}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the runs of present values, each value with its position."""
    runs: list[list[tuple[int, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((number, value))
    return [run for run in runs if run]


def _x(number: int, count: int) -> float:
    return round((number + 0.5) * WIDTH / count, 2)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - min(value, top) / top * HEIGHT, 2)


def _number(value: float) -> str:
    return f"{value:,.0f}"
