"""Key rules: what the settings say about look-up keys."""

from __future__ import annotations

from typing import Any

import pytest

from enrich.customers.key_rules import KeyRules
from enrich.domain.matches import Trust


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("from", [("from", "address", None)]),
        ("called", [("called", "address", None)]),
        (
            "phone_2, emailAddress, Phone",
            [("phone_2", "phone", None), ("emailAddress", "email", None), ("Phone", "phone", None)],
        ),
        ("from, case_ref:case,", [("from", "address", None), ("case_ref", "case", None)]),
        ("pre.email : email : claimed", [("pre.email", "email", Trust.CLAIMED)]),
        ("a.b", [("a.b", "b", None)]),
    ],
)
def test_a_spec_names_attributes_kinds_and_trust(spec: str, parsed: list[tuple[str, str, Trust | None]]) -> None:
    assert [(one.attribute, one.kind, one.trust) for one in KeyRules.parse(spec).sources] == parsed


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"spec": " , "}, "at least one"),
        ({"spec": "from, :phone"}, "':phone'"),
        ({"spec": "a..b"}, "'a..b'"),
        ({"spec": "a:b:claimed:d"}, "'a:b:claimed:d'"),
        ({"spec": "from:address:perhaps"}, "'perhaps'"),
        ({"spec": f"a:{'k' * 41}"}, "40"),
        ({"spec": "crm.customer_id", "own_attributes": ["crm"]}, "'crm.customer_id'"),
        ({"spec": "customers.phone", "own_attributes": ["customers.phone"]}, "'customers.phone'"),
        ({"region": "XX"}, "'XX'"),
        ({"own_numbers": ["911"]}, "'911'"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word.replace(".", r"\.")):
        KeyRules.parse(**settings)


def test_an_attribute_that_only_begins_like_ours_is_no_problem() -> None:
    assert KeyRules.parse("crm_id", own_attributes=["crm"]).sources[0].attribute == "crm_id"


def test_the_kind_of_decisions_of_staff_is_reserved() -> None:
    with pytest.raises(ValueError, match="another name"):
        KeyRules.parse("staff")
