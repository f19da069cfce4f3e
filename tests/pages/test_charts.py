"""Charts as text: right shapes from numbers, nothing from outside unescaped, well-formed whatever comes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.pages import charts
from enrich.pages.charts import HEIGHT, WIDTH, Series


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - it is our own


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 4), (3, 4), (5, 6), (9, 10), (10, 10), (11, 12), (129, 140), (3500, 4000)],
)
def test_an_axis_ends_at_a_round_number(highest: float, top: float) -> None:
    assert charts.top_of(highest) == top


@given(st.floats(0, 1e12))
def test_an_axis_holds_everything_and_has_a_whole_middle(highest: float) -> None:
    top = charts.top_of(highest)
    assert top >= highest
    assert (top / 2).is_integer()


def test_bars_stand_on_each_other_and_fill_their_part() -> None:
    svg = charts.stacked([Series("a", "s-a", (1, 0)), Series("b", "s-b", (3, 0))], ["10:00", "10:01"], title="t")
    rects = [each.attrib for each in parsed(svg).iter("rect")]
    assert [(each["class"], each["y"], each["height"]) for each in rects] == [
        ("s-a", "150.00", "50.00"),
        ("s-b", "0.00", "150.00"),
    ]
    assert parsed(svg).findtext("g/title") == "10:00: 1 a, 3 b"


def test_a_line_is_broken_where_nothing_was_measured_and_the_limit_is_drawn() -> None:
    svg = charts.lines([Series("p", "s-p", (100.0, None, 200.0, 400.0))], list("wxyz"), limit=400, title="t")
    lines = [each.attrib["points"] for each in parsed(svg).iter("polyline")]
    assert len(lines) == 2
    assert lines[1].split()[-1] == f"{WIDTH * 7 / 8:g},0"
    (limit,) = (each.attrib for each in parsed(svg).iter("line") if each.attrib["class"] == "limit")
    assert limit["y1"] == "0.0"


def test_words_are_escaped_and_there_is_no_style() -> None:
    evil = '"><script>alert(1)</script>'
    for svg in (
        charts.stacked([Series(evil, evil, (1,))], [evil], title=evil),
        charts.lines([Series(evil, evil, (1,))], [evil], limit=None, title=evil),
        charts.bar(1, 1, evil),
    ):
        assert "<script" not in svg
        assert "style=" not in svg
        assert parsed(svg) is not None


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=30)


@given(VALUES)
def test_nothing_is_drawn_outside(values: list[float | None]) -> None:
    labels = [str(number) for number in range(len(values))]
    series = [Series("a", "s-a", tuple(values))]
    for svg in (charts.stacked(series, labels, title=""), charts.lines(series, labels, limit=3500, title="")):
        for each in parsed(svg).iter("rect"):
            assert -0.01 <= float(each.attrib["y"]) <= HEIGHT
            assert float(each.attrib["x"]) + float(each.attrib["width"]) <= WIDTH + 0.01
        for line in parsed(svg).iter("polyline"):
            assert all(0 <= float(point.split(",")[1]) <= HEIGHT for point in line.attrib["points"].split())
