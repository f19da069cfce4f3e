"""The page of the results, docs/benchmark.md, and its plots: `python -m bench.page bench-results.json`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import HEAD, Figure, Point, cells
from bench.plot import Curve, line_plot

# The plots by the curve of their points: title, label of the x axis, label of the y axis.
PLOTS = {
    "callbacks": ("Callbacks a second", "callbacks in flight", "callbacks a second"),
    "p99": ("99th percentile of a callback", "callbacks in flight", "milliseconds"),
    "followups": ("Follow-ups a second, 100 ms a request", "follow-ups in flight", "follow-ups a second"),
}
DATABASES = {"sqlite": ("SQLite", "first"), "postgresql": ("PostgreSQL", "second")}

INTRODUCTION = """# Benchmark results

This page is written by

    make bench
    .venv/bin/python -m bench.page bench-results.json

from one run. [Performance](performance.md) explains the parts, the yardsticks and the goals. Client, upstream and
database run on the same machine as the service.
"""
GROWTH = """The bare lines are the yardsticks: a WSGI function and a gevent loop with the same input and output. Each
point is one short round.
"""
MACHINE = ("processors", "python", "client", "load_average")


def page(results: Mapping[str, Any]) -> str:
    """Return the page of these results, as `python -m bench` wrote them."""
    figures = [Figure.from_json(each) for each in results["figures"]]
    machine = ", ".join(f"{name.replace('_', ' ')} {results['machine'][name]}" for name in MACHINE)
    parts = [
        INTRODUCTION,
        f"The run began at {results['at'][:16].replace('T', ' ')} UTC: {machine}.\n",
        "## Against the yardsticks\n",
        figure_table([figure for figure in figures if figure.point is None]),
    ]
    if any(figure.point for figure in figures):
        parts += [
            "## Growth with the work\n",
            GROWTH,
        ]
    for curve in _drawn(figures):
        title, *_ = PLOTS[curve]
        parts += [f"![{title}]({file_name(curve)})\n", growth_table(curve, figures)]
    return "\n".join(parts)


def plots(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the plots of these results as SVG, by the names of their files."""
    figures = [Figure.from_json(each) for each in results["figures"]]
    drawn = {}
    for curve in _drawn(figures):
        curves = []
        for database, points in _points(curve, figures).items():
            name, css = DATABASES[database]
            ours = tuple((float(point.in_flight), point.ours) for point in points)
            theirs = tuple((float(point.in_flight), point.theirs) for point in points)
            curves += [Curve(name, css, ours), Curve(f"{name}, bare", f"{css} bare", theirs)]
        drawn[file_name(curve)] = line_plot(*PLOTS[curve], curves)
    return drawn


def file_name(curve: str) -> str:
    return f"benchmark-{curve}.svg"


def figure_table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    return _table(HEAD, [cells(figure) for figure in figures])


def growth_table(curve: str, figures: Sequence[Figure]) -> str:
    """Return the points of a curve as a table in Markdown, one line for each number in flight."""
    by_database = _points(curve, figures)
    head = ["in flight"]
    lines: dict[int, list[str]] = {}
    for database, points in by_database.items():
        head += [DATABASES[database][0], "bare"]
        for point in points:
            lines.setdefault(point.in_flight, [str(point.in_flight)]).extend(
                (_shown(point.ours), _shown(point.theirs)),
            )
    return _table(head, list(lines.values()))


def _drawn(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the curves that have points."""
    return (curve for curve in PLOTS if any(figure.point and figure.point.curve == curve for figure in figures))


def _points(curve: str, figures: Sequence[Figure]) -> dict[str, list[Point]]:
    """Return the points of a curve by database."""
    points: dict[str, list[Point]] = {}
    for figure in figures:
        if figure.point and figure.point.curve == curve:
            points.setdefault(figure.line.database, []).append(figure.point)
    return points


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("json", type=Path, help="the results, as `python -m bench` wrote them")
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="of the page and its plots (docs)")
    options = parser.parse_args()
    results = json.loads(options.json.read_text())
    (options.folder / "benchmark.md").write_text(page(results))
    for name, svg in plots(results).items():
        (options.folder / name).write_text(svg)


if __name__ == "__main__":
    main()
