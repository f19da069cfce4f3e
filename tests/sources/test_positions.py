"""Values of keys and times as JSON and back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from enrich import errors
from enrich.sources.positions import from_json, to_json


@pytest.mark.parametrize(
    "value",
    [
        7,
        "A-7",
        1.5,
        None,
        Decimal("7.50"),
        UUID(int=7),
        date(2026, 11, 28),
        datetime(2026, 11, 28, 9, 30, 0, 5, tzinfo=UTC),
        timedelta(seconds=90),
        b"\x00\xff",
    ],
)
def test_there_and_back(value: Any) -> None:
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert (back, type(back)) == (value, type(value))


def test_what_orders_nothing() -> None:
    assert from_json(to_json(memoryview(b"x"))) == b"x"
    with pytest.raises(errors.SourceMisfit, match="of the type list"):
        to_json([1])
