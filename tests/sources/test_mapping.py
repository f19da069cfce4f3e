"""The mapping of rows to customers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.sources.mapping import Deleted, Expression, Fields, customer_of, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("  Ada   ", "Ada"),  # char(n)
        (True, "true"),
        (42, "42"),
        (4.155550100e9, "4155550100"),
        (1.5, "1.5"),
        (Decimal("4155550100.00"), "4155550100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50"), "1.5"),
        (Decimal("NaN"), "NaN"),
        (b"C-17  ", "C-17"),
        (b"\x00\xff", "00ff"),
        (memoryview(b"C-17"), "C-17"),
        (date(2026, 11, 28), "2026-11-28"),
        (datetime(2026, 11, 28, 9, 30, tzinfo=UTC), "2026-11-28T09:30:00+00:00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_text_of(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("expression", "row", "values"),
    [
        (Expression(("first", "last")), {"first": "Ada", "last": "Lovelace"}, ["Ada Lovelace"]),
        (Expression(("first", "last")), {"first": None, "last": "Lovelace"}, ["Lovelace"]),
        (
            Expression(("mails",), split=";"),
            {"mails": "a@example.com; ;b@example.com"},
            ["a@example.com", "b@example.com"],
        ),
        (Expression(("tel",), prefix="+"), {"tel": Decimal(14155550100)}, ["+14155550100"]),
        (Expression(("tel",), prefix="+"), {"tel": "+14155550100"}, ["+14155550100"]),
        (Expression(("tel",), prefix="+"), {"tel": None}, []),
        (Expression(("class",), map={"1": "gold", "*": "standard"}), {"class": 1}, ["gold"]),
        (Expression(("class",), map={"1": "gold", "*": "standard"}), {"class": None}, ["standard"]),
        (Expression(("class",), map={"1": "gold"}), {"class": "2"}, ["2"]),
    ],
)
def test_expressions(expression: Expression, row: dict[str, Any], values: list[str]) -> None:
    assert list(expression.values(row)) == values


@pytest.mark.parametrize(
    ("value", "is_deleted"),
    [(None, False), (0, False), (False, False), ("", False), ("N", False), (1, True), (date(2026, 11, 28), True)],
)
def test_deleted(value: Any, is_deleted: bool) -> None:
    assert Deleted("gone").of({"gone": value}) is is_deleted


def test_deleted_by_a_value() -> None:
    assert Deleted("status", ("closed",)).of({"status": "closed   "})
    assert not Deleted("status", ("closed",)).of({"status": "open"})


def test_a_customer_is_whole_and_has_what_its_child_rows_say() -> None:
    fields = Fields(
        texts={"name": (Expression(("name",)), Expression(("mail",))), "company": (Expression(("company",)),)},
        phones=(Expression(("tel",)),),
        emails=(Expression(("mail",)),),
        ids={"account_number": (Expression(("number",)),)},
    )
    part = Fields(phones=(Expression(("number",)),))
    row = {"name": " ", "mail": "ada@example.com", "company": None, "tel": "+14155550100", "number": 17}
    children = [(part, {"number": "+14155550101"}), (part, {"number": "+14155550100"})]
    assert customer_of("7", fields, row, children) == {
        "id": "7",
        "name": "ada@example.com",
        "company": "",
        "phones": ["+14155550100", "+14155550101"],
        "emails": ["ada@example.com"],
        "notes": [],
        "ids": {"account_number": ["17"]},
    }
    customer = read_customer(customer_of("7", fields, row, children), "US")
    assert isinstance(customer, CustomerFixture)
    assert customer.identifier_fields == {"phones", "emails", "ids"}
    assert (customer.texts, customer.notes) == ({"company": ""}, ())
    assert fields.columns() == ("name", "mail", "company", "tel", "number")
