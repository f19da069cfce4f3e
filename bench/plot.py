"""A line plot as an SVG file. Pure: numbers and text in, markup out, everything escaped.

The file brings its own colours for light and dark and its own background, since it is shown as an image, where the
styles of the page around it do not count. Its description holds the numbers, for those who do not see the lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from enrich.pages.charts import top_of

WIDTH, HEIGHT = 720, 360
# The edges of the area of the lines.
LEFT, RIGHT, TOP, BOTTOM = 72, 696, 72, 304
TICKS = 4

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.name { font-size: 15px; font-weight: 600; }
.paper { fill: #fff; }
.grid { stroke: #d1d9e0; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.bare { stroke-dasharray: 5 4; }
.first { stroke: #0969da; } circle.first { fill: #0969da; }
.second { stroke: #bc4c00; } circle.second { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .paper { fill: #0d1117; }
  .grid { stroke: #3d444d; }
  .first { stroke: #58a6ff; } circle.first { fill: #58a6ff; }
  .second { stroke: #f0883e; } circle.second { fill: #f0883e; }
}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line. css: its colour, `first` or `second`, and `bare` for dashes. points: x above 0, y at least 0."""

    name: str
    css: str
    points: tuple[tuple[float, float], ...]


def line_plot(title: str, x_label: str, y_label: str, curves: Sequence[Curve]) -> str:
    """Return the plot of the curves. The x axis is logarithmic, with a tick for each x; the y axis begins at 0."""
    xs = sorted({x for curve in curves for x, _ in curve.points})
    top = top_of(max((y for curve in curves for _, y in curve.points), default=0.0))
    description = ". ".join(
        (
            f"{y_label} by {x_label}",
            *(f"{curve.name}: {', '.join(f'{y:,.0f} at {x:g}' for x, y in curve.points)}" for curve in curves),
        )
    )
    parts = [
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(LEFT, 26, title, css="name"),
        *(_legend(number, curve) for number, curve in enumerate(curves)),
        *(_grid(top * tick / TICKS, top) for tick in range(TICKS + 1)),
        *(_text(_x(x, xs), BOTTOM + 20, f"{x:g}", anchor="middle") for x in xs),
        _text((LEFT + RIGHT) / 2, BOTTOM + 42, x_label, anchor="middle"),
        f'<g transform="translate(16 {(TOP + BOTTOM) / 2:g}) rotate(-90)">{_text(0, 0, y_label, anchor="middle")}</g>',
        *(_curve(curve, xs, top) for curve in curves),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="title description">\n<title id="title">{escape(title)}</title>\n'
        f'<desc id="description">{escape(description)}</desc>\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _curve(curve: Curve, xs: Sequence[float], top: float) -> str:
    places = [(_x(x, xs), _y(y, top)) for x, y in curve.points]
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    css = escape(curve.css)
    dots = (
        f'<circle class="{css}" cx="{place_x:g}" cy="{place_y:g}" r="3.5">'
        f"<title>{escape(curve.name)}: {y:,.0f} at {x:g}</title></circle>"
        for (x, y), (place_x, place_y) in zip(curve.points, places, strict=True)
    )
    return f'<polyline class="line {css}" points="{path}"/>{"".join(dots)}'


def _legend(number: int, curve: Curve) -> str:
    x = LEFT + number * 155
    return f'<polyline class="line {escape(curve.css)}" points="{x},48 {x + 26},48"/>{_text(x + 32, 52, curve.name)}'


def _grid(value: float, top: float) -> str:
    y = _y(value, top)
    line = f'<line class="grid" x1="{LEFT}" y1="{y:g}" x2="{RIGHT}" y2="{y:g}"/>'
    return line + _text(LEFT - 8, y + 4, f"{value:,g}", anchor="end")


def _text(x: float, y: float, text: str, *, css: str = "", anchor: str = "start") -> str:
    return f'<text class="{css}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _x(value: float, xs: Sequence[float]) -> float:
    if len(xs) < 2:
        return (LEFT + RIGHT) / 2
    inset = 24
    share = math.log(value / xs[0]) / math.log(xs[-1] / xs[0])
    return round(LEFT + inset + share * (RIGHT - LEFT - 2 * inset), 1)


def _y(value: float, top: float) -> float:
    return round(BOTTOM - value / top * (BOTTOM - TOP), 1)
