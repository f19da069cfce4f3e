"""The times in a change column: between microseconds since 1970 and the values that the column has. Pure.

    aware      a time with its zone
    local      a time without one; the sources file names the zone
    day        a date
    number     seconds, milliseconds or microseconds since 1970
    text       a time as ISO 8601 writes it, which sorts as text

Windows are widened rather than narrowed: what is read twice does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
_UNIT_US = {"s": SECOND_US, "ms": 1_000, "us": 1}


class Form(StrEnum):
    """The forms of values of a change column."""

    AWARE = "aware"
    LOCAL = "local"
    DAY = "day"
    NUMBER = "number"
    TEXT = "text"


def zone_of(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def microseconds_of(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware time."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    return EPOCH + microseconds * MICROSECOND


@dataclass(frozen=True, slots=True)
class ChangeTimes:
    """The times of one change column.

    zone: of times without one. separator: between date and time, of a text; "" if it is a date alone.
    """

    form: Form
    zone: tzinfo = UTC
    unit: str = "s"
    separator: str = " "

    @classmethod
    def of_text(cls, sample: object, zone: tzinfo) -> ChangeTimes | None:
        """Return the times of texts like this one, or of none; None if it does not sort as its time does.

        With an offset of zero in it, the zone is UTC.
        """
        if sample is None:
            return cls(Form.TEXT, zone)
        text = sample.decode("ascii", "replace") if isinstance(sample, bytes) else str(sample)
        parsed = _parsed(text)
        if parsed is None or not text.startswith(parsed.date().isoformat()) or text[10:11] not in {"", " ", "T"}:
            return None
        return cls(Form.TEXT, UTC if parsed.utcoffset() == timedelta(0) else zone, separator=text[10:11])

    def microseconds(self, value: Any) -> int | None:
        """Return the time of a value; None for NULL and for what is no time."""
        try:
            return None if value is None else self._microseconds(value)
        except (ValueError, TypeError, AttributeError, ArithmeticError):
            return None

    def bounds(self, since_us: int, until_us: int) -> tuple[Any, Any]:
        """Return the lowest and the highest value of a window, both belonging to it.

        Both are rounded to whole seconds, the highest up, as columns round that hold no parts of them. Where clocks
        were set back within the window, times without a zone are ambiguous, and the whole hour is read again.
        """
        since_us -= since_us % SECOND_US
        until_us += -until_us % SECOND_US
        since, until = moment_of(since_us), moment_of(until_us)
        if self.form is Form.NUMBER:
            return since_us // _UNIT_US[self.unit], until_us // _UNIT_US[self.unit]
        if self.form is Form.AWARE:
            return since, until
        low, high = since.astimezone(self.zone), until.astimezone(self.zone)
        set_back = max((low.utcoffset() or timedelta()) - (high.utcoffset() or timedelta()), timedelta())
        first, last = low.replace(tzinfo=None), high.replace(tzinfo=None)
        first, last = min(first, last) - set_back, max(first, last) + set_back
        if self.form is Form.DAY:
            return first.date(), last.date()
        if self.form is Form.TEXT:
            if not self.separator:
                return first.date().isoformat(), last.date().isoformat()
            # "~" sorts after every digit and sign, so that no fraction and no zone is cut off.
            return first.isoformat(self.separator), last.isoformat(self.separator, "seconds") + "~"
        return first, last

    def _microseconds(self, value: Any) -> int | None:
        match self.form:
            case Form.NUMBER:
                return int(Decimal(str(value)) * _UNIT_US[self.unit])
            case Form.DAY:
                moment = datetime.combine(value, time())
            case Form.TEXT:
                parsed = _parsed(value.decode() if isinstance(value, bytes) else value)
                if parsed is None:
                    return None
                moment = parsed
            case _:
                moment = value
        return microseconds_of(moment if moment.tzinfo else moment.replace(tzinfo=self.zone))


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None
