"""The results as a page with plots: pure functions from what the benchmark wrote down."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from bench.figures import Figure, Line, Point
from bench.page import INTRODUCTION, figure_table, growth_table, page, plots
from bench.plot import BOTTOM, LEFT, RIGHT, TOP, Curve, line_plot

ROOT = Path(__file__).parents[2]
SVG = {"svg": "http://www.w3.org/2000/svg"}

FULL = Figure(Line("full callback", "sqlite", "the floor", (0.6, 0.8)), (0.5, 0.75, 0.7), noise=0.2, raw={"ours": []})


def grown(database: str, in_flight: int, ours: float, theirs: float) -> Figure:
    line = Line(f"callbacks, {in_flight} in flight", database, "bare")
    return Figure(line, (ours,), "/s", point=Point("callbacks", in_flight, ours, theirs))


GROWN = [
    grown(database, number, ours, 2 * ours)
    for database in ("sqlite", "postgresql")
    for number, ours in ((1, 9.5), (4, 400), (16, 1200))
]


def results(figures: list[Figure]) -> dict[str, Any]:
    """Return the results as they are read back from the file."""
    machine = {"processors": 2, "python": "3.11.7", "client": "wrk", "load_average": [0.1, 0.2, 0.3]}
    written = {"at": "2026-11-28T12:00:00+00:00", "machine": machine, "figures": [each.as_json() for each in figures]}
    read: dict[str, Any] = json.loads(json.dumps(written))
    return read


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - it is our own


def test_a_figure_is_read_back_as_it_was() -> None:
    assert [Figure.from_json(each) for each in results([FULL, *GROWN])["figures"]] == [FULL, *GROWN]


def test_figures_become_lines_of_a_table() -> None:
    head, _, line = figure_table([FULL]).splitlines()
    assert head == "| part | database | against | median | lowest - highest | wanted |  | noise |  |"
    assert line == (
        "| full callback | sqlite | the floor | 0.70 x | 0.50 - 0.75 | ≥ 0.6, then ≥ 0.8 | not yet | ±10% |  |"
    )


def test_growth_has_a_line_for_each_number_in_flight() -> None:
    assert growth_table("callbacks", GROWN).splitlines() == [
        "| in flight | SQLite | bare | PostgreSQL | bare |",
        "| --- | --- | --- | --- | --- |",
        "| 1 | 9.5 | 19 | 9.5 | 19 |",
        "| 4 | 400 | 800 | 400 | 800 |",
        "| 16 | 1,200 | 2,400 | 1,200 | 2,400 |",
    ]


def test_the_page_shows_the_plots_that_were_drawn() -> None:
    shown = page(results([FULL, *GROWN]))
    assert shown.startswith(INTRODUCTION)
    assert "The run began at 2026-11-28 12:00 UTC: processors 2" in shown
    assert list(plots(results([FULL, *GROWN]))) == ["benchmark-callbacks.svg"]
    assert "(benchmark-callbacks.svg)" in shown
    assert shown.count("callbacks, 4 in flight") == 0


def test_a_run_without_growth_has_no_plots() -> None:
    assert plots(results([FULL])) == {}
    assert ".svg" not in page(results([FULL]))


def test_the_committed_page_is_the_commands() -> None:
    assert (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8").startswith(INTRODUCTION)


def test_every_point_is_drawn_within_the_axes() -> None:
    svg = parsed(plots(results(GROWN))["benchmark-callbacks.svg"])
    dots = [each.attrib for each in svg.iterfind("svg:circle", SVG)]
    assert len(dots) == 2 * len(GROWN)
    assert all(LEFT <= float(dot["cx"]) <= RIGHT and TOP <= float(dot["cy"]) <= BOTTOM for dot in dots)
    lines = [each.attrib["points"].split() for each in svg.iterfind("svg:polyline", SVG)]
    assert [len(line) for line in lines] == [2] * 4 + [3] * 4, "the legend, and the curves"


def test_more_stands_higher_and_ticks_are_evenly_apart_for_each_fourfold() -> None:
    svg = parsed(line_plot("t", "x", "y", [Curve("a", "first", ((1, 0), (4, 10), (16, 20)))]))
    places = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in svg.iterfind("svg:circle", SVG)]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == x3 - x2 > 0
    assert y1 == BOTTOM
    assert y3 == TOP
    assert y2 == (TOP + BOTTOM) / 2


def test_a_plot_tells_its_name_and_numbers_to_those_who_do_not_see_it() -> None:
    svg = parsed(
        line_plot("Callbacks & more", "in flight", "a second", [Curve("<ours>", "first", ((1, 1234), (4, 5)))])
    )
    assert svg.findtext("svg:title", namespaces=SVG) == "Callbacks & more"
    assert svg.findtext("svg:desc", namespaces=SVG) == "a second by in flight. <ours>: 1,234 at 1, 5 at 4"
    assert svg.attrib["aria-labelledby"] == "title description"
    assert "prefers-color-scheme: dark" in (svg.findtext("svg:style", namespaces=SVG) or "")


def test_the_command_writes_the_page_and_its_plots(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results([FULL, *GROWN])))
    command = [sys.executable, "-m", "bench.page", str(tmp_path / "results.json"), "--folder", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert "full callback" in (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert len(list(parsed((tmp_path / "benchmark-callbacks.svg").read_text()).iterfind("svg:circle", SVG))) == 12
