"""Times of change columns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.sources.change_times import ChangeTimes, Form, microseconds_of, moment_of, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("times", "value"),
    [
        (ChangeTimes(Form.AWARE), NOON),
        (ChangeTimes(Form.AWARE), NOON.astimezone(timezone(timedelta(hours=2)))),
        (ChangeTimes(Form.LOCAL, BERLIN), datetime(2026, 11, 28, 13)),  # noqa: DTZ001 - as columns are
        (ChangeTimes(Form.NUMBER, unit="s"), NOON.timestamp()),
        (ChangeTimes(Form.NUMBER, unit="ms"), int(NOON.timestamp() * 1000)),
        (ChangeTimes(Form.NUMBER, unit="us"), Decimal(int(NOON.timestamp() * 1_000_000))),
        (ChangeTimes(Form.TEXT, BERLIN), "2026-11-28 13:00:00"),
        (ChangeTimes(Form.TEXT, BERLIN), b"2026-11-28T12:00:00Z"),
    ],
)
def test_values_are_times(times: ChangeTimes, value: Any) -> None:
    assert times.microseconds(value) == microseconds_of(NOON)


def test_a_day_begins_at_midnight_of_its_zone() -> None:
    midnight = microseconds_of(datetime(2026, 11, 27, 23, tzinfo=UTC))
    assert ChangeTimes(Form.DAY, BERLIN).microseconds(date(2026, 11, 28)) == midnight


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("value", [None, "yesterday", b"\xff", [], 10**400])
def test_what_is_no_time(form: Form, value: Any) -> None:
    assert form is Form.NUMBER or ChangeTimes(form).microseconds(value) is None


def test_texts_are_taken_as_they_are_written() -> None:
    assert ChangeTimes.of_text("2026-11-28T12:00:00Z", BERLIN) == ChangeTimes(Form.TEXT, UTC, separator="T")
    assert ChangeTimes.of_text("2026-11-28 12:00:00", BERLIN) == ChangeTimes(Form.TEXT, BERLIN)
    assert ChangeTimes.of_text("2026-11-28", BERLIN) == ChangeTimes(Form.TEXT, BERLIN, separator="")
    assert ChangeTimes.of_text(None, BERLIN) == ChangeTimes(Form.TEXT, BERLIN)
    assert zone_of("UTC") is UTC


@pytest.mark.parametrize("sample", ["28.11.2026 12:00", "20261128T120000", "yesterday", "", 1764331200, b"\xff"])
def test_texts_that_do_not_sort_as_times(sample: object) -> None:
    assert ChangeTimes.of_text(sample, BERLIN) is None


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def as_column(times: ChangeTimes, moment: datetime) -> Any:
    """Return the value that a column of this form would hold for a change at this moment."""
    local = moment.astimezone(times.zone).replace(tzinfo=None)
    match times.form:
        case Form.AWARE:
            return moment
        case Form.LOCAL:
            return local
        case Form.DAY:
            return local.date()
        case Form.NUMBER:
            return microseconds_of(moment) // 1_000_000
        case Form.TEXT:
            return local.isoformat(times.separator) if times.separator else local.date().isoformat()


@given(
    since=MOMENTS,
    length=st.timedeltas(timedelta(), timedelta(days=3)),
    share=st.floats(0, 1),
    form=st.sampled_from(Form),
    separator=st.sampled_from(("", " ", "T")),
    zone=st.sampled_from((UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"))),
)
def test_a_window_has_every_change_within_it(
    since: datetime, length: timedelta, share: float, form: Form, separator: str, zone: Any
) -> None:
    """In every form, and also where clocks are set back within the window."""
    times = ChangeTimes(form, zone, separator=separator)
    moment = moment_of(microseconds_of(since + length * share))
    low, high = times.bounds(microseconds_of(since), microseconds_of(since + length))
    assert low <= as_column(times, moment) <= high


@given(hour=st.integers(0, 3), minute=st.integers(0, 59), minutes=st.integers(0, 90))
def test_the_hour_that_comes_twice_is_read_whole(hour: int, minute: int, minutes: int) -> None:
    since = datetime(2025, 10, 26, hour, minute, tzinfo=UTC)
    for step in range(minutes):
        moment = since + timedelta(minutes=step)
        times = ChangeTimes(Form.LOCAL, BERLIN)
        low, high = times.bounds(microseconds_of(since), microseconds_of(since + timedelta(minutes=minutes)))
        assert low <= as_column(times, moment) <= high
